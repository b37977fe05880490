"""A `/sys` in a temporary folder, with a kernel behind it that answers as told: modes, contents, errnos, a log.

Files are real files, so bounds, modes and links are tested as they are in the field. What no ordinary file can do, an
errno on reading or something that happens on writing, is told to the tree and handed out by its reader and writer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.devices.functions import FunctionEntry, list_functions
from cmakeys.devices.sysfs import Sysfs, read_attribute, write_attribute
from cmakeys.x509.identity import PciIdentity
from tests.evidence.loopback import IDENTITY

FUNCTION = "0000:01:00.0"
NAMES = ("signature", "transcript", "requester_nonce", "responder_nonce", "hash_algorithm", "combined_spdm_prefix")


def configuration(identity: PciIdentity = IDENTITY, *, mailbox: bool = True, size: int = 4096) -> bytes:
    """Configuration space: the header, and in extended space a serial number and a mailbox."""
    space = bytearray(size)
    space[0:2] = identity.vendor.to_bytes(2, "little")
    space[2:4] = identity.device.to_bytes(2, "little")
    space[0x08] = identity.revision
    space[0x09:0x0C] = identity.class_code.to_bytes(3, "little")
    space[0x2C:0x2E] = (identity.subsystem_vendor or 0).to_bytes(2, "little")
    space[0x2E:0x30] = (identity.subsystem_device or 0).to_bytes(2, "little")
    space[0x0E] = 0x80 if identity.subsystem_vendor is not None else 0x81
    if size > 0x100:
        serial = 0x140 if identity.serial is not None else 0
        following = serial or (0x180 if mailbox else 0)
        space[0x100:0x104] = (0x0001 | 1 << 16 | following << 20).to_bytes(4, "little")
        if identity.serial is not None:
            after = 0x180 if mailbox else 0
            space[0x140:0x144] = (0x0003 | 1 << 16 | after << 20).to_bytes(4, "little")
            space[0x144:0x14C] = identity.serial.to_bytes(8, "little")
        if mailbox:
            space[0x180:0x184] = (0x002E | 1 << 16).to_bytes(4, "little")
    return bytes(space)


@dataclass
class Tree:
    """The tree at `root`; `failures` are errnos of reading by file, `reactions` what writing to a file does."""

    root: Path
    failures: dict[Path, int] = field(default_factory=dict)
    reactions: dict[Path, Callable[[bytes], None]] = field(default_factory=dict)
    written: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def sysfs(self) -> Sysfs:
        return Sysfs(self.root, self._read, self._write)

    def folder(self, name: str = FUNCTION) -> Path:
        return self.root / "bus/pci/devices" / name

    def entry(self, name: str = FUNCTION) -> FunctionEntry:
        return next(entry for entry in list_functions(self.sysfs) if str(entry.address) == name)

    def put(self, path: Path, data: bytes, mode: int = 0o444) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def add(
        self,
        name: str = FUNCTION,
        identity: PciIdentity = IDENTITY,
        *,
        features: tuple[str, ...] | None = ("doe_discovery", "0001:01"),
        config: bytes | None = None,
        driver: str = "nvme",
    ) -> Path:
        """A function as every kernel shows it, with the features of its mailbox where the kernel lists them."""
        folder = self.folder(name)
        for attribute, value in (
            ("vendor", f"0x{identity.vendor:04x}"),
            ("device", f"0x{identity.device:04x}"),
            ("class", f"0x{identity.class_code:06x}"),
            ("revision", f"0x{identity.revision:02x}"),
            ("subsystem_vendor", f"0x{identity.subsystem_vendor or 0:04x}"),
            ("subsystem_device", f"0x{identity.subsystem_device or 0:04x}"),
        ):
            self.put(folder / attribute, f"{value}\n".encode())
        self.put(folder / "config", configuration(identity) if config is None else config, 0o644)
        for feature in features or ():
            text = "0001:00" if feature == "doe_discovery" else feature
            self.put(folder / "doe_features" / feature, f"{text}\n".encode())
        if driver:
            (folder / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
        return folder

    def authenticated(self, content: bytes | int, mode: int = 0o644, name: str = FUNCTION) -> Path:
        """The attribute `authenticated`; a number is the errno of reading it."""
        path = self.folder(name) / "authenticated"
        self.put(path, content if isinstance(content, bytes) else b"", mode)
        self.failures.pop(path, None)
        if isinstance(content, int):
            self.failures[path] = content
        return path

    def on_recheck(self, result: bytes | int, name: str = FUNCTION) -> None:
        """What the kernel does about `re`: the new content, or the errno of a failed attempt."""
        path = self.folder(name) / "authenticated"

        def react(data: bytes) -> None:
            if data not in (b"re", b"re\n"):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            if isinstance(result, int):
                if result not in (errno.ENOTTY, errno.EACCES):
                    path.write_bytes(b"0\n")
                raise OSError(result, os.strerror(result))
            path.write_bytes(result)

        self.reactions[path] = react

    def slot(self, number: int, data: bytes, name: str = FUNCTION) -> Path:
        return self.put(self.folder(name) / f"certificates/slot{number}", data)

    def log(self, number: int, parts: dict[str, bytes], slot: int | str = 0, name: str = FUNCTION) -> Path:
        """One entry of the signature log; returns its folder."""
        folder = self.folder(name) / "signatures"
        for part, data in parts.items():
            self.put(folder / f"{number}_{part}", data)
        target = slot if isinstance(slot, str) else f"../certificates/slot{slot}"
        (folder / f"{number}_certificate_chain").symlink_to(target)
        return folder

    def _read(self, path: Path, limit: int) -> bytes:
        if path in self.failures:
            number = self.failures[path]
            raise OSError(number, os.strerror(number), str(path))
        return read_attribute(path, limit)

    def _write(self, path: Path, data: bytes, seconds: float) -> None:
        self.written.append((str(path.relative_to(self.root)), data))
        reaction = self.reactions.get(path)
        if reaction is None:
            write_attribute(path, data, seconds)
        else:
            reaction(data)
