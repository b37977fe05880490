"""One certificate revocation list: what it says, who must have signed it, and for which certificates it speaks.

A list is used only where every rule that could change its meaning is understood. Delta lists (which only amend another
one) and indirect lists (in which one authority speaks for others) are refused by name, and so is a list with a critical
extension that nobody here knows, in the list or in any of its entries (RFC 5280 §5.2, §5.3). Nothing that a list says
may be believed before `issuer_problem` has found nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from cmakeys.errors import EvidenceProblem
from cmakeys.x509.certificate import Certificate, CertificateProblem, oddities_accepted
from cmakeys.x509.der import elements, read_element
from cmakeys.x509.issuing import basic_constraints, key_usage

MAX_LIST_SIZE = 16 * 1024 * 1024
"""Bytes of a list; the largest public ones have a few megabytes."""

MAX_LIST_ENTRIES = 250_000
"""Entries of a list: each is looked at, since any of them may carry an extension that forbids the use of all."""

_INTEGER = 0x02

HOLD = "certificateHold"
REMOVED = "removeFromCRL"

_UNDERSTOOD = frozenset({ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_NUMBER})
_UNDERSTOOD_IN_ENTRIES = frozenset({CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE})
_NOT_READABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class RevocationProblem(EvidenceProblem):
    """Bytes that should say what is revoked do not, or cannot be used."""

    code = "revocation"


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry: since when, and why in the words of RFC 5280, empty where it does not say."""

    at: datetime
    reason: str = ""


@dataclass(frozen=True)
class RevocationList:
    """A list by its DER, with its place of origin for messages. Make one with `from_der`."""

    der: bytes
    source: str = field(default="", compare=False)

    @classmethod
    def from_der(cls, der: bytes, source: str = "") -> Self:
        """Parse exactly one list in DER, bounded in size.

        Raises `RevocationProblem` for bytes that are no list; what forbids the use of one that is, is in `refusal`.
        """
        where = source or "revocation list"
        if len(der) > MAX_LIST_SIZE:
            raise RevocationProblem(f"{len(der)} bytes, more than {MAX_LIST_SIZE}", object=where)
        found = cls(bytes(der), source)
        try:
            if read_element(found.der, 0).end != len(found.der):
                raise ValueError("something follows it")
            parsed = found.parsed
            _ = (parsed.last_update_utc, parsed.next_update_utc, found.issuer, len(parsed))
            _ = [extension.value for extension in parsed.extensions]
        except _NOT_READABLE as error:
            raise RevocationProblem(
                f"not a valid revocation list: {error}",
                object=where,
                hint="look at it with: openssl crl -inform DER -noout -text",
            ) from error
        return found

    def __getstate__(self) -> dict[str, object]:
        """Only the fields travel to another process; the library's view on them is made again there."""
        return {"der": self.der, "source": self.source}

    @cached_property
    def parsed(self) -> x509.CertificateRevocationList:
        """The library's view of the list."""
        with oddities_accepted():
            parsed = x509.load_der_x509_crl(self.der)
            _ = parsed.extensions  # which the library reads when it is first asked for them, and keeps
            return parsed

    @cached_property
    def issuer_name(self) -> x509.Name:
        """The name of who signed it."""
        with oddities_accepted():
            return self.parsed.issuer

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the DER, lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def issuer(self) -> str:
        """The name of who signed it, as an RFC 4514 string."""
        return self.issuer_name.rfc4514_string()

    @cached_property
    def issuer_der(self) -> bytes:
        """The name of who signed it, as the bytes in the list."""
        tbs = self.parsed.tbs_certlist_bytes
        outer = read_element(tbs, 0)
        fields = [one for one in elements(tbs, outer.content, outer.end) if one.tag != _INTEGER]  # a version, or none
        return tbs[fields[1].start : fields[1].end]

    @property
    def this_update(self) -> datetime:
        """When it was made, UTC."""
        return self.parsed.last_update_utc

    @property
    def next_update(self) -> datetime | None:
        """When the next one is due at the latest, UTC; None where the list does not say."""
        return self.parsed.next_update_utc

    @cached_property
    def number(self) -> int | None:
        """The list's number, which grows with each list of an authority; None where it has none."""
        try:
            return self.parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except x509.ExtensionNotFound:
            return None

    @cached_property
    def scope(self) -> x509.IssuingDistributionPoint | None:
        """What the list restricts itself to; None where it speaks for everything that its issuer issued."""
        try:
            return self.parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
        except x509.ExtensionNotFound:
            return None

    @cached_property
    def refusal(self) -> str:
        """Why the list cannot be used for any certificate; empty when it can."""
        for extension in self.parsed.extensions:
            if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
                return "a delta list, which only amends another one; get the complete list"
            if extension.oid == ExtensionOID.ISSUING_DISTRIBUTION_POINT:
                continue
            if extension.critical and extension.oid not in _UNDERSTOOD:
                return f"critical extension {extension.oid.dotted_string} is not understood"
        if self.scope is not None and self.scope.indirect_crl:
            return "an indirect list, in which one authority speaks for others; get each authority's own"
        if self.scope is not None and self.scope.only_contains_attribute_certs:
            return "a list of attribute certificates only"
        if len(self.parsed) > MAX_LIST_ENTRIES:
            return f"{len(self.parsed)} entries, more than {MAX_LIST_ENTRIES}"
        return self._read[1]

    @property
    def entries(self) -> Mapping[int, Revoked]:
        """The entries by serial number; empty for a list that `refusal` refuses."""
        return MappingProxyType({}) if self.refusal else self._read[0]

    @cached_property
    def _read(self) -> tuple[Mapping[int, Revoked], str]:
        found: dict[int, Revoked] = {}
        try:
            with oddities_accepted():
                for entry in self.parsed:
                    reason = ""
                    for extension in entry.extensions:
                        if isinstance(extension.value, x509.CertificateIssuer):
                            return {}, "an indirect list: an entry names another issuer"
                        if isinstance(extension.value, x509.CRLReason):
                            reason = str(extension.value.reason.value)
                        if extension.critical and extension.oid not in _UNDERSTOOD_IN_ENTRIES:
                            oid = extension.oid.dotted_string
                            return {}, f"critical extension {oid} of an entry is not understood"
                    if reason == REMOVED:
                        return {}, f"an entry says {REMOVED}, which only a delta list may"
                    found.setdefault(entry.serial_number, Revoked(entry.revocation_date_utc, reason))
        except _NOT_READABLE as error:
            return {}, f"an entry cannot be read: {error}"
        return found, ""

    def names_issuer(self, issuer: Certificate) -> bool:
        """Whether the list says that `issuer` made it; names prove nothing."""
        return self.issuer_name == issuer.parsed.subject

    def issuer_problem(self, issuer: Certificate) -> str:
        """Why this is not a list that `issuer` signed and may sign; empty if it is."""
        if not self.names_issuer(issuer):
            return f"it is by {self.issuer or 'an empty name'}, not by {issuer.label}"
        usage = key_usage(issuer)
        if usage is not None and not usage.crl_sign:
            return f"keyUsage of {issuer.label} lacks cRLSign"
        return _signature_problem(self, issuer)

    def out_of_scope(self, certificate: Certificate) -> str:
        """Why it says nothing about `certificate` that it does not list (RFC 5280 §6.3.3); empty if it does."""
        scope = self.scope
        if scope is None:
            return ""
        constraints = basic_constraints(certificate)
        is_ca = constraints is not None and constraints.ca
        if scope.only_contains_user_certs and is_ca:
            return "the list is for certificates of devices only, not for those of authorities"
        if scope.only_contains_ca_certs and not is_ca:
            return "the list is for certificates of authorities only"
        if scope.only_some_reasons:
            return "the list is for some reasons of revocation only"
        if scope.relative_name is not None:
            return "the list is for one distribution point, named relatively to its issuer, which is not supported"
        if scope.full_name is not None and not set(scope.full_name) & set(_distribution_points(certificate)):
            return "the list is for another distribution point than the certificate names"
        return ""


@lru_cache(maxsize=64)
def _signature_problem(found: RevocationList, issuer: Certificate) -> str:
    """Kept, because every device of a run is held against the same few lists."""
    key = None
    try:
        key = issuer.public_key
        # The library knows each algorithm that signs lists; for a key of another kind it says so by a TypeError.
        if found.parsed.is_signature_valid(key):  # type: ignore[arg-type]
            return ""
    except CertificateProblem as error:
        return error.message
    except _NOT_READABLE as error:
        return f"signature by {issuer.label} cannot be verified: {error}"
    return f"signature by {issuer.label} is wrong"


def _distribution_points(certificate: Certificate) -> tuple[x509.GeneralName, ...]:
    try:
        points = certificate.parsed.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name for point in points for name in point.full_name or ())
