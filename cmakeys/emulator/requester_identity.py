"""Who a requester is when it authenticates itself to the device: its chain, read, and judged by the device's anchors.

A device without anchors takes any chain whose signatures hold, as DMTF's emulator does: it proves that the requester
has a key, not whose it is. Dates and revocation are not looked at; a device has no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.messages.certificates import push_chain_structure
from cmakeys.x509.bundle import MAX_LARGE_CHAIN_SIZE, SpdmChain
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.chain import check_root_hash, check_signatures, check_structure, find_anchor


class StrangeRequester(EvidenceProblem):
    """The requester's chain is not one that the device accepts."""

    code = "requester"


@dataclass(frozen=True, slots=True)
class RequesterIdentity:
    """A chain structure of the requester and the leaf in it."""

    structure: bytes
    leaf: Certificate

    @classmethod
    def read(cls, structure: bytes, function: HashFunction, anchors: Sequence[Certificate]) -> RequesterIdentity:
        """Judge a chain structure. Raises `EvidenceProblem` for one that is broken or not anchored."""
        chain = SpdmChain.parse(structure, function.size, "requester's chain", max_size=MAX_LARGE_CHAIN_SIZE)
        certificates = chain.certificates
        anchor = find_anchor(certificates, list(anchors)) if anchors else None
        faults = [
            *check_structure(certificates),
            *check_signatures(certificates),
            *(check_root_hash(certificates, chain.root_hash, function.digest, anchor) if anchor else ()),
        ]
        if faults:
            raise StrangeRequester(faults[0].message, object="requester's chain")
        if anchors and anchor is None:
            raise StrangeRequester(
                "the requester's chain leads to no root that the device trusts", object="requester's chain"
            )
        return cls(structure, certificates[-1])

    @classmethod
    def provisioned(cls, certificates: Sequence[Certificate], function: HashFunction) -> RequesterIdentity:
        """The identity of a chain that was put into the device, its root first, under a negotiated hash."""
        ders = b"".join(certificate.der for certificate in certificates)
        structure = push_chain_structure(function.digest(certificates[0].der), ders)
        return cls(structure, certificates[-1])
