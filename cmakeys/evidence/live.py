"""Evidence from a device that can be reached now.

However the conversation goes, the result is an `Evidence` value: a device that breaks the protocol ends it `refused`,
one that does not answer in time, `unreachable`. So a run over many devices is not ended by one of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cmakeys import __version__
from cmakeys.errors import Temporary
from cmakeys.evidence.model import Ending, EndingKind, Evidence, EvidenceKind
from cmakeys.spdm.codes import NONCE_LENGTH
from cmakeys.spdm.effects import DeviceRefused, Limits
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.transports.base import Deadline, Transport
from cmakeys.transports.drive import drive
from cmakeys.x509.identity import PciIdentity

TOOL = f"cmakeys {__version__}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a device, and how.

    `nonce`, 32 bytes chosen by whoever will judge the evidence, takes the place of the requester's fresh ones.
    """

    offer: Offer = field(default_factory=Offer)
    plan: Plan = field(default_factory=Plan)
    limits: Limits = field(default_factory=Limits)
    nonce: bytes | None = None

    def __post_init__(self) -> None:
        if self.nonce is not None and len(self.nonce) != NONCE_LENGTH:
            raise ValueError(f"a nonce has {NONCE_LENGTH} bytes")

    def entropy(self) -> Callable[[int], bytes]:
        """The source of nonces and contexts for one requester."""
        nonce = self.nonce
        if nonce is None:
            return secrets.token_bytes
        return lambda size: nonce if size == NONCE_LENGTH else secrets.token_bytes(size)


def collect(
    transport: Transport,
    deadline: Deadline,
    *,
    now: datetime,
    question: Question | None = None,
    known_chains: Mapping[bytes, bytes] | None = None,
    identity: PciIdentity | None = None,
    device: str | None = None,
) -> Evidence:
    """Ask one device everything and keep what it says.

    `known_chains` maps digests to chain structures that need not be read again; those used become part of the evidence.
    `identity` is what configuration space says, for a PCI function; `device` the address to note, that of the transport
    unless given. Never raises for what the device does; the transport stays open.
    """
    question = question or Question()
    requester = Requester(question.offer, known_chains=known_chains, limits=question.limits, entropy=question.entropy())
    ending = _converse(requester, question.plan, transport, deadline)
    connection = requester.connection
    return Evidence(
        device=device or transport.address,
        kind=EvidenceKind.CONVERSATION,
        collected_at=now,
        exchanges=tuple(connection.exchanges),
        chains=tuple(connection.slots.adopted[digest] for digest in sorted(connection.slots.adopted)),
        identity=identity,
        expected_nonce=question.nonce,
        ending=ending,
        tool=TOOL,
    )


def _converse(requester: Requester, plan: Plan, transport: Transport, deadline: Deadline) -> Ending:
    try:
        drive(requester.attest(plan), transport, deadline)
    except (ProtocolViolation, DeviceRefused) as finding:
        return Ending(EndingKind.REFUSED, str(finding), finding.step, finding.hint)
    except Temporary as problem:
        return _cut_short(problem)
    return Ending()


def _cut_short(problem: Temporary) -> Ending:
    return Ending(EndingKind.UNREACHABLE, str(problem), hint=problem.hint)


def not_reached(device: str, problem: Temporary, *, now: datetime, identity: PciIdentity | None = None) -> Evidence:
    """The evidence that is left when not even a connection was made."""
    return Evidence(device, EvidenceKind.CONVERSATION, now, identity=identity, ending=_cut_short(problem), tool=TOOL)
