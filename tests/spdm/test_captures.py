"""What the reference pair said to each other holds by our rules, and our requester could have had the conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from cmakeys.spdm.algorithms import OpaqueFormat
from cmakeys.spdm.codes import Capability, RequestCode, ResponseCode, SummaryHash, Version
from cmakeys.spdm.connection import Connection, Exchange
from cmakeys.spdm.effects import Flow, Send
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.certificates import (
    CertificateResponse,
    Digests,
    GetCertificate,
    GetDigests,
)
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.measurements import GetMeasurements, Measurements
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms
from cmakeys.spdm.messages.version import GetVersion, VersionResponse
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.wire import Reader
from tests.spdm.conversations import Conversation, leaf_key, load

T = TypeVar("T")

CAPTURES = [
    "qemu10-nvme-doe-v12-p384-session",
    "v10-doe-rsassa3072-sha256",
    "v11-mctp-p256-sha256-session-encrypted-handshake",
    "v12-doe-p384-alias",
    "v12-mctp-p384-chunk256",
    "v12-mctp-p384-sha384",
    "v12-mctp-psk-sha384",
    "v12-none-p256-sha256",
    "v12-tcp-p521-sha512",
    "v13-doe-p384-full",
    "v13-mctp-p384-sha384-multikey-session",
    "v14-doe-p384-sha384-session",
    "v14-mctp-mldsa65-mlkem768-session",
]
WITHOUT_CERTIFICATES = {"v12-mctp-psk-sha384"}


@pytest.fixture(params=CAPTURES)
def conversation(request: pytest.FixtureRequest, shared_data: Path) -> Conversation:
    return load(shared_data / "captures", request.param)


def verify_new_signatures(connection: Connection, seen: set[int]) -> int:
    """Verify the statements that appeared since the last call; how many there were."""
    statements = [connection.challenge] if connection.challenge else []
    statements += [connection.measurements.statement] if connection.measurements else []
    fresh = [statement for statement in statements if id(statement) not in seen]
    for statement in fresh:
        assert statement.slot is not None
        verify_statement(statement, leaf_key(connection.chains[statement.slot], connection.layout.hash_size))
        seen.add(id(statement))
    return len(fresh)


def test_every_recorded_exchange_is_accepted_and_every_signature_verifies(conversation: Conversation) -> None:
    connection = Connection()
    seen: set[int] = set()
    verified = 0
    for exchange in conversation.exchanges():
        connection.observe(exchange.request, exchange.response)
        verified += verify_new_signatures(connection, seen)
    assert verified == (0 if conversation.name in WITHOUT_CERTIFICATES else 2)


def test_a_changed_bit_in_a_signed_message_fails_its_signature(shared_data: Path) -> None:
    conversation = load(shared_data / "captures", "v12-mctp-p384-sha384")
    connection = Connection()
    for exchange in conversation.exchanges():
        response = bytearray(exchange.response)
        if response[1] == ResponseCode.VERSION:
            response[6] ^= 0x01  # the alpha nibble of an entry: harmless to parse, but it is in every transcript
        connection.observe(exchange.request, bytes(response))
    assert connection.challenge is not None
    assert connection.measurements is not None
    for statement in (connection.challenge, connection.measurements.statement):
        key = leaf_key(connection.chains[0], connection.layout.hash_size)
        with pytest.raises(Exception, match="does not verify"):
            verify_statement(statement, key)


# -- the requester has the same conversation -------------------------------------------------------------------------


class Recorded:
    """The responder's half of a capture; insists on the requester's half, byte for byte up to transport padding."""

    def __init__(self, conversation: Conversation) -> None:
        self._pairs = iter(conversation.pairs)
        self.sent = 0

    def skip(self) -> None:
        """Leave out one message pair."""
        next(self._pairs)

    def drive(self, flow: Flow[T]) -> T:
        answer: bytes | None = None
        while True:
            try:
                effect = next(flow) if answer is None else flow.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's return value is untyped
            assert isinstance(effect, Send), "the reference pair never made us wait"
            request, answer = next(self._pairs)
            assert request.startswith(effect.message)
            assert not any(request[len(effect.message) :])
            assert len(request) - len(effect.message) < 4
            self.sent += 1


def recorded_entropy(exchanges: list[Exchange]) -> Callable[[int], bytes]:
    """The nonces and contexts of the recorded requests, in the order in which a requester draws them."""

    def draws() -> Iterator[bytes]:
        for exchange in exchanges:
            reader = Reader(exchange.request, "recorded request")
            request: Challenge | GetMeasurements
            if exchange.request[1] == RequestCode.CHALLENGE:
                request = Challenge.pull(reader)
            elif exchange.request[1] == RequestCode.GET_MEASUREMENTS:
                request = GetMeasurements.pull(reader)
            else:
                continue
            yield from (part for part in (request.nonce, request.context) if part)

    source = draws()

    def entropy(count: int) -> bytes:
        drawn = next(source)
        assert len(drawn) == count
        return drawn

    return entropy


def recorded_offer(exchanges: list[Exchange]) -> Offer:
    capabilities = GetCapabilities.pull(Reader(exchanges[1].request, "GET_CAPABILITIES"))
    algorithms = NegotiateAlgorithms.pull(Reader(exchanges[2].request, "NEGOTIATE_ALGORITHMS"))
    portions = [
        GetCertificate.pull(Reader(exchange.request, "GET_CERTIFICATE")).length
        for exchange in exchanges
        if exchange.request[1] == RequestCode.GET_CERTIFICATE
    ]
    return Offer(
        versions=frozenset({capabilities.version}),
        base_asym=algorithms.base_asym,
        pqc_asym=algorithms.pqc_asym,
        base_hash=algorithms.base_hash,
        requester_flags=capabilities.flags,
        ct_exponent=capabilities.ct_exponent,
        data_transfer_size=capabilities.data_transfer_size or 0x10000,
        max_message_size=capabilities.max_message_size or 0x10000,
        measurement_specification=algorithms.measurement_specification,
        opaque_format=OpaqueFormat(algorithms.other_params & 3),
        mel_specification=algorithms.mel_specification,
        tables=algorithms.tables,
        multi_key=bool(algorithms.other_params & 0x10),
        portion_length=portions[0] if portions else 0x1000,
    )


BASIC_MUTUAL_AUTHENTICATION = (RequestCode.GET_ENCAPSULATED_REQUEST, RequestCode.DELIVER_ENCAPSULATED_RESPONSE)


@pytest.mark.parametrize("name", CAPTURES)
def test_the_requester_has_the_recorded_conversation(name: str, shared_data: Path) -> None:
    conversation = load(shared_data / "captures", name)
    if conversation.pairs[1][0][1] == RequestCode.GET_VERSION:
        conversation = Conversation(name, conversation.pairs[1:])  # asked twice; the second one is a new connection
    exchanges = conversation.exchanges()
    requester = Requester(recorded_offer(exchanges), entropy=recorded_entropy(exchanges))
    recorded = Recorded(conversation)
    seen: set[int] = set()
    verified = 0
    recorded.drive(requester.connect())
    position = 3
    while position < len(exchanges):
        request = exchanges[position].request
        code = RequestCode(request[1])
        if code == RequestCode.GET_DIGESTS:
            recorded.drive(requester.digests())
        elif code == RequestCode.GET_CERTIFICATE:
            chain = recorded.drive(requester.certificate(request[2] & 0x0F))
            assert chain == requester.connection.chains[request[2] & 0x0F]
        elif code == RequestCode.CHALLENGE:
            recorded.drive(requester.challenge(request[2], SummaryHash(request[3])))
        elif code == RequestCode.GET_MEASUREMENTS:
            asked = GetMeasurements.pull(Reader(request, "GET_MEASUREMENTS"))
            recorded.drive(
                requester.measurements(
                    asked.operation, slot=asked.slot, raw=bool(asked.attributes & 2), signed=asked.signed
                )
            )
        elif code in BASIC_MUTUAL_AUTHENTICATION:
            recorded.skip()  # between challenge and measurements; our requester never asks for it
            requester.connection.observe(request, exchanges[position].response)
        else:
            break  # sessions and the rest of the protocol come after the attestation
        verified += verify_new_signatures(requester.connection, seen)
        position = len(requester.connection.exchanges)
    assert verified == (0 if name in WITHOUT_CERTIFICATES else 2)
    assert requester.connection.exchanges == [
        Exchange(exchange.request[: len(mine.request)], exchange.response[: len(mine.response)])
        for mine, exchange in zip(requester.connection.exchanges, exchanges, strict=False)
    ]


# -- codecs give the recorded bytes back -----------------------------------------------------------------------------


def reencode(exchange: Exchange, connection: Connection) -> list[tuple[str, bytes, bytes]]:
    """(name, recorded bytes at true length, bytes pushed after a pull) of both halves of an exchange."""
    layout = connection.layout
    asked_reader, reader = Reader(exchange.request, "request"), Reader(exchange.response, "response")
    code = RequestCode(exchange.request[1])
    asked: object
    answer: object
    if exchange.response[1] == ResponseCode.ERROR:
        error = ErrorResponse.pull(reader)
        return [("ERROR", reader.consumed(), error.push())]
    match code:
        case RequestCode.GET_VERSION:
            asked, answer = GetVersion.pull(asked_reader), VersionResponse.pull(reader)
        case RequestCode.GET_CAPABILITIES:
            asked, answer = GetCapabilities.pull(asked_reader), Capabilities.pull(reader)
        case RequestCode.NEGOTIATE_ALGORITHMS:
            asked, answer = NegotiateAlgorithms.pull(asked_reader), Algorithms.pull(reader)
        case RequestCode.GET_DIGESTS:
            asked, answer = GetDigests.pull(asked_reader), Digests.pull(reader, layout)
        case RequestCode.GET_CERTIFICATE:
            asked, answer = GetCertificate.pull(asked_reader), CertificateResponse.pull(reader)
        case RequestCode.CHALLENGE:
            challenge = Challenge.pull(asked_reader)
            asked = challenge
            answer = ChallengeAuth.pull(reader, layout, has_summary=challenge.summary_hash != 0)
        case RequestCode.GET_MEASUREMENTS:
            measure = GetMeasurements.pull(asked_reader)
            asked, answer = measure, Measurements.pull(reader, layout, signed=measure.signed)
        case _:
            return []
    assert hasattr(asked, "push")
    assert hasattr(answer, "push")
    return [
        (code.name, asked_reader.consumed(), asked.push()),
        (f"answer to {code.name}", reader.consumed(), answer.push()),
    ]


def test_every_recorded_message_is_encoded_again_byte_for_byte(conversation: Conversation) -> None:
    connection = Connection()
    checked = 0
    for exchange in conversation.exchanges():
        connection.observe(exchange.request, exchange.response)
        for name, recorded, pushed in reencode(exchange, connection):
            assert pushed == recorded, name
            checked += 1
    assert checked >= 6


def test_every_recorded_chunk_is_encoded_again_byte_for_byte(shared_data: Path) -> None:
    kinds: dict[int, type[ChunkSend | ChunkGet | ChunkSendAck | ChunkResponse]] = {
        0x85: ChunkSend,
        0x86: ChunkGet,
        0x05: ChunkSendAck,
        0x06: ChunkResponse,
    }
    checked = 0
    for name in ("v12-mctp-p384-chunk256", "v14-mctp-mldsa65-mlkem768-session"):
        for pair in load(shared_data / "captures", name).pairs:
            for message in pair:
                kind = kinds.get(message[1])
                if kind is not None:
                    assert kind.pull(Reader(message, kind.__name__)).push() == message
                    checked += 1
    assert checked > 20


def test_the_layout_knows_what_was_negotiated(shared_data: Path) -> None:
    connection = Connection()
    for exchange in load(shared_data / "captures", "v13-mctp-p384-sha384-multikey-session").exchanges():
        connection.observe(exchange.request, exchange.response)
    assert connection.layout == Layout(Version.V13, 48, 96, multi_key=True)
    assert connection.digests is not None
    assert connection.digests.slots == (0, 1, 4)
    assert connection.has(Capability.MULTI_KEY_NEGOTIABLE)
