"""A way to devices that writes down every frame as it passes: what `--trace` asks of the verbs that talk to devices.

One device's conversations go into one file each. The first attempt at `FILE` has that name; further connections, such
as a second try or the next device of a run, get `FILE-2`, `FILE-3` and so on, with the suffix kept at the end.
"""

from __future__ import annotations

import threading
from pathlib import Path

from cmakeys.transports.base import Deadline, Transport
from cmakeys.transports.connect import framing_of, open_transport
from cmakeys.transports.recording import RecordingTransport

MAX_CONVERSATIONS = 10_000
"""Files that one run may write."""


class Tracer:
    """Opens transports and records each; may be used by several threads."""

    def __init__(self, file: Path) -> None:
        """`file` must not exist: nothing is ever overwritten."""
        self._file = file
        self._number = 0
        self._lock = threading.Lock()
        self.files: list[Path] = []

    def reach(self, url: str, deadline: Deadline) -> Transport:
        """Open a transport and record what passes. Raises what both do; a file that is there already is refused."""
        transport = open_transport(url, deadline)
        try:
            return RecordingTransport.create(transport, framing_of(url), self._next())
        except BaseException:
            transport.close()
            raise

    def _next(self) -> Path:
        with self._lock:
            self._number += 1
            if self._number > MAX_CONVERSATIONS:
                raise RuntimeError(f"more than {MAX_CONVERSATIONS} conversations are traced")
            name = self._file if self._number == 1 else self._numbered(self._number)
            self.files.append(name)
            return name

    def _numbered(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.stem}-{number}{self._file.suffix}")
