"""A signed bundle for a reader: who signed it and how long it holds, and what importing it would change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cmakeys.reports.declaration import change_data
from cmakeys.reports.deny import deny_data, deny_lines
from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.roots import constraints_data, limits
from cmakeys.reports.terminal import Tone
from cmakeys.roots.bundle_acceptance import Acceptance
from cmakeys.roots.bundle_import import BundleImport
from cmakeys.roots.root import Constraints, Root
from cmakeys.roots.signed_bundle import Bundle, BundledRoot, SignedBundle, time_text
from cmakeys.roots.signer import Signers
from cmakeys.roots.transaction import Transition
from cmakeys.wording import counted


def signed_report(signed: SignedBundle) -> list[Line]:
    """A bundle that was just written or signed, whether it is complete or not."""
    good = signed.bundle.signers.signed(signed.message, signed.signatures)
    lines = _head(signed.bundle, good)
    strangers = len(signed.signatures.keys() - good)
    if strangers:
        lines.append(Line(f"  and by     {strangers} that the bundle before it may name"))
    return lines


def acceptance_report(found: Acceptance) -> list[Line]:
    """Who signed a bundle that holds, and until when it does."""
    lines = _head(found.bundle, found.signed)
    if found.rotated:
        lines.append(Line("  other keys than before sign the next one", Tone.WARNING))
    for text in found.uncounted:
        lines += [Line(line, Tone.WARNING) for line in wrap(text, "  not counted: ", "    ")]
    return lines


def import_report(plan: BundleImport) -> list[Line]:
    """What an import would change, as a diff: the whole fingerprint of whatever comes."""
    lines = [*acceptance_report(plan.acceptance), Line("")]
    changes = plan.transaction.effective
    lines += [line for change in changes for line in _change(change)]
    for entry in plan.transaction.deny_added:
        _, *details = deny_lines(entry)
        lines += [Line(f"+ deny {entry.kind.value}", Tone.BAD), Line(f"    {entry.sha256}")]
        lines += [Line(f"    {shorten(text.strip(), WIDTH - 4)}") for text in details]
    lines += [Line(f"! {root.name}: believed no longer, a deny entry comes", Tone.BAD) for root in plan.denied]
    for passed in plan.passed:
        lines += [
            Line(text, Tone.WARNING) for text in wrap(f"{passed.root.name} is passed over: {passed.why}", "! ", "    ")
        ]
    pruned = {change.root.name for change in changes}
    for root in plan.dropped:
        if root.name not in pruned:
            said = f"{root.name} is no longer in it, and stays {root.state.value}; --prune lets it go"
            lines += [Line(text, Tone.WARNING) for text in wrap(said, "! ", "    ")]
    if not plan.changes:
        lines.append(Line("nothing of it changes what is trusted here", Tone.GOOD))
    return lines


def bundle_data(bundle: Bundle, digest: str) -> dict[str, object]:
    """What a bundle says of itself, as data."""
    return {
        "name": bundle.name,
        "version": bundle.version,
        "digest": digest,
        "issued": bundle.issued,
        "expires": bundle.expires,
        "signers": {
            "threshold": bundle.signers.threshold,
            "keys": [{"id": key.id, "algorithm": key.algorithm} for key in bundle.signers.keys],
        },
        "roots": [_root_data(root) for root in bundle.roots],
        "deny": [deny_data(entry) for entry in bundle.deny],
    }


def signed_data(signed: SignedBundle) -> dict[str, object]:
    """A bundle that was just written or signed; `complete` says whether its own threshold is met."""
    good = signed.bundle.signers.signed(signed.message, signed.signatures)
    return {
        **bundle_data(signed.bundle, signed.digest),
        "signatures": sorted(signed.signatures),
        "complete": len(good) >= signed.bundle.signers.threshold,
    }


def acceptance_data(found: Acceptance) -> dict[str, object]:
    """A bundle that holds, as data."""
    return {
        **bundle_data(found.bundle, found.digest),
        "signed": found.signed,
        "not_counted": list(found.uncounted),
        "repeated": found.repeated,
        "rotated": found.rotated,
    }


def import_data(plan: BundleImport, *, dry_run: bool) -> dict[str, object]:
    """What an import changes, as data."""
    return {
        **acceptance_data(plan.acceptance),
        "dry_run": dry_run,
        "changes": [change_data(change) for change in plan.transaction.effective],
        "deny_added": [deny_data(entry) for entry in plan.transaction.deny_added],
        "dropped": [_name_data(root) for root in plan.dropped],
        "denied": [_name_data(root) for root in plan.denied],
        "passed_over": [
            {"name": passed.root.name, "sha256": passed.root.fingerprint, "why": passed.why} for passed in plan.passed
        ],
        "digest_before": plan.before.digest,
        "digest_after": plan.after.digest,
    }


def _head(bundle: Bundle, signed: frozenset[str]) -> list[Line]:
    signers = bundle.signers
    deny_entries = counted(len(bundle.deny), "deny entry", "deny entries")
    return [
        Line(f"bundle {bundle.name}, version {bundle.version}"),
        Line(f"  issued     {time_text(bundle.issued)}"),
        Line(f"  expires    {time_text(bundle.expires)}"),
        Line(f"  holds      {counted(len(bundle.roots), 'root')}, {deny_entries}"),
        Line(
            f"  signed by  {len(signed)} of {counted(len(signers.keys), 'key')}, {signers.threshold} needed",
            Tone.GOOD if len(signed) >= signers.threshold else Tone.WARNING,
        ),
        *_key_lines(signers, signed),
    ]


def _change(change: Transition) -> list[Line]:
    before, after = change.before, change.after
    if before is None or after is None:
        root = change.root
        mark, tone = ("+", Tone.GOOD) if before is None else ("-", Tone.BAD)
        return [
            Line(f"{mark} {root.name} {root.state.value}", tone),
            Line(f"    {shorten(root.certificate.subject, WIDTH - 4)}"),
            Line(f"    sha256 {root.fingerprint}"),
            *_may(root.constraints),
            *_until(root.distrust_after),
        ]
    words = []
    if before.state is not after.state:
        words.append(f"{before.state.value} becomes {after.state.value}")
    if before.constraints != after.constraints:
        words.append("other constraints")
    if before.distrust_after != after.distrust_after:
        words.append("another day of distrust")
    return [
        Line(f"~ {after.name}: {'; '.join(words)}", Tone.WARNING),
        *(_both(_may(before.constraints), _may(after.constraints))),
        *(_both(_until(before.distrust_after), _until(after.distrust_after))),
    ]


def _both(before: list[Line], after: list[Line]) -> list[Line]:
    """Lines that differ, those of before and those of after; nothing where they are the same."""
    if before == after:
        return []
    return [
        *(Line(f"  - {line.text[4:]}", Tone.BAD) for line in before),
        *(Line(f"  + {line.text[4:]}", Tone.GOOD) for line in after),
    ]


def _may(constraints: Constraints) -> list[Line]:
    """What a root may vouch for."""
    found = [f"only for {limit}" for limit in limits(constraints)] or ["for any device"]
    found.append(f"leaf name {constraints.leaf_name.value}")
    return [Line(line) for text in found for line in wrap(text, "    ", "      ")]


def _until(day: datetime | None) -> list[Line]:
    return [] if day is None else [Line(f"    no leaf issued after {time_text(day)}")]


def _key_lines(signers: Signers, signed: frozenset[str]) -> Sequence[Line]:
    return [
        Line(f"    {'+' if key.id in signed else '-'} {key.algorithm or 'unknown'} {key.id}") for key in signers.keys
    ]


def _root_data(root: BundledRoot) -> dict[str, object]:
    return {
        "name": root.name,
        "sha256": root.fingerprint,
        "subject": root.certificate.subject,
        "constraints": constraints_data(root.constraints),
        "distrust_after": root.distrust_after,
    }


def _name_data(root: Root) -> dict[str, object]:
    return {"name": root.name, "sha256": root.fingerprint, "state": root.state}
