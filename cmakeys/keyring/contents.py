"""What is in a keyring now: its direct members, and those of the managed sub-keyring `cmakeys` linked into it.

A keyring changes under our hands, so a snapshot is taken again when something named in it has gone meanwhile. Serials
and descriptions come from READ and DESCRIBE only. What certificate stands behind a description the kernel does not say
(kernel-abi.md §11.3); `genuineness` finds out as far as that is possible.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ExtensionNotFound, SubjectKeyIdentifier

from cmakeys.errors import Temporary
from cmakeys.keyring.cma import MANAGED, Keyring
from cmakeys.keyring.keyctl import SUPPORTS_VERIFY, Keyctl, KeyctlError, KeyInfo, Permission, Serial
from cmakeys.keyring.listing import ForgedListing, Listing
from cmakeys.keyring.refusals import explain
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.issuing import claims_self_signature

MANAGED_PERMISSION = Permission(0x1F3F0000)
"""Possessor all but SETATTR, owner all: its owner can take it out again and freeze it (kernel-abi.md §2.6, D)."""

ROOT_PERMISSION = Permission(0x39090000)
"""The default of an asymmetric key, and SEARCH for its owner: that lets a later run check a signature with it."""

_ATTEMPTS = 8
_OURS = re.compile(r"cmakeys:([a-z0-9][a-z0-9_-]{0,63}):([0-9a-f]{64})")


class KeyState(Enum):
    """What DESCRIBE says about a member of a keyring."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"
    HIDDEN = "hidden"


_STATES = {
    errno.EKEYEXPIRED: KeyState.EXPIRED,
    errno.EKEYREVOKED: KeyState.REVOKED,
    errno.EACCES: KeyState.HIDDEN,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One key in a keyring. Only a live one has an `info`: the kernel describes no dead key."""

    serial: Serial
    state: KeyState
    info: KeyInfo | None = None

    @property
    def dead(self) -> bool:
        """Expired or revoked: still listed, found by no lookup."""
        return self.state in (KeyState.EXPIRED, KeyState.REVOKED)

    @property
    def description(self) -> str:
        """The description, empty when the kernel gives none."""
        return self.info.description if self.info else ""

    @property
    def type(self) -> str:
        """The key type, empty when the kernel gives none."""
        return self.info.type if self.info else ""


@dataclass(frozen=True, slots=True)
class ManagedRing:
    """The sub-keyring `cmakeys` and what is in it."""

    serial: Serial
    info: KeyInfo
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """A keyring at one instant: `direct` are its members without the managed sub-keyring."""

    direct: tuple[Member, ...]
    managed: ManagedRing | None


class Genuineness(Enum):
    """Whether a key holds the certificate that its description names.

    `PROVEN`: the kernel verified the certificate's self-signature with the key. `CONSISTENT`: the key identifier shown
    in /proc/keys fits. `CONTRADICTED`: it is another key. `DISPUTED`: /proc/keys contradicts itself, so
    somebody forged lines of it. `UNKNOWN`: nothing could be compared.
    """

    PROVEN = "proven"
    CONSISTENT = "consistent"
    CONTRADICTED = "contradicted"
    DISPUTED = "disputed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OwnDescription:
    """`cmakeys:<name>:<sha256>` in its parts."""

    name: str
    fingerprint: str

    @classmethod
    def parse(cls, description: str) -> OwnDescription | None:
        """Read a key's description; None if it is not of our form."""
        match = _OURS.fullmatch(description)
        return cls(match[1], match[2]) if match else None


def read_members(keyctl: Keyctl, ring: Serial) -> tuple[Member, ...]:
    """Every key directly in a ring, described.

    A key that vanished between the two questions makes us ask both again; one that stays listed without existing
    (invalidated, not yet collected) is left out in the end, because no search finds it. Raises `KeyctlError`.
    """
    members: list[Member] = []
    for _ in range(_ATTEMPTS):
        members = []
        vanished = False
        for serial in keyctl.members(ring):
            try:
                members.append(Member(serial, KeyState.LIVE, keyctl.describe(serial)))
            except KeyctlError as error:
                if error.errno in _STATES:
                    members.append(Member(serial, _STATES[error.errno]))
                elif error.errno == errno.ENOKEY:
                    vanished = True
                else:
                    raise
        if not vanished:
            break
    return tuple(members)


def read_contents(keyctl: Keyctl, ring: Keyring) -> Contents:
    """What is in `ring` now.

    Raises an `EnvironmentProblem` in words when the ring cannot be read, `Temporary` when it changes all the time.
    """
    for _ in range(_ATTEMPTS):
        try:
            members = read_members(keyctl, ring.serial)
        except KeyctlError as error:
            raise explain(error, ring.label) from error
        managed = next((member for member in members if _is_managed(member)), None)
        if managed is None or managed.info is None:
            return Contents(members, None)
        direct = tuple(member for member in members if member is not managed)
        try:
            inside = read_members(keyctl, managed.serial)
        except KeyctlError as error:
            if error.errno in (errno.ENOKEY, errno.EKEYREVOKED, errno.EKEYEXPIRED):
                continue  # displaced by another run, or killed, since we saw it
            if error.errno != errno.EACCES:
                raise explain(error, f"{MANAGED} ({managed.serial:#x}) in {ring.label}") from error
            if managed.serial not in _serials(keyctl, ring):
                continue
            inside = ()  # not our ring, for ours can be read: `ring_fault` says so
        return Contents(direct, ManagedRing(managed.serial, managed.info, inside))
    raise Temporary("it is being changed all the time", object=ring.label, hint="try again later")


def _serials(keyctl: Keyctl, ring: Keyring) -> tuple[Serial, ...]:
    try:
        return keyctl.members(ring.serial)
    except KeyctlError as error:
        raise explain(error, ring.label) from error


def _is_managed(member: Member) -> bool:
    return member.info is not None and member.info.is_keyring and member.description == MANAGED


def own_root(member: Member) -> OwnDescription | None:
    """The root that a live key in the managed ring claims to be; None for anything else."""
    return OwnDescription.parse(member.description) if member.type == "asymmetric" else None


def ring_fault(managed: ManagedRing) -> str:
    """What is wrong with the managed ring itself: who may change it decides what the kernel believes."""
    if managed.info.uid != os.geteuid():
        return f"it belongs to user {managed.info.uid}, who can change it"
    if managed.info.permission != MANAGED_PERMISSION:
        return f"its permissions are {managed.info.permission} and not {MANAGED_PERMISSION}"
    for member in managed.members:
        if member.info is None or own_root(member) is None:
            continue
        if member.info.uid != managed.info.uid:
            return f"key {member.description} in it belongs to user {member.info.uid}, who can revoke it"
        if member.info.permission != ROOT_PERMISSION:
            return f"key {member.description} in it has permissions {member.info.permission}, so we did not add it"
    return ""


def genuineness(
    keyctl: Keyctl, key: Serial, description: str, certificate: Certificate, listing: Listing
) -> Genuineness:
    """Find out whether `key` is the public key of `certificate`, whatever its description claims.

    A self-signature that the kernel verifies with the key is proof. Otherwise the last four bytes of the Subject Key
    Identifier that /proc/keys shows are compared: whoever makes a certificate chooses its identifier, so equal ones
    prove nothing, but different ones do.
    """
    answer = _verified(keyctl, key, certificate)
    if answer is not Genuineness.UNKNOWN:
        return answer
    try:
        summary = listing.summary(key, description)
    except ForgedListing:
        return Genuineness.DISPUTED
    if summary is None:
        return Genuineness.UNKNOWN
    key_id = _key_id(certificate)
    if summary.key_id != key_id[-8:]:
        return Genuineness.CONTRADICTED
    return Genuineness.CONSISTENT if key_id else Genuineness.UNKNOWN


def _key_id(certificate: Certificate) -> str:
    """The Subject Key Identifier in hex, empty without one."""
    try:
        extension = certificate.parsed.extensions.get_extension_for_class(SubjectKeyIdentifier)
    except ExtensionNotFound:
        return ""
    return extension.value.digest.hex()


def _verified(keyctl: Keyctl, key: Serial, certificate: Certificate) -> Genuineness:
    """Let the kernel check the certificate's own signature with the key it holds.

    EINVAL is the answer both to a wrong signature and to a question that the kernel does not understand, so the key is
    asked first whether it can verify this way at all.
    """
    scheme = _scheme(certificate)
    if not scheme or not claims_self_signature(certificate):
        return Genuineness.UNKNOWN
    encoding, digest_name = scheme
    information = f"enc={encoding} hash={digest_name}"
    try:
        if not keyctl.query(key, information).supported_ops & SUPPORTS_VERIFY:
            return Genuineness.UNKNOWN
    except KeyctlError:
        return Genuineness.UNKNOWN
    digest = hashlib.new(digest_name.replace("sha3-", "sha3_"), certificate.parsed.tbs_certificate_bytes).digest()
    try:
        keyctl.verify(key, information, digest, certificate.parsed.signature)
    except KeyctlError as error:
        wrong = error.errno in (errno.EINVAL, errno.EBADMSG, errno.EKEYREJECTED)
        return Genuineness.CONTRADICTED if wrong else Genuineness.UNKNOWN
    return Genuineness.PROVEN


def _scheme(certificate: Certificate) -> tuple[str, str] | None:
    """The kernel's names of encoding and hash of the certificate's signature."""
    try:
        key = certificate.public_key
        digest = certificate.parsed.signature_hash_algorithm
    except (CertificateProblem, UnsupportedAlgorithm):
        return None
    if digest is None:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return "pkcs1", digest.name
    return ("x962", digest.name) if isinstance(key, ec.EllipticCurvePublicKey) else None
