"""`cmakeys emulate`: a CMA device in software, honest or not, for trying things out before the hardware is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.emulate_key import without_certificates, write_public_key
from cmakeys.cli.emulate_report import announce, list_faults_there_are, serial_of
from cmakeys.cli.emulate_sessions import (
    AeadOption,
    BasicOption,
    ChainOption,
    ClearOption,
    GroupOption,
    HeartbeatOption,
    KeyUpdateOption,
    LimitOption,
    MutualName,
    MutualOption,
    PskContextOption,
    PskOption,
    RequiredOption,
    RootOption,
    SessionOptions,
    SessionsName,
    SessionsOption,
    pick,
)
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import Json
from cmakeys.cli.output import verb

if TYPE_CHECKING:
    from threading import Event

    from cmakeys.emulator.disclosure_settings import Disclosures
    from cmakeys.emulator.factory import Blueprint
    from cmakeys.emulator.faults import Fault
    from cmakeys.emulator.line import Seat
    from cmakeys.emulator.pki import VendorAuthority
    from cmakeys.emulator.server import Server
    from cmakeys.emulator.settings import MultiKey
    from cmakeys.spdm.algorithms import BaseAsym, PqcAsym
    from cmakeys.spdm.codes import CertificateModel

app = noun_app("Emulate a CMA device, honest or faulty, on a local port.")

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
    talkative: Annotated[
        bool, typer.Option("--talkative", help="Tell all there is: log, endpoint, key pairs, events, IDE, TDISP.")
    ] = False,
    trusted_place: Annotated[
        bool, typer.Option("--trusted-place", help="Take chains for slot 0 and outside a session, with --talkative.")
    ] = False,
    provisioned_key: Annotated[
        Path | None,
        typer.Option("--provisioned-key", metavar="FILE", help="Show no certificates; write the public key to FILE."),
    ] = None,
    firmware: Annotated[
        str, typer.Option("--firmware", metavar="TEXT", help="What is measured as the device's firmware.")
    ] = "firmware 1",
    svn: Annotated[int, typer.Option("--svn", min=0, max=0xFFFFFFFF, help="Secure version number.")] = 7,
    data_transfer_size: Annotated[
        int,
        typer.Option("--data-transfer-size", min=42, max=0x28000, metavar="BYTES", help="Largest single message."),
    ] = 0x1200,
    no_chunking: Annotated[bool, typer.Option("--no-chunking", help="Announce no chunking.")] = False,
    pqc_first: Annotated[bool, typer.Option("--pqc-first", help="Prefer post-quantum to classic algorithms.")] = False,
    sessions: SessionsOption = SessionsName.ENCRYPTED,
    clear_handshake: ClearOption = False,
    groups: GroupOption = None,
    aeads: AeadOption = None,
    psk_file: PskOption = None,
    psk_without_context: PskContextOption = False,
    heartbeat: HeartbeatOption = 0,
    no_key_update: KeyUpdateOption = False,
    session_limit: LimitOption = 4,
    mutual: MutualOption = MutualName.NO,
    basic_mutual: BasicOption = False,
    mutual_required: RequiredOption = False,
    requester_roots: RootOption = None,
    requester_chain: ChainOption = None,
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
            list_faults_there_are(out)
            return
        chosen = find_faults(faults or ())
        host, port = _host_and_port(listen, count)
        options = SessionOptions(
            sessions,
            clear_handshake,
            groups,
            aeads,
            psk_file,
            psk_without_context,
            heartbeat,
            no_key_update,
            session_limit,
            mutual,
            basic_mutual,
            mutual_required,
            requester_roots,
            requester_chain,
            pqc_first,
        )
        blueprint = options.provision(_blueprint(serial, identity, keys, hashes, versions))
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
                disclosures=_disclosures(talkative=talkative, trusted_place=trusted_place),
                sessions=options.settings(records=transport is not TransportName.NONE),
            ),
        )
        if provisioned_key is not None:
            blueprint = without_certificates(blueprint, count)
        authority, seats = _build(vendor, blueprint, chosen, transport, count, pki_dir)
        ports = range(port, port + count) if port else ()
        server = Server(
            seats,
            host=host,
            ports=tuple(ports),
            exit_on_shutdown=exit_on_shutdown,
            allow_other_hosts=allow_other_hosts,
        )
        if provisioned_key is not None:
            write_public_key(provisioned_key, seats[0])
        with _interruption() as leaving, server:
            announce(out, server, authority, blueprint, chosen, pki_dir, provisioned_key)
            if ready_file is not None:
                _write_ready(ready_file, server)
            _serve(server, leaving)


def _host_and_port(listen: str, count: int) -> tuple[str, int]:
    from cmakeys.errors import UsageProblem

    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) + count - 1 > 0xFFFF:
        raise UsageProblem(
            "this is not HOST:PORT", object=listen, hint="as 127.0.0.1:2323; port 0 takes a free one for each device"
        )
    return host, int(port)


def _disclosures(*, talkative: bool, trusted_place: bool) -> Disclosures | None:
    from cmakeys.emulator.disclosure_settings import Disclosures
    from cmakeys.errors import UsageProblem

    if trusted_place and not talkative:
        raise UsageProblem("nothing takes a chain without --talkative", object="--trusted-place")
    return Disclosures(trusted_place=trusted_place) if talkative else None


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
    settings = DeviceSettings(versions=tuple(sorted(pick("--version", versions, known_versions) or tuple(Version))))
    if hashes:
        settings = DeviceSettings(versions=settings.versions, hashes=pick("--hash", hashes, known_hashes))
    return Blueprint(
        serial=serial,
        identity=named,
        key_types=pick("--key", keys, key_types) or (KeyType.ECDSA_P384,),
        settings=settings,
    )


def _hash_name(name: str) -> str:
    """SHA_384 is sha384 and SHA3_384 sha3-384."""
    return name.lower().replace("sha_", "sha").replace("_", "-")


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
        one = replace(blueprint, serial=serial_of(blueprint.serial, number))
        if store is not None:
            requests = device_requests(one)
            kept = {
                slot: tuple(store.device(authority, request, slot) for request in requests[slot]) for slot in requests
            }
            one = replace(one, credentials=kept)
        device = build_device(authority, one, faults)
        seats.append(Seat(device, framing, transport is TransportName.BARE_TCP, line_fault(faults)))
    return authority, seats


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
