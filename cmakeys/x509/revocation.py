"""Is a certificate of a chain revoked? Lists and responses at hand, applied at one time.

The rules. What says "revoked" counts however old it is, once its signature holds: revocation is not undone, but for a
hold, and who may lift that is not us. What says "not revoked" counts while it is fresh, counts with a warning for a
tolerated time after the next one was due, and counts for nothing after that, or before its own time. Where nothing
usable speaks of a certificate, nothing is known about it, with the reasons: that is never the same as good.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import pairwise

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.crl import HOLD, RevocationList, RevocationProblem, Revoked
from cmakeys.x509.der import SEQUENCE, DerError, read_element
from cmakeys.x509.horizon import Horizon
from cmakeys.x509.ocsp import Answer, OcspResponse, Statement

MAX_RECORDS = 1000
"""Lists and responses that one run looks at."""

CLOCK_SKEW = timedelta(minutes=5)
"""By how much a list may seem to come from the future: no two clocks agree."""

AT_ONCE = Horizon()
"""No tolerance: what is out of date counts for nothing."""

_PEM_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM = re.compile(rb"-----BEGIN X509 CRL-----\s+([A-Za-z0-9+/=\s]*?)-----END X509 CRL-----")
_ENUMERATED = 0x0A


@dataclass(frozen=True, slots=True)
class RevocationRecords:
    """Everything at hand that may say what is revoked."""

    lists: tuple[RevocationList, ...] = ()
    responses: tuple[OcspResponse, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lists or self.responses)

    def __add__(self, other: RevocationRecords) -> RevocationRecords:
        return RevocationRecords(
            tuple(dict.fromkeys((*self.lists, *other.lists))),
            tuple(dict.fromkeys((*self.responses, *other.responses))),
        )


class Standing(Enum):
    """What is known of one certificate."""

    GOOD = "good"
    STALE = "stale"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RevocationStatus:
    """One certificate below the anchor: its standing, and in words why.

    `published` is whether the certificate says where its revocation would be published: about one that does not,
    nothing can be expected.
    """

    certificate: Certificate
    standing: Standing
    reason: str
    published: bool


def read_revocation(data: bytes, source: str) -> RevocationList | OcspResponse:
    """The revocation list (DER or one PEM block) or the OCSP response (DER) in a file.

    Raises `RevocationProblem` for anything else.
    """
    if _PEM_BEGIN in data:
        return RevocationList.from_der(_from_pem(data, source), source)
    try:
        outer = read_element(data, 0)
        inner = read_element(data, outer.content, outer.end).tag if outer.tag == SEQUENCE else None
    except DerError:
        inner = None
    if inner == SEQUENCE:
        return RevocationList.from_der(data, source)
    if inner == _ENUMERATED:
        return OcspResponse.from_der(data, source)
    raise RevocationProblem("neither a revocation list nor an OCSP response", object=source or "file")


def _from_pem(data: bytes, source: str) -> bytes:
    blocks = _PEM.findall(data)
    if len(blocks) != 1 or data.count(b"-----BEGIN ") != 1:
        raise RevocationProblem("not exactly one PEM block", object=source, hint="keep one list in one file")
    try:
        return base64.b64decode(b"".join(blocks[0].split()), validate=True)
    except ValueError as error:
        raise RevocationProblem(f"damaged PEM: {error}", object=source) from error


def check_revocation(
    certificates: Sequence[Certificate],
    records: RevocationRecords,
    *,
    at: datetime | None,
    tolerance: Horizon = AT_ONCE,
) -> tuple[RevocationStatus, ...]:
    """Look at each certificate but the first, which is the anchor; each is issued by the one before it.

    `at` is the time to judge by, None for a machine without a clock, where nothing is ever stale; `tolerance` is how
    long after its time a list still counts, with a warning, also as a share of the time that it was made for.
    """
    return tuple(_status(certificate, issuer, records, at, tolerance) for issuer, certificate in pairwise(certificates))


def _status(
    certificate: Certificate,
    issuer: Certificate,
    records: RevocationRecords,
    at: datetime | None,
    tolerance: Horizon,
) -> RevocationStatus:
    published = bool(crl_urls(certificate) or ocsp_urls(certificate))
    findings = [
        *_by_lists(certificate, issuer, records.lists, at, tolerance),
        *_by_responses(certificate, issuer, records, at, tolerance),
    ]
    for standing in (Standing.REVOKED, Standing.GOOD, Standing.STALE):
        for found, reason in findings:
            if found is standing:
                return RevocationStatus(certificate, standing, reason, published)
    reasons = [reason for _, reason in findings]
    return RevocationStatus(certificate, Standing.UNKNOWN, "; ".join(reasons[:2]) or "nothing speaks of it", published)


_Finding = tuple[Standing, str]


def _by_lists(
    certificate: Certificate,
    issuer: Certificate,
    lists: Sequence[RevocationList],
    at: datetime | None,
    tolerance: Horizon,
) -> Iterator[_Finding]:
    for found in lists:
        if not found.names_issuer(issuer):
            continue
        title = f"the list {found.source}" if found.source else f"the list of {_day(found.this_update)}"
        problem = found.issuer_problem(issuer) or found.refusal
        if problem:
            yield Standing.UNKNOWN, f"{title} is of no use: {problem}"
            continue
        entry = found.entries.get(certificate.serial_number)
        if entry is not None:
            if not _lifted(entry, certificate, issuer, found, lists):
                yield Standing.REVOKED, _revoked(entry, f"the list of {_day(found.this_update)} by {issuer.label}")
            continue
        problem = found.out_of_scope(certificate)
        if problem:
            yield Standing.UNKNOWN, f"{title}: {problem}"
            continue
        yield _fresh(f"the list by {issuer.label}", found.this_update, found.next_update, at, tolerance)


def _lifted(
    entry: Revoked,
    certificate: Certificate,
    issuer: Certificate,
    found: RevocationList,
    lists: Sequence[RevocationList],
) -> bool:
    """Whether a later list of the same issuer and scope has let a certificate go that was on hold."""
    return entry.reason == HOLD and any(
        later.this_update > found.this_update
        and later.scope == found.scope
        and later.names_issuer(issuer)
        and not (later.issuer_problem(issuer) or later.refusal)
        and certificate.serial_number not in later.entries
        for later in lists
    )


def _by_responses(
    certificate: Certificate,
    issuer: Certificate,
    records: RevocationRecords,
    at: datetime | None,
    tolerance: Horizon,
) -> Iterator[_Finding]:
    for response in records.responses:
        statements = [one for one in response.statements if one.is_about(certificate, issuer)]
        if not statements:
            continue
        title = f"the response {response.source}" if response.source else "the response"
        problem = response.refusal or response.signer_problem(issuer, at, _revoked_by(records.lists, issuer))
        if problem:
            yield Standing.UNKNOWN, f"{title} is of no use: {problem}"
            continue
        for statement in statements:
            yield _stated(statement, issuer, at, tolerance)


def _stated(statement: Statement, issuer: Certificate, at: datetime | None, tolerance: Horizon) -> _Finding:
    title = f"the OCSP response for {issuer.label}"
    match statement.answer:
        case Answer.REVOKED:
            entry = Revoked(statement.revoked_at or statement.this_update, statement.reason)
            return Standing.REVOKED, _revoked(entry, f"{title} of {_day(statement.this_update)}")
        case Answer.UNKNOWN:
            return Standing.UNKNOWN, f"{title} says that the responder does not know it"
    return _fresh(title, statement.this_update, statement.next_update, at, tolerance)


def _revoked_by(lists: Sequence[RevocationList], issuer: Certificate) -> Callable[[Certificate], bool]:
    """Whether a list that `issuer` signed has a certificate: a responder's own."""

    def revoked(certificate: Certificate) -> bool:
        return any(
            certificate.serial_number in found.entries and not found.issuer_problem(issuer)
            for found in lists
            if found.names_issuer(issuer)
        )

    return revoked


def _revoked(entry: Revoked, by: str) -> str:
    what = "on hold since" if entry.reason == HOLD else "revoked on"
    why = f" ({entry.reason})" if entry.reason and entry.reason != HOLD else ""
    return f"{what} {_day(entry.at)}{why}, says {by}"


def _fresh(
    title: str, this_update: datetime, next_update: datetime | None, at: datetime | None, tolerance: Horizon
) -> _Finding:
    """What "not revoked" is worth at `at`. With no word on when the next is due, it is due at once (RFC 6960 §2.4)."""
    due = next_update or this_update
    told = f"{title} of {_day(this_update)}"
    if at is None:
        return Standing.GOOD, f"not revoked, says {told}"
    if this_update > at + CLOCK_SKEW:
        return Standing.UNKNOWN, f"{told} is from the future"
    if at <= due:
        return Standing.GOOD, f"not revoked, says {told}"
    if at <= due + tolerance.span(due - this_update):
        return Standing.STALE, f"not revoked, says {told}, but the next one was due on {_day(due)}"
    return Standing.UNKNOWN, f"{told} is out of date since {_day(due)}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


# -- where revocation is published -------------------------------------------------------------------------------------


def crl_urls(certificate: Certificate) -> tuple[str, ...]:
    """Where the issuer of `certificate` publishes its lists, as the certificate says."""
    points = certificate.extension(x509.CRLDistributionPoints)
    if points is None:
        return ()
    names = (name for point in points for name in point.full_name or ())
    return tuple(dict.fromkeys(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)))


def ocsp_urls(certificate: Certificate) -> tuple[str, ...]:
    """Where the issuer of `certificate` answers questions about it, as the certificate says."""
    access = certificate.extension(x509.AuthorityInformationAccess)
    if access is None:
        return ()
    return tuple(
        dict.fromkeys(
            one.access_location.value
            for one in access
            if one.access_method == AuthorityInformationAccessOID.OCSP
            and isinstance(one.access_location, x509.UniformResourceIdentifier)
        )
    )
