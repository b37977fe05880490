"""Netlink messages as values, as far as asking for a generic netlink family needs them; no input or output here.

Numbers are in the machine's own byte order. A header is 16 bytes (length u32, type u16, flags u16, sequence u32, port
u32), an attribute 4 (length u16 with the header, type u16 with two flag bits); both are padded to 4 bytes. What a
kernel sends is read like anything else: a length that does not fit is an error and never a guess (linux/netlink.h,
linux/genetlink.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cmakeys.errors import EnvironmentProblem

MAX_MESSAGES = 64
MAX_ATTRIBUTES = 256
MAX_NAME = 15
"""Bytes of a family's name, without the NUL."""

GENL_ID_CTRL = 0x10
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
CTRL_CMD_NEWFAMILY = 1
CTRL_CMD_GETFAMILY = 3
CTRL_ATTR_FAMILY_ID = 1
CTRL_ATTR_FAMILY_NAME = 2
CTRL_ATTR_VERSION = 3
CTRL_ATTR_MCAST_GROUPS = 7
CTRL_ATTR_MCAST_GRP_NAME = 1
CTRL_ATTR_MCAST_GRP_ID = 2
NLMSG_DONE = 3
NLM_F_MULTI = 2

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_GENERIC = struct.Struct("=BBH")
_TYPE_MASK = 0x3FFF


class NetlinkProblem(EnvironmentProblem):
    """An answer that is no netlink, or not the one that was asked for."""

    code = "netlink"


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message; `payload` is what follows the 16 bytes of its header."""

    kind: int
    flags: int
    sequence: int
    port: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute; `kind` is its number without the flag bits."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Family:
    """A generic netlink family that the kernel has; `groups` are the numbers of its multicast groups by name."""

    name: str
    number: int
    version: int
    groups: Mapping[str, int] = field(default_factory=dict)


def push_messages(messages: Iterable[Message]) -> bytes:
    """One datagram of messages."""
    return b"".join(
        _padded(
            _HEADER.pack(_HEADER.size + len(one.payload), one.kind, one.flags, one.sequence, one.port) + one.payload
        )
        for one in messages
    )


def pull_messages(data: bytes) -> tuple[Message, ...]:
    """The messages of one datagram. Raises `NetlinkProblem` for anything that is not exactly that."""
    found: list[Message] = []
    at = 0
    while at < len(data):
        if len(found) == MAX_MESSAGES or len(data) - at < _HEADER.size:
            raise NetlinkProblem(f"after {len(found)} messages follow {len(data) - at} bytes that are none")
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise NetlinkProblem(f"a message says {length} bytes, {len(data) - at} are there")
        found.append(Message(kind, flags, sequence, port, data[at + _HEADER.size : at + length]))
        at += _aligned(length)
    return tuple(found)


def push_attributes(attributes: Iterable[Attribute]) -> bytes:
    """Attributes one after the other."""
    return b"".join(
        _padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(one.data), one.kind) + one.data) for one in attributes
    )


def pull_attributes(data: bytes) -> tuple[Attribute, ...]:
    """The attributes that fill `data`. Raises `NetlinkProblem`."""
    found: list[Attribute] = []
    at = 0
    while at < len(data):
        if len(found) == MAX_ATTRIBUTES or len(data) - at < _ATTRIBUTE.size:
            raise NetlinkProblem(f"after {len(found)} attributes follow {len(data) - at} bytes that are none")
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise NetlinkProblem(f"an attribute says {length} bytes, {len(data) - at} are there")
        found.append(Attribute(kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]))
        at += _aligned(length)
    return tuple(found)


def family_request(name: str, sequence: int) -> bytes:
    """CTRL_CMD_GETFAMILY for the family `name`."""
    encoded = name.encode("ascii")
    if not 0 < len(encoded) <= MAX_NAME:
        raise ValueError(f"{name!r} is no name of a family")
    attribute = push_attributes([Attribute(CTRL_ATTR_FAMILY_NAME, encoded + b"\0")])
    payload = _GENERIC.pack(CTRL_CMD_GETFAMILY, 1, 0) + attribute
    return push_messages([Message(GENL_ID_CTRL, NLM_F_REQUEST, sequence, 0, payload)])


def pull_error(message: Message) -> int:
    """The errno of NLMSG_ERROR, positive; 0 for an acknowledgement. Raises `NetlinkProblem`."""
    if len(message.payload) < 4:
        raise NetlinkProblem("an error message has no number")
    (number,) = struct.unpack_from("=i", message.payload)
    if not -4096 < number <= 0:
        raise NetlinkProblem(f"an error message carries {number}, which is no errno")
    return int(-number)


def pull_family(message: Message) -> Family:
    """The family that CTRL_CMD_NEWFAMILY describes. Raises `NetlinkProblem`."""
    if message.kind != GENL_ID_CTRL or len(message.payload) < _GENERIC.size:
        raise NetlinkProblem("the answer is not about a family")
    command, _, _ = _GENERIC.unpack_from(message.payload)
    if command != CTRL_CMD_NEWFAMILY:
        raise NetlinkProblem(f"the answer is command {command} and describes no family")
    values = {one.kind: one.data for one in pull_attributes(message.payload[_GENERIC.size :])}
    name, number = values.get(CTRL_ATTR_FAMILY_NAME, b""), values.get(CTRL_ATTR_FAMILY_ID, b"")
    version = values.get(CTRL_ATTR_VERSION, b"\0" * 4)
    if not 1 < len(name) <= MAX_NAME + 1 or not name.endswith(b"\0") or len(number) != 2 or len(version) != 4:
        raise NetlinkProblem("the answer describes a family without name or number")
    text = name[:-1].decode("ascii", "backslashreplace")
    groups = _pull_groups(values.get(CTRL_ATTR_MCAST_GROUPS, b""))
    return Family(text, struct.unpack("=H", number)[0], struct.unpack("=I", version)[0], groups)


def _pull_groups(data: bytes) -> dict[str, int]:
    """The nested list of multicast groups. Raises `NetlinkProblem`."""
    groups: dict[str, int] = {}
    for entry in pull_attributes(data):
        values = {one.kind: one.data for one in pull_attributes(entry.data)}
        name, number = values.get(CTRL_ATTR_MCAST_GRP_NAME, b""), values.get(CTRL_ATTR_MCAST_GRP_ID, b"")
        if not 1 < len(name) <= MAX_NAME + 1 or not name.endswith(b"\0") or len(number) != 4:
            raise NetlinkProblem("a multicast group has no name or no number")
        groups[name[:-1].decode("ascii", "backslashreplace")] = struct.unpack("=I", number)[0]
    return groups


def generic_command(payload: bytes) -> tuple[int, bytes]:
    """The command of a generic netlink message, and its attributes. Raises `NetlinkProblem`."""
    if len(payload) < _GENERIC.size:
        raise NetlinkProblem(f"a generic netlink message of {len(payload)} bytes")
    return _GENERIC.unpack_from(payload)[0], payload[_GENERIC.size :]


def push_command(command: int, attributes: Iterable[Attribute]) -> bytes:
    """The payload of a generic netlink message."""
    return _GENERIC.pack(command, 1, 0) + push_attributes(attributes)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
