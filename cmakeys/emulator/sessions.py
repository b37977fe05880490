"""The sessions of one connection as the emulated responder keeps them: their keys, their numbers, and how they end.

A session has a view of the connection of its own (`OpenSession.talk`), on which the same handlers work as outside.
Records are the ones that the requester uses (`cmakeys.spdm.secured`), with the two directions exchanged. What an
answer changes about the keys takes effect once the answer itself is sealed (`OpenSession.settle`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmakeys.emulator.functions import Functions
from cmakeys.emulator.requester_identity import RequesterIdentity
from cmakeys.spdm.codes import MutualAuthentication
from cmakeys.spdm.schedule import KeySchedule, Secrets, TrafficKeys, TrafficSecret
from cmakeys.spdm.secured import SESSION_ID_LENGTH, Channel, Opener, Sealer
from cmakeys.spdm.states import State

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

HEARTBEATS_MISSED = 2
"""Periods of silence after which a session is over (reference §5.8)."""

_TERMINATE_ON_UPDATE = 0
_POLICY_MASK = 0x01
"""SessionPolicy bit 0: 0 ends the session when an update changes what is measured."""

_LAST_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class Asked:
    """What KEY_EXCHANGE_RSP asked of the requester, and the slot of its that was named."""

    mode: MutualAuthentication = MutualAuthentication.NONE
    slot: int = 0


class OpenSession:
    """One session, from the answer to its exchange on.

    `transcript` is TH as far as it has come, while the handshake lasts; `requester` is who proved to be there.
    """

    def __init__(
        self,
        talk: Conversation,
        channel: Channel,
        schedule: KeySchedule,
        secrets: Secrets,
        transcript: bytes,
        *,
        heartbeat: int = 0,
        policy: int = 0,
        asked: Asked | None = None,
        psk: bool = False,
    ) -> None:
        self.talk = talk.in_session(self)
        self.channel = channel
        self.transcript = transcript
        self.heartbeat = heartbeat
        self.policy = policy
        self.asked = asked or Asked()
        self.psk = psk
        self.requester: RequesterIdentity | None = None
        self.digests_heard = b""
        """EncapD: the first DIGESTS that the requester delivered."""
        self.subscribed = False
        """The requester wants to hear of events."""
        self.functions: Functions | None = None
        """What the session has made of keys and interfaces, once it was asked about them."""
        self.updating = False
        """A KEY_UPDATE awaits its verification."""
        self.over = False
        self.keeps_response_key = False
        """Update its own key in word only: what no honest device does."""
        self._schedule: KeySchedule | None = schedule
        self._awaited: Secrets | None = None
        self._updates = talk.hardware.updates
        self._heard = talk.hardware.clock()
        self._take(secrets)

    def __repr__(self) -> str:
        return f"<OpenSession {self.channel.session_id:#010x} {self.talk.state.value}>"

    # -- the handshake ------------------------------------------------------------------------------------------------

    def verifies(self, verify_data: bytes, transcript: bytes) -> bool:
        """The requester's verify data is right."""
        return self._secrets.request.verifies(verify_data, transcript)

    def verify_data(self, transcript: bytes) -> bytes:
        """The responder's verify data."""
        return self._secrets.response.verify_data(transcript)

    def established(self, transcript: bytes) -> None:
        """The handshake is over with this whole TH: the data secrets follow the answer that says so."""
        if self._schedule is None:
            raise RuntimeError("the handshake of this session was over before")
        self._awaited = self._schedule.data(transcript)
        self._schedule = None
        self.transcript = b""
        self.talk.state = State.SESSION

    # -- records ------------------------------------------------------------------------------------------------------

    def open(self, record: bytes) -> bytes:
        """The application data of a record of the requester. Raises `RecordProblem`."""
        application = self._opener.application(record)
        self._heard = self.talk.hardware.clock()
        return application

    def seal(self, application: bytes) -> bytes:
        """A record of the device."""
        return self._sealer.seal(application)

    def resend_counter(self) -> None:
        """Use the counter of the last record once more: what no honest device does."""
        self._sealer.counter = max(0, self._sealer.counter - 1)

    def skip_counter(self) -> None:
        """Leave a counter out: what no honest device does."""
        self._sealer.counter += 1

    def last_sealed(self) -> tuple[TrafficKeys, int]:
        """Key and counter of the last record, for a lie about what is in it."""
        return self._secrets.response.keys(self.channel.aead), self._sealer.counter - 1

    def settle(self) -> None:
        """An answer is sealed: take the keys that it announced."""
        if self._awaited is not None:
            self._take(self._awaited)
            self._awaited = None

    def _take(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._opener = self._opener_of(secrets.request)
        self._sealer = self._sealer_of(secrets.response)

    def _opener_of(self, secret: TrafficSecret) -> Opener:
        return Opener(self.channel, secret.keys(self.channel.aead))

    def _sealer_of(self, secret: TrafficSecret) -> Sealer:
        return Sealer(self.channel, secret.keys(self.channel.aead), self.talk.hardware.random)

    # -- keys and the end ---------------------------------------------------------------------------------------------

    def update_request_key(self) -> None:
        """The next record of the requester is under its next key."""
        current = self._secrets
        self._secrets = Secrets(current.request.updated(), current.response, current.exporter)
        self._opener.close()
        self._opener = self._opener_of(self._secrets.request)

    def update_response_key(self) -> None:
        """The next record of the device is under its next key."""
        if self.keeps_response_key:
            return
        current = self._secrets
        self._secrets = Secrets(current.request, current.response.updated(), current.exporter)
        self._sealer.close()
        self._sealer = self._sealer_of(self._secrets.response)

    def outlived(self) -> bool:
        """The requester was silent for too long, or what it had measured is not there any more."""
        if self.heartbeat and self.talk.state is State.SESSION:
            silence = self.talk.hardware.clock() - self._heard
            if silence > HEARTBEATS_MISSED * self.heartbeat:
                return True
        updated = self.talk.hardware.updates != self._updates
        return updated and self.policy & _POLICY_MASK == _TERMINATE_ON_UPDATE

    def close(self) -> None:
        """Forget the keys."""
        self.over = True
        self._sealer.close()
        self._opener.close()
        self._schedule = self._awaited = None
        self.talk.state = State.ENDED


@dataclass(slots=True)
class Sessions:
    """The open sessions of one connection, in the order of their making."""

    _open: dict[int, OpenSession] = field(default_factory=dict)
    """By the whole number of the session."""

    def all(self) -> tuple[OpenSession, ...]:
        """Every session that is still alive."""
        for session in [one for one in self._open.values() if one.over or one.outlived()]:
            self.end(session)
        return tuple(self._open.values())

    def add(self, session: OpenSession) -> None:
        """Keep a new session."""
        self._open[session.channel.session_id] = session

    def free_half(self) -> int:
        """The responder's half of a number that no open session has, from 0xFFFF downwards."""
        taken = {session_id >> 16 for session_id in self._open}
        return next(half for half in range(_LAST_ID, -1, -1) if half not in taken)

    def addressed_by(self, record: bytes) -> OpenSession | None:
        """The live session that a record names."""
        self.all()
        return self._open.get(int.from_bytes(record[:SESSION_ID_LENGTH], "little"))

    def latest_handshake(self) -> OpenSession | None:
        """The newest session whose handshake goes on: the one that a FINISH in the clear means."""
        return next((one for one in reversed(self.all()) if one.talk.state is State.HANDSHAKE and not one.psk), None)

    def end(self, session: OpenSession) -> None:
        """Drop a session and its keys."""
        session.close()
        self._open.pop(session.channel.session_id, None)
