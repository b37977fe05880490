"""An emulated CMA-SPDM device: request bytes in, response bytes out, no I/O (versions 1.0 to 1.4).

What may be asked when, and what is answered when it may not, follows reference §1.3 and §1.4; where the specification
leaves a choice the device does what libspdm's responder does. The transcripts are the ones the requester uses
(`cmakeys.spdm.transcript`). Lies are told at the hooks of `cmakeys.emulator.lies.lie`; without any it is honest.

Sessions are not offered: their requests are known and answered UnsupportedRequest. A session layer will be rows in
`SERVICES` and one more caller of `Device.respond`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cmakeys.emulator.attestation import answer_certificate, answer_challenge, answer_digests, answer_measurements
from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keypairs import answer_key_pair_info
from cmakeys.emulator.negotiation import answer_algorithms, answer_capabilities, answer_version
from cmakeys.emulator.transfers import CHUNK_CODES, answer_chunk_get, answer_chunk_send, deliver
from cmakeys.spdm.codes import Capability, ErrorCode, RequestCode, Version
from cmakeys.spdm.messages.error import RespondIfReady
from cmakeys.spdm.messages.header import HEADER_LENGTH
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.states import TRANSITIONS, State
from cmakeys.spdm.wire import Reader, WireError

_PADDING = 3
"""Bytes that a DOE mailbox may add to a request."""


@dataclass(frozen=True, slots=True)
class Service:
    """A request the device answers: since which version, with which of these capabilities announced."""

    answer: Callable[[Conversation, Reader], bytes]
    needs: Capability = Capability(0)
    since: Version = Version.V10


SERVICES: dict[RequestCode, Service] = {
    RequestCode.GET_VERSION: Service(answer_version),
    RequestCode.GET_CAPABILITIES: Service(answer_capabilities),
    RequestCode.NEGOTIATE_ALGORITHMS: Service(answer_algorithms),
    RequestCode.GET_DIGESTS: Service(answer_digests, Capability.CERT),
    RequestCode.GET_CERTIFICATE: Service(answer_certificate, Capability.CERT),
    RequestCode.CHALLENGE: Service(answer_challenge, Capability.CHAL),
    RequestCode.GET_MEASUREMENTS: Service(answer_measurements, MEAS),
    RequestCode.GET_KEY_PAIR_INFO: Service(answer_key_pair_info, Capability.GET_KEY_PAIR_INFO, Version.V13),
}


class Device:
    """A responder. One conversation at a time; GET_VERSION begins a new one."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self.talk = Conversation(hardware)

    def respond(self, message: bytes) -> bytes | None:
        """Answer one message as it came from the transport, padding included; None for no answer at all."""
        if len(message) < HEADER_LENGTH:
            return None
        lies = self.hardware.lies
        if message[1] == RequestCode.GET_VERSION and message[0] == Version.V10:
            self.talk = Conversation(self.hardware)
            lies.restarted()
        answer = lies.intercept(message, self.talk)
        if answer is None:
            answer = self._answer(message)
        return lies.transmit(answer, self.talk) or None

    def _answer(self, message: bytes) -> bytes:
        talk = self.talk
        try:
            self._admit(message)
            code = message[1]
            if code == RequestCode.CHUNK_GET:
                return answer_chunk_get(talk, Reader(message, "CHUNK_GET"))
            if code == RequestCode.CHUNK_SEND:
                return answer_chunk_send(talk, Reader(message, "CHUNK_SEND"), self._process)
            if code == RequestCode.RESPOND_IF_READY:
                return deliver(talk, self._respond_if_ready(message))
            talk.deferred = None
            return deliver(talk, self._process(message))
        except Refusal as refusal:
            return talk.error(refusal)
        except WireError:
            return talk.error(Refusal(ErrorCode.INVALID_REQUEST))

    def _admit(self, message: bytes) -> None:
        """The checks that come before any request is read: version byte, known code, size, open transfer."""
        talk, settings = self.talk, self.hardware.settings
        version, code = message[0], message[1]
        if code == RequestCode.GET_VERSION:
            if version != Version.V10:
                raise Refusal(ErrorCode.VERSION_MISMATCH)
            return
        if talk.state == State.NOT_STARTED:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        if version not in settings.versions or (talk.version is not None and version != talk.version):
            raise Refusal(ErrorCode.VERSION_MISMATCH)
        if code not in set(RequestCode):
            raise Refusal(ErrorCode.INVALID_REQUEST)
        if code in CHUNK_CODES:
            if not talk.chunking():
                raise Refusal(ErrorCode.UNSUPPORTED_REQUEST, code)
        elif talk.outgoing is not None or talk.incoming is not None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        if talk.limit is not None and len(message) > settings.data_transfer_size + _PADDING:
            raise Refusal(ErrorCode.REQUEST_TOO_LARGE)

    def _process(self, message: bytes) -> bytes:
        """Answer one whole request, with an ERROR where it must be."""
        talk = self.talk
        try:
            following, service = self._service(message)
            later = self.hardware.lies.defer(message, talk)
            if later is not None:
                talk.deferred, talk.token = message, later.token
                raise Refusal(ErrorCode.RESPONSE_NOT_READY, extended=later.push())
            code = RequestCode(message[1])
            talk.transcript.begin(code)
            octets = service.answer(talk, Reader(message, code.name))
        except (Refusal, WireError) as error:
            if message[1] == RequestCode.GET_MEASUREMENTS:
                talk.transcript.reset_l1()
            return talk.error(error if isinstance(error, Refusal) else Refusal(ErrorCode.INVALID_REQUEST))
        talk.state = following
        return octets

    def _service(self, message: bytes) -> tuple[State, Service]:
        talk = self.talk
        if len(message) < HEADER_LENGTH or message[1] not in set(RequestCode):
            raise Refusal(ErrorCode.INVALID_REQUEST)
        code = RequestCode(message[1])
        if talk.version is not None and message[0] != talk.version and code != RequestCode.GET_VERSION:
            raise Refusal(ErrorCode.VERSION_MISMATCH)
        service = SERVICES.get(code)
        if talk.state == State.NEGOTIATED and not _usable(service, talk, message[0]):
            raise Refusal(ErrorCode.UNSUPPORTED_REQUEST, code)
        following = TRANSITIONS[talk.state].get(code)
        if following is None or service is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        return following, service

    def _respond_if_ready(self, message: bytes) -> bytes:
        talk = self.talk
        request = RespondIfReady.pull(Reader(message, "RESPOND_IF_READY"))
        if talk.deferred is None or request.request_code != talk.deferred[1] or request.token != talk.token:
            raise Refusal(ErrorCode.INVALID_REQUEST)
        deferred, talk.deferred = talk.deferred, None
        return self._process(deferred)


def _usable(service: Service | None, talk: Conversation, version: int) -> bool:
    """The device has this service, in this version, and has announced what it needs."""
    if service is None or version < service.since:
        return False
    return not service.needs or bool(talk.flags & service.needs)
