"""A recorded conversation: one JSON-lines file, every frame of both directions in the order in which it passed.

    {"format": "cmakeys-recording/1", "address": "emu://127.0.0.1:2323?transport=doe"}
    {"t": 1795385667.839444, "dir": "req", "cmd": 1, "trans": 2, "hex": "010001000300000010840000"}
    {"t": 1795385667.839634, "dir": "rsp", "cmd": 1, "trans": 2, "hex": "01000100040000001004000000010012"}

`cmd` and `trans` are the command and transport words of the emulator socket and `hex` is the whole transport frame. The
first line is ours and may be absent: recordings made by other tools have none. `RecordingTransport` writes such a file
while it passes messages on, `ReplayTransport` answers from one, and `to_pcap` turns one into what Wireshark reads.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from cmakeys.errors import EvidenceProblem, from_oserror
from cmakeys.transports.base import Deadline, Transport
from cmakeys.transports.emulator_socket import Command
from cmakeys.transports.framing import DOE_MAXIMUM, DoeType, Framing, wrap

FORMAT = "cmakeys-recording/1"
FILE_MAXIMUM = 64 << 20
LINE_MAXIMUM = 2 * DOE_MAXIMUM + 1024
ENTRIES_MAXIMUM = 100_000

Direction = Literal["req", "rsp"]


class RecordingProblem(EvidenceProblem):
    """A file that is no recording."""

    code = "recording"


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame: Unix time in seconds, direction, command and transport word, and the frame itself."""

    time: float
    direction: Direction
    command: int
    transport: int
    frame: bytes

    def line(self) -> str:
        """The entry as one line of a recording, without a line end."""
        return json.dumps(
            {
                "t": self.time,
                "dir": self.direction,
                "cmd": self.command,
                "trans": self.transport,
                "hex": self.frame.hex(),
            }
        )

    @classmethod
    def parse(cls, line: bytes, where: str) -> Entry:
        """Read one line; `where` names file and line in a `RecordingProblem`."""
        fields = _object(line, where)
        moment, direction = fields.get("t"), fields.get("dir")
        if not isinstance(moment, int | float) or isinstance(moment, bool) or not 0 <= moment < 1 << 40:
            raise RecordingProblem("t must be a Unix time", object=where)
        if direction != "req" and direction != "rsp":  # noqa: PLR1714 spelled so that its type is narrowed
            raise RecordingProblem('dir must be "req" or "rsp"', object=where)
        command, transport = _word(fields, "cmd", where), _word(fields, "trans", where)
        return cls(float(moment), direction, command, transport, _frame(fields.get("hex"), where))


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole conversation; `address` is empty when the file does not tell it."""

    entries: tuple[Entry, ...]
    source: str = ""
    address: str = ""

    @classmethod
    def parse(cls, data: bytes, source: str) -> Recording:
        """Read a recording from its bytes; `RecordingProblem` names file and line."""
        if len(data) > FILE_MAXIMUM:
            raise RecordingProblem(f"larger than {FILE_MAXIMUM >> 20} MiB", object=source)
        lines = data.split(b"\n")
        address, first = _header(lines[0], source)
        entries: list[Entry] = []
        for number, line in enumerate(lines[first:], start=first + 1):
            if not line.strip():
                continue
            if len(entries) == ENTRIES_MAXIMUM:
                raise RecordingProblem(f"more than {ENTRIES_MAXIMUM} entries", object=source)
            entries.append(Entry.parse(line, f"{source}, line {number}"))
        if not entries:
            raise RecordingProblem("there is no message in it", object=source)
        return cls(tuple(entries), source, address)

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read a recording from a file."""
        try:
            with path.open("rb") as file:
                data = file.read(FILE_MAXIMUM + 1)
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        return cls.parse(data, str(path))

    def conversation(self) -> tuple[Entry, ...]:
        """The entries that carry SPDM: no hello, no farewell, no DOE discovery."""
        return tuple(entry for entry in self.entries if entry.command == Command.NORMAL and not _is_discovery(entry))


def _is_discovery(entry: Entry) -> bool:
    return entry.transport == Framing.PCI_DOE and entry.frame[2:3] == bytes([DoeType.DISCOVERY])


def _object(line: bytes, where: str) -> dict[str, object]:
    if len(line) > LINE_MAXIMUM:
        raise RecordingProblem(f"a line of more than {LINE_MAXIMUM} bytes", object=where)
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise RecordingProblem("not a line of JSON", object=where) from None
    if not isinstance(fields, dict):
        raise RecordingProblem("not a JSON object", object=where)
    return fields


def _word(fields: dict[str, object], name: str, where: str) -> int:
    number = fields.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 32:
        raise RecordingProblem(f"{name} must be a 32-bit number", object=where)
    return number


def _frame(text: object, where: str) -> bytes:
    try:
        frame = bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        frame = None
    if frame is None or len(frame) > DOE_MAXIMUM:
        raise RecordingProblem("hex must be the hexadecimal digits of at most 1 MiB", object=where)
    return frame


def _header(line: bytes, source: str) -> tuple[str, int]:
    """The address of our first line and the number of lines it takes, which is none when the file has no such line."""
    where = f"{source}, line 1"
    fields = _object(line, where) if line.strip() else {}
    if "format" not in fields:
        return "", 0
    if fields["format"] != FORMAT:
        raise RecordingProblem(
            f"this version of cmakeys reads {FORMAT}, the file says otherwise", object=where, hint="update cmakeys"
        )
    address = fields.get("address", "")
    if not isinstance(address, str):
        raise RecordingProblem("address must be text", object=where)
    return address, 1


class RecordingTransport:
    """Passes messages on to another transport and writes each frame down as it passes; see `Transport`.

    A request is written before it is sent, so a recording that ends in one shows what the device did not answer.
    """

    def __init__(self, inner: Transport, framing: Framing, file: BinaryIO) -> None:
        self._inner = inner
        self._framing = framing
        self._file = file
        self._write(json.dumps({"format": FORMAT, "address": inner.address}))

    @classmethod
    def create(cls, inner: Transport, framing: Framing, path: Path) -> RecordingTransport:
        """Record into a new file; an existing one is never overwritten."""
        try:
            file = path.open("xb")
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        return cls(inner, framing, file)

    @property
    def inner(self) -> Transport:
        """The transport underneath."""
        return self._inner

    @property
    def address(self) -> str:
        """The address of the transport underneath."""
        return self._inner.address

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Pass one message on and write both directions down."""
        self._note("req", message, secured=secured)
        answer = self._inner.exchange(message, deadline, secured=secured)
        self._note("rsp", answer, secured=secured)
        return answer

    def close(self) -> None:
        """Close the transport underneath and the file."""
        self._inner.close()
        self._file.close()

    def _note(self, direction: Direction, payload: bytes, *, secured: bool) -> None:
        frame = wrap(self._framing, payload, secured=secured)
        self._write(Entry(time.time(), direction, Command.NORMAL, self._framing, frame).line())

    def _write(self, line: str) -> None:
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise from_oserror(error, getattr(self._file, "name", "recording")) from error
