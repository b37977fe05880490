"""Getting an answer to one request: chunking both ways, Busy, ResponseNotReady, each bounded.

Judging the answer is `cmakeys.spdm.connection`'s business; here only the messages are read that postpone or cut it up.
"""

from __future__ import annotations

from collections.abc import Callable

from cmakeys.spdm.chunks import ChunkAssembler, split
from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode, Version
from cmakeys.spdm.connection import Connection, Response
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Flow, Limits, Resynchronise, Send, Wait
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSendAck
from cmakeys.spdm.messages.error import ErrorResponse, NotReady, RespondIfReady
from cmakeys.spdm.messages.header import HEADER_LENGTH
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.states import after
from cmakeys.spdm.violation import STEP_NEGOTIATION, STEP_OF_REQUEST, ProtocolViolation
from cmakeys.spdm.wire import Reader, WireError

_TRY_AGAIN = frozenset({ErrorCode.BUSY, ErrorCode.REQUEST_IN_FLIGHT, ErrorCode.MESSAGE_LOST})
"""Answers that say nothing about the request: the device was busy with another one, or lost the chunks of this one."""


class Delivery:
    """Delivers requests of one connection."""

    def __init__(self, connection: Connection, offer: Offer, limits: Limits) -> None:
        self._connection = connection
        self._offer = offer
        self._limits = limits
        self._handle = 0

    @property
    def _version(self) -> Version:
        return self._connection.version or Version.V10

    def ask(self, code: RequestCode, build: Callable[[], bytes]) -> Flow[Response]:
        """Send what `build` makes until the device gives a real answer; every attempt is built anew (fresh nonce)."""
        delay = self._limits.busy_delay
        for _ in range(self._limits.busy_retries + 1):
            after(self._connection.state, code)
            request = build()
            response = yield from self._deliver(code, request)
            answer = self._connection.observe(request, response)
            if not isinstance(answer, ErrorResponse):
                return answer
            if answer.code in (ErrorCode.REQUEST_RESYNCH, ErrorCode.VERSION_MISMATCH):
                raise Resynchronise
            if answer.code not in _TRY_AGAIN:
                raise DeviceRefused(answer, code)
            yield Wait(delay)
            delay *= 2
        raise DeviceUnavailable(
            f"the device was still busy after {self._limits.busy_retries + 1} attempts",
            object=code.name,
            hint="another requester or the device's own start-up may hold it; try again later",
        )

    def _deliver(self, code: RequestCode, request: bytes) -> Flow[bytes]:
        """The answer to a request: chunked out if it is too large, awaited if not ready, chunked in if it is large."""
        capabilities = self._connection.capabilities
        peer_size = capabilities.data_transfer_size if capabilities and code != RequestCode.GET_VERSION else 0
        if peer_size and len(request) > peer_size:
            response = yield from self._send_chunks(code, request, peer_size)
        else:
            response = yield Send(request, self._timeout(code))
        for _ in range(self._limits.not_ready_rounds):
            error = self._error_of(response)
            if error is None:
                return response
            if error.code == ErrorCode.LARGE_RESPONSE:
                return (yield from self._receive_chunks(code, error))
            if error.code != ErrorCode.RESPONSE_NOT_READY:
                return response
            response = yield from self._await_ready(code, error)
        raise DeviceUnavailable(
            f"the answer was not ready after {self._limits.not_ready_rounds} rounds",
            object=code.name,
            hint="the device is overloaded or stuck; try again later",
        )

    def _timeout(self, code: RequestCode) -> float:
        capabilities = self._connection.capabilities
        if code in (RequestCode.GET_VERSION, RequestCode.GET_CAPABILITIES, RequestCode.NEGOTIATE_ALGORITHMS):
            return self._limits.answer_timeout
        # CTExponent 0 is common and no promise of one microsecond, hence the floor (reference §11.2).
        announced = 2.0 ** min(capabilities.ct_exponent, 31) / 1e6 if capabilities else 0.0
        return min(max(announced, self._limits.answer_timeout), self._limits.crypto_timeout)

    def _error_of(self, response: bytes) -> ErrorResponse | None:
        if len(response) < HEADER_LENGTH or response[1] != ResponseCode.ERROR:
            return None
        try:
            return ErrorResponse.pull(Reader(response, "ERROR"))
        except WireError:
            return None  # the connection names what is wrong with it

    def _await_ready(self, code: RequestCode, error: ErrorResponse) -> Flow[bytes]:
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        promise = NotReady.pull(error.extended)
        if step == STEP_NEGOTIATION:
            raise ProtocolViolation("ResponseNotReady is not allowed before ALGORITHMS", step=step, object=code.name)
        if promise.request_code != code:
            raise ProtocolViolation(
                f"ResponseNotReady names request {promise.request_code:#04x}", step=step, object=code.name
            )
        if promise.rdt_exponent > 31 or promise.rdtm < 1:
            raise ProtocolViolation(
                f"ResponseNotReady with RDTExponent {promise.rdt_exponent} and RDTM {promise.rdtm}",
                step=step,
                object=code.name,
            )
        delay = 2.0**promise.rdt_exponent / 1e6
        if delay > self._limits.not_ready_delay:
            raise DeviceUnavailable(
                f"the answer is promised in {delay:.0f} s, more than the {self._limits.not_ready_delay:.0f} s allowed",
                object=code.name,
                hint="raise the time budget if this device needs so long",
            )
        yield Wait(delay)
        message = RespondIfReady(self._version, code, promise.token).push()
        return (yield Send(message, self._timeout(code)))

    # -- chunks -------------------------------------------------------------------------------------------------------

    def _receive_chunks(self, code: RequestCode, error: ErrorResponse) -> Flow[bytes]:
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        if not self._connection.chunking():
            raise ProtocolViolation("LargeResponse though chunking was not negotiated", step=step, object=code.name)
        handle = error.extended[0]
        assembler = ChunkAssembler(self._version, handle, self._offer.max_message_size)
        try:
            for _ in range(self._limits.chunks):
                response = yield Send(ChunkGet(self._version, handle, assembler.sequence).push(), self._timeout(code))
                failure = self._error_of(response)
                if failure is not None:
                    if failure.code == ErrorCode.LARGE_RESPONSE:
                        raise ProtocolViolation("LargeResponse inside a chunked response", step=step, object=code.name)
                    return response
                reader = Reader(response, "CHUNK_RESPONSE")
                whole = assembler.add(ChunkResponse.pull(reader))
                if reader.offset > self._offer.data_transfer_size:
                    raise reader.fail(f"a chunk larger than our DataTransferSize {self._offer.data_transfer_size}")
                if whole is not None:
                    if self._error_of(whole) is not None and whole[2] == ErrorCode.LARGE_RESPONSE:
                        raise reader.fail("LargeResponse inside a chunked response")
                    return whole
        except WireError as problem:
            raise ProtocolViolation(problem.message, step=step, object=f"chunked answer to {code.name}") from problem
        raise ProtocolViolation(f"more than {self._limits.chunks} chunks", step=step, object=code.name)

    def _send_chunks(self, code: RequestCode, request: bytes, transfer_size: int) -> Flow[bytes]:
        step = STEP_OF_REQUEST.get(code, STEP_NEGOTIATION)
        if not self._connection.chunking():
            raise ProtocolViolation(
                f"the request needs {len(request)} bytes, the device takes {transfer_size} and does not chunk",
                step=step,
                object=code.name,
            )
        most = self._connection.capabilities.max_message_size if self._connection.capabilities else 0
        if len(request) > most:
            raise ProtocolViolation(
                f"the request needs {len(request)} bytes, the device takes messages of at most {most} bytes",
                step=step,
                object=code.name,
            )
        handle = self._handle
        self._handle = (self._handle + 1) & 0xFF
        for chunk in split(request, self._version, handle, transfer_size):
            response = yield Send(chunk.push(), self._timeout(code))
            if self._error_of(response) is not None:
                return response
            try:
                acknowledgement = ChunkSendAck.pull(Reader(response, "CHUNK_SEND_ACK"))
            except WireError as problem:
                raise ProtocolViolation(problem.message, step=step, object="CHUNK_SEND_ACK") from problem
            if (acknowledgement.handle, acknowledgement.sequence) != (handle, chunk.sequence):
                raise ProtocolViolation(
                    f"acknowledges chunk {acknowledgement.sequence} of transfer {acknowledgement.handle},"
                    f" chunk {chunk.sequence} of transfer {handle} was sent",
                    step=step,
                    object="CHUNK_SEND_ACK",
                )
            if acknowledgement.early_error or chunk.last:
                return acknowledgement.response
        raise ProtocolViolation("the last chunk was not acknowledged", step=step, object=code.name)
