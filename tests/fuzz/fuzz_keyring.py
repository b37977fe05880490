"""Fuzz what is read from /proc/keys and KEYCTL_DESCRIBE: no text beside a genuine line changes what that line says.

Runs alone as `python -m tests.fuzz.fuzz_keyring [seconds [seed]]`; what it finds is printed as a call that repeats it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.contents import OwnDescription
from cmakeys.keyring.keyctl import KeyInfo, Serial
from cmakeys.keyring.listing import ForgedListing, KeySummary, Listing
from tests.fuzz.mutation import Finding, run

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


def main(arguments: Sequence[str]) -> int:
    return run(corpus(), try_one, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
