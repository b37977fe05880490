"""`cmakeys deny` on a tree of its own: whom an entry concerns, that it stays, and that only our own is taken back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.cli import deny as deny_module
from cmakeys.cli.output import Output
from cmakeys.devices.register import Register
from cmakeys.roots.deny import DenyKind, entry_about
from cmakeys.roots.journal import Journal
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.record import render_deny, render_pem
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import RUN, RootStore
from tests.cli.machine import Machine, Said
from tests.devices.samples import sample
from tests.x509.pki import certificates
from tests.x509.revocations import chain, crl, response

ROOT, MIDDLE, LEAF = chain()
HEX = re.compile(r"\b[0-9a-f]{64}\b")


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    """It trusts the root, and has a device of it enrolled."""
    RootStore(tmp_path).add(Root("acme", ROOT.certificate))
    for name, issued in (("root", ROOT), ("middle", MIDDLE), ("leaf", LEAF)):
        (tmp_path / f"{name}.pem").write_bytes(render_pem(issued.certificate))
    found = Machine(tmp_path, capsys)
    device = sample(chain=certificates(ROOT, MIDDLE, LEAF), root_name="acme")
    Register(tmp_path / "var/lib/cmakeys").enroll(replace(device, root_fingerprint=ROOT.certificate.fingerprint))
    return found


def deny(machine: Machine, *words: str) -> Said:
    return machine.run("deny", *words)


def file(machine: Machine, name: str) -> str:
    return str(machine.sysroot / name)


def entries(said: Said) -> Sequence[dict[str, object]]:
    listed = said.data["entries"]
    assert isinstance(listed, list)
    return listed


def actions(machine: Machine) -> list[str]:
    return [entry.action for entry in Journal(machine.sysroot / "var/lib/cmakeys").verify().entries]


def test_a_denied_root_anchors_nothing_and_cannot_come_back(machine: Machine) -> None:
    said = deny(machine, "add", file(machine, "root.pem"), "--reason", "stolen")
    assert said.code == 0
    assert "no chain may end in acme any more" in said.out
    assert "gpu0 will be rejected" in said.out
    assert machine.run("roots", "remove", "acme", "--yes").code == 0
    again = machine.run("roots", "add", file(machine, "root.pem"), "--fingerprint", ROOT.certificate.fingerprint)
    assert again.code == 8
    assert "stolen" in again.err
    assert actions(machine)[0] == "deny-add"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("leaf.pem",), DenyKind.CERTIFICATE),
        (("leaf.pem", "--by", "key"), DenyKind.KEY),
        (("leaf.pem", "--by", "issuer-serial"), DenyKind.ISSUER_SERIAL),
        (("--certificate", LEAF.certificate.fingerprint.upper()), DenyKind.CERTIFICATE),
        (("--key", LEAF.certificate.spki_fingerprint), DenyKind.KEY),
        (("--serial", f"{LEAF.certificate.serial_number:x}", "--issuer", "middle.pem"), DenyKind.ISSUER_SERIAL),
    ],
    ids=("file", "its key", "its issuer and serial", "fingerprint", "key", "serial and issuer"),
)
def test_every_form_denies_that_certificate(machine: Machine, words: tuple[str, ...], kind: DenyKind) -> None:
    resolved = [file(machine, word) if word.endswith(".pem") else word for word in words]
    said = deny(machine, "add", *resolved, "--json")
    assert (said.code, said.data["devices"], said.data["roots"]) == (0, ["gpu0"], [])
    found = RootStore(machine.sysroot).load().denied(LEAF.certificate)
    assert found is not None
    assert found.kind is kind
    assert found == replace(entry_about(LEAF.certificate, kind), source=found.source)


def test_an_issuer_by_the_hash_of_its_name(machine: Machine) -> None:
    entry = entry_about(LEAF.certificate, DenyKind.ISSUER_SERIAL)
    assert deny(machine, "add", "--issuer-serial", f"{entry.sha256}/{entry.serial:x}").code == 0
    assert RootStore(machine.sysroot).load().denied(LEAF.certificate) == entry


def test_a_date_spares_what_was_issued_before(machine: Machine) -> None:
    said = deny(machine, "add", file(machine, "middle.pem"), "--by", "key", "--after", "2021-01-01", "--json")
    assert (said.code, said.data["devices"]) == (0, [])
    said = deny(machine, "add", file(machine, "middle.pem"), "--by", "key", "--after", "2019-12-31", "--json")
    assert (said.code, said.data["devices"]) == (0, ["gpu0"])
    assert entries(said)[0]["after"] == "2019-12-31T00:00:00Z"


def test_a_list_of_a_root_is_taken_over_and_one_of_nobody_is_not(machine: Machine) -> None:
    by_root, by_middle = machine.sysroot / "root.crl", machine.sysroot / "middle.crl"
    by_root.write_bytes(crl(ROOT, [MIDDLE]).der)
    by_middle.write_bytes(crl(MIDDLE, [LEAF]).der)
    assert deny(machine, "add", "--crl", str(by_root)).code == 0
    refused = deny(machine, "add", "--crl", str(by_middle))
    assert refused.code == 8
    assert "--issuer FILE" in refused.err
    assert deny(machine, "add", "--crl", str(by_middle), "--issuer", file(machine, "middle.pem")).code == 0
    rootset = RootStore(machine.sysroot).load()
    assert rootset.denied(MIDDLE.certificate)
    assert rootset.denied(LEAF.certificate)
    listed = deny(machine, "list")
    assert f"from: {by_root}" in listed.out
    assert deny(machine, "remove", "--source", str(by_root), "--yes").code == 0
    assert RootStore(machine.sysroot).load().denied(MIDDLE.certificate) is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("--key", "a" * 63), 2),
        (("--key", "a" * 64, "--certificate", "b" * 64), 2),
        (("--serial", "1a"), 2),
        (("--issuer-serial", "a" * 64), 2),
        (("--issuer-serial", "a" * 64 + "/xyz"), 2),
        (("leaf.pem", "--by", "name"), 2),
        (("leaf.pem", "--after", "tomorrow"), 2),
        (("leaf.pem", "--fingerprint", "a" * 64), 8),
        (("none.pem",), 3),
        (("--crl", "leaf.pem"), 1),
        (("--crl", "answer.ocsp"), 2),
        (("--crl", "empty.crl"), 3),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else None,
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_changed(
    machine: Machine, words: tuple[str, ...], code: int
) -> None:
    (machine.sysroot / "answer.ocsp").write_bytes(response(LEAF, MIDDLE).der)
    (machine.sysroot / "empty.crl").write_bytes(crl(ROOT).der)
    resolved = [file(machine, word) if word.endswith((".pem", ".crl", ".ocsp")) else word for word in words]
    assert deny(machine, "add", *resolved).code == code
    assert RootStore(machine.sysroot).load().deny == ()
    assert actions(machine) == []


def test_the_kernel_follows_where_roots_are_concerned_and_only_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[list[str], bool]] = []

    def take_effect(_out: Output, roots: RootSet, _sysroot: Path, *, wanted: bool) -> None:
        told.append(([root.name for root in roots.anchors()], wanted))

    monkeypatch.setattr(deny_module, "take_effect", take_effect)
    deny(machine, "add", file(machine, "leaf.pem"))
    deny(machine, "remove", LEAF.certificate.fingerprint, "--yes")
    assert told == []
    deny(machine, "add", file(machine, "root.pem"))
    deny(machine, "remove", ROOT.certificate.fingerprint, "--yes", "--no-apply")
    assert told == [([], True), (["acme"], False)]


def test_a_dry_run_changes_nothing_and_says_whom_it_would_concern(machine: Machine) -> None:
    said = deny(machine, "add", file(machine, "root.pem"), "--dry-run")
    assert "gpu0 will be rejected" in said.out
    assert "would add 1 of 1" in said.out
    assert RootStore(machine.sysroot).load().deny == ()


def test_what_is_denied_already_is_no_change(machine: Machine) -> None:
    words = ("add", file(machine, "leaf.pem"), "--detailed-exitcode")
    assert [deny(machine, *words).code for _ in range(2)] == [10, 0]


def test_removing_asks_and_takes_only_our_own(machine: Machine) -> None:
    deny(machine, "add", file(machine, "leaf.pem"))
    prefix = LEAF.certificate.fingerprint[:8]
    assert deny(machine, "remove", prefix).code == 8
    assert deny(machine, "remove", prefix, "--yes", "--json").envelope["changed"] is True
    assert RootStore(machine.sysroot).load().deny == ()
    theirs = machine.sysroot / RUN / "vendor.deny.yaml"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(render_deny([entry_about(LEAF.certificate, DenyKind.CERTIFICATE)]))
    refused = deny(machine, "remove", prefix, "--yes")
    assert refused.code == 8
    assert str(theirs) in refused.err
    assert actions(machine) == ["deny-add", "deny-remove"]


def test_an_entry_is_named_with_its_serial_number_where_an_issuer_has_several(machine: Machine) -> None:
    for number in ("1a", "1b"):
        deny(machine, "add", "--serial", number, "--issuer", file(machine, "middle.pem"))
    issuer = entry_about(LEAF.certificate, DenyKind.ISSUER_SERIAL).sha256[:8]
    ambiguous = deny(machine, "remove", issuer, "--yes")
    assert (ambiguous.code, "fits 2 entries" in ambiguous.err) == (2, True)
    assert deny(machine, "remove", f"{issuer}/1B", "--yes").code == 0
    assert [entry.serial for entry in RootStore(machine.sysroot).load().deny] == [0x1A]
    assert deny(machine, "remove", "abc", "--yes").code == 3


def test_the_list_fits_80_columns_and_shows_hashes_in_full(machine: Machine) -> None:
    assert "nothing is denied" in deny(machine, "list").out
    deny(machine, "add", "--serial", "1a", "--issuer", file(machine, "middle.pem"), "--after", "2027-01-31")
    said = deny(machine, "list")
    first, *rest = said.out.splitlines()
    assert HEX.search(first)
    assert len(first) <= 80
    assert "  serial number 1a" in rest
    assert "  only what was issued after 2027-01-31 00:00Z" in rest


def test_the_kernel_is_told_what_it_can_be_told_and_the_rest_is_admitted(machine: Machine) -> None:
    deny(machine, "add", file(machine, "middle.pem"), "--by", "key")
    deny(machine, "add", "--key", "a" * 64)
    said = deny(machine, "export")
    assert re.fullmatch(r"tbs:[0-9a-f]{64}\n", said.out)
    assert "entries without a line: 1;" in said.err
    assert "PKCS#7" in said.err
    target = machine.sysroot / "blacklist.txt"
    assert deny(machine, "export", "--format", "hash-list", "-o", str(target)).code == 0
    assert target.read_text() == f'"{said.out.strip()}",\n'
    assert deny(machine, "export", "--format", "pem").code == 2


def test_many_entries_go_into_the_journal_in_parts_and_come_back(machine: Machine) -> None:
    numbers = {2**100 + number: None for number in range(2_000)}
    (machine.sysroot / "big.crl").write_bytes(crl(ROOT, numbers).der)
    assert deny(machine, "add", "--crl", file(machine, "big.crl")).out.endswith("added 2000 of 2000\n")
    ledger = Ledger(RootStore(machine.sysroot), machine.sysroot / "var/lib/cmakeys")
    (recorded,) = ledger.transactions()
    assert len(recorded.entries) > 1
    assert len(recorded.transaction.deny_added) == 2_000
    assert ledger.journal.verify().intact
    undo = ledger.undoing(None, at=recorded.transaction.at, by="ada", reason="")
    assert ledger.commit(undo).deny == ()
