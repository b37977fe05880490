"""Runs in the guest: our ring under `.cma` is swapped again and again while another process looks a root up in it."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence

from cmakeys.keyring.cma import Keyring, open_keyring
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, SpecialRing
from cmakeys.keyring.managed import apply
from cmakeys.keyring.oracle import anchored_in
from cmakeys.roots.root import Root
from cmakeys.x509.certificate import Certificate


def _roots(ders: dict[str, str]) -> list[Root]:
    return [Root(name, Certificate.from_der(bytes.fromhex(der), name)) for name, der in sorted(ders.items())]


def swap_under_lookups(
    before: dict[str, str], after: dict[str, str], chain: Sequence[str], count: int
) -> dict[str, int]:
    """Swap between two sets `count` times; the kernel must find the issuer of `chain` at every moment.

    Returns how many lookups there were and how many failed.
    """
    ring = open_keyring(".cma")
    sets = (_roots(before), _roots(after))
    apply(sets[0], ring)
    certificates = [Certificate.from_der(bytes.fromhex(der), "chain") for der in chain]
    stop, stopper = os.pipe()
    result, report = os.pipe()
    reader = os.fork()
    if not reader:
        os.close(stopper)
        os.write(report, " ".join(map(str, _look(ring, certificates, stop))).encode())
        os._exit(0)
    swaps = sum(apply(sets[(number + 1) % 2], ring).changed for number in range(count))
    os.close(stopper)
    os.waitpid(reader, 0)
    lookups, failures = map(int, os.read(result, 100).split())
    return {"swaps": swaps, "lookups": lookups, "failures": failures}


def _look(ring: Keyring, chain: Sequence[Certificate], stop: int) -> tuple[int, int]:
    """One system call for each lookup, so that there is one at every moment: see `cmakeys.keyring.oracle`."""
    keyctl = Keyctl()
    scratch = keyctl.add_key("keyring", "lookups", None, SpecialRing.PROCESS)
    keyctl.restrict(scratch, "asymmetric", f"key_or_keyring:{ring.serial}:chain")
    lookups = failures = 0
    while not select.select([stop], [], [], 0)[0]:
        for _ in range(50):
            lookups += 1
            try:
                keyctl.add_key("asymmetric", "below", chain[0].der, scratch)
            except KeyctlError:
                failures += 1
        failures += anchored_in(ring.serial, chain, keyctl=keyctl).accepted is not True
    return lookups, failures


def look(chain: Sequence[str]) -> list[object]:
    """What the kernel says of a chain by the keys of `.cma`."""
    certificates = [Certificate.from_der(bytes.fromhex(der), "chain") for der in chain]
    answer = anchored_in(open_keyring(".cma").serial, certificates)
    return [answer.accepted, answer.index, answer.errno]
