"""A signature as the kernel announces it on netlink family `spdm`: put together from messages, with bounds.

The family belongs to the SPDM series (kernel-abi.md §5.1). It sends event SIG for every signature that the kernel has
received, before it has verified it: the transcript in pieces, the signature at its end, and where in it signature and
nonces lie. A large one takes several messages, up to NLMSG_DONE. What comes out is the same value that the log in sysfs
is read as, so that both are proven by the same rules.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cmakeys.devices.netlink_codec import (
    NLM_F_MULTI,
    NLMSG_DONE,
    Attribute,
    Message,
    NetlinkProblem,
    generic_command,
    pull_attributes,
)
from cmakeys.devices.signatures import MAX_SIGNATURE, MAX_TRANSCRIPT, LoggedSignature
from cmakeys.spdm.codes import NONCE_LENGTH, ResponseCode
from cmakeys.spdm.signing import PREFIX_LENGTH, Context

SIG = 1
DEVICE, RSP_CODE, SLOT, HASH_ALGO, SIG_OFFSET = 1, 2, 3, 4, 5
REQ_NONCE_OFFSET, RSP_NONCE_OFFSET, PREFIX, TRANSCRIPT = 6, 7, 8, 9

MAX_PATH = 4096
MAX_PARTS = 4096

HASH_NAMES = {4: "sha256", 5: "sha384", 6: "sha512"}
"""Members of `enum hash_algo` (uapi linux/hash_info.h) that the kernel's requester negotiates."""

_KINDS = {ResponseCode.CHALLENGE_AUTH: Context.CHALLENGE_AUTH, ResponseCode.MEASUREMENTS: Context.MEASUREMENTS}
_SIZES = {RSP_CODE: 1, SLOT: 1, HASH_ALGO: 2, SIG_OFFSET: 4, REQ_NONCE_OFFSET: 4, RSP_NONCE_OFFSET: 4}


@dataclass(frozen=True, slots=True)
class SignatureEvent:
    """One announced signature; `devpath` is the device's path below /sys. Nothing of it has been checked."""

    devpath: str
    signature: LoggedSignature


@dataclass(slots=True)
class Assembler:
    """Takes the messages of the family `number` as they come, and gives out each signature once it is whole."""

    number: int
    _parts: list[Attribute] = field(default_factory=list)
    _size: int = 0
    _count: int = 0

    def take(self, message: Message, now: datetime) -> SignatureEvent | None:
        """One message. Raises `NetlinkProblem` for what is none of the family, and drops what was begun."""
        try:
            return self._take(message, now)
        except NetlinkProblem:
            self._clear()
            raise

    def _take(self, message: Message, now: datetime) -> SignatureEvent | None:
        if message.kind == NLMSG_DONE:
            return self._finish(now) if self._parts else None
        if message.kind != self.number:
            return None
        command, data = generic_command(message.payload)
        if command != SIG:
            return None
        for attribute in pull_attributes(data):
            self._size += len(attribute.data)
            if self._size > MAX_TRANSCRIPT + MAX_SIGNATURE or len(self._parts) == MAX_PARTS:
                raise NetlinkProblem(f"a signature with more than {MAX_TRANSCRIPT} bytes of transcript")
            self._parts.append(attribute)
        return None if message.flags & NLM_F_MULTI else self._finish(now)

    def _finish(self, now: datetime) -> SignatureEvent:
        values: dict[int, bytes] = {}
        for attribute in self._parts:
            if attribute.kind != TRANSCRIPT:
                values.setdefault(attribute.kind, attribute.data)
        whole = b"".join(attribute.data for attribute in self._parts if attribute.kind == TRANSCRIPT)
        self._clear()
        self._count += 1
        return event_of(values, whole, self._count, now)

    def _clear(self) -> None:
        self._parts.clear()
        self._size = 0


def event_of(values: Mapping[int, bytes], whole: bytes, number: int, now: datetime) -> SignatureEvent:
    """The event in the attributes of all its messages; `whole` is the transcript with the signature at its end.

    Raises `NetlinkProblem` for an event without a device; what else is missing or out of bounds the entry says itself.
    """
    path = values.get(DEVICE, b"")
    if not 1 < len(path) <= MAX_PATH or not path.endswith(b"\0") or not path.startswith(b"/"):
        raise NetlinkProblem("a signature of no device")
    problems: list[str] = []
    numbers = {kind: _number(values, kind, size, problems) for kind, size in _SIZES.items()}
    at = numbers[SIG_OFFSET]
    if not 0 < at <= len(whole) or len(whole) - at > MAX_SIGNATURE:
        problems.append(f"its signature is said to begin at byte {at} of {len(whole)}")
        at = len(whole)
    nonces = [_piece(whole, numbers[kind], problems) for kind in (REQ_NONCE_OFFSET, RSP_NONCE_OFFSET)]
    prefix = values.get(PREFIX, b"")
    if len(prefix) not in (0, PREFIX_LENGTH):
        problems.append(f"its prefix has {len(prefix)} bytes")
    code = numbers[RSP_CODE]
    kind = next((context.value for response, context in _KINDS.items() if response == code), f"response {code:#04x}")
    return SignatureEvent(
        path[:-1].decode("utf-8", "backslashreplace"),
        LoggedSignature(
            number,
            now,
            whole[at:],
            whole[:at],
            nonces[0],
            nonces[1],
            HASH_NAMES.get(numbers[HASH_ALGO], f"hash {numbers[HASH_ALGO]}"),
            prefix[:PREFIX_LENGTH],
            kind,
            numbers[SLOT],
            tuple(problems),
        ),
    )


def of_device(events: Sequence[SignatureEvent], devpath: str) -> tuple[SignatureEvent, ...]:
    """The events about one device, newest first."""
    return tuple(event for event in reversed(events) if event.devpath == devpath)


def _number(values: Mapping[int, bytes], kind: int, size: int, problems: list[str]) -> int:
    data = values.get(kind, b"")
    if len(data) != size:
        problems.append(f"its attribute {kind} has {len(data)} bytes, not {size}")
        return 0
    return int.from_bytes(data, sys.byteorder)


def _piece(whole: bytes, at: int, problems: list[str]) -> bytes:
    nonce = whole[at : at + NONCE_LENGTH]
    if len(nonce) != NONCE_LENGTH:
        problems.append(f"a nonce is said to be at byte {at} of {len(whole)}")
    return nonce
