"""What the tests have done in the guest. Each call has a process of its own; arguments and results are JSON."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Permission, Serial, SpecialRing

MODULE = "/run/code/cma_standin.ko"
PARAMETERS = Path("/sys/module/cma_standin/parameters")
OURS = ("/etc/cmakeys", "/run/cmakeys", "/var/lib/cmakeys")


# -- the machine -------------------------------------------------------------------------------------------------------


def renew(functions: Sequence[str]) -> None:
    """Give the machine an empty `.cma`, and `authenticated` files that read 0; take away what we wrote."""
    remove_cma()
    _busybox("insmod", MODULE, f"functions={','.join(functions)}" if functions else "verdict=0")
    for folder in OURS:
        shutil.rmtree(folder, ignore_errors=True)


def remove_cma() -> None:
    """Make the kernel one without `.cma`."""
    if PARAMETERS.exists():
        _busybox("rmmod", "cma_standin")


def set_verdict(verdict: int, after: int) -> None:
    """What `authenticated` reads, and what it will read once `re` was written; negative ones are errnos."""
    (PARAMETERS / "verdict").write_text(str(verdict))
    (PARAMETERS / "after").write_text(str(after))


def rechecks() -> int:
    """How many times `re` was written since the module was loaded."""
    return int((PARAMETERS / "rechecks").read_text())


def write_file(path: str, text: str) -> None:
    """Write a file, and the folders above it."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def read_file(path: str) -> str:
    """Read a file."""
    return Path(path).read_text()


def _busybox(*words: str) -> None:
    done = subprocess.run(["busybox", *words], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")


# -- what the kernel allows --------------------------------------------------------------------------------------------


class Raw(Keyctl):
    """Every operation by its name in libkeyutils."""

    def do(self, function: str, *arguments: object) -> int:
        return self._call(function, 0, *arguments)

    def ring(self, name: str) -> Serial:
        """The kernel's keyring of that name, confirmed; a new one of ours for any other."""
        if not name.startswith("."):
            return self.add_key("keyring", name, None, SpecialRing.PROCESS)
        for line in Path("/proc/keys").read_text(errors="replace").splitlines():
            fields = line.split(None, 8)
            if len(fields) == 9 and fields[7] == "keyring" and fields[8].startswith(name):
                serial = Serial(int(fields[0], 16))
                if self.describe(serial).description == name:
                    return serial
        raise KeyctlError(errno.ENOKEY, "find", 0)


def _name(error: KeyctlError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


Operation = Callable[[Raw, Serial, Serial, bytes], object]
"""Something to do with a ring, a key that was added straight into it, and the certificate of that key."""


def _restrict(kernel: Raw, ring: Serial, *_: object) -> object:
    return kernel.do("keyctl_restrict_keyring", ring, None, None)


def _search(kernel: Raw, ring: Serial, text: bytes) -> object:
    return kernel.do("keyctl_search", ring, b"asymmetric", text, 0)


def _link_in(kernel: Raw, ring: Serial, *_: object) -> object:
    other = kernel.add_key("keyring", "another", None, SpecialRing.PROCESS)
    kernel.link(other, ring)
    kernel.unlink(other, ring)
    return None


def _same_again(kernel: Raw, ring: Serial, key: Serial, der: bytes) -> object:
    before = kernel.members(ring)
    again = kernel.add_key("asymmetric", "victim", der, ring)
    after = kernel.members(ring)
    return again != key and key not in after and len(before) == len(after)


def _displace(kernel: Raw, ring: Serial, key: Serial, der: bytes) -> object:
    """A kept key goes once another of its description was linked over it and taken out."""
    other = kernel.add_key("asymmetric", "victim", der, SpecialRing.PROCESS)
    kernel.link(other, ring)
    kernel.unlink(other, ring)
    return key not in kernel.members(ring)


OPERATIONS: dict[str, Operation] = {
    "describe the ring": lambda k, ring, key, der: str(k.describe(ring).permission),
    "list the ring": lambda k, ring, key, der: key in k.members(ring),
    "describe the key": lambda k, ring, key, der: str(k.describe(key).permission),
    "read the key": lambda k, ring, key, der: k.do("keyctl_read", key, None, 0),
    "add the certificate again": _same_again,
    "search, there": lambda k, ring, key, der: _search(k, ring, b"victim") == key,
    "search, not there": lambda k, ring, key, der: _search(k, ring, b"nobody"),
    "search, bad digits": lambda k, ring, key, der: _search(k, ring, b"id:0"),
    "unlink the key": lambda k, ring, key, der: k.unlink(key, ring),
    "revoke the key": lambda k, ring, key, der: k.do("keyctl_revoke", key),
    "invalidate the key": lambda k, ring, key, der: k.do("keyctl_invalidate", key),
    "let the key expire": lambda k, ring, key, der: k.do("keyctl_set_timeout", key, 1000),
    "set the key's permissions": lambda k, ring, key, der: k.set_permission(key, Permission(0x3F3F0000)),
    "link the key elsewhere": lambda k, ring, key, der: k.link(key, SpecialRing.PROCESS),
    "clear the ring": lambda k, ring, key, der: k.do("keyctl_clear", ring),
    "revoke the ring": lambda k, ring, key, der: k.do("keyctl_revoke", ring),
    "invalidate the ring": lambda k, ring, key, der: k.do("keyctl_invalidate", ring),
    "let the ring expire": lambda k, ring, key, der: k.do("keyctl_set_timeout", ring, 1000),
    "set the ring's permissions": lambda k, ring, key, der: k.set_permission(ring, Permission(0x3F3F0000)),
    "restrict the ring": _restrict,
    "link the ring elsewhere": lambda k, ring, key, der: k.link(ring, SpecialRing.PROCESS),
    "link another ring into it and take it out": _link_in,
    "link the ring into itself": lambda k, ring, key, der: k.link(ring, ring),
    "add a key of another type": lambda k, ring, key, der: k.add_key("user", "note", b"x", ring) > 0,
    "remove the key by displacing it": _displace,
}


def operations(name: str, der: str) -> dict[str, object]:
    """What every operation gives on a ring with one certificate added straight into it: a value, or an errno's name.

    `.cma` is the kernel's; any other name is a keyring of our own, new for each operation.
    """
    kernel = Raw()
    kernel.join_session()
    found: dict[str, object] = {}
    for what, operation in OPERATIONS.items():
        ring = kernel.ring(name)
        key = kernel.add_key("asymmetric", "victim", bytes.fromhex(der), ring)
        try:
            found[what] = operation(kernel, ring, key, bytes.fromhex(der))
        except KeyctlError as error:
            found[what] = _name(error)
    return found


def load(ders: dict[str, str]) -> dict[str, str]:
    """What adding each of these certificates to `.cma` gives: ok, or the errno's name."""
    kernel = Raw()
    ring = kernel.ring(".cma")
    found = {}
    for name, der in ders.items():
        found[name] = "ok"
        try:
            kernel.add_key("asymmetric", name, bytes.fromhex(der), ring)
        except KeyctlError as error:
            found[name] = _name(error)
    return found


def make_keyring(name: str) -> str:
    """What making a keyring of this name gives: ok, or the errno's name."""
    kernel = Raw()
    kernel.join_session()
    try:
        kernel.add_key("keyring", name, None, SpecialRing.SESSION)
    except KeyctlError as error:
        return _name(error)
    return "ok"


# -- spoiling the keyring ----------------------------------------------------------------------------------------------


def add_directly(description: str, der: str) -> int:
    """Add a certificate straight into `.cma`, as other tools do."""
    kernel = Raw()
    return kernel.add_key("asymmetric", description, bytes.fromhex(der), kernel.ring(".cma"))


def add_to_managed(description: str, der: str, permission: int = 0x39090000) -> int:
    """Link a certificate into our own ring behind our back, with permissions as ours have or others."""
    kernel = Raw()
    for member in kernel.members(kernel.ring(".cma")):
        if kernel.describe(member).is_keyring:
            key = kernel.add_key("asymmetric", description, bytes.fromhex(der), SpecialRing.PROCESS)
            kernel.set_permission(key, Permission(permission))
            kernel.link(key, member)
            return key
    raise RuntimeError("there is no managed ring")


def managed_rings() -> list[int]:
    """The serials of the keyrings directly in `.cma`."""
    kernel = Raw()
    return [key for key in kernel.members(kernel.ring(".cma")) if kernel.describe(key).is_keyring]


# -- devices -----------------------------------------------------------------------------------------------------------

FUNCTIONS = Path("/sys/bus/pci/devices")


def unbind(function: str) -> None:
    """Take the driver away from a function."""
    (FUNCTIONS / function / "driver/unbind").write_text(function)


def probe(function: str) -> None:
    """Let the kernel find a driver for a function."""
    Path("/sys/bus/pci/drivers_probe").write_text(function)


def unplug(function: str) -> None:
    """Take a function off the bus, until it is scanned again."""
    (FUNCTIONS / function / "remove").write_text("1")


def rescan() -> None:
    """Let the kernel find again what was taken off the bus."""
    Path("/sys/bus/pci/rescan").write_text("1")


def replug(function: str) -> None:
    """Take a function off the bus and let the kernel find it again, as when it is plugged in."""
    unplug(function)
    rescan()


def at_once(count: int, words: Sequence[str]) -> list[int]:
    """The exit codes of some runs of the command that begin together."""
    from cmakeys.cli.app import main

    children = []
    for _ in range(count):
        child = os.fork()
        if not child:
            os._exit(main(words))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def while_locked(function: str, words: Sequence[str]) -> tuple[int, str]:
    """Exit code and stdout of the command while somebody else holds the function's lock."""
    from cmakeys.cli.app import main

    with (FUNCTIONS / function / "config").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            return main(words), said.getvalue()
