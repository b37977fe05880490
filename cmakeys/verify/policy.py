"""What a machine demands of a device, as one value with safe defaults.

A policy can allow less than the defaults, or more; what it cannot do is switch off the steps without which a verdict
says nothing: a well-formed chain (2), its signatures (3), its anchor (4), and a proof that the device holds the leaf's
key (11 or 12). Dates can be left unchecked, because machines without a clock exist; a signature cannot.

In a configuration file a policy is the section `policy`:

    policy:
      versions: [1.1, 1.2, 1.3, 1.4]
      algorithms: [ECDSA-P384, ECDSA-P521]      # signature algorithms by their SPDM names
      hashes: [SHA-384, SHA-512]
      clock: now                                # now, at-issuance, ignore
      expiry: {warn: 30d, fail: 0d}             # before the end of a chain: degraded, then rejected; or as 10%
      root-expiry: {warn: 90d, fail: 0d}        # the same for the roots themselves: lint, status
      leaf-name: by-root                        # pcie, device-info, either, none; by-root: as each root's entry says
      leaf-names: {nvidia: device-info}         # per root, by its name
      required-steps: [1, 2, 3, 4, 5, 6, 8, 11] # not checked is not good enough here
      required-report-steps: [2, 3, 4, 12]      # the same for a vendor's signed report
      revocation: use-if-present                # off; require: what nothing is known about is not good enough
      revocation-horizon: 7d                    # how long after its time a list still counts, with a warning
      kernel-view: off                          # simulate: apply the kernel's rules; oracle: also ask this kernel
      advisory-steps: [13]                      # a failure here gives `degraded`, not `rejected`
      session: off                              # prefer, require: ask for measurements in a session
      require-measurements: false               # refuse a device that does not sign measurements
      measurements: {all: {16: monotone}}       # what may differ from the reference: see measurement_rules
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, Flag
from types import MappingProxyType
from typing import TypeVar

from cmakeys.errors import UsageProblem
from cmakeys.evidence.model import EvidenceKind
from cmakeys.roots.document import Node, read_document
from cmakeys.roots.root import LeafNameRule, Root
from cmakeys.spdm.algorithms import (
    SUPPORTED_BASE_ASYM,
    SUPPORTED_BASE_HASH,
    SUPPORTED_PQC_ASYM,
    BaseAsym,
    BaseHash,
    PqcAsym,
    algorithm_name,
)
from cmakeys.spdm.attesting import SessionUse
from cmakeys.spdm.codes import Version
from cmakeys.spdm.offer import Offer
from cmakeys.verify.measurement_rules import RulesByRoot, read_rules
from cmakeys.x509.horizon import ROOT_EXPIRY, Expiry, Horizon

_Algorithms = TypeVar("_Algorithms", bound=Flag)

ALL_STEPS = frozenset(range(1, 15))
INDISPENSABLE_STEPS = frozenset({2, 3, 4})
"""Steps that must pass whatever the policy says; beside them, 11 or 12 must."""

STEPS_OF_CERTIFICATES = INDISPENSABLE_STEPS | {5, 6, 8}
"""Steps that have nothing to look at where a device is known by a provisioned public key, and are then not required.

Revocation and the leaf's name are not among them: whoever requires those steps wants no device without.
"""

NEVER_ADVISORY_STEPS = INDISPENSABLE_STEPS | {1, 11, 12}
"""Steps whose failure means that the evidence is forged or unusable, so that it always rejects."""


class Clock(Enum):
    """At what time certificates must be valid: now, when the leaf was issued, or never mind."""

    NOW = "now"
    AT_ISSUANCE = "at-issuance"
    IGNORE = "ignore"


class RevocationRule(Enum):
    """What revocation lists are to a check: nothing, what they say where there are any, or a must."""

    OFF = "off"
    USE_IF_PRESENT = "use-if-present"
    REQUIRE = "require"


class KernelViewRule(Enum):
    """How far step 14 goes: not at all, by the kernel's rules applied here, or by asking the running kernel as well.

    Off by default: most kernels know nothing of CMA yet, and a chain that such a kernel would refuse one day (for the
    PCI name in its leaf that few vendors write) is no reason to call a device degraded every night.
    """

    OFF = "off"
    SIMULATE = "simulate"
    ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Policy:
    """See the head of this module. Raises `UsageProblem` for a policy that makes no sense."""

    versions: frozenset[Version] = frozenset(Version)
    asym: BaseAsym = SUPPORTED_BASE_ASYM
    pqc: PqcAsym = SUPPORTED_PQC_ASYM
    hashes: BaseHash = SUPPORTED_BASE_HASH
    clock: Clock = Clock.NOW
    expiry: Expiry = Expiry()
    root_expiry: Expiry = ROOT_EXPIRY
    revocation: RevocationRule = RevocationRule.USE_IF_PRESENT
    revocation_horizon: Horizon = Horizon(timedelta(days=7))
    leaf_name: LeafNameRule | None = None
    leaf_names: tuple[tuple[str, LeafNameRule], ...] = ()
    required: frozenset[int] = frozenset({1, 2, 3, 4, 5, 6, 8, 11})
    required_of_reports: frozenset[int] = frozenset({2, 3, 4, 12})
    advisory: frozenset[int] = frozenset()
    session: SessionUse = SessionUse.OFF
    require_measurements: bool = False
    measurements: RulesByRoot = ()
    kernel_view: KernelViewRule = KernelViewRule.OFF

    def __post_init__(self) -> None:
        if not self.versions:
            raise UsageProblem("no SPDM version is allowed", object="policy", hint="allow at least one, as 1.2")
        if not (self.asym or self.pqc) or not self.hashes:
            raise UsageProblem("no algorithm is allowed", object="policy", hint="allow ECDSA-P384 and SHA-384, say")
        for name, steps in (
            ("required-steps", self.required),
            ("required-report-steps", self.required_of_reports),
            ("advisory-steps", self.advisory),
        ):
            if not steps <= ALL_STEPS:
                raise UsageProblem("steps are numbered 1 to 14", object=f"policy {name}")
        forbidden = self.advisory & (NEVER_ADVISORY_STEPS | self.required | self.required_of_reports)
        if forbidden:
            numbers = ", ".join(map(str, sorted(forbidden)))
            raise UsageProblem(
                f"step {numbers} cannot be advisory",
                object="policy advisory-steps",
                hint="a step is required or advisory, and 1, 2, 3, 4, 11 and 12 always count",
            )

        if self.revocation is RevocationRule.OFF and 7 in self.required | self.required_of_reports:
            raise UsageProblem(
                "step 7 is required, and revocation is off",
                object="policy revocation",
                hint="choose revocation: require, or take step 7 out of the required steps",
            )

    def required_steps(self, kind: EvidenceKind) -> frozenset[int]:
        """The steps that must have been checked for this kind of evidence."""
        steps = self.required if kind is EvidenceKind.CONVERSATION else self.required_of_reports
        if self.require_measurements:
            steps |= {12}
        if self.revocation is RevocationRule.REQUIRE:
            steps |= {7}
        if self.clock is Clock.IGNORE:
            steps -= {6}
        return steps | INDISPENSABLE_STEPS

    def leaf_rule(self, root: Root) -> LeafNameRule:
        """The leaf-name rule for a chain that ends in `root`: the one for its name, the default one, or its own."""
        return dict(self.leaf_names).get(root.name) or self.leaf_name or root.constraints.leaf_name

    def allows(self, algorithm: BaseAsym | PqcAsym) -> bool:
        """Whether this signature algorithm is allowed."""
        return bool(algorithm & self.asym) if isinstance(algorithm, BaseAsym) else bool(algorithm & self.pqc)

    def offer(self) -> Offer:
        """What a requester under this policy offers: nothing that it would have to refuse."""
        return Offer(versions=self.versions, base_asym=self.asym, pqc_asym=self.pqc, base_hash=self.hashes)

    def settings(self) -> dict[str, object]:
        """The policy under the keys of a configuration file, as JSON has them."""
        return {
            "versions": [str(version) for version in sorted(self.versions)],
            "algorithms": _names(self.asym) + _names(self.pqc),
            "hashes": _names(self.hashes),
            "clock": self.clock.value,
            "expiry": _expiry_setting(self.expiry),
            "root-expiry": _expiry_setting(self.root_expiry),
            "revocation": self.revocation.value,
            "revocation-horizon": str(self.revocation_horizon),
            "leaf-name": self.leaf_name.value if self.leaf_name else BY_ROOT,
            "leaf-names": {name: rule.value for name, rule in self.leaf_names},
            "required-steps": sorted(self.required),
            "required-report-steps": sorted(self.required_of_reports),
            "kernel-view": self.kernel_view.value,
            "advisory-steps": sorted(self.advisory),
            "session": self.session.value,
            "require-measurements": self.require_measurements,
            "measurements": {name: rules.setting() for name, rules in self.measurements},
        }


# --- from a configuration file ---------------------------------------------------------------------------------------

BY_ROOT = "by-root"
SECTION = "policy"


def read_policy(data: bytes, source: str, base: Policy | None = None) -> Policy:
    """The policy in a YAML document whose only section is `policy`, over `base`.

    Raises `DocumentProblem`, naming file and line, for anything that is not understood.
    """
    section = read_document(data, source).mapping(frozenset({SECTION}))[SECTION]
    return apply_settings(base or Policy(), section)


def apply_settings(policy: Policy, section: Node) -> Policy:
    """`policy` with the settings of a `policy` section in place of its own. Raises `DocumentProblem`."""
    changes: dict[str, object] = {}
    for key, node in section.mapping(frozenset(), frozenset(SETTINGS)).items():
        changes |= SETTINGS[key](node)
    try:
        return replace(policy, **changes)  # type: ignore[arg-type]  # each reader gives its field's type
    except UsageProblem as problem:
        raise section.problem(f"{problem.object}: {problem.message}", problem.hint) from None


def _versions(node: Node) -> dict[str, object]:
    known = {str(version): version for version in Version}
    return {"versions": frozenset(known[_one_of(item, known)] for item in node.items())}


def _algorithms(node: Node) -> dict[str, object]:
    asym, pqc = _by_name(SUPPORTED_BASE_ASYM), _by_name(SUPPORTED_PQC_ASYM)
    chosen, chosen_pqc = BaseAsym(0), PqcAsym(0)
    for item in node.items():
        name = _one_of(item, {**asym, **pqc})
        chosen |= asym.get(name, BaseAsym(0))
        chosen_pqc |= pqc.get(name, PqcAsym(0))
    return {"asym": chosen, "pqc": chosen_pqc}


def _hashes(node: Node) -> dict[str, object]:
    known = _by_name(SUPPORTED_BASE_HASH)
    chosen = BaseHash(0)
    for item in node.items():
        chosen |= known[_one_of(item, known)]
    return {"hashes": chosen}


def _expiry(field_name: str) -> Callable[[Node], dict[str, object]]:
    def read(node: Node) -> dict[str, object]:
        ends = node.mapping(frozenset({"warn", "fail"}))
        try:
            return {field_name: Expiry(_horizon(ends["warn"]), _horizon(ends["fail"]))}
        except UsageProblem as problem:
            raise node.problem(problem.message, problem.hint) from None

    return read


def _horizon(node: Node) -> Horizon:
    try:
        return Horizon.parse(node.text())
    except UsageProblem as problem:
        raise node.problem(problem.message, problem.hint) from None


def _expiry_setting(expiry: Expiry) -> dict[str, str]:
    return {"warn": str(expiry.warn), "fail": str(expiry.fail)}


def _leaf_name(node: Node) -> dict[str, object]:
    return {"leaf_name": None if node.text() == BY_ROOT else node.member(LeafNameRule)}


def _leaf_names(node: Node) -> dict[str, object]:
    if not isinstance(node.value, Mapping):
        raise node.problem("root names with a rule each are expected here", hint="as: {nvidia: device-info}")
    return {"leaf_names": tuple((name, item.member(LeafNameRule)) for name, item in sorted(node.value.items()))}


def _steps(field_name: str) -> Callable[[Node], dict[str, object]]:
    def read(node: Node) -> dict[str, object]:
        return {field_name: frozenset(item.number() for item in node.items())}

    return read


def _require_measurements(node: Node) -> dict[str, object]:
    return {"require_measurements": _one_of(node, {"true": 1, "false": 0}) == "true"}


SETTINGS: Mapping[str, Callable[[Node], dict[str, object]]] = MappingProxyType(
    {
        "versions": _versions,
        "algorithms": _algorithms,
        "hashes": _hashes,
        "clock": lambda node: {"clock": node.member(Clock)},
        "expiry": _expiry("expiry"),
        "root-expiry": _expiry("root_expiry"),
        "revocation": lambda node: {"revocation": node.member(RevocationRule)},
        "revocation-horizon": lambda node: {"revocation_horizon": _horizon(node)},
        "leaf-name": _leaf_name,
        "leaf-names": _leaf_names,
        "required-steps": _steps("required"),
        "required-report-steps": _steps("required_of_reports"),
        "kernel-view": lambda node: {"kernel_view": node.member(KernelViewRule)},
        "advisory-steps": _steps("advisory"),
        "session": lambda node: {"session": node.member(SessionUse)},
        "require-measurements": _require_measurements,
        "measurements": lambda node: {"measurements": read_rules(node)},
    }
)
"""The keys of the section `policy`, each with the reader that gives the fields of `Policy` it sets."""


def _one_of(node: Node, known: Mapping[str, object]) -> str:
    text = node.text()
    if text not in known:
        raise node.problem(f"{text[:40]!r} is not known here", hint=f"one of: {', '.join(known)}")
    return text


def _names(algorithms: Flag) -> list[str]:
    return list(_by_name(algorithms))


def _by_name(algorithms: _Algorithms) -> dict[str, _Algorithms]:
    return {algorithm_name(member): member for member in algorithms}
