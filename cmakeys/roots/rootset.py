"""All roots of a machine as one immutable value, with the rules about them.

A `RootSet` touches no file. Its rules: a name and a certificate each occur once; a deny entry beats every root,
whatever brought it; only `trusted` and `retiring` roots anchor a chain, and none that has the key of a distrusted one:
the verifier refuses what passes through such a key, and a kernel that was given the twin would not. Names,
certificates and deny entries are found by lookup, so that a thousand roots and ten thousand entries cost what they
weigh and no more.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cmakeys.errors import NotFound, Refused, UsageProblem
from cmakeys.roots.deny import DenyEntry as DenyEntry
from cmakeys.roots.deny import DenyIndex, serial_text
from cmakeys.roots.deny import DenyKind as DenyKind
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root
from cmakeys.x509.certificate import Certificate, same_key

MIN_PREFIX = 4
"""Shortest fingerprint prefix, in hex digits, that may name a root."""

_HEX = re.compile(r"[0-9a-f]+")


def normalise_fingerprint(text: str) -> str:
    """The lower-case hex digits of a fingerprint, whole or prefix, given with colons, spaces or capitals.

    Text that is not one comes back in lower case unchanged, so the result has to be compared, not believed.
    """
    plain = text.strip().lower().removeprefix("sha256:")
    digits = re.sub(r"[:\s]", "", plain)
    return digits if _HEX.fullmatch(digits) else plain


@dataclass(frozen=True, slots=True)
class RootSet:
    """The roots, sorted by name, and the deny entries.

    Raises `Refused` when a name or a certificate occurs twice.
    """

    roots: tuple[Root, ...] = ()
    deny: tuple[DenyEntry, ...] = ()
    _names: dict[str, Root] = field(init=False, repr=False, compare=False, default_factory=dict)
    _holders: dict[str, Root] = field(init=False, repr=False, compare=False, default_factory=dict)
    _denials: DenyIndex = field(init=False, repr=False, compare=False)
    _anchors: dict[str, Root] | None = field(init=False, repr=False, compare=False, default=None)
    _digest: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        """Sort, so that equal sets are equal values, refuse duplicates, and make what is looked things up in."""
        object.__setattr__(self, "roots", tuple(sorted(self.roots, key=lambda root: root.name)))
        object.__setattr__(self, "_denials", DenyIndex(self.deny))
        for root in self.roots:
            if root.name in self._names:
                raise Refused("the name occurs twice", object=root.name)
            self._names[root.name] = root
            other = self._holders.setdefault(root.fingerprint, root)
            if other is not root:
                raise Refused(
                    f"the same certificate is already there as {other.name!r}",
                    object=root.name,
                    hint=f"keep one of the two: cmakeys roots remove {other.name}",
                )

    def anchors(self) -> tuple[Root, ...]:
        """The roots in which a chain may end: trusted or retiring, not denied, and of no key that is distrusted."""
        return tuple(self._anchoring().values())

    def is_anchor(self, root: Root) -> bool:
        """Whether a chain may end in `root`, which is one of this set."""
        return self._anchoring().get(root.name) == root

    def _anchoring(self) -> dict[str, Root]:
        """The anchors by name; found out once, for a set never changes."""
        if self._anchors is None:
            distrusted = [root.certificate for root in self.roots if root.state is LifeCycle.DISTRUSTED]
            found = {
                root.name: root
                for root in self.roots
                if root.state.anchors
                and self.denied(root.certificate) is None
                and not any(same_key(root.certificate, lost) for lost in distrusted)
            }
            object.__setattr__(self, "_anchors", found)
            return found
        return self._anchors

    def denied(self, certificate: Certificate, leaf: Certificate | None = None) -> DenyEntry | None:
        """The deny entry that covers `certificate`, its key, or its issuer's number for it, if any.

        For a certificate of a chain `leaf` is the last one of it: an entry with a date looks at both.
        """
        return self._denials.covering(certificate, leaf)

    def denied_key(self, spki_fingerprint: str) -> DenyEntry | None:
        """The deny entry that covers a public key without a certificate, if any, whatever date it has."""
        return self._denials.covering_key(spki_fingerprint)

    def denials(self, certificate: Certificate) -> tuple[DenyEntry, ...]:
        """Every deny entry that covers `certificate` by itself."""
        return tuple(self._denials.all_covering(certificate))

    def distrusting(self, certificate: Certificate) -> Root | None:
        """The distrusted root that is this certificate or has its key: a cross-signed twin is no way round."""
        for root in self.roots:
            if root.state is not LifeCycle.DISTRUSTED:
                continue
            if root.fingerprint == certificate.fingerprint or same_key(root.certificate, certificate):
                return root
        return None

    def believed_until(self, root: Root) -> datetime | None:
        """The day after which leaves of `root` are not believed: the earliest of all roots that have its key.

        A day is set because a key was lost, and a renewed certificate does not bring the key back.
        """
        days = [
            other.distrust_after
            for other in self.roots
            if other.distrust_after is not None
            and (other.name == root.name or same_key(other.certificate, root.certificate))
        ]
        return min(days, default=root.distrust_after)

    def denies(self, entry: DenyEntry) -> bool:
        """Whether what `entry` denies is denied by this set."""
        return self._denials.includes(entry)

    def holding(self, certificate: Certificate) -> Root | None:
        """The root with exactly this certificate, if any."""
        return self._holders.get(certificate.fingerprint)

    def named(self, name: str) -> Root | None:
        """The root with exactly this name, if any."""
        return self._names.get(name)

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
        if not self._digest:
            lines = sorted(f"root {root.fingerprint} {root.state.value}" for root in self.roots)
            lines += sorted({_digest_line(entry) for entry in self.deny})
            text = "".join(f"{line}\n" for line in lines)
            object.__setattr__(self, "_digest", hashlib.sha256(text.encode()).hexdigest())
        return self._digest

    def with_root(self, root: Root) -> RootSet:
        """This set with `root` added, or changed when its name is there with the same certificate.

        Raises `Refused` when the name belongs to another certificate, the certificate to another name, a deny entry
        covers it, or its life cycle does not lead from the state it has to the new one.
        """
        entry = self.denied(root.certificate)
        if entry is not None:
            raise Refused(
                f"denied by its {entry.words}" + (f": {entry.reason}" if entry.reason else ""),
                object=root.name,
                hint="a deny entry always wins; if it is wrong, take it away first: cmakeys deny remove",
            )
        others = tuple(other for other in self.roots if other.name != root.name)
        same = self._names.get(root.name)
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
        if name not in self._names:
            raise NotFound("no such root", object=name, hint="see cmakeys roots list")
        return replace(self, roots=tuple(root for root in self.roots if root.name != name))


def _digest_line(entry: DenyEntry) -> str:
    serial = f" {serial_text(entry.serial)}" if entry.serial is not None else ""
    after = f" after {entry.after.astimezone(UTC).isoformat()}" if entry.after is not None else ""
    return f"deny {entry.kind.value} {entry.sha256}{serial}{after}"
