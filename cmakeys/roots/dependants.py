"""Which roots a device can rest on, asked of its chain alone: before a root changes its state somebody wants to know.

These are the rules of verification steps 4, 5 and 9 as far as they need no evidence: a root vouches for a device when
the chain ends in it, its constraints let the device in, and the leaf carries the kind of name that it asks for. What is
not known of a device is no reason to say that it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cmakeys.roots.root import LeafNameRule, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.chain import find_anchors
from cmakeys.x509.identity import PciIdentity, all_match, leaf_names

LeafRule = Callable[[Root], LeafNameRule]


def own_rule(root: Root) -> LeafNameRule:
    """The leaf-name rule of the root itself; a policy may have another one for it."""
    return root.constraints.leaf_name


@dataclass(frozen=True, slots=True)
class Dependant:
    """A device that may depend on a root.

    `chain` is in SPDM order, as the device showed it. `algorithm` and `version` are in SPDM's words (`ECDSA-P384`,
    `1.2`). None, or an empty text, is not known. `asked` is true for what the device says today; otherwise it is what
    it said when it was enrolled, and `remark` says why where that had been asked for.
    """

    name: str
    chain: tuple[Certificate, ...]
    identity: PciIdentity | None = None
    slot: int | None = None
    algorithm: str = ""
    version: str = ""
    asked: bool = False
    remark: str = ""


def misfits(root: Root, device: Dependant, rule: LeafRule = own_rule) -> tuple[str, ...]:
    """Why `root` may not vouch for `device` although the chain ends in it, in words; empty when it may."""
    faults = list(outside(root, device))
    limits = root.constraints
    check = limits.check(algorithm=device.algorithm or None, version=device.version or None)
    faults += check.faults
    if not device.chain:
        return tuple(faults)
    name_fault = _name_fault(rule(root), device.chain[-1], device.identity)
    return (*faults, name_fault) if name_fault else tuple(faults)


def outside(root: Root, device: Dependant) -> tuple[str, ...]:
    """The constraints of `root` that keep out the device itself, whatever chain it gets one day."""
    identity = device.identity
    return root.constraints.check(
        vendor=identity.vendor if identity else None,
        device=identity.device if identity else None,
        class_code=identity.class_code if identity else None,
        slot=device.slot,
    ).faults


def _name_fault(rule: LeafNameRule, leaf: Certificate, identity: PciIdentity | None) -> str:
    if rule is LeafNameRule.NONE:
        return ""
    try:
        names = leaf_names(leaf)
    except CertificateProblem as problem:
        return str(problem)
    if rule is LeafNameRule.DEVICE_INFO or (rule is LeafNameRule.EITHER and not names.pcie and names.device_info):
        return "" if names.device_info else "the leaf has no device-info name"
    if not names.pcie:
        return "the leaf has no PCIe name"
    return "" if identity is None or all_match(identity, names) else "the leaf names another PCI function"


def ends_in(root: Root, device: Dependant) -> bool:
    """Whether the chain of `device` ends in `root`, whatever its state and its constraints."""
    return bool(find_anchors(device.chain, (root.certificate,)))


def anchors_of(device: Dependant, known: RootSet, rule: LeafRule = own_rule) -> tuple[Root, ...]:
    """Every root of `known` that vouches for `device` now; none when something in its chain is denied or distrusted."""
    if not device.chain:
        return ()
    leaf = device.chain[-1]
    if any(known.denied(each, leaf) or known.distrusting(each) for each in device.chain):
        return ()
    ending = {each.der for each in find_anchors(device.chain, tuple(root.certificate for root in known.anchors()))}
    return tuple(
        root
        for root in known.anchors()
        if root.certificate.der in ending
        and not known.denied(root.certificate, leaf)
        and not known.distrusting(root.certificate)
        and not misfits(root, device, rule)
        and _believed(known, root, leaf)
    )


def _believed(known: RootSet, root: Root, leaf: Certificate) -> bool:
    until = known.believed_until(root)
    return until is None or leaf.not_before <= until
