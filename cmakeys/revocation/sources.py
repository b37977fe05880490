"""Where revocation is published for the certificates at hand, and whether what came from there may be kept.

A certificate names its places itself: its issuer's list and its issuer's responder. What comes from a place is kept
only if that issuer signed it; who handed it out, and over what kind of connection, says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from cmakeys.errors import Refused
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.crl import RevocationList
from cmakeys.x509.ocsp import OcspResponse
from cmakeys.x509.revocation import crl_urls, ocsp_urls


class SourceKind(Enum):
    """What is published at a place."""

    LIST = "crl"
    RESPONDER = "ocsp"


@dataclass(frozen=True, slots=True)
class Source:
    """A place that `certificate`, issued by `issuer`, names. A list is the same for all that its issuer issued."""

    kind: SourceKind
    url: str
    certificate: Certificate
    issuer: Certificate

    def request(self) -> bytes | None:
        """What a responder is asked; None where there is only something to fetch.

        SHA-1 identifies the certificate here and protects nothing; every responder knows it (RFC 5019 §2.1.1).
        """
        if self.kind is SourceKind.LIST:
            return None
        builder = ocsp.OCSPRequestBuilder()
        builder = builder.add_certificate(self.certificate.parsed, self.issuer.parsed, hashes.SHA1())  # noqa: S303
        return builder.build().public_bytes(Encoding.DER)


def sources(chains: Iterable[Sequence[Certificate]]) -> tuple[Source, ...]:
    """Every place named in these chains, which run from the top downwards; each place and question once."""
    found: dict[tuple[SourceKind, str, str, str], Source] = {}
    for chain in chains:
        for issuer, certificate in _issued(chain):
            for url in crl_urls(certificate):
                key = (SourceKind.LIST, url, issuer.fingerprint, "")
                found.setdefault(key, Source(SourceKind.LIST, url, certificate, issuer))
            for url in ocsp_urls(certificate):
                key = (SourceKind.RESPONDER, url, issuer.fingerprint, certificate.fingerprint)
                found.setdefault(key, Source(SourceKind.RESPONDER, url, certificate, issuer))
    return tuple(found.values())


def _issued(chain: Sequence[Certificate]) -> Iterator[tuple[Certificate, Certificate]]:
    if chain and chain[0].self_issued:
        yield chain[0], chain[0]
    yield from pairwise(chain)


def check_issuer(record: RevocationList | OcspResponse, candidates: Iterable[Certificate], at: datetime) -> Certificate:
    """Which of `candidates` vouches for the record, at the time `at`.

    Raises `Refused` when none does, or when the record is of a kind that is not supported.
    """
    problem = record.refusal
    named = False
    if not problem:
        for candidate in candidates:
            if not _names(record, candidate):
                continue
            named = True
            problem = (
                record.issuer_problem(candidate)
                if isinstance(record, RevocationList)
                else record.signer_problem(candidate, at)
            )
            if not problem:
                return candidate
    what = "the issuer of the list" if isinstance(record, RevocationList) else "the issuer that it speaks for"
    raise Refused(
        problem or f"{what} is not known here",
        object=record.source,
        hint="" if named or record.refusal else "name the issuer's certificate: --issuer FILE",
    )


def _names(record: RevocationList | OcspResponse, issuer: Certificate) -> bool:
    if isinstance(record, RevocationList):
        return record.names_issuer(issuer)
    return bool(record.statements) and all(statement.names_issuer(issuer) for statement in record.statements)
