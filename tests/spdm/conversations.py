"""The recorded conversations of the reference pair, cut down to clear-text SPDM message pairs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.reassembly import Reassembler

NORMAL = 1
_CLEAR_TYPE = {0: None, 1: 0x05, 2: 0x01, 3: 0x05}


@dataclass(frozen=True)
class Conversation:
    """One capture: its manifest entry and its clear-text message pairs."""

    name: str
    pairs: tuple[tuple[bytes, bytes], ...]

    def exchanges(self) -> list[Exchange]:
        reassembler = Reassembler()
        found = [reassembler.feed(*pair) for pair in self.pairs]
        return [exchange for exchange in found if exchange is not None]


def names(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".pcap.raw.jsonl") for path in folder.glob("*.raw.jsonl"))


def load(folder: Path, name: str) -> Conversation:
    """Clear-text pairs of a capture; secured records, discovery and socket commands are left out."""
    messages: list[tuple[str, bytes]] = []
    for line in (folder / f"{name}.pcap.raw.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["cmd"] != NORMAL:
            continue
        message = _unframe(record["trans"], bytes.fromhex(record["hex"]))
        if message is not None:
            messages.append((record["dir"], message))
    pairs = []
    for (kind, request), (answer, response) in zip(messages[::2], messages[1::2], strict=True):
        assert (kind, answer) == ("req", "rsp")
        pairs.append((request, response))
    return Conversation(name, tuple(pairs))


def _unframe(transport: int, frame: bytes) -> bytes | None:
    if transport == 0:
        return frame
    if transport == 1:
        return frame[1:] if frame[0] == 0x05 else None
    if transport == 2:
        return frame[8:] if frame[:3] == b"\x01\x00\x01" else None
    return frame[4:] if frame[3] == 0x05 else None


def leaf_key(chain: bytes, hash_size: int) -> CertificatePublicKeyTypes:
    """The public key of the last certificate of a chain structure."""
    offset = 4 + hash_size
    leaf = b""
    while offset < len(chain):
        length = 4 + int.from_bytes(chain[offset + 2 : offset + 4], "big")
        leaf = chain[offset : offset + length]
        offset += length
    return x509.load_der_x509_certificate(leaf).public_key()
