"""KEY_PAIR_INFO of the emulated responder: which key pair stands behind which slot (reference §7.5), since 1.3.

A device with multi-key connections has to answer it. One key pair belongs to each slot, fixed in its algorithm.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceCredentials
from cmakeys.spdm.codes import ErrorCode
from cmakeys.spdm.messages.key_pairs import GetKeyPairInfo, KeyPairAsym, KeyPairInfo
from cmakeys.spdm.wire import Reader
from cmakeys.x509.der import read_element

_NOTHING_SETTABLE = 0
"""Capabilities of a key pair; libspdm wants 0 of a device without SET_KEY_PAIR_INFO_CAP."""

_ALGORITHMS = {
    KeyType.RSA_2048: KeyPairAsym.RSA2048,
    KeyType.RSA_3072: KeyPairAsym.RSA3072,
    KeyType.RSA_4096: KeyPairAsym.RSA4096,
    KeyType.ECDSA_P256: KeyPairAsym.ECC256,
    KeyType.ECDSA_P384: KeyPairAsym.ECC384,
    KeyType.ECDSA_P521: KeyPairAsym.ECC521,
    KeyType.ED25519: KeyPairAsym.ED25519,
    KeyType.ED448: KeyPairAsym.ED448,
}


def answer_key_pair_info(talk: Conversation, reader: Reader) -> bytes:
    """KEY_PAIR_INFO of one pair."""
    request = GetKeyPairInfo.pull(reader)
    pairs = {number: slot for slot, number in talk.key_pairs().items()}
    slot = pairs.get(request.key_pair)
    if slot is None:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    credentials = talk.slot(slot).credentials
    usage, asym = int(talk.key_usage()), int(_ALGORITHMS.get(credentials.key_type, 0))
    pqc = credentials.key_type.pqc_asym.value
    octets = talk.encode(
        KeyPairInfo(
            request.version,
            len(pairs),
            request.key_pair,
            _NOTHING_SETTABLE,
            usage,
            usage,
            asym,
            asym,
            _algorithm_identifier(credentials),
            1 << slot,
            pqc,
            pqc,
        )
    )
    talk.check_size(len(octets))
    return octets


def _algorithm_identifier(credentials: DeviceCredentials) -> bytes:
    """The first element inside SubjectPublicKeyInfo."""
    spki = credentials.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    identifier = read_element(spki, read_element(spki, 0).content)
    return spki[identifier.start : identifier.end]
