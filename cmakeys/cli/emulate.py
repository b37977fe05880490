"""`cmakeys emulate`: a CMA device in software, honest or not, for trying things out before the hardware is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import Json
from cmakeys.cli.output import Output, verb

if TYPE_CHECKING:
    from threading import Event

    from cmakeys.emulator.factory import Blueprint
    from cmakeys.emulator.faults import Fault
    from cmakeys.emulator.line import Seat
    from cmakeys.emulator.pki import VendorAuthority
    from cmakeys.emulator.server import Server
    from cmakeys.emulator.settings import MultiKey
    from cmakeys.spdm.algorithms import BaseAsym, PqcAsym
    from cmakeys.spdm.codes import CertificateModel

app = noun_app("Emulate a CMA device, honest or faulty, on a local port.")

Choice = TypeVar("Choice")

_MAX_SLOTS = 8
_MAX_DEVICES = 256
_POLL_SECONDS = 0.2


class TransportName(Enum):
    """How messages are framed on the port."""

    DOE = "doe"
    MCTP = "mctp"
    TCP = "tcp"
    NONE = "none"
    BARE_TCP = "bare-tcp"


class MultiKeyName(Enum):
    """What the device says of multi-key connections."""

    NO = "no"
    ONLY = "only"
    NEGOTIABLE = "negotiable"


@app.command()
def emulate(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:2323",
    transport: Annotated[
        TransportName, typer.Option("--transport", help="Framing of the emulator's socket, or SPDM over bare TCP.")
    ] = TransportName.DOE,
    vendor: Annotated[str, typer.Option("--vendor", help="The vendor in whose name the certificates are.")] = "Acme",
    serial: Annotated[str, typer.Option("--serial", help="The device's serial number.")] = "0001",
    identity: Annotated[
        str | None,
        typer.Option("--identity", metavar="NAME", help="The leaf's PCIe name, Vendor=…:Device=…; or 'none'."),
    ] = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", metavar="TYPE", help="Key type, as p384. Repeatable.")
    ] = None,
    hashes: Annotated[
        list[str] | None, typer.Option("--hash", metavar="NAME", help="Hash, as sha384. Repeatable; default: all.")
    ] = None,
    versions: Annotated[
        list[str] | None, typer.Option("--version", metavar="1.X", help="SPDM version. Repeatable; default: all.")
    ] = None,
    alias: Annotated[bool, typer.Option("--alias", help="Use alias certificates, which change with firmware.")] = False,
    slots: Annotated[int, typer.Option("--slots", min=1, max=_MAX_SLOTS, help="Number of slots with a chain.")] = 1,
    multi_key: Annotated[
        MultiKeyName, typer.Option("--multi-key", help="Multi-key connections, since 1.3.")
    ] = MultiKeyName.NO,
    firmware: Annotated[
        str, typer.Option("--firmware", metavar="TEXT", help="What is measured as the device's firmware.")
    ] = "firmware 1",
    svn: Annotated[int, typer.Option("--svn", min=0, max=0xFFFFFFFF, help="Secure version number.")] = 7,
    data_transfer_size: Annotated[
        int,
        typer.Option("--data-transfer-size", min=42, max=0x28000, metavar="BYTES", help="Largest single message."),
    ] = 0x1200,
    no_chunking: Annotated[bool, typer.Option("--no-chunking", help="Announce no chunking.")] = False,
    pqc_first: Annotated[bool, typer.Option("--pqc-first", help="Prefer post-quantum to classic signatures.")] = False,
    faults: Annotated[
        list[str] | None, typer.Option("--fault", metavar="NAME", help="Be faulty in this way. Repeatable.")
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Name the faults there are, and leave.")] = False,
    count: Annotated[
        int, typer.Option("--count", min=1, max=_MAX_DEVICES, help="Emulate so many devices, on consecutive ports.")
    ] = 1,
    pki_dir: Annotated[
        Path | None,
        typer.Option("--pki-dir", metavar="DIR", help="Keep root and keys in DIR: a restarted device is the same."),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option("--ready-file", metavar="FILE", help="Write the addresses to FILE, one a line, once listening."),
    ] = None,
    exit_on_shutdown: Annotated[
        bool, typer.Option("--exit-on-shutdown", help="Leave when the requester says SHUTDOWN, as DMTF's emulator.")
    ] = False,
    allow_other_hosts: Annotated[
        bool, typer.Option("--allow-other-hosts", help="Listen on another interface than the loopback one.")
    ] = False,
    json: Json = False,
) -> None:
    """Emulate a CMA device, honest or faulty, until interrupted.

    Its certificates are test certificates: enrol its root on test machines only.
    """
    with verb("emulate", json=json) as out:
        from dataclasses import replace

        from cmakeys.emulator.faults import find_faults
        from cmakeys.emulator.server import Server

        if list_faults:
            _list_faults(out)
            return
        chosen = find_faults(faults or ())
        host, port = _host_and_port(listen, count)
        blueprint = _blueprint(serial, identity, keys, hashes, versions)
        blueprint = replace(
            blueprint,
            model=_model(alias),
            slots=tuple(range(slots)),
            firmware=firmware.encode(),
            svn=svn,
            settings=replace(
                blueprint.settings,
                data_transfer_size=data_transfer_size,
                chunking=not no_chunking,
                multi_key=_multi_key(multi_key),
                algorithms=_algorithms(pqc_first),
            ),
        )
        authority, seats = _build(vendor, blueprint, chosen, transport, count, pki_dir)
        ports = range(port, port + count) if port else ()
        server = Server(
            seats,
            host=host,
            ports=tuple(ports),
            exit_on_shutdown=exit_on_shutdown,
            allow_other_hosts=allow_other_hosts,
        )
        with _interruption() as leaving, server:
            _announce(out, server, authority, blueprint, chosen, pki_dir)
            if ready_file is not None:
                _write_ready(ready_file, server)
            _serve(server, leaving)


def _list_faults(out: Output) -> None:
    from cmakeys.emulator.faults import FAULTS

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
    rows = [(fault.name, fault.expectation, fault.description) for fault in FAULTS.values()]
    out.table(("FAULT", "MUST BE", "WHAT THE DEVICE DOES"), rows)


def _host_and_port(listen: str, count: int) -> tuple[str, int]:
    from cmakeys.errors import UsageProblem

    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) + count - 1 > 0xFFFF:
        raise UsageProblem(
            "this is not HOST:PORT", object=listen, hint="as 127.0.0.1:2323; port 0 takes a free one for each device"
        )
    return host, int(port)


def _blueprint(
    serial: str, identity: str | None, keys: list[str] | None, hashes: list[str] | None, versions: list[str] | None
) -> Blueprint:
    """The parts of a device that are given by names."""
    from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint
    from cmakeys.emulator.keys import KeyType
    from cmakeys.emulator.settings import HASH_PRIORITY, DeviceSettings
    from cmakeys.errors import UsageProblem
    from cmakeys.spdm.codes import Version
    from cmakeys.x509.certificate import CertificateProblem
    from cmakeys.x509.identity import PciIdentity

    key_types = {key_type.value: key_type for key_type in KeyType}
    known_hashes = {_hash_name(one.name or ""): one for one in HASH_PRIORITY}
    known_versions = {str(version): version for version in Version}
    named: PciIdentity | None = DEFAULT_IDENTITY
    if identity is not None:
        try:
            named = None if identity == "none" else PciIdentity.parse(identity)
        except CertificateProblem as error:
            raise UsageProblem(error.message, object="--identity", hint=error.hint) from error
    settings = DeviceSettings(versions=tuple(sorted(_pick("--version", versions, known_versions) or tuple(Version))))
    if hashes:
        settings = DeviceSettings(versions=settings.versions, hashes=_pick("--hash", hashes, known_hashes))
    return Blueprint(
        serial=serial,
        identity=named,
        key_types=_pick("--key", keys, key_types) or (KeyType.ECDSA_P384,),
        settings=settings,
    )


def _hash_name(name: str) -> str:
    """SHA_384 is sha384 and SHA3_384 sha3-384."""
    return name.lower().replace("sha_", "sha").replace("_", "-")


def _pick(option: str, names: list[str] | None, known: Mapping[str, Choice]) -> tuple[Choice, ...]:
    from cmakeys.errors import UsageProblem

    for name in names or ():
        if name not in known:
            raise UsageProblem(f"{name} is not known", object=option, hint=f"one of {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names or ()))


def _model(alias: bool) -> CertificateModel:
    from cmakeys.spdm.codes import CertificateModel

    return CertificateModel.ALIAS if alias else CertificateModel.DEVICE


def _multi_key(name: MultiKeyName) -> MultiKey:
    from cmakeys.emulator.settings import MultiKey

    return {
        MultiKeyName.NO: MultiKey.NONE,
        MultiKeyName.ONLY: MultiKey.ONLY,
        MultiKeyName.NEGOTIABLE: MultiKey.NEGOTIABLE,
    }[name]


def _algorithms(pqc_first: bool) -> tuple[BaseAsym | PqcAsym, ...]:
    from cmakeys.emulator.settings import ASYM_PRIORITY, PQC_FIRST

    return PQC_FIRST if pqc_first else ASYM_PRIORITY


def _build(
    vendor: str,
    blueprint: Blueprint,
    faults: Sequence[Fault],
    transport: TransportName,
    count: int,
    pki_dir: Path | None,
) -> tuple[VendorAuthority, list[Seat]]:
    """The vendor and its devices; with a folder, the ones kept there."""
    from dataclasses import replace

    from cmakeys.emulator.factory import build_device, device_requests, line_fault
    from cmakeys.emulator.keystore import KeyStore
    from cmakeys.emulator.line import Seat
    from cmakeys.emulator.pki import VendorAuthority
    from cmakeys.transports.framing import Framing

    framing = {
        TransportName.DOE: Framing.PCI_DOE,
        TransportName.MCTP: Framing.MCTP,
        TransportName.NONE: Framing.NONE,
    }.get(transport, Framing.TCP)
    store = KeyStore(pki_dir) if pki_dir is not None else None
    key_type = blueprint.key_types[0]
    authority = store.vendor(vendor, key_type) if store else VendorAuthority.create(vendor, key_type)
    seats = []
    for number in range(count):
        one = replace(blueprint, serial=_serial(blueprint.serial, number))
        if store is not None:
            requests = device_requests(one)
            kept = {
                slot: tuple(store.device(authority, request, slot) for request in requests[slot]) for slot in requests
            }
            one = replace(one, credentials=kept)
        device = build_device(authority, one, faults)
        seats.append(Seat(device, framing, transport is TransportName.BARE_TCP, line_fault(faults)))
    return authority, seats


def _serial(serial: str, number: int) -> str:
    """The first device has the serial number given, the others have a number behind it."""
    return f"{serial}-{number}" if number else serial


def _announce(
    out: Output,
    server: Server,
    authority: VendorAuthority,
    blueprint: Blueprint,
    faults: Sequence[Fault],
    pki_dir: Path | None,
) -> None:
    root = authority.certificate
    name = blueprint.identity.san_string() if blueprint.identity else "none"
    urls = [place.url for place in server.places]
    out.data = {
        "addresses": urls,
        "root_sha256": root.fingerprint,
        "root_file": pki_dir / "root.pem" if pki_dir else None,
        "vendor": authority.name,
        "serials": [_serial(blueprint.serial, number) for number in range(len(urls))],
        "identity": name,
        "model": blueprint.model.name.lower(),
        "faults": [fault.name for fault in faults],
    }
    source = f"{pki_dir / 'root.pem'}" if pki_dir else f"--from-device '{urls[0]}'"
    lines = [
        *(f"listening on {url}" for url in urls),
        f"vendor       {authority.name}, serial {blueprint.serial}",
        f"keys         {', '.join(key_type.value for key_type in blueprint.key_types)},"
        f" {blueprint.model.name.lower()} certificates, slots {', '.join(map(str, blueprint.slots))}",
        f"PCIe name    {name}",
        f"root         sha256 {root.fingerprint}",
        *(f"fault        {fault.name}: {fault.description}; must be {fault.expectation}" for fault in faults),
        f"trust it     cmakeys roots add {source} --fingerprint {root.fingerprint}",
        f"check it     cmakeys check '{urls[0]}'",
    ]
    out.show(*lines)
    if out.json:
        for line in lines:
            out.say(line)


def _write_ready(path: Path, server: Server) -> None:
    """Appears whole: whoever waits for it reads all addresses."""
    from cmakeys.files import write_whole

    write_whole(path, "".join(f"{place.url}\n" for place in server.places).encode())


@contextmanager
def _interruption() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set instead of ending the program."""
    import signal
    import threading

    leaving = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    earlier = [signal.signal(number, lambda *_: leaving.set()) for number in signals]
    try:
        yield leaving
    finally:
        for number, handler in zip(signals, earlier, strict=True):
            signal.signal(number, handler)


def _serve(server: Server, leaving: Event) -> None:
    """Until interrupted, or until every device was shut down by its requester."""
    while not leaving.wait(_POLL_SECONDS) and not server.wait(0):
        pass
