"""From a revocation list to deny entries: what an authority has withdrawn once is then denied for good.

A list is a statement that somebody signed, so it is worth what its signature is: its issuer has to be a root of the
store that is not itself denied or distrusted, or a certificate that whoever calls names. A deny entry does not expire
with the list, and does not go when a hold is lifted; it goes when somebody takes it away.
"""

from __future__ import annotations

from collections.abc import Iterable

from cmakeys.errors import Refused
from cmakeys.roots.deny import DenyEntry, DenyKind, name_hash
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.crl import RevocationList
from cmakeys.x509.tbs import subject_der


def issuers_in(rootset: RootSet) -> tuple[Certificate, ...]:
    """The certificates of the store that may say what is revoked."""
    return tuple(
        root.certificate
        for root in rootset.roots
        if root.state is not LifeCycle.DISTRUSTED and rootset.denied(root.certificate) is None
    )


def verified_issuer(found: RevocationList, candidates: Iterable[Certificate]) -> Certificate:
    """Which of `candidates` signed the list.

    Raises `Refused` when none did, or when the list is of a kind that is not supported.
    """
    problem = ""
    for candidate in candidates:
        if found.names_issuer(candidate):
            problem = found.issuer_problem(candidate)
            if not problem:
                break
    else:
        raise Refused(
            problem or f"no certificate of its issuer, {found.issuer or 'an empty name'}, is known",
            object=found.source,
            hint="name the issuer's certificate: --issuer FILE",
        )
    if found.refusal:
        raise Refused(found.refusal, object=found.source)
    return candidate


def entries_of(found: RevocationList, issuer: Certificate, *, reason: str, source: str) -> tuple[DenyEntry, ...]:
    """An entry for everything on a list that `verified_issuer` has found to be the issuer's.

    The name in the list and the one in the issuer's certificate may mean the same in other bytes, and certificates
    carry either: then there are two entries for each number.
    """
    names = dict.fromkeys(name_hash(name) for name in (subject_der(issuer), found.issuer_der))
    return tuple(
        DenyEntry(
            DenyKind.ISSUER_SERIAL,
            name,
            ": ".join(text for text in (reason, revoked.reason) if text),
            serial,
            source=source,
        )
        for serial, revoked in sorted(found.entries.items())
        for name in names
    )
