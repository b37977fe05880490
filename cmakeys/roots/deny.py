"""What must never be trusted, whatever brings it: one deny entry, and many of them found by lookup.

An entry names its target by a hash that nobody can choose: of a certificate, of a public key, or of an issuer's name
together with the serial number that this issuer gave. A certificate's hash stands for its twin too (`x509.twins`): what
somebody else can make of a certificate without its issuer is the same certificate. An entry may hold only from a date
on. That date is compared with what certificates say of themselves and never with today: a device that was issued before
its vendor's key leaked is still the device it was, and one whose papers begin later is not, on whatever day somebody
asks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from cmakeys.errors import UsageProblem
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.tbs import issuer_der
from cmakeys.x509.twins import twin_fingerprints

_SHA256 = re.compile(r"[0-9a-f]{64}")

Target = tuple[str, str, int | None]


class DenyKind(Enum):
    """What the hash of a deny entry is taken over."""

    CERTIFICATE = "certificate"
    KEY = "key"
    ISSUER_SERIAL = "issuer-serial"


@dataclass(frozen=True, slots=True)
class DenyEntry:
    """Something never to be trusted.

    `sha256` is that of a certificate's DER, of a SubjectPublicKeyInfo, or of the DER of an issuer's name, for which
    `serial` is the number that it gave. With `after`, an aware time, only what was issued later is denied. `source`
    says where the entry came from; it and `reason` decide nothing.

    Raises `UsageProblem` for an entry that would deny nothing, silently.
    """

    kind: DenyKind
    sha256: str
    reason: str = ""
    serial: int | None = None
    after: datetime | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise UsageProblem(
                f"{self.sha256!r} is not a SHA-256", object="deny entry", hint="give 64 lower-case hex digits"
            )
        if (self.serial is not None) != (self.kind is DenyKind.ISSUER_SERIAL):
            raise UsageProblem(
                "an issuer goes with a serial number, and nothing else does",
                object="deny entry",
                hint="name a certificate, a key, or an issuer and a serial number",
            )
        if self.after is not None and self.after.tzinfo is None:
            raise UsageProblem("the date needs a time zone", object="deny entry", hint="end it with Z")

    @property
    def target(self) -> Target:
        """What the entry is about; equal for two entries that differ only in date, reason or source."""
        return self.kind.value, self.sha256, self.serial

    @property
    def words(self) -> str:
        """What the entry is about, in short, for messages."""
        if self.kind is DenyKind.ISSUER_SERIAL and self.serial is not None:
            return f"issuer {self.sha256} and serial number {serial_text(self.serial)}"
        return f"{self.kind.value} {self.sha256}"

    def applies(self, certificate: Certificate, leaf: Certificate | None = None) -> bool:
        """Whether the date, if there is one, leaves the entry in force for a certificate that it is about.

        It is in force when the certificate itself, or the leaf of the chain that passes through it, begins to be valid
        after the date. What day it is today plays no part.
        """
        if self.after is None:
            return True
        return any(each.not_before > self.after for each in (certificate, leaf) if each is not None)

    def includes(self, other: DenyEntry) -> bool:
        """Whether everything that `other` denies is denied by this entry."""
        return self.target == other.target and (
            self.after is None or (other.after is not None and self.after <= other.after)
        )


class DenyIndex:
    """Many entries, found by what they are about; how long it takes to ask does not depend on how many there are."""

    __slots__ = ("_entries", "_kinds")

    def __init__(self, entries: Iterable[DenyEntry]) -> None:
        self._entries: dict[Target, list[DenyEntry]] = {}
        self._kinds: dict[str, list[DenyEntry]] = {}
        for entry in entries:
            same = self._entries.setdefault(entry.target, [])
            if not same:
                self._kinds.setdefault(entry.kind.value, []).append(entry)
            same.append(entry)

    def covering(self, certificate: Certificate, leaf: Certificate | None = None) -> DenyEntry | None:
        """An entry that denies `certificate`, in a chain that ends in `leaf` where it is in one."""
        for entry in self._about(certificate):
            if entry.applies(certificate, leaf):
                return entry
        return None

    def all_covering(self, certificate: Certificate) -> Iterator[DenyEntry]:
        """Every entry that denies `certificate` by itself."""
        return (entry for entry in self._about(certificate) if entry.applies(certificate))

    def covering_key(self, spki_fingerprint: str) -> DenyEntry | None:
        """An entry that denies a public key which no certificate holds, and so no date makes an exception for."""
        return next(iter(self._entries.get((DenyKind.KEY.value, spki_fingerprint, None), ())), None)

    def includes(self, entry: DenyEntry) -> bool:
        """Whether what `entry` denies is denied already."""
        return any(known.includes(entry) for known in self._entries.get(entry.target, ()))

    def _about(self, certificate: Certificate) -> Iterable[DenyEntry]:
        if DenyKind.CERTIFICATE.value in self._kinds:
            for fingerprint in (certificate.fingerprint, *twin_fingerprints(certificate)):
                yield from self._entries.get((DenyKind.CERTIFICATE.value, fingerprint, None), ())
        keys = self._kinds.get(DenyKind.KEY.value)
        if keys:
            try:
                target = (DenyKind.KEY.value, certificate.spki_fingerprint, None)
            except CertificateProblem:
                yield from keys  # its key cannot be compared, and the kernel may read what our library does not: deny
            else:
                yield from self._entries.get(target, ())
        if DenyKind.ISSUER_SERIAL.value in self._kinds:
            issuer = name_hash(issuer_der(certificate))
            yield from self._entries.get((DenyKind.ISSUER_SERIAL.value, issuer, certificate.serial_number), ())


def entry_about(
    certificate: Certificate,
    kind: DenyKind,
    reason: str = "",
    after: datetime | None = None,
    source: str = "",
) -> DenyEntry:
    """The entry of this kind that denies `certificate`.

    Raises `CertificateProblem` where it is to be by a key that the library cannot read.
    """
    serial = None
    match kind:
        case DenyKind.CERTIFICATE:
            sha256 = certificate.fingerprint
        case DenyKind.KEY:
            sha256 = certificate.spki_fingerprint
        case DenyKind.ISSUER_SERIAL:
            sha256, serial = name_hash(issuer_der(certificate)), certificate.serial_number
    return DenyEntry(kind, sha256, reason, serial, after, source)


def name_hash(name: bytes) -> str:
    """SHA-256 of a name's DER, by which an entry knows an issuer."""
    return hashlib.sha256(name).hexdigest()


def serial_text(serial: int) -> str:
    """A serial number as it is written everywhere: hex digits, two for each byte."""
    digits = f"{abs(serial):x}"
    return ("-" if serial < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def parse_serial(text: str) -> int:
    """A serial number in hex digits, with colons and capitals allowed, as tools print it.

    Raises `UsageProblem` for anything else, also for more than the 32 bytes that no issuer needs.
    """
    digits = text.strip().replace(":", "").lower()
    if not re.fullmatch(r"-?[0-9a-f]{1,64}", digits):
        raise UsageProblem(
            f"{text[:80]!r} is not a serial number", object="deny entry", hint="give it in hex digits, as 1a:2b:3c"
        )
    return int(digits, 16)
