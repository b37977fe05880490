"""What a kernel with CMA support makes of a chain, and whether it agrees with us: step 14.

The kernel's rules are fewer than ours and partly other: it looks at no date and compares no names between certificates,
but wants the PCI function's name in every leaf. And when it refuses, it does not say why: whatever rule a chain breaks,
whoever writes `re` is told EKEYREJECTED. So the rules are applied here once more, one by one, on the same chain
(`simulate`; the patch series "PCI device authentication" v2, kernel-abi.md §6.3, rules 1 to 11), and an opinion from
elsewhere, the running kernel's own, stands beside ours in the same form.

A disagreement does not reject a device: it says that a driver may be bound to a device that we refuse, or kept from one
that we trust, and an admin has to know either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, padding, rsa

from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import PciIdentity, leaf_names
from cmakeys.x509.issuing import basic_constraints, key_usage
from cmakeys.x509.kernel import kernel_refusal

RULES = {
    1: "each certificate ends where its length says, and the last one where the chain does",
    2: "the kernel's parser reads every certificate",
    3: "the kernel has the algorithms",
    4: "no certificate is in the kernel's blacklist",
    5: "every certificate but the leaf is a CA's, and the leaf is not",
    6: "the leaf of slot 0 may sign",
    7: "the leaf may not issue certificates",
    8: "the issuer of the first certificate is in .cma",
    9: "that issuer signed the first certificate",
    10: "each further certificate is signed by the one before it",
    11: "the leaf names the PCI function",
}
"""The kernel's rules about one slot, by the numbers of kernel-abi.md §6.3."""

MASKED = "EKEYREJECTED"
"""What userspace is told of every broken rule, since the kernel goes on to the challenge and lets that fail."""

_SIMULATED = "a kernel with CMA"


class Held(Enum):
    """What became of one rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Answer(Enum):
    """Whether a chain is believed."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """One rule on one chain. `errno` is the kernel's own, before it masks it; empty where the rule holds."""

    rule: int
    held: Held
    reason: str = ""
    errno: str = ""

    @property
    def words(self) -> str:
        """The finding as part of a sentence."""
        return f"rule {self.rule}, {self.reason or RULES[self.rule]}" + (f" ({self.errno})" if self.errno else "")


class Scope(Enum):
    """What an opinion is about: the value are the steps of ours that it is held against."""

    ANCHOR = frozenset({3, 4})
    """Whether the chain ends in our roots."""
    CHAIN = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 10, 13})
    """All of it but the conversation and the proof of possession, of which a chain says nothing."""
    DEVICE = frozenset(range(1, 14))
    """The device itself."""


@dataclass(frozen=True, slots=True)
class KernelView:
    """An opinion: `source` is who holds it, in words; `findings` are there when it was simulated."""

    source: str
    answer: Answer
    reason: str
    hint: str = ""
    scope: Scope = Scope.ANCHOR
    findings: tuple[RuleFinding, ...] = ()


def simulate(
    certificates: Sequence[Certificate],
    anchors: Sequence[Certificate],
    *,
    slot: int | None = None,
    identity: PciIdentity | None = None,
) -> KernelView:
    """What the patch series would make of `certificates`, the chain of a slot, with `anchors` in `.cma`.

    Every rule is applied, also behind a broken one: the kernel stops at the first, but whoever mends a chain wants all
    of them. An unknown slot is taken for 0, the strictest; without `identity` rule 11 is unknown. What is in the
    kernel's blacklist nobody outside can read, so rule 4 always is. Where the first certificate fits several roots,
    and not each has signed it, it is chance which one the kernel tries, and the answer unknown.
    """
    if not certificates:
        return KernelView(_SIMULATED, Answer.UNKNOWN, "there is no chain to apply them to", scope=Scope.CHAIN)
    findings = (
        RuleFinding(1, Held.HOLDS),
        *_parsing(certificates),
        RuleFinding(4, Held.UNKNOWN, "what is in the blacklist cannot be read"),
        _authorities(certificates),
        *_leaf_usage(certificates[-1], 0 if slot is None else slot),
        *_anchoring(certificates[0], anchors),
        _signatures(certificates),
        _name(certificates[-1], identity),
    )
    broken = [finding for finding in findings if finding.held is Held.BROKEN]
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        reason = f"{broken[0].words}{more}"
        hint = f"the kernel says {MASKED} whatever the rule; its log names the certificate"
        return KernelView(_SIMULATED, Answer.REFUSES, reason, hint, Scope.CHAIN, findings)
    chance = next((finding for finding in findings if finding.rule == 9 and finding.held is Held.UNKNOWN), None)
    if chance is not None:
        hint = "roots of equal name need key identifiers for the kernel to tell them apart; retire one"
        return KernelView(_SIMULATED, Answer.UNKNOWN, chance.words, hint, Scope.CHAIN, findings)
    unknown = [str(finding.rule) for finding in findings if finding.held is Held.UNKNOWN and finding.rule != 4]
    left = f", but for rule {', '.join(unknown)}, which could not be applied" if unknown else ""
    return KernelView(_SIMULATED, Answer.ACCEPTS, f"its rules hold{left}", "", Scope.CHAIN, findings)


# -- the rules ---------------------------------------------------------------------------------------------------------


def _parsing(certificates: Sequence[Certificate]) -> tuple[RuleFinding, RuleFinding]:
    """Rules 2 and 3: what cannot be loaded as a key cannot be parsed either, and by the errno one knows which it is."""
    read = RuleFinding(2, Held.HOLDS)
    known = RuleFinding(3, Held.HOLDS)
    for certificate in certificates:
        refusal = kernel_refusal(certificate)
        if refusal is None:
            continue
        reason = f"{certificate.label}: {refusal}"
        if "ENOPKG" in refusal:
            known = RuleFinding(3, Held.BROKEN, reason, MASKED) if known.held is Held.HOLDS else known
        elif read.held is Held.HOLDS:
            read = RuleFinding(2, Held.BROKEN, reason, "EBADMSG" if "EBADMSG" in refusal else "")
    return read, known


def _authorities(certificates: Sequence[Certificate]) -> RuleFinding:
    for certificate in certificates[:-1]:
        constraints = basic_constraints(certificate)
        if constraints is None or not constraints.ca:
            return RuleFinding(5, Held.BROKEN, f"{certificate.label} is not a CA's certificate", MASKED)
    constraints = basic_constraints(certificates[-1])
    if constraints is not None and constraints.ca:
        return RuleFinding(5, Held.BROKEN, f"the leaf {certificates[-1].label} is a CA's certificate", MASKED)
    return RuleFinding(5, Held.HOLDS)


def _leaf_usage(leaf: Certificate, slot: int) -> tuple[RuleFinding, RuleFinding]:
    usage = key_usage(leaf)
    may_sign = RuleFinding(6, Held.HOLDS)
    if slot == 0 and (usage is None or not usage.digital_signature):
        may_sign = RuleFinding(6, Held.BROKEN, f"the leaf {leaf.label} lacks digitalSignature, in slot 0", MASKED)
    no_issuer = RuleFinding(7, Held.HOLDS)
    if usage is not None and usage.key_cert_sign:
        no_issuer = RuleFinding(7, Held.BROKEN, f"the leaf {leaf.label} has keyCertSign", MASKED)
    return may_sign, no_issuer


def _anchoring(first: Certificate, anchors: Sequence[Certificate]) -> tuple[RuleFinding, RuleFinding]:
    loadable = [anchor for anchor in anchors if kernel_refusal(anchor) is None]
    found = [anchor for anchor in loadable if _named_as_issuer(first, anchor)]
    if not found:
        lost = [anchor for anchor in anchors if anchor not in loadable and _named_as_issuer(first, anchor)]
        why = f"its issuer {lost[0].label} is a root that no kernel loads" if lost else f"no root is {first.issuer}"
        missing = RuleFinding(8, Held.BROKEN, why, "ENOKEY")
        return missing, RuleFinding(9, Held.UNKNOWN, "there is no issuer to verify it with")
    wrong = [anchor for anchor in found if not _signed_by(first, anchor)]
    if not wrong:
        return RuleFinding(8, Held.HOLDS), RuleFinding(9, Held.HOLDS)
    if len(wrong) < len(found):  # the kernel tries one key, whichever it comes upon first
        reason = f"{first.label} names {len(found)} roots as its issuer, and {len(wrong)} of them did not sign it"
        return RuleFinding(8, Held.HOLDS), RuleFinding(9, Held.UNKNOWN, reason)
    reason = f"{first.label} is not signed by {wrong[0].label}, which it names"
    return RuleFinding(8, Held.HOLDS), RuleFinding(9, Held.BROKEN, reason, MASKED)


def _named_as_issuer(certificate: Certificate, issuer: Certificate) -> bool:
    """The kernel's lookup (kernel-abi.md §3.6): by the authority key identifier where there is one, else by name."""
    authority = certificate.extension(x509.AuthorityKeyIdentifier)
    if authority is None:
        return certificate.parsed.issuer == issuer.parsed.subject
    identifier = issuer.extension(x509.SubjectKeyIdentifier)
    subject_key = identifier.digest if identifier is not None else None
    serial, names = authority.authority_cert_serial_number, authority.authority_cert_issuer or ()
    if serial is not None and names:
        same = serial == issuer.serial_number and any(name.value == issuer.parsed.issuer for name in names)
        return same and authority.key_identifier in (None, subject_key)
    if authority.key_identifier is not None:
        return authority.key_identifier == subject_key
    return certificate.parsed.issuer == issuer.parsed.subject


def _signatures(certificates: Sequence[Certificate]) -> RuleFinding:
    for above, below in pairwise(certificates):
        if not _signed_by(below, above):
            return RuleFinding(10, Held.BROKEN, f"{below.label} is not signed by {above.label}", MASKED)
    return RuleFinding(10, Held.HOLDS)


def _signed_by(certificate: Certificate, issuer: Certificate) -> bool:
    """By signature alone: the kernel compares no names between the certificates of a chain."""
    parsed = certificate.parsed
    try:
        key, digest = issuer.public_key, parsed.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and digest is not None:
            key.verify(parsed.signature, parsed.tbs_certificate_bytes, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
            key.verify(parsed.signature, parsed.tbs_certificate_bytes, ec.ECDSA(digest))
        elif isinstance(key, mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
            key.verify(parsed.signature, parsed.tbs_certificate_bytes)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, CertificateProblem, ValueError, TypeError):
        return False
    return True


def _name(leaf: Certificate, identity: PciIdentity | None) -> RuleFinding:
    if identity is None:
        return RuleFinding(11, Held.UNKNOWN, "the PCI function is not known here")
    try:
        names = leaf_names(leaf).pcie
    except CertificateProblem as problem:
        return RuleFinding(11, Held.BROKEN, problem.message, "EBADMSG")
    expected = identity.san_string()
    other = next((name for name in names if name != expected), None)
    if not names:
        return RuleFinding(11, Held.BROKEN, "the leaf has no name of a PCI function", "EINVAL")
    if other is not None:
        return RuleFinding(11, Held.BROKEN, f"the leaf names {other}, the function is {expected}", "EINVAL")
    return RuleFinding(11, Held.HOLDS)
