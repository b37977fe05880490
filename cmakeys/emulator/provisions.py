"""What is put into an emulated device from files: pre-shared keys, and whom it takes for its requester.

A file of pre-shared keys has one key a line, the hint that names it and the key, both hexadecimal and separated by
blanks; an empty line and one that begins with `#` say nothing. Keys are never taken from a command line, where every
user of the machine could read them.
"""

from __future__ import annotations

from pathlib import Path

from cmakeys.errors import EvidenceProblem, from_oserror
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.chain import order_root_first

MAX_FILE = 1 << 20
MAX_KEYS = 1024
MAX_HINT = 0xFFFF
"""Bytes of a hint, whose length is a u16."""


class PskFileProblem(EvidenceProblem):
    """A file of pre-shared keys that cannot be understood; the message never quotes it."""

    code = "psk-file"


def parse_psks(text: bytes, source: str) -> dict[bytes, bytes]:
    """The keys by their hints. Raises `PskFileProblem`, naming `source` and the line."""
    keys: dict[bytes, bytes] = {}
    for number, line in enumerate(text.split(b"\n"), 1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        if len(words) != 2:
            raise _problem(f"line {number} has {len(words)} words, a hint and a key are expected", source)
        try:
            hint, key = (bytes.fromhex(word.decode("ascii")) for word in words)
        except ValueError:
            raise _problem(f"line {number} is not hexadecimal", source) from None
        if hint in keys:
            raise _problem(f"line {number} has the hint of an earlier line", source)
        if not key or len(hint) > MAX_HINT:
            raise _problem(f"line {number} has an empty key, or a hint of more than {MAX_HINT} bytes", source)
        keys[hint] = key
        if len(keys) > MAX_KEYS:
            raise _problem(f"more than {MAX_KEYS} keys", source)
    if not keys:
        raise _problem("no key in it", source)
    return keys


def _problem(message: str, source: str) -> PskFileProblem:
    return PskFileProblem(message, object=source, hint="one key a line: HINT KEY, both hexadecimal")


def read_psks(path: Path) -> dict[bytes, bytes]:
    """The pre-shared keys in a file. Raises `PskFileProblem` and members of `EnvironmentProblem`."""
    return parse_psks(_read(path), str(path))


def read_anchors(paths: list[Path]) -> tuple[Certificate, ...]:
    """All certificates in some files. Raises `CertificateProblem` and members of `EnvironmentProblem`."""
    found = [certificate for path in paths for certificate in read_certificates(_read(path), str(path))]
    return tuple(dict.fromkeys(found))


def read_chain(path: Path) -> tuple[Certificate, ...]:
    """The chain in a file, put into SPDM's order. Raises as `read_anchors`."""
    return order_root_first(read_certificates(_read(path), str(path)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > MAX_FILE:
        raise EvidenceProblem("more than 1 MiB", object=str(path), hint="this is another file than was meant")
    return data
