"""What a device tells beyond what attestation needs: log, endpoint information, key pairs, requests for certificates.

The messages are those of reference §7.2 to 7.5, all since 1.3 but GET_CSR (1.2) and VENDOR_DEFINED. Answers are judged
here as `cmakeys.spdm.slots` judges certificates: by what was asked, and by what the device said before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.codes import MeasurementType, RequestCode, Version
from cmakeys.spdm.messages.endpoint_info import DEVICE_CLASS_IDENTIFIER, EndpointInfo, GetEndpointInfo
from cmakeys.spdm.messages.endpoint_info import pull_class_identifiers as pull_identifiers
from cmakeys.spdm.messages.events import EventAck, SubscribeEventTypesAck, SupportedEventTypes
from cmakeys.spdm.messages.extension_log import (
    LOG_HEADER_LENGTH,
    MAX_LOG_SIZE,
    GetMeasurementExtensionLog,
    LogEntry,
    MeasurementExtensionLog,
    announced_size,
    pull_log,
)
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.key_pairs import GetKeyPairInfo, KeyPairInfo, SetKeyPairInfoAck
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.spdm.messages.provisioning import Csr, SetCertificateResponse
from cmakeys.spdm.messages.vendor_defined import VendorDefinedRequest, VendorDefinedResponse
from cmakeys.spdm.violation import violation
from cmakeys.spdm.wire import Reader

FurtherAnswer = (
    MeasurementExtensionLog
    | EndpointInfo
    | KeyPairInfo
    | SetKeyPairInfoAck
    | Csr
    | SetCertificateResponse
    | SupportedEventTypes
    | SubscribeEventTypesAck
    | EventAck
    | VendorDefinedResponse
)


class Inventory:
    """What a connection has been told. Its methods raise `ProtocolViolation` or `WireError` for an answer that lies."""

    def __init__(self) -> None:
        self.log: tuple[LogEntry, ...] | None = None
        """The measurement extension log, once it was read whole."""
        self.endpoint: EndpointInfo | None = None
        self.key_pairs: dict[int, KeyPairInfo] = {}
        self._log = bytearray()

    def log_complete(self) -> bool:
        """The portions read so far make up the whole log."""
        return len(self._log) >= LOG_HEADER_LENGTH and len(self._log) >= announced_size(bytes(self._log))

    def observe(self, code: RequestCode, request: bytes, reader: Reader, layout: Layout) -> FurtherAnswer:
        """Judge one answer, leaving `reader` at its true end; `code` is a key of `OBSERVERS`."""
        return OBSERVERS[code](self, Reader(request, code.name), reader, layout)

    def _take_log(self, request: Reader, reader: Reader, _layout: Layout) -> MeasurementExtensionLog:
        code = RequestCode.GET_MEASUREMENT_EXTENSION_LOG
        asked = GetMeasurementExtensionLog.pull(request)
        answer = MeasurementExtensionLog.pull(reader)
        size = len(answer.portion)
        if size > asked.length:
            raise violation(code, f"a portion of {size} bytes where {asked.length} were asked")
        total = asked.offset + size + answer.remainder
        if total > MAX_LOG_SIZE:
            raise violation(code, f"the log is {total} bytes, more than {MAX_LOG_SIZE}")
        if not size:
            raise violation(code, f"an empty portion at offset {asked.offset}")
        if asked.offset == 0:
            self._log.clear()
            self.log = None
        if asked.offset != len(self._log):
            return answer  # read out of order on purpose
        self._log += answer.portion
        if len(self._log) + answer.remainder < LOG_HEADER_LENGTH:
            raise violation(code, f"a log of {total} bytes has no room for its header")
        if self.log_complete():
            # The log may have grown since its header was read; what the header covers is what was asked for.
            self.log = pull_log(bytes(self._log[: announced_size(bytes(self._log))]))
        elif not answer.remainder:
            raise violation(
                code, f"the log ends after {total} bytes, its header says {announced_size(bytes(self._log))}"
            )
        return answer

    def _take_endpoint(self, request: Reader, reader: Reader, layout: Layout) -> EndpointInfo:
        code = RequestCode.GET_ENDPOINT_INFO
        asked = GetEndpointInfo.pull(request)
        answer = EndpointInfo.pull(reader, layout, signed=asked.signed)
        if answer.slot != asked.slot:
            raise violation(code, f"slot {answer.slot} answered where slot {asked.slot} was asked")
        if asked.subcode == DEVICE_CLASS_IDENTIFIER:
            pull_identifiers(answer.information)
        self.endpoint = answer
        return answer

    def _take_key_pair(self, request: Reader, reader: Reader, _layout: Layout) -> KeyPairInfo:
        code = RequestCode.GET_KEY_PAIR_INFO
        asked = GetKeyPairInfo.pull(request)
        answer = KeyPairInfo.pull(reader)
        if answer.key_pair != asked.key_pair:
            raise violation(code, f"key pair {answer.key_pair} answered where {asked.key_pair} was asked")
        if not 1 <= answer.key_pair <= answer.total:
            raise violation(code, f"key pair {answer.key_pair} of {answer.total}")
        if answer.asym.bit_count() + answer.pqc.bit_count() > 1:
            raise violation(code, f"key pair {answer.key_pair} has more than one algorithm")
        if answer.asym & ~answer.asym_capabilities or answer.pqc & ~answer.pqc_capabilities:
            raise violation(code, f"key pair {answer.key_pair} has an algorithm it is not capable of")
        if answer.usage & ~answer.usage_capabilities:
            raise violation(code, f"key pair {answer.key_pair} is used for what it is not capable of")
        self.key_pairs[answer.key_pair] = answer
        return answer

    def _take_vendor_defined(self, request: Reader, reader: Reader, _layout: Layout) -> VendorDefinedResponse:
        code = RequestCode.VENDOR_DEFINED_REQUEST
        asked = VendorDefinedRequest.pull(request)
        answer = VendorDefinedResponse.pull(reader)
        if answer.vendor != asked.vendor:
            raise violation(code, "the answer is another vendor's")
        if answer.large != asked.large:
            raise violation(code, "the large form is used on one side only")
        return answer


_Observer = Callable[[Inventory, Reader, Reader, Layout], FurtherAnswer]

OBSERVERS: Mapping[RequestCode, _Observer] = {
    RequestCode.GET_MEASUREMENT_EXTENSION_LOG: Inventory._take_log,
    RequestCode.GET_ENDPOINT_INFO: Inventory._take_endpoint,
    RequestCode.GET_KEY_PAIR_INFO: Inventory._take_key_pair,
    RequestCode.SET_KEY_PAIR_INFO: lambda _self, _request, reader, _layout: SetKeyPairInfoAck.pull(reader),
    RequestCode.GET_CSR: lambda _self, _request, reader, _layout: Csr.pull(reader),
    RequestCode.SET_CERTIFICATE: lambda _self, _request, reader, _layout: SetCertificateResponse.pull(reader),
    RequestCode.GET_SUPPORTED_EVENT_TYPES: lambda _self, _request, reader, _layout: SupportedEventTypes.pull(reader),
    RequestCode.SUBSCRIBE_EVENT_TYPES: lambda _self, _request, reader, _layout: SubscribeEventTypesAck.pull(reader),
    RequestCode.SEND_EVENT: lambda _self, _request, reader, _layout: EventAck.pull(reader),
    RequestCode.VENDOR_DEFINED_REQUEST: Inventory._take_vendor_defined,
}


SINCE: Mapping[RequestCode, Version] = {
    RequestCode.GET_MEASUREMENT_EXTENSION_LOG: Version.V13,
    RequestCode.GET_ENDPOINT_INFO: Version.V13,
    RequestCode.GET_KEY_PAIR_INFO: Version.V13,
    RequestCode.SET_KEY_PAIR_INFO: Version.V13,
    RequestCode.GET_CSR: Version.V12,
    RequestCode.SET_CERTIFICATE: Version.V12,
    RequestCode.GET_SUPPORTED_EVENT_TYPES: Version.V13,
    RequestCode.SUBSCRIBE_EVENT_TYPES: Version.V13,
    RequestCode.SEND_EVENT: Version.V13,
    RequestCode.VENDOR_DEFINED_REQUEST: Version.V10,
}
"""The version that each of these requests came with."""


@dataclass(frozen=True, slots=True)
class LogCoverage:
    """How one hash-extended measurement relates to the log.

    `covered` is the number of the log's entries for this index that the digest accounts for, None when no number of
    them gives the measured digest; `entries` is how many there are.
    """

    index: int
    entries: int
    covered: int | None


def coverage(
    log: tuple[LogEntry, ...], blocks: tuple[MeasurementBlock, ...], function: HashFunction
) -> tuple[LogCoverage, ...]:
    """Hold every hash-extended measurement against the entries that extend its index (reference §7.3).

    A log read after the measurement may have grown, and one read before it may lack the newest entry: the first is
    seen as fewer entries covered, the second as a digest that no number of entries gives.
    """
    found: list[LogCoverage] = []
    for block in blocks:
        if block.raw or block.kind is not MeasurementType.HASH_EXTENDED:
            continue
        entries = [entry for entry in log if entry.measurement_index == block.index]
        digest = bytes(function.size)
        covered = 0 if digest == block.value else None
        for count, entry in enumerate(entries, 1):
            digest = function.digest(digest + entry.push())
            covered = count if digest == block.value else covered
        found.append(LogCoverage(block.index, len(entries), covered))
    return tuple(found)
