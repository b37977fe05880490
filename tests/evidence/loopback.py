"""A transport straight into an emulated device, and evidence from one: no socket, no wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

from cmakeys.emulator.conversation import Conversation
from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.lies.lie import Lie, Lies
from cmakeys.emulator.measurements import MeasurementSet, standard_measurements
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest, VendorAuthority
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.evidence.live import Question, collect
from cmakeys.evidence.model import Evidence
from cmakeys.spdm.codes import CertificateModel, ErrorCode, RequestCode, Version
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.secured import Binding
from cmakeys.transports.base import Deadline, TransportTimeout
from cmakeys.x509.identity import PciIdentity

IDENTITY = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100, 0x0123456789ABCDEF)
NOW = datetime(2040, 1, 1, 12, tzinfo=UTC)
ADDRESS = "emu://127.0.0.1:2323?transport=doe"


@dataclass
class Loopback:
    """A `Transport` to a device in this process; `silent_after` messages it no longer answers."""

    device: Device
    silent_after: int | None = None
    padding: bytes = b""
    asked: list[bytes] = field(default_factory=list)
    closed: bool = False

    @property
    def address(self) -> str:
        return ADDRESS

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        deadline.require("to ask", self.address)
        self.asked.append(message)
        answer = self.device.respond(message, secured=secured, binding=Binding.PCI_DOE)
        if answer is None or (self.silent_after is not None and len(self.asked) > self.silent_after):
            raise TransportTimeout("no answer in time", object=self.address)
        return answer + self.padding

    def close(self) -> None:
        self.closed = True


class Answers(Lie):
    """Answers one request with an ERROR, always."""

    def __init__(self, request: RequestCode, error: ErrorCode) -> None:
        self.request = request
        self.error = error

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        if request[1] != self.request:
            return None
        return ErrorResponse(Version(request[0]), self.error, 0).push()


def vendor(name: str = "Acme") -> VendorAuthority:
    return _vendor(name)


@cache
def _vendor(name: str) -> VendorAuthority:
    return VendorAuthority.create(name)


@cache
def credentials(
    request: DeviceRequest | None = None, authority: str = "Acme", *, alias: bool = False
) -> DeviceCredentials:
    model = CertificateModel.ALIAS if alias else CertificateModel.DEVICE
    return vendor(authority).issue_device(request or DeviceRequest("0001", IDENTITY, KeyType.ECDSA_P384, model))


def device(
    chain: DeviceCredentials | None = None,
    *lies: Lie,
    settings: DeviceSettings | None = None,
    measurements: MeasurementSet | None = None,
) -> Device:
    return Device(
        Hardware(
            {0: (chain or credentials(),)},
            settings or DeviceSettings(),
            measurements or standard_measurements(),
            Lies(lies),
        )
    )


def attest(
    emulated: Device | None = None,
    *,
    identity: PciIdentity | None = IDENTITY,
    question: Question | None = None,
    known_chains: Mapping[bytes, bytes] | None = None,
) -> Evidence:
    """The evidence of one conversation with a device."""
    return collect(
        Loopback(emulated or device()),
        Deadline.after(30),
        now=NOW,
        question=question,
        known_chains=known_chains,
        identity=identity,
    )
