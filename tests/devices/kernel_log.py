"""Log entries as a kernel writes them: a kernel-like requester talks to the emulated device, and the bytes are cut up.

Written down here independently of the code under test: the transcript is every message joined, less the signature.
"""

from __future__ import annotations

from cmakeys.emulator.device import Device
from cmakeys.evidence.live import Question
from cmakeys.evidence.model import Evidence
from cmakeys.spdm.algorithms import BaseAsym, BaseHash, OpaqueFormat, PqcAsym
from cmakeys.spdm.codes import Capability, RequestCode, Version
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import MeasurementMode, Plan
from tests.evidence.loopback import attest

KERNEL_VERSIONS = (Version.V10, Version.V11, Version.V12, Version.V13)
CHALLENGE_AUTH = b"responder-challenge_auth signing"
_KERNEL_ASYM = BaseAsym.ECDSA_P256 | BaseAsym.ECDSA_P384 | BaseAsym.ECDSA_P521 | BaseAsym.RSASSA_3072
_HASHES = {0x01: b"sha256", 0x02: b"sha384", 0x04: b"sha512"}


def kernel_conversation(device: Device, version: Version = Version.V12, nonce: bytes | None = None) -> Evidence:
    """What the series' requester asks (kernel-abi 6.1, 6.2): no measurements, no chunks, every slot in large pieces."""
    offer = Offer(
        versions=frozenset({version}),
        base_asym=_KERNEL_ASYM,
        pqc_asym=PqcAsym(0),
        base_hash=BaseHash.SHA_256 | BaseHash.SHA_384 | BaseHash.SHA_512,
        requester_flags=Capability.CERT | Capability.CHAL,
        data_transfer_size=1_048_568,
        measurement_specification=0,
        opaque_format=OpaqueFormat.NONE,
        portion_length=0xFFFF,
    )
    return attest(device, question=Question(offer, Plan(measurements=MeasurementMode.NONE), nonce=nonce))


def entry_of(conversation: Evidence, signature_size: int = 96) -> dict[str, bytes]:
    """The files of one entry."""
    messages = b"".join(exchange.request + exchange.response for exchange in conversation.exchanges)
    challenge = conversation.exchanges[-1]
    assert challenge.request[1] == RequestCode.CHALLENGE
    version = challenge.request[0]
    algorithms = next(
        exchange.response
        for exchange in conversation.exchanges
        if exchange.request[1] == RequestCode.NEGOTIATE_ALGORITHMS
    )
    name = _HASHES[algorithms[16]]
    size = int(name[3:]) // 8
    prefix = b""
    if version >= Version.V12:
        stem = f"dmtf-spdm-v1.{version & 15}.*".encode() * 4
        prefix = stem + bytes(100 - len(stem) - len(CHALLENGE_AUTH)) + CHALLENGE_AUTH
    return {
        "signature": messages[-signature_size:],
        "transcript": messages[:-signature_size],
        "requester_nonce": challenge.request[4:36],
        "responder_nonce": challenge.response[4 + size : 36 + size],
        "hash_algorithm": name + b"\n",
        "combined_spdm_prefix": prefix,
        "type": CHALLENGE_AUTH + b"\n",
    }
