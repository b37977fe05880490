"""Steps 1 and 9 to 12: the device itself, from what it negotiated to what it measured.

Each function is one numbered step and is called only when the steps it builds on have passed (see `verifier.NEEDS`).
"""

from __future__ import annotations

from cmakeys.errors import EvidenceProblem
from cmakeys.evidence.model import EvidenceKind
from cmakeys.roots.root import LeafNameRule, Root
from cmakeys.spdm.algorithms import algorithm_name
from cmakeys.spdm.attesting import SessionUse
from cmakeys.spdm.signing import Statement
from cmakeys.verify.case import Case, failed, not_checked, passed
from cmakeys.verify.negotiation import Negotiation
from cmakeys.verify.verdict import Step
from cmakeys.x509.certificate import CertificateProblem
from cmakeys.x509.identity import LeafNames, PciIdentity, all_match, differs_only_in_case, leaf_names
from cmakeys.x509.pin import Pin, PinKind, compute_pin

CONTENT_CHANGED = 1
"""The value of MEASUREMENTS' "content changed" bits that says so."""


# --- step 1: negotiation ---------------------------------------------------------------------------------------------


def step_1(case: Case) -> Step:
    """Version and algorithms are allowed, the highest common version was chosen, and nothing got weaker."""
    negotiation = case.facts.negotiation
    if negotiation is None:
        return not_checked(1, "the evidence shows no negotiation")
    faults = _outside_policy(case, negotiation)
    if faults:
        return failed(1, "; ".join(faults), "allow it in the policy if the device is to be accepted with it")
    if not case.facts.negotiated:
        if case.evidence.kind is EvidenceKind.SIGNED_REPORT:
            return not_checked(1, f"a report carries no negotiation; what it shows, {negotiation}, is within policy")
        return not_checked(1, f"the conversation ends before the algorithms are chosen ({negotiation})")
    common = case.facts.offered_versions & case.policy.versions
    if common and negotiation.version < max(common):
        return failed(
            1,
            f"SPDM {negotiation.version} was chosen though the device and the policy have {max(common)}",
            "someone between may have lowered the version; collect the evidence again",
        )
    before = case.enrolment.negotiation if case.enrolment else None
    weaker = negotiation.weaker_than(before) if before else ()
    if weaker:
        return failed(
            1,
            f"weaker than last time: {'; '.join(weaker)}",
            "if the device was changed on purpose, enrol it again",
        )
    return passed(1, f"{negotiation}")


def _outside_policy(case: Case, negotiation: Negotiation) -> list[str]:
    policy, faults = case.policy, []
    if negotiation.version not in policy.versions:
        faults.append(f"SPDM {negotiation.version} is not allowed")
    if negotiation.asym is not None and not policy.allows(negotiation.asym):
        faults.append(f"{algorithm_name(negotiation.asym)} signatures are not allowed")
    if negotiation.base_hash is not None and not negotiation.base_hash & policy.hashes:
        faults.append(f"{algorithm_name(negotiation.base_hash)} is not allowed")
    return faults


# --- step 9: the leaf's names ----------------------------------------------------------------------------------------


def step_9(case: Case) -> Step:
    """The leaf names this function, by the rule for the root that vouches for it."""
    if case.root is None:
        return not_checked(9, "no trusted root vouches for the chain")
    rule = case.policy.leaf_rule(case.root)
    if rule is LeafNameRule.NONE:
        return not_checked(9, f"devices of {case.root.name} need no name (leaf-name: none)")
    try:
        names = leaf_names(case.facts.certificates[-1])
    except CertificateProblem as problem:
        return failed(9, str(problem), "the vendor has to issue a leaf with a readable name")
    if rule is LeafNameRule.DEVICE_INFO or (rule is LeafNameRule.EITHER and not names.pcie and names.device_info):
        return _device_info(case, names, case.root)
    return _pcie_name(case, names, case.root)


def _device_info(case: Case, names: LeafNames, root: Root) -> Step:
    enrolled = case.enrolment.device_info if case.enrolment else ()
    if not names.device_info:
        return failed(9, f"the leaf has no device-info name, which devices of {root.name} must have", _rule_hint(root))
    shown = ", ".join(names.device_info)
    if enrolled and sorted(enrolled) != sorted(names.device_info):
        return failed(
            9,
            f"the leaf names {shown}, the device was enrolled as {', '.join(enrolled)}",
            "another device answers here; if it was replaced on purpose, enrol it again",
        )
    as_enrolled = " as when it was enrolled" if enrolled else ", a name of a product, not of a function"
    return passed(9, f"the leaf names {shown}{as_enrolled}")


def _pcie_name(case: Case, names: LeafNames, root: Root) -> Step:
    identity = case.identity
    if identity is None:
        return not_checked(9, f"{case.evidence.device} has no PCI configuration space to compare the leaf's name with")
    origin = "the function" if case.evidence.identity is not None else "the enrolled function"
    if not names.pcie:
        return failed(9, f"the leaf has no PCIe name, which devices of {root.name} must have", _rule_hint(root))
    if all_match(identity, names):
        return passed(9, f"the leaf names {origin}, {identity.san_string()}")
    wrong = next(name for name in names.pcie if name != identity.san_string())
    return failed(9, f"the leaf names {wrong}, {origin} is {identity.san_string()}", _name_hint(identity, wrong))


def _name_hint(identity: PciIdentity, name: str) -> str:
    if differs_only_in_case(identity, name):
        return "the names differ in case only; PCIe wants lower-case hex, so the vendor's leaf is wrong"
    return "a certificate of another device is presented, or the function is not what it says"


def _rule_hint(root: Root) -> str:
    return f"another kind of name can be allowed for this root: leaf-names: {{{root.name}: either}} in the policy"


# --- step 10: same device --------------------------------------------------------------------------------------------


def step_10(case: Case) -> Step:
    """The chain has the pin that the enrolment chose, or the device signed with the key that it was enrolled with."""
    if case.enrolment is None:
        return not_checked(10, "the device is not enrolled")
    pin = case.enrolment.pin
    if case.facts.by_key:
        return _provisioned_key(case, pin)
    if pin.kind is PinKind.ROOT and case.root is None:
        return not_checked(10, "step 4 failed")
    try:
        actual = compute_pin(pin.kind, case.facts.certificates, case.root.certificate if case.root else None)
    except CertificateProblem as problem:
        return failed(10, str(problem))
    if actual == pin:
        return passed(10, f"{pin.kind.value} pin {pin.value[:16]}… as enrolled")
    return failed(
        10,
        f"{pin.kind.value} pin is {actual.value[:16]}…, enrolled was {pin.value[:16]}…",
        _PIN_HINTS[pin.kind],
    )


def _provisioned_key(case: Case, pin: Pin) -> Step:
    key = case.facts.key
    if key is None:
        return not_checked(10, "the public key of the device is not known")
    if pin != Pin(PinKind.PUBLIC_KEY, key.fingerprint):
        return failed(
            10,
            f"judged was by the public key {key.fingerprint[:16]}…, enrolled was {pin.kind.value} {pin.value[:16]}…",
            _PIN_HINTS[PinKind.PUBLIC_KEY],
        )
    if not case.proofs.any_holds(case.facts):
        return not_checked(10, "nothing was signed with the public key that was enrolled")
    return passed(10, f"{pin.kind.value} pin {pin.value[:16]}… as enrolled")


_PIN_HINTS = {
    PinKind.ROOT: "the device belongs to another vendor's root now; if that is intended, enrol it again",
    PinKind.DEVICE_CERTIFICATE: "another device answers here; if it was replaced on purpose, enrol it again",
    PinKind.LEAF: "a firmware update changes the leaf of many devices; after one, enrol it again, best by device-cert",
    PinKind.CHAIN: "any change of the chain does this, also a firmware update; after one, enrol it again",
    PinKind.PUBLIC_KEY: "another device answers here; if it was replaced on purpose, enrol it again with its key",
}


# --- step 11: proof of possession ------------------------------------------------------------------------------------


def step_11(case: Case) -> Step:
    """CHALLENGE_AUTH is signed by the leaf's key over this conversation and the requester's nonce.

    Where there was no CHALLENGE, the signature that opened a session stands for it.
    """
    statement = case.facts.challenge
    if statement is None and case.facts.sessions:
        return _session_opened(case, case.facts.sessions[-1], case.proofs.sessions[-1])
    if statement is None:
        return not_checked(11, case.facts.no_challenge)
    problem = _nonce_problem(case, statement) or _signature_problem(case.proofs.challenge)
    if problem:
        return failed(11, *problem)
    nonce = "the expected nonce" if case.expected_nonce is not None else "its requester's nonce"
    by_whom = f"{_holder(case)} {algorithm_name(statement.asym)} key"
    return passed(11, f"CHALLENGE_AUTH over {nonce} is signed with {by_whom}{_which(case)}")


def _session_opened(case: Case, statement: Statement, error: EvidenceProblem | None) -> Step:
    problem = _nonce_problem(case, statement) or _signature_problem(error)
    if problem:
        return failed(11, *problem)
    by_whom = f"{_holder(case)} {algorithm_name(statement.asym)} key"
    return passed(11, f"KEY_EXCHANGE_RSP is signed with {by_whom}{_which(case)}")


def _holder(case: Case) -> str:
    return "the provisioned" if case.facts.by_key else "the leaf's"


def _which(case: Case) -> str:
    return f", sha256 {case.facts.key.fingerprint[:16]}…" if case.facts.key is not None else ""


def _nonce_problem(case: Case, statement: Statement) -> tuple[str, str] | None:
    expected = case.expected_nonce
    if expected is not None and statement.requester_nonce != expected:
        return (
            f"it answers the nonce {statement.requester_nonce.hex()[:16]}…, {expected.hex()[:16]}… was expected",
            "the evidence was made for another question, perhaps long ago; collect it again with your nonce",
        )
    return None


def _signature_problem(error: EvidenceProblem | None) -> tuple[str, str] | None:
    return (str(error), error.hint) if error is not None else None


# --- step 12: signed measurements ------------------------------------------------------------------------------------


def step_12(case: Case) -> Step:
    """Every signed MEASUREMENTS of the judged slot is signed by the leaf's key.

    In a signed report this is also the proof of possession, so the expected nonce is compared here.
    """
    facts = case.facts
    if not facts.measurements:
        return not_checked(12, facts.no_measurements)
    unfit = _unfit_session(case)
    if unfit:
        return failed(12, *unfit)
    proves = facts.challenge is None
    for series, error in zip(facts.measurements, case.proofs.measurements, strict=True):
        problem = (_nonce_problem(case, series.statement) if proves else None) or _signature_problem(error)
        if problem:
            return failed(12, *problem)
    indices = len({block.index for block in facts.blocks})
    if facts.measurements[-1].content_changed == CONTENT_CHANGED:
        return failed(
            12,
            "the device says that its measurements changed while they were read, however often they were read again",
            "the device is being updated or configured, or it lies; check again later",
        )
    came = "; they came over a session" if facts.sessions else ""
    return passed(12, f"{indices} measurements are signed with {_holder(case)} key{came}")


def _unfit_session(case: Case) -> tuple[str, str] | None:
    """What is wrong with the sessions that measurements came in, or with there being none where policy wants one."""
    facts = case.facts
    if case.policy.session is SessionUse.REQUIRE and (not facts.sessions or facts.measured_in_clear):
        return (
            "the measurements came in the clear, and the policy requires a session (session: require)",
            "the device makes no session, or none that this program can; session: prefer takes what there is",
        )
    for error in case.proofs.sessions:
        if error is not None:
            return (f"the session was not opened by {_holder(case)} key: {error}", error.hint)
    return None
