"""Roots and certificates for a reader: the lines a person compares before saying yes, and the same as JSON data.

Whatever decides something is shown in full: a fingerprint is never shortened where somebody might compare it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cmakeys.reports.deny import deny_data
from cmakeys.reports.layout import wrap
from cmakeys.roots.directory import StoreReport
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.record import render_constraints
from cmakeys.roots.root import Constraints, Root, Rotation
from cmakeys.x509.certificate import Certificate, CertificateProblem


def certificate_data(certificate: Certificate) -> dict[str, object]:
    """What identifies a certificate."""
    return {
        "sha256": certificate.fingerprint,
        "spki_sha256": _spki(certificate),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "never_expires": certificate.never_expires,
        "key": certificate.key_description,
    }


def certificate_lines(certificate: Certificate) -> list[str]:
    """A certificate as a person has to see it before trusting it."""
    lines = [
        f"subject      {certificate.subject or '(empty)'}",
        f"issuer       {'itself' if certificate.self_issued else certificate.issuer or '(empty)'}",
        f"valid        {certificate.not_before:%Y-%m-%d} to {expiry(certificate)}",
        f"key          {certificate.key_description}",
        f"sha256       {certificate.fingerprint}",
    ]
    return [part for line in lines for part in _fitted(line)]


def _fitted(line: str) -> list[str]:
    """A line with a label, in as many as its text takes; the description of a key is to be copied, and stays whole."""
    if line.startswith("kernel key"):
        return [line]
    return wrap(line[_LABEL:], line[:_LABEL], " " * _LABEL)


_LABEL = 13
"""Cells of a label."""


def expiry(certificate: Certificate) -> str:
    """The day on which a certificate ends, or `never`."""
    return "never" if certificate.never_expires else f"{certificate.not_after:%Y-%m-%d}"


def root_data(root: Root, report: StoreReport | None = None) -> dict[str, object]:
    """A root as data; with the report of the store also where it lies and whether it is in effect."""
    data: dict[str, object] = {
        "name": root.name,
        "state": root.state,
        **certificate_data(root.certificate),
        "description": root.description,
        "constraints": constraints_data(root.constraints),
        "distrust_after": root.distrust_after,
        "rotation": rotation_record_data(root.rotation),
        "provenance": {
            "source": root.provenance.source,
            "added_at": root.provenance.added_at,
            "added_by": root.provenance.added_by,
            "reason": root.provenance.reason,
            "catalogue": root.provenance.catalogue,
        },
    }
    if report is not None:
        denied = report.root_set.denied(root.certificate)
        data["directory"] = place(root, report)
        data["denied"] = denied and deny_data(denied)
        data["anchor"] = report.root_set.is_anchor(root)
    return data


def rotation_record_data(rotation: Rotation | None) -> dict[str, object] | None:
    """What a root's record says of its rotation."""
    if rotation is None:
        return None
    return {
        "successor": rotation.successor,
        "started": rotation.started,
        "overlap_until": rotation.overlap_until,
        "successor_was": rotation.successor_was,
    }


def root_lines(root: Root, report: StoreReport) -> list[str]:
    """Everything about a root, for a person."""
    denied, lost = report.root_set.denied(root.certificate), _lost_with(root, report)
    provenance = root.provenance
    lines = [
        f"name         {root.name}",
        f"state        {root.state.value}",
        *([f"DENIED       by its {denied.kind.value}: {denied.reason or 'no reason given'}"] if denied else []),
        *([f"DISTRUSTED   its key, with the root {lost.name}"] if lost else []),
        *certificate_lines(root.certificate),
        f"key sha256   {_spki(root.certificate) or '(the key cannot be read)'}",
        *(f"{'only for' if not index else '':<12} {text}" for index, text in enumerate(limits(root.constraints))),
        f"leaf name    {root.constraints.leaf_name.value}",
    ]
    if root.distrust_after is not None:
        lines.append(f"distrusted   leaves issued after {_moment(root.distrust_after)}")
    if root.rotation is not None:
        lines += _rotation_lines(root, report)
    lines += [f"kernel key   {root.description}", f"directory    {place(root, report)}"]
    for label, text in (
        ("source", provenance.source),
        ("added", _moment(provenance.added_at) if provenance.added_at else ""),
        ("added by", provenance.added_by),
        ("reason", provenance.reason),
        ("catalogue", provenance.catalogue),
    ):
        if text:
            lines.append(f"{label:<12} {text}")
    return [part for line in lines for part in _fitted(line)]


def _overruled(root: Root, report: StoreReport) -> list[str]:
    """What keeps a root from being believed, whatever its own state is."""
    if report.root_set.denied(root.certificate) is not None:
        return ["denied"]
    return ["key distrusted"] if _lost_with(root, report) is not None else []


def _lost_with(root: Root, report: StoreReport) -> Root | None:
    """The other root by which this one's key is distrusted, where its own state says nothing of that."""
    return report.root_set.distrusting(root.certificate) if root.state is not LifeCycle.DISTRUSTED else None


def _replaced_by(root: Root, report: StoreReport) -> list[str]:
    if root.rotation is None:
        return []
    # Only a rotated root needs the rules of rotation, and their modules cost a list as much as its roots do.
    from cmakeys.roots.rotation import successor_of, under_way

    successor = successor_of(root, report.root_set) if under_way(root) is not None else None
    return [f"replaced by {successor.name}"] if successor is not None else []


def _rotation_lines(root: Root, report: StoreReport) -> list[str]:
    rotation = root.rotation
    if rotation is None:
        return []
    from cmakeys.roots.rotation import successor_of, under_way

    successor = successor_of(root, report.root_set)
    name = f"{successor.name} ({successor.state.value})" if successor else f"{rotation.successor}, which is not here"
    if under_way(root) is None:
        return [f"rotation     to {name}, started {_moment(rotation.started)}"]
    return [
        f"replaced by  {name}, since {_moment(rotation.started)}",
        f"overlap      until {_moment(rotation.overlap_until)}, then: cmakeys roots rotate {root.name} --finish",
    ]


def root_row(root: Root, report: StoreReport) -> tuple[str, ...]:
    """A root as one row of a table; the header is `ROOT_COLUMNS`."""
    return (
        root.name,
        ", ".join([root.state.value, *_overruled(root, report), *_replaced_by(root, report)]),
        root.certificate.key_description,
        expiry(root.certificate),
        root.fingerprint,
        place(root, report),
    )


ROOT_COLUMNS = ("name", "state", "key", "expires", "sha256", "directory")


def place(root: Root, report: StoreReport) -> str:
    """The directory in which the root in effect lies."""
    return str(report.places[root.name][0])


def limits(constraints: Constraints) -> list[str]:
    """What a root is restricted to, one kind a line, without the leaf name."""
    words = render_constraints(constraints)
    return [
        f"{kind.replace('-', ' ')} {', '.join(str(value) for value in values)}"
        for kind, values in words.items()
        if isinstance(values, list)
    ]


def constraints_data(constraints: Constraints) -> dict[str, object]:
    """What a root is restricted to; empty lists restrict nothing."""
    return {
        "pci_vendors": [f"{number:04x}" for number in sorted(constraints.pci_vendors)],
        "pci_devices": [f"{number:04x}" for number in sorted(constraints.pci_devices)],
        "classes": constraints.classes,
        "slots": sorted(constraints.slots),
        "algorithms": constraints.algorithms,
        "versions": constraints.versions,
        "leaf_name": constraints.leaf_name,
    }


def _spki(certificate: Certificate) -> str | None:
    try:
        return certificate.spki_fingerprint
    except CertificateProblem:
        return None


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}Z"
