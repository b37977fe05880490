"""A session: what its set-up costs beside its cryptography, and what the records cost that are then exchanged.

CPU time of this process on both sides, in the same run. As for an attestation the emulated device's own time is left
out, and the floor is the same key agreement, signature check, hashes, derivations and records, called directly from
`cryptography`, hashlib and hmac. A stream of records is a MiB of different 4 KiB records, made and then opened: bare
are the same calls of the cipher alone, with nonces and header at hand.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import os
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceRequest, VendorAuthority
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.algorithms import Aead, Dhe
from cmakeys.spdm.codes import SummaryHash, Version
from cmakeys.spdm.effects import Flow, Send
from cmakeys.spdm.handshake import Established, SessionPlan, key_exchange
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.schedule import TrafficKeys
from cmakeys.spdm.secured import Binding, Channel, Opener, Sealer
from cmakeys.spdm.terms import with_sessions
from cmakeys.x509.bundle import SpdmChain
from tests.bench.ratio import Ratio

T = TypeVar("T")

ROUNDS = 60
STREAMS = 40
RECORDS = 256
RECORD_SIZE = 4096
_HASH = "sha384"
_HASH_SIZE = 48
_COORDINATE = 48


class Bench:
    """A requester that is connected to an emulated device, P-384 and AES-256-GCM on both sides."""

    def __init__(self) -> None:
        authority = VendorAuthority.create("Bench Vendor", KeyType.ECDSA_P384)
        settings = DeviceSettings(sessions=SessionSettings(agreements=(Dhe.SECP384R1,), aeads=(Aead.AES_256_GCM,)))
        self.device = Device(Hardware({0: (authority.issue_device(DeviceRequest("bench")),)}, settings))
        self.requester = Requester(with_sessions(Offer(versions=frozenset({Version.V12}))))
        self.run(self.requester.connect())
        self.run(self.requester.digests())
        self.run(self.requester.certificate(0))
        structure = self.requester.connection.chains[0]
        key = SpdmChain.parse(structure, _HASH_SIZE, "slot 0").certificates[-1].public_key
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.key = key

    def run(self, flow: Flow[T]) -> tuple[float, T]:
        """Seconds of our own work in a flow, and what it gives."""
        spent = 0.0
        answer = b""
        while True:
            start = time.process_time()
            try:
                effect = flow.send(answer) if answer else next(flow)
            except StopIteration as stop:
                result: T = stop.value
                return spent + time.process_time() - start, result
            spent += time.process_time() - start
            assert isinstance(effect, Send)
            said = self.device.respond(effect.message, secured=effect.secured)
            assert said is not None
            answer = said

    def establish(self) -> tuple[float, Established]:
        """Seconds of our own work for one session, from KEY_EXCHANGE to FINISH_RSP."""
        plan = SessionPlan(Binding.PCI_DOE, summary=SummaryHash.ALL)
        spent, established = self.run(key_exchange(self.requester, plan, self.key))
        self.run(established.session.end())
        return spent, established


def floor(key: ec.EllipticCurvePublicKey, established: Established) -> Callable[[], None]:
    """The unavoidable part of one set-up as a function."""
    statement = established.statement
    assert statement is not None
    half = len(statement.signature) // 2
    signature = encode_dss_signature(
        *(int.from_bytes(part, "big") for part in (statement.signature[:half], statement.signature[half:]))
    )
    signed, th1 = statement.signed_message(), statement.transcript + statement.signature
    device = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    point = b"\x04" + device.x.to_bytes(_COORDINATE, "big") + device.y.to_bytes(_COORDINATE, "big")
    secret, finish = bytes(_HASH_SIZE), bytes(4 + _HASH_SIZE)

    def run() -> None:
        own = ec.generate_private_key(ec.SECP384R1())
        own.public_key().public_numbers()
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)
        own.exchange(ec.ECDH(), peer)
        key.verify(signature, signed, ec.ECDSA(hashes.SHA384()))
        # TH at TH1, for both verify data, and at TH2; the transcript that is signed was hashed by the check above.
        for _ in range(4):
            hashlib.sha384(th1).digest()
        # Two extractions and the salt between them, five secrets, two finished keys with their verify data, and of
        # each direction in each of two phases a key and an IV.
        for _ in range(3 + 5 + 4 + 8):
            hmac.digest(secret, secret, _HASH)
        ciphers = [AESGCM(secret[:32]) for _ in range(4)]
        record = ciphers[0].encrypt(secret[:12], finish, b"")
        ciphers[0].decrypt(secret[:12], record, b"")

    return run


def bare(messages: list[bytes]) -> float:
    """Seconds for the cipher alone to protect and open these messages."""
    cipher, header = AESGCM(bytes(32)), bytes(6)
    nonces = [number.to_bytes(12, "little") for number in range(len(messages))]
    start = time.process_time()
    records = [cipher.encrypt(nonce, message, header) for nonce, message in zip(nonces, messages, strict=True)]
    for nonce, record in zip(nonces, records, strict=True):
        cipher.decrypt(nonce, record, header)
    return time.process_time() - start


def stream(messages: list[bytes]) -> float:
    """Seconds for the records of a session that carry these messages, both ways."""
    channel, keys = Channel(0xFFFFFFFF, Binding.PCI_DOE, Aead.AES_256_GCM), TrafficKeys(bytes(32), bytes(12))
    sealer, opener = Sealer(channel, keys), Opener(channel, keys)
    start = time.process_time()
    records = [sealer.seal(message) for message in messages]
    for record in records:
        opener.application(record)
    return time.process_time() - start


def ratios() -> list[Ratio]:
    """Set-up of a session with SPDM 1.2, and a stream of records in it."""
    bench = Bench()
    minimum = floor(bench.key, bench.establish()[1])
    ours, theirs = [], []
    gc.collect()
    for _ in range(ROUNDS):
        ours.append(bench.establish()[0])
        start = time.process_time()
        minimum()
        theirs.append(time.process_time() - start)
    messages = [os.urandom(RECORD_SIZE) for _ in range(RECORDS)]
    records = [(stream(messages), bare(messages)) for _ in range(STREAMS)]
    sealed, plain = (statistics.median(column) for column in zip(*records, strict=True))
    return [
        Ratio(
            "requester CPU of one session's set-up against its bare cryptography",
            statistics.median(ours) * 1000,
            statistics.median(theirs) * 1000,
            1.8,
        ),
        # Throughput of at least 0.6 times the cipher's is time of at most its inverse.
        Ratio("a MiB of 4 KiB records against bare calls of the cipher", sealed * 1000, plain * 1000, 1 / 0.6),
    ]
