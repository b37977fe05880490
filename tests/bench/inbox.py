"""What it costs to judge the evidence of a fleet, against the cryptography of it that nobody can avoid.

The floor is what differs from device to device: the signatures of its leaf, CHALLENGE_AUTH and MEASUREMENTS, its public
key, which is decoded and found to be a point of the curve once, and the hashes of their bytes; called directly from
`cryptography` and hashlib. The leaf is checked by the library's function for certificates, which decodes the issuer's
key each time, a fiftieth of the floor; we do not check certificates in another way to save that. Ours is everything
from the bytes of a file to the line of JSON, in one process that has settled as a worker does, in CPU time, chunk by
chunk in turns with the floor. Two workers are held against one by the clock on the wall, so that needs two processors
that nobody else is using; so does the first ratio in truth, because a neighbour takes more of the caches from us than
from the floor.

`python -m tests.bench.inbox 100000` takes another number of devices, P-384 like the others.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from cmakeys.evidence import archive
from cmakeys.fleet.conductor import CHUNK_ITEMS, judge_all
from cmakeys.fleet.crew import Processes
from cmakeys.fleet.item import Item, Judged
from cmakeys.fleet.processes import settle
from cmakeys.fleet.worker import judge_items
from cmakeys.offline import Bench
from cmakeys.spdm.signing import Statement
from cmakeys.verify.policy import Policy
from cmakeys.verify.review import review
from tests.bench.ratio import Ratio
from tests.evidence.loopback import NOW
from tests.fleet.inbox import evidence, trusting

DEVICES = 2_000
ROUNDS = 3

Signed = tuple[bytes, bytes]
"""Signature and message."""


def inbox(count: int) -> list[Item]:
    """The files of so many devices of three vendors, each with a key and a leaf of its own."""
    return [Item(f"{number:06}.json", None, archive.encode(one), 0.0) for number, one in enumerate(evidence(count))]


def floor(items: Sequence[Item]) -> Callable[[], None]:
    """The unavoidable part of these items as a function."""
    leaves: list[tuple[x509.Certificate, x509.Certificate]] = []
    said: list[tuple[bytes, list[Signed]]] = []
    hashed: list[bytes] = []
    for item in items:
        facts = review(archive.decode(item.data, item.name))
        *_, above, leaf = facts.certificates
        assert facts.challenge is not None
        leaves.append((leaf.parsed, above.parsed))
        own = leaf.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        said.append((own, []))
        # The chain is hashed for DIGESTS and again for CertChainHash, each transcript once.
        hashed += [b"".join(one.der for one in facts.certificates)] * 2
        for statement in (facts.challenge, *(series.statement for series in facts.measurements)):
            said[-1][1].append((der_signature(statement), statement.signed_message()))
            hashed.append(statement.transcript)
    documents = [item.data for item in items]

    def run() -> None:
        for data in hashed:
            hashlib.sha384(data).digest()
        for data in documents:
            hashlib.sha256(data).digest()
        for certificate, issuer in leaves:
            certificate.verify_directly_issued_by(issuer)
        for own, statements in said:
            key = load_der_public_key(own)
            assert isinstance(key, ec.EllipticCurvePublicKey)
            for signature, message in statements:
                key.verify(signature, message, ec.ECDSA(hashes.SHA384()))

    return run


def der_signature(statement: Statement) -> bytes:
    half = len(statement.signature) // 2
    first, second = statement.signature[:half], statement.signature[half:]
    return encode_dss_signature(int.from_bytes(first, "big"), int.from_bytes(second, "big"))


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def judge_into(results: list[Judged], bench: Bench, items: Sequence[Item]) -> None:
    results += judge_items(bench, items)


def per_core(bench: Bench, items: Sequence[Item]) -> tuple[float, float]:
    """CPU milliseconds of judging all items in this process, each for the first time, and of their floor."""
    ours = theirs = 0.0
    for start in range(0, len(items), CHUNK_ITEMS):
        chunk = items[start : start + CHUNK_ITEMS]
        minimum = floor(chunk)
        results: list[Judged] = []
        ours += cpu(partial(judge_into, results, bench, chunk))
        theirs += cpu(minimum)
        assert {result.outcome for result in results} == {"trusted"}
    return ours, theirs


def wall(bench: Bench, items: Sequence[Item], jobs: int) -> float:
    """Milliseconds until so many processes have judged all items, their start not counted."""
    with closing(Processes(jobs)) as crew:
        for _ in judge_all(bench, items[: 4 * CHUNK_ITEMS], crew):
            pass
        start = time.perf_counter()
        count = sum(len(results) for results in judge_all(bench, items, crew))
        taken = (time.perf_counter() - start) * 1000
    assert count == len(items)
    return taken


def ratios(count: int = DEVICES) -> list[Ratio]:
    """CPU time against the floor, and one worker against two."""
    items, bench = inbox(count), Bench(trusting(), Policy(), NOW)
    judge_items(bench, items[:CHUNK_ITEMS])
    threshold = gc.get_threshold()
    settle()
    ours, theirs = per_core(bench, items[CHUNK_ITEMS:])
    gc.unfreeze()
    gc.set_threshold(*threshold)
    found = [Ratio(f"judging the evidence of {count} devices against its bare cryptography", ours, theirs, 1 / 0.7)]
    if len(os.sched_getaffinity(0)) > 1:
        rounds = [(wall(bench, items, 2), wall(bench, items, 1)) for _ in range(ROUNDS)]
        two, one = (min(times) for times in zip(*rounds, strict=True))
        found.append(Ratio(f"two workers against one, {count} devices", two, one, 1 / 1.8))
    return found


if __name__ == "__main__":
    for ratio in ratios(int(sys.argv[1]) if len(sys.argv) > 1 else DEVICES):
        print(ratio, flush=True)
