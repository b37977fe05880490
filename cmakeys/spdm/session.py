"""An open session: whatever a flow sends is put into records, and whatever comes back is taken out of them.

`Session.protect` takes any flow of this package that runs on the session's own view of the connection, and gives the
same flow behind secured messages; retries, chunking and waiting work as they do outside. What only sessions have is
here: HEARTBEAT, KEY_UPDATE, END_SESSION (reference §5.8).

A session ends for good with the first record that does not authenticate, with an answer that breaks the protocol,
with DecryptError, and with a request whose answer never came: in each case the two sides no longer agree on who has
said what. Its keys are dropped at that moment and never shown.
"""

from __future__ import annotations

from typing import TypeVar

from cmakeys.spdm.codes import (
    Capability,
    ErrorCode,
    KeyOperation,
    MutualAuthentication,
    RequestCode,
    ResponseCode,
    Version,
)
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Flow, Send
from cmakeys.spdm.encapsulated import Answerer, serve
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.session_control import (
    CLEAR_NEGOTIATED_STATE,
    EndSession,
    EndSessionAck,
    Heartbeat,
    HeartbeatAck,
    KeyUpdate,
    KeyUpdateAck,
)
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.schedule import Secrets, TrafficSecret
from cmakeys.spdm.secured import Channel, KeyExhausted, Opener, RecordProblem, Sealer
from cmakeys.spdm.states import IllegalRequest, State, after
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.violation import STEP_POSSESSION, ProtocolViolation, violation
from cmakeys.spdm.wire import Reader, WireError

T = TypeVar("T")

_ENDS_THE_SESSION = frozenset(
    {ErrorCode.DECRYPT_ERROR, ErrorCode.REQUEST_SESSION_TERMINATED, ErrorCode.SESSION_REQUIRED}
)


class Session:
    """One session of a requester; `cmakeys.spdm.handshake` makes it.

    `requester` runs operations on the session's view of the connection; its flows must be passed through `protect`.
    """

    def __init__(
        self, requester: Requester, terms: Terms, channel: Channel, secrets: Secrets, heartbeat_period: int = 0
    ) -> None:
        self.terms = terms
        self.channel = channel
        self.heartbeat_period = heartbeat_period
        self.requester = Requester(
            requester.offer,
            limits=requester.limits,
            entropy=requester.entropy,
            connection=requester.connection.in_session(),
        )
        self._secrets: Secrets | None = None
        self._awaited: tuple[TrafficSecret, Opener] | None = None
        """During KEY_UPDATE of all keys: the response direction as it will be if the device agrees."""
        self._take(secrets)

    def __repr__(self) -> str:
        return f"<Session {self.channel.session_id:#010x} {self.state.value}>"

    @property
    def state(self) -> State:
        """HANDSHAKE, SESSION or ENDED."""
        return self.requester.connection.state

    def close(self) -> None:
        """Forget the keys; nothing can be sent any more."""
        self._sealer.close()
        self._opener.close()
        self._secrets = self._awaited = None
        self.requester.connection.state = State.ENDED

    def established(self, secrets: Secrets, by: RequestCode) -> None:
        """The handshake is over: use the data secrets. `by` is the request whose answer ended it."""
        connection = self.requester.connection
        if connection.state is State.HANDSHAKE:
            connection.state = after(connection.state, by)
        self._take(secrets)

    def _take(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._sealer = self._sealer_of(secrets.request)
        self._opener = self._opener_of(secrets.response)

    def _sealer_of(self, secret: TrafficSecret) -> Sealer:
        return Sealer(self.channel, secret.keys(self.channel.aead), self.requester.entropy)

    def _opener_of(self, secret: TrafficSecret) -> Opener:
        return Opener(self.channel, secret.keys(self.channel.aead))

    # -- records ------------------------------------------------------------------------------------------------------

    def protect(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow of `self.requester` inside the session. Raises what it raises, and `ProtocolViolation`."""
        try:
            return (yield from self._run(flow))
        except DeviceRefused as refusal:
            if refusal.error.code in _ENDS_THE_SESSION:
                self.close()
            raise
        except DeviceUnavailable:
            raise
        except BaseException:
            # Whatever it was, a request may be on its way that nobody waits for: the record counters part here.
            self.close()
            raise
        finally:
            flow.close()

    def _run(self, flow: Flow[T]) -> Flow[T]:
        answer: bytes | None = None
        while True:
            try:
                effect = next(flow) if answer is None else flow.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if not isinstance(effect, Send):
                answer = yield effect
                continue
            record = self._sealed(self.channel.binding.wrap(effect.message))
            record = yield Send(record, effect.timeout, secured=True)
            answer = self._message(record)

    def _sealed(self, application: bytes) -> bytes:
        """The record of application data, unless the device allowed no more of them under one key."""
        try:
            return self._sealer.seal(application)
        except KeyExhausted as problem:
            self._current()
            raise ProtocolViolation(
                f"the device allows {self.channel.record_limit} records under one key, which are used up",
                step=STEP_POSSESSION,
                object=f"session {self.channel.session_id:#010x}",
                hint="a limit so low leaves no room for what is to be asked",
            ) from problem

    def _message(self, record: bytes) -> bytes:
        try:
            if self._awaited is not None:
                return self._open_at_update(record, *self._awaited)
            return self._unwrapped(self._opener, record)
        except (RecordProblem, WireError) as problem:
            raise self._broken(problem) from problem

    def _broken(self, problem: RecordProblem | WireError) -> ProtocolViolation:
        name = f"session {self.channel.session_id:#010x}"
        return ProtocolViolation(problem.message, step=STEP_POSSESSION, object=name, hint=problem.hint)

    def _unwrapped(self, opener: Opener, record: bytes) -> bytes:
        return self.channel.binding.unwrap(opener.application(record))

    def _open_at_update(self, record: bytes, secret: TrafficSecret, opener: Opener) -> bytes:
        """The answer to an update of all keys: under the new key if the device agrees, an ERROR may use the old one."""
        self._awaited = None
        try:
            message = self._unwrapped(opener, record)
        except RecordProblem as problem:
            message = self._unwrapped(self._opener, record)
            if message[1:2] != bytes((ResponseCode.ERROR,)):
                raise RecordProblem(
                    "the answer to KEY_UPDATE is not under the new key", object="KEY_UPDATE"
                ) from problem
            return message
        self._opener.close()
        self._opener = opener
        secrets = self._current()
        self._secrets = Secrets(secrets.request, secret, secrets.exporter)
        return message

    def _current(self) -> Secrets:
        if self._secrets is None:
            raise IllegalRequest("the session has ended")
        return self._secrets

    def application(self, data: bytes, timeout: float) -> Flow[bytes]:
        """Send application data that is not an SPDM message, and give back that of the answer."""

        self._current()
        try:
            record = yield Send(self._sealed(data), timeout, secured=True)
            return self._opener.application(record)
        except RecordProblem as problem:
            self.close()
            raise self._broken(problem) from problem
        except BaseException:
            self.close()
            raise

    # -- what only sessions have --------------------------------------------------------------------------------------

    def heartbeat(self) -> Flow[None]:
        """HEARTBEAT. A device ends a session that is silent for twice `heartbeat_period` seconds."""
        if not self.heartbeat_period:
            raise IllegalRequest("HEARTBEAT in a session without a heartbeat period")
        message = Heartbeat(self.terms.version).push()
        yield from self.protect(self.requester.delivery.ask(RequestCode.HEARTBEAT, lambda: message))
        HeartbeatAck.pull(self._answer(RequestCode.HEARTBEAT))

    def update_keys(self, operation: KeyOperation = KeyOperation.UPDATE_ALL_KEYS) -> Flow[None]:
        """KEY_UPDATE of the request direction or of both, and the verification that must follow at once.

        A device that refuses the update leaves the keys as they were; one that fails to verify ends the session.
        """
        if not self.terms.key_update or operation is KeyOperation.VERIFY_NEW_KEY:
            raise IllegalRequest("KEY_UPDATE was not negotiated, or begins with its verification")
        yield from self._key_update(operation)
        secrets = self._current()
        request = secrets.request.updated()
        self._sealer.close()
        self._sealer = self._sealer_of(request)
        self._secrets = Secrets(request, secrets.response, secrets.exporter)
        try:
            yield from self._key_update(KeyOperation.VERIFY_NEW_KEY)
        except (DeviceRefused, DeviceUnavailable):
            self.close()
            raise

    def _key_update(self, operation: KeyOperation) -> Flow[None]:
        sent = KeyUpdate(self.terms.version, operation, 0)

        def build() -> bytes:
            nonlocal sent
            sent = KeyUpdate(self.terms.version, operation, self.requester.entropy(1)[0])
            if operation is KeyOperation.UPDATE_ALL_KEYS:
                self.await_response_key()
            return sent.push()

        yield from self.protect(self.requester.delivery.ask(RequestCode.KEY_UPDATE, build))
        answer = KeyUpdateAck.pull(self._answer(RequestCode.KEY_UPDATE))
        if (answer.operation, answer.tag) != (sent.operation, sent.tag):
            self.close()
            raise violation(
                RequestCode.KEY_UPDATE,
                f"operation {answer.operation} with tag {answer.tag:#04x} is acknowledged where operation"
                f" {sent.operation} with tag {sent.tag:#04x} was sent",
            )

    def serve(self, answerer: Answerer | None = None) -> Flow[None]:
        """Let the device ask: its KEY_UPDATE of the response direction is done here, the rest is for `answerer`.

        Without one, anything else is answered with ERROR UnsupportedRequest. A device that has nothing to ask says so.
        """
        flow = serve(self.requester, _Answers(self, answerer), MutualAuthentication.ENCAPSULATED)
        try:
            yield from self.protect(flow)
        except DeviceRefused as refusal:
            if refusal.error.code != ErrorCode.NO_PENDING_REQUESTS:
                raise

    def await_response_key(self) -> None:
        """The next record of the device is under its next key: it asked for that, and is about to be told yes."""
        secret = self._current().response.updated()
        self._awaited = secret, self._opener_of(secret)

    def end(self) -> Flow[None]:
        """END_SESSION; the negotiated state may be cleared where the device would keep it."""
        clears = self.requester.connection.has(Capability.CACHE)
        message = EndSession(self.terms.version, CLEAR_NEGOTIATED_STATE if clears else 0).push()
        yield from self.protect(self.requester.delivery.ask(RequestCode.END_SESSION, lambda: message))
        EndSessionAck.pull(self._answer(RequestCode.END_SESSION))
        self.close()

    def _answer(self, code: RequestCode) -> Reader:
        return Reader(self.requester.connection.exchanges[-1].response, f"answer to {code.name}")


class _Answers:
    """What a session itself answers to a device: KEY_UPDATE, each update followed by its verification."""

    def __init__(self, session: Session, others: Answerer | None) -> None:
        self._session = session
        self._others = others
        self._update = b""
        """The update that is not verified yet; asked for again by nobody, but delivered again to a busy device."""

    def answer(self, request: bytes) -> bytes:
        version = self._session.terms.version
        if request[1:2] != bytes((RequestCode.KEY_UPDATE,)):
            return self._others.answer(request) if self._others else _refusal(version, ErrorCode.UNSUPPORTED_REQUEST)
        try:
            asked = KeyUpdate.pull(Reader(request, "encapsulated KEY_UPDATE"))
        except WireError:
            return _refusal(version, ErrorCode.INVALID_REQUEST)
        updates = asked.operation == KeyOperation.UPDATE_KEY and self._update in (b"", request)
        verifies = asked.operation == KeyOperation.VERIFY_NEW_KEY and self._update
        if not self._session.terms.key_update or not (updates or verifies):
            return _refusal(version, ErrorCode.INVALID_REQUEST)
        if updates:
            self._update = request
            self._session.await_response_key()
        return KeyUpdateAck(version, asked.operation, asked.tag).push()


def _refusal(version: Version, code: ErrorCode) -> bytes:
    return ErrorResponse(version, code).push()
