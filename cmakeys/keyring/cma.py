"""Find a keyring and make sure that it is the one meant.

`.cma` is found by its name in /proc/keys, which anybody can write lines into, and is then confirmed by its serial with
KEYCTL_DESCRIBE (kernel-abi.md §1.3). For a name with a leading dot that settles it: only the kernel can make such a
keyring. Any other name is everybody's, so there the keyring must also be ours and the only one.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from cmakeys.errors import NotFound, NotPermitted, Refused, Unsupported, UsageProblem
from cmakeys.keyring.keyctl import MAX_DESCRIPTION, Keyctl, KeyctlError, KeyInfo, Serial, SpecialRing
from cmakeys.keyring.listing import Listing, read_listing
from cmakeys.keyring.refusals import explain

CMA = ".cma"

MANAGED = "cmakeys"
"""Name of our sub-keyring: linking a second one of this name displaces the first in one kernel operation."""

MAX_SERIAL = 0x7FFFFFFF

_SPECIAL = {"@s": SpecialRing.SESSION, "@u": SpecialRing.USER, "@p": SpecialRing.PROCESS}
_DECIMAL = re.compile(r"[0-9]{1,10}")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,8}")

STILL_WORKS = (
    "without it the kernel authenticates no device, but everything else works: cmakeys roots keeps what you trust, "
    "cmakeys check authenticates devices from userspace; --keyring @s tries this command on your session"
)


@dataclass(frozen=True, slots=True)
class Keyring:
    """A keyring that exists and was confirmed by DESCRIBE. `selector` is what the caller asked for."""

    serial: Serial
    selector: str
    info: KeyInfo

    @property
    def label(self) -> str:
        """Name and serial, for messages."""
        return f"{self.selector} ({self.serial:#x})"


def open_keyring(
    selector: str = CMA, *, keyctl: Keyctl | None = None, listing: Callable[[], Listing] = read_listing
) -> Keyring:
    """Find the keyring that `selector` names: a name, `@s`, `@u`, `@p`, or a serial, decimal or 0xHEX.

    Raises `Unsupported` when this kernel has no `.cma`, `NotPermitted` when this user could not see it, `NotFound`
    for another name, `Refused` for a name that several keyrings have, `UsageProblem` for what is not a keyring.
    """
    ring = _open(keyctl or Keyctl(), selector, listing)
    if ring.info.description == MANAGED:
        raise UsageProblem(
            "this is the ring that cmakeys itself puts into a keyring",
            object=selector,
            hint="name the keyring that it is linked into, such as .cma or @s",
        )
    return ring


def _open(keyctl: Keyctl, selector: str, listing: Callable[[], Listing]) -> Keyring:
    if selector in _SPECIAL:
        return _by_serial(keyctl, _special(keyctl, selector), selector)
    if _DECIMAL.fullmatch(selector):
        return _by_serial(keyctl, _serial(int(selector), selector), selector)
    if _HEXADECIMAL.fullmatch(selector):
        return _by_serial(keyctl, _serial(int(selector, 16), selector), selector)
    return _by_name(keyctl, _name(selector), listing())


def _special(keyctl: Keyctl, selector: str) -> Serial:
    """The process keyring is private to its process and made when missing; the others are taken as they are.

    Nothing is created for @s: without a session keyring the kernel answers with the user's default session, whereas a
    created one would die with this process.
    """
    ring = _SPECIAL[selector]
    try:
        return keyctl.keyring_id(ring, create=ring is SpecialRing.PROCESS)
    except KeyctlError as error:
        raise explain(error, selector) from error


def _serial(number: int, selector: str) -> Serial:
    if not 0 < number <= MAX_SERIAL:
        raise UsageProblem("no key has this serial number", object=selector, hint="serials are 1 to 0x7fffffff")
    return Serial(number)


def _name(selector: str) -> str:
    if selector.startswith(("@", "%")) or not selector or "\0" in selector:
        raise UsageProblem(
            "not a keyring's name",
            object=selector,
            hint="give a plain name such as .cma, one of @s @u @p, or a serial number",
        )
    if len(selector.encode("utf-8", "surrogateescape")) > MAX_DESCRIPTION:
        raise UsageProblem("no keyring has so long a name", object=selector[:40], hint="give a plain name such as .cma")
    return selector


def _by_serial(keyctl: Keyctl, serial: Serial, selector: str) -> Keyring:
    try:
        info = keyctl.describe(serial)
    except KeyctlError as error:
        raise explain(error, selector) from error
    if not info.is_keyring:
        raise UsageProblem(
            f"it is a key of type {info.type} and not a keyring", object=selector, hint="see keyctl show"
        )
    return Keyring(serial, selector, info)


def _by_name(keyctl: Keyctl, name: str, listing: Listing) -> Keyring:
    """Confirm every candidate of /proc/keys, believing none."""
    found: list[Keyring] = []
    for serial in listing.keyrings(name):
        try:
            info = keyctl.describe(serial)
        except KeyctlError as error:
            if error.errno in (errno.ENOKEY, errno.EACCES, errno.EKEYREVOKED, errno.EKEYEXPIRED):
                continue  # gone, dead or never ours to see: not the keyring that was asked for
            raise explain(error, name) from error
        if info.is_keyring and info.description == name and info.uid == _owner(name):
            found.append(Keyring(serial, name, info))
    if not found:
        raise _absent(name)
    if len(found) > 1:
        serials = ", ".join(f"{ring.serial:#x}" for ring in found)
        raise Refused(f"{len(found)} keyrings have this name: {serials}", object=name, hint="give the serial instead")
    return found[0]


def _owner(name: str) -> int:
    """Who must own a keyring of that name: the kernel's are root's, others have to be our own."""
    return 0 if name.startswith(".") else os.geteuid()


def _absent(name: str) -> Unsupported | NotPermitted | NotFound:
    if not name.startswith("."):
        return NotFound(
            "you have no keyring of this name",
            object=name,
            hint="make one: keyctl newring NAME @s; or use --keyring @s",
        )
    if os.geteuid() != 0:
        return NotPermitted(
            f"only root can see whether this kernel has a {name} keyring",
            object=name,
            hint="run as root, or use --keyring @s to try it on your session; cmakeys check works as any user",
        )
    if name == CMA:
        return Unsupported(
            f"this kernel ({os.uname().release}) has no .cma keyring (CONFIG_PCI_CMA, not in mainline yet)",
            object=name,
            hint=STILL_WORKS,
        )
    return Unsupported("this kernel has no keyring of this name", object=name, hint="see: grep keyring /proc/keys")
