"""Lies in DIGESTS and CERTIFICATE, and chains that are not what they seem."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.flaws import FLAW_STEPS, Flaw
from cmakeys.emulator.lies.fault import Fault, Outcome, Substitution, Where, rejected
from cmakeys.emulator.lies.kinds import (
    Amend,
    Encode,
    Structure,
    Transmit,
    cut_last_byte,
    flip_bit_at,
    flip_last_bit,
)
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.codes import RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate
from cmakeys.spdm.wire import Reader
from cmakeys.x509.der import elements

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

_ENDLESS_PORTION = 64


class Overlong(Lie):
    """Gives one byte more than was asked for."""

    def __init__(self) -> None:
        self._asked: GetCertificate | None = None

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Note what is asked, and make sure that it is little enough."""
        if request[1] == RequestCode.GET_CERTIFICATE:
            self._asked = GetCertificate.pull(Reader(request, "GET_CERTIFICATE"))
        return None

    def amend(self, message: M, talk: Conversation) -> M:
        """Lengthen the portion beyond the request."""
        if not isinstance(message, CertificateResponse) or self._asked is None:
            return message
        excess = self._asked.length + 1 - len(message.portion)
        return replace(message, portion=message.portion + bytes(excess), remainder=max(0, message.remainder - excess))


class Endless(Lie):
    """A chain of the largest size the form can say, in small portions."""

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Answer GET_CERTIFICATE from nowhere."""
        if request[1] != RequestCode.GET_CERTIFICATE or talk.version is None:
            return None
        asked = GetCertificate.pull(Reader(request, "GET_CERTIFICATE"))
        total = 0xFFFFFFFF if asked.large else 0xFFFF
        size = min(_ENDLESS_PORTION, max(0, total - asked.offset))
        answer = CertificateResponse(talk.version, asked.slot, bytes(size), total - asked.offset - size, asked.large)
        return answer.push()


class GrowingChain(Lie):
    """Says after the first portion that the chain is longer than it said before."""

    def __init__(self) -> None:
        self._first = True

    def restarted(self) -> None:
        """The next portion is a first one."""
        self._first = True

    def amend(self, message: M, talk: Conversation) -> M:
        """Change the remainder of every portion but the first."""
        if not isinstance(message, CertificateResponse):
            return message
        first = self._first
        self._first = False
        return message if first else replace(message, remainder=message.remainder + 1)


def _small_portions(settings: DeviceSettings) -> DeviceSettings:
    return replace(settings, portion_limit=256)


def _length_lies(structure: bytes, function: HashFunction) -> bytes:
    return (len(structure) + 1).to_bytes(2, "little") + structure[2:]


def _root_hash_lies(structure: bytes, function: HashFunction) -> bytes:
    return flip_bit_at(4)(structure)


def _with_certificates(structure: bytes, function: HashFunction, certificates: bytes) -> bytes:
    start = 4 + function.size
    return (start + len(certificates)).to_bytes(4, "little") + structure[4:start] + certificates


def _certificates(structure: bytes, function: HashFunction) -> list[bytes]:
    start = 4 + function.size
    return [structure[one.start : one.end] for one in elements(structure, start, len(structure))]


def _cut_leaf(structure: bytes, function: HashFunction) -> bytes:
    return _with_certificates(structure, function, structure[4 + function.size : -1])


def _trailing_byte(structure: bytes, function: HashFunction) -> bytes:
    return _with_certificates(structure, function, structure[4 + function.size :] + b"\x00")


def _reversed(structure: bytes, function: HashFunction) -> bytes:
    return _with_certificates(structure, function, b"".join(reversed(_certificates(structure, function))))


def _gap(structure: bytes, function: HashFunction) -> bytes:
    certificates = _certificates(structure, function)
    return _with_certificates(structure, function, b"".join(certificates[:1] + certificates[2:]))


def _no_certificates(structure: bytes, function: HashFunction) -> bytes:
    return _with_certificates(structure, function, b"")


def _broken_signature(structure: bytes, function: HashFunction) -> bytes:
    """The last byte of the leaf is the last byte of its signature."""
    return _with_certificates(structure, function, flip_last_bit(structure[4 + function.size :]))


def _slots(name: str, description: str, lie: Lie, *, since: Version = Version.V10) -> Fault:
    return rejected(Where.CERTIFICATES, 2, name, description, lambda: lie, since=since)


def _chain(step: int, name: str, description: str, lie: Structure) -> Fault:
    return rejected(Where.CHAIN, step, name, description, lambda: lie)


_FLAWS = {
    Flaw.EXPIRED_LEAF: "the leaf's validity ended in 2002",
    Flaw.NOT_YET_VALID_LEAF: "the leaf is not valid before the year 9000",
    Flaw.EXPIRED_INTERMEDIATE: "the intermediate's validity ended in 2002",
    Flaw.WRONG_NAME: "the leaf names another PCI function",
    Flaw.NO_NAME: "the leaf names no device at all",
    Flaw.TWO_NAMES: "the leaf names this PCI function and another one",
    Flaw.UPPER_CASE_NAME: "the leaf names this PCI function in upper case",
    Flaw.UNREADABLE_NAME: "the leaf's PCIe name is not a UTF8String",
    Flaw.CA_LEAF: "the leaf is a CA certificate",
    Flaw.NO_BASIC_CONSTRAINTS: "the leaf has no basicConstraints, which 1.3 demands",
    Flaw.NO_KEY_USAGE: "the leaf has no keyUsage",
    Flaw.WRONG_KEY_USAGE: "the leaf's key is for key agreement, not for signatures",
    Flaw.REQUESTER_ONLY: "the leaf is for SPDM requesters only",
    Flaw.UNKNOWN_CRITICAL: "the leaf has an unknown critical extension",
    Flaw.ALIAS_CLAIMS_HARDWARE: "the alias leaf claims the hardware identity",
    Flaw.FORGED_LEAF: "the leaf was not signed by the certificate above it",
    Flaw.INTERMEDIATE_NOT_CA: "the intermediate is no CA",
    Flaw.INTERMEDIATE_NO_CERT_SIGN: "the intermediate's key may not sign certificates",
    Flaw.PATH_TOO_LONG: "the intermediate allows no CA below it, and there is one",
}


_FLAWS_SINCE = {
    Flaw.NO_BASIC_CONSTRAINTS: Version.V13,
    # Before 1.2 a device cannot announce the alias model, so nobody can know that the leaf is an alias.
    Flaw.ALIAS_CLAIMS_HARDWARE: Version.V12,
}


def _flaw(flaw: Flaw) -> Fault:
    since = _FLAWS_SINCE.get(flaw, Version.V10)
    return Fault(flaw.value, _FLAWS[flaw], Where.CHAIN, Outcome.REJECTED, FLAW_STEPS[flaw], since=since, flaw=flaw)


FAULTS: tuple[Fault, ...] = (
    _slots("no-slots", "DIGESTS says that no slot is provisioned", Amend(Digests, lambda m: replace(m, provisioned=0))),
    _slots(
        "slot-not-supported",
        "DIGESTS provisions a slot that it does not support",
        Amend(Digests, lambda m: replace(m, supported=m.supported & ~m.provisioned)),
        since=Version.V13,
    ),
    _slots(
        "digest-mismatch",
        "DIGESTS gives another digest than the chain has",
        Amend(Digests, lambda m: replace(m, digests=tuple(flip_last_bit(one) for one in m.digests))),
    ),
    _slots("truncated-digests", "DIGESTS ends one byte early", Encode(ResponseCode.DIGESTS, cut_last_byte)),
    _slots(
        "wrong-response-code",
        "GET_DIGESTS is answered by a message of another code",
        Encode(ResponseCode.DIGESTS, lambda octets: octets[:1] + bytes((ResponseCode.CERTIFICATE,)) + octets[2:]),
    ),
    _slots(
        "wrong-slot",
        "CERTIFICATE names another slot than was asked",
        Amend(CertificateResponse, lambda m: replace(m, slot=m.slot ^ 1)),
    ),
    rejected(Where.CERTIFICATES, 2, "overlong-portion", "CERTIFICATE gives more than was asked", Overlong),
    _slots(
        "zero-portion",
        "CERTIFICATE gives nothing and promises the rest",
        Amend(CertificateResponse, lambda m: replace(m, portion=b"", remainder=m.remainder + len(m.portion))),
    ),
    rejected(
        Where.CERTIFICATES,
        2,
        "remainder-change",
        "the chain grows while it is read",
        GrowingChain,
        settings=_small_portions,
    ),
    rejected(
        Where.CERTIFICATES, 2, "endless-portions", "the chain has the largest size that can be said, in crumbs", Endless
    ),
    rejected(
        Where.CERTIFICATES,
        2,
        "endless-large-portions",
        "the chain has the largest size that the large form can say, in crumbs",
        Endless,
        since=Version.V14,
    ),
    _slots(
        "remainder-too-large",
        "the chain is longer than its own length field can say",
        Amend(CertificateResponse, lambda m: replace(m, remainder=0xFFFF)),
    ),
    _slots(
        "model-outside-multi-key",
        "CERTIFICATE names a certificate model outside a multi-key connection",
        Amend(CertificateResponse, lambda m: replace(m, model=1)),
        since=Version.V13,
    ),
    _slots("truncated-certificate", "CERTIFICATE ends one byte early", Encode(ResponseCode.CERTIFICATE, cut_last_byte)),
    _slots(
        "certificate-tampered",
        "somebody in the middle changes a byte of the chain",
        Transmit(ResponseCode.CERTIFICATE, flip_bit_at(200)),
    ),
    _chain(2, "chain-length-mismatch", "the chain's own length field is wrong", Structure(_length_lies)),
    _chain(2, "root-hash-mismatch", "the chain's root hash is not that of its root", Structure(_root_hash_lies)),
    _chain(2, "chain-cut", "the leaf ends one byte early", Structure(_cut_leaf)),
    _chain(2, "chain-trailing-byte", "a byte follows the leaf", Structure(_trailing_byte)),
    _chain(2, "chain-reversed", "the chain begins with the leaf", Structure(_reversed)),
    _chain(2, "chain-gap", "the intermediate is missing", Structure(_gap)),
    _chain(2, "chain-empty", "there is no certificate in the chain", Structure(_no_certificates)),
    _chain(3, "chain-broken-signature", "the signature of the leaf is damaged", Structure(_broken_signature)),
    *(_flaw(flaw) for flaw in Flaw),
    Fault(
        "impostor",
        "the device shows a chain of a self-made root with the vendor's name",
        Where.CHAIN,
        Outcome.REJECTED,
        4,
        substitution=Substitution.IMPOSTOR,
    ),
    Fault(
        "stolen-chain",
        "the device shows a genuine chain without having its key",
        Where.CHALLENGE,
        Outcome.REJECTED,
        11,
        substitution=Substitution.STOLEN_CHAIN,
    ),
    Fault(
        "twin",
        "another genuine device of the vendor stands in the place of the enrolled one",
        Where.CHAIN,
        Outcome.REJECTED,
        10,
        enrolled=True,
        substitution=Substitution.TWIN,
    ),
)
