"""What ALGORITHMS selects for sessions: the struct tables, and the terms that follow from them (reference §2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.spdm.agreement import SUPPORTED_DHE, SUPPORTED_KEM
from cmakeys.spdm.algorithms import (
    SUPPORTED_BASE_ASYM,
    SUPPORTED_PQC_ASYM,
    Aead,
    BaseAsym,
    Dhe,
    Kem,
    OpaqueFormat,
    PqcAsym,
)
from cmakeys.spdm.codes import Capability, Version
from cmakeys.spdm.messages.negotiation import (
    TABLE_AEAD,
    TABLE_DHE,
    TABLE_KEM,
    TABLE_KEY_SCHEDULE,
    TABLE_REQ_BASE_ASYM,
    TABLE_REQ_PQC_ASYM,
    NegotiateAlgorithms,
    StructTable,
)
from cmakeys.spdm.rules import PSK
from cmakeys.spdm.secured import SUPPORTED_AEAD, SessionType
from cmakeys.spdm.terms import SPDM_KEY_SCHEDULE, Terms

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

_ASYM_BEFORE_12 = BaseAsym(0x1FF)
_TABLES: dict[type[Dhe | Kem | Aead], tuple[int, int]] = {
    Dhe: (TABLE_DHE, int(SUPPORTED_DHE.value)),
    Kem: (TABLE_KEM, int(SUPPORTED_KEM.value)),
    Aead: (TABLE_AEAD, int(SUPPORTED_AEAD.value)),
}


def supported_tables(talk: Conversation, version: Version) -> tuple[StructTable, ...]:
    """The struct tables of the Supported Algorithms block: everything that the device could select."""
    sessions = talk.hardware.settings.sessions
    if sessions is None or talk.binding is None:
        return ()
    masks = {
        TABLE_DHE: _mask(sessions, TABLE_DHE),
        TABLE_AEAD: _mask(sessions, TABLE_AEAD),
        TABLE_REQ_BASE_ASYM: SUPPORTED_BASE_ASYM.value if sessions.flags() & Capability.MUT_AUTH else 0,
        TABLE_KEY_SCHEDULE: SPDM_KEY_SCHEDULE,
    }
    if version >= Version.V14:
        masks[TABLE_REQ_PQC_ASYM] = SUPPORTED_PQC_ASYM.value if sessions.flags() & Capability.MUT_AUTH else 0
        masks[TABLE_KEM] = _mask(sessions, TABLE_KEM)
    return tuple(StructTable(kind, mask) for kind, mask in masks.items() if mask)


def _mask(sessions: SessionSettings, kind: int) -> int:
    """Everything of one kind that the settings list and this machine can compute."""
    mask = 0
    for one in (*sessions.agreements, *sessions.aeads):
        table, supported = _TABLES[type(one)]
        if table == kind:
            mask |= int(one.value) & supported
    return mask


def settle_terms(talk: Conversation, offer: NegotiateAlgorithms) -> tuple[StructTable, ...]:
    """Select in each offered table, and note the terms of sessions on this connection.

    A table in which nothing is selected is still there, with mask 0 (reference §2.3.5).
    """
    talk.terms, talk.requester_asym = None, None
    sessions = talk.hardware.settings.sessions
    if sessions is None or talk.binding is None:
        return tuple(StructTable(table.type, 0) for table in offer.tables)
    masks = {table.type: table.mask for table in offer.tables}
    both = talk.flags & talk.requester_flags
    agreement = _agreement(sessions, masks, offer.version) if both & Capability.KEY_EX else None
    protects = bool(both & (Capability.MAC | Capability.ENCRYPT))
    aead = next((one for one in sessions.aeads if one.value & masks.get(TABLE_AEAD, 0) & SUPPORTED_AEAD.value), None)
    keyed = bool(both & Capability.KEY_EX or (talk.flags & PSK and talk.requester_flags & PSK))
    scheduled = keyed and bool(masks.get(TABLE_KEY_SCHEDULE, 0) & SPDM_KEY_SCHEDULE)
    if both & Capability.MUT_AUTH:
        talk.requester_asym = _requester_asym(talk, masks, offer.version)
    selected: dict[int, int] = {TABLE_KEY_SCHEDULE: SPDM_KEY_SCHEDULE if scheduled else 0}
    if agreement is not None:
        selected[TABLE_KEM if isinstance(agreement, Kem) else TABLE_DHE] = int(agreement.value)
    if aead is not None and protects:
        selected[TABLE_AEAD] = aead.value
    if talk.requester_asym is not None:
        kind = TABLE_REQ_BASE_ASYM if isinstance(talk.requester_asym, BaseAsym) else TABLE_REQ_PQC_ASYM
        selected[kind] = talk.requester_asym.value
    formatted = offer.version < Version.V12 or talk.opaque_format == OpaqueFormat.GENERAL
    if scheduled and formatted and aead is not None and both & Capability.MAC and talk.base_hash is not None:
        talk.terms = Terms(
            offer.version,
            talk.layout(),
            talk.base_hash,
            aead,
            SessionType.ENCRYPTED if both & Capability.ENCRYPT else SessionType.MAC_ONLY,
            agreement,
            talk.requester_asym,
            bool(both & Capability.HANDSHAKE_IN_THE_CLEAR),
            talk.requester_multi_key,
            bool(both & Capability.HBEAT),
            bool(both & Capability.KEY_UPD),
            talk.requester_asym is not None,
        )
    return tuple(StructTable(table.type, selected.get(table.type, 0)) for table in offer.tables)


def _agreement(sessions: SessionSettings, masks: dict[int, int], version: Version) -> Dhe | Kem | None:
    for algorithm in sessions.agreements:
        if isinstance(algorithm, Kem):
            offered = masks.get(TABLE_KEM, 0) & SUPPORTED_KEM.value if version >= Version.V14 else 0
        else:
            offered = masks.get(TABLE_DHE, 0) & SUPPORTED_DHE.value
        if algorithm.value & offered:
            return algorithm
    return None


def _requester_asym(talk: Conversation, masks: dict[int, int], version: Version) -> BaseAsym | PqcAsym | None:
    classic = BaseAsym(masks.get(TABLE_REQ_BASE_ASYM, 0) & SUPPORTED_BASE_ASYM.value)
    if version < Version.V12:
        classic &= _ASYM_BEFORE_12
    pqc = PqcAsym(masks.get(TABLE_REQ_PQC_ASYM, 0) & SUPPORTED_PQC_ASYM.value if version >= Version.V14 else 0)
    for algorithm in talk.hardware.settings.algorithms:
        if isinstance(algorithm, BaseAsym) and algorithm & classic:
            return algorithm
        if isinstance(algorithm, PqcAsym) and algorithm & pqc:
            return algorithm
    return None
