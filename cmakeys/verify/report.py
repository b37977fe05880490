"""Facts of a vendor's signed report: GET_MEASUREMENTS ‖ MEASUREMENTS as bare bytes, with the chain beside it.

Such a report is exactly L1 of SPDM 1.0 and 1.1, where no VCA is signed (reference §4.5); from 1.2 on the VCA would be
missing, so those versions are refused. What a conversation negotiates has to be deduced: the version from the header
byte, the algorithms from the leaf's key. That is safe because nothing is chosen: for a key that could serve more than
one algorithm there is no report.
"""

from __future__ import annotations

from cmakeys.evidence.model import Evidence
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    SIGNATURE_SIZES,
    BaseAsym,
    BaseHash,
    PqcAsym,
    algorithm_name,
)
from cmakeys.spdm.codes import Version
from cmakeys.spdm.measuring import SignedMeasurements
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.measurements import GetMeasurements, MeasurementBlock, Measurements
from cmakeys.spdm.signing import Context, Statement, asym_of_key
from cmakeys.spdm.violation import STEP_CHAIN, STEP_MEASUREMENTS
from cmakeys.spdm.wire import Reader, WireError
from cmakeys.verify.facts import Facts, Violation
from cmakeys.verify.negotiation import Negotiation
from cmakeys.x509.certificate import Certificate, CertificateProblem

NO_CHALLENGE = "a report carries no CHALLENGE; possession is shown by the signed measurements, step 12"

_HASH_OF = {
    BaseAsym.ECDSA_P256: BaseHash.SHA_256,
    BaseAsym.ECDSA_P384: BaseHash.SHA_384,
    BaseAsym.ECDSA_P521: BaseHash.SHA_512,
}
"""The hash that goes with each algorithm a report may be signed with."""

_ALL = 0xFF


def review_report(evidence: Evidence) -> Facts:
    """The facts of a signed report."""
    certificates, problem = _parse_chain(evidence.certificates)
    if not certificates:
        return Facts(
            violation=Violation(STEP_CHAIN, problem),
            chain_problem=problem,
            no_challenge=NO_CHALLENGE,
            no_measurements="without the leaf's key the report cannot be read",
        )
    try:
        measurements = _read(evidence.report, certificates[-1])
    except (WireError, CertificateProblem) as error:
        return Facts(
            violation=Violation(STEP_MEASUREMENTS, str(error), error.hint),
            certificates=certificates,
            no_challenge=NO_CHALLENGE,
            no_measurements=str(error),
        )
    statement = measurements.statement
    return Facts(
        negotiation=Negotiation(statement.version, statement.asym, statement.base_hash),
        slot=statement.slot,
        certificates=certificates,
        no_challenge=NO_CHALLENGE,
        measurements=(measurements,),
    )


def _parse_chain(ders: tuple[bytes, ...]) -> tuple[tuple[Certificate, ...], str]:
    if not ders:
        return (), "no certificate chain comes with the report"
    try:
        return tuple(Certificate.from_der(der, f"certificate {n} of the chain") for n, der in enumerate(ders)), ""
    except CertificateProblem as problem:
        return (), str(problem)


def _read(report: bytes, leaf: Certificate) -> SignedMeasurements:
    """Take the report apart. Raises `WireError` or `CertificateProblem` when it is not one that `leaf` can have signed.

    It must be one question for all measurements with a signature, and one answer that fills the rest to the last byte.
    """
    name = "report"
    asym, base_hash = _algorithms(leaf)
    reader = Reader(report, name)
    asked = GetMeasurements.pull(reader)
    if asked.version > Version.V11:
        raise WireError(
            f"a report of SPDM {asked.version} lacks the VCA that its signature covers",
            object=name,
            hint="save the whole conversation instead: cmakeys evidence save",
        )
    if not asked.signed:
        raise WireError("the report was asked for without a signature", object=name)
    request = reader.consumed()
    rest = Reader(report[len(request) :], name)
    layout = Layout(asked.version, BASE_HASH_FUNCTIONS[base_hash].size, SIGNATURE_SIZES[asym])
    answer = Measurements.pull(rest, layout, signed=True)
    if rest.remaining:
        raise rest.fail(f"{rest.remaining} bytes after the end of MEASUREMENTS")
    if answer.version != asked.version:
        raise WireError(f"SPDM {asked.version} was asked and {answer.version} answered", object=name)
    if asked.version > Version.V10 and answer.slot != asked.slot:
        raise WireError(f"slot {answer.slot} answered where slot {asked.slot} was asked", object=name)
    blocks = _blocks(asked.operation, answer)
    unsigned = report[: len(report) - len(answer.signature)]
    statement = Statement(
        Context.MEASUREMENTS,
        asked.version,
        asym,
        base_hash,
        asked.slot,
        unsigned,
        answer.signature,
        asked.nonce,
        answer.nonce,
    )
    return SignedMeasurements(statement, blocks, 0)


def _blocks(operation: int, answer: Measurements) -> tuple[MeasurementBlock, ...]:
    blocks = answer.blocks()
    indices = [block.index for block in blocks]
    if operation == 0 or not blocks:
        raise WireError("the report contains no measurement", object="report")
    if operation != _ALL and indices != [operation]:
        raise WireError(f"index {operation} was asked for, the answer has {indices[:8]}", object="report")
    if len(set(indices)) != len(indices):
        raise WireError("an index occurs twice", object="report")
    for block in blocks:
        if block.index in (0, _ALL) or block.specification != 1:
            raise WireError(f"block {block.index} is not a DMTF measurement", object="report")
    return blocks


def _algorithms(leaf: Certificate) -> tuple[BaseAsym | PqcAsym, BaseHash]:
    candidates = asym_of_key(leaf.public_key)
    usable = [(asym, _HASH_OF[asym]) for asym in candidates if isinstance(asym, BaseAsym) and asym in _HASH_OF]
    if len(candidates) != 1 or not usable:
        names = " or ".join(algorithm_name(asym) for asym in candidates) or "nothing that SPDM knows"
        raise CertificateProblem(
            f"the leaf's key ({leaf.key_description}) signs {names}: a report does not say which, nor with what hash",
            object=leaf.label,
            hint="save the whole conversation instead: cmakeys evidence save",
        )
    return usable[0]
