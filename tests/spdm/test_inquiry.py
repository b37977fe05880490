"""What is asked beyond attestation, with the recorded device's answers, and with those of one that lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from cmakeys.spdm import inquiry
from cmakeys.spdm.codes import NONCE_LENGTH, Capability, ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.effects import DeviceRefused, Flow, Send
from cmakeys.spdm.inquiry import NotOffered
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.extension_log import (
    GetMeasurementExtensionLog,
    LogEntry,
    MeasurementExtensionLog,
    push_log,
)
from cmakeys.spdm.messages.key_pairs import GetKeyPairInfo, KeyPairInfo
from cmakeys.spdm.messages.provisioning import Csr
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.spdm.wire import Reader
from tests.spdm.conversations import Conversation, load

T = TypeVar("T")
FULL = "v13-doe-p384-full"


@pytest.fixture
def conversation(shared_data: Path) -> Conversation:
    return load(shared_data / "captures", FULL)


def negotiated(conversation: Conversation, entropy: Callable[[int], bytes] = bytes) -> Requester:
    """A requester whose connection has come as far as ALGORITHMS in the recording."""
    connection = Connection()
    for exchange in conversation.exchanges()[:3]:
        connection.observe(exchange.request, exchange.response)
    return Requester(connection=connection, entropy=entropy)


def drive(flow: Flow[T], answer: Callable[[bytes], bytes]) -> T:
    response = None
    while True:
        try:
            effect = next(flow) if response is None else flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        assert isinstance(effect, Send)
        response = answer(effect.message)


def recorded(conversation: Conversation, code: RequestCode) -> tuple[bytes, bytes]:
    found = next(one for one in conversation.exchanges() if one.request[1] == code)
    return found.request, found.response


def test_the_recorded_log_is_read(conversation: Conversation) -> None:
    _, response = recorded(conversation, RequestCode.GET_MEASUREMENT_EXTENSION_LOG)
    log = drive(inquiry.extension_log(negotiated(conversation)), lambda _: response)
    assert [entry.value for entry in log] == [b"ROM", b"Boot FW", bytes.fromhex("0a030001")]


def test_the_recorded_endpoint_information_is_asked_for_as_recorded(conversation: Conversation) -> None:
    request, response = recorded(conversation, RequestCode.GET_ENDPOINT_INFO)
    requester = negotiated(conversation, lambda size: request[8:40] if size == NONCE_LENGTH else b"")

    def answer(message: bytes) -> bytes:
        assert message == request[:40]
        return response

    (identifier,) = drive(inquiry.endpoint_info(requester), answer)
    assert identifier.parts == (bytes.fromhex("123456"),)
    assert requester.connection.endpoint_info is not None


def test_a_log_in_portions_is_asked_for_from_where_it_stands(conversation: Conversation) -> None:
    log = push_log(tuple(LogEntry(number, 0x11, 0x89, bytes(500)) for number in range(1, 20)))

    def answer(message: bytes) -> bytes:
        asked = GetMeasurementExtensionLog.pull(Reader(message, "GET_MEASUREMENT_EXTENSION_LOG"))
        portion = log[asked.offset : asked.offset + min(asked.length, 700)]
        return MeasurementExtensionLog(Version.V13, portion, len(log) - asked.offset - len(portion)).push()

    assert len(drive(inquiry.extension_log(negotiated(conversation)), answer)) == 19


def test_a_log_that_never_ends_is_given_up(conversation: Conversation) -> None:
    requester = negotiated(conversation)
    requester.limits = replace(requester.limits, portions=5)
    requests = 0

    def answer(_: bytes) -> bytes:
        nonlocal requests
        requests += 1
        body = (1).to_bytes(4, "little") + (0x8000).to_bytes(4, "little") + bytes(8)
        return MeasurementExtensionLog(Version.V13, body if requests == 1 else b"\0", 0x1000).push()

    with pytest.raises(ProtocolViolation, match="did not end within 5 portions"):
        drive(inquiry.extension_log(requester), answer)
    assert requests == 5


def test_all_key_pairs_are_asked_for_and_their_number_may_not_change(conversation: Conversation) -> None:
    _, response = recorded(conversation, RequestCode.GET_KEY_PAIR_INFO)
    example = KeyPairInfo.pull(Reader(response, "KEY_PAIR_INFO"))

    def answer(total: Callable[[int], int]) -> Callable[[bytes], bytes]:
        def of(message: bytes) -> bytes:
            number = GetKeyPairInfo.pull(Reader(message, "GET_KEY_PAIR_INFO")).key_pair
            return replace(example, key_pair=number, total=total(number)).push()

        return of

    found = drive(inquiry.key_pairs(negotiated(conversation)), answer(lambda _: 4))
    assert [pair.key_pair for pair in found] == [1, 2, 3, 4]
    with pytest.raises(ProtocolViolation, match="had 5 key pairs and now has 6"):
        drive(inquiry.key_pairs(negotiated(conversation)), answer(lambda number: number + 4))


def test_a_certificate_request_is_given_back_as_it_came(conversation: Conversation) -> None:
    flow = inquiry.certificate_request(negotiated(conversation))
    assert drive(flow, lambda _: Csr(Version.V13, b"DER").push()) == b"DER"


def test_a_device_that_announced_nothing_is_not_asked(conversation: Conversation) -> None:
    for flag, ask in (
        (Capability.MEL, inquiry.extension_log),
        (Capability.EP_INFO_SIGNED, inquiry.endpoint_info),
        (Capability.GET_KEY_PAIR_INFO, inquiry.key_pairs),
        (Capability.CSR, inquiry.certificate_request),
        (Capability.EVENT, inquiry.supported_events),
    ):
        requester = negotiated(conversation)
        capabilities = requester.connection.capabilities
        assert capabilities is not None
        requester.connection.capabilities = replace(capabilities, flags=capabilities.flags & ~flag)
        with pytest.raises(NotOffered, match=f"{flag.name}"):
            drive(ask(requester), lambda _: pytest.fail("asked"))


def test_a_refusal_is_a_finding_about_the_device(conversation: Conversation) -> None:
    refusal = ErrorResponse(Version.V13, ErrorCode.UNSUPPORTED_REQUEST).push()
    with pytest.raises(DeviceRefused):
        drive(inquiry.extension_log(negotiated(conversation)), lambda _: refusal)


def test_an_answer_that_cannot_be_read_is_a_violation(conversation: Conversation) -> None:
    octets = bytes((Version.V13, ResponseCode.MEASUREMENT_EXTENSION_LOG, 0, 0)) + bytes((255,) * 8)
    with pytest.raises(ProtocolViolation):
        drive(inquiry.extension_log(negotiated(conversation)), lambda _: octets)
