"""The messages beyond attestation: codecs, what an answer may say, and the log held against its measurement."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.algorithms import MEASUREMENT_HASH_FUNCTIONS, MeasurementHash
from cmakeys.spdm.codes import NONCE_LENGTH, RequestCode, ResponseCode, Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.inventory import OBSERVERS, SINCE, Inventory, LogCoverage, coverage
from cmakeys.spdm.messages.endpoint_info import (
    ClassIdentifier,
    EndpointInfo,
    GetEndpointInfo,
    pull_class_identifiers,
    push_class_identifiers,
)
from cmakeys.spdm.messages.events import (
    Event,
    EventAck,
    EventType,
    GetSupportedEventTypes,
    SendEvent,
    SubscribeEventTypes,
    SubscribeEventTypesAck,
    SupportedEventTypes,
)
from cmakeys.spdm.messages.extension_log import (
    LOG_HEADER_LENGTH,
    GetMeasurementExtensionLog,
    LogEntry,
    MeasurementExtensionLog,
    pull_log,
    push_log,
)
from cmakeys.spdm.messages.key_pairs import (
    GetKeyPairInfo,
    KeyPairInfo,
    KeyPairOperation,
    SetKeyPairInfo,
    SetKeyPairInfoAck,
)
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.spdm.messages.provisioning import Csr, GetCsr, SetCertificate, SetCertificateResponse
from cmakeys.spdm.messages.vendor_defined import Vendor, VendorDefinedRequest, VendorDefinedResponse
from cmakeys.spdm.requests import REQUEST_CODECS
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.spdm.wire import Reader, WireError
from tests.spdm.conversations import leaf_key, load
from tests.spdm.recorded_sessions import follow
from tests.spdm.test_messages import SIGNATURE_SIZE, layout, sized, u8, u16

u32 = st.integers(0, 0xFFFFFFFF)
some = st.binary(max_size=48)
since_13 = st.sampled_from([Version.V13, Version.V14])
since_12 = st.sampled_from([Version.V12, Version.V13, Version.V14])
LAYOUT = layout(Version.V13)

vendors = st.builds(Vendor, u16, st.binary(max_size=9))
entries = st.builds(LogEntry, u32, u8, u8, some)
identifiers = st.builds(
    ClassIdentifier, u8, st.binary(max_size=4), st.lists(st.binary(max_size=6), max_size=4).map(tuple)
)


@st.composite
def key_pair_info(draw: st.DrawFn) -> KeyPairInfo:
    version = draw(since_13)
    pqc = (draw(u32), draw(u32)) if version >= Version.V14 else (0, 0)
    numbers = draw(u8), draw(u8), draw(u16), draw(u16), draw(u16), draw(u32), draw(u32)
    return KeyPairInfo(version, *numbers, draw(some), draw(u8), *pqc)


@st.composite
def set_key_pair_info(draw: st.DrawFn) -> SetKeyPairInfo:
    version, operation = draw(since_13), draw(st.sampled_from(KeyPairOperation))
    if operation is KeyPairOperation.ERASE:
        return SetKeyPairInfo(version, operation, draw(u8))
    pqc = draw(u32) if version >= Version.V14 else 0
    return SetKeyPairInfo(version, operation, draw(u8), draw(u16), draw(u32), draw(u8), pqc)


@st.composite
def get_csr(draw: st.DrawFn) -> GetCsr:
    version, info, opaque = draw(since_12), draw(some), draw(some)
    if version < Version.V13:
        return GetCsr(version, info, opaque)
    three_bits = st.integers(0, 7)
    return GetCsr(version, info, opaque, draw(u8), draw(three_bits), draw(three_bits), draw(st.booleans()))


@st.composite
def set_certificate(draw: st.DrawFn) -> SetCertificate:
    version, slot = draw(since_12), draw(st.integers(0, 7))
    body = draw(st.binary(min_size=2, max_size=80))
    chain = (len(body) + 2).to_bytes(2, "little") + body
    if version < Version.V13:
        return SetCertificate(version, slot, chain)
    erase = draw(st.booleans())
    return SetCertificate(version, slot, b"" if erase else chain, draw(st.integers(0, 7)), erase, draw(u8))


@st.composite
def vendor_defined(draw: st.DrawFn, kind: type[VendorDefinedRequest | VendorDefinedResponse]) -> Any:
    version = draw(st.sampled_from(Version))
    large = version >= Version.V14 and draw(st.booleans())
    return kind(version, draw(vendors), draw(some), large, draw(u16) if large else 0)


def endpoint_info(*, signed: bool) -> st.SearchStrategy[EndpointInfo]:
    tail = (sized(NONCE_LENGTH), sized(SIGNATURE_SIZE)) if signed else (st.just(b""), st.just(b""))
    return st.builds(EndpointInfo, since_13, st.integers(0, 15), some, *tail)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(EventType))
    if draw(st.booleans()):
        sizes = {EventType.EVENT_LOST: 8, EventType.CERTIFICATE_CHANGED: 1}
        return Event(draw(u32), 0, b"", kind, draw(sized(sizes.get(kind, 32))))
    return Event(draw(u32), 3, draw(st.binary(max_size=4)), draw(u16), draw(some))


@st.composite
def subscriptions(draw: st.DrawFn) -> SubscribeEventTypes:
    count = draw(u8)
    return SubscribeEventTypes(draw(since_13), count, draw(some) if count else b"", draw(u8))


MESSAGES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Reader], Any]]] = {
    "GET_MEASUREMENT_EXTENSION_LOG": (
        st.builds(GetMeasurementExtensionLog, since_13, u32, u32),
        GetMeasurementExtensionLog.pull,
    ),
    "MEASUREMENT_EXTENSION_LOG": (
        st.builds(MeasurementExtensionLog, since_13, some, u32),
        MeasurementExtensionLog.pull,
    ),
    "GET_ENDPOINT_INFO": (
        st.builds(GetEndpointInfo, since_13, st.integers(0, 15), st.one_of(st.just(b""), sized(NONCE_LENGTH)), u8),
        GetEndpointInfo.pull,
    ),
    "ENDPOINT_INFO": (endpoint_info(signed=False), lambda reader: EndpointInfo.pull(reader, LAYOUT, signed=False)),
    "ENDPOINT_INFO signed": (
        endpoint_info(signed=True),
        lambda reader: EndpointInfo.pull(reader, LAYOUT, signed=True),
    ),
    "GET_KEY_PAIR_INFO": (st.builds(GetKeyPairInfo, since_13, u8), GetKeyPairInfo.pull),
    "KEY_PAIR_INFO": (key_pair_info(), KeyPairInfo.pull),
    "SET_KEY_PAIR_INFO": (set_key_pair_info(), SetKeyPairInfo.pull),
    "SET_KEY_PAIR_INFO_ACK": (st.builds(SetKeyPairInfoAck, since_13), SetKeyPairInfoAck.pull),
    "GET_CSR": (get_csr(), GetCsr.pull),
    "CSR": (st.builds(Csr, since_12, some), Csr.pull),
    "SET_CERTIFICATE": (set_certificate(), SetCertificate.pull),
    "SET_CERTIFICATE_RSP": (
        st.builds(SetCertificateResponse, since_12, st.integers(0, 15)),
        SetCertificateResponse.pull,
    ),
    "GET_SUPPORTED_EVENT_TYPES": (st.builds(GetSupportedEventTypes, since_13), GetSupportedEventTypes.pull),
    "SUPPORTED_EVENT_TYPES": (st.builds(SupportedEventTypes, since_13, u8, some), SupportedEventTypes.pull),
    "SUBSCRIBE_EVENT_TYPES": (subscriptions(), SubscribeEventTypes.pull),
    "SUBSCRIBE_EVENT_TYPES_ACK": (st.builds(SubscribeEventTypesAck, since_13), SubscribeEventTypesAck.pull),
    "SEND_EVENT": (
        st.builds(SendEvent, since_13, st.lists(events(), min_size=1, max_size=4).map(tuple)),
        SendEvent.pull,
    ),
    "EVENT_ACK": (st.builds(EventAck, since_13), EventAck.pull),
    "VENDOR_DEFINED_REQUEST": (vendor_defined(VendorDefinedRequest), VendorDefinedRequest.pull),
    "VENDOR_DEFINED_RESPONSE": (vendor_defined(VendorDefinedResponse), VendorDefinedResponse.pull),
}


@pytest.mark.parametrize("name", MESSAGES)
@given(data=st.data(), padding=st.binary(max_size=3))
def test_decoding_gives_back_what_was_encoded_without_padding(name: str, data: st.DataObject, padding: bytes) -> None:
    strategy, pull = MESSAGES[name]
    message = data.draw(strategy)
    octets = message.push()
    reader = Reader(octets + padding, name)
    assert pull(reader) == message
    assert reader.consumed() == octets


@pytest.mark.parametrize("name", MESSAGES)
@given(data=st.data())
def test_no_bytes_bring_more_than_a_clean_error(name: str, data: st.DataObject) -> None:
    strategy, pull = MESSAGES[name]
    octets = bytearray(data.draw(strategy).push())
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(u8)
    cut = data.draw(st.integers(0, len(octets)))
    with contextlib.suppress(WireError):
        pull(Reader(bytes(octets[:cut]), name))


@given(st.lists(identifiers, max_size=5).map(tuple))
def test_class_identifiers_survive_the_wire(found: tuple[ClassIdentifier, ...]) -> None:
    assert pull_class_identifiers(push_class_identifiers(found)) == found


def test_the_recorded_class_identifier_is_read() -> None:
    (one,) = pull_class_identifiers(bytes.fromhex("01000000 07 00 00 01 03 123456"))
    assert one == ClassIdentifier(0, b"", (bytes.fromhex("123456"),))


@given(st.binary(max_size=64))
def test_no_information_brings_more_than_a_clean_error(information: bytes) -> None:
    with contextlib.suppress(WireError):
        pull_class_identifiers(information)


# -- the log ----------------------------------------------------------------------------------------------------------

RECORDED_LOG = bytes.fromhex(
    "03000000 2f000000 0000000000000000"
    "01000000 11 000000 89 0300 524f4d"
    "02000000 11 000000 89 0700 426f6f74204657"
    "03000000 11 000000 86 0400 0a030001"
)


def test_the_recorded_log_is_read_and_written_again() -> None:
    log = pull_log(RECORDED_LOG)
    assert [entry.value for entry in log] == [b"ROM", b"Boot FW", bytes.fromhex("0a030001")]
    assert push_log(log) == RECORDED_LOG


@given(st.binary(max_size=80), st.integers(0, 3))
def test_no_log_brings_more_than_a_clean_error(body: bytes, count: int) -> None:
    head = count.to_bytes(4, "little") + len(body).to_bytes(4, "little") + bytes(8)
    try:
        log = pull_log(head + body)
    except WireError:
        return
    assert len(log) == count


def test_a_log_of_too_many_entries_is_refused_before_they_are_read() -> None:
    with pytest.raises(WireError, match="entries, more than"):
        pull_log((0xFFFFFFFF).to_bytes(4, "little") + bytes(12))


def extended(values: list[bytes]) -> bytes:
    digest = bytes(48)
    for octets in values:
        digest = hashlib.sha384(digest + octets).digest()
    return digest


SHA384 = MEASUREMENT_HASH_FUNCTIONS[MeasurementHash.SHA_384]


@pytest.mark.parametrize(
    ("entries", "covered"), [(3, 3), (2, 2), (0, 0)], ids=["the whole log", "the log has grown", "nothing yet"]
)
def test_a_measurement_covers_the_beginning_of_its_log(entries: int, covered: int) -> None:
    log = pull_log(RECORDED_LOG)
    block = MeasurementBlock(0x11, 0x08, extended([entry.push() for entry in log[:entries]]))
    assert coverage(log, (block,), SHA384) == (LogCoverage(0x11, 3, covered),)


def test_a_measurement_of_another_log_is_not_covered() -> None:
    log = pull_log(RECORDED_LOG)
    block = MeasurementBlock(0x11, 0x08, extended([entry.push() for entry in reversed(log)]))
    assert coverage(log, (block,), SHA384) == (LogCoverage(0x11, 3, None),)


def test_only_entries_of_its_own_index_count_and_only_extended_digests_are_held_against_the_log() -> None:
    log = (*pull_log(RECORDED_LOG), LogEntry(4, 0x12, 0x89, b"another"))
    others = MeasurementBlock(1, 0x01, bytes(48)), MeasurementBlock(2, 0x88, bytes(48))
    mine = MeasurementBlock(0x12, 0x08, extended([log[3].push()]))
    assert coverage(log, (*others, mine), SHA384) == (LogCoverage(0x12, 1, 1),)


# -- what an answer may say -------------------------------------------------------------------------------------------


def observe(inventory: Inventory, asked: Any, answer: Any) -> Any:
    request = asked.push()
    return inventory.observe(RequestCode(request[1]), request, Reader(answer.push(), "answer"), LAYOUT)


def portion(inventory: Inventory, offset: int, data: bytes, remainder: int, length: int = 0x100) -> None:
    version = Version.V13
    observe(
        inventory,
        GetMeasurementExtensionLog(version, offset, length),
        MeasurementExtensionLog(version, data, remainder),
    )


def test_a_log_is_put_together_from_portions_and_may_grow_meanwhile() -> None:
    inventory = Inventory()
    portion(inventory, 0, RECORDED_LOG[:20], len(RECORDED_LOG) - 20)
    assert inventory.log is None
    portion(inventory, 20, RECORDED_LOG[20:] + b"new", 40)
    assert inventory.log == pull_log(RECORDED_LOG)


@pytest.mark.parametrize(
    ("offset", "data", "remainder", "length", "message"),
    [
        (0, RECORDED_LOG, 0, 8, "where 8 were asked"),
        (0, b"", 10, 8, "empty portion"),
        (0, RECORDED_LOG, 0x7FFFFFFF, 0x100, "more than"),
        (0, RECORDED_LOG[:40], 0, 0x100, "the log ends after 40 bytes"),
        (0, RECORDED_LOG[: LOG_HEADER_LENGTH - 1], 0, 0x100, "no room for its header"),
    ],
)
def test_a_log_that_contradicts_itself_is_a_violation(
    offset: int, data: bytes, remainder: int, length: int, message: str
) -> None:
    with pytest.raises(ProtocolViolation, match=message):
        portion(Inventory(), offset, data, remainder, length)


GOOD_PAIR = KeyPairInfo(Version.V13, 3, 2, 0x3F, 0x0F, 0x07, 0x38, 0x10, b"", 0x01)


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (replace(GOOD_PAIR, key_pair=1), "key pair 1 answered where 2 was asked"),
        (replace(GOOD_PAIR, total=1), "key pair 2 of 1"),
        (replace(GOOD_PAIR, asym=0x30), "more than one algorithm"),
        (replace(GOOD_PAIR, asym=0x01), "an algorithm it is not capable of"),
        (replace(GOOD_PAIR, usage=0x10), "used for what it is not capable of"),
    ],
)
def test_a_key_pair_that_contradicts_itself_is_a_violation(lie: KeyPairInfo, message: str) -> None:
    inventory = Inventory()
    observe(inventory, GetKeyPairInfo(Version.V13, 2), GOOD_PAIR)
    assert inventory.key_pairs == {2: GOOD_PAIR}
    with pytest.raises(ProtocolViolation, match=message):
        observe(inventory, GetKeyPairInfo(Version.V13, 2), lie)


def test_another_vendors_answer_and_a_large_answer_to_a_small_question_are_violations() -> None:
    vendor = Vendor(3, b"\x01\x00")
    asked = VendorDefinedRequest(Version.V14, vendor, b"?")
    assert observe(Inventory(), asked, VendorDefinedResponse(Version.V14, vendor, b"!")).payload == b"!"
    with pytest.raises(ProtocolViolation, match="another vendor's"):
        observe(Inventory(), asked, VendorDefinedResponse(Version.V14, Vendor(3, b"\x02\x00"), b"!"))
    with pytest.raises(ProtocolViolation, match="one side only"):
        observe(Inventory(), asked, VendorDefinedResponse(Version.V14, vendor, b"!", large=True))


def test_endpoint_information_of_another_slot_or_that_cannot_be_read_is_refused() -> None:
    asked = GetEndpointInfo(Version.V13, 0)
    assert observe(Inventory(), asked, EndpointInfo(Version.V13, 0, bytes(4))).information == bytes(4)
    with pytest.raises(ProtocolViolation, match="slot 1 answered"):
        observe(Inventory(), asked, EndpointInfo(Version.V13, 1, bytes(4)))
    with pytest.raises(WireError):
        observe(Inventory(), asked, EndpointInfo(Version.V13, 0, b"\x05\0\0\0"))


def test_every_further_request_is_known_everywhere() -> None:
    assert set(SINCE) == set(OBSERVERS)
    assert set(OBSERVERS) <= set(REQUEST_CODECS)


# -- recordings -------------------------------------------------------------------------------------------------------

ANSWERS: dict[int, Callable[[Reader], Any]] = {
    ResponseCode.MEASUREMENT_EXTENSION_LOG: MeasurementExtensionLog.pull,
    ResponseCode.KEY_PAIR_INFO: KeyPairInfo.pull,
    ResponseCode.SET_KEY_PAIR_INFO_ACK: SetKeyPairInfoAck.pull,
    ResponseCode.CSR: Csr.pull,
    ResponseCode.SET_CERTIFICATE_RSP: SetCertificateResponse.pull,
    ResponseCode.SUPPORTED_EVENT_TYPES: SupportedEventTypes.pull,
    ResponseCode.SUBSCRIBE_EVENT_TYPES_ACK: SubscribeEventTypesAck.pull,
    ResponseCode.VENDOR_DEFINED_RESPONSE: VendorDefinedResponse.pull,
}


@pytest.mark.parametrize(
    ("name", "count"),
    [("v13-doe-p384-full", 322), ("v14-doe-p384-sha384-session", 188)],
)
def test_every_recorded_message_is_encoded_again_byte_for_byte(name: str, count: int, shared_data: Path) -> None:
    checked = 0
    for item in follow(shared_data / "captures", name).items:
        if item.application or item.request[1] not in SINCE:
            continue
        pulls = REQUEST_CODECS[RequestCode(item.request[1])], ANSWERS.get(item.response[1])
        for message, pull in zip((item.request, item.response), pulls, strict=True):
            if pull is None:
                continue
            reader = Reader(message, "recorded message")
            again: Any = pull(reader)
            assert again.push() == reader.consumed()
            assert not any(message[reader.offset :])
            checked += 1
    assert checked == count


def test_the_recorded_endpoint_information_is_signed_and_the_recorded_log_is_the_measured_one(
    shared_data: Path,
) -> None:
    connection = Connection()
    for exchange in load(shared_data / "captures", "v13-doe-p384-full").exchanges():
        connection.observe(exchange.request, exchange.response)
    assert connection.endpoint_info is not None
    assert connection.measurements is not None
    assert connection.measurement_hash is not None
    assert connection.inventory.log == pull_log(RECORDED_LOG)
    verify_statement(connection.endpoint_info, leaf_key(connection.chains[0], connection.layout.hash_size))
    function = MEASUREMENT_HASH_FUNCTIONS[connection.measurement_hash]
    found = coverage(connection.inventory.log, connection.measurements.blocks, function)
    assert found == (LogCoverage(0x11, 3, 3),)
