"""A recorded conversation, message by message, with its sessions opened where their secrets are given.

Recordings of this program and classic capture files are read. Secrets come in a text file, one line each:

    DHE secret=HEX            shared secrets of key exchanges, in the order of the sessions; KEM secret= likewise
    PSK hint=HEX key=HEX      a pre-shared key and the hint that names it on the wire

Lines that begin with HKDF are steps of a key schedule, which follow from the secrets; they are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cmakeys.errors import EvidenceProblem, from_oserror
from cmakeys.spdm.codes import RequestCode
from cmakeys.spdm.decoding import decode_request, decode_response, name_of
from cmakeys.spdm.eavesdropper import Eavesdropper, Heard, KeptSecrets, Side
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.connect import binding_of
from cmakeys.transports.framing import Framing, unwrap
from cmakeys.transports.pcap import from_pcap, is_pcap
from cmakeys.transports.recording import FILE_MAXIMUM, Entry, Recording, RecordingProblem

SECRETS_MAXIMUM = 4 << 20
"""Bytes of a file of secrets."""

_EXCHANGE = re.compile(r"(?:DHE|KEM) secret=([0-9a-fA-F]{2,512})", re.ASCII)
_PSK = re.compile(r"PSK hint=([0-9a-fA-F]*) key=([0-9a-fA-F]{2,2048})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One message as it was sent, or a large one put together from its chunks (`whole`).

    `number` counts what was sent; `time` is Unix time in seconds. `octets` are the SPDM message without framing, the
    application data, or a record that stayed shut. `decoded` is the message as its codec sees it, None where there is
    none; `problem` says what is wrong with the message or the exchange that it ends.
    """

    number: int
    time: float
    request: bool
    octets: bytes
    session: int | None = None
    shut: bool = False
    application: bool = False
    whole: bool = False
    decoded: object = None
    problem: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        if self.shut:
            return "secured record"
        return "application data" if self.application else name_of(self.octets)


def read_conversation(path: Path) -> Recording:
    """The recording in a file, whichever of the two forms it has. Raises `RecordingProblem`."""
    data = _read(path, FILE_MAXIMUM)
    return from_pcap(data, str(path)) if is_pcap(data) else Recording.parse(data, str(path))


def read_secrets(path: Path) -> KeptSecrets:
    """The secrets in a file; a problem names the line and never what is in it. Raises `RecordingProblem`."""
    exchanges: list[bytes] = []
    psks: dict[bytes, bytes] = {}
    text = _read(path, SECRETS_MAXIMUM).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "HKDF ")):
            continue
        exchange, psk = _EXCHANGE.fullmatch(stripped), _PSK.fullmatch(stripped)
        if exchange is not None and len(exchange[1]) % 2 == 0:
            exchanges.append(bytes.fromhex(exchange[1]))
        elif psk is not None and len(psk[1]) % 2 == len(psk[2]) % 2 == 0:
            psks[bytes.fromhex(psk[1])] = bytes.fromhex(psk[2])
        else:
            raise RecordingProblem(
                "neither a shared secret nor a pre-shared key",
                object=f"{path}, line {number}",
                hint="write DHE secret=HEX, KEM secret=HEX or PSK hint=HEX key=HEX",
            )
    return KeptSecrets(tuple(exchanges), psks)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > most:
        raise RecordingProblem(f"larger than {most >> 20} MiB", object=str(path))
    return data


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame of the recording, unwrapped."""

    number: int
    time: float
    request: bool
    payload: bytes
    secured: bool


def trace(recording: Recording, secrets: KeptSecrets, key: ProvisionedKey | None = None) -> Iterator[Spoken]:
    """Go through a recording. What cannot be understood is told in a message's `problem`; nothing is raised.

    `key` is the public key of a device that shows no certificates.
    """
    entries = recording.conversation()
    framing = _framing(entries)
    listener = Eavesdropper(binding_of(framing) if framing is not None else None, secrets, key)
    asked: _Frame | None = None
    for number, entry in enumerate(entries, 1):
        frame = _unwrapped(number, entry)
        if isinstance(frame, Spoken):
            yield frame
        elif frame.request:
            if asked is not None:
                yield from _heard(listener, asked, None)
            asked = frame
        elif asked is None or frame.secured != asked.secured:
            yield Spoken(number, frame.time, request=False, octets=frame.payload, problem="this answers nothing")
        else:
            yield from _heard(listener, asked, frame)
            asked = None
    if asked is not None:
        yield from _heard(listener, asked, None)


def _framing(entries: tuple[Entry, ...]) -> Framing | None:
    known = [Framing(entry.transport) for entry in entries if entry.transport in set(Framing)]
    return known[0] if known else None


def _unwrapped(number: int, entry: Entry) -> _Frame | Spoken:
    request = entry.direction == "req"
    try:
        unwrapped = unwrap(Framing(entry.transport), entry.frame)
    except (TransportFramingError, ValueError) as error:
        return Spoken(number, entry.time, request, entry.frame, shut=True, problem=str(error))
    return _Frame(number, entry.time, request, unwrapped.payload, unwrapped.secured)


def _heard(listener: Eavesdropper, asked: _Frame, answer: _Frame | None) -> Iterator[Spoken]:
    heard = listener.hear(asked.payload, answer.payload if answer else None, secured=asked.secured)
    request, said = _spoken(listener, asked, heard.request, heard, None)
    if answer is None or heard.response is None:
        yield replace(request, problem=heard.problem)
        return
    yield request
    response, _ = _spoken(listener, answer, heard.response, heard, said)
    yield replace(response, problem=heard.problem or response.problem)
    yield from _put_together(listener, heard, response)


def _spoken(listener: Eavesdropper, frame: _Frame, side: Side, heard: Heard, asked: object) -> tuple[Spoken, object]:
    decoded, problem = None, ""
    if not side.shut and not side.application:
        decoded, problem = _decoded(listener, side.message, frame.request, asked)
    spoken = Spoken(
        frame.number,
        frame.time,
        frame.request,
        side.message,
        heard.session,
        side.shut,
        side.application,
        decoded=decoded,
        problem=problem,
    )
    return spoken, decoded


def _decoded(listener: Eavesdropper, message: bytes, request: bool, asked: object) -> tuple[object, str]:
    try:
        if request:
            return decode_request(message, listener.connection), ""
        return decode_response(message, asked, listener.connection), ""
    except EvidenceProblem as error:
        return None, str(error)


def _put_together(listener: Eavesdropper, heard: Heard, last: Spoken) -> Iterator[Spoken]:
    """The messages of an exchange that went in chunks or came late, once it is over."""
    exchange = heard.exchange
    if exchange is None or heard.response is None:
        return
    asked = _decoded(listener, exchange.request, True, None)[0]
    # A request that was put off or answered in chunks was shown when it was sent; only one in chunks was not.
    halves = [(False, exchange.response, heard.response.message)]
    if name_of(heard.request.message) == RequestCode.CHUNK_SEND.name:
        halves.insert(0, (True, exchange.request, heard.request.message))
    for request, octets, sent in halves:
        if sent.startswith(octets):
            continue
        decoded, problem = _decoded(listener, octets, request, asked)
        yield Spoken(
            last.number, last.time, request, octets, heard.session, whole=True, decoded=decoded, problem=problem
        )
