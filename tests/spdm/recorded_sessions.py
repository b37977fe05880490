"""The recorded conversations with their sessions opened: every message inside, and the keys that opened it.

The recordings come with the shared secrets. Everything else is derived here from the messages, passively: this is an
eavesdropper who was given the secrets, written apart from the requester whose behaviour it is compared with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.spdm.agreement import EXCHANGE_SIZES
from cmakeys.spdm.codes import KeyOperation, RequestCode, ResponseCode, SummaryHash
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests
from cmakeys.spdm.messages.challenge import ChallengeAuth
from cmakeys.spdm.messages.finish import Finish, FinishResponse
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.opaque import SecuredParameters
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinish, PskFinishResponse
from cmakeys.spdm.reassembly import Reassembler
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.schedule import KeySchedule, Secrets, TrafficSecret
from cmakeys.spdm.secured import Binding, Channel, Opener, Sealer
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.wire import Reader
from tests.spdm.conversations import NORMAL

SPDM_OVER_MCTP = 0x05
BINDINGS = {1: Binding.MCTP, 2: Binding.PCI_DOE, 3: Binding.TCP}


@dataclass(frozen=True)
class Item:
    """A request and its answer as sent: transport framing removed, records opened."""

    request: bytes
    response: bytes
    session: int | None = None
    """Number of the session in the recording, from 0; None outside sessions."""
    request_padding: bytes = b""
    response_padding: bytes = b""
    request_record: bytes = b""
    response_record: bytes = b""
    application: bool = False
    """Application data that is no SPDM message."""


class Direction:
    """Opens the records of one direction, and makes them again from what they held."""

    def __init__(self, channel: Channel, secret: TrafficSecret) -> None:
        self.channel = channel
        self.use(secret)

    def use(self, secret: TrafficSecret) -> None:
        self.secret = secret
        keys = secret.keys(self.channel.aead)
        self._opener, self._sealer = Opener(self.channel, keys), Sealer(self.channel, keys)

    def take(self, record: bytes) -> tuple[bytes, bytes]:
        opened = self._opener.open(record)
        again = self._sealer.seal(opened.application, opened.padding)
        assert record.startswith(again), "the record is not the one that we make of the same content"
        assert len(record) - len(again) < 4
        assert not any(record[len(again) :])
        return opened.application, opened.padding


@dataclass
class Followed:
    """One session while it is followed."""

    number: int
    terms: Terms
    schedule: KeySchedule
    secrets: Secrets
    request: Direction
    response: Direction
    transcript: bytes
    derived: set[bytes] = field(default_factory=set)
    own_chain: bytearray = field(default_factory=bytearray)
    mutual: int = 0
    established: bool = False

    def note(self, secrets: Secrets) -> None:
        for secret in (secrets.request, secrets.response, secrets.exporter):
            if secret is not None:
                self.note_secret(secret)

    def note_secret(self, secret: TrafficSecret) -> None:
        keys = secret.keys(self.terms.aead)
        finished = secret.expand("finished", self.terms.layout.hash_size)
        self.derived |= {secret.value, keys.key, keys.iv, finished}

    def enter(self, transcript: bytes) -> None:
        self.established = True
        secrets = self.schedule.data(transcript)
        self.note(secrets)
        self.derived.add(self.schedule.master().value)
        self.request.use(secrets.request)
        self.response.use(secrets.response)


@dataclass
class Recording:
    """A followed capture."""

    name: str
    binding: Binding
    items: list[Item]
    shared_secrets: list[bytes]
    derived: set[bytes]
    recorded: set[bytes]
    sessions: int


class Follower:
    """Goes through a recording, record by record."""

    def __init__(self, binding: Binding, exchange_secrets: list[bytes], psks: dict[bytes, bytes]) -> None:
        self.binding = binding
        self.items: list[Item] = []
        self.shared_secrets: list[bytes] = []
        self.derived: set[bytes] = set()
        self.sessions = 0
        self._exchange_secrets = iter(exchange_secrets)
        self._psks = psks
        self._connection = Connection()
        self._reassembler = Reassembler()
        self._open: dict[int, Followed] = {}
        self._latest: Followed | None = None
        self._first_digests = b""
        self._first_own_digests = b""

    def clear(self, request: bytes, response: bytes) -> None:
        self.items.append(Item(request, response))
        exchange = self._reassembler.feed(request, response)
        if exchange is None:
            return
        self._connection.observe(exchange.request, exchange.response)
        request, response = self._connection.exchanges[-1].request, self._connection.exchanges[-1].response
        code = request[1]
        if code == RequestCode.GET_VERSION:
            self._first_digests = self._first_own_digests = b""
        if response[1] == ResponseCode.ERROR:
            return
        if code == RequestCode.GET_DIGESTS:
            self._first_digests = self._first_digests or response
        elif code == RequestCode.KEY_EXCHANGE:
            self._key_exchange(request, response)
        elif code == RequestCode.PSK_EXCHANGE:
            self._psk_exchange(request, response)
        elif code == RequestCode.DELIVER_ENCAPSULATED_RESPONSE:
            self._delivered(request[4:], self._latest)
        elif code == RequestCode.FINISH:
            assert self._latest is not None
            self._finish(self._latest, request, response)

    def secured(self, request_record: bytes, response_record: bytes) -> None:
        session = self._open[int.from_bytes(request_record[:4], "little")]
        request, request_padding = session.request.take(request_record)
        if self.binding is Binding.MCTP and request[0] != SPDM_OVER_MCTP:
            response, response_padding = session.response.take(response_record)
            padding = (request_padding, response_padding)
            records = (request_record, response_record)
            self.items.append(Item(request, response, session.number, *padding, *records, application=True))
            return
        request = self.binding.unwrap(request)
        update = request[2] if request[1] == RequestCode.KEY_UPDATE else None
        if update == KeyOperation.UPDATE_ALL_KEYS:
            session.response.use(session.response.secret.updated())
            session.note_secret(session.response.secret)
        response, response_padding = session.response.take(response_record)
        response = self.binding.unwrap(response)
        if update in (KeyOperation.UPDATE_KEY, KeyOperation.UPDATE_ALL_KEYS):
            session.request.use(session.request.secret.updated())
            session.note_secret(session.request.secret)
        self.items.append(
            Item(request, response, session.number, request_padding, response_padding, request_record, response_record)
        )
        if not session.established and request[1] == RequestCode.DELIVER_ENCAPSULATED_RESPONSE:
            self._delivered(request[4:], session)
        elif request[1] == RequestCode.FINISH:
            self._finish(session, request, response)
        elif request[1] == RequestCode.PSK_FINISH:
            self._psk_finish(session, request, response)
        self.derived |= session.derived
        if request[1] == RequestCode.END_SESSION:
            del self._open[session.request.channel.session_id]

    # -- handshakes ---------------------------------------------------------------------------------------------------

    def _begin(
        self, terms: Terms, ids: tuple[int, int], opaque: bytes, schedule: KeySchedule, th1: bytes, verify_data: bytes
    ) -> Followed:
        parameters = SecuredParameters.pull(opaque, terms.version)
        assert parameters.selected is not None
        session_id = ids[0] | ids[1] << 16
        assert session_id not in self._open
        channel = Channel(session_id, self.binding, terms.aead, terms.kind, parameters.limit_exponent)
        secrets = schedule.handshake(th1)
        if verify_data:
            assert secrets.response.verifies(verify_data, th1)
        session = Followed(
            self.sessions,
            terms,
            schedule,
            secrets,
            Direction(channel, secrets.request),
            Direction(channel, secrets.response),
            th1 + verify_data,
        )
        session.derived.add(schedule.handshake_secret.value)
        session.derived.add(schedule.handshake_secret.expand("derived", terms.layout.hash_size))
        session.note(secrets)
        self.sessions += 1
        self._open[session_id] = self._latest = session
        return session

    def _key_exchange(self, request: bytes, response: bytes) -> None:
        terms = Terms.of(self._connection)
        assert terms.agreement is not None
        sizes = EXCHANGE_SIZES[terms.agreement]
        asked_reader, reader = Reader(request, "KEY_EXCHANGE"), Reader(response, "KEY_EXCHANGE_RSP")
        asked = KeyExchange.pull(asked_reader, sizes.request)
        answer = KeyExchangeResponse.pull(
            reader,
            terms.layout,
            exchange_size=sizes.response,
            has_summary=asked.summary_hash != SummaryHash.NONE and self._connection.has(MEAS),
            has_verify_data=not terms.clear_handshake,
        )
        hash_function = self._connection.hash
        assert hash_function is not None
        th1 = (
            self._connection.transcript.vca
            + (self._first_digests if terms.layout.multi_key else b"")
            + hash_function.digest(self._connection.chains[asked.slot])
            + asked_reader.consumed()
            + answer.push_unsigned()
            + answer.signature
        )
        secret = next(self._exchange_secrets)
        self.shared_secrets.append(secret)
        schedule = KeySchedule.of_exchange(terms.version, terms.base_hash, secret)
        ids = (asked.session_id, answer.session_id)
        self._begin(terms, ids, answer.opaque, schedule, th1, answer.verify_data).mutual = answer.mutual

    def _delivered(self, message: bytes, session: Followed | None) -> None:
        """One of the requester's own answers: its DIGESTS and its chain are hashed in a handshake."""
        length = len(delivered(message, Terms.of(self._connection)))
        if message[1] == ResponseCode.DIGESTS:
            self._first_own_digests = self._first_own_digests or message[:length]
        elif message[1] == ResponseCode.CERTIFICATE and session is not None and not session.established:
            session.own_chain += CertificateResponse.pull(Reader(message, "CERTIFICATE")).portion

    def _finish(self, session: Followed, request: bytes, response: bytes) -> None:
        terms = session.terms
        asked_reader, reader = Reader(request, "FINISH"), Reader(response, "FINISH_RSP")
        asked = Finish.pull(asked_reader, terms.layout, terms.requester_signature_size)
        answer = FinishResponse.pull(reader, terms.layout, has_verify_data=terms.clear_handshake)
        transcript = session.transcript
        if session.mutual:
            hash_function = self._connection.hash
            assert hash_function is not None
            transcript += self._first_own_digests if terms.requester_multi_key else b""
            transcript += hash_function.digest(bytes(session.own_chain))
        whole = asked_reader.consumed()
        transcript += whole[: len(whole) - len(asked.verify_data)]
        assert session.secrets.request.verifies(asked.verify_data, transcript)
        transcript += asked.verify_data + answer.push_unverified()
        if terms.clear_handshake:
            assert session.secrets.response.verifies(answer.verify_data, transcript)
        session.enter(transcript + answer.verify_data)

    def _psk_exchange(self, request: bytes, response: bytes) -> None:
        terms = Terms.of(self._connection)
        asked_reader, reader = Reader(request, "PSK_EXCHANGE"), Reader(response, "PSK_EXCHANGE_RSP")
        asked = PskExchange.pull(asked_reader)
        has_summary = asked.summary_hash != SummaryHash.NONE and self._connection.has(MEAS)
        answer = PskExchangeResponse.pull(reader, terms.layout, has_summary=has_summary)
        th1 = self._connection.transcript.vca + asked_reader.consumed() + answer.push_unverified()
        psk = self._psks[asked.hint]
        self.shared_secrets.append(psk)
        schedule = KeySchedule.of_psk(terms.version, terms.base_hash, psk)
        ids = (asked.session_id, answer.session_id)
        session = self._begin(terms, ids, answer.opaque, schedule, th1, answer.verify_data)
        if not answer.context:
            session.enter(session.transcript)

    def _psk_finish(self, session: Followed, request: bytes, response: bytes) -> None:
        asked = PskFinish.pull(Reader(request, "PSK_FINISH"), session.terms.layout)
        PskFinishResponse.pull(Reader(response, "PSK_FINISH_RSP"))
        transcript = session.transcript + request[: len(request) - len(asked.verify_data)]
        assert session.secrets.request.verifies(asked.verify_data, transcript)
        session.enter(transcript + asked.verify_data + response)


def delivered(message: bytes, terms: Terms) -> bytes:
    """An encapsulated response without the padding of the transport that carried it."""
    reader = Reader(message, "encapsulated response")
    layout = Layout(terms.version, terms.layout.hash_size, terms.requester_signature_size, terms.requester_multi_key)
    if message[1] == ResponseCode.DIGESTS:
        Digests.pull(reader, layout)
    elif message[1] == ResponseCode.CERTIFICATE:
        CertificateResponse.pull(reader)
    elif message[1] == ResponseCode.CHALLENGE_AUTH:
        ChallengeAuth.pull(reader, layout, has_summary=False)
    else:
        return message
    return reader.consumed()


def follow(folder: Path, name: str) -> Recording:
    """Open a capture with the secrets that lie beside it; without any, go as far as its first session."""
    secrets_file = folder / f"{name}.secrets.txt"
    lines = secrets_file.read_text().splitlines() if secrets_file.exists() else []
    exchange_secrets = [bytes.fromhex(line.split("secret=")[1]) for line in lines if "secret=" in line]
    frames = [json.loads(line) for line in (folder / f"{name}.pcap.raw.jsonl").read_text().splitlines()]
    messages = [(record["dir"], *unframe(record)) for record in frames if record["cmd"] == NORMAL]
    messages = [message for message in messages if message[1] is not None]
    if [message[2][1] for message in messages[:4:2]] == [RequestCode.GET_VERSION] * 2:
        messages = messages[2:]  # asked twice; the second one is a new connection
    binding = BINDINGS.get(frames[0]["trans"], Binding.PCI_DOE)
    follower = Follower(binding, exchange_secrets, _pre_shared_keys(lines, exchange_secrets))
    for (kind, secured, request), (answer, also_secured, response) in zip(messages[::2], messages[1::2], strict=True):
        assert (kind, answer) == ("req", "rsp")
        assert secured == also_secured
        if not lines and request[1] == RequestCode.KEY_EXCHANGE:
            break
        (follower.secured if secured else follower.clear)(request, response)
    recorded = {bytes.fromhex(line.split("out=")[1]) for line in lines if "out=" in line}
    return Recording(
        name, binding, follower.items, follower.shared_secrets, follower.derived, recorded, follower.sessions
    )


def _pre_shared_keys(lines: list[str], exchange_secrets: list[bytes]) -> dict[bytes, bytes]:
    """By hint. The emulator derives the other keys of its test from the hint of the default one."""
    extracts = [line.split() for line in lines if line.startswith("HKDF extract")]
    keys = [bytes.fromhex(part[3].removeprefix("key=")) for part in extracts]
    others = [key for key in dict.fromkeys(keys) if key not in exchange_secrets and any(key)]
    known = {b"TestPskHint\0": b"TestPskData\0"}
    for key in others:
        if key not in known.values():
            known[b"SECONDARY_SESSION_0_PSK\0"] = key
    return known


def unframe(record: dict[str, str | int]) -> tuple[bool | None, bytes]:
    """Whether a frame holds a secured message, and the message; None for a frame of neither kind."""
    frame = bytes.fromhex(str(record["hex"]))
    if record["trans"] == 0:
        return False, frame
    if record["trans"] == 1:
        return {5: False, 6: True}[frame[0]], frame[1:]
    if record["trans"] == 2:
        return {1: False, 2: True}.get(frame[2]), frame[8:]
    return {5: False, 6: True}[frame[3]], frame[4:]
