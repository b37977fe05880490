"""What can be wrong with a device's certificates, one thing at a time.

Each flaw says at which verification step it has to be noticed. The corpus of bad chains in the tests is this
enumeration: a new flaw here is a new case there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import Enum

from cryptography import x509
from cryptography.hazmat import asn1

from cmakeys.emulator.certificates import CERT_SIGN, DIGITAL_SIGNATURE, Profile, pcie_name
from cmakeys.x509.identity import CMA_OID
from cmakeys.x509.leaf import REQUESTER_AUTH_OID


class Flaw(Enum):
    """A flaw of the leaf, or of the intermediate certificate above it."""

    EXPIRED_LEAF = "expired-leaf"
    NOT_YET_VALID_LEAF = "not-yet-valid-leaf"
    EXPIRED_INTERMEDIATE = "expired-intermediate"
    WRONG_NAME = "leaf-wrong-name"
    NO_NAME = "leaf-no-name"
    TWO_NAMES = "leaf-two-names"
    UPPER_CASE_NAME = "leaf-upper-case-name"
    UNREADABLE_NAME = "leaf-unreadable-name"
    CA_LEAF = "ca-leaf"
    NO_BASIC_CONSTRAINTS = "leaf-no-basic-constraints"
    NO_KEY_USAGE = "leaf-no-key-usage"
    WRONG_KEY_USAGE = "leaf-wrong-key-usage"
    REQUESTER_ONLY = "leaf-requester-only"
    UNKNOWN_CRITICAL = "leaf-unknown-critical"
    ALIAS_CLAIMS_HARDWARE = "alias-claims-hardware"
    FORGED_LEAF = "forged-leaf"
    INTERMEDIATE_NOT_CA = "intermediate-not-ca"
    INTERMEDIATE_NO_CERT_SIGN = "intermediate-no-cert-sign"
    PATH_TOO_LONG = "path-too-long"


FLAW_STEPS: dict[Flaw, int] = {
    Flaw.EXPIRED_LEAF: 6,
    Flaw.NOT_YET_VALID_LEAF: 6,
    Flaw.EXPIRED_INTERMEDIATE: 6,
    Flaw.WRONG_NAME: 9,
    Flaw.NO_NAME: 9,
    Flaw.TWO_NAMES: 9,
    Flaw.UPPER_CASE_NAME: 9,
    Flaw.UNREADABLE_NAME: 9,
    Flaw.CA_LEAF: 2,
    Flaw.NO_BASIC_CONSTRAINTS: 8,
    Flaw.NO_KEY_USAGE: 8,
    Flaw.WRONG_KEY_USAGE: 8,
    Flaw.REQUESTER_ONLY: 8,
    Flaw.UNKNOWN_CRITICAL: 2,
    Flaw.ALIAS_CLAIMS_HARDWARE: 8,
    Flaw.FORGED_LEAF: 3,
    Flaw.INTERMEDIATE_NOT_CA: 2,
    Flaw.INTERMEDIATE_NO_CERT_SIGN: 2,
    Flaw.PATH_TOO_LONG: 2,
}
"""The verification step of the design that each flaw belongs to. `NO_BASIC_CONSTRAINTS` is one from SPDM 1.3 on."""

ALIAS_FLAWS = frozenset({Flaw.ALIAS_CLAIMS_HARDWARE, Flaw.PATH_TOO_LONG})
"""Flaws that only a chain of the alias model can have."""

_ANOTHER_FUNCTION = "Vendor=dead:Device=beef:CC=ff0000:REV=00"
# X.509 times are UTC; the builder takes them without a zone.
_LONG_AGO = (datetime(2001, 1, 1), datetime(2002, 1, 1))
_FAR_AWAY = datetime(9000, 1, 1)


def flawed_leaf(profile: Profile, flaw: Flaw | None) -> Profile:
    """The leaf's profile with `flaw` in it; unchanged for a flaw of another certificate."""
    others = tuple(name for name in profile.names if name.type_id.dotted_string != CMA_OID)
    own = tuple(name for name in profile.names if name.type_id.dotted_string == CMA_OID)
    match flaw:
        case Flaw.EXPIRED_LEAF:
            return replace(profile, not_before=_LONG_AGO[0], not_after=_LONG_AGO[1])
        case Flaw.NOT_YET_VALID_LEAF:
            return replace(profile, not_before=_FAR_AWAY)
        case Flaw.WRONG_NAME:
            return replace(profile, names=(pcie_name(_ANOTHER_FUNCTION), *others))
        case Flaw.NO_NAME:
            return replace(profile, names=())
        case Flaw.TWO_NAMES:
            return replace(profile, names=(*own, pcie_name(_ANOTHER_FUNCTION), *others))
        case Flaw.UPPER_CASE_NAME:
            return replace(profile, names=(*map(_upper_case, own), *others))
        case Flaw.UNREADABLE_NAME:
            unreadable = x509.OtherName(x509.ObjectIdentifier(CMA_OID), asn1.encode_der(asn1.IA5String("Vendor=dead")))
            return replace(profile, names=(unreadable, *others))
        case Flaw.CA_LEAF:
            return replace(profile, ca=True, key_usage=CERT_SIGN | DIGITAL_SIGNATURE)
        case Flaw.NO_BASIC_CONSTRAINTS:
            return replace(profile, ca=None)
        case Flaw.NO_KEY_USAGE:
            return replace(profile, key_usage=None)
        case Flaw.WRONG_KEY_USAGE:
            return replace(profile, key_usage=frozenset({"key_agreement"}))
        case Flaw.REQUESTER_ONLY:
            return replace(profile, purposes=(REQUESTER_AUTH_OID,))
        case Flaw.UNKNOWN_CRITICAL:
            return replace(profile, unknown_critical=True)
        case Flaw.ALIAS_CLAIMS_HARDWARE:
            return replace(profile, hardware_identity=True)
        case _:
            return profile


def flawed_intermediate(profile: Profile, flaw: Flaw | None) -> Profile:
    """The intermediate's profile with `flaw` in it; unchanged for a flaw of another certificate."""
    match flaw:
        case Flaw.EXPIRED_INTERMEDIATE:
            return replace(profile, not_before=_LONG_AGO[0], not_after=_LONG_AGO[1])
        case Flaw.INTERMEDIATE_NOT_CA:
            return replace(profile, ca=False)
        case Flaw.INTERMEDIATE_NO_CERT_SIGN:
            return replace(profile, key_usage=DIGITAL_SIGNATURE)
        case Flaw.PATH_TOO_LONG:
            return replace(profile, path_length=0)
        case _:
            return profile


def _upper_case(name: x509.OtherName) -> x509.OtherName:
    text = asn1.decode_der(str, name.value)
    return pcie_name("".join(part.upper() if part in "abcdef" else part for part in text))
