"""One connection as the emulated responder sees it: everything that a GET_VERSION throws away.

The handlers of `negotiation`, `attestation` and `transfers` work on it. It knows how large a response may be, signs
statements with a slot's key and passes every response by the lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

from cmakeys.emulator.hardware import Hardware, SlotChain
from cmakeys.emulator.lies.lie import Message
from cmakeys.emulator.questions import Interview
from cmakeys.emulator.requester_identity import RequesterIdentity
from cmakeys.emulator.sessions import OpenSession, Sessions
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    SIGNATURE_SIZES,
    BaseAsym,
    BaseHash,
    HashFunction,
    MeasurementHash,
    OpaqueFormat,
    PqcAsym,
)
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY, SLOT_PROVISIONED_KEY_SHORT
from cmakeys.spdm.chunks import ChunkAssembler
from cmakeys.spdm.codes import Capability, ErrorCode, KeyUsage, Version
from cmakeys.spdm.messages.chunking import ChunkSend
from cmakeys.spdm.messages.error import ErrorResponse, extended_u32
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.secured import MAX_APPLICATION, Binding
from cmakeys.spdm.signer import sign_statement
from cmakeys.spdm.signing import Context, Statement
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.transcript import Transcript

M = TypeVar("M", bound=Message)

_OF_THE_KEY = frozenset({SLOT_PROVISIONED_KEY, SLOT_PROVISIONED_KEY_SHORT})

_WRAPPED = 4
"""Bytes that a binding may put before a message in a record."""


class Refusal(Exception):
    """The device answers this request with an ERROR."""

    def __init__(self, code: ErrorCode, data: int = 0, extended: bytes = b"") -> None:
        super().__init__(code.name)
        self.code = code
        self.data = data
        self.extended = extended


@dataclass(slots=True)
class Conversation:
    """State of one connection, or a session's own view of it (`in_session`).

    Sizes are bytes; `limit` is the requester's DataTransferSize, None before 1.2. `binding` is the form of records on
    this transport, None where it can carry none. `terms` are those of every session, None where none can be made.
    """

    hardware: Hardware
    binding: Binding | None = None
    state: State = State.NOT_STARTED
    version: Version | None = None
    transcript: Transcript = field(default_factory=Transcript)
    flags: Capability = Capability(0)
    requester_flags: Capability = Capability(0)
    limit: int | None = None
    max_message_size: int | None = None
    asym: BaseAsym | PqcAsym | None = None
    base_hash: BaseHash | None = None
    measurement_hash: MeasurementHash | None = None
    opaque_format: OpaqueFormat = OpaqueFormat.NONE
    multi_key: bool = False
    handle: int = 0
    outgoing: Iterator[ChunkSend] | None = None
    sequence: int = 0
    incoming: ChunkAssembler | None = None
    deferred: bytes | None = None
    token: int = 0
    terms: Terms | None = None
    requester_asym: BaseAsym | PqcAsym | None = None
    requester_multi_key: bool = False
    first_digests: bytes = b""
    """D of TH: the first DIGESTS of a multi-key connection."""
    sessions: Sessions = field(default_factory=Sessions)
    session: OpenSession | None = None
    interview: Interview | None = None
    """What the device wants to ask, in the requests of the requester."""
    requester: RequesterIdentity | None = None
    """Who answered a CHALLENGE of the device."""

    def in_session(self, session: OpenSession) -> Self:
        """The connection as a new session sees it: what was settled, and everything that is open anew."""
        return replace(
            self,
            session=session,
            state=State.HANDSHAKE,
            transcript=self.transcript.of_session(),
            outgoing=None,
            incoming=None,
            deferred=None,
            interview=None,
        )

    # -- what was negotiated -------------------------------------------------------------------------------------

    def negotiated_version(self) -> Version:
        """The version; before there is one, the 1.0 that set-up messages carry."""
        return self.version or Version.V10

    def hash(self) -> HashFunction:
        """The base hash. Raises `Refusal` when none was selected."""
        if self.base_hash is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        return BASE_HASH_FUNCTIONS[self.base_hash]

    def signature_size(self) -> int:
        """Bytes of a signature. Raises `Refusal` when no algorithm was selected."""
        if self.asym is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        return SIGNATURE_SIZES[self.asym]

    def slots(self) -> dict[int, SlotChain]:
        """The provisioned slots under the negotiated algorithms."""
        if self.asym is None or self.base_hash is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        return self.hardware.provisioned(self.asym, self.base_hash)

    def slot(self, number: int) -> SlotChain:
        """What one slot holds, or the provisioned key under its two numbers. Raises `Refusal` for an empty one."""
        if self.flags & Capability.PUB_KEY_ID:
            chain = self._provisioned_key() if number in _OF_THE_KEY else None
        else:
            chain = self.slots().get(number)
        if chain is None:
            raise Refusal(ErrorCode.INVALID_REQUEST)
        return chain

    def _provisioned_key(self) -> SlotChain | None:
        if self.asym is None or self.base_hash is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        return self.hardware.provisioned_key(self.asym, self.base_hash)

    def slot_mask(self) -> int:
        """The provisioned slots as a mask; a device that is known by its public key has none."""
        if self.flags & Capability.PUB_KEY_ID:
            return 0
        return sum(1 << slot for slot in self.slots())

    def key_pairs(self) -> dict[int, int]:
        """KeyPairID of each provisioned slot: the pairs are counted from 1, whatever slots are empty."""
        return {slot: number for number, slot in enumerate(self.slots(), 1)}

    def layout(self) -> Layout:
        """The sizes in the device's own messages."""
        return Layout(self.negotiated_version(), self.hash().size, self.signature_size(), self.multi_key)

    def requester_layout(self) -> Layout:
        """The sizes in what the requester answers to the device's questions."""
        size = SIGNATURE_SIZES[self.requester_asym] if self.requester_asym else 0
        return Layout(self.negotiated_version(), self.hash().size, size, self.requester_multi_key)

    def key_usage(self) -> KeyUsage:
        """What each slot's key may be used for."""
        usage = KeyUsage.CHALLENGE | KeyUsage.MEASUREMENTS
        return usage | KeyUsage.KEY_EXCHANGE if self.flags & Capability.KEY_EX else usage

    def opaque(self) -> bytes:
        """The device's opaque data, where this connection allows any."""
        allowed = self.negotiated_version() < Version.V12 or self.opaque_format != OpaqueFormat.NONE
        return self.hardware.settings.opaque if allowed else b""

    # -- sizes ---------------------------------------------------------------------------------------------------

    def chunking(self) -> bool:
        """Both sides may chunk."""
        return bool(self.flags & self.requester_flags & Capability.CHUNK)

    def transfer_size(self) -> int | None:
        """The largest transport message this device sends, None when only the transport limits it."""
        if self.limit is None:
            return None
        return min(self.limit, self._own_size())

    def _own_size(self) -> int:
        """What the device sends at most in one message, which has to fit a record in a session."""
        size = self.hardware.settings.data_transfer_size
        return min(size, MAX_APPLICATION - _WRAPPED) if self.session else size

    def room(self, header: int) -> int:
        """How many bytes of payload a response with `header` bytes of its own may carry."""
        if self.chunking() and self.max_message_size is not None:
            return self.max_message_size - header
        return (self.transfer_size() or self._own_size()) - header

    def check_size(self, size: int) -> None:
        """Refuse a response of `size` bytes that this requester cannot receive."""
        most = self.max_message_size if self.chunking() else self.limit
        if most is not None and size > most:
            raise Refusal(ErrorCode.RESPONSE_TOO_LARGE, extended=extended_u32(size))

    # -- answering -----------------------------------------------------------------------------------------------

    def amend(self, message: M) -> M:
        """Pass a response by the lies."""
        return self.hardware.lies.amend(message, self)

    def encode(self, message: Message) -> bytes:
        """The octets of a response that carries no signature."""
        return self.hardware.lies.encode(self.amend(message).push(), self)

    def error(self, refusal: Refusal) -> bytes:
        """The octets of an ERROR."""
        message = ErrorResponse(self.negotiated_version(), refusal.code, refusal.data, refusal.extended)
        return self.amend(message).push()

    def sign(self, context: Context, slot: int, transcript: bytes, nonces: tuple[bytes, bytes]) -> bytes:
        """Sign a transcript with the key of `slot`; `nonces` are the requester's and the responder's."""
        if self.asym is None or self.base_hash is None or self.version is None:
            raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
        statement = Statement(
            context, self.version, self.asym, self.base_hash, slot, transcript, b"", nonces[0], nonces[1]
        )
        lies = self.hardware.lies
        signature = sign_statement(lies.statement(statement), self.slot(slot).credentials.key)
        return lies.signature(signature, statement)
