"""Requests that go the other way: the device asks, inside exchanges that we begin (reference §5.7).

The flow is the same in the clear, in a handshake and in a session. What to answer is the business of an `Identity`;
here the turns are kept, and the number of them is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Protocol

from cmakeys.spdm.algorithms import BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import MutualAuthentication, RequestCode, ResponseCode, Version
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.effects import Flow
from cmakeys.spdm.messages.encapsulated import (
    AckPayload,
    DeliverEncapsulatedResponse,
    EncapsulatedRequest,
    EncapsulatedResponseAck,
    GetEncapsulatedRequest,
)
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.signing import Context
from cmakeys.spdm.violation import ProtocolViolation, violation
from cmakeys.spdm.wire import Reader, WireError

_DIGESTS = bytes((ResponseCode.DIGESTS,))

MAX_ROUNDS = 4096
"""Requests that a device may make in one flow; a chain in small portions takes many."""


class Answerer(Protocol):
    """Answers what a device asks."""

    def answer(self, request: bytes) -> bytes:
        """The whole response to a request of the device; an ERROR where it is not supported."""


class Identity(Answerer, Protocol):
    """What a requester is known by: its chains, and the key it signs with."""

    def chain_structure(self, slot: int) -> bytes:
        """The certificate chain structure of one of our slots."""

    def sign(
        self, slot: int, version: Version, asym: BaseAsym | PqcAsym, base_hash: BaseHash, context: Context, data: bytes
    ) -> bytes:
        """A signature over the transcript `data`, made as `cmakeys.spdm.signing` verifies it."""


def serve(requester: Requester, answerer: Answerer, mode: MutualAuthentication) -> Flow[int]:
    """Answer the device's requests until it has no more; the slot of ours that it chose, 0 if it named none.

    `mode` says how the flow begins: with GET_ENCAPSULATED_REQUEST, or with our DIGESTS as if they had been asked for.
    Raises `ProtocolViolation` and what delivering raises.
    """
    version = requester.connection.version or Version.V10
    if mode is MutualAuthentication.IMPLICIT_DIGESTS:
        asked, request = 0, bytes((version, RequestCode.GET_DIGESTS, 0, 0))
    else:
        message = GetEncapsulatedRequest(version).push()
        yield from requester.delivery.ask(RequestCode.GET_ENCAPSULATED_REQUEST, lambda: message)
        first = EncapsulatedRequest.pull(_answer(requester))
        asked, request = first.request_id, first.message
    for _ in range(MAX_ROUNDS):
        build = partial(_deliver, version, asked, answerer, request)
        yield from requester.delivery.ask(RequestCode.DELIVER_ENCAPSULATED_RESPONSE, build)
        acknowledged = _acknowledgement(requester)
        if version >= Version.V12 and acknowledged.acknowledged != asked:
            raise _unfit(f"response {acknowledged.acknowledged} is acknowledged where {asked} was delivered")
        if acknowledged.kind == AckPayload.ABSENT:
            return 0
        if acknowledged.kind == AckPayload.REQUESTER_SLOT:
            return acknowledged.payload[0]
        if acknowledged.kind != AckPayload.REQUEST:
            raise _unfit(f"unknown payload type {acknowledged.kind}")
        asked, request = acknowledged.request_id, acknowledged.payload
    raise _unfit(f"more than {MAX_ROUNDS} encapsulated requests")


def _deliver(version: Version, asked: int, answerer: Answerer, request: bytes) -> bytes:
    return DeliverEncapsulatedResponse(version, asked, answerer.answer(request)).push()


def first_digests(exchanges: Iterable[Exchange]) -> bytes:
    """EncapD: the first DIGESTS that we delivered in these exchanges, without its wrapper; empty if there was none."""
    found = b""
    for exchange in exchanges:
        request = exchange.request
        if request[1] == RequestCode.GET_VERSION:
            found = b""
        elif request[1] == RequestCode.DELIVER_ENCAPSULATED_RESPONSE and request[5:6] == _DIGESTS and not found:
            found = DeliverEncapsulatedResponse.pull(Reader(request, "DELIVER_ENCAPSULATED_RESPONSE")).message
    return found


def _answer(requester: Requester) -> Reader:
    return Reader(requester.connection.exchanges[-1].response, "encapsulated request")


def _acknowledgement(requester: Requester) -> EncapsulatedResponseAck:
    try:
        return EncapsulatedResponseAck.pull(_answer(requester))
    except WireError as error:
        raise _unfit(error.message) from error


def _unfit(message: str) -> ProtocolViolation:
    return violation(RequestCode.DELIVER_ENCAPSULATED_RESPONSE, message)
