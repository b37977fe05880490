"""What a requester offers: one value from which GET_CAPABILITIES and NEGOTIATE_ALGORITHMS are built."""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.algorithms import (
    MEASUREMENT_SPECIFICATION_DMTF,
    MULTI_KEY_CONN,
    SUPPORTED_BASE_ASYM,
    SUPPORTED_BASE_HASH,
    SUPPORTED_PQC_ASYM,
    BaseAsym,
    BaseHash,
    OpaqueFormat,
    PqcAsym,
)
from cmakeys.spdm.codes import REQUESTER_FLAGS, Capability, Version
from cmakeys.spdm.messages.capabilities import GetCapabilities
from cmakeys.spdm.messages.negotiation import TABLE_KEM, TABLE_KEY_SCHEDULE, NegotiateAlgorithms, StructTable

_EDDSA_AND_SM2 = BaseAsym.ED25519 | BaseAsym.ED448 | BaseAsym.SM2


@dataclass(frozen=True, slots=True)
class Offer:
    """A requester's offer.

    Sizes are bytes of SPDM, without any transport's framing. `portion_length` is what one GET_CERTIFICATE asks for.
    `requester_flags` of a requester that only authenticates is CHUNK_CAP: CERT_CAP there would mean that *we* have
    certificates (reference §2.2.2). `multi_key` asks for a multi-key connection where the device leaves the choice.
    """

    versions: frozenset[Version] = frozenset(Version)
    base_asym: BaseAsym = SUPPORTED_BASE_ASYM
    pqc_asym: PqcAsym = SUPPORTED_PQC_ASYM
    base_hash: BaseHash = SUPPORTED_BASE_HASH
    requester_flags: Capability = Capability.CHUNK
    ct_exponent: int = 20
    data_transfer_size: int = 0x10000
    max_message_size: int = 0x40000
    measurement_specification: int = MEASUREMENT_SPECIFICATION_DMTF
    opaque_format: OpaqueFormat = OpaqueFormat.GENERAL
    mel_specification: int = 0
    tables: tuple[StructTable, ...] = ()
    multi_key: bool = False
    portion_length: int = 0x1000

    def get_capabilities(self, version: Version) -> GetCapabilities:
        """GET_CAPABILITIES for the chosen version; flags it does not know are left out."""
        flags = Capability(int(self.requester_flags) & REQUESTER_FLAGS[version])
        maximum = self.max_message_size if flags & Capability.CHUNK else self.data_transfer_size
        return GetCapabilities(version, flags, self.ct_exponent, self.data_transfer_size, maximum)

    def negotiate_algorithms(self, version: Version, responder: Capability) -> NegotiateAlgorithms:
        """NEGOTIATE_ALGORITHMS for the chosen version; algorithms that it does not have are left out."""
        other_params = 0
        if version >= Version.V12:
            other_params = self.opaque_format.value
        wants_multi_key = responder & Capability.MULTI_KEY_ONLY or (
            self.multi_key and responder & Capability.MULTI_KEY_NEGOTIABLE
        )
        if version >= Version.V13 and wants_multi_key:
            other_params |= MULTI_KEY_CONN
        return NegotiateAlgorithms(
            version,
            self.base_asym if version >= Version.V12 else self.base_asym & ~_EDDSA_AND_SM2,
            self.base_hash,
            self.measurement_specification,
            other_params,
            self.pqc_asym if version >= Version.V14 else PqcAsym(0),
            self.mel_specification if version >= Version.V13 else 0,
            self._tables(version),
        )

    def _tables(self, version: Version) -> tuple[StructTable, ...]:
        if version < Version.V11:
            return ()
        last = TABLE_KEM if version >= Version.V14 else TABLE_KEY_SCHEDULE
        return tuple(table for table in self.tables if table.type <= last)
