"""Fleets of any size with their roots, the same ones every time, for pages to show."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmakeys.check import Judgement
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root, Rotation
from cmakeys.roots.rootset import RootSet
from cmakeys.standing import Finding, Standing
from cmakeys.verify.observation import Link, Observation
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.certificate import Certificate
from tests.reports.findings import BAD, CHANGES, WELL, made
from tests.reports.verdicts import ALL, CHECKED_AT

LONG = "rack-17-unit-03-slot-2-accelerator-of-the-very-long-name-that-somebody-typed-once.example.com"
HOSTILE = (
    "</title><script>alert(1)</script>\u202e]]>&amp;\x00\x1b[2J\ud800" + "Z\u0351\u0352\u0353\u0354\u0355\u0356" * 8
)


def certificate(common_name: str, begins: datetime, ends: datetime) -> Certificate:
    """A root of a key that follows from its name, so that all of its bytes do."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(common_name.encode()).digest())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    made_of = x509.CertificateBuilder(name, name, key.public_key(), 1, begins, ends)
    signed = made_of.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, None)
    return Certificate.from_der(signed.public_bytes(Encoding.DER))


def year(number: int) -> datetime:
    return datetime(number, 5, 1, tzinfo=UTC)


ACME = Root("acme", certificate("Acme Root", year(2030), year(2060)))
NEXT = Root("umbra-2039", certificate("Umbra Root 2039", year(2039), year(2070)))
OLD = Root(
    "umbra-2021",
    certificate("Umbra Root 2021", year(2021), year(2043)),
    LifeCycle.RETIRING,
    rotation=Rotation(NEXT.fingerprint, CHECKED_AT - timedelta(days=90), CHECKED_AT + timedelta(days=400)),
)
ROOTS = RootSet(
    (
        ACME,
        OLD,
        NEXT,
        Root("later", certificate("Later Root", year(2041), year(2055)), LifeCycle.STAGED),
        Root("gone", certificate("Gone Root", year(2010), year(2038)), LifeCycle.RETIRED),
        Root("stolen", certificate("Stolen", year(2028), year(2058)), LifeCycle.DISTRUSTED),
        Root("forever", certificate("Forever", year(1990), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))),
        Root(
            "leaked-in-march",
            certificate("Leaked", year(2031), year(2051)),
            distrust_after=datetime(2039, 3, 1, tzinfo=UTC),
        ),
    )
)


def link(label: str, ends: datetime | None = None) -> Link:
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()
    return Link(label, digest, digest, ends)


def root_link(root: Root) -> Link:
    return Link(root.certificate.label, root.fingerprint, "ab" * 32, root.certificate.not_after)


def chain(root: Root | None, *labels: str) -> Observation:
    """A chain below a root of this machine, or below one that is not."""
    first = (root_link(root),) if root else ()
    links = (*first, *(link(label) for label in labels), link(f"device of {labels}"))
    return Observation(slot=0, provisioned=(0,), chain=links, device_index=len(links) - 1)


def device(name: str, outcome: Outcome, root: Root | None, *labels: str, number: int = 0) -> Finding:
    verdict = ALL[outcome.value]
    if root is not None and verdict.root is not None:
        verdict = replace(verdict, root=root.name, root_fingerprint=root.fingerprint)
    elif root is None:
        verdict = replace(verdict, root=None, root_fingerprint=None)
    standing = Standing(outcome, CHECKED_AT - timedelta(days=7), outcome, news=False, passed_at=CHECKED_AT)
    if outcome is Outcome.REJECTED and number % 2 == 0:
        standing = replace(BAD, began=CHECKED_AT, news=True, changes=CHANGES)
    elif outcome is Outcome.TRUSTED and number % 97 == 5:
        standing = replace(WELL, news=True, changes=("the leaf was issued anew under the same device certificate",))
    return made(name, Judgement(verdict, observation=chain(root, *labels) if labels else None), standing)


def fleet(size: int, *, long: bool = False) -> tuple[Finding, ...]:
    """Mostly well devices of three vendors, some trouble among them, and some that claim roots of their own."""
    found = []
    for number in range(size):
        outcome = Outcome.TRUSTED
        if number % 23 == 3:
            outcome = Outcome.DEGRADED
        if number % 41 == 7 or number == 2:
            outcome = Outcome.REJECTED
        if number % 61 == 11:
            outcome = Outcome.UNREACHABLE
        if number % 211 == 31:
            outcome = Outcome.UNSUPPORTED
        name = f"host{number // 4:03}-gpu{number % 4}"
        if long and number % 5 == 2:
            name = (LONG if number % 2 else HOSTILE) + str(number)
        if outcome is Outcome.UNSUPPORTED:
            found.append(device(name, outcome, None))
        elif number % 83 == 7:
            found.append(device(name, outcome, None, f"CN=Mallory Root {number},O=Acme", "CN=Acme Intermediate"))
        elif number % 3 == 2:
            found.append(device(name, outcome, OLD, "CN=Umbra Devices G1,O=Umbra Systems", number=number))
        elif number % 7 == 1:
            found.append(device(name, outcome, NEXT, "CN=Umbra Devices G2", "CN=Umbra Site CA 4", number=number))
        else:
            words = ("CN=Acme Intermediate", f"CN=Acme Accelerator CA {number % 2 + 1},O=Acme Corporation,C=DE")
            found.append(device(name, outcome, ACME, *words, number=number))
    return tuple(found)
