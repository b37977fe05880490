"""Asking a device for more than attestation needs; each flow raises as those of `cmakeys.spdm.requester` do.

The flows run on the connection, or on a session's own requester and then through its `protect`. A device that did not
announce a capability is not asked (`NotOffered`). Nothing here changes a device.
"""

from __future__ import annotations

from collections.abc import Callable

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY_SHORT
from cmakeys.spdm.codes import NONCE_LENGTH, Capability, RequestCode, Version
from cmakeys.spdm.effects import Flow
from cmakeys.spdm.inventory import SINCE
from cmakeys.spdm.messages.endpoint_info import (
    ClassIdentifier,
    EndpointInfo,
    GetEndpointInfo,
    pull_class_identifiers,
)
from cmakeys.spdm.messages.events import GetSupportedEventTypes, SupportedEventTypes
from cmakeys.spdm.messages.extension_log import (
    GetMeasurementExtensionLog,
    LogEntry,
    MeasurementExtensionLog,
)
from cmakeys.spdm.messages.key_pairs import GetKeyPairInfo, KeyPairInfo
from cmakeys.spdm.messages.provisioning import Csr, GetCsr
from cmakeys.spdm.messages.vendor_defined import Vendor, VendorDefinedRequest, VendorDefinedResponse
from cmakeys.spdm.pci_sig import PCI_SIG, IdeQuery, IdeQueryResponse, get_tdisp_version, pull_tdisp_versions
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.violation import STEP_NEGOTIATION, ProtocolViolation, decoded
from cmakeys.spdm.wire import Reader

LOG_PORTION = 0x1000
"""Bytes of the log that one request asks for."""


class NotOffered(EvidenceProblem):
    """The device did not announce that it can answer this."""

    code = "not-offered"


def _require(requester: Requester, code: RequestCode, *flags: Capability) -> Version:
    connection = requester.connection
    version = connection.version or Version.V10
    if version < SINCE[code]:
        raise NotOffered(f"{code.name} came with SPDM {SINCE[code]}, the device speaks {version}", object=code.name)
    if flags and not connection.has(*flags):
        raise NotOffered(
            f"the device does not answer {code.name}: {' or '.join(str(flag.name) for flag in flags)} is not set",
            object=code.name,
        )
    return version


def extension_log(requester: Requester) -> Flow[tuple[LogEntry, ...]]:
    """The whole measurement extension log."""
    code = RequestCode.GET_MEASUREMENT_EXTENSION_LOG
    version = _require(requester, code, Capability.MEL)
    inventory = requester.connection.inventory
    offset = 0
    for _ in range(requester.limits.portions):
        request = GetMeasurementExtensionLog(version, offset, LOG_PORTION)
        answer = yield from requester.delivery.ask(code, request.push)
        assert isinstance(answer, MeasurementExtensionLog)  # noqa: S101 (the inventory's table says so)
        offset += len(answer.portion)
        if inventory.log is not None:
            return inventory.log
    raise ProtocolViolation(
        f"the log did not end within {requester.limits.portions} portions", step=STEP_NEGOTIATION, object=code.name
    )


def endpoint_info(requester: Requester, slot: int = 0, *, signed: bool = True) -> Flow[tuple[ClassIdentifier, ...]]:
    """What class of device it says it is; `connection.endpoint_info` then holds what it signed."""
    code = RequestCode.GET_ENDPOINT_INFO
    wanted = Capability.EP_INFO_SIGNED if signed else Capability.EP_INFO_UNSIGNED
    version = _require(requester, code, Capability.EP_INFO_SIGNED, wanted)

    def build() -> bytes:
        nonce = requester.entropy(NONCE_LENGTH) if signed else b""
        return GetEndpointInfo(version, slot & SLOT_PROVISIONED_KEY_SHORT if signed else 0, nonce).push()

    answer = yield from requester.delivery.ask(code, build)
    assert isinstance(answer, EndpointInfo)  # noqa: S101 (as above)
    return decoded(code, lambda: pull_class_identifiers(answer.information))


def key_pairs(requester: Requester) -> Flow[tuple[KeyPairInfo, ...]]:
    """Every key pair that the device has."""
    code = RequestCode.GET_KEY_PAIR_INFO
    version = _require(requester, code, Capability.GET_KEY_PAIR_INFO)
    found: list[KeyPairInfo] = []
    number = total = 1
    while number <= total:
        request = GetKeyPairInfo(version, number)
        answer = yield from requester.delivery.ask(code, request.push)
        assert isinstance(answer, KeyPairInfo)  # noqa: S101 (as above)
        if found and answer.total != total:
            raise ProtocolViolation(
                f"the device had {total} key pairs and now has {answer.total}",
                step=STEP_NEGOTIATION,
                object=f"answer to {code.name}",
            )
        total = answer.total
        found.append(answer)
        number += 1
    return tuple(found)


def certificate_request(requester: Requester, question: Callable[[Version], GetCsr] = GetCsr) -> Flow[bytes]:
    """A certificate signing request in DER, as it came. `question` makes the GET_CSR for the negotiated version."""
    code = RequestCode.GET_CSR
    version = _require(requester, code, Capability.CSR)
    answer = yield from requester.delivery.ask(code, question(version).push)
    assert isinstance(answer, Csr)  # noqa: S101 (as above)
    return answer.request


def supported_events(requester: Requester) -> Flow[SupportedEventTypes]:
    """The groups of events that a device reports; only in a session."""
    code = RequestCode.GET_SUPPORTED_EVENT_TYPES
    version = _require(requester, code, Capability.EVENT)
    answer = yield from requester.delivery.ask(code, GetSupportedEventTypes(version).push)
    assert isinstance(answer, SupportedEventTypes)  # noqa: S101 (as above)
    return answer


def vendor_defined(requester: Requester, vendor: Vendor, payload: bytes) -> Flow[bytes]:
    """Send a vendor's payload and give back that of the answer."""
    code = RequestCode.VENDOR_DEFINED_REQUEST
    version = _require(requester, code)
    request = VendorDefinedRequest(version, vendor, payload, large=len(payload) > 0xFFFF)
    answer = yield from requester.delivery.ask(code, request.push)
    assert isinstance(answer, VendorDefinedResponse)  # noqa: S101 (as above)
    return answer.payload


def tdisp_versions(requester: Requester, function_id: int = 0) -> Flow[tuple[int, ...]]:
    """The TDISP versions of a device; only in a session."""
    payload = yield from vendor_defined(requester, PCI_SIG, get_tdisp_version(function_id))
    return decoded(RequestCode.VENDOR_DEFINED_REQUEST, lambda: pull_tdisp_versions(payload))


def ide_port(requester: Requester, port: int = 0) -> Flow[IdeQueryResponse]:
    """What one port of a device says about IDE; only in a session."""
    payload = yield from vendor_defined(requester, PCI_SIG, IdeQuery(port).push())
    return decoded(
        RequestCode.VENDOR_DEFINED_REQUEST, lambda: IdeQueryResponse.pull(Reader(payload, "IDE_KM QUERY_RESP"))
    )
