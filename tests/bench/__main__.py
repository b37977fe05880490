"""`make bench`: every ratio, printed; exit code 1 when a goal is missed.

A benchmark is a module of this package with a function `ratios() -> list[Ratio]`, named here. `--peer DIR`, or `PEER`
for make, adds those beside DMTF's programs in that folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import attestation, fleet, inbox, initrd, mailbox, nights, peer, session, startup, trust
from tests.bench.ratio import Ratio

BENCHMARKS: tuple[Callable[[], list[Ratio]], ...] = (
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
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--peer", type=Path, metavar="DIR", help="DMTF's spdm_responder_emu and spdm_requester_emu")
    folder = parser.parse_args().peer
    beside = (partial(peer.ratios, folder),) if folder else ()
    missed = 0
    with tempfile.TemporaryDirectory() as bytecode:
        # What is installed has its bytecode beside it; so do the programs measured here, whatever the environment says.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        for ratios in (*BENCHMARKS, *beside):
            for ratio in ratios():
                print(ratio, flush=True)
                missed += not ratio.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
