"""Kill a writer at each of its steps: `python -m tests.roots.crash OPERATION DIR`.

For step 0, 1, 2, … a copy of DIR/base is made as DIR/<step>, and a child process that runs OPERATION there kills itself
with SIGKILL on its way into that system call; a second round, DIR/half-<step>, dies half-way through each `write`. The
children are forked from this small program, which has no threads. It ends when an operation gets through alive.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.roots.journal import Journal
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.record import StoreProblem, read_pem
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.roots.rotation import Circumstances, RotationPlan
from cmakeys.roots.rotation_end import plan_abort, plan_finish
from cmakeys.roots.rotation_start import plan_start
from cmakeys.roots.steps import Verb, plan_step
from cmakeys.roots.store import RootStore
from cmakeys.roots.transaction import Transaction, Transition
from cmakeys.roots.vouching import Credentials

CALLS = ("open", "write", "fsync", "fchmod", "replace", "unlink", "symlink", "mkdir", "close")
AT = datetime(2040, 1, 1, tzinfo=UTC)


def arm(step: int, *, half: bool) -> None:
    """Let this process die at its `step`-th call that could change a file, or half-way through its `step`-th write."""
    left = step
    write = os.write

    def wrap(call: Callable[..., object]) -> Callable[..., object]:
        def dying(*arguments: object, **options: object) -> object:
            nonlocal left
            if left == 0:
                if half:
                    descriptor, data = arguments
                    assert isinstance(descriptor, int)
                    assert isinstance(data, memoryview)
                    write(descriptor, data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return call(*arguments, **options)

        return dying

    for name in ("write",) if half else CALLS:
        setattr(os, name, wrap(getattr(os, name)))


def operation(name: str, directory: Path, newcomer: Root) -> None:
    """One change of the store, or of store and journal."""
    store = RootStore(directory)
    match name:
        case "add":
            store.add(newcomer)
        case "remove":
            store.remove("old")
        case "deny":
            store.deny(DenyEntry(DenyKind.CERTIFICATE, newcomer.fingerprint))
        case "append":
            Journal(directory / "state").append("roots-add", "new", {"n": 1}, at=AT, by="ada")
        case "enrol":
            change = Transaction("roots-add", "new", (Transition(None, newcomer),), AT, "ada")
            Ledger(store, directory / "state").commit(change)
        case "commit":
            Ledger(store, directory / "state").commit(replacement(store.load(), newcomer))
        case "trust" | "retire" | "retire --finish" | "distrust" | "restore":
            known = store.load()
            fingerprint = known.find("old").fingerprint
            plan = plan_step(Verb(name), known.find("old"), known, fingerprint=fingerprint)
            Ledger(store, directory / "state").commit(plan.transaction(at=AT, by="ada", reason="crash"))
        case "undo":
            ledger = Ledger(store, directory / "state")
            ledger.commit(ledger.undoing(None, at=AT, by="ada", reason="crash"))
        case "rotate" | "finish" | "abort":
            Ledger(store, directory / "state").commit(rotating(name, store.load(), newcomer))
        case _:
            raise StoreProblem(f"no such operation: {name}")


def rotation(name: str, known: RootSet, newcomer: Root) -> RotationPlan:
    """What a moment of the rotation of the old root to the newcomer would do; none of it may be forbidden."""
    old, at = known.find("old"), Circumstances(AT)
    match name:
        case "rotate":
            plan = plan_start(known, old, newcomer, at, credentials=Credentials(fingerprint=newcomer.fingerprint))
        case "finish":
            plan = plan_finish(known, old, at, early=True)
        case _:
            plan = plan_abort(known, old, at)
    if plan.blocks:
        raise plan.blocks[0].problem
    return plan


def rotating(name: str, known: RootSet, newcomer: Root) -> Transaction:
    """The same as a change of trust; an abort takes the first entry of the journal back."""
    return rotation(name, known, newcomer).transaction(AT, "ada", undoes=1 if name == "abort" else None)


def replacement(known: RootSet, newcomer: Root) -> Transaction:
    """The newcomer in the place of the old root, which is retiring from then on, while its vendor's key is denied."""
    old = known.find("old")
    transitions = (Transition(old, replace(old, state=LifeCycle.RETIRING)), Transition(None, newcomer))
    denied = (DenyEntry(DenyKind.KEY, "ab" * 32, "leaked"),)
    return Transaction("roots-replace", "old", transitions, AT, "ada", deny_added=denied)


def run(name: str, top: Path) -> None:
    newcomer = Root("new", read_pem((top / "new.pem").read_bytes(), "new.pem"))
    for prefix, half in (("", False), ("half-", True)):
        step = 0
        while True:
            directory = top / f"{prefix}{step}"
            shutil.copytree(top / "base", directory, symlinks=True)
            child = os.fork()
            if child == 0:
                arm(step, half=half)
                operation(name, directory, newcomer)
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
                break
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                sys.exit(f"{name} at step {step}: ended with status {status}")
            step += 1


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
