"""What comes of checking every signature of one piece of evidence, before any step asks.

The steps 3, 11 and 12 decide what follows from it. That the arithmetic can be done apart from them is for whoever
judges many pieces: signatures of all of them one after the other take less time than in turns with everything else,
because the processor's caches hold the one or the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.signing import SignatureProblem, Statement, verify_statement
from cmakeys.verify.facts import Facts
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.chain import check_signatures


@dataclass(frozen=True, slots=True)
class Proofs:
    """What is wrong with the signature of CHALLENGE_AUTH, with that of each signed series, and with those that opened
    the sessions they came in; None is right.

    `challenge` means nothing where the facts have no challenge, and the others are as many as the facts have.
    """

    challenge: EvidenceProblem | None
    measurements: tuple[EvidenceProblem | None, ...]
    sessions: tuple[EvidenceProblem | None, ...] = ()

    def any_holds(self, facts: Facts) -> bool:
        """Whether anything that the device said is signed with its key."""
        challenges = (self.challenge,) if facts.challenge is not None else ()
        return None in (*challenges, *self.measurements, *self.sessions)


def prove(facts: Facts) -> Proofs:
    """Check the chain's signatures, which are remembered (`x509.known`), and the device's own by its key.

    That is the leaf's, or the provisioned one of a device without certificates.
    """
    check_signatures(facts.certificates)
    holder = facts.key if facts.by_key else facts.leaf
    return Proofs(
        _problem(facts.challenge, holder) if facts.challenge is not None else None,
        tuple(_problem(series.statement, holder) for series in facts.measurements),
        tuple(_problem(statement, holder) for statement in facts.sessions),
    )


def _problem(statement: Statement, holder: Certificate | ProvisionedKey | None) -> EvidenceProblem | None:
    if holder is None:
        return CertificateProblem("there is no key to check the signature by", object=statement.context.value)
    try:
        verify_statement(statement, holder.public_key)
    except (SignatureProblem, CertificateProblem) as error:
        return error
    return None
