"""Our requester has the recorded conversations, sessions included; and a session that was tampered with is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmakeys.spdm.agreement import EXCHANGE_SIZES, ExchangeSize
from cmakeys.spdm.codes import RequestCode, ResponseCode
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.messages.encapsulated import (
    DeliverEncapsulatedResponse,
    EncapsulatedRequest,
    EncapsulatedResponseAck,
    GetEncapsulatedRequest,
)
from cmakeys.spdm.messages.finish import Finish, FinishResponse
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinish, PskFinishResponse
from cmakeys.spdm.messages.session_control import (
    EndSession,
    EndSessionAck,
    Heartbeat,
    HeartbeatAck,
    KeyUpdate,
    KeyUpdateAck,
)
from cmakeys.spdm.reassembly import Reassembler
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.wire import Reader
from tests.spdm.recorded_sessions import follow
from tests.spdm.replay import Replay

# The signatures that are verified on the way: CHALLENGE_AUTH and MEASUREMENTS outside sessions; then, for each session
# by KEY_EXCHANGE, KEY_EXCHANGE_RSP, FINISH with mutual authentication, and MEASUREMENTS inside.
SIGNATURES = {
    "qemu10-nvme-doe-v12-p384-session": 2,
    "v10-doe-rsassa3072-sha256": 2,
    "v11-mctp-p256-sha256-session-encrypted-handshake": 6,
    "v12-doe-p384-alias": 2,
    "v12-mctp-p384-chunk256": 2,
    "v12-mctp-p384-sha384": 2,
    "v12-mctp-psk-sha384": 0,
    "v12-none-p256-sha256": 2,
    "v12-tcp-p521-sha512": 2,
    "v13-doe-p384-full": 9,
    "v13-mctp-p384-sha384-multikey-session": 6,
    "v14-doe-p384-sha384-session": 6,
    "v14-mctp-mldsa65-mlkem768-session": 6,
}


@pytest.mark.parametrize(("name", "signatures"), SIGNATURES.items())
def test_our_requester_has_the_recorded_conversation(name: str, signatures: int, shared_data: Path) -> None:
    replay = Replay(follow(shared_data / "captures", name))
    replay.run()
    assert replay.verified == signatures
    assert replay.position == len(replay.recording.items)
    assert len(replay.sessions) == replay.recording.sessions


def test_every_capture_is_replayed(shared_data: Path) -> None:
    names = {path.name.removesuffix(".pcap.raw.jsonl") for path in (shared_data / "captures").glob("*.raw.jsonl")}
    assert names == set(SIGNATURES)


# -- codecs give the recorded bytes back -----------------------------------------------------------------------------


def codecs(terms: Terms, asked: Any, has_measurements: bool) -> dict[int, Callable[[Reader], Any]]:
    """How each message of a session is read; a response may depend on what was asked."""
    layout, clear = terms.layout, terms.clear_handshake
    sizes = EXCHANGE_SIZES[terms.agreement] if terms.agreement else ExchangeSize(0, 0)
    summary = has_measurements and bool(getattr(asked, "summary_hash", 0))
    return {
        RequestCode.KEY_EXCHANGE: lambda reader: KeyExchange.pull(reader, sizes.request),
        ResponseCode.KEY_EXCHANGE_RSP: lambda reader: KeyExchangeResponse.pull(
            reader, layout, exchange_size=sizes.response, has_summary=summary, has_verify_data=not clear
        ),
        RequestCode.FINISH: lambda reader: Finish.pull(reader, layout, terms.requester_signature_size),
        ResponseCode.FINISH_RSP: lambda reader: FinishResponse.pull(reader, layout, has_verify_data=clear),
        RequestCode.PSK_EXCHANGE: PskExchange.pull,
        ResponseCode.PSK_EXCHANGE_RSP: lambda reader: PskExchangeResponse.pull(reader, layout, has_summary=summary),
        RequestCode.PSK_FINISH: lambda reader: PskFinish.pull(reader, layout),
        ResponseCode.PSK_FINISH_RSP: PskFinishResponse.pull,
        RequestCode.HEARTBEAT: Heartbeat.pull,
        ResponseCode.HEARTBEAT_ACK: HeartbeatAck.pull,
        RequestCode.KEY_UPDATE: KeyUpdate.pull,
        ResponseCode.KEY_UPDATE_ACK: KeyUpdateAck.pull,
        RequestCode.END_SESSION: EndSession.pull,
        ResponseCode.END_SESSION_ACK: EndSessionAck.pull,
        RequestCode.GET_ENCAPSULATED_REQUEST: GetEncapsulatedRequest.pull,
        ResponseCode.ENCAPSULATED_REQUEST: EncapsulatedRequest.pull,
        RequestCode.DELIVER_ENCAPSULATED_RESPONSE: DeliverEncapsulatedResponse.pull,
        ResponseCode.ENCAPSULATED_RESPONSE_ACK: EncapsulatedResponseAck.pull,
    }


# How many messages of a session each recording holds.
MESSAGES = {
    "qemu10-nvme-doe-v12-p384-session": 8,
    "v11-mctp-p256-sha256-session-encrypted-handshake": 24,
    "v12-mctp-psk-sha384": 12,
    "v13-doe-p384-full": 78,
    "v13-mctp-p384-sha384-multikey-session": 24,
    "v14-doe-p384-sha384-session": 30,
    "v14-mctp-mldsa65-mlkem768-session": 24,
}


@pytest.mark.parametrize(("name", "count"), MESSAGES.items())
def test_every_recorded_message_of_a_session_is_encoded_again_byte_for_byte(
    name: str, count: int, shared_data: Path
) -> None:
    recording = follow(shared_data / "captures", name)
    connection, reassembler = Connection(), Reassembler()
    checked = 0
    for item in recording.items:
        request, response = item.request, item.response
        if item.application:
            continue
        if item.session is None:
            exchange = reassembler.feed(request, response)
            if exchange is None:
                continue
            connection.observe(exchange.request, exchange.response)
            request, response = exchange.request, exchange.response
        if connection.algorithms is None:
            continue
        asked = None
        for message in (request, response):
            pull = codecs(Terms.of(connection), asked, connection.has(MEAS)).get(message[1])
            if pull is None:
                continue
            reader = Reader(message, "recorded message")
            asked = pull(reader)
            assert asked.push() == reader.consumed()
            assert not any(message[reader.offset :])
            checked += 1
    assert checked == count
