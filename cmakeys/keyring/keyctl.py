"""libkeyutils by ctypes: one method per kernel operation, every return checked, errno kept, serials typed.

The library is used instead of raw system calls because it knows each architecture's numbers (kernel-abi.md §11.1). A
refusal is raised as `KeyctlError`, an `OSError` that also says which operation on which key was refused; what it means
to a person is written in `refusals.py`. All reads are bounded: a description has at most 4095 bytes, a keyring as many
members as `MAX_MEMBERS`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NewType

from cmakeys.errors import EnvironmentProblem, Unsupported

LIBRARY = "libkeyutils.so.1"

MAX_MEMBERS = 65536
"""Keys in one keyring that we are ready to read."""

MAX_DESCRIPTION = 4095
"""Bytes; the kernel's own limit on a key's description (kernel-abi.md §3.1)."""

_DESCRIBE_BUFFER = 8192
_FIRST_READ = 1024
_SERIAL_SIZE = 4
_READ_ATTEMPTS = 8

Serial = NewType("Serial", int)
"""A key's serial number: positive, 31 bits, chosen at random by the kernel."""


class SpecialRing(IntEnum):
    """Keyrings that the kernel looks up for the calling process."""

    THREAD = -1
    PROCESS = -2
    SESSION = -3
    USER = -4


class Permission(IntFlag):
    """Who may do what with a key; names as in keyctl_setperm(3)."""

    OTHER_VIEW = 0x01
    OTHER_READ = 0x02
    OTHER_WRITE = 0x04
    OTHER_SEARCH = 0x08
    OTHER_LINK = 0x10
    OTHER_SETATTR = 0x20
    GROUP_VIEW = 0x0100
    GROUP_READ = 0x0200
    GROUP_WRITE = 0x0400
    GROUP_SEARCH = 0x0800
    GROUP_LINK = 0x1000
    GROUP_SETATTR = 0x2000
    USER_VIEW = 0x010000
    USER_READ = 0x020000
    USER_WRITE = 0x040000
    USER_SEARCH = 0x080000
    USER_LINK = 0x100000
    USER_SETATTR = 0x200000
    POSSESSOR_VIEW = 0x01000000
    POSSESSOR_READ = 0x02000000
    POSSESSOR_WRITE = 0x04000000
    POSSESSOR_SEARCH = 0x08000000
    POSSESSOR_LINK = 0x10000000
    POSSESSOR_SETATTR = 0x20000000

    def __str__(self) -> str:
        """Eight hex digits, as /proc/keys and DESCRIBE print them."""
        return f"{int(self):08x}"


class KeyctlError(OSError):
    """The kernel refused one operation. `errno` is its reason, `operation` the libkeyutils function."""

    def __init__(self, number: int, operation: str, key: int) -> None:
        super().__init__(number, os.strerror(number))
        self.operation = operation
        self.key = key


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What KEYCTL_DESCRIBE says: the only description of a key that cannot be forged.

    `description` is decoded as UTF-8 with `surrogateescape`, so that any bytes survive; it may hold newlines and
    semicolons and must be escaped before a terminal sees it.
    """

    type: str
    uid: int
    gid: int
    permission: Permission
    description: str

    @property
    def is_keyring(self) -> bool:
        """Whether the key is a keyring."""
        return self.type == "keyring"

    @classmethod
    def parse(cls, raw: bytes) -> KeyInfo:
        """Read `type;uid;gid;perm;description`: the description is everything after the fourth semicolon.

        Raises `EnvironmentProblem` if the kernel's answer has another form.
        """
        fields = raw.split(b";", 4)
        try:
            kind, uid, gid, permission, description = fields
            numbers = int(uid), int(gid), int(permission, 16)
            name = kind.decode("ascii")
        except ValueError as error:
            raise EnvironmentProblem(
                f"the kernel describes a key as {raw[:80]!r}, which is not type;uid;gid;perm;description",
                object="KEYCTL_DESCRIBE",
                hint="this kernel is newer or stranger than cmakeys knows; please report it",
            ) from error
        return cls(name, numbers[0], numbers[1], Permission(numbers[2]), description.decode("utf-8", "surrogateescape"))


class KeyQuery(ctypes.Structure):
    """struct keyctl_pkey_query of the kernel's uapi: what an asymmetric key can do."""

    _fields_ = (
        ("supported_ops", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("max_data_size", ctypes.c_uint16),
        ("max_sig_size", ctypes.c_uint16),
        ("max_enc_size", ctypes.c_uint16),
        ("max_dec_size", ctypes.c_uint16),
        ("spare", ctypes.c_uint32 * 10),
    )


SUPPORTS_VERIFY = 0x08
"""Bit of `KeyQuery.supported_ops`."""


class Keyctl:
    """The kernel's key service.

    Every method raises `KeyctlError` when the kernel refuses. Creating one raises `Unsupported` when the library is
    not installed.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        except OSError as error:
            raise Unsupported(
                f"the library cannot be loaded: {error}",
                object=LIBRARY,
                hint="install it: package libkeyutils1 (Debian, Ubuntu), keyutils-libs (Fedora, SUSE), keyutils (Arch)",
            ) from error

    def add_key(self, key_type: str, description: str, payload: bytes | None, ring: Serial | SpecialRing) -> Serial:
        """Create a key, or replace the one of equal type and description in `ring`."""
        return Serial(
            self._call("add_key", ring, _text(key_type), _text(description), payload, _size(len(payload or b"")), ring)
        )

    def join_session(self) -> Serial:
        """Give this process, and the programs it will start, a new empty session keyring."""
        return Serial(self._call("keyctl_join_session_keyring", 0, None))

    def keyring_id(self, ring: SpecialRing, *, create: bool = False) -> Serial:
        """Serial of a special keyring; ENOKEY if it does not exist and is not to be created."""
        return Serial(self._call("keyctl_get_keyring_ID", ring, ring, int(create)))

    def describe(self, key: Serial) -> KeyInfo:
        """Type, owner, permissions and description of a key."""
        buffer = ctypes.create_string_buffer(_DESCRIBE_BUFFER)
        length = self._call("keyctl_describe", key, key, buffer, _size(len(buffer)))
        if length > len(buffer):
            raise EnvironmentProblem(
                f"its description has {length} bytes, the kernel's own limit is {MAX_DESCRIPTION}", object=f"key {key}"
            )
        return KeyInfo.parse(buffer.raw[:length].rstrip(b"\0"))

    def members(self, ring: Serial) -> tuple[Serial, ...]:
        """Serials of the keys directly in `ring`, as they were at one instant.

        The kernel lists a ring under its lock and returns the size needed, so a ring that outgrew the buffer is read
        again. Raises `EnvironmentProblem` for more than `MAX_MEMBERS` keys.
        """
        capacity = _FIRST_READ
        for _ in range(_READ_ATTEMPTS):
            buffer = ctypes.create_string_buffer(capacity * _SERIAL_SIZE)
            count = self._call("keyctl_read", ring, ring, buffer, _size(len(buffer))) // _SERIAL_SIZE
            if count > MAX_MEMBERS:
                raise EnvironmentProblem(
                    f"it holds {count} keys, more than {MAX_MEMBERS}",
                    object=f"keyring {ring:#x}",
                    hint="somebody filled it; look at it with: keyctl list",
                )
            if count <= capacity:
                raw = buffer.raw[: count * _SERIAL_SIZE]
                return tuple(
                    Serial(int.from_bytes(raw[at : at + _SERIAL_SIZE], sys.byteorder, signed=True))
                    for at in range(0, len(raw), _SERIAL_SIZE)
                )
            capacity = count * 2
        raise EnvironmentProblem("it grew faster than it could be read", object=f"keyring {ring:#x}")

    def set_permission(self, key: Serial, permission: Permission) -> None:
        """Replace a key's permissions."""
        self._call("keyctl_setperm", key, key, ctypes.c_uint32(int(permission)))

    def link(self, key: Serial, ring: Serial | SpecialRing) -> None:
        """Link a key into a ring; one of equal type and description there is displaced in the same instant."""
        self._call("keyctl_link", ring, key, ring)

    def unlink(self, key: Serial, ring: Serial | SpecialRing) -> None:
        """Take a key out of a ring."""
        self._call("keyctl_unlink", ring, key, ring)

    def restrict(self, ring: Serial, key_type: str, restriction: str) -> None:
        """Let `ring` take only what a rule of the key type allows, for example `key_or_keyring:<serial>:chain`."""
        self._call("keyctl_restrict_keyring", ring, ring, _text(key_type), _text(restriction))

    def query(self, key: Serial, scheme: str) -> KeyQuery:
        """What an asymmetric key can do with `scheme`, for example `enc=pkcs1 hash=sha256`."""
        answer = KeyQuery()
        self._call("keyctl_pkey_query", key, key, _text(scheme), ctypes.byref(answer))
        return answer

    def verify(self, key: Serial, scheme: str, digest: bytes, signature: bytes) -> None:
        """Check a signature over a digest with the public key that the kernel holds."""
        self._call(
            "keyctl_pkey_verify",
            key,
            key,
            _text(scheme),
            digest,
            _size(len(digest)),
            signature,
            _size(len(signature)),
        )

    def _call(self, function: str, about: int, *arguments: object) -> int:
        """Call the library; `about` is the key or ring that an error is reported for."""
        result = int(getattr(self._library, function)(*arguments))
        if result < 0:
            raise KeyctlError(ctypes.get_errno(), function, about)
        return result


def _text(value: str) -> bytes:
    """A C string; a NUL inside would silently cut it."""
    raw = value.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise ValueError(f"{value!r} holds a NUL")
    return raw


def _size(length: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(length)
