"""The key schedule of a session, for 1.1 to 1.4 (reference §5.6): from the shared secret to every key.

    shared secret or PSK → Handshake-Secret → request / response handshake secrets (over TH1)
                                │                 ├→ finished key → verify data of FINISH and its kin
                                │                 └→ key and IV of the handshake's records
                                └→ Master-Secret → request / response data secrets, exporter secret (over TH2)
                                                      ├→ key and IV of the records that follow
                                                      └→ the next data secret, at each KEY_UPDATE

Nothing here is ever shown: no value prints its bytes, and a session drops them when it ends.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, Aead, BaseHash
from cmakeys.spdm.codes import Version
from cmakeys.spdm.signing import hash_algorithm

IV_LENGTH = 12
"""Bytes of the IV, with each AEAD that SPDM knows."""

AEAD_KEY_LENGTHS: dict[Aead, int] = {
    Aead.AES_128_GCM: 16,
    Aead.AES_256_GCM: 32,
    Aead.CHACHA20_POLY1305: 32,
    Aead.SM4_128_GCM: 16,
}
"""Bytes of a key."""


def bin_concat(version: Version, length: int, label: str, context: bytes = b"") -> bytes:
    """HKDF's info: output length u16 little-endian, `spdm1.X `, the label, and the transcript hash if there is one."""
    return length.to_bytes(2, "little") + f"spdm{version} {label}".encode("ascii") + context


@dataclass(frozen=True, slots=True)
class TrafficKeys:
    """Key and IV of one direction, until the next update."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrafficSecret:
    """The secret of one direction in one phase; what is derived from it needs no transcript."""

    version: Version
    base_hash: BaseHash
    value: bytes = field(repr=False)

    def expand(self, label: str, length: int, context: bytes = b"") -> bytes:
        """HKDF-Expand of this secret with a label of the specification."""
        info = bin_concat(self.version, length, label, context)
        return HKDFExpand(hash_algorithm(self.base_hash), length, info).derive(self.value)

    def keys(self, aead: Aead) -> TrafficKeys:
        """Key and IV of the records."""
        return TrafficKeys(self.expand("key", AEAD_KEY_LENGTHS[aead]), self.expand("iv", IV_LENGTH))

    def updated(self) -> TrafficSecret:
        """The secret after a KEY_UPDATE."""
        return TrafficSecret(self.version, self.base_hash, self.expand("traffic upd", len(self.value)))

    def verify_data(self, transcript: bytes) -> bytes:
        """HMAC under the finished key of the hash of `transcript`, which is given whole."""
        function = BASE_HASH_FUNCTIONS[self.base_hash]
        return hmac.digest(self.expand("finished", function.size), function.digest(transcript), function.name)

    def verifies(self, verify_data: bytes, transcript: bytes) -> bool:
        """The other side's verify data is right; compared in constant time."""
        return hmac.compare_digest(verify_data, self.verify_data(transcript))


@dataclass(frozen=True, slots=True)
class Secrets:
    """Both directions of one phase; `exporter` only of the data phase, for keys outside SPDM."""

    request: TrafficSecret
    response: TrafficSecret
    exporter: TrafficSecret | None = None


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """The Handshake-Secret, and the phases that follow from it."""

    handshake_secret: TrafficSecret

    @classmethod
    def of_exchange(cls, version: Version, base_hash: BaseHash, shared_secret: bytes) -> KeySchedule:
        """From the shared secret of KEY_EXCHANGE, DHE or KEM."""
        return cls(_extract(version, base_hash, bytes(BASE_HASH_FUNCTIONS[base_hash].size), shared_secret))

    @classmethod
    def of_psk(cls, version: Version, base_hash: BaseHash, psk: bytes) -> KeySchedule:
        """From a pre-shared key; since 1.3 its salt is all ones, so that it is never taken for the other kind."""
        fill = b"\xff" if version >= Version.V13 else b"\0"
        return cls(_extract(version, base_hash, fill * BASE_HASH_FUNCTIONS[base_hash].size, psk))

    def handshake(self, transcript: bytes) -> Secrets:
        """The handshake's secrets; `transcript` is what TH1 hashes."""
        th1 = self._hash(transcript)
        return Secrets(
            self._derive(self.handshake_secret, "req hs data", th1),
            self._derive(self.handshake_secret, "rsp hs data", th1),
        )

    def data(self, transcript: bytes) -> Secrets:
        """The secrets after the handshake; `transcript` is what TH2 hashes."""
        master = self.master()
        th2 = self._hash(transcript)
        return Secrets(
            self._derive(master, "req app data", th2),
            self._derive(master, "rsp app data", th2),
            self._derive(master, "exp master", th2),
        )

    def master(self) -> TrafficSecret:
        """The Master-Secret."""
        start = self.handshake_secret
        size = len(start.value)
        return _extract(start.version, start.base_hash, start.expand("derived", size), bytes(size))

    def _hash(self, transcript: bytes) -> bytes:
        return BASE_HASH_FUNCTIONS[self.handshake_secret.base_hash].digest(transcript)

    @staticmethod
    def _derive(secret: TrafficSecret, label: str, transcript_hash: bytes) -> TrafficSecret:
        value = secret.expand(label, len(secret.value), transcript_hash)
        return TrafficSecret(secret.version, secret.base_hash, value)


def _extract(version: Version, base_hash: BaseHash, salt: bytes, key_material: bytes) -> TrafficSecret:
    """HKDF-Extract, which is HMAC with the salt as its key."""
    value = hmac.digest(salt, key_material, BASE_HASH_FUNCTIONS[base_hash].name)
    return TrafficSecret(version, base_hash, value)
