"""What a piece of evidence says once the protocol's rules have been applied to it; input of the verification steps.

Facts are claims in good form, no more: no signature has been checked, and no certificate has been held against
another. Where something is missing, the reason stands beside it, because a step that is not checked must say why.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.codes import Version
from cmakeys.spdm.measuring import SignedMeasurements
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.signing import Statement
from cmakeys.verify.negotiation import Negotiation
from cmakeys.x509.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of the protocol or of the format that the evidence breaks, and the verification step it belongs to."""

    step: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """See the head of this module.

    `unsupported` says why the device does not do CMA-SPDM; empty when it does. `negotiated` is false for evidence that
    shows version and algorithms without the negotiation that led to them; `offered_versions` are the device's.
    With `by_key` the device shows no certificates and is known by a public key that was provisioned beforehand; `key`
    is that key where somebody brought it, and never comes from the evidence. `key_hash` is what the device says that
    it hashes to, empty where it was not challenged.
    `provisioned` are the slots in which the device says that it has a chain; empty when it was not asked.
    `slot` is the slot whose chain is judged; `certificates` are that chain in SPDM order, empty with `chain_problem`
    when it cannot be read and with `no_chain` when there is none. `root_hash` is the RootHash of its structure and
    `hash` the function to recompute it with.
    `measurements` are all signed series of that slot, `blocks` their latest value by index. `sessions` are what the
    device signed to open each session that measurements came in, as whoever collected them says; with
    `measured_in_clear` some came without one.
    """

    violation: Violation | None = None
    unsupported: str = ""
    negotiated: bool = False
    negotiation: Negotiation | None = None
    offered_versions: frozenset[Version] = frozenset()
    slot: int | None = None
    by_key: bool = False
    key: ProvisionedKey | None = None
    key_hash: bytes = b""
    other_slots: tuple[int, ...] = ()
    provisioned: tuple[int, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    chain_problem: str = ""
    no_chain: str = ""
    root_hash: bytes | None = None
    hash: HashFunction | None = None
    alias: bool = False
    challenge: Statement | None = None
    no_challenge: str = ""
    measurements: tuple[SignedMeasurements, ...] = ()
    no_measurements: str = ""
    sessions: tuple[Statement, ...] = ()
    measured_in_clear: bool = False

    @property
    def leaf(self) -> Certificate | None:
        """The leaf's certificate."""
        return self.certificates[-1] if self.certificates else None

    @property
    def blocks(self) -> tuple[MeasurementBlock, ...]:
        """Every block of every signed series, in order; not yet verified."""
        return tuple(block for series in self.measurements for block in series.blocks)
