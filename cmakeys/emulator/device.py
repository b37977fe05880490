"""An emulated CMA-SPDM device: request bytes in, response bytes out, no I/O (versions 1.0 to 1.4).

What may be asked when, and what is answered when it may not, follows reference §1.3 and §1.4; where the specification
leaves a choice the device does what libspdm's responder does. The transcripts are the ones the requester uses
(`cmakeys.spdm.transcript`). Lies are told at the hooks of `cmakeys.emulator.lies.lie`; without any it is honest.

In a session the same services answer, on the session's own view of the connection. A record that does not
authenticate ends its session with ERROR DecryptError; one of an unknown session is not answered at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cmakeys.emulator.application import answer_application
from cmakeys.emulator.attestation import answer_certificate, answer_challenge, answer_digests, answer_measurements
from cmakeys.emulator.authentication import (
    answer_deliver_encapsulated_response,
    answer_get_encapsulated_request,
    ask_key_update,
)
from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.disclosures import (
    answer_csr,
    answer_endpoint_info,
    answer_extension_log,
    answer_set_certificate,
    answer_subscribe_events,
    answer_supported_events,
    answer_vendor_defined,
)
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.key_exchange import answer_finish, answer_key_exchange
from cmakeys.emulator.keypairs import answer_key_pair_info
from cmakeys.emulator.negotiation import answer_algorithms, answer_capabilities, answer_version
from cmakeys.emulator.psk_exchange import answer_psk_exchange, answer_psk_finish
from cmakeys.emulator.session_upkeep import answer_end_session, answer_heartbeat, answer_key_update
from cmakeys.emulator.transfers import CHUNK_CODES, answer_chunk_get, answer_chunk_send, deliver
from cmakeys.spdm.codes import Capability, ErrorCode, RequestCode, Version
from cmakeys.spdm.messages.error import RespondIfReady
from cmakeys.spdm.messages.header import HEADER_LENGTH
from cmakeys.spdm.rules import MEAS, PSK
from cmakeys.spdm.secured import Binding, RecordProblem
from cmakeys.spdm.states import TRANSITIONS, State
from cmakeys.spdm.wire import Reader, WireError

_PADDING = 3
"""Bytes that a DOE mailbox may add to a request."""


@dataclass(frozen=True, slots=True)
class Service:
    """A request the device answers: since which version, with which of these capabilities on each side."""

    answer: Callable[[Conversation, Reader], bytes]
    needs: Capability = Capability(0)
    since: Version = Version.V10
    of_requester: Capability = Capability(0)


def _in_sessions(
    answer: Callable[[Conversation, Reader], bytes], ours: Capability, theirs: Capability | None = None
) -> Service:
    return Service(answer, ours, Version.V11, ours if theirs is None else theirs)


_ENCAPSULATION = Capability.ENCAP | Capability.MUT_AUTH

SERVICES: dict[RequestCode, Service] = {
    RequestCode.GET_VERSION: Service(answer_version),
    RequestCode.GET_CAPABILITIES: Service(answer_capabilities),
    RequestCode.NEGOTIATE_ALGORITHMS: Service(answer_algorithms),
    RequestCode.GET_DIGESTS: Service(answer_digests, Capability.CERT),
    RequestCode.GET_CERTIFICATE: Service(answer_certificate, Capability.CERT),
    RequestCode.CHALLENGE: Service(answer_challenge, Capability.CHAL),
    RequestCode.GET_MEASUREMENTS: Service(answer_measurements, MEAS),
    RequestCode.GET_MEASUREMENT_EXTENSION_LOG: Service(answer_extension_log, Capability.MEL, Version.V13),
    RequestCode.GET_ENDPOINT_INFO: Service(answer_endpoint_info, Capability.EP_INFO_SIGNED, Version.V13),
    RequestCode.GET_CSR: Service(answer_csr, Capability.CSR, Version.V12),
    RequestCode.SET_CERTIFICATE: Service(answer_set_certificate, Capability.SET_CERT, Version.V12),
    RequestCode.GET_SUPPORTED_EVENT_TYPES: Service(answer_supported_events, Capability.EVENT, Version.V13),
    RequestCode.SUBSCRIBE_EVENT_TYPES: Service(answer_subscribe_events, Capability.EVENT, Version.V13),
    RequestCode.VENDOR_DEFINED_REQUEST: Service(answer_vendor_defined),
    RequestCode.GET_KEY_PAIR_INFO: Service(answer_key_pair_info, Capability.GET_KEY_PAIR_INFO, Version.V13),
    RequestCode.KEY_EXCHANGE: _in_sessions(answer_key_exchange, Capability.KEY_EX),
    RequestCode.FINISH: _in_sessions(answer_finish, Capability.KEY_EX),
    RequestCode.PSK_EXCHANGE: _in_sessions(answer_psk_exchange, PSK),
    RequestCode.PSK_FINISH: _in_sessions(answer_psk_finish, Capability.PSK_WITH_CONTEXT, Capability.PSK),
    RequestCode.HEARTBEAT: _in_sessions(answer_heartbeat, Capability.HBEAT),
    RequestCode.KEY_UPDATE: _in_sessions(answer_key_update, Capability.KEY_UPD),
    RequestCode.END_SESSION: _in_sessions(answer_end_session, Capability.KEY_EX | PSK),
    RequestCode.GET_ENCAPSULATED_REQUEST: _in_sessions(answer_get_encapsulated_request, _ENCAPSULATION),
    RequestCode.DELIVER_ENCAPSULATED_RESPONSE: _in_sessions(answer_deliver_encapsulated_response, _ENCAPSULATION),
}

_SESSION_ONLY = frozenset(
    {
        RequestCode.FINISH,
        RequestCode.PSK_FINISH,
        RequestCode.HEARTBEAT,
        RequestCode.KEY_UPDATE,
        RequestCode.END_SESSION,
    }
)
"""Requests that make sense in a session only; FINISH also outside, where the handshake is in the clear."""

_DURING_AN_INTERVIEW = CHUNK_CODES | {
    RequestCode.GET_VERSION,
    RequestCode.RESPOND_IF_READY,
    RequestCode.GET_ENCAPSULATED_REQUEST,
    RequestCode.DELIVER_ENCAPSULATED_RESPONSE,
}


class Device:
    """A responder. One conversation at a time; GET_VERSION begins a new one."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self.talk = Conversation(hardware)

    def respond(
        self, message: bytes, *, secured: bool = False, binding: Binding | None = Binding.PCI_DOE
    ) -> bytes | None:
        """Answer one message as it came from the transport, padding included; None for no answer at all.

        The answer to a `secured` one is a record as well, in the form that belongs to `binding`; a transport without
        one has no sessions.
        """
        if secured:
            return self._respond_in_session(message)
        if len(message) < HEADER_LENGTH:
            return None
        if message[1] == RequestCode.GET_VERSION and message[0] == Version.V10:
            self._forget()
            self.talk = Conversation(self.hardware, binding)
            self.hardware.lies.restarted()
        return self._speak(message, self.talk) or None

    def _forget(self) -> None:
        for session in self.talk.sessions.all():
            self.talk.sessions.end(session)

    def _respond_in_session(self, record: bytes) -> bytes | None:
        session = self.talk.sessions.addressed_by(record)
        if session is None:
            return None
        binding = session.channel.binding
        try:
            application = session.open(record)
        except RecordProblem:
            session.over = True
            answer: bytes | None = binding.wrap(session.talk.error(Refusal(ErrorCode.DECRYPT_ERROR)))
        else:
            answer = self._apply(application, session.talk, binding)
        if answer is not None:
            answer = self.hardware.lies.record(session.seal(answer), session.talk)
        session.settle()
        self.talk.sessions.all()
        return answer or None

    def _apply(self, application: bytes, talk: Conversation, binding: Binding) -> bytes | None:
        """The application data that answers that of a record; None for no answer at all."""
        try:
            message = binding.unwrap(application)
        except WireError:
            return answer_application(binding, application)
        octets = self._speak(message, talk) if len(message) >= HEADER_LENGTH else b""
        return binding.wrap(octets) if octets else None

    def _speak(self, message: bytes, talk: Conversation) -> bytes:
        lies = self.hardware.lies
        answer = lies.intercept(message, talk)
        if answer is None:
            answer = self._answer(message, talk)
        return lies.transmit(answer, talk)

    def request_key_update(self) -> int:
        """Lay a KEY_UPDATE of the device's own key ready in every session that has it; in how many."""
        return sum(ask_key_update(session) for session in self.talk.sessions.all())

    def _answer(self, message: bytes, talk: Conversation) -> bytes:
        try:
            self._admit(message, talk)
            code = message[1]
            if code == RequestCode.CHUNK_GET:
                return answer_chunk_get(talk, Reader(message, "CHUNK_GET"))
            if code == RequestCode.CHUNK_SEND:
                return answer_chunk_send(talk, Reader(message, "CHUNK_SEND"), lambda whole: self._process(whole, talk))
            if code == RequestCode.RESPOND_IF_READY:
                return deliver(talk, self._respond_if_ready(message, talk))
            talk.deferred = None
            return deliver(talk, self._process(message, talk))
        except Refusal as refusal:
            return talk.error(refusal)
        except WireError:
            return talk.error(Refusal(ErrorCode.INVALID_REQUEST))

    def _admit(self, message: bytes, talk: Conversation) -> None:
        """The checks that come before any request is read: version byte, known code, size, open transfer."""
        settings = self.hardware.settings
        version, code = message[0], message[1]
        if code == RequestCode.GET_VERSION:
            if version != Version.V10:
                raise Refusal(ErrorCode.VERSION_MISMATCH)
            return
        if talk.state == State.NOT_STARTED:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        if version not in settings.versions or version != (_settled_version(talk) or version):
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

    def _process(self, message: bytes, talk: Conversation) -> bytes:
        """Answer one whole request, with an ERROR where it must be."""
        try:
            following, service = self._service(message, talk)
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

    def _service(self, message: bytes, talk: Conversation) -> tuple[State, Service]:
        if len(message) < HEADER_LENGTH or message[1] not in set(RequestCode):
            raise Refusal(ErrorCode.INVALID_REQUEST)
        code = RequestCode(message[1])
        if message[0] != (_settled_version(talk) or message[0]) and code != RequestCode.GET_VERSION:
            raise Refusal(ErrorCode.VERSION_MISMATCH)
        service = SERVICES.get(code)
        settled = talk.state in (State.NEGOTIATED, State.HANDSHAKE, State.SESSION)
        if settled and not _usable(service, talk, message[0]):
            raise Refusal(ErrorCode.UNSUPPORTED_REQUEST, code)
        if talk.state is State.NEGOTIATED and code in _SESSION_ONLY and not _finishes_in_the_clear(code, talk):
            late = message[0] >= Version.V12
            raise Refusal(ErrorCode.SESSION_REQUIRED if late else ErrorCode.UNSPECIFIED)
        if talk.interview is not None and talk.interview.outstanding and code not in _DURING_AN_INTERVIEW:
            raise Refusal(ErrorCode.REQUEST_IN_FLIGHT)
        following = TRANSITIONS[talk.state].get(code)
        if following is None or service is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        return following, service

    def _respond_if_ready(self, message: bytes, talk: Conversation) -> bytes:
        request = RespondIfReady.pull(Reader(message, "RESPOND_IF_READY"))
        if talk.deferred is None or request.request_code != talk.deferred[1] or request.token != talk.token:
            raise Refusal(ErrorCode.INVALID_REQUEST)
        deferred, talk.deferred = talk.deferred, None
        return self._process(deferred, talk)


def _settled_version(talk: Conversation) -> Version | None:
    """The version that CAPABILITIES has settled; what was asked for in vain before it settles nothing."""
    return talk.version if talk.state is not State.AFTER_VERSION else None


def _usable(service: Service | None, talk: Conversation, version: int) -> bool:
    """The device has this service, in this version, and has announced what it needs."""
    if service is None or version < service.since:
        return False
    ours = not service.needs or talk.flags & service.needs
    return bool(ours and (not service.of_requester or talk.requester_flags & service.of_requester))


def _finishes_in_the_clear(code: RequestCode, talk: Conversation) -> bool:
    return code is RequestCode.FINISH and talk.terms is not None and talk.terms.clear_handshake
