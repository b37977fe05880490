"""What the certificates of a device say of its firmware (DICE TcbInfo), held against what they said before.

A TcbInfo is known by its place in the chain and by vendor, model, layer, index and type. One that is gone, new or of
other content is a difference; with the rule `monotone` a secure version number may rise, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cmakeys.verify.measurement_rules import RuleKind
from cmakeys.verify.tcb_statement import StatedTcb, stated_differences
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.tcb import ChainTcb, TcbInfo, chain_tcb


def known_tcb(chain: Sequence[Certificate]) -> tuple[ChainTcb, ...]:
    """What a chain says, for a reference; nothing where it cannot be read."""
    try:
        return chain_tcb(chain)
    except CertificateProblem:
        return ()


def tcb_differences(
    expected: Sequence[ChainTcb] | None,
    chain: Sequence[Certificate],
    rule: RuleKind | None,
    stated: Sequence[StatedTcb] = (),
) -> tuple[str, ...]:
    """Every difference, as text that names the TcbInfo and what of it is another.

    What a vendor states of a TcbInfo counts before what was expected of it. Without an expectation (None), only that.
    """
    if rule is RuleKind.IGNORE or (expected is None and not stated):
        return ()
    try:
        actual = chain_tcb(chain)
    except CertificateProblem as problem:
        return (f"{problem}",)
    texts = () if expected is None else _changes(_not_stated(expected, stated), _not_stated(actual, stated), rule)
    return (*texts, *stated_differences(stated, actual))


def _not_stated(places: Sequence[ChainTcb], stated: Sequence[StatedTcb]) -> tuple[ChainTcb, ...]:
    return tuple(place for place in places if not any(one.about(place.info) for one in stated))


def _changes(expected: Sequence[ChainTcb], actual: Sequence[ChainTcb], rule: RuleKind | None) -> tuple[str, ...]:
    before, now = _by_key(expected), _by_key(actual)
    texts = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if old is None or new is None:
            one = old or new
            texts.append(f"{one.name if one else 'TcbInfo'} is {'new' if old is None else 'missing'}")
            continue
        fields = _changed(old.info, new.info, rule)
        texts += [f"{new.name}: {', '.join(fields)}"] if fields else []
    return tuple(f"TcbInfo of {text}" for text in texts)


def tcb_lower(expected: Sequence[ChainTcb], actual: Sequence[ChainTcb], rule: RuleKind | None) -> tuple[str, ...]:
    """The TcbInfos whose secure version number went down where the rule says that it must not, by name."""
    if rule is not RuleKind.MONOTONE:
        return ()
    now = _by_key(actual)
    pairs = [(old, now[key]) for key, old in _by_key(expected).items() if key in now]
    return tuple(new.name for old, new in pairs if old.info.svn is not None and (new.info.svn or 0) < old.info.svn)


def raised_tcb(expected: Sequence[ChainTcb], actual: Sequence[ChainTcb], rule: RuleKind | None) -> tuple[ChainTcb, ...]:
    """The reference with every TcbInfo whose secure version number rose by the rule as it is now."""
    if rule is not RuleKind.MONOTONE:
        return tuple(expected)
    now = _by_key(actual)
    places: dict[tuple[object, ...], ChainTcb] = {}
    for key, old in _by_key(expected).items():
        new = now.get(key)
        rose = new is not None and old.info.svn is not None and (new.info.svn or 0) > old.info.svn
        places[key] = new if rose and new is not None and not _changed(old.info, new.info, rule) else old
    return tuple(places.values())


def _by_key(places: Sequence[ChainTcb]) -> dict[tuple[object, ...], ChainTcb]:
    """Each by what tells it from others, and the second of the same by its number besides."""
    found: dict[tuple[object, ...], ChainTcb] = {}
    for place in places:
        number = 0
        while (*place.key, number) in found:
            number += 1
        found[(*place.key, number)] = place
    return found


def _changed(old: TcbInfo, new: TcbInfo, rule: RuleKind | None) -> list[str]:
    texts = []
    if old.svn != new.svn:
        if old.svn is None or new.svn is None:
            texts.append(f"svn is {new.svn}, it was {old.svn}")
        elif new.svn < old.svn:
            texts.append(f"svn went down to {new.svn}, it was {old.svn}")
        elif rule is not RuleKind.MONOTONE:
            texts.append(f"svn is {new.svn}, it was {old.svn}")
    if old.version != new.version:
        texts.append(f"version is {new.version}, it was {old.version}")
    if old.fwids != new.fwids:
        shown = new.fwids[0].digest.hex()[:16] + "…" if new.fwids else "none"
        was = old.fwids[0].digest.hex()[:16] + "…" if old.fwids else "none"
        texts.append(f"firmware digest is {shown}, it was {was}")
    if old.flags != new.flags:
        texts.append(
            f"flags are {', '.join(new.flags or ()) or 'none'}, they were {', '.join(old.flags or ()) or 'none'}"
        )
    rest = ("fwids", "version", "svn", "flags", "der")
    if not texts and old.der != new.der and _without(old, rest) != _without(new, rest):
        texts.append("other fields are not as they were")
    return texts


def _without(info: TcbInfo, fields: Sequence[str]) -> TcbInfo:
    blank = TcbInfo(b"")
    return replace(info, **{name: getattr(blank, name) for name in fields})
