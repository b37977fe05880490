"""One `check` of 64 devices: how much of its time is waiting for devices and bare cryptography.

The devices are emulated in a process of their own and answer after a latency that is of the order of a real mailbox's
(an attestation of a few hundred milliseconds). The reference is what no program can undercut: the cryptography of all
devices spread over the cores, and the time that one device alone takes to be checked.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.check import Conditions, Target, check
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.line import Seat
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.emulator.server import Server
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.certificate import Certificate
from tests.bench import attestation
from tests.bench.ratio import Ratio

DEVICES = 64
LATENCY = 0.04
ROUNDS = 5
MEMORY_LIMIT_MB = 150


def serve() -> None:
    """The other process: 64 devices of one vendor; prints the root in hex and the addresses, ends with its stdin."""
    vendor = VendorAuthority.create("Bench Fleet")
    seats = [Seat(build_device(vendor, Blueprint(serial=f"{n:04}")), latency=LATENCY) for n in range(DEVICES)]
    with Server(seats) as server:
        print(vendor.certificate.der.hex())
        print(" ".join(place.url for place in server.places), flush=True)
        sys.stdin.read()


@contextmanager
def fleet() -> Iterator[tuple[Certificate, Sequence[str]]]:
    """The devices' process: their root and their addresses."""
    process = subprocess.Popen(
        (sys.executable, "-c", "from tests.bench.fleet import serve; serve()"),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        root = Certificate.from_der(bytes.fromhex(process.stdout.readline()), "bench fleet")
        yield root, process.stdout.readline().split()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def timed(addresses: Sequence[str], conditions: Conditions) -> float:
    """Milliseconds of one check of these devices; every one of them must be trusted."""
    start = time.perf_counter()
    results = check([Target(address, address) for address in addresses], conditions, jobs=DEVICES)
    taken = (time.perf_counter() - start) * 1000
    assert {result.verdict.outcome for result in results} == {Outcome.TRUSTED}
    return taken


def crypto_floor() -> float:
    """Milliseconds of bare cryptography for one device."""
    vendor = VendorAuthority.create("Bench Floor")
    device = build_device(vendor, Blueprint())
    _, connection = attestation.attest(device, vendor.certificate)
    minimum = attestation.floor(connection)
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        minimum()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def ratios() -> list[Ratio]:
    """Wall time of 64 devices, and the memory it took."""
    cores = len(os.sched_getaffinity(0))
    with fleet() as (root, addresses):
        conditions = Conditions(RootSet((Root("bench", root),), ()), Policy(), datetime.now(UTC))
        timed(addresses[:1], conditions)
        alone, together = [], []
        for _ in range(ROUNDS):
            alone.append(timed(addresses[:1], conditions))
            together.append(timed(addresses, conditions))
    one, floor = statistics.median(alone), crypto_floor()
    reference = DEVICES * floor / cores + one
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Ratio(
            f"{DEVICES} devices against their cryptography on {cores} cores and one device",
            statistics.median(together),
            reference,
            1.3,
        ),
        Ratio("memory of a check of 64 devices against its limit", memory, MEMORY_LIMIT_MB, 1.0, "MB"),
    ]
