"""One attestation: what is asked of a device, and in which order; in the clear, and where it is wanted, in a session.

    connect → digests → certificates → CHALLENGE (→ who we are) → measurements
                                                                 └ or KEY_EXCHANGE → measurements → END_SESSION

A device that is known by a provisioned public key has nothing to be read: it is challenged at once, in the slot number
that stands for the key.

The proof of possession comes before the session, so that a device which can make none is judged all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from cmakeys.spdm import agreement
from cmakeys.spdm.agreement import Agreement
from cmakeys.spdm.algorithms import Dhe, Kem, algorithm_name
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY
from cmakeys.spdm.codes import Capability, KeyUsage, MutualAuthentication
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Flow, Resynchronise
from cmakeys.spdm.encapsulated import Identity, serve
from cmakeys.spdm.handshake import SessionPlan, key_exchange
from cmakeys.spdm.messages.certificates import Digests
from cmakeys.spdm.messages.challenge import REQUESTS_AUTHENTICATION
from cmakeys.spdm.requester import MeasurementMode, Plan, Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.session import Session
from cmakeys.spdm.violation import STEP_NEGOTIATION, ProtocolViolation

_SIGNED_OR_NOT = (Capability.MEAS_SIGNED, Capability.MEAS_UNSIGNED)


class SessionUse(Enum):
    """Whether measurements are asked for in a session: not, where the device can, or not without one."""

    OFF = "off"
    PREFER = "prefer"
    REQUIRE = "require"


@dataclass(frozen=True, slots=True)
class SessionWish:
    """How a session is made: the form of its records, and how a leaf's public key is read from a chain structure.

    `key_of` gets the structure and the size of the hash at its beginning, in bytes; None stands for a chain that cannot
    be read, with which no session is tried. `begin` makes the fresh key of each exchange.
    """

    binding: Binding
    key_of: Callable[[bytes, int], CertificatePublicKeyTypes | None]
    begin: Callable[[Dhe | Kem], Agreement] = agreement.begin


def attest(
    requester: Requester, plan: Plan, *, wish: SessionWish | None = None, identity: Identity | None = None
) -> Flow[tuple[Exchange, ...]]:
    """The whole authentication; what was learnt in the clear is in `requester.connection` afterwards.

    Returns the exchanges of the session, if there was one. Raises `ProtocolViolation`, `DeviceRefused` or
    `DeviceUnavailable`; a session that was begun is then over.
    """
    limits = requester.limits
    for _ in range(limits.resynchronisations + 1):
        try:
            return (yield from _attest_once(requester, plan, wish, identity))
        except Resynchronise:
            continue
    raise DeviceUnavailable(
        f"the device asked to start again {limits.resynchronisations + 1} times",
        object="connection",
        hint="it may be resetting or shared with another requester; try again later",
    )


def _attest_once(
    requester: Requester, plan: Plan, wish: SessionWish | None, identity: Identity | None
) -> Flow[tuple[Exchange, ...]]:
    connection = requester.connection
    connection.provisioned = plan.key
    try:
        yield from requester.connect()
    except (DeviceRefused, ProtocolViolation) as problem:
        if plan.key is not None and connection.has(Capability.PUB_KEY_ID):
            names = " and ".join(algorithm_name(algorithm) for algorithm in plan.key.algorithms)
            problem.hint = f"only {names} was offered, for the public key that was given: is it the key of this device?"
        raise
    _check_identity(plan, by_key=connection.has(Capability.PUB_KEY_ID))
    slot = SLOT_PROVISIONED_KEY if connection.has(Capability.PUB_KEY_ID) else 0
    if connection.has(Capability.CERT):
        digests = yield from requester.digests()
        slot = _choose_slot(plan, digests)
        wanted = set(digests.slots) if plan.slots is None else set(plan.slots) & set(digests.slots)
        # The slot that proves possession comes last, so that nothing stands between its chain and the CHALLENGE.
        for number in (*sorted(wanted - {slot}), slot):
            if connection.slots.adopt(number) is None:
                yield from requester.certificate(number)
    if connection.has(Capability.CHAL):
        answer = yield from requester.challenge(slot, plan.summary)
        if answer.param1 & REQUESTS_AUTHENTICATION and identity is not None:
            yield from serve(requester, identity, MutualAuthentication.ENCAPSULATED)
    if plan.measurements is MeasurementMode.NONE or not connection.has(*_SIGNED_OR_NOT):
        return ()
    key = _key_for_session(requester, slot, wish)
    if wish is None or key is None:
        yield from requester.measure(plan, slot)
        return ()
    session_plan = SessionPlan(wish.binding, slot)
    established = yield from key_exchange(requester, session_plan, key, identity=identity, begin=wish.begin)
    return (yield from _measure_inside(established.session, plan, slot))


def _check_identity(plan: Plan, *, by_key: bool) -> None:
    """The device is identified in the way that the plan reckons with."""
    if by_key and plan.slot is not None:
        raise ProtocolViolation(
            f"there is no slot {plan.slot}: the device is identified by a provisioned public key",
            step=STEP_NEGOTIATION,
            object="CAPABILITIES",
        )
    if plan.key is not None and not by_key:
        raise ProtocolViolation(
            "a public key was given for it, and the device does not announce that it is identified by one",
            step=STEP_NEGOTIATION,
            object="CAPABILITIES",
            hint="leave out the public key to ask a device for its certificates",
        )


def _choose_slot(plan: Plan, digests: Digests) -> int:
    if plan.slot is None:
        return digests.slots[0]
    if plan.slot not in digests.slots:
        present = ", ".join(map(str, digests.slots))
        raise ProtocolViolation(
            f"slot {plan.slot} is not provisioned", step=2, object="DIGESTS", hint=f"provisioned slots: {present}"
        )
    return plan.slot


def _key_for_session(requester: Requester, slot: int, wish: SessionWish | None) -> CertificatePublicKeyTypes | None:
    """The key that a session is made with; None where none is wished for, or the device makes none with this slot."""
    connection = requester.connection
    if wish is None or not connection.has(Capability.KEY_EX) or not connection.requester_flags & Capability.KEY_EX:
        return None
    if slot == SLOT_PROVISIONED_KEY:
        return connection.provisioned.public_key if connection.provisioned is not None else None
    info = connection.digests.info_of(slot) if connection.digests else None
    if info is not None and not info.key_usage & KeyUsage.KEY_EXCHANGE:
        return None
    chain = connection.chains.get(slot)
    return wish.key_of(chain, connection.layout.hash_size) if chain is not None else None


def _measure_inside(session: Session, plan: Plan, slot: int) -> Flow[tuple[Exchange, ...]]:
    inner = session.requester
    try:
        yield from session.protect(inner.measure(plan, slot))
        # END_SESSION is a courtesy; what was measured before it stands without.
        with suppress(DeviceRefused, DeviceUnavailable):
            yield from session.end()
    finally:
        session.close()
    return tuple(replace(exchange, session=session.channel.session_id) for exchange in inner.connection.exchanges)
