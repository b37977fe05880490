"""Fuzz the protocol from both of its doors: a device that answers nonsense, and a saved conversation full of it.

Runs alone as `python -m tests.fuzz.fuzz_requester [seconds [seed]]`. Only findings about the device or its
unavailability may come out, and never more than a bounded number of requests may go in.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceRequest, VendorAuthority
from cmakeys.emulator.settings import DeviceSettings, MultiKey
from cmakeys.spdm import attesting
from cmakeys.spdm.codes import Version
from cmakeys.spdm.connection import Connection, Exchange
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Send
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.reassembly import logical_exchanges
from cmakeys.spdm.requester import MeasurementMode, Plan, Requester
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.spdm.wire import WireError
from tests.fuzz.mutation import mutate

MAX_REQUESTS = 20_000
"""More requests than this in one attestation is a finding: the limits of `Limits` add up to less."""

EXPECTED = (ProtocolViolation, DeviceRefused, DeviceUnavailable)


def devices() -> list[Device]:
    """Devices that between them use every message: plain, multi-key, and through the smallest transfers."""
    authority = VendorAuthority.create("Fuzzed Vendor", KeyType.ECDSA_P256)
    slots = {slot: (authority.issue_device(DeviceRequest(f"s{slot}", key_type=KeyType.ECDSA_P256)),) for slot in (0, 1)}
    settings = (
        DeviceSettings(),
        DeviceSettings(multi_key=MultiKey.ONLY),
        DeviceSettings(data_transfer_size=64),
        DeviceSettings(chunking=False, data_transfer_size=600, max_message_size=600),
    )
    return [Device(Hardware(slots, one)) for one in settings]


def attest_mutated(device: Device, rng: random.Random, rate: float) -> list[tuple[bytes, bytes]]:
    """One attestation of a device whose answers are mutated at `rate`; the messages that went back and forth."""
    offer = Offer(versions=frozenset({rng.choice(list(Version))}), data_transfer_size=rng.choice((42, 0x1200)))
    plan = Plan(measurements=rng.choice(list(MeasurementMode)))
    flow = attesting.attest(Requester(offer), plan)
    pairs: list[tuple[bytes, bytes]] = []
    answer = b""
    try:
        effect = next(flow)
        while True:
            answer = b""
            if isinstance(effect, Send):
                answer = device.respond(effect.message) or b""
                if rng.random() < rate:
                    answer = mutate(answer, rng)
                pairs.append((effect.message, answer))
                if len(pairs) > MAX_REQUESTS:
                    raise RuntimeError(f"{len(pairs)} requests in one attestation")
            effect = flow.send(answer)
    except StopIteration:
        return pairs
    except EXPECTED:
        return pairs


def observe_mutated(pairs: Sequence[tuple[bytes, bytes]], rng: random.Random) -> None:
    """Judge a recording whose messages were mutated on both sides, shuffled or repeated."""
    damaged = [
        (mutate(request, rng), mutate(answer, rng)) if rng.random() < 0.1 else (request, answer)
        for request, answer in pairs
    ]
    if rng.random() < 0.3:
        rng.shuffle(damaged)
    exchanges: list[Exchange] = []
    try:
        exchanges.extend(logical_exchanges(damaged))
    except WireError:
        exchanges = [Exchange(*pair) for pair in damaged]
    connection = Connection()
    for exchange in exchanges:
        try:
            connection.observe(exchange.request, exchange.response)
        except ProtocolViolation:
            return


def fuzz(seconds: float, seed: int) -> int:
    """Run until `seconds` are over; how many conversations were tried. Anything unexpected is raised."""
    rng = random.Random(seed)
    candidates = devices()
    tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pairs = attest_mutated(rng.choice(candidates), rng, rng.choice((0.0, 0.02, 0.2)))
        observe_mutated(pairs, rng)
        tried += 1
    return tried


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns()
    print(f"seed {seed}", flush=True)
    print(f"{fuzz(seconds, seed)} conversations tried")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
