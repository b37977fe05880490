"""What the reference pair said to each other holds by our rules, and our requester could have had the conversation."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest

from cmakeys.spdm.codes import Capability, RequestCode, ResponseCode, Version
from cmakeys.spdm.connection import Connection, Exchange
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
