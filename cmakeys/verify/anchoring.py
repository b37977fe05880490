"""Which root judges a chain that several would vouch for?

A vendor that renews a root keeps its name and key, so a chain that ends in one of the two ends in both, and each may
have constraints of its own. The chain is good if one of them admits the device: that one is taken, before one that is
too narrow, one whose dates do not hold, or one that is retiring. Where none of them admits it, the first says why.
"""

from __future__ import annotations

from datetime import datetime

from cmakeys.roots.dependants import Dependant, misfits
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.algorithms import algorithm_name
from cmakeys.verify.facts import Facts
from cmakeys.verify.policy import Clock, Policy
from cmakeys.x509.chain import check_validity, find_anchors
from cmakeys.x509.identity import PciIdentity


def as_dependant(facts: Facts, identity: PciIdentity | None) -> Dependant:
    """The device behind the facts, as the rules about roots see it."""
    negotiation = facts.negotiation
    asym = negotiation.asym if negotiation else None
    return Dependant(
        "",
        facts.certificates,
        identity,
        facts.slot,
        algorithm_name(asym) if asym is not None else "",
        str(negotiation.version) if negotiation else "",
    )


def anchor_root(
    facts: Facts, rootset: RootSet, policy: Policy, now: datetime | None, identity: PciIdentity | None
) -> Root | None:
    """The trusted root that vouches for the chain, the best one where several do; None without one.

    `now` is the time of the run, None where the clock is wrong; whether dates are held against it is the policy's
    affair.
    """
    by_certificate = {root.certificate.der: root for root in rootset.anchors()}
    found = find_anchors(facts.certificates, [root.certificate for root in by_certificate.values()])
    roots = [by_certificate[certificate.der] for certificate in found]
    if len(roots) < 2:
        return roots[0] if roots else None
    device = as_dependant(facts, identity)
    at = {Clock.NOW: now, Clock.AT_ISSUANCE: device.chain[-1].not_before}.get(policy.clock)

    def rank(root: Root) -> tuple[bool, bool, bool]:
        return (
            bool(misfits(root, device, policy.leaf_rule)),
            at is not None and bool(check_validity((root.certificate,), at)),
            root.state is not LifeCycle.TRUSTED,
        )

    return min(roots, key=rank)
