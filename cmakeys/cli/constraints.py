"""Constraints as the command line spells them: ids in hex, names of algorithms and versions that exist."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.errors import UsageProblem
from cmakeys.roots.constraining import ConstraintWishes
from cmakeys.roots.root import LeafNameRule
from cmakeys.spdm.algorithms import SUPPORTED_BASE_ASYM, SUPPORTED_PQC_ASYM, algorithm_name


def constraint_wishes(
    pci_vendors: Sequence[str] | None,
    pci_devices: Sequence[str] | None,
    classes: Sequence[str] | None,
    slots: Sequence[int] | None,
    algorithms: Sequence[str] | None,
    versions: Sequence[str] | None,
    leaf_name: str | None,
    clear: Sequence[str] | None,
) -> ConstraintWishes:
    """The options of the command line as values; `UsageProblem` for one that makes no sense."""
    return ConstraintWishes(
        pci_vendors=_ids(pci_vendors, "--pci-vendor"),
        pci_devices=_ids(pci_devices, "--pci-device"),
        classes=None if not classes else frozenset(text.lower() for text in classes),
        slots=None if not slots else frozenset(slots),
        algorithms=_algorithms(algorithms),
        versions=None if not versions else frozenset(versions),
        leaf_name=leaf_name_rule(leaf_name),
        clear=frozenset(clear or ()),
    )


def leaf_name_rule(text: str | None) -> LeafNameRule | None:
    """The rule of that name; `UsageProblem` where there is none."""
    if text is None:
        return None
    for rule in LeafNameRule:
        if rule.value == text:
            return rule
    known = ", ".join(rule.value for rule in LeafNameRule)
    raise UsageProblem(f"{text[:40]!r} is not a rule", object="--leaf-name", hint=f"one of: {known}")


def _ids(texts: Sequence[str] | None, option: str) -> frozenset[int] | None:
    if not texts:
        return None
    for text in texts:
        if not 1 <= len(text) <= 4 or not set(text.lower()) <= set("0123456789abcdef"):
            raise UsageProblem(f"{text[:40]!r} is not a PCI id", object=option, hint="give up to four hex digits: 10de")
    return frozenset(int(text, 16) for text in texts)


def _algorithms(texts: Sequence[str] | None) -> frozenset[str] | None:
    if not texts:
        return None
    known = [algorithm_name(member) for every in (SUPPORTED_BASE_ASYM, SUPPORTED_PQC_ASYM) for member in every]
    for text in texts:
        if text not in known:
            raise UsageProblem(
                f"{text[:40]!r} is no signature algorithm that a device could use",
                object="--algorithm",
                hint=f"one of: {', '.join(known)}",
            )
    return frozenset(texts)
