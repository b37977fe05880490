"""The shared secrets of sessions, for whoever asks to see into their recording later: `cmakeys spdm trace --secrets`.

Nothing keeps them unless it is told to. With them, and the recording, everything said in those sessions can be read.
"""

from __future__ import annotations

import os
from pathlib import Path

from cmakeys.errors import from_oserror
from cmakeys.spdm import agreement
from cmakeys.spdm.agreement import Agreement
from cmakeys.spdm.algorithms import Dhe, Kem


class SecretKeeper:
    """Makes the keys of key exchanges, and keeps what they agree on, in their order."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def begin(self, algorithm: Dhe | Kem) -> Agreement:
        """A fresh key for one exchange, as `agreement.begin`, whose secret will be kept."""
        return _Kept(agreement.begin(algorithm), "KEM" if isinstance(algorithm, Kem) else "DHE", self._lines)

    def write(self, path: Path) -> None:
        """Put them into a new file that only its owner may read; one that is there is never written over."""
        text = "# The secrets of recorded sessions: whoever has them can read the recording.\n"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "".join(f"{line}\n" for line in self._lines))
        except OSError as error:
            raise from_oserror(error, str(path)) from error


class _Kept:
    def __init__(self, inner: Agreement, kind: str, lines: list[str]) -> None:
        self._inner = inner
        self._kind = kind
        self._lines = lines

    @property
    def public(self) -> bytes:
        return self._inner.public

    def agree(self, answer: bytes) -> bytes:
        secret = self._inner.agree(answer)
        self._lines.append(f"{self._kind} secret={secret.hex()}")
        return secret
