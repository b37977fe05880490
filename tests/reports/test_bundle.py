"""What an import of a bundle shows: who signed, what comes in full, and what is passed over; in 80 columns."""

from __future__ import annotations

from dataclasses import replace

from cmakeys.reports.bundle import import_report, signed_report
from cmakeys.reports.terminal import width
from cmakeys.roots.bundle_acceptance import Acceptance, Remembered
from cmakeys.roots.bundle_import import Import, plan_import
from cmakeys.roots.catalogue import Catalogue
from cmakeys.roots.deny import DenyEntry, DenyKind, entry_about
from cmakeys.roots.root import Constraints, LifeCycle, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.signed_bundle import Bundle, bundled, pack
from cmakeys.roots.signer import SignerKey, Signers
from tests.reports.golden import assert_golden
from tests.roots.bundles import DAY, NOW
from tests.x509.pki import issue

ED25519 = bytes.fromhex("302a300506032b6570032100")
KEYS = tuple(SignerKey(ED25519 + bytes([number]) * 32) for number in (1, 2, 3))


def root(name: str, number: int, title: str = "") -> Root:
    return Root(name, issue(title or f"{name} CA", number=number).certificate)


OLD, NEW, GONE, BAD, OURS, RETIRED = (
    root(name, number)
    for number, name in enumerate(("acme-g1", "acme-g2", "acme-g0", "acme-leaked", "acme-lab", "acme-beta"), 1)
)
LONG = root("acme-with-a-name-that-is-as-long-as-that-of-a-root-may-be-0001", 9, "very " * 11 + "long name")


def acceptance(*roots: Root, deny: tuple[DenyEntry, ...] = ()) -> Acceptance:
    content = Bundle("acme", 7, NOW - DAY, NOW + 90 * DAY, Signers(2, KEYS), tuple(map(bundled, roots)), deny)
    return Acceptance(
        content,
        pack(content).digest,
        frozenset(key.id for key in KEYS[:2]),
        (f"signature by {'ab' * 32}, which is not one of its signers",),
        rotated=True,
    )


def report(*, prune: bool, known: RootSet) -> list[str]:
    """The report of an import in which everything happens at once; certificates' fingerprints replaced."""
    deny = (
        DenyEntry(
            DenyKind.KEY, "cd" * 32, "the key of the factory in Utopia has leaked, with everything that it signed"
        ),
        entry_about(BAD.certificate, DenyKind.CERTIFICATE),
    )
    narrow = Constraints(frozenset({0x10DE}))
    found = acceptance(
        replace(OLD, constraints=narrow, distrust_after=NOW),
        NEW,
        replace(LONG, constraints=narrow, distrust_after=NOW),
        replace(OURS, constraints=narrow),
        RETIRED,
        deny=deny,
    )
    added = frozenset(each.fingerprint for each in (OLD, GONE, RETIRED))
    last = Remembered("acme", 6, "0" * 64, Signers(1, KEYS[:1]), NOW + DAY, added, added)
    plan = plan_import(found, known, last, Import(NOW, "ada", "acme.bundle", Catalogue(), prune=prune))
    names = {each.fingerprint: f"{number:02x}" * 32 for number, each in enumerate((OLD, NEW, GONE, BAD, LONG), 1)}
    lines = [line.text for line in import_report(plan)]
    for fingerprint, stable in names.items():
        lines = [line.replace(fingerprint, stable) for line in lines]
    return lines


KNOWN = RootSet((OLD, GONE, BAD, OURS, replace(RETIRED, state=LifeCycle.RETIRED)))


def test_an_import_is_shown_as_it_was_reviewed() -> None:
    assert_golden("bundle-import", report(prune=False, known=KNOWN))
    assert_golden("bundle-import-prune", report(prune=True, known=KNOWN))


def test_no_line_is_wider_than_a_terminal() -> None:
    assert [line for line in report(prune=True, known=KNOWN) if width(line) > 78] == []


def test_a_bundle_that_is_not_complete_says_how_many_are_missing() -> None:
    lines = [line.text for line in signed_report(pack(acceptance().bundle))]
    assert lines[3:5] == ["  holds      0 roots, 0 deny entries", "  signed by  0 of 3 keys, 2 needed"]
