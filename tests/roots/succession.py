"""A vendor that changes its root, and the devices in between: what the tests of rotations are about.

Certificates are known by a word: `old` and `new` are two roots of one vendor with keys of their own, `renewed` is `old`
again with its key and name and other dates (as `ending-again` is `ending`), `rekeyed` is another key under `old`'s
name, `third` a further root of the vendor, `other` another vendor's; the rest are new roots with one thing wrong. A
device is known by the root that its chain leads to: `on-old`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cmakeys.emulator.certificates import CERT_SIGN, Issuer, Profile, distinguished_name, issue
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceRequest, VendorAuthority
from cmakeys.evidence.model import Evidence
from cmakeys.roots.dependants import Dependant
from cmakeys.roots.root import Constraints, LifeCycle, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import Circumstances
from cmakeys.spdm.signer import PrivateKey
from cmakeys.verify.verdict import Verdict
from cmakeys.verify.verifier import verify
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import PciIdentity
from tests.evidence.loopback import IDENTITY, attest, device

NOW = datetime(2040, 1, 1, 12, tzinfo=UTC)
OTHER_IDENTITY = PciIdentity(0x15B3, 0x1021, 0x020000, 0x00, 0x15B3, 0x0001, 0x1111111111111111)

_FOREVER = datetime(9999, 12, 31, 23, 59, 59)
_SUBJECTS = {"rekeyed": "old", "renewed": "old", "ending-again": "ending", "signed": "new"}
"""Certificates that carry another one's name."""

_KEYS = {"renewed": "old", "ending-again": "ending", "twin": "old", "signed": "new"}
"""Certificates that carry another one's key."""


@cache
def key_of(word: str) -> PrivateKey:
    """The key of a root, by its word."""
    if word in _KEYS:
        return key_of(_KEYS[word])
    return {"edwards": KeyType.ED25519, "edwards-two": KeyType.ED25519, "lattice": KeyType.ML_DSA_65}.get(
        word, KeyType.RSA_2048
    ).generate()


def subject_of(word: str) -> str:
    vendor = "Other" if word == "other" else "Acme"
    return f"{vendor} Root {_SUBJECTS.get(word, word)}"


@cache
def certificate(word: str) -> Certificate:
    """The root that is known by this word."""
    begin, end = {
        "renewed": (datetime(2039, 12, 1), _FOREVER),
        "ending-again": (datetime(2039, 12, 1), _FOREVER),
        "ending": (datetime(2020, 1, 1), datetime(2040, 1, 15)),
        "ended": (datetime(2020, 1, 1), datetime(2039, 12, 1)),
        "later": (datetime(2040, 2, 1), _FOREVER),
    }.get(word, (datetime(2020, 1, 1), _FOREVER))
    name = distinguished_name("Acme", subject_of(word))
    profile = Profile(name, word != "end-entity", CERT_SIGN, not_before=begin, not_after=end)
    key = key_of(word)
    issuer = Issuer(distinguished_name("Acme", subject_of("old")), key_of("old")) if word == "signed" else None
    return issue(profile, key, issuer or Issuer(name, key))


@cache
def crossed(
    word: str, by: str = "old", begin: datetime = datetime(2039, 1, 1), end: datetime = _FOREVER, *, ca: bool = True
) -> Certificate:
    """A certificate of `word`'s name and key, signed by another's key."""
    profile = Profile(distinguished_name("Acme", subject_of(word)), ca, CERT_SIGN, not_before=begin, not_after=end)
    return issue(profile, key_of(word), Issuer(distinguished_name("Acme", subject_of(by)), key_of(by)))


@cache
def _authority(word: str) -> VendorAuthority:
    intermediate_key = KeyType.ECDSA_P256.generate()
    subject = distinguished_name("Acme", subject_of(word))
    issuing = distinguished_name("Acme", f"Acme Device CA {word}")
    intermediate = issue(Profile(issuing, True, CERT_SIGN), intermediate_key, Issuer(subject, key_of(word)))
    return VendorAuthority("Acme", KeyType.RSA_2048, key_of(word), certificate(word), intermediate_key, intermediate)


@cache
def evidence(word: str) -> Evidence:
    """What the device says.

    `on-old-bare` is `on-old` without the root in its chain. `on-other-posing` has a chain of the other vendor's, whose
    leaf names a function of this one.
    """
    place = word.removeprefix("on-").removesuffix("-bare").removesuffix("-posing")
    identity = OTHER_IDENTITY if word == "on-other" else IDENTITY
    request = DeviceRequest("0001", identity, include_root=not word.endswith("-bare"))
    return attest(device(_authority(place).issue_device(request)), identity=identity)


@cache
def dependant(word: str, moved_to: str = "") -> Dependant:
    """The device as the register has it; with `moved_to` as it answers today."""
    from cmakeys.verify.review import review

    facts = review(evidence(moved_to or word))
    identity = OTHER_IDENTITY if word == "on-other" else IDENTITY
    return Dependant(word, facts.certificates, identity, 0, "ECDSA-P384", "1.2", asked=bool(moved_to))


def root(text: str, **limits: Constraints) -> Root:
    """A root as the tables write it: `new:staged`; its constraints are those given under its name."""
    word, _, state = text.partition(":")
    return Root(word, certificate(word), LifeCycle(state or "trusted"), limits.get(word, Constraints()))


def rootset(text: str, **limits: Constraints) -> RootSet:
    """Roots as the tables write them: `old new:staged`."""
    return RootSet(tuple(root(each, **limits) for each in text.split()))


def states(known: RootSet) -> str:
    """What `rootset` reads."""
    return " ".join(f"{each.name}:{each.state.value}" for each in known.roots)


def judge(word: str, known: RootSet, now: datetime = NOW) -> Verdict:
    """What a check of the device says while these are the roots."""
    return verify(evidence(word), known, now=now)


@dataclass(frozen=True)
class Day:
    """A day of the story, counted from its first."""

    number: int = 0

    @property
    def time(self) -> datetime:
        return NOW + timedelta(days=self.number)


def circumstances(devices: tuple[Dependant, ...] = (), day: int = 0, clock_fault: str = "") -> Circumstances:
    return replace(Circumstances(Day(day).time), devices=devices, clock_fault=clock_fault)
