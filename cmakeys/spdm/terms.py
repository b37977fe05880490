"""What two sides have settled about sessions by the time ALGORITHMS is in (reference §2.3.4 and §6.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cmakeys.spdm.agreement import SUPPORTED_DHE, SUPPORTED_KEM
from cmakeys.spdm.algorithms import (
    SIGNATURE_SIZES,
    Aead,
    BaseAsym,
    BaseHash,
    Dhe,
    Kem,
    OpaqueFormat,
    PqcAsym,
    is_single_bit,
)
from cmakeys.spdm.codes import Capability, RequestCode, Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.negotiation import (
    TABLE_AEAD,
    TABLE_DHE,
    TABLE_KEM,
    TABLE_KEY_SCHEDULE,
    TABLE_REQ_BASE_ASYM,
    TABLE_REQ_PQC_ASYM,
    StructTable,
)
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.rules import MULTI_KEY
from cmakeys.spdm.secured import SUPPORTED_AEAD, SessionType
from cmakeys.spdm.violation import ProtocolViolation, violation

SPDM_KEY_SCHEDULE = 0x1
MULTI_KEY_CONN_SELECTED = 0x10


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of every session on one connection.

    `agreement` is None where only pre-shared keys can be used. `clear_handshake` holds for KEY_EXCHANGE sessions;
    `requester_multi_key` is the reference's multi_key_conn_req.
    """

    version: Version
    layout: Layout
    base_hash: BaseHash
    aead: Aead
    kind: SessionType
    agreement: Dhe | Kem | None
    requester_asym: BaseAsym | PqcAsym | None
    clear_handshake: bool
    requester_multi_key: bool
    heartbeat: bool
    key_update: bool
    mutual: bool

    @property
    def requester_signature_size(self) -> int:
        """Bytes of the signature in FINISH, 0 without an algorithm for it."""
        return SIGNATURE_SIZES[self.requester_asym] if self.requester_asym else 0

    @classmethod
    def of(cls, connection: Connection) -> Terms:
        """Read them off a negotiated connection. Raises `ProtocolViolation` where they do not make a session."""
        algorithms, capabilities = connection.algorithms, connection.capabilities
        if algorithms is None or capabilities is None or connection.base_hash is None:
            raise _unfit("no session can be made: nothing is negotiated for one")
        both = connection.requester_flags & capabilities.flags
        version = algorithms.version
        if algorithms.selected(TABLE_KEY_SCHEDULE) != SPDM_KEY_SCHEDULE:
            raise _unfit("no session can be made: no key schedule is selected")
        if version >= Version.V12 and connection.opaque_format != OpaqueFormat.GENERAL:
            raise _unfit("no session can be made: the general opaque data format is not selected")
        if not both & Capability.MAC:
            raise _unfit("no session can be made: one side authenticates no messages")
        return cls(
            version,
            connection.layout,
            connection.base_hash,
            _aead(algorithms.selected(TABLE_AEAD)),
            SessionType.ENCRYPTED if both & Capability.ENCRYPT else SessionType.MAC_ONLY,
            _agreement(algorithms.selected(TABLE_DHE), algorithms.selected(TABLE_KEM)),
            requester_asym(connection),
            bool(both & Capability.HANDSHAKE_IN_THE_CLEAR),
            requester_multi_key(connection),
            bool(both & Capability.HBEAT),
            bool(both & Capability.KEY_UPD),
            bool(both & Capability.MUT_AUTH),
        )


def requester_asym(connection: Connection) -> BaseAsym | PqcAsym | None:
    """The algorithm of our own signatures, also where no session is made. Raises `ProtocolViolation`."""
    if connection.algorithms is None:
        return None
    selected = connection.algorithms.selected
    return _requester_asym(selected(TABLE_REQ_BASE_ASYM), selected(TABLE_REQ_PQC_ASYM))


def requester_multi_key(connection: Connection) -> bool:
    """Our slots may have keys of their own: the reference's multi_key_conn_req, also where no session is made."""
    if connection.algorithms is None:
        return False
    return bool(connection.algorithms.other_params & MULTI_KEY_CONN_SELECTED and connection.requester_flags & MULTI_KEY)


SESSION_FLAGS = Capability.ENCRYPT | Capability.MAC | Capability.KEY_EX | Capability.HBEAT | Capability.KEY_UPD


def with_sessions(
    offer: Offer, *, psk: bool = False, dhe: Dhe = SUPPORTED_DHE, kem: Kem = SUPPORTED_KEM, aead: Aead = SUPPORTED_AEAD
) -> Offer:
    """An offer of sessions in addition, with a handshake that is encrypted; a mask of nothing leaves its table out."""
    masks = {
        TABLE_DHE: dhe.value,
        TABLE_AEAD: aead.value,
        TABLE_KEY_SCHEDULE: SPDM_KEY_SCHEDULE,
        TABLE_KEM: kem.value,
    }
    return replace(
        offer,
        requester_flags=offer.requester_flags | SESSION_FLAGS | (Capability.PSK if psk else Capability(0)),
        tables=tuple(StructTable(kind, mask) for kind, mask in masks.items() if mask),
    )


def _unfit(message: str) -> ProtocolViolation:
    return violation(RequestCode.NEGOTIATE_ALGORITHMS, message)


def _aead(mask: int) -> Aead:
    if not is_single_bit(mask) or not mask & int(SUPPORTED_AEAD.value):
        raise _unfit(f"no session can be made: AEAD selection {mask:#x} is not one supported algorithm")
    return Aead(mask)


def _agreement(dhe: int, kem: int) -> Dhe | Kem | None:
    if dhe and kem:
        raise _unfit("DHE and KEM are both selected")
    if dhe and is_single_bit(dhe) and dhe & int(SUPPORTED_DHE.value):
        return Dhe(dhe)
    if kem and is_single_bit(kem) and kem & int(SUPPORTED_KEM.value):
        return Kem(kem)
    if dhe or kem:
        raise _unfit(f"the selected key agreement (DHE {dhe:#x}, KEM {kem:#x}) is not supported")
    return None


def _requester_asym(base: int, pqc: int) -> BaseAsym | PqcAsym | None:
    if base and pqc:
        raise _unfit("ReqBaseAsymAlg and ReqPqcAsymAlg are both selected")
    try:
        if base:
            return BaseAsym(base)
        return PqcAsym(pqc) if pqc else None
    except ValueError as error:
        raise _unfit(f"unknown signature algorithm for the requester: {error}") from error
