"""/proc/keys and /proc/crypto: text that the kernel prints, of which not one line is proof of anything.

/proc/keys prints descriptions raw, newlines included, so anyone who can make a key that we may see can make lines of
it (kernel-abi.md §1.3). Two things hold nevertheless. A key that we may see has its genuine line, which nobody can
suppress; and a forged line names a serial number that DESCRIBE knows better. So a line here is only ever a *candidate*:
a ring found by name is confirmed with DESCRIBE, and what is printed about a key counts only if every line that claims
to be about it says the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cmakeys.errors import EnvironmentProblem, Unsupported, from_oserror
from cmakeys.keyring.keyctl import Serial

KEYS = Path("/proc/keys")
CRYPTO = Path("/proc/crypto")

MAX_LISTING = 16 << 20
"""Bytes of /proc/keys; every unprivileged user may add 20,000 bytes of descriptions to it."""

MAX_CRYPTO = 4 << 20
"""Bytes of /proc/crypto."""

_CHUNK = 1 << 16

# Serial, seven flag letters, usage count, time left, permissions, uid, gid, type cut to nine characters, the rest.
# Negative uids do not exist, but -1 is what an unmapped gid of a keyring prints as.
_LINE = re.compile(
    rb"(?P<serial>[0-9a-f]{8}) [A-Za-z-]{7} +\d{1,10} +(?P<left>[0-9a-z]{1,8}) (?P<permission>[0-9a-f]{8}) +"
    rb"(?P<uid>-?\d{1,10}) +(?P<gid>-?\d{1,10}) (?P<type>[!-~][ -~]{8}) (?P<rest>.*)"
)
_ALGORITHM = rb": X509\.([!-~]{1,32})(?: ([0-9a-f]{2,8}))? \[\]"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of /proc/keys, as printed: `type` is cut to nine characters, `rest` begins with the description."""

    serial: Serial
    type: str
    rest: bytes


@dataclass(frozen=True, slots=True)
class KeySummary:
    """What /proc/keys prints behind an asymmetric key's description.

    `algorithm` is the kernel's name of the public key algorithm; `key_id` the last four bytes of the certificate's
    Subject Key Identifier as hex, empty when it has none.
    """

    algorithm: str
    key_id: str


class ForgedListing(EnvironmentProblem):
    """Lines of /proc/keys contradict each other, so somebody forged at least one."""

    code = "forged-listing"


@dataclass(frozen=True, slots=True)
class Listing:
    """All lines of /proc/keys that have its form, genuine or not, in their order."""

    lines: tuple[Line, ...]

    @classmethod
    def parse(cls, data: bytes) -> Listing:
        """Read /proc/keys' text. What does not look like a line is part of a description with newlines: left out."""
        return cls(tuple(_lines(data)))

    def keyrings(self, name: str) -> tuple[Serial, ...]:
        """Serials that some line calls a keyring of that name: to be confirmed, each of them."""
        wanted = re.compile(re.escape(_raw(name)) + rb": (?:empty|\d{1,10})")
        found = (line.serial for line in self.lines if line.type == "keyring" and wanted.fullmatch(line.rest))
        return tuple(dict.fromkeys(found))

    def summary(self, key: Serial, description: str) -> KeySummary | None:
        """What is printed about an asymmetric key whose description DESCRIBE has given; None if it is not listed.

        Raises `ForgedListing` when lines about it differ or do not fit the description.
        """
        wanted = re.compile(re.escape(_raw(description)) + _ALGORITHM)
        about = {(line.type, line.rest) for line in self.lines if line.serial == key}
        if not about:
            return None
        kind, rest = next(iter(about))
        match = wanted.fullmatch(rest)
        if len(about) > 1 or kind != "asymmetri" or match is None:
            raise ForgedListing(
                f"/proc/keys says {len(about)} different things about key {key:#x}"
                if len(about) > 1
                else f"/proc/keys does not describe key {key:#x} as the kernel does",
                object=description,
                hint="a key with newlines in its description makes false lines; find it with: cat -A /proc/keys",
            )
        return KeySummary(match[1].decode("ascii"), (match[2] or b"").decode("ascii"))

    def claimed_description(self, key: Serial) -> str:
        """What a line says about a key that cannot be described any more; for messages only."""
        rest = next((line.rest for line in self.lines if line.serial == key), b"")
        return rest.decode("utf-8", "surrogateescape").rpartition(": ")[0]


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _lines(data: bytes) -> Iterator[Line]:
    for text in data.split(b"\n"):
        match = _LINE.fullmatch(text)
        if match:
            yield Line(Serial(int(match["serial"], 16)), match["type"].decode("ascii").rstrip(), match["rest"])


def read_listing(path: Path = KEYS) -> Listing:
    """Read /proc/keys.

    Raises `Unsupported` where there is none, another `EnvironmentProblem` when it cannot be read or is too long.
    """
    if not path.exists():
        raise Unsupported(
            "the kernel lists no keys",
            object=str(path),
            hint="mount /proc; if it is mounted, this kernel has no CONFIG_KEYS, and only userspace checks work",
        )
    return Listing.parse(_read(path, MAX_LISTING))


def kernel_algorithms(path: Path = CRYPTO) -> frozenset[str] | None:
    """Names of the algorithms registered in the kernel now; None where that cannot be known.

    More may be loaded as modules when they are asked for.
    """
    try:
        data = _read(path, MAX_CRYPTO)
    except EnvironmentProblem:
        return None
    return frozenset(match[1].decode("ascii") for match in re.finditer(rb"(?m)^name +: ([!-~]{1,128})$", data))


def _read(path: Path, limit: int) -> bytes:
    """All of a file of /proc, whose size is not known before it is read."""
    try:
        with path.open("rb", buffering=0) as stream:
            return _read_bounded(stream, limit, str(path))
    except OSError as error:
        raise from_oserror(error, os.fspath(path)) from error


def _read_bounded(stream: BinaryIO, limit: int, name: str) -> bytes:
    data = bytearray()
    while chunk := stream.read(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise EnvironmentProblem(
                f"it is longer than {limit} bytes",
                object=name,
                hint="somebody made very many keys; /proc/key-users says who",
            )
    return bytes(data)
