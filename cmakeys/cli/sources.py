"""Where a root comes from that somebody names on the command line: a file, standard input, or a device.

Nobody has vouched for what comes from here: whoever takes it has to have its fingerprint confirmed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cmakeys.errors import Refused, Temporary, Unsupported, UsageProblem, from_oserror
from cmakeys.x509.bundle import MAX_CHAIN_SIZE, MAX_INPUT_SIZE, MAX_LARGE_CHAIN_SIZE, SpdmChain, read_certificates
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.chain import check_root_hash

DEVICE_TIMEOUT = 30.0
"""Seconds that a device may take to hand out its root."""


def root_certificate_from_device(url: str, trace: Path | None = None) -> Certificate:
    """The root that the device at `url` hands out. Nobody has vouched for it: whoever calls this has to ask.

    With `trace` the conversation is recorded in that new file.

    Raises what the way to the device raises, `ProtocolViolation` and `DeviceRefused` for what the device does, and
    `Refused` when its lowest slot holds a chain without its root.
    """
    from cmakeys.spdm.codes import Capability
    from cmakeys.spdm.effects import Flow, Resynchronise
    from cmakeys.spdm.requester import Requester
    from cmakeys.transports.base import Deadline
    from cmakeys.transports.connect import open_transport
    from cmakeys.transports.drive import drive
    from cmakeys.transports.tracing import Tracer

    requester = Requester()

    def lowest_chain() -> Flow[bytes]:
        yield from requester.connect()
        if not requester.connection.has(Capability.CERT):
            by_key = requester.connection.has(Capability.PUB_KEY_ID)
            hint = "it is identified by a provisioned public key: measure get --public-key FILE" if by_key else ""
            raise Unsupported("the device has no certificates", object=url, hint=hint)
        digests = yield from requester.digests()
        return (yield from requester.certificate(digests.slots[0]))

    deadline = Deadline.after(DEVICE_TIMEOUT)
    transport = Tracer(trace).reach(url, deadline) if trace is not None else open_transport(url, deadline)
    try:
        data = drive(lowest_chain(), transport, deadline)
    except Resynchronise:
        raise Temporary("the device forgot the connection", object=url, hint="try again") from None
    finally:
        transport.close()
    function = requester.connection.slots.hash
    if function is None:
        raise Unsupported("the device and this program have no hash in common", object=url)
    large = requester.connection.large_chains()
    chain = SpdmChain.parse(data, function.size, url, max_size=MAX_LARGE_CHAIN_SIZE if large else MAX_CHAIN_SIZE)
    first = chain.certificates[0]
    for fault in check_root_hash(chain.certificates, chain.root_hash, function.digest):
        raise Refused(fault.message, object=url, hint="get the root from the vendor: cmakeys roots add FILE")
    if not first.self_issued:
        raise Refused(
            f"the device's chain begins with {first.label}, which is not its root",
            object=url,
            hint=f"get the root from the vendor; its name is {first.issuer}",
        )
    return first


def certificates_from(file: str | None, from_device: str | None, trace: Path | None = None) -> tuple[Certificate, ...]:
    """The certificates of the one source that the command line names."""
    if (file is None) == (from_device is None):
        raise UsageProblem(
            "name one source: a file, - for stdin, or --from-device URL", hint="cmakeys roots add --help"
        )
    if from_device is not None:
        return (root_certificate_from_device(from_device, trace),)
    if file is None or file == "-":
        return read_certificates(sys.stdin.buffer.read(MAX_INPUT_SIZE + 1), source_of(file))
    try:
        with Path(file).open("rb") as stream:
            return read_certificates(stream.read(MAX_INPUT_SIZE + 1), file)
    except OSError as error:
        raise from_oserror(error, file) from error


def source_of(file: str | None) -> str:
    """What provenance calls the file."""
    return "stdin" if file in (None, "-") else str(file)
