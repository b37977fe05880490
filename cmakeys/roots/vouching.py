"""Who says that a new root is the one that replaces an old one?

A rotation changes what a machine believes, so somebody whom it believes already has to vouch for the new root: the old
root's key, by a signature; a list that was signed for the purpose; or a person, by the fingerprint. The old key's word
counts as far as the old root is believed: a cross-certificate from after the day on which the key was lost proves that
somebody has the key, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from cmakeys.errors import CmakeysError, Refused
from cmakeys.roots.enrolment import check_fingerprint
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.certificate import Certificate, same_key
from cmakeys.x509.chain import check_validity
from cmakeys.x509.issuing import issuer_problems, signature_problem


class Voucher(Enum):
    """Who vouches for a new root."""

    STANDING = "already-trusted"
    RENEWAL = "same-key"
    OLD_KEY = "signed-by-old"
    CROSS_CERTIFICATE = "cross-certificate"
    LIST = "signed-list"
    FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What was brought along to vouch for a new root.

    `fingerprint` is what a person typed, `cross` the certificates of the file with the cross-certificate. `listed` maps
    SHA-256 fingerprints to whoever signed for them: a vendor's bundle, the catalogue.
    """

    fingerprint: str | None = None
    cross: tuple[Certificate, ...] | None = None
    listed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Vouching:
    """Who vouches for a new root, and in which words to say so."""

    voucher: Voucher
    words: str


def vouch(old: Root, new: Root, known: RootSet, credentials: Credentials, now: datetime) -> Vouching:
    """Say who vouches for `new` as the successor of `old`.

    What was given must hold, also where something else would do. Raises `Refused` when it does not, or when nobody
    vouches, and `UsageProblem` for a fingerprint that is none.
    """
    given = _given(old, new, known, credentials, now)
    if given is not None:
        return given
    if known.is_anchor(new):
        return Vouching(Voucher.STANDING, "it is trusted already")
    problem: CmakeysError | None = None
    if _issued_by(old, new.certificate):
        problem = _distrusted_signature(old, new.certificate, known)
        if problem is None and same_key(old.certificate, new.certificate):
            return Vouching(Voucher.RENEWAL, f"it has the name and key of {old.name}, and that key signed it")
        if problem is None:
            return Vouching(Voucher.OLD_KEY, f"{old.name}'s key signed it")
    listed = credentials.listed.get(new.fingerprint)
    if listed:
        return Vouching(Voucher.LIST, f"{listed} names its fingerprint")
    raise problem or Refused(
        f"nobody vouches for it as the successor of {old.name}",
        object=new.name,
        hint="give --cross-signed FILE, or the fingerprint that the vendor publishes: --fingerprint SHA256",
    )


def _given(old: Root, new: Root, known: RootSet, credentials: Credentials, now: datetime) -> Vouching | None:
    """What was given on purpose: the fingerprint counts for more than a signature, for it needs no other key."""
    signed = None
    if credentials.cross is not None:
        signed = _cross_signed(old, new, known, credentials.cross, now)
    if credentials.fingerprint is not None:
        if check_fingerprint(credentials.fingerprint) != new.fingerprint:
            raise Refused(
                f"its fingerprint is {new.fingerprint}",
                object=new.name,
                hint="this is not the certificate that was meant; get it again from the vendor",
            )
        return Vouching(Voucher.FINGERPRINT, "its fingerprint is the one given")
    return signed


def _cross_signed(old: Root, new: Root, known: RootSet, certificates: Sequence[Certificate], now: datetime) -> Vouching:
    """The cross-certificate among `certificates`: about the new root's name and key, signed by the old root's key."""
    subject = new.certificate.parsed.subject
    about = [each for each in certificates if each.parsed.subject == subject and same_key(each, new.certificate)]
    others = [each for each in about if each != new.certificate]
    source = certificates[0].source if certificates else "cross-certificate"
    if not others:
        found = "only that certificate itself" if about else "no certificate about its name and key"
        raise Refused(
            f"holds {found}: it does not vouch for {new.name}",
            object=source,
            hint=f"ask the vendor for the cross-certificate: {new.certificate.label}'s key, signed by {old.name}",
        )
    problems = []
    for cross in others:
        problem = _cross_problem(old, cross, known, now)
        if problem is None:
            return Vouching(
                Voucher.CROSS_CERTIFICATE,
                f"{old.name} signed a certificate of {new.name}'s key on {_day(cross.not_before)}",
            )
        problems.append(problem)
    raise problems[0]


def _cross_problem(old: Root, cross: Certificate, known: RootSet, now: datetime) -> CmakeysError | None:
    denied = known.denied(cross)
    if denied is not None:
        return Refused(f"the cross-certificate is denied by its {denied.words}", object=cross.source)
    if not _issued_by(old, cross):
        problem = signature_problem(cross, old.certificate) or f"{old.name} may not issue a CA's certificate"
        return Refused(
            f"the cross-certificate is not {old.name}'s: {problem}",
            object=cross.source,
            hint="somebody else signed it, or the file is damaged; get it again from the vendor",
        )
    faults = [fault.message for fault in check_validity((cross,), now)] or list(issuer_problems(cross, (cross,)))
    if faults:
        return Refused(
            f"the cross-certificate does not hold: {faults[0]}",
            object=cross.source,
            hint="ask the vendor for another one, or give the new root's fingerprint: --fingerprint SHA256",
        )
    return _distrusted_signature(old, cross, known)


def _issued_by(old: Root, certificate: Certificate) -> bool:
    """Whether `old` may issue certificates that issue others, and did issue this one."""
    anchor = old.certificate
    return (
        anchor.parsed.subject == certificate.parsed.issuer
        and not issuer_problems(anchor, (certificate, certificate))
        and signature_problem(certificate, anchor) is None
    )


def _distrusted_signature(old: Root, certificate: Certificate, known: RootSet) -> CmakeysError | None:
    """The refusal of a signature by a key that is not believed for certificates of that day."""
    entry = known.denied(old.certificate, certificate)
    until = known.believed_until(old)
    if entry is None and (until is None or certificate.not_before <= until):
        return None
    return Refused(
        f"{old.name}'s key is not believed for what it signed on {_day(certificate.not_before)}",
        object=certificate.source or certificate.label,
        hint="whoever has the lost key can sign anything; compare the fingerprint instead: --fingerprint SHA256",
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
