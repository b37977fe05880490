"""Evidence from a device that can be reached now.

However the conversation goes, the result is an `Evidence` value: a device that breaks the protocol ends it `refused`,
one that does not answer in time, `unreachable`. So a run over many devices is not ended by one of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from cmakeys import __version__
from cmakeys.errors import Temporary
from cmakeys.evidence.model import Ending, EndingKind, Evidence, EvidenceKind
from cmakeys.evidence.secrets import SecretKeeper
from cmakeys.spdm import agreement, attesting
from cmakeys.spdm.attesting import SessionUse, SessionWish
from cmakeys.spdm.codes import NONCE_LENGTH
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.effects import DeviceRefused, Limits
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.own_identity import Credentials, OwnIdentity
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.transports.base import Deadline, Transport
from cmakeys.transports.connect import binding_of, framing_of
from cmakeys.transports.drive import drive
from cmakeys.x509.bundle import MAX_LARGE_CHAIN_SIZE, SpdmChain
from cmakeys.x509.certificate import CertificateProblem
from cmakeys.x509.identity import PciIdentity

TOOL = f"cmakeys {__version__}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a device, and how.

    `nonce`, 32 bytes chosen by whoever will judge the evidence, takes the place of the requester's fresh ones.
    `session` says whether measurements are asked for in a session; `credentials` are shown to a device that asks.
    `keeper` keeps the secrets of sessions, None to forget them.
    """

    offer: Offer = field(default_factory=Offer)
    plan: Plan = field(default_factory=Plan)
    limits: Limits = field(default_factory=Limits)
    nonce: bytes | None = None
    session: SessionUse = SessionUse.OFF
    credentials: Credentials | None = None
    keeper: SecretKeeper | None = None

    def __post_init__(self) -> None:
        if self.nonce is not None and len(self.nonce) != NONCE_LENGTH:
            raise ValueError(f"a nonce has {NONCE_LENGTH} bytes")

    def whole_offer(self) -> Offer:
        """The offer, with sessions and with our own certificate where they are wanted.

        Raises `KeyNotAllowed` when no algorithm of the device's provisioned key is in it.
        """
        offer = self.offer if self.session is SessionUse.OFF else with_sessions(self.offer)
        if self.plan.key is not None:
            offer = self.plan.key.offered(offer)
        return self.credentials.offered(offer) if self.credentials is not None else offer

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
    requester = Requester(
        question.whole_offer(), known_chains=known_chains, limits=question.limits, entropy=question.entropy()
    )
    inside: list[Exchange] = []
    ending = _converse(requester, question, inside, transport, deadline)
    connection = requester.connection
    return Evidence(
        device=device or transport.address,
        kind=EvidenceKind.CONVERSATION,
        collected_at=now,
        exchanges=(*connection.exchanges, *inside),
        chains=tuple(connection.slots.adopted[digest] for digest in sorted(connection.slots.adopted)),
        identity=identity,
        expected_nonce=question.nonce,
        ending=ending,
        tool=TOOL,
    )


def _converse(
    requester: Requester, question: Question, inside: list[Exchange], transport: Transport, deadline: Deadline
) -> Ending:
    identity = OwnIdentity(requester, question.credentials) if question.credentials is not None else None
    wish = _wish(question, transport)
    try:
        inside += drive(attesting.attest(requester, question.plan, wish=wish, identity=identity), transport, deadline)
    except (ProtocolViolation, DeviceRefused) as finding:
        return Ending(EndingKind.REFUSED, str(finding), finding.step, finding.hint)
    except Temporary as problem:
        return _cut_short(problem)
    return Ending()


def _wish(question: Question, transport: Transport) -> SessionWish | None:
    """How a session is made over this transport; None where none is wanted, or it carries no records."""
    if question.session is SessionUse.OFF:
        return None
    binding = binding_of(framing_of(transport.address))
    if binding is None:
        return None
    return SessionWish(binding, _leaf_key, question.keeper.begin if question.keeper is not None else agreement.begin)


def _leaf_key(structure: bytes, hash_size: int) -> CertificatePublicKeyTypes | None:
    """The leaf's public key; a chain that cannot be read is judged by whoever judges the evidence."""
    try:
        chain = SpdmChain.parse(structure, hash_size, "slot", max_size=MAX_LARGE_CHAIN_SIZE)
        return chain.certificates[-1].public_key
    except CertificateProblem:
        return None


def _cut_short(problem: Temporary) -> Ending:
    return Ending(EndingKind.UNREACHABLE, str(problem), hint=problem.hint)


def not_reached(device: str, problem: Temporary, *, now: datetime, identity: PciIdentity | None = None) -> Evidence:
    """The evidence that is left when not even a connection was made."""
    return Evidence(device, EvidenceKind.CONVERSATION, now, identity=identity, ending=_cut_short(problem), tool=TOOL)
