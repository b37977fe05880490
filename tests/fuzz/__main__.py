"""Fuzz the requester and everything that reads what a device says.

python -m tests.fuzz --inputs 1000000 --seed 1     try so many inputs
python -m tests.fuzz --play '["attest/1.2/plain",[3,"wire","flip",4,1]]'
python -m tests.fuzz --inputs 50000 --keep FILE    write the inputs that ended in a new way, one each
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.campaign import Coverage, Input
from tests.fuzz.stage import watched

TELL_EVERY = 20_000


def main() -> int:
    """Run, and say what came of it; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--only", default="", help="targets whose names begin so")
    parser.add_argument("--play", help="one line of a corpus")
    parser.add_argument("--corpus", action="store_true", help="play the whole corpus")
    parser.add_argument("--keep", type=Path, help="write what ended in a new way")
    parser.add_argument("--findings", type=Path, help="write the inputs of findings")
    arguments = parser.parse_args()
    with watched():
        gc.freeze()
        if arguments.play or arguments.corpus:
            return _again([Input.of(arguments.play)] if arguments.play else campaign.read_corpus())
        return _fuzz(arguments)


def _again(inputs: list[Input]) -> int:
    found = 0
    for tried in inputs:
        played = campaign.play(tried, deep=True)
        if played.finding or len(inputs) == 1:
            print(f"{tried.line()}\n  {' -> '.join(played.ended)}\n  {played.finding or 'nothing found'}")
        found += bool(played.finding)
    print(f"{len(inputs)} inputs, {found} findings")
    return 1 if found else 0


def _fuzz(arguments: argparse.Namespace) -> int:
    coverage = Coverage()
    chosen = [target for name, target in campaign.targets().items() if name.startswith(arguments.only)]
    started, told = time.monotonic(), set()
    print(f"seed {arguments.seed}, {len(chosen)} targets", flush=True)
    count = 0
    for finding in campaign.run(arguments.inputs, arguments.seed, coverage, chosen):
        if finding is None:
            if coverage.inputs % TELL_EVERY == 0:
                print(f"{coverage.inputs} inputs, {time.monotonic() - started:.0f} s, {count} findings", flush=True)
            continue
        count += 1
        where = finding.what.split(":")[0] + finding.what[:80]
        if where not in told:
            told.add(where)
            print(f"FOUND {finding.input.line()}\n  {finding.what}", flush=True)
        if arguments.findings:
            with arguments.findings.open("a") as file:
                file.write(finding.input.line() + "\n")
    seconds = time.monotonic() - started
    print(f"{coverage.inputs} inputs in {seconds:.0f} s, {coverage.inputs / seconds:.0f} a second, {count} findings")
    print("how they ended:")
    for kind, number in coverage.kinds.most_common():
        print(f"  {number:9} {kind}")
    print(f"{len(coverage.ended)} different ends; steps reached, and damaged:")
    for step, number in sorted(coverage.reached.items()):
        print(f"  {number:9} {coverage.damaged[step]:9} {step}")
    for step, what in coverage.missing(chosen).items():
        print(f"  {step}: {what}")
    if arguments.keep:
        lines = sorted({campaign.minimal(one).line() for one in coverage.ended.values()})
        arguments.keep.write_text("".join(f"{line}\n" for line in lines))
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
