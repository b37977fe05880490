"""Fuzz whatever a file of evidence may be, from its bytes to the verdict.

Runs alone as `python -m tests.fuzz.fuzz_evidence [seconds [seed]]`. A file is evidence or one clean error that names
it; evidence always gives a verdict with its fourteen steps, and damaged evidence never one of trust.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from cmakeys.config import Config, apply
from cmakeys.errors import CmakeysError
from cmakeys.evidence import archive
from cmakeys.evidence.formats import read_evidence
from cmakeys.evidence.model import Evidence
from cmakeys.spdm.connection import Exchange
from cmakeys.verify.verdict import Verdict
from tests.evidence.loopback import attest
from tests.evidence.test_nvidia import pem
from tests.fuzz.mutation import mutate
from tests.verify.cases import judge

CONFIG = b"policy:\n  versions: [1.2, 1.3]\n  leaf-names: {acme: either}\n  advisory-steps: [13]\ncheck: {timeout: 5}\n"


class Finding(Exception):
    """An error that does not say what it is about."""


def named(problem: CmakeysError, name: str) -> None:
    """Insist that an error is about `name` and says something."""
    if name not in problem.object or not problem.message:
        raise Finding(str(problem)) from problem


def seeds(evidence: Evidence) -> list[bytes]:
    """One file of each form."""
    lines = [
        json.dumps({"t": 1, "dir": direction, "cmd": 1, "trans": 0, "hex": octets.hex()})
        for exchange in evidence.exchanges
        for direction, octets in (("req", exchange.request), ("rsp", exchange.response))
    ]
    report = bytes.fromhex("11e001ff") + bytes(33) + bytes.fromhex("11600000010a0000") + bytes(150)
    return [archive.encode(evidence), "\n".join(lines).encode(), report, report.hex().encode()]


def try_file(data: bytes, chain: bytes, folder: Path) -> None:
    """Read and judge one file; anything but evidence or a clean error is a finding."""
    (folder / "file").write_bytes(data)
    (folder / "chain").write_bytes(chain)
    try:
        evidence = read_evidence(folder / "file", folder / "chain")
    except CmakeysError as problem:
        named(problem, str(folder))
        return
    verdict = judge(evidence)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert archive.decode(archive.encode(evidence), "again") == evidence


def try_exchange(evidence: Evidence, rng: random.Random) -> None:
    """Damage one exchange of a sound conversation; if its bytes changed, nothing may be trusted."""
    index = rng.randrange(len(evidence.exchanges))
    exchange = evidence.exchanges[index]
    changed = Exchange(exchange.request, mutate(exchange.response, rng))
    if changed.response[: len(exchange.response)] == exchange.response:
        return  # only longer: transport padding, which a connection cuts off
    exchanges = (*evidence.exchanges[:index], changed, *evidence.exchanges[index + 1 :])
    assert not judge(replace(evidence, exchanges=exchanges)).outcome.healthy


def try_config(data: bytes) -> None:
    """Apply one configuration file."""
    try:
        apply(Config(), data, "config")
    except CmakeysError as problem:
        named(problem, "config")


def fuzz(seconds: float, seed: int) -> int:
    """Try mutations for a while; how many were tried. Raises whatever is a finding."""
    rng = random.Random(seed)
    evidence = attest()
    files, chain = seeds(evidence), pem(*(bytes(40) for _ in range(2)))
    tried, end = 0, time.monotonic() + seconds
    with TemporaryDirectory() as name:
        while time.monotonic() < end:
            try_file(mutate(rng.choice(files), rng), mutate(chain, rng) if tried % 3 == 0 else chain, Path(name))
            try_exchange(evidence, rng)
            try_config(mutate(CONFIG, rng))
            tried += 1
    return tried


if __name__ == "__main__":
    arguments = sys.argv[1:]
    count = fuzz(float(arguments[0]) if arguments else 60.0, int(arguments[1]) if len(arguments) > 1 else 0)
    sys.stdout.write(f"{count} rounds, nothing found\n")
