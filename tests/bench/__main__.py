"""`make bench`: every ratio, printed; exit code 1 when a goal is missed.

A benchmark is a module of this package with a function `ratios() -> list[Ratio]`, named here.
"""

from __future__ import annotations

import sys

from tests.bench import attestation, fleet, inbox, initrd, mailbox, nights, session, startup, trust

BENCHMARKS = (
    startup.ratios,
    attestation.ratios,
    session.ratios,
    fleet.ratios,
    inbox.ratios,
    initrd.ratios,
    mailbox.ratios,
    trust.ratios,
    nights.ratios,
)


def main() -> int:
    """Run every benchmark in turn."""
    missed = 0
    for ratios in BENCHMARKS:
        for ratio in ratios():
            print(ratio, flush=True)
            missed += not ratio.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
