"""All roots of a machine as one immutable value, with the rules about them.

A `RootSet` touches no file. Its rules: a name and a certificate each occur once; a deny entry, by certificate or by
key, beats every root, whatever brought it; only `trusted` and `retiring` roots anchor a chain.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from enum import Enum

from cmakeys.errors import NotFound, Refused, UsageProblem
from cmakeys.roots.root import Root
from cmakeys.x509.certificate import Certificate, CertificateProblem

MIN_PREFIX = 4
"""Shortest fingerprint prefix, in hex digits, that may name a root."""

_HEX = re.compile(r"[0-9a-f]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def normalise_fingerprint(text: str) -> str:
    """The lower-case hex digits of a fingerprint, whole or prefix, given with colons, spaces or capitals.

    Text that is not one comes back in lower case unchanged, so the result has to be compared, not believed.
    """
    plain = text.strip().lower().removeprefix("sha256:")
    digits = re.sub(r"[:\s]", "", plain)
    return digits if _HEX.fullmatch(digits) else plain


class DenyKind(Enum):
    """What the hash of a deny entry is taken over."""

    CERTIFICATE = "certificate"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class DenyEntry:
    """A certificate (SHA-256 of its DER) or a public key (SHA-256 of its SubjectPublicKeyInfo) never to be trusted."""

    kind: DenyKind
    sha256: str
    reason: str = ""

    def __post_init__(self) -> None:
        """A deny entry with a mistyped hash would deny nothing, silently."""
        if not _SHA256.fullmatch(self.sha256):
            raise UsageProblem(
                f"{self.sha256!r} is not a SHA-256", object="deny entry", hint="give 64 lower-case hex digits"
            )

    def covers(self, certificate: Certificate) -> bool:
        """Whether this entry denies `certificate`."""
        if self.kind is DenyKind.CERTIFICATE:
            return certificate.fingerprint == self.sha256
        try:
            return certificate.spki_fingerprint == self.sha256
        except CertificateProblem:
            return True  # its key cannot be compared, and the kernel may read what our library does not: deny


@dataclass(frozen=True, slots=True)
class RootSet:
    """The roots, sorted by name, and the deny entries.

    Raises `Refused` when a name or a certificate occurs twice.
    """

    roots: tuple[Root, ...] = ()
    deny: tuple[DenyEntry, ...] = ()

    def __post_init__(self) -> None:
        """Sort, so that equal sets are equal values, and refuse duplicates."""
        object.__setattr__(self, "roots", tuple(sorted(self.roots, key=lambda root: root.name)))
        names: set[str] = set()
        holders: dict[str, str] = {}
        for root in self.roots:
            if root.name in names:
                raise Refused("the name occurs twice", object=root.name)
            names.add(root.name)
            other = holders.setdefault(root.fingerprint, root.name)
            if other != root.name:
                raise Refused(
                    f"the same certificate is already there as {other!r}",
                    object=root.name,
                    hint=f"keep one of the two: cmakeys roots remove {other}",
                )

    def anchors(self) -> tuple[Root, ...]:
        """The roots in which a chain may end: trusted or retiring, and not denied."""
        return tuple(root for root in self.roots if root.state.anchors and self.denied(root.certificate) is None)

    def denied(self, certificate: Certificate) -> DenyEntry | None:
        """The deny entry that covers `certificate` itself or its key, if any."""
        return next((entry for entry in self.deny if entry.covers(certificate)), None)

    def holding(self, certificate: Certificate) -> Root | None:
        """The root with exactly this certificate, if any."""
        return next((root for root in self.roots if root.certificate == certificate), None)

    def find(self, text: str) -> Root:
        """The root with this name, or the only one whose fingerprint begins with these digits (at least four).

        Raises `NotFound` when there is none and `UsageProblem` when there is more than one; also when a text is the
        name of one root and begins the fingerprint of another.
        """
        prefix = normalise_fingerprint(text)
        matches = [
            root
            for root in self.roots
            if root.name == text or (len(prefix) >= MIN_PREFIX and root.fingerprint.startswith(prefix))
        ]
        if not matches:
            known = ", ".join(root.name for root in self.roots[:8]) or "none"
            raise NotFound("no such root", object=text, hint=f"known: {known}; see cmakeys roots list")
        if len(matches) > 1:
            names = ", ".join(f"{root.name} ({root.fingerprint[:16]}…)" for root in matches[:8])
            raise UsageProblem(f"fits {len(matches)} roots: {names}", object=text, hint="give more digits")
        return matches[0]

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted fingerprints and states and over the deny entries: equal sets, equal digest."""
        lines = sorted(f"root {root.fingerprint} {root.state.value}" for root in self.roots)
        lines += sorted({f"deny {entry.kind.value} {entry.sha256}" for entry in self.deny})
        return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()

    def with_root(self, root: Root) -> RootSet:
        """This set with `root` added, or changed when its name is there with the same certificate.

        Raises `Refused` when the name belongs to another certificate, the certificate to another name, a deny entry
        covers it, or its life cycle does not lead from the state it has to the new one.
        """
        entry = self.denied(root.certificate)
        if entry is not None:
            raise Refused(
                f"denied by its {entry.kind.value} {entry.sha256}" + (f": {entry.reason}" if entry.reason else ""),
                object=root.name,
                hint="a deny entry always wins; take it out of its deny file first if it is wrong",
            )
        others = tuple(other for other in self.roots if other.name != root.name)
        same = next((other for other in self.roots if other.name == root.name), None)
        if same is not None and same.certificate != root.certificate:
            raise Refused(
                f"the name belongs to another certificate, {same.fingerprint}",
                object=root.name,
                hint="choose another with --name, or remove the old root first",
            )
        if same is not None and same.state is not root.state and not same.state.may_become(root.state):
            raise Refused(
                f"it is {same.state.value}, and from there it cannot become {root.state.value}",
                object=root.name,
                hint="if it shall be trusted again from the start, remove it first and add it anew",
            )
        return replace(self, roots=(*others, root))

    def without(self, name: str) -> RootSet:
        """This set without the root of that name.

        Raises `NotFound` when there is none.
        """
        if all(root.name != name for root in self.roots):
            raise NotFound("no such root", object=name, hint="see cmakeys roots list")
        return replace(self, roots=tuple(root for root in self.roots if root.name != name))
