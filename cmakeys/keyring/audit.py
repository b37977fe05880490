"""What is in the keyring that we did not put there, and what of ours is no longer what it says.

Anybody with user id 0, a container's included, can extend or displace what the kernel believes (kernel-abi.md §2.2,
§2.5); that cannot be prevented, but it can be seen. An error is something that changes which devices the kernel
believes; a warning is something that could hide one, or that does not do what its owner thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cmakeys.keyring.cma import CMA, MANAGED, Keyring
from cmakeys.keyring.contents import (
    Genuineness,
    KeyState,
    ManagedRing,
    Member,
    genuineness,
    own_root,
    read_contents,
    read_members,
    ring_fault,
)
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Permission, Serial
from cmakeys.keyring.listing import Listing, read_listing
from cmakeys.keyring.managed import Anchor
from cmakeys.x509.lint import Severity

CMA_PERMISSION = Permission(0x1F0F0000)
"""What the kernel gives `.cma` (kernel-abi.md §2.1)."""

SEARCH_DEPTH = 6
"""Keyrings nested below ours that a lookup goes down to: what lies in deeper ones is not found (kernel-abi.md §2.6)."""

MAX_WALK = 65536
"""Keys looked at below one foreign keyring."""

_UNDO_DIRECT = (
    "if you did not want it: one linked into the keyring goes with keyctl unlink; one added directly stays until "
    "reboot, or until a key of the same description displaces it"
)


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing to know about a key in the keyring; `code` is a stable word for machines, `hint` what to do about it.

    `description` is the key's, or what /proc/keys claims of a dead one: foreign text.
    """

    severity: Severity
    code: str
    serial: Serial
    description: str
    message: str
    hint: str


def audit(
    anchors: Sequence[Anchor],
    ring: Keyring,
    *,
    keyctl: Keyctl | None = None,
    listing: Callable[[], Listing] = read_listing,
) -> tuple[AuditFinding, ...]:
    """Everything in `ring` that is foreign, displaced or dead; `anchors` is what should be there.

    Raises an `EnvironmentProblem` when the keyring cannot be read.
    """
    keyctl = keyctl or Keyctl()
    contents = read_contents(keyctl, ring)
    wanted = {anchor.description: anchor for anchor in anchors}
    auditor = _Auditor(keyctl, wanted, listing())
    return (
        *_ring(ring),
        *(finding for member in contents.direct for finding in auditor.direct(member)),
        *(auditor.managed(contents.managed) if contents.managed else ()),
    )


def _ring(ring: Keyring) -> Iterator[AuditFinding]:
    if ring.info.description == CMA and ring.info.permission != CMA_PERMISSION:
        yield AuditFinding(
            Severity.WARNING,
            "ring-permissions",
            ring.serial,
            CMA,
            f"its permissions are {ring.info.permission}, known kernels give {CMA_PERMISSION}",
            "this kernel is newer than cmakeys or was patched; see who else may write to it: keyctl describe",
        )


@dataclass(frozen=True, slots=True)
class _Auditor:
    keyctl: Keyctl
    wanted: Mapping[str, Anchor]
    listing: Listing

    def direct(self, member: Member) -> Iterator[AuditFinding]:
        """A key that is linked into the keyring itself, where we put nothing but our own ring."""
        if member.info is None:
            yield self._unreadable(member)
        elif member.info.is_keyring:
            yield self._keyring(member)
        elif member.type != "asymmetric":
            yield _foreign_type(member)
        else:
            yield self._certificate(member)

    def _certificate(self, member: Member) -> AuditFinding:
        """A certificate outside of our ring: only proof makes it one of our roots, not a description or identifier."""
        resembles = ""
        for anchor in self.wanted.values():
            answer = genuineness(self.keyctl, member.serial, member.description, anchor.certificate, self.listing)
            if answer is Genuineness.PROVEN:
                message = f"root {anchor.name} is also here, outside of our ring: there it outlives its removal"
                return _finding(Severity.WARNING, "direct-root", member, message, _UNDO_DIRECT)
            if answer is Genuineness.CONSISTENT:
                resembles = f"; its key identifier ends like that of root {anchor.name}, which proves nothing"
        message = f"the kernel believes this certificate, and cmakeys did not put it here{resembles}"
        return _finding(Severity.ERROR, "foreign-anchor", member, message, _UNDO_DIRECT)

    def managed(self, ring: ManagedRing) -> Iterator[AuditFinding]:
        """Our own ring."""
        fault = ring_fault(ring)
        if fault:
            yield AuditFinding(
                Severity.ERROR, "managed-ring", ring.serial, MANAGED, f"our ring: {fault}", "cmakeys keyring apply"
            )
        for member in ring.members:
            yield from self._inside(member)

    def _inside(self, member: Member) -> Iterator[AuditFinding]:
        if member.info is None:
            yield self._unreadable(member)
            return
        own = own_root(member)
        if own is None:
            severity = Severity.WARNING if member.type not in ("asymmetric", "keyring") else Severity.ERROR
            message = f"a key of type {member.type} in our ring that we did not put there"
            yield _finding(severity, "foreign-in-managed", member, message, "cmakeys keyring apply drops it")
            return
        anchor = self.wanted.get(member.description)
        if anchor is None:
            message = f"root {own.name} is in the kernel and not among the trusted roots"
            yield _finding(
                Severity.ERROR,
                "not-in-store",
                member,
                message,
                "cmakeys keyring apply drops it; see cmakeys roots list",
            )
            return
        yield from self._own(member, anchor)

    def _own(self, member: Member, anchor: Anchor) -> Iterator[AuditFinding]:
        match genuineness(self.keyctl, member.serial, member.description, anchor.certificate, self.listing):
            case Genuineness.CONTRADICTED:
                yield _finding(
                    Severity.ERROR,
                    "displaced",
                    member,
                    f"another certificate was put in the place of root {anchor.name}, under its description",
                    "find out who did it: only this user id can; cmakeys keyring apply puts the root back",
                )
            case Genuineness.DISPUTED:
                yield _finding(
                    Severity.WARNING,
                    "forged-listing",
                    member,
                    f"/proc/keys says different things about root {anchor.name}, so somebody forged lines of it",
                    "find the key with line ends in its description: cat -A /proc/keys; cmakeys keyring apply makes "
                    "the lines miss their aim",
                )
            case Genuineness.UNKNOWN:
                yield _finding(
                    Severity.WARNING,
                    "unproven",
                    member,
                    f"the kernel cannot show that this is root {anchor.name}: it is not self-signed and has no key "
                    "identifier",
                    "to be sure, put it there anew: keyctl unlink our ring, then cmakeys keyring apply",
                )
            case Genuineness.PROVEN | Genuineness.CONSISTENT:
                return

    def _unreadable(self, member: Member) -> AuditFinding:
        claimed = self.listing.claimed_description(member.serial)
        if member.state is KeyState.HIDDEN:
            return AuditFinding(
                Severity.ERROR,
                "hidden",
                member.serial,
                claimed,
                "a key that this user may not look at; the kernel may believe it all the same",
                "look at it as its owner: keyctl describe",
            )
        what = "that was revoked" if member.state is KeyState.REVOKED else "that has expired"
        return AuditFinding(
            Severity.WARNING,
            "dead",
            member.serial,
            claimed,
            f"a key {what} is still linked: devices that need it fail with a misleading error",
            "cmakeys keyring apply rebuilds our ring; elsewhere take it out with keyctl unlink",
        )

    def _keyring(self, member: Member) -> AuditFinding:
        walk = _walk(self.keyctl, member.serial)
        hint = f"look at it with keyctl show {member.serial}; take it out with keyctl unlink"
        if not walk.found and not walk.unread:
            deep = f"; {walk.too_deep} certificates in it lie too deep for a lookup" if walk.too_deep else ""
            message = f"another keyring is linked here; nothing in it is believed{deep}"
            return _finding(
                Severity.WARNING if walk.too_deep else Severity.INFO, "foreign-keyring", member, message, hint
            )
        unread = f"; {walk.unread} keys or rings in it cannot be read" if walk.unread else ""
        message = f"another keyring is linked here; certificates in it that the kernel believes: {walk.found}{unread}"
        return _finding(Severity.ERROR, "foreign-keyring", member, message, hint)


def _foreign_type(member: Member) -> AuditFinding:
    return _finding(
        Severity.WARNING,
        "foreign-type",
        member,
        f"a key of type {member.type}: no certificate, so no device is believed by it",
        "somebody used the wrong keyring; take it out with keyctl unlink",
    )


def _finding(severity: Severity, code: str, member: Member, message: str, hint: str) -> AuditFinding:
    return AuditFinding(severity, code, member.serial, member.description, message, hint)


@dataclass(frozen=True, slots=True)
class _Walk:
    found: int
    too_deep: int
    unread: int


def _walk(keyctl: Keyctl, ring: Serial) -> _Walk:
    """Count the certificates below a keyring that is linked into ours, down to where no lookup goes and beyond."""
    found = too_deep = unread = looked_at = 0
    level, seen = [ring], {ring}
    depth = 0
    while level and looked_at < MAX_WALK:
        depth += 1
        below: list[Serial] = []
        for serial in level:
            try:
                members = read_members(keyctl, serial)
            except KeyctlError:
                unread += 1
                continue
            looked_at += len(members)
            certificates = sum(member.type == "asymmetric" for member in members)
            unread += sum(member.state is KeyState.HIDDEN for member in members)
            if depth > SEARCH_DEPTH:
                too_deep += certificates
            else:
                found += certificates
            below += [member.serial for member in members if member.type == "keyring" and member.serial not in seen]
        seen.update(below)
        level = list(dict.fromkeys(below))
    return _Walk(found, too_deep, unread + len(level))
