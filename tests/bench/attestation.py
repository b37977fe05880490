"""The requester's own work for one attestation, against the cryptography that nobody can avoid.

Both sides are CPU time of this process in the same run. The emulated device's time is left out: the clock stops
whenever a message is with the device. The floor is the same signature checks and hashes of the same bytes, called
directly from `cryptography` and hashlib, keys already parsed.
"""

from __future__ import annotations

import gc
import hashlib
import statistics
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceRequest, VendorAuthority
from cmakeys.spdm import attesting
from cmakeys.spdm.codes import Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.effects import Send
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Plan, Requester
from cmakeys.spdm.signing import Statement, verify_statement
from cmakeys.x509 import chain
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import Certificate
from tests.bench.ratio import Ratio

ROUNDS = 60
HASH_SIZE = 48


def attest(device: Device, root: Certificate) -> tuple[float, Connection]:
    """Seconds of requester CPU for one full attestation with path verification, and what was learnt."""
    spent = 0.0
    requester = Requester(Offer(versions=frozenset({Version.V12})))
    start = time.process_time()
    flow = attesting.attest(requester, Plan())
    effect = next(flow)
    while True:
        assert isinstance(effect, Send)
        spent += time.process_time() - start
        answer = device.respond(effect.message)
        start = time.process_time()
        assert answer is not None
        try:
            effect = flow.send(answer)
        except StopIteration:
            break
    connection = requester.connection
    certificates = SpdmChain.parse(connection.chains[0], HASH_SIZE, "slot 0").certificates
    assert not chain.check_structure(certificates)
    assert not chain.check_signatures(certificates)
    assert chain.find_anchor(certificates, [root]) == root
    for statement in statements(connection):
        verify_statement(statement, certificates[-1].public_key)
    return spent + time.process_time() - start, connection


def statements(connection: Connection) -> tuple[Statement, Statement]:
    """CHALLENGE_AUTH and MEASUREMENTS."""
    assert connection.challenge is not None
    assert connection.measurements is not None
    return connection.challenge, connection.measurements.statement


def floor(connection: Connection) -> Callable[[], None]:
    """The unavoidable part as a function: every signature of the chain and of the device, every hash of their bytes."""
    structure = connection.chains[0]
    certificates = SpdmChain.parse(structure, HASH_SIZE, "slot 0").certificates
    issuers = (certificates[0], *certificates[:-1])
    signatures: list[tuple[ec.EllipticCurvePublicKey, bytes, bytes]] = []
    for issuer, certificate in zip(issuers, certificates, strict=True):
        key = issuer.public_key
        assert isinstance(key, ec.EllipticCurvePublicKey)
        signatures.append((key, certificate.parsed.signature, certificate.parsed.tbs_certificate_bytes))
    leaf = certificates[-1].public_key
    assert isinstance(leaf, ec.EllipticCurvePublicKey)
    transcripts = []
    for statement in statements(connection):
        half = len(statement.signature) // 2
        r, s = (int.from_bytes(part, "big") for part in (statement.signature[:half], statement.signature[half:]))
        signatures.append((leaf, encode_dss_signature(r, s), statement.signed_message()))
        transcripts.append(statement.transcript)

    def run() -> None:
        # The chain structure is hashed for DIGESTS and again for CertChainHash, each transcript once.
        for data in (structure, structure, *transcripts):
            hashlib.sha384(data).digest()
        for key, signature, message in signatures:
            key.verify(signature, message, ec.ECDSA(hashes.SHA384()))

    return run


def ratios() -> list[Ratio]:
    """SPDM 1.2 with P-384: set-up, digests, chain with path verification, challenge, signed measurements."""
    authority = VendorAuthority.create("Bench Vendor", KeyType.ECDSA_P384)
    device = Device(Hardware({0: (authority.issue_device(DeviceRequest("bench")),)}))
    root = authority.certificate
    _, connection = attest(device, root)
    minimum = floor(connection)
    ours, theirs = [], []
    gc.collect()
    for _ in range(ROUNDS):
        ours.append(attest(device, root)[0])
        start = time.process_time()
        minimum()
        theirs.append(time.process_time() - start)
    goal = "requester CPU of one attestation against its bare cryptography"
    return [Ratio(goal, statistics.median(ours) * 1000, statistics.median(theirs) * 1000, 1.6)]
