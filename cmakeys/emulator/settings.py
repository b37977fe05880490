"""What an emulated device can do, apart from its keys: versions, capabilities, sizes and preferences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cmakeys.emulator.disclosure_settings import Disclosures
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.spdm.algorithms import BaseAsym, BaseHash, MeasurementHash, PqcAsym
from cmakeys.spdm.codes import Capability, Version
from cmakeys.spdm.rules import PSK


class MeasurementSupport(Enum):
    """MEAS_CAP."""

    NONE = Capability(0)
    UNSIGNED = Capability.MEAS_UNSIGNED
    SIGNED = Capability.MEAS_SIGNED


class MultiKey(Enum):
    """MULTI_KEY_CAP, since 1.3."""

    NONE = Capability(0)
    ONLY = Capability.MULTI_KEY_ONLY
    NEGOTIABLE = Capability.MULTI_KEY_NEGOTIABLE


HASH_PRIORITY: tuple[BaseHash, ...] = (
    BaseHash.SHA_384,
    BaseHash.SHA_512,
    BaseHash.SHA_256,
    BaseHash.SHA3_384,
    BaseHash.SHA3_512,
    BaseHash.SHA3_256,
)
MEASUREMENT_HASH_PRIORITY: tuple[MeasurementHash, ...] = (
    MeasurementHash.SHA_384,
    MeasurementHash.SHA_512,
    MeasurementHash.SHA_256,
    MeasurementHash.SHA3_384,
    MeasurementHash.SHA3_512,
    MeasurementHash.SHA3_256,
)
ASYM_PRIORITY: tuple[BaseAsym | PqcAsym, ...] = (
    BaseAsym.ECDSA_P384,
    BaseAsym.ECDSA_P521,
    BaseAsym.ECDSA_P256,
    BaseAsym.RSAPSS_4096,
    BaseAsym.RSAPSS_3072,
    BaseAsym.RSAPSS_2048,
    BaseAsym.RSASSA_4096,
    BaseAsym.RSASSA_3072,
    BaseAsym.RSASSA_2048,
    BaseAsym.ED448,
    BaseAsym.ED25519,
    PqcAsym.ML_DSA_87,
    PqcAsym.ML_DSA_65,
    PqcAsym.ML_DSA_44,
)
PQC_FIRST: tuple[BaseAsym | PqcAsym, ...] = tuple(
    sorted(ASYM_PRIORITY, key=lambda algorithm: isinstance(algorithm, BaseAsym))
)


_OF_CERTIFICATES = (
    Capability.CERT
    | Capability.ALIAS_CERT
    | Capability.SET_CERT
    | Capability.CSR
    | Capability.GET_KEY_PAIR_INFO
    | Capability.LARGE_RESP
)
"""What a device without certificates does not have."""


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """How the device behaves.

    `hashes`, `measurement_hashes` and `algorithms` are supported sets in order of preference; which of `algorithms`
    is really offered follows from the keys. Sizes are bytes; `portion_limit` caps a CERTIFICATE portion, 0 means
    what fits. `opaque` is sent in CHALLENGE_AUTH and MEASUREMENTS, from 1.2 on only when a format was negotiated.
    Without `sessions` the device makes none, and without `disclosures` it tells nothing beyond attestation. With
    `provisioned_key` it shows no certificates: who asks has to know the public key of its lowest slot.
    """

    versions: tuple[Version, ...] = tuple(Version)
    hashes: tuple[BaseHash, ...] = HASH_PRIORITY
    measurement_hashes: tuple[MeasurementHash, ...] = MEASUREMENT_HASH_PRIORITY
    algorithms: tuple[BaseAsym | PqcAsym, ...] = ASYM_PRIORITY
    measurements: MeasurementSupport = MeasurementSupport.SIGNED
    challenge: bool = True
    chunking: bool = True
    large_chains: bool = True
    multi_key: MultiKey = MultiKey.NONE
    ct_exponent: int = 20
    data_transfer_size: int = 0x1200
    max_message_size: int = 0x28000
    portion_limit: int = 0
    opaque: bytes = b""
    sessions: SessionSettings | None = None
    disclosures: Disclosures | None = None
    provisioned_key: bool = False

    def __post_init__(self) -> None:
        if self.provisioned_key and (Version.V10 in self.versions or self.multi_key is not MultiKey.NONE):
            raise ValueError("a provisioned key goes with neither SPDM 1.0 nor several keys")

    def flags(self, *, alias: bool) -> Capability:
        """All flags of CAPABILITIES, not yet masked for a version."""
        flags = Capability.CERT | self.measurements.value
        if self.measurements != MeasurementSupport.NONE:
            flags |= Capability.MEAS_FRESH
        if self.challenge:
            flags |= Capability.CHAL
        if self.chunking:
            flags |= Capability.CHUNK
        if alias:
            flags |= Capability.ALIAS_CERT
        if self.multi_key != MultiKey.NONE:
            flags |= self.multi_key.value | Capability.GET_KEY_PAIR_INFO
        if self.large_chains:
            flags |= Capability.LARGE_RESP
        if self.sessions is not None:
            flags |= self.sessions.flags()
        if self.disclosures is not None:
            flags |= self.disclosures.flags()
        if self.provisioned_key:
            flags = flags & ~_OF_CERTIFICATES | Capability.PUB_KEY_ID
        # Events are told in sessions alone, and whoever makes none may not announce them.
        if not flags & (Capability.KEY_EX | PSK):
            flags &= ~Capability.EVENT
        return flags
