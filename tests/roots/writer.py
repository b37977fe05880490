"""Changes roots as fast as it can, for some seconds: `python -m tests.roots.writer NAME DIR SECONDS`.

Each run stages, trusts and removes a root of its own, and between that moves the root `shared` to and fro, which
another run does too. Each change that was committed is printed with its reason, which no other change has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from cmakeys.errors import Temporary
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import RootStore
from cmakeys.roots.transaction import Transaction, Transition
from tests.roots.trust import root

AT = datetime(2040, 1, 1, tzinfo=UTC)


def changes(known: RootSet, own: str) -> Iterator[Transition]:
    """The next change of the writer's own root, and of the shared one, as they are now."""
    mine = next((each for each in known.roots if each.name == own), None)
    if mine is None:
        yield Transition(None, root(own, state=LifeCycle.STAGED))
    elif mine.state is LifeCycle.STAGED:
        yield Transition(mine, replace(mine, state=LifeCycle.TRUSTED))
    else:
        yield Transition(mine, None)
    shared = known.find("shared")
    other = LifeCycle.RETIRING if shared.state is LifeCycle.TRUSTED else LifeCycle.TRUSTED
    yield Transition(shared, replace(shared, state=other))


def run(name: str, top: Path, seconds: float) -> None:
    ledger = Ledger(RootStore(top), top / "state")
    numbers = count()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for transition in changes(ledger.store.load(), name):
            reason = f"{name}-{next(numbers)}"
            change = Transaction("roots-test", transition.root.name, (transition,), AT, name, reason)
            try:
                ledger.commit(change)
            except Temporary:
                continue
            sys.stdout.write(f"{reason}\n")


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
