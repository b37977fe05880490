"""What `cmakeys emulate` says: the faults there are, and at the start who can be reached where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from cmakeys.cli.output import Output

if TYPE_CHECKING:
    from cmakeys.emulator.factory import Blueprint
    from cmakeys.emulator.faults import Fault
    from cmakeys.emulator.pki import VendorAuthority
    from cmakeys.emulator.server import Server


def list_faults_there_are(out: Output) -> None:
    """Every fault with what a check must make of it."""
    from cmakeys.emulator.faults import FAULTS
    from cmakeys.reports.layout import wrap

    out.data = [
        {
            "name": fault.name,
            "description": fault.description,
            "where": fault.where,
            "outcome": fault.outcome,
            "step": fault.step,
            "since": str(fault.since),
        }
        for fault in FAULTS.values()
    ]
    for fault in FAULTS.values():
        out.show(
            *wrap(f"{fault.name}: must be {fault.expectation}", "", "  "), *wrap(fault.description, "    ", "    ")
        )


def announce(
    out: Output,
    server: Server,
    authority: VendorAuthority,
    blueprint: Blueprint,
    faults: Sequence[Fault],
    pki_dir: Path | None,
    provisioned_key: Path | None,
) -> None:
    """Where the devices listen, who they are, and the commands that trust and check them."""
    root = authority.certificate
    name = blueprint.identity.san_string() if blueprint.identity else "none"
    urls = [place.url for place in server.places]
    out.data = {
        "addresses": urls,
        "root_sha256": root.fingerprint if provisioned_key is None else None,
        "root_file": pki_dir / "root.pem" if pki_dir else None,
        "vendor": authority.name,
        "serials": [serial_of(blueprint.serial, number) for number in range(len(urls))],
        "identity": name,
        "model": blueprint.model.name.lower(),
        "public_key_file": provisioned_key,
        "sessions": _protection(blueprint),
        "faults": [fault.name for fault in faults],
    }
    model = f"{blueprint.model.name.lower()} certificates, slots {', '.join(map(str, blueprint.slots))}"
    lines = [
        *(f"listening on {url}" for url in urls),
        f"vendor       {authority.name}, serial {blueprint.serial}",
        f"keys         {', '.join(key_type.value for key_type in blueprint.key_types)},"
        f" {'no certificates' if provisioned_key else model}",
        f"PCIe name    {name}",
        f"sessions     {_sessions_line(blueprint)}",
        *(() if provisioned_key else (f"root         sha256 {root.fingerprint}",)),
        *(f"fault        {fault.name}: {fault.description}; must be {fault.expectation}" for fault in faults),
        *_advice(urls[0], root.fingerprint, pki_dir, provisioned_key),
    ]
    out.show(*lines)
    if out.json:
        for line in lines:
            out.say(line)


def _advice(url: str, root_sha256: str, pki_dir: Path | None, provisioned_key: Path | None) -> tuple[str, ...]:
    """The commands that trust the device and check it."""
    if provisioned_key:
        return (f"check it     cmakeys check --public-key {quote(str(provisioned_key))} '{url}'",)
    source = f"{pki_dir / 'root.pem'}" if pki_dir else f"--from-device '{url}'"
    return (
        f"trust it     cmakeys roots add {source} --fingerprint {root_sha256}",
        f"check it     cmakeys check '{url}'",
    )


def serial_of(serial: str, number: int) -> str:
    """The first device has the serial number given, the others have a number behind it."""
    return f"{serial}-{number}" if number else serial


def _protection(blueprint: Blueprint) -> str:
    """How the records of sessions are protected, by the word of the option."""
    sessions = blueprint.settings.sessions
    if sessions is None:
        return "no"
    return "encrypted" if sessions.encrypt else "mac"


def _sessions_line(blueprint: Blueprint) -> str:
    sessions = blueprint.settings.sessions
    if sessions is None:
        return "none"
    parts = ["encrypted" if sessions.encrypt else "MAC only"]
    if blueprint.psks:
        parts.append(f"{len(blueprint.psks)} pre-shared key{'s' if len(blueprint.psks) > 1 else ''}")
    if sessions.heartbeat:
        parts.append(f"heartbeat {sessions.heartbeat} s")
    if sessions.mutual.value or sessions.basic_mutual:
        roots = len(blueprint.requester_roots)
        whom = "takes anyone" if not roots else f"takes those of {roots} root{'s' if roots > 1 else ''}"
        parts.append(f"asks who its requester is, {whom}")
    return ", ".join(parts)
