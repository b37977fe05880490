"""Fuzz what is read from /proc/keys and KEYCTL_DESCRIBE: no text beside a genuine line changes what that line says.

Runs alone as `python -m tests.fuzz.fuzz_keyring [seconds [seed]]`; what it finds is printed as a call that repeats it.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.contents import OwnDescription
from cmakeys.keyring.keyctl import KeyInfo, Serial
from cmakeys.keyring.listing import ForgedListing, KeySummary, Listing
from tests.fuzz.fuzz_bundle import Finding, mutate

SERIAL = Serial(0x3568999E)
DESCRIPTION = f"cmakeys:vendor:{'5a' * 32}"
GENUINE = (
    f"{SERIAL:08x} I--Q---     1 perm 39090000     0     0 asymmetri {DESCRIPTION}: X509.rsa db0ee01d []\n".encode()
)
FORGED = GENUINE.replace(b"db0ee01d", b"00000000")
RING = b"19e8b574 I--Q---     2 perm 1f3f0000     0     0 keyring   .cma: 1\n"


def corpus() -> tuple[bytes, ...]:
    """Lines of every kind, a forged pair, and answers of DESCRIBE."""
    return (
        GENUINE,
        FORGED,
        RING,
        FORGED + RING,
        b"keyring;0;0;1f0f0000;.cma",
        f"asymmetric;0;0;39090000;{DESCRIPTION}".encode(),
    )


def _listing(data: bytes) -> None:
    listing = Listing.parse(data + b"\n" + GENUINE)
    listing.keyrings(".cma")
    listing.claimed_description(SERIAL)
    try:
        summary = listing.summary(SERIAL, DESCRIPTION)
    except ForgedListing:
        return
    if summary != KeySummary("rsa", "db0ee01d"):
        raise AssertionError(f"believed {summary}")


def _info(data: bytes) -> None:
    try:
        info = KeyInfo.parse(data)
    except EnvironmentProblem:
        return
    own = OwnDescription.parse(info.description)
    if own is not None and f"cmakeys:{own.name}:{own.fingerprint}" != info.description:
        raise AssertionError(f"believed {own}")


def try_one(data: bytes) -> Finding | None:
    """Give `data` to every parser; an exception, or a forged word that is believed, is a finding."""
    for target in (_listing, _info):
        try:
            target(data)
        except Exception as error:
            return Finding(data, error)
    return None


def fuzz(seconds: float, seed: int) -> tuple[int, Finding | None]:
    """Run until `seconds` are over or something is found; returns how many inputs were tried, and the finding."""
    rng = random.Random(seed)
    seeds = corpus()
    tried = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried += 1
        finding = try_one(mutate(rng.choice(seeds), rng))
        if finding:
            return tried, finding
    return tried, None


def main(arguments: Sequence[str]) -> int:
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns()
    tried, finding = fuzz(seconds, seed)
    print(f"seed {seed}: {tried} inputs tried")
    if finding:
        print(f"try_one(bytes.fromhex({finding.data.hex()!r}))\n  {finding.error!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
