"""Every message of a session survives encoding and decoding, and no bytes bring more than a clean error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.codes import Version
from cmakeys.spdm.messages.encapsulated import (
    DeliverEncapsulatedResponse,
    EncapsulatedRequest,
    EncapsulatedResponseAck,
    GetEncapsulatedRequest,
)
from cmakeys.spdm.messages.finish import Finish, FinishResponse
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.opaque import (
    OpaqueElement,
    SecuredParameters,
    SecuredVersion,
    pull_elements,
    push_elements,
    supported_versions,
    version_selection,
)
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinish, PskFinishResponse
from cmakeys.spdm.messages.session_control import (
    EndSession,
    EndSessionAck,
    Heartbeat,
    HeartbeatAck,
    KeyUpdate,
    KeyUpdateAck,
)
from cmakeys.spdm.wire import Reader, WireError
from tests.spdm.test_messages import HASH_SIZE, SIGNATURE_SIZE, layout, sized, u8, u16

EXCHANGE_SIZE, REQUESTER_SIGNATURE_SIZE = 64, 132

versions = st.sampled_from([Version.V11, Version.V12, Version.V13, Version.V14])
with_ack_id = st.sampled_from([Version.V12, Version.V13, Version.V14])
LAYOUT = layout(Version.V12)
opaque = st.binary(max_size=64)


@st.composite
def key_exchange(draw: st.DrawFn) -> KeyExchange:
    version = draw(versions)
    policy = draw(u8) if version >= Version.V12 else 0
    head = (version, draw(u8), draw(u8), draw(u16), policy)
    return KeyExchange(*head, draw(sized(32)), draw(sized(EXCHANGE_SIZE)), draw(opaque))


def key_exchange_response(*, extras: bool) -> st.SearchStrategy[KeyExchangeResponse]:
    digest = sized(HASH_SIZE) if extras else st.just(b"")
    return st.builds(
        KeyExchangeResponse,
        versions,
        u8,
        u16,
        u8,
        u8,
        sized(32),
        sized(EXCHANGE_SIZE),
        digest,
        opaque,
        sized(SIGNATURE_SIZE),
        digest,
    )


def late_opaque(draw: st.DrawFn, version: Version) -> bytes:
    return draw(opaque) if version >= Version.V14 else b""


@st.composite
def finish(draw: st.DrawFn) -> Finish:
    version = draw(versions)
    signature = draw(sized(REQUESTER_SIGNATURE_SIZE) | st.just(b""))
    return Finish(version, draw(sized(HASH_SIZE)), draw(u8), signature, late_opaque(draw, version))


@st.composite
def finish_response(draw: st.DrawFn, *, verified: bool) -> FinishResponse:
    version = draw(versions)
    return FinishResponse(version, draw(sized(HASH_SIZE)) if verified else b"", late_opaque(draw, version))


@st.composite
def psk_exchange(draw: st.DrawFn) -> PskExchange:
    version = draw(versions)
    policy = draw(u8) if version >= Version.V12 else 0
    return PskExchange(version, draw(u8), policy, draw(u16), draw(opaque), draw(opaque), draw(opaque))


def psk_exchange_response(*, has_summary: bool) -> st.SearchStrategy[PskExchangeResponse]:
    digest = sized(HASH_SIZE)
    return st.builds(
        PskExchangeResponse, versions, u8, u16, digest if has_summary else st.just(b""), opaque, opaque, digest
    )


@st.composite
def psk_finish(draw: st.DrawFn) -> PskFinish:
    version = draw(versions)
    return PskFinish(version, draw(sized(HASH_SIZE)), late_opaque(draw, version))


@st.composite
def psk_finish_response(draw: st.DrawFn) -> PskFinishResponse:
    version = draw(versions)
    return PskFinishResponse(version, late_opaque(draw, version))


@st.composite
def acknowledgement(draw: st.DrawFn) -> EncapsulatedResponseAck:
    version, kind = draw(versions), draw(st.integers(0, 2))
    payload = {0: st.just(b""), 1: st.binary(max_size=60), 2: sized(1)}[kind]
    acknowledged = draw(u8) if version >= Version.V12 else 0
    return EncapsulatedResponseAck(version, draw(u8), kind, acknowledged, draw(payload))


FULL = {"exchange_size": EXCHANGE_SIZE, "has_summary": True, "has_verify_data": True}
BARE = {"exchange_size": EXCHANGE_SIZE, "has_summary": False, "has_verify_data": False}

CODECS: dict[str, tuple[st.SearchStrategy[Any], Any, dict[str, Any]]] = {
    "KEY_EXCHANGE": (key_exchange(), KeyExchange.pull, {"exchange_size": EXCHANGE_SIZE}),
    "KEY_EXCHANGE_RSP": (key_exchange_response(extras=False), KeyExchangeResponse.pull, {"layout": LAYOUT, **BARE}),
    "KEY_EXCHANGE_RSP full": (key_exchange_response(extras=True), KeyExchangeResponse.pull, {"layout": LAYOUT, **FULL}),
    "FINISH": (finish(), Finish.pull, {"layout": LAYOUT, "requester_signature_size": REQUESTER_SIGNATURE_SIZE}),
    "FINISH_RSP": (finish_response(verified=False), FinishResponse.pull, {"layout": LAYOUT, "has_verify_data": False}),
    "FINISH_RSP in the clear": (
        finish_response(verified=True),
        FinishResponse.pull,
        {"layout": LAYOUT, "has_verify_data": True},
    ),
    "PSK_EXCHANGE": (psk_exchange(), PskExchange.pull, {}),
    "PSK_EXCHANGE_RSP": (
        psk_exchange_response(has_summary=False),
        PskExchangeResponse.pull,
        {"layout": LAYOUT, "has_summary": False},
    ),
    "PSK_EXCHANGE_RSP with summary": (
        psk_exchange_response(has_summary=True),
        PskExchangeResponse.pull,
        {"layout": LAYOUT, "has_summary": True},
    ),
    "PSK_FINISH": (psk_finish(), PskFinish.pull, {"layout": LAYOUT}),
    "PSK_FINISH_RSP": (psk_finish_response(), PskFinishResponse.pull, {}),
    "HEARTBEAT": (st.builds(Heartbeat, versions), Heartbeat.pull, {}),
    "HEARTBEAT_ACK": (st.builds(HeartbeatAck, versions), HeartbeatAck.pull, {}),
    "KEY_UPDATE": (st.builds(KeyUpdate, versions, u8, u8), KeyUpdate.pull, {}),
    "KEY_UPDATE_ACK": (st.builds(KeyUpdateAck, versions, u8, u8), KeyUpdateAck.pull, {}),
    "END_SESSION": (st.builds(EndSession, versions, u8), EndSession.pull, {}),
    "END_SESSION_ACK": (st.builds(EndSessionAck, versions), EndSessionAck.pull, {}),
    "GET_ENCAPSULATED_REQUEST": (st.builds(GetEncapsulatedRequest, versions), GetEncapsulatedRequest.pull, {}),
    "ENCAPSULATED_REQUEST": (
        st.builds(EncapsulatedRequest, versions, u8, st.binary(max_size=60)),
        EncapsulatedRequest.pull,
        {},
    ),
    "DELIVER_ENCAPSULATED_RESPONSE": (
        st.builds(DeliverEncapsulatedResponse, versions, u8, st.binary(max_size=60)),
        DeliverEncapsulatedResponse.pull,
        {},
    ),
    "ENCAPSULATED_RESPONSE_ACK": (acknowledgement(), EncapsulatedResponseAck.pull, {}),
}
TAKES_EVERYTHING = {"ENCAPSULATED_REQUEST", "DELIVER_ENCAPSULATED_RESPONSE", "ENCAPSULATED_RESPONSE_ACK"}
ENDS_SOMEWHERE = [name for name in CODECS if name not in TAKES_EVERYTHING]


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_pull_gives_back_what_push_was_given(name: str, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    message = data.draw(strategy)
    reader = Reader(message.push(), name)
    assert pull(reader, **arguments) == message
    assert reader.remaining == 0


@pytest.mark.parametrize("name", ENDS_SOMEWHERE)
@given(data=st.data())
def test_padding_is_left_out_of_the_true_length(name: str, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    pushed = data.draw(strategy).push()
    reader = Reader(pushed + bytes(data.draw(st.integers(0, 3))), name)
    pull(reader, **arguments)
    assert reader.consumed() == pushed


@pytest.mark.parametrize("name", ENDS_SOMEWHERE)
@given(data=st.data())
def test_a_truncated_message_is_one_clean_error_with_its_offset(name: str, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    pushed = data.draw(strategy).push()
    cut = data.draw(st.integers(0, len(pushed) - 1))
    with pytest.raises(WireError, match="at byte"):
        pull(Reader(pushed[:cut], name), **arguments)


@pytest.mark.parametrize("name", CODECS)
@given(noise=st.binary(max_size=600), data=st.data())
def test_noise_brings_nothing_but_a_clean_error(name: str, noise: bytes, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    start = data.draw(strategy).push()[:12]
    for message in (noise, start + noise, start[:4] + noise):
        reader = Reader(message, name)
        try:
            pull(reader, **arguments)
        except WireError:
            continue
        assert reader.offset <= len(message)


@pytest.mark.parametrize("size", [1025, 0xFFFF])
def test_opaque_data_over_1024_bytes_is_refused_wherever_its_length_stands(size: int) -> None:
    exchange = PskExchange(Version.V12, 0, 0, 1, b"", b"c" * 32, b"")
    pushed = bytearray(exchange.push() + bytes(size))
    pushed[10:12] = size.to_bytes(2, "little")
    with pytest.raises(WireError, match="at most 1024"):
        PskExchange.pull(Reader(bytes(pushed), "PSK_EXCHANGE"))


def test_a_signature_in_finish_needs_an_algorithm_for_the_requester() -> None:
    pushed = Finish(Version.V12, b"v" * HASH_SIZE, 0, b"s" * REQUESTER_SIGNATURE_SIZE).push()
    with pytest.raises(WireError, match="without a negotiated algorithm"):
        Finish.pull(Reader(pushed, "FINISH"), LAYOUT, 0)


# -- opaque data -----------------------------------------------------------------------------------------------------

elements = st.lists(st.builds(OpaqueElement, st.integers(0, 11), opaque, st.binary(max_size=9)), max_size=5)


@given(versions, elements)
def test_opaque_elements_survive_encoding(version: Version, elements: list[OpaqueElement]) -> None:
    pushed = push_elements(elements, version)
    assert len(pushed) % 4 == 0
    assert pull_elements(pushed, version) == tuple(elements)


@given(versions, st.binary(max_size=80))
def test_noise_in_opaque_data_brings_nothing_but_a_clean_error(version: Version, noise: bytes) -> None:
    header = push_elements([], version)
    for data in (noise, bytes((1,)) + header[1:] + noise, header[:5] + bytes((2, 0, 0)) + noise):
        try:
            parameters = SecuredParameters.pull(data, version)
        except WireError:
            continue
        assert parameters.limit_exponent <= 64


@pytest.mark.parametrize(
    ("version", "element", "pushed"),
    [
        (Version.V12, supported_versions([SecuredVersion.V11]), "010000000000050001010100110000 00"),
        (Version.V12, version_selection(SecuredVersion.V12), "010000000000040001000012"),
        (Version.V11, version_selection(SecuredVersion.V12), "46544d44010100000000040001000012"),
    ],
)
def test_the_reference_examples_are_encoded_as_written(version: Version, element: OpaqueElement, pushed: str) -> None:
    assert push_elements([element], version) == bytes.fromhex(pushed)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("0100000000000500010101001100000000", "bytes after the last"),
        ("020000000000050001010100110000 00", "needs 1 bytes"),
        ("01000000000005000101010011000001", "padding of an opaque element is not zero"),
        ("010000000c00050001010100110000 00", "undefined registry 12"),
        ("01000000000004000200001200000000", "bytes after the last"),
        ("010000000000040002000012", "unknown version of a secured-message element"),
        ("010000000000040001070012", "unknown secured-message element 7"),
        ("0100000000000300010241 00", "exponent 65"),
        ("0100000000000500010000120000 0000", "1 bytes too many"),
        ("02000000 000004000100 0012 000004000100 0011", "two secured-message elements"),
    ],
)
def test_opaque_data_that_contradicts_itself_is_refused(broken: str, message: str) -> None:
    with pytest.raises(WireError, match=message):
        SecuredParameters.pull(bytes.fromhex(broken), Version.V12)


def test_elements_of_other_registries_are_stepped_over() -> None:
    foreign = OpaqueElement(3, b"anything", b"\x86\x80")
    parameters = SecuredParameters.pull(
        push_elements([foreign, version_selection(SecuredVersion.V11)], Version.V12), Version.V12
    )
    assert parameters.selected == SecuredVersion.V11
