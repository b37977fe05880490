"""The managed sub-keyring: what would change, and the change itself, by atomic swap.

A key added straight into `.cma` stays until reboot; a keyring of our own, linked into it, can be replaced. `apply`
therefore builds a complete new `cmakeys` ring in a place of its own, checks it, and links it: in that one
kernel operation the old ring of the same name goes and the new one comes (kernel-abi.md §2.6, pattern E). Before it
nothing has changed, after it everything has; a process killed in between takes its half-built ring with it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cmakeys.errors import EnvironmentProblem, Temporary
from cmakeys.keyring.cma import MANAGED, Keyring
from cmakeys.keyring.contents import (
    MANAGED_PERMISSION,
    ROOT_PERMISSION,
    Contents,
    Genuineness,
    ManagedRing,
    Member,
    OwnDescription,
    genuineness,
    own_root,
    read_contents,
    read_members,
    ring_fault,
)
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Serial, SpecialRing
from cmakeys.keyring.listing import Listing, kernel_algorithms, read_listing
from cmakeys.keyring.refusals import explain, explain_certificate
from cmakeys.x509.certificate import Certificate


class Anchor(Protocol):
    """What the keyring needs to know of a root; `cmakeys.roots.root.Root` is one.

    `description` is `cmakeys:<name>:<sha256>`, so two anchors never displace each other.
    """

    @property
    def name(self) -> str:
        """Name of the root."""

    @property
    def certificate(self) -> Certificate:
        """Its certificate."""

    @property
    def description(self) -> str:
        """Description of its key."""


class Cause(Enum):
    """Why an anchor has to be added."""

    MISSING = "missing"
    DISPLACED = "displaced"
    DISPUTED = "disputed"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Addition:
    """An anchor that the kernel does not have, or has wrongly."""

    name: str
    fingerprint: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class KeyringDiff:
    """What `apply` would do to a keyring.

    `add`, `remove` and `keep` are about roots. `foreign` are keys inside the managed ring that are not ours and `dead`
    those that are revoked or expired: the swap drops both. `rebuild` says what is wrong with the managed ring itself.
    Keys linked directly into the parent keyring are not touched, so not listed here: `audit` names them.
    """

    add: tuple[Addition, ...]
    remove: tuple[OwnDescription, ...]
    keep: tuple[OwnDescription, ...]
    foreign: tuple[Member, ...]
    dead: tuple[Member, ...]
    rebuild: str
    managed: Serial | None

    @property
    def changes(self) -> bool:
        """Whether a swap is due."""
        return bool(self.add or self.remove or self.foreign or self.dead or self.rebuild)


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What `apply` did. `serial` is the managed ring now in force; None when there is none and none was needed."""

    changed: bool
    added: tuple[Addition, ...]
    removed: tuple[OwnDescription, ...]
    serial: Serial | None


@dataclass(frozen=True, slots=True)
class KeyringStatus:
    """What a keyring looks like: `roots` are those in the managed ring, `others` how many keys are elsewhere in it."""

    ring: Keyring
    managed: ManagedRing | None
    roots: tuple[OwnDescription, ...]
    others: int


class RootsRefused(EnvironmentProblem):
    """The kernel refused one or several roots, so nothing was changed. `problems` has one entry per root."""

    code = "roots-refused"

    def __init__(self, problems: Sequence[EnvironmentProblem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(first.message + more, object=first.object, hint=first.hint)
        self.problems = tuple(problems)
        self.exit_code = first.exit_code


def plan(
    anchors: Sequence[Anchor],
    ring: Keyring,
    *,
    keyctl: Keyctl | None = None,
    listing: Callable[[], Listing] = read_listing,
) -> KeyringDiff:
    """Compare the anchors with what the managed ring in `ring` holds now.

    Raises an `EnvironmentProblem` when the keyring cannot be read.
    """
    keyctl = keyctl or Keyctl()
    return _compare(keyctl, anchors, read_contents(keyctl, ring), listing)


def apply(
    anchors: Sequence[Anchor],
    ring: Keyring,
    *,
    keyctl: Keyctl | None = None,
    listing: Callable[[], Listing] = read_listing,
) -> ApplyResult:
    """Make the managed ring in `ring` hold exactly `anchors`, by one atomic swap; nothing happens if it does already.

    Raises `RootsRefused` when the kernel does not take a certificate, `NotPermitted` when this user may not link into
    the keyring; nothing has changed then. Raises `Temporary` when another run replaced our ring by a different one.
    """
    keyctl = keyctl or Keyctl()
    difference = plan(anchors, ring, keyctl=keyctl, listing=listing)
    if not difference.changes:
        return ApplyResult(False, (), (), difference.managed)
    with build(keyctl, anchors) as built:
        try:
            keyctl.link(built, ring.serial)
        except KeyctlError as error:
            raise explain(error, ring.label) from error
    now = plan(anchors, ring, keyctl=keyctl, listing=listing)
    if now.managed is None or now.changes:
        raise Temporary(
            "somebody changed our keys as soon as they were there",
            object=ring.label,
            hint="compare with: cmakeys keyring diff, then run it again",
        )
    return ApplyResult(True, difference.add, difference.remove, now.managed)


def rehearse(anchors: Sequence[Anchor], *, keyctl: Keyctl | None = None) -> None:
    """Build the ring that `apply` would link, and drop it: whether this kernel takes every certificate.

    Raises `RootsRefused` when it does not.
    """
    with build(keyctl or Keyctl(), anchors):
        pass


def status(ring: Keyring, *, keyctl: Keyctl | None = None) -> KeyringStatus:
    """Look at a keyring.

    Raises an `EnvironmentProblem` when it cannot be read.
    """
    contents = read_contents(keyctl or Keyctl(), ring)
    inside = contents.managed.members if contents.managed else ()
    own = tuple(filter(None, (own_root(member) for member in inside)))
    return KeyringStatus(ring, contents.managed, own, len(contents.direct) + len(inside) - len(own))


def _compare(
    keyctl: Keyctl, anchors: Sequence[Anchor], contents: Contents, listing: Callable[[], Listing]
) -> KeyringDiff:
    wanted = {anchor.description: anchor for anchor in anchors}
    managed = contents.managed
    inside = managed.members if managed else ()
    present = {member.description: member for member in inside if own_root(member)}
    dead = tuple(member for member in inside if member.dead)
    lines = listing() if inside else Listing(())
    claimed = {lines.claimed_description(member.serial) for member in dead}
    add: list[Addition] = []
    keep: list[OwnDescription] = []
    for description, anchor in sorted(wanted.items()):
        member = present.get(description)
        fingerprint = anchor.certificate.fingerprint
        if member is None:
            add.append(Addition(anchor.name, fingerprint, Cause.DEAD if description in claimed else Cause.MISSING))
            continue
        cause = _doubt(genuineness(keyctl, member.serial, description, anchor.certificate, lines))
        if cause:
            add.append(Addition(anchor.name, fingerprint, cause))
        else:
            keep.append(OwnDescription(anchor.name, fingerprint))
    return KeyringDiff(
        add=tuple(add),
        remove=tuple(
            own for member in inside if (own := own_root(member)) is not None and member.description not in wanted
        ),
        keep=tuple(keep),
        foreign=tuple(member for member in inside if own_root(member) is None and not member.dead),
        dead=dead,
        rebuild=ring_fault(managed) if managed else "",
        managed=managed.serial if managed else None,
    )


def _doubt(answer: Genuineness) -> Cause | None:
    """Why a key has to be added again although one of its description is there."""
    match answer:
        case Genuineness.CONTRADICTED:
            return Cause.DISPLACED
        case Genuineness.DISPUTED:
            return Cause.DISPUTED
        case Genuineness.PROVEN | Genuineness.CONSISTENT | Genuineness.UNKNOWN:
            return None


@contextmanager
def build(keyctl: Keyctl, anchors: Sequence[Anchor]) -> Iterator[Serial]:
    """Build a complete ring in the thread's own keyring, hand it out, and drop our link to it.

    Raises `RootsRefused` when the kernel does not take a certificate.

    In the process keyring, which all threads share, a second build would displace the first while it is being filled.
    """
    try:
        built = keyctl.add_key("keyring", MANAGED, None, SpecialRing.THREAD)
    except KeyctlError as error:
        raise explain(error, MANAGED) from error
    try:
        _fill(keyctl, built, anchors)
        yield built
    finally:
        _drop(keyctl, built)


def _drop(keyctl: Keyctl, built: Serial) -> None:
    try:
        keyctl.unlink(built, SpecialRing.THREAD)
    except KeyctlError as error:
        if error.errno not in (errno.ENOENT, errno.ENOKEY):  # not there is what was wanted
            raise explain(error, MANAGED) from error


def _fill(keyctl: Keyctl, built: Serial, anchors: Sequence[Anchor]) -> None:
    """Add every anchor and prove that the ring holds those and nothing else.

    Raises `RootsRefused` with every certificate that the kernel does not take, not only the first.
    """
    made: dict[Serial, str] = {}
    refused: list[EnvironmentProblem] = []
    try:
        for anchor in {anchor.description: anchor for anchor in anchors}.values():
            try:
                key = keyctl.add_key("asymmetric", anchor.description, anchor.certificate.der, built)
            except KeyctlError as error:
                refused.append(explain_certificate(error, anchor.certificate, anchor.name, kernel_algorithms()))
                continue
            keyctl.set_permission(key, ROOT_PERMISSION)
            made[key] = anchor.description
        if refused:
            raise RootsRefused(refused)
        keyctl.set_permission(built, MANAGED_PERMISSION)
        members = read_members(keyctl, built)
    except KeyctlError as error:
        raise explain(error, MANAGED) from error
    found = {member.serial: member.description for member in members if member.type == "asymmetric"}
    if found != made or len(members) != len(made):
        raise EnvironmentProblem(
            f"the kernel holds {len(members)} keys, {len(made)} were added; nothing was changed",
            object=MANAGED,
            hint="another program worked in the ring before it was linked; run it again",
        )
