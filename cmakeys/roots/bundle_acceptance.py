"""Is this bundle to be believed? The rules of python-tuf for its root role, on values only.

A bundle counts when as many keys as the *last* one asked for have signed it, and as many as *it* asks for: so keys are
exchanged only by those who hold the old ones, and only for keys that somebody holds. An older version than the last is
refused (rollback), the same version with other content too, and an expired one (freeze: whoever keeps new bundles from
a machine must not do so for ever). The first bundle of a name has no last one: somebody has to name its keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cmakeys.errors import EvidenceProblem, Refused
from cmakeys.roots.signed_bundle import Bundle, SignedBundle, time_text
from cmakeys.roots.signer import Signers

TOLERANCE = timedelta(hours=1)
"""How far the issuer's clock may run ahead of this machine's."""


class BundleProblem(EvidenceProblem):
    """A bundle does not hold."""

    code = "bundle"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept of the last bundle of a name: enough to judge the next one, and what it vouches for.

    `roots` are the fingerprints that it names; `added` those that its bundles, this one or earlier, have brought here.
    """

    name: str
    version: int
    digest: str
    signers: Signers
    expires: datetime
    roots: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Named:
    """The keys that somebody named for a first bundle, by their ids; `threshold` of them have to have signed it."""

    keys: frozenset[str]
    threshold: int


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A bundle that holds.

    `signed` are the ids of those of its signers that signed it; `uncounted` says in words what did not count.
    `repeated` is true for the same bundle as the last one; `rotated` when others sign the next one than this one.
    """

    bundle: Bundle
    digest: str
    signed: frozenset[str]
    uncounted: tuple[str, ...] = ()
    repeated: bool = False
    rotated: bool = False


def accept(
    signed: Sequence[SignedBundle],
    now: datetime,
    *,
    remembered: Remembered | None,
    named: Named | None = None,
    clock_fault: str = "",
) -> Acceptance:
    """The last of several bundles of one name, each of which is judged by the one before it.

    Earlier ones are there for the exchange of keys and may have expired. `named` is needed where nothing is
    `remembered`, and has to hold where it is given. Raises `BundleProblem` for a bundle that does not hold, and
    `Refused` where nobody named its keys or the clock is wrong, so that no date can be judged.
    """
    if not signed:
        raise Refused("there is no bundle to judge")
    if clock_fault:
        raise Refused(f"whether it has expired cannot be said: {clock_fault}", object=signed[-1].source)
    result: Acceptance | None = None
    for one in signed:
        result = _accept_one(one, remembered, named)
        remembered = Remembered(one.bundle.name, one.bundle.version, one.digest, one.bundle.signers, one.bundle.expires)
        named = None
    if result is None:
        raise Refused("there is no bundle to judge")
    check_dates(signed[-1], now)
    return result


def check_dates(signed: SignedBundle, now: datetime) -> None:
    """Raise `BundleProblem` for a bundle that has expired or is from the future."""
    bundle = signed.bundle
    if now >= bundle.expires:
        raise BundleProblem(
            f"it expired on {time_text(bundle.expires)}",
            object=signed.source,
            hint="get the newest one; an old bundle hides what was withdrawn since",
        )
    if bundle.issued > now + TOLERANCE:
        raise BundleProblem(
            f"it was issued on {time_text(bundle.issued)}, which is yet to come",
            object=signed.source,
            hint="compare this machine's clock with the issuer's",
        )


def _accept_one(signed: SignedBundle, remembered: Remembered | None, named: Named | None) -> Acceptance:
    bundle = signed.bundle
    own = bundle.signers.signed(signed.message, signed.signatures)
    if remembered is None and named is None:
        raise Refused(
            f"no bundle called {bundle.name} was imported yet, and nobody has named its keys",
            object=signed.source,
            hint="compare them with what the issuer publishes: --fingerprint SHA256 or --key FILE for each",
        )
    if named is not None:
        _check_named(signed, own, named)
    if remembered is not None:
        _check_follows(signed, remembered)
    if len(own) < bundle.signers.threshold:
        raise BundleProblem(_too_few("its own", own, bundle.signers), object=signed.source, hint=_HINT)
    return Acceptance(
        bundle,
        signed.digest,
        own,
        tuple(_uncounted(signed, own, remembered)),
        remembered is not None and remembered.digest == signed.digest,
        remembered is not None and remembered.signers != bundle.signers,
    )


_HINT = "a signature is missing, or of other bytes; a key holder adds one with: cmakeys roots bundle sign"


def _check_named(signed: SignedBundle, own: frozenset[str], named: Named) -> None:
    """The keys that somebody named: they have to be the bundle's own, and to have signed."""
    listed = {key.id for key in signed.bundle.signers.keys}
    strangers = sorted(named.keys - listed)
    if strangers:
        raise BundleProblem(
            f"key {strangers[0]} is not one of its signers",
            object=signed.source,
            hint=f"its signers are: {', '.join(sorted(listed))}",
        )
    good = len(own & named.keys)
    if good < named.threshold:
        raise BundleProblem(
            f"signed by {good} of the {len(named.keys)} keys that were named, where {named.threshold} are asked for",
            object=signed.source,
            hint=_HINT,
        )


def _check_follows(signed: SignedBundle, last: Remembered) -> None:
    """The last bundle's word on this one: its name, its version, and its signers' signatures."""
    bundle = signed.bundle
    if bundle.name != last.name:
        raise BundleProblem(f"it is called {bundle.name}, not {last.name}", object=signed.source)
    good = last.signers.signed(signed.message, signed.signatures)
    if len(good) < last.signers.threshold:
        raise BundleProblem(
            _too_few(f"version {last.version}'s", good, last.signers),
            object=signed.source,
            hint=f"if its keys were exchanged since version {last.version}, import that bundle first, or both at once",
        )
    if bundle.version < last.version:
        raise BundleProblem(
            f"version {bundle.version} is older than {last.version}, which was imported before",
            object=signed.source,
            hint="an old bundle hides what was withdrawn since; get the newest one",
        )
    if bundle.version == last.version and signed.digest != last.digest:
        raise BundleProblem(
            f"version {bundle.version} was imported before, with other content",
            object=signed.source,
            hint="two bundles of one version: ask the issuer which is theirs",
        )


def _too_few(whose: str, good: frozenset[str], signers: Signers) -> str:
    missing = [key.id for key in signers.keys if key.algorithm is None]
    unusable = f"; {len(missing)} of them of a kind that cannot be checked here" if missing else ""
    return f"signed by {len(good)} of {whose} {len(signers.keys)} keys, where {signers.threshold} are needed{unusable}"


def _uncounted(signed: SignedBundle, own: frozenset[str], remembered: Remembered | None) -> list[str]:
    """What a signature is there for and did not count."""
    keys = {key.id: key for key in signed.bundle.signers.keys}
    old = {key.id: key for key in remembered.signers.keys} if remembered else {}
    good = own | (remembered.signers.signed(signed.message, signed.signatures) if remembered else frozenset())
    said = []
    for identity in sorted(signed.signatures.keys() - good):
        key = keys.get(identity) or old.get(identity)
        if key is None:
            said.append(f"signature by {identity}, which is not one of its signers")
        elif key.algorithm is None:
            said.append(f"signature by {identity}, of a kind that cannot be checked here")
        else:
            said.append(f"signature by {identity}, which does not hold")
    return said
