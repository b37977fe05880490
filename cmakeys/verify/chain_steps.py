"""Steps 2 to 6 and 8: the certificate chain, from its form to the profile of its leaf.

Each function is one numbered step and is called only when the steps it builds on have passed (see `verifier.NEEDS`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.spdm.algorithms import algorithm_name
from cmakeys.verify.case import Case, failed, not_checked, passed, warned
from cmakeys.verify.clock import CLOCK_HINT
from cmakeys.verify.policy import Clock
from cmakeys.verify.verdict import Step
from cmakeys.x509.certificate import Certificate, same_key
from cmakeys.x509.chain import (
    ChainFault,
    check_leaf_profile,
    check_root_hash,
    check_signatures,
    check_structure,
    check_validity,
    find_anchor,
    why_no_anchor,
)
from cmakeys.x509.horizon import Nearness

MAX_FAULTS_SHOWN = 3


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _list(faults: Sequence[ChainFault] | Sequence[str]) -> str:
    texts = [fault if isinstance(fault, str) else fault.message for fault in faults]
    more = len(texts) - MAX_FAULTS_SHOWN
    return "; ".join(texts[:MAX_FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")


# --- step 2: chain well-formed ---------------------------------------------------------------------------------------


def step_2(case: Case) -> Step:
    """The chain can be read, has the form of one, and its RootHash is that of its root."""
    facts = case.facts
    if facts.chain_problem:
        return failed(2, facts.chain_problem, "the chain is damaged, or the device was never provisioned correctly")
    if not facts.certificates:
        return not_checked(2, facts.no_chain)
    faults = list(check_structure(facts.certificates))
    if facts.root_hash is not None and facts.hash is not None:
        anchor = _root_of_hash(case, facts.root_hash, facts.hash.digest)
        faults += check_root_hash(facts.certificates, facts.root_hash, facts.hash.digest, anchor)
    if faults:
        return failed(2, _list(faults), "the vendor has to provision a correct chain; ask for a firmware update")
    where = f"slot {facts.slot}" if facts.slot is not None else "the chain"
    others = f"; not judged: slot {', '.join(map(str, facts.other_slots))}" if facts.other_slots else ""
    return passed(2, f"{where} has {len(facts.certificates)} certificates, leaf {facts.certificates[-1].label}{others}")


def _root_of_hash(case: Case, root_hash: bytes, digest: Callable[[bytes], bytes]) -> Certificate | None:
    """The root that RootHash speaks of: the anchor, or a certificate of the anchor's name and key held beside it.

    A device that leaves the root out of its chain goes on to name the certificate that it was made with after that has
    been renewed, and the store keeps the old one, retired. The key is the same, so is the root.
    """
    if case.root is None:
        return None
    anchor = case.root.certificate
    for root in case.rootset.roots:
        held = root.certificate
        same = held.parsed.subject == anchor.parsed.subject and same_key(held, anchor)
        if same and digest(held.der) == root_hash:
            return held
    return anchor


# --- step 3: chain signatures ----------------------------------------------------------------------------------------


def step_3(case: Case) -> Step:
    """Every certificate is signed by the one above it."""
    faults = check_signatures(case.facts.certificates)
    if faults:
        return failed(3, _list(faults), "the chain is forged or damaged; do not trust this device")
    return passed(3, f"all {len(case.facts.certificates)} certificates are signed by their issuers")


# --- step 4: anchored in the RootSet ---------------------------------------------------------------------------------


def step_4(case: Case) -> Step:
    """A trusted root vouches for the chain, and nothing in the chain is denied or distrusted."""
    certificates, rootset = case.path, case.rootset
    leaf = certificates[-1]
    for certificate in certificates:
        entry = rootset.denied(certificate, leaf)
        if entry is not None:
            return _denied(certificate.label, entry)
        root = rootset.distrusting(certificate)
        if root is not None:
            return failed(
                4,
                f"the chain passes through the distrusted root {root.name} ({root.fingerprint[:16]}…)",
                "do not trust this device; see cmakeys roots show " + root.name,
            )
    if case.root is not None:
        return passed(4, f"anchored in {case.root.name} ({case.root.fingerprint[:16]}…)")
    return _not_anchored(case)


def denied_key(case: Case) -> Step | None:
    """The failure of step 4 for a device without certificates whose provisioned key is denied."""
    key = case.facts.key
    entry = case.rootset.denied_key(key.fingerprint) if key is not None else None
    return _denied("the provisioned public key", entry) if entry is not None else None


def _denied(what: str, entry: DenyEntry) -> Step:
    reason = f": {entry.reason}" if entry.reason else ""
    after = f" for what is issued after {_day(entry.after)}" if entry.after else ""
    return failed(
        4,
        f"{what} is denied by its {entry.kind.value} {entry.sha256[:16]}…{after}{reason}",
        "a deny entry always wins; see cmakeys deny list",
    )


def _not_anchored(case: Case) -> Step:
    certificates = case.facts.certificates
    others = [root for root in case.rootset.roots if not root.state.anchors]
    found = find_anchor(certificates, [root.certificate for root in others])
    root = next((root for root in others if root.certificate == found), None)
    if root is not None:
        return failed(
            4,
            f"the chain ends in {root.name} ({root.fingerprint[:16]}…), which is {root.state.value}",
            f"see cmakeys roots show {root.name}",
        )
    anchors = [root.certificate for root in case.rootset.anchors()]
    reason = why_no_anchor(certificates, anchors)
    if any(anchor.parsed.subject == certificates[0].parsed.issuer for anchor in anchors):
        return failed(4, reason, "somebody certified this device under the name of a root you trust: do not trust it")
    return failed(4, reason, "if the device's vendor is to be trusted: cmakeys roots add FILE")


# --- step 5: life cycle and constraints ------------------------------------------------------------------------------


def step_5(case: Case) -> Step:
    """The root may still vouch, and for a device like this one."""
    root, leaf = case.root, case.facts.certificates[-1]
    if root is None:
        return not_checked(5, "no trusted root vouches for the chain")
    until = case.rootset.believed_until(root)
    if until is not None and leaf.not_before > until:
        return failed(
            5,
            f"{root.name} is not believed for leaves after {_day(until)}, this one is of {_day(leaf.not_before)}",
            "do not trust this device: its leaf is from after the day up to which the root is believed",
        )
    identity, negotiation = case.identity, case.facts.negotiation
    asym = negotiation.asym if negotiation else None
    check = root.constraints.check(
        vendor=identity.vendor if identity else None,
        device=identity.device if identity else None,
        class_code=identity.class_code if identity else None,
        slot=case.facts.slot,
        algorithm=algorithm_name(asym) if asym is not None else None,
        version=str(negotiation.version) if negotiation else None,
    )
    if check.faults:
        return failed(
            5, f"{root.name} may not vouch for it: {_list(check.faults)}", f"see cmakeys roots show {root.name}"
        )
    unknown = f"; not known here: {', '.join(check.unchecked)}" if check.unchecked else ""
    if root.state is LifeCycle.RETIRING:
        return warned(
            5,
            f"{root.name} is retiring{unknown}",
            "move the device to its vendor's new root before this one retires",
        )
    return passed(5, f"{root.name} is {root.state.value} and its constraints hold{unknown}")


# --- step 6: dates ---------------------------------------------------------------------------------------------------


def step_6(case: Case) -> Step:
    """Every certificate, the anchor included, is valid at the time that the policy's clock gives."""
    clock = case.policy.clock
    if clock is Clock.IGNORE:
        return not_checked(6, "the policy ignores dates")
    if case.clock_fault:
        return not_checked(6, case.clock_fault, CLOCK_HINT)
    certificates = case.needed
    leaf = certificates[-1]
    at = case.now if clock is Clock.NOW else leaf.not_before
    faults = check_validity(certificates, at)
    if faults:
        return failed(
            6,
            _list(faults),
            "check the machine's clock; for an expired chain ask the vendor, or set clock: at-issuance in the policy",
        )
    if clock is Clock.AT_ISSUANCE:
        return passed(6, f"all certificates were valid when the leaf was issued, {_day(leaf.not_before)}")
    ending = sorted(
        (certificate for certificate in certificates if not certificate.never_expires),
        key=lambda certificate: certificate.not_after,
    )
    if not ending:
        return passed(6, "all certificates are valid and none of them expires")
    near = {certificate: case.policy.expiry.nearness(certificate, case.now) for certificate in ending}
    for first in ending:
        if near[first] is Nearness.FAIL:
            return failed(
                6,
                f"{_expires(first, case.now)}, and the policy wants more than {case.policy.expiry.fail}",
                "get the vendor's update now, or change expiry in the policy",
            )
    for first in ending:
        if near[first] is Nearness.WARN:
            return warned(6, _expires(first, case.now), "plan the vendor's update, or the check will fail from then on")
    first = ending[0]
    return passed(6, f"all certificates are valid, the first to expire on {_day(first.not_after)}")


def _expires(certificate: Certificate, now: datetime) -> str:
    days = (certificate.not_after - now).days
    return f"{certificate.label} expires on {_day(certificate.not_after)}, in {days} days"


# --- step 8: the leaf's profile --------------------------------------------------------------------------------------


def step_8(case: Case) -> Step:
    """The leaf is one for SPDM responders."""
    negotiation = case.facts.negotiation
    leaf = case.facts.certificates[-1]
    minor = negotiation.version.minor if negotiation else None
    faults = check_leaf_profile(leaf, spdm_minor=minor, alias=case.facts.alias)
    if faults:
        return failed(8, _list(faults), "the vendor has to issue a leaf that SPDM allows")
    return passed(8, f"the leaf ({leaf.key_description}) is one for an SPDM responder")
