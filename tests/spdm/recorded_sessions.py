"""The recorded conversations with their sessions opened: every message inside, and the keys that opened it.

The recordings come with the shared secrets, and `cmakeys.spdm.eavesdropper` opens the sessions with them. It is written
apart from the requester, whose behaviour is then compared with what it heard.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cmakeys.spdm.codes import RequestCode, ResponseCode
from cmakeys.spdm.eavesdropper import Eavesdropper, Heard, KeptSecrets, Side
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests
from cmakeys.spdm.messages.challenge import ChallengeAuth
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.psk import PskExchange
from cmakeys.spdm.schedule import TrafficSecret
from cmakeys.spdm.secured import Binding, Sealer
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.wire import Reader
from tests.spdm.conversations import NORMAL

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


class _Followed:
    """What was heard, checked and collected."""

    def __init__(self, listener: Eavesdropper, secrets: KeptSecrets) -> None:
        self.listener = listener
        self.items: list[Item] = []
        self.shared_secrets: list[bytes] = []
        self._secrets = secrets
        self._exchange_secrets = iter(secrets.exchanges)
        self._used: dict[int, list[TrafficSecret]] = {}
        self._sealers: dict[bytes, Sealer] = {}

    def take(self, heard: Heard) -> None:
        """One pair of messages or records."""
        request, response = heard.request, heard.response
        assert response is not None
        assert not heard.problem
        opened = len(self.listener.sessions)
        number = None
        if heard.session is not None:
            number = max(n for n in range(opened) if self.listener.sessions[n].channel.session_id == heard.session)
            self._used.setdefault(number, []).extend(self._reseal(number, side) for side in (request, response))
        padding, records = (request.padding, response.padding), (request.record, response.record)
        self.items.append(Item(request.message, response.message, number, *padding, *records, request.application))
        if heard.exchange is not None and number is None and heard.exchange.response[1] != ResponseCode.ERROR:
            self._note_secret(heard.exchange.request)

    def _note_secret(self, request: bytes) -> None:
        if request[1] == RequestCode.KEY_EXCHANGE:
            self.shared_secrets.append(next(self._exchange_secrets))
        elif request[1] == RequestCode.PSK_EXCHANGE:
            self.shared_secrets.append(self._secrets.psks[PskExchange.pull(Reader(request, "PSK_EXCHANGE")).hint])

    def _reseal(self, number: int, side: Side) -> TrafficSecret:
        """The secret of a record, which must be the record that we make of the same content."""
        assert side.secret is not None
        channel = self.listener.sessions[number].channel
        sealer = self._sealers.setdefault(side.secret.value, Sealer(channel, side.secret.keys(channel.aead)))
        application = side.message if side.application else channel.binding.wrap(side.message)
        again = sealer.seal(application, side.padding)
        assert side.record.startswith(again), "the record is not the one that we make of the same content"
        assert len(side.record) - len(again) < 4
        assert not any(side.record[len(again) :])
        return side.secret

    def derived(self) -> set[bytes]:
        """Every value of the key schedules, those of updated keys included."""
        found: set[bytes] = set()
        for number, session in enumerate(self.listener.sessions):
            size, start = session.terms.layout.hash_size, session.schedule.handshake_secret
            found |= {start.value, start.expand("derived", size)}
            phases = [session.handshake]
            if session.data is not None:
                found.add(session.schedule.master().value)
                phases.append(session.data)
            secrets = [one for phase in phases for one in (phase.request, phase.response, phase.exporter) if one]
            for secret in (*secrets, *self._used.get(number, ())):
                keys = secret.keys(session.terms.aead)
                found |= {secret.value, keys.key, keys.iv, secret.expand("finished", size)}
        return found


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
    """Open a capture with the secrets that lie beside it; without any, go as far as its first session.

    Every record is made again of its content, and the secrets of every session are collected.
    """
    secrets_file = folder / f"{name}.secrets.txt"
    lines = secrets_file.read_text().splitlines() if secrets_file.exists() else []
    exchange_secrets = [bytes.fromhex(line.split("secret=")[1]) for line in lines if "secret=" in line]
    frames = [json.loads(line) for line in (folder / f"{name}.pcap.raw.jsonl").read_text().splitlines()]
    messages = [(record["dir"], *unframe(record)) for record in frames if record["cmd"] == NORMAL]
    messages = [message for message in messages if message[1] is not None]
    if [message[2][1] for message in messages[:4:2]] == [RequestCode.GET_VERSION] * 2:
        messages = messages[2:]  # asked twice; the second one is a new connection
    binding = BINDINGS.get(frames[0]["trans"], Binding.PCI_DOE)
    secrets = KeptSecrets(exchange_secrets, _pre_shared_keys(lines, exchange_secrets))
    listener = Eavesdropper(binding, secrets)
    followed = _Followed(listener, secrets)
    for (kind, secured, request), (answer, also_secured, response) in zip(messages[::2], messages[1::2], strict=True):
        assert (kind, answer) == ("req", "rsp")
        assert secured == also_secured
        if not lines and request[1] == RequestCode.KEY_EXCHANGE:
            break
        followed.take(listener.hear(request, response, secured=bool(secured)))
    recorded = {bytes.fromhex(line.split("out=")[1]) for line in lines if "out=" in line}
    return Recording(
        name,
        binding,
        followed.items,
        followed.shared_secrets,
        followed.derived(),
        recorded,
        len(listener.sessions),
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
