"""A careful requester's judgement of an emulated device, from the library's parts and without `cmakeys.verify`.

It exists to prove that each fault is the lie it claims to be: the real requester drives the device, and the steps that
look at chains, names and signatures are applied in the design's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cmakeys.emulator.device import Device
from cmakeys.emulator.faults import Outcome
from cmakeys.errors import Temporary
from cmakeys.spdm import attesting
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.effects import DeviceRefused, Flow, Limits, Send
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.spdm.signing import SignatureProblem, verify_statement
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.transports.base import TransportTimeout
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.chain import (
    check_leaf_profile,
    check_root_hash,
    check_signatures,
    check_structure,
    check_validity,
    find_anchor,
)
from cmakeys.x509.identity import PciIdentity, all_match, leaf_names

TODAY = datetime(2026, 6, 1, tzinfo=UTC)
LIMITS = Limits(busy_retries=3, not_ready_rounds=4)


@dataclass(frozen=True)
class Judgement:
    outcome: Outcome
    step: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Enrolment:
    """What an honest run of the device showed."""

    version: int
    device_key: str
    blocks: tuple[object, ...]


def drive(flow: Flow[object], device: Device) -> int:
    """Run a flow against a device without a clock; the number of messages."""
    answer, messages = b"", 0
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Send):
                messages += 1
                response = device.respond(effect.message)
                if response is None:
                    raise TransportTimeout("no answer", object="emulated device")
                answer = response
            else:
                answer = b""
            effect = flow.send(answer)
    except StopIteration:
        return messages


def enrol(connection: Connection, index: int) -> Enrolment:
    chain = _chain(connection, 0)
    assert connection.version is not None
    assert connection.measurements is not None
    key = chain.certificates[index].spki_fingerprint
    return Enrolment(connection.version, key, connection.measurements.blocks)


def attest(device: Device, offer: Offer) -> Connection:
    requester = Requester(offer, limits=LIMITS)
    assert drive(attesting.attest(requester, Plan()), device) < 10_000
    return requester.connection


def judge(
    device: Device,
    offer: Offer,
    anchor: Certificate,
    identity: PciIdentity,
    *,
    index: int,
    enrolment: Enrolment | None = None,
) -> Judgement:
    try:
        connection = attest(device, offer)
    except Temporary as problem:
        return Judgement(Outcome.UNREACHABLE, None, str(problem))
    except (ProtocolViolation, DeviceRefused) as problem:
        return Judgement(Outcome.REJECTED, problem.step, str(problem))
    if enrolment is not None and connection.version is not None and connection.version < enrolment.version:
        return Judgement(Outcome.REJECTED, 1, "downgrade")
    try:
        chain = _chain(connection, 0)
    except CertificateProblem as problem:
        return Judgement(Outcome.REJECTED, 2, str(problem))
    step = _first_failing_step(connection, chain, anchor, identity, index, enrolment)
    return Judgement(Outcome.TOLERATED) if step is None else Judgement(Outcome.REJECTED, step)


def _chain(connection: Connection, slot: int) -> SpdmChain:
    assert connection.hash is not None
    return SpdmChain.parse(connection.chains[slot], connection.hash.size, f"slot {slot}")


def _first_failing_step(
    connection: Connection,
    chain: SpdmChain,
    anchor: Certificate,
    identity: PciIdentity,
    index: int,
    enrolment: Enrolment | None,
) -> int | None:
    certificates = chain.certificates
    leaf = certificates[-1]
    assert connection.version is not None
    assert connection.hash is not None
    found = find_anchor(certificates, [anchor])
    alias = index != len(certificates) - 1
    steps = {
        2: not check_structure(certificates)
        and not check_root_hash(certificates, chain.root_hash, connection.hash.digest, anchor),
        3: not check_signatures(certificates),
        4: found is not None,
        6: not check_validity(certificates, TODAY),
        8: not check_leaf_profile(leaf, spdm_minor=connection.version.minor, alias=alias),
        9: _names_match(leaf, identity),
        10: enrolment is None or certificates[index].spki_fingerprint == enrolment.device_key,
        11: _challenge_holds(connection, leaf),
        12: _measurements_hold(connection, leaf),
        13: enrolment is None
        or (connection.measurements is not None and connection.measurements.blocks == enrolment.blocks),
    }
    return next((step for step, passed in steps.items() if not passed), None)


def _names_match(leaf: Certificate, identity: PciIdentity) -> bool:
    try:
        return all_match(identity, leaf_names(leaf))
    except CertificateProblem:
        return False


def _challenge_holds(connection: Connection, leaf: Certificate) -> bool:
    assert connection.challenge is not None
    try:
        verify_statement(connection.challenge, leaf.public_key)
    except SignatureProblem:
        return False
    return True


def _measurements_hold(connection: Connection, leaf: Certificate) -> bool:
    assert connection.measurements is not None
    try:
        verify_statement(connection.measurements.statement, leaf.public_key)
    except SignatureProblem:
        return False
    return connection.measurements.content_changed != 1
