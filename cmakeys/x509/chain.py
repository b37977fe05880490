"""A certificate chain in SPDM order, root or its first child first, leaf last, checked by explicit rules.

No path is *built* here: the device says the order, and whatever is not that order is a fault. Each public `check_…` is
the body of one numbered verification step and returns every fault it finds, so that a report can show them all.
Anchoring is by bytes or by signature, never by a name: names are chosen by whoever wrote the certificate.

The rules are those of DSP0274 as libspdm applies them and of RFC 5280 where both are silent (path length,
keyCertSign, name chaining, critical extensions). Where the kernel is laxer, it is noted; where the library's own path
validation is stricter than devices in the field are (unknown critical DICE extensions, Ed25519, an expired anchor), the
clock and the algorithms are policy and not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cmakeys.x509.bundle import MAX_CHAIN_CERTIFICATES
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.issuing import (
    basic_constraints,
    claims_self_signature,
    issuer_problems,
    signature_problem,
    unknown_critical_extensions,
)
from cmakeys.x509.leaf import leaf_problems

LEAF = -1
"""Index of the faults of `check_leaf_profile`, which is not told how long the chain is."""


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One rule that the certificate at `index` breaks; 0 is the top of the chain, `LEAF` the last."""

    index: int
    message: str


# --- step 2: structure -----------------------------------------------------------------------------------------------


def check_structure(certificates: Sequence[Certificate]) -> tuple[ChainFault, ...]:
    """Step 2: the chain is well-formed. Signatures and dates are other steps."""
    if not certificates:
        return (ChainFault(0, "the chain has no certificate"),)
    if len(certificates) > MAX_CHAIN_CERTIFICATES:
        return (ChainFault(0, f"{len(certificates)} certificates, more than {MAX_CHAIN_CERTIFICATES}"),)
    if _upside_down(certificates):
        return (ChainFault(0, "the leaf is first, in SPDM it is last (DSP0274 §10.6.1)"),)
    faults = _order_faults(certificates)
    for index, certificate in enumerate(certificates):
        below = certificates[index + 1 :]
        problems = issuer_problems(certificate, below) if below else _end_entity_problems(certificate)
        problems += tuple(
            f"critical extension {oid} is not understood" for oid in unknown_critical_extensions(certificate)
        )
        faults += [ChainFault(index, f"{certificate.label}: {problem}") for problem in problems]
    return tuple(sorted(faults, key=lambda fault: fault.index))


def _upside_down(certificates: Sequence[Certificate]) -> bool:
    """Whether each certificate, the first included, is named as issued by the one after it."""
    return len(certificates) > 1 and all(
        upper.parsed.issuer == lower.parsed.subject != upper.parsed.subject for upper, lower in pairwise(certificates)
    )


def _order_faults(certificates: Sequence[Certificate]) -> list[ChainFault]:
    names = [certificate.names for certificate in certificates]
    faults = []
    seen: dict[bytes, int] = {}
    for index, certificate in enumerate(certificates):
        first = seen.setdefault(certificate.der, index)
        if first != index:
            faults.append(ChainFault(index, f"{certificate.label}: the same certificate as number {first}"))
        elif index and names[index][0] != names[index - 1][1]:
            above = certificates[index - 1]
            faults.append(
                ChainFault(
                    index,
                    f"{certificate.label}: issuer is {certificate.issuer or 'empty'},"
                    f" but the certificate above it is {above.label}",
                )
            )
    return faults


def _end_entity_problems(leaf: Certificate) -> tuple[str, ...]:
    constraints = basic_constraints(leaf)
    return ("the last certificate is a CA, so there is no leaf",) if constraints and constraints.ca else ()


def check_root_hash(
    certificates: Sequence[Certificate],
    root_hash: bytes,
    digest: Callable[[bytes], bytes],
    anchor: Certificate | None = None,
) -> tuple[ChainFault, ...]:
    """Step 2, for a chain in SPDM's own form: RootHash is the hash of the root's DER (DSP0274 §10.6.1).

    `digest` is the negotiated base hash. If the chain does not begin with a root, RootHash speaks of one that the
    verifier holds, so it is compared with `anchor` where that is a root; without one there is nothing to compare.
    """
    if not certificates:
        return (ChainFault(0, "the chain has no certificate"),)
    root = certificates[0] if claims_self_signature(certificates[0]) else anchor
    if root is None or not claims_self_signature(root) or digest(root.der) == root_hash:
        return ()
    return (ChainFault(0, f"root hash {root_hash.hex()[:16]}… is not that of {root.label}"),)


# --- step 3: signatures ----------------------------------------------------------------------------------------------


def check_signatures(certificates: Sequence[Certificate]) -> tuple[ChainFault, ...]:
    """Step 3: each certificate is signed by the one above it; a first one that says it signed itself did so."""
    faults = []
    for index, certificate in enumerate(certificates):
        if index:
            issuer = certificates[index - 1]
        elif claims_self_signature(certificate):
            issuer = certificate
        else:
            continue
        problem = signature_problem(certificate, issuer)
        if problem:
            faults.append(ChainFault(index, f"{certificate.label}: {problem}"))
    return tuple(faults)


# --- step 4: the anchor ----------------------------------------------------------------------------------------------


def find_anchors(certificates: Sequence[Certificate], anchors: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """Step 4: all anchors that vouch for the chain.

    Either the first certificate *is* an anchor, byte for byte, which then comes first, or an anchor issued it: names
    chain, the signature verifies, and the anchor may issue (CA, keyCertSign, path length over the whole chain). A root
    that was renewed under its name and key is one of several. The kernel knows only the second way: it asks who issued
    the first certificate, which for a root is the root itself.
    """
    if not certificates:
        return ()
    first = certificates[0]
    same = tuple(anchor for anchor in anchors if anchor.der == first.der)
    issuers = tuple(
        anchor for anchor in anchors if anchor.der != first.der and not _anchor_problem(certificates, anchor)
    )
    return (*same, *issuers)


def find_anchor(certificates: Sequence[Certificate], anchors: Sequence[Certificate]) -> Certificate | None:
    """Step 4: the first of `find_anchors`; None if nothing vouches for the chain."""
    return next(iter(find_anchors(certificates, anchors)), None)


def why_no_anchor(certificates: Sequence[Certificate], anchors: Sequence[Certificate]) -> str:
    """Explain, for a person, why `find_anchor` found none."""
    if not certificates:
        return "the chain has no certificate"
    if not anchors:
        return "no root is trusted"
    first = certificates[0]
    wanted = f"the chain begins with {first.label}"
    if not claims_self_signature(first):
        wanted += f", issued by {first.issuer or 'an empty name'}"
    for anchor in anchors:
        if anchor.parsed.subject == first.parsed.issuer:
            problem = _anchor_problem(certificates, anchor)
            return f"{wanted}; the trusted root {anchor.fingerprint[:16]}… has the issuer's name, but: {problem}"
    known = {anchor.der for anchor in anchors}
    for index, certificate in enumerate(certificates):
        if certificate.der in known:
            return f"{wanted}; only certificate {index} of it, {certificate.label}, is trusted, and it is not the first"
    if len(anchors) == 1:
        return f"{wanted}, which the one trusted root neither is nor has issued"
    return f"{wanted}, which none of the {len(anchors)} trusted roots is or has issued"


def _anchor_problem(certificates: Sequence[Certificate], anchor: Certificate) -> str:
    if anchor.parsed.subject != certificates[0].parsed.issuer:
        return "has another name"
    problems = issuer_problems(anchor, certificates)
    return problems[0] if problems else signature_problem(certificates[0], anchor) or ""


# --- step 6: dates ---------------------------------------------------------------------------------------------------


def check_validity(certificates: Sequence[Certificate], at: datetime) -> tuple[ChainFault, ...]:
    """Step 6: every certificate is valid at `at`, an aware time; both ends count as inside (RFC 5280 §4.1.2.5)."""
    faults = []
    for index, certificate in enumerate(certificates):
        if certificate.not_before > certificate.not_after:
            problem = f"is never valid: it begins {_day(certificate.not_before)}, ends {_day(certificate.not_after)}"
        elif at < certificate.not_before:
            problem = f"is not valid before {_day(certificate.not_before)}"
        elif at > certificate.not_after and not certificate.never_expires:
            problem = f"expired on {_day(certificate.not_after)}"
        else:
            continue
        faults.append(ChainFault(index, f"{certificate.label} {problem}"))
    return tuple(faults)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


# --- step 8: the leaf ------------------------------------------------------------------------------------------------


def check_leaf_profile(leaf: Certificate, *, spdm_minor: int | None, alias: bool) -> tuple[ChainFault, ...]:
    """Step 8: the leaf is one for SPDM responders; every fault has the index `LEAF`."""
    problems = leaf_problems(leaf, spdm_minor=spdm_minor, alias=alias)
    return tuple(ChainFault(LEAF, f"{leaf.label}: {problem}") for problem in problems)


# --- PEM bundles -----------------------------------------------------------------------------------------------------


def order_root_first(certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """Bring the certificates of one chain, in any order, into SPDM order by following issuer names up from the leaf.

    Signatures decide only where two certificates have the issuer's name; a wrong signature is for `check_signatures`
    to find. Raises `CertificateProblem` if the certificates are not exactly one chain.
    """
    unique = tuple(dict.fromkeys(certificates))
    source = unique[0].source if unique else ""
    if not unique or len(unique) > MAX_CHAIN_CERTIFICATES:
        raise CertificateProblem(
            f"{len(unique)} certificates are not one chain of 1 to {MAX_CHAIN_CERTIFICATES}", object=source
        )
    parents = [_parent(unique, index) for index in range(len(unique))]
    leaves = [index for index in range(len(unique)) if index not in parents]
    path: list[int] = []
    step = leaves[0] if len(leaves) == 1 else None
    while step is not None and step not in path:
        path.append(step)
        step = parents[step]
    if len(path) != len(unique):
        raise CertificateProblem(
            f"the {len(unique)} certificates do not form one chain: {len(leaves)} of them issue none of the others",
            object=source,
            hint="keep the certificates of one device only: the leaf, its issuers, and at most one root",
        )
    return tuple(unique[index] for index in reversed(path))


def _parent(certificates: Sequence[Certificate], index: int) -> int | None:
    child = certificates[index]
    if claims_self_signature(child):
        return None
    named = [
        number
        for number, candidate in enumerate(certificates)
        if number != index and candidate.parsed.subject == child.parsed.issuer
    ]
    if len(named) > 1:
        named = [number for number in named if signature_problem(child, certificates[number]) is None] or named
    return named[0] if named else None
