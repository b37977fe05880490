"""Which device hangs on which root: the findings of a run as a small forest, whatever the size of the fleet.

A device stands below the last certificate that its vendor issued above the device's own one. What a device that did not
pass says about its chain is a claim, and is marked as one. Names and chains come from devices that may want the picture
to be useless, so it is bounded: long chains are shortened in their middle, many devices of one issuer become a number,
and issuers beyond the bound become one branch. Trouble is kept by name before what is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cmakeys.roots.root import Root
from cmakeys.standing import Finding, worst
from cmakeys.verify.observation import Link
from cmakeys.verify.verdict import Outcome

MAX_ISSUERS = 40
"""Issuers of devices in one picture."""

MAX_LEVELS = 3
"""Certificates between a root and the devices."""

MAX_SINGLE = 12
"""Devices of one issuer that are all drawn by name."""

MAX_NAMED = 5
"""Devices in trouble that are drawn by name where the others are counted, for each outcome."""

SEVERITY = (Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.UNSUPPORTED, Outcome.DEGRADED, Outcome.TRUSTED)
"""The outcomes, the worst first, as `worst` weighs them."""


class Kind(Enum):
    """What a node stands for."""

    ROOT = "root"
    FOREIGN = "root that is not trusted here"
    UNSEEN = "no chain"
    KEY = "provisioned key"
    ISSUER = "intermediate"
    MORE = "more"
    DEVICE = "device"
    DEVICES = "devices"


@dataclass(frozen=True, slots=True)
class Node:
    """A box of the picture: what it is called, a second line, what hangs on it, and the worst outcome below.

    `count` is the number of devices that it stands for. `claimed` says that nothing but the word of a device that did
    not pass puts it where it is.
    """

    kind: Kind
    label: str
    note: str
    outcome: Outcome
    count: int
    claimed: bool = False
    children: tuple[Node, ...] = ()

    @property
    def worst_count(self) -> int:
        """How many of its devices have the worst outcome."""
        if not self.children:
            return self.count
        return sum(child.worst_count for child in self.children if child.outcome is self.outcome)


@dataclass(frozen=True, slots=True)
class Step:
    """One certificate above a device: what tells it from others, and how it is drawn."""

    key: str
    kind: Kind
    label: str
    note: str = ""


Path = tuple[Step, ...]


@dataclass(slots=True)
class _Branch:
    step: Step
    branches: dict[str, _Branch] = field(default_factory=dict)
    devices: list[Finding] = field(default_factory=list)


def forest(findings: Sequence[Finding], roots: Iterable[Root]) -> tuple[Node, ...]:
    """The trees of a run: the trusted roots by name, then what devices claim, then what showed no chain."""
    known = {root.fingerprint: root for root in roots}
    groups: dict[tuple[str, ...], tuple[Path, list[Finding]]] = {}
    for one in findings:
        path = path_of(one, known)
        groups.setdefault(tuple(step.key for step in path), (path, []))[1].append(one)
    ranked = sorted(groups.items(), key=lambda item: (_rank(item[1][1]), -len(item[1][1]), item[0]))
    top: dict[str, _Branch] = {}
    for _, (path, devices) in ranked[:MAX_ISSUERS]:
        _hang(top, path, devices)
    rest = [one for _, (_, devices) in ranked[MAX_ISSUERS:] for one in devices]
    if rest:
        number = len(ranked) - MAX_ISSUERS
        _hang(top, (Step("", Kind.MORE, f"{number} more issuer{'s'[: number != 1]}"),), rest)
    order = {Kind.ROOT: 0, Kind.KEY: 1, Kind.FOREIGN: 2, Kind.UNSEEN: 3, Kind.MORE: 4}
    branches = sorted(top.values(), key=lambda one: (order[one.step.kind], one.step.label, one.step.key))
    return tuple(_node(branch) for branch in branches)


def path_of(one: Finding, known: dict[str, Root]) -> Path:
    """The certificates above a device, its root first."""
    seen, anchor = one.seen, one.verdict.root_fingerprint
    chain = seen.chain if seen else ()
    places = {link.sha256: place for place, link in enumerate(chain)}
    above = chain[: seen.device_index] if seen else ()
    if anchor is not None:
        own = above[places[anchor] + 1 :] if anchor in places else above
        root = known.get(anchor)
        step = _root_step(root) if root else Step(anchor, Kind.ROOT, one.verdict.root or anchor, "root")
        return (step, *_levels(own))
    if one.verdict.key_fingerprint is not None:
        return (Step("", Kind.KEY, "no certificates", "provisioned public keys"),)
    if not chain:
        return (Step("", Kind.UNSEEN, "no chain was seen", "issuer unknown"),)
    first = chain[0]
    root = known.get(first.sha256)
    step = _root_step(root) if root else Step(first.sha256, Kind.FOREIGN, first.label, "unknown root")
    return (step, *_levels(above[1:]))


def _root_step(root: Root) -> Step:
    return Step(root.fingerprint, Kind.ROOT, root.name, f"{root.state.value} root")


def _levels(links: Sequence[Link]) -> Path:
    steps = [Step(link.sha256, Kind.ISSUER, link.label) for link in links]
    if len(steps) <= MAX_LEVELS:
        return tuple(steps)
    left_out = steps[1 : -(MAX_LEVELS - 2)]
    between = Step(" ".join(step.key for step in left_out), Kind.MORE, f"{len(left_out)} more certificates")
    return (steps[0], between, *steps[-(MAX_LEVELS - 2) :])


def _hang(level: dict[str, _Branch], path: Path, devices: Sequence[Finding]) -> None:
    branch: _Branch | None = None
    for step in path:
        branch = level.setdefault(f"{step.kind.value} {step.key}", _Branch(step))
        level = branch.branches
    if branch is not None:
        branch.devices += devices


def _rank(devices: Iterable[Finding]) -> int:
    return SEVERITY.index(worst(one.outcome for one in devices))


def _node(branch: _Branch) -> Node:
    ordered = sorted(branch.branches.values(), key=lambda one: (one.step.label, one.step.key))
    children = (*leaves(branch.devices), *(_node(one) for one in ordered))
    outcome = worst(child.outcome for child in children)
    step = branch.step
    claimed = step.kind is not Kind.ROOT and all(child.claimed for child in children)
    return Node(step.kind, step.label, step.note, outcome, sum(one.count for one in children), claimed, children)


def leaves(devices: Sequence[Finding]) -> tuple[Node, ...]:
    """The devices of one issuer, the worst first: by name where they are few, and else trouble by name."""
    nodes: list[Node] = []
    for outcome in SEVERITY:
        these = sorted((one for one in devices if one.outcome is outcome), key=lambda one: one.name)
        if len(devices) <= MAX_SINGLE:
            named = len(these)
        elif outcome is Outcome.TRUSTED:
            named = 0
        else:
            named = len(these) if len(these) == MAX_NAMED + 1 else min(len(these), MAX_NAMED)
        nodes += [Node(Kind.DEVICE, one.name, "", outcome, 1, not one.verdict.outcome.healthy) for one in these[:named]]
        rest = these[named:]
        if rest:
            label = f"{len(rest):,} {'more ' if named else ''}{outcome.value}"
            nodes.append(Node(Kind.DEVICES, label, "", outcome, len(rest), not outcome.healthy))
    return tuple(nodes)
