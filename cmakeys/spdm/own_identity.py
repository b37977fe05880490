"""Who we are, for a device that asks: one chain with its key, and the answers to what a device may ask about it.

The requests come encapsulated, after CHALLENGE or in the handshake of a session (reference §5.7). Anything but them is
answered UnsupportedRequest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cmakeys.spdm.algorithms import SIGNATURE_SIZES, BaseAsym, BaseHash, HashFunction, PqcAsym
from cmakeys.spdm.codes import (
    NONCE_LENGTH,
    Capability,
    CertificateModel,
    ErrorCode,
    KeyUsage,
    RequestCode,
    Version,
)
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.messages.certificates import (
    CertificateResponse,
    Digests,
    GetCertificate,
    GetDigests,
    SlotInfo,
    push_chain_structure,
)
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.negotiation import TABLE_REQ_BASE_ASYM, TABLE_REQ_PQC_ASYM, StructTable
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.signer import PrivateKey, sign_statement
from cmakeys.spdm.signing import Context, Statement, asym_of_key
from cmakeys.spdm.terms import requester_asym, requester_multi_key
from cmakeys.spdm.transcript import Transcript
from cmakeys.spdm.wire import Reader, WireError

SLOT = 0
"""The one slot of ours."""

_KEY_PAIR = 1
_PORTION = 0x1000
"""Bytes of our chain that one answer holds."""

_FLAGS = Capability.CERT | Capability.CHAL | Capability.MUT_AUTH | Capability.ENCAP


@dataclass(frozen=True, slots=True)
class Credentials:
    """Certificates in DER, root first and leaf last, and the leaf's private key."""

    certificates: tuple[bytes, ...]
    key: PrivateKey = field(repr=False)

    def algorithms(self) -> tuple[BaseAsym | PqcAsym, ...]:
        """The negotiable algorithms that the key can serve; empty when SPDM has none for it."""
        return asym_of_key(self.key.public_key())

    def offered(self, offer: Offer) -> Offer:
        """The offer of a requester that has these, and may be asked for them."""
        base, pqc = BaseAsym(0), PqcAsym(0)
        for algorithm in self.algorithms():
            if isinstance(algorithm, BaseAsym):
                base |= algorithm
            else:
                pqc |= algorithm
        masks = ((TABLE_REQ_BASE_ASYM, base.value), (TABLE_REQ_PQC_ASYM, pqc.value))
        ours = [StructTable(kind, mask) for kind, mask in masks if mask]
        others = [table for table in offer.tables if table.type not in dict(masks)]
        tables = tuple(sorted((*others, *ours), key=lambda table: table.type))
        return replace(offer, tables=tables, requester_flags=offer.requester_flags | _FLAGS)


class OwnIdentity:
    """The `Identity` of a requester (see `encapsulated`): it keeps the transcript of what the device asked."""

    def __init__(self, requester: Requester, credentials: Credentials) -> None:
        self._requester = requester
        self._credentials = credentials
        self._transcript = Transcript()

    @property
    def _connection(self) -> Connection:
        return self._requester.connection

    @property
    def _version(self) -> Version:
        return self._connection.version or Version.V10

    def _function(self) -> HashFunction:
        function = self._connection.hash
        if function is None:
            raise WireError("no hash was negotiated", object="our own chain")
        return function

    def chain_structure(self, slot: int) -> bytes:
        """Our chain; there is one slot. Raises `WireError` for another."""
        if slot != SLOT:
            raise WireError(f"our slot {slot} is asked for, and there is only {SLOT}", object="our own chain")
        certificates = self._credentials.certificates
        return push_chain_structure(self._function().digest(certificates[0]), b"".join(certificates))

    def sign(
        self, slot: int, version: Version, asym: BaseAsym | PqcAsym, base_hash: BaseHash, context: Context, data: bytes
    ) -> bytes:
        """A signature over the transcript `data`."""
        if asym not in self._credentials.algorithms():
            raise WireError("the algorithm negotiated for us is not our key's", object="our own key")
        statement = Statement(context, version, asym, base_hash, slot, data, b"", b"", b"")
        return sign_statement(statement, self._credentials.key)

    def answer(self, request: bytes) -> bytes:
        """The whole response to a request of the device; an ERROR where it cannot be answered."""
        code = request[1] if len(request) > 1 else 0
        answers = {
            RequestCode.GET_DIGESTS: self._digests,
            RequestCode.GET_CERTIFICATE: self._certificate,
            RequestCode.CHALLENGE: self._challenge_auth,
        }
        if code not in answers:
            return self._error(ErrorCode.UNSUPPORTED_REQUEST, code)
        known = RequestCode(code)
        self._transcript.begin(known)
        try:
            return answers[known](Reader(request, f"encapsulated {known.name}"))
        except WireError:
            return self._error(ErrorCode.INVALID_REQUEST)

    def _error(self, code: ErrorCode, data: int = 0) -> bytes:
        return ErrorResponse(self._version, code, data).push()

    def _digests(self, reader: Reader) -> bytes:
        GetDigests.pull(reader)
        multi_key = requester_multi_key(self._connection)
        usage = KeyUsage.KEY_EXCHANGE | KeyUsage.CHALLENGE
        info = (SlotInfo(_KEY_PAIR, CertificateModel.DEVICE, usage),) if multi_key else ()
        mask = 1 << SLOT
        digest = self._function().digest(self.chain_structure(SLOT))
        supported = mask if self._version >= Version.V13 else 0
        octets = Digests(self._version, mask, (digest,), supported, info).push()
        self._transcript.add_b(reader.consumed(), octets)
        return octets

    def _certificate(self, reader: Reader) -> bytes:
        asked = GetCertificate.pull(reader)
        structure = self.chain_structure(asked.slot)
        if asked.offset >= len(structure):
            return self._error(ErrorCode.INVALID_REQUEST)
        portion = structure[asked.offset : asked.offset + min(asked.length, self._room())]
        left = len(structure) - asked.offset - len(portion)
        octets = CertificateResponse(self._version, asked.slot, portion, left, asked.large).push()
        self._transcript.add_b(reader.consumed(), octets)
        return octets

    def _room(self) -> int:
        """Bytes of a portion that fit one message to the device, with what carries them."""
        capabilities = self._connection.capabilities
        most = capabilities.data_transfer_size if capabilities and capabilities.data_transfer_size else _PORTION
        return max(1, min(_PORTION, most - 32))

    def _challenge_auth(self, reader: Reader) -> bytes:
        asked = Challenge.pull(reader)
        connection, structure = self._connection, self.chain_structure(asked.slot)
        asym, base_hash = requester_asym(connection), connection.base_hash
        if asym is None or base_hash is None:
            return self._error(ErrorCode.UNEXPECTED_REQUEST)
        answer = ChallengeAuth(
            self._version,
            asked.slot,
            1 << SLOT,
            self._function().digest(structure),
            self._requester.entropy(NONCE_LENGTH),
            b"",
            b"",
            asked.context,
            bytes(SIGNATURE_SIZES[asym]),
        )
        # M1 of the other direction begins with VCA only since 1.2 (reference §5.7).
        vca = connection.transcript.vca if self._version >= Version.V12 else b""
        data = vca + self._transcript.m1(reader.consumed(), answer.push_unsigned())
        signature = self.sign(asked.slot, self._version, asym, base_hash, Context.REQUESTER_CHALLENGE_AUTH, data)
        return replace(answer, signature=signature).push()
