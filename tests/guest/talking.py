"""Runs in the guest: a session with the device behind a real mailbox, from the first message to END_SESSION."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from cmakeys.spdm.codes import Capability, KeyOperation, SummaryHash, Version
from cmakeys.spdm.effects import Flow
from cmakeys.spdm.handshake import PreSharedKey, SessionPlan, key_exchange, psk_exchange
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.terms import with_sessions
from cmakeys.transports.base import Deadline
from cmakeys.transports.connect import open_transport
from cmakeys.transports.drive import drive
from cmakeys.x509.bundle import SpdmChain

T = TypeVar("T")


def hold_session(url: str, version: str, psk: dict[str, str] | None = None) -> dict[str, str | int]:
    """Open a session, do in it what sessions are for, and say how it was made.

    `psk` is the hint and the key of a pre-shared one in hexadecimal, None for a key exchange.
    """
    deadline = Deadline.after(30)
    transport = open_transport(url, deadline)

    def run(flow: Flow[T]) -> T:
        return drive(flow, transport, deadline)

    offer = with_sessions(Offer(), psk=psk is not None)
    spoken = frozenset(one for one in Version if str(one) == version)
    flags = offer.requester_flags | Capability.HANDSHAKE_IN_THE_CLEAR
    requester = Requester(replace(offer, versions=spoken, requester_flags=flags))
    try:
        run(requester.connect())
        run(requester.digests())
        chain = SpdmChain.parse(run(requester.certificate(0)), requester.connection.layout.hash_size, url)
        key = chain.certificates[-1].public_key
        plan = SessionPlan(Binding.PCI_DOE, summary=SummaryHash.ALL)
        if psk is None:
            session = run(key_exchange(requester, plan, key)).session
        else:
            shared = PreSharedKey(bytes.fromhex(psk["hint"]), bytes.fromhex(psk["key"]))
            session = run(psk_exchange(requester, plan, shared)).session
        run(session.protect(session.requester.measurements(0xFF, slot=0, raw=False, signed=True)))
        signed = session.requester.connection.measurements
        assert signed is not None
        verify_statement(signed.statement, key)
        run(session.protect(session.requester.certificate(0)))
        for operation in (KeyOperation.UPDATE_ALL_KEYS, KeyOperation.UPDATE_KEY):
            run(session.update_keys(operation))
            run(session.heartbeat())
        blocks = len(signed.blocks)
        run(session.end())
    finally:
        transport.close()
    terms = session.terms
    return {"version": str(terms.version), "kind": terms.kind.value, "blocks": blocks, "state": session.state.value}
