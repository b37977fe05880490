"""KEY_PAIR_INFO of the emulated responder: which key pair stands behind which slot (reference §7.5), since 1.3.

A device with multi-key connections has to answer it. One key pair belongs to each slot, fixed in its algorithm.

| off | size | field |
| --- | --- | --- |
| 4 | 1 | TotalKeyPairs |
| 5 | 1 | KeyPairID |
| 6 | 2 | Capabilities |
| 8 | 2, 2 | KeyUsageCapabilities, CurrentKeyUsage |
| 12 | 4, 4 | AsymAlgoCapabilities, CurrentAsymAlgo |
| 20 | 2 | PublicKeyInfoLen p |
| 22 | 1 | AssociatedCertSlotMask |
| 23 | p | PublicKeyInfo, a DER AlgorithmIdentifier |
| 23+p | 1+4, 1+4 | PqcAsymAlgo capabilities and current, each with its length [1.4] |
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceCredentials
from cmakeys.spdm.codes import ErrorCode, RequestCode, Version
from cmakeys.spdm.messages.header import pull_header
from cmakeys.spdm.wire import Reader, le
from cmakeys.x509.der import read_element

KEY_PAIR_INFO = 0x7C
_NOTHING_SETTABLE = 0
"""Capabilities of a key pair; libspdm wants 0 of a device without SET_KEY_PAIR_INFO_CAP."""

_ALGORITHM_BITS = {
    KeyType.RSA_2048: 0x001,
    KeyType.RSA_3072: 0x002,
    KeyType.RSA_4096: 0x004,
    KeyType.ECDSA_P256: 0x008,
    KeyType.ECDSA_P384: 0x010,
    KeyType.ECDSA_P521: 0x020,
    KeyType.ED25519: 0x080,
    KeyType.ED448: 0x100,
}
"""AsymAlgoCapabilities has a numbering of its own: an RSA key is one bit here and two in BaseAsymAlgo."""


@dataclass(frozen=True, slots=True)
class KeyPairInfo:
    """One key pair."""

    version: Version
    total: int
    number: int
    usage: int
    algorithm: int
    slot_mask: int
    algorithm_identifier: bytes
    pqc_algorithm: int = 0

    def push(self) -> bytes:
        """Encode."""
        message = (
            bytes((self.version, KEY_PAIR_INFO, 0, 0, self.total, self.number))
            + le(_NOTHING_SETTABLE, 2)
            + le(self.usage, 2) * 2
            + le(self.algorithm, 4) * 2
            + le(len(self.algorithm_identifier), 2)
            + bytes((self.slot_mask,))
            + self.algorithm_identifier
        )
        if self.version < Version.V14:
            return message
        return message + (b"\x04" + le(self.pqc_algorithm, 4)) * 2


def answer_key_pair_info(talk: Conversation, reader: Reader) -> bytes:
    """KEY_PAIR_INFO; the number of a key pair is its slot's plus one."""
    header = pull_header(reader, RequestCode.GET_KEY_PAIR_INFO)
    number = reader.u8("KeyPairID")
    slots = talk.slots()
    chain = slots.get(number - 1)
    if chain is None:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    credentials = chain.credentials
    octets = talk.encode(
        KeyPairInfo(
            header.version,
            max(slots) + 1,
            number,
            talk.key_usage(),
            _ALGORITHM_BITS.get(credentials.key_type, 0),
            1 << (number - 1),
            _algorithm_identifier(credentials),
            credentials.key_type.pqc_asym.value,
        )
    )
    talk.check_size(len(octets))
    return octets


def _algorithm_identifier(credentials: DeviceCredentials) -> bytes:
    """The first element inside SubjectPublicKeyInfo."""
    spki = credentials.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    identifier = read_element(spki, read_element(spki, 0).content)
    return spki[identifier.start : identifier.end]
