"""What the command line asks of a rotation: the two roots, who vouches, and the devices, as the rules want them.

The rules are in `cmakeys.roots.rotation` and beside it; here words and files become values.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cmakeys.check import Conditions
from cmakeys.cli.actor import actor
from cmakeys.cli.enrolment import choose
from cmakeys.cli.output import Output
from cmakeys.dependants import as_enrolled, ask_all
from cmakeys.devices.register import Register
from cmakeys.errors import Refused, UsageProblem
from cmakeys.evidence.archive import read_file
from cmakeys.roots.bundle_state import vouched
from cmakeys.roots.catalogue import Purpose, load_catalogue
from cmakeys.roots.dependants import Dependant
from cmakeys.roots.ledger import Ledger
from cmakeys.roots.root import Provenance, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import ACTION, Circumstances, Moment, RotationPlan
from cmakeys.roots.rotation_end import plan_abort, plan_finish
from cmakeys.roots.rotation_start import newcomer, plan_start
from cmakeys.roots.store import PENDING, RootStore
from cmakeys.roots.vouching import Credentials
from cmakeys.verify.clock import clock_fault
from cmakeys.x509.bundle import MAX_INPUT_SIZE, read_certificates
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.horizon import Horizon


@dataclass(frozen=True, slots=True)
class Request:
    """A rotation as it was asked for, each word as it was typed; `new` and `overlap` may be left to the record.

    In `state_dir` it is known what the imported bundles vouch for.
    """

    moment: Moment
    state_dir: Path
    old: str
    new: str | None = None
    overlap: timedelta | None = None
    cross_signed: Path | None = None
    fingerprint: str | None = None
    name: str | None = None
    early: bool = False
    reason: str = ""

    def plan(self, held_against: Conditions, devices: tuple[Dependant, ...], out: Output) -> RotationPlan:
        """The plan of what was asked for, as the roots are now.

        Raises `NotFound` for a root or a rotation that there is none of, `Refused` for a successor that is another one,
        and what reading the files raises.
        """
        known = held_against.rootset
        old = known.find(self.old)
        at = _circumstances(held_against, devices)
        if self.moment is Moment.START:
            return self._start(known, old, at, out)
        if self.new is not None:
            _check_successor(old, known.find(self.new))
        if self.moment is Moment.FINISH:
            return plan_finish(known, old, at, early=self.early)
        return plan_abort(known, old, at)

    def _start(self, known: RootSet, old: Root, at: Circumstances, out: Output) -> RotationPlan:
        new = self._successor(known, old, at, out)
        return plan_start(known, old, new, at, credentials=self._credentials(new, at.now), overlap=self.overlap)

    def _successor(self, known: RootSet, old: Root, at: Circumstances, out: Output) -> Root:
        """The root that is named, or the one in the file that is named."""
        text = str(self.new)
        if not Path(text).is_file():
            return known.find(text)
        certificates = _certificates(Path(text))
        certificate = choose(out, certificates, self.fingerprint if len(certificates) > 1 else None)
        present = known.holding(certificate)
        if present is not None:
            return present
        provenance = Provenance(text, at.now.replace(microsecond=0), actor(), self.reason)
        return newcomer(certificate, old, known, load_catalogue(), provenance, self.name)

    def _credentials(self, new: Root, now: datetime) -> Credentials:
        entry = load_catalogue().match(new.fingerprint)
        listed = {sha256: f"the signed bundle {name}" for sha256, name in vouched(self.state_dir, now).items()}
        if entry is not None and entry.purpose is Purpose.PRODUCTION:
            listed[entry.fingerprint] = f"the vendor catalogue ({entry.vendor})"
        cross = None if self.cross_signed is None else _certificates(self.cross_signed)
        return Credentials(self.fingerprint, cross, listed)


def moment_of(new: str | None, *, finish: bool, early: bool, abort: bool) -> Moment:
    """Which part of a rotation the options mean. Raises `UsageProblem` when they mean none, or two."""
    if finish and abort:
        raise UsageProblem("a rotation is finished or aborted, not both", object="--finish")
    if early and not finish:
        raise UsageProblem("only a finish can be early", object="--early", hint="--finish --early")
    if finish:
        return Moment.FINISH
    if abort:
        return Moment.ABORT
    if new is None:
        raise UsageProblem(
            "name the root that replaces it, by name, by fingerprint or as a file",
            object="NEW",
            hint="or end a rotation that is under way: --finish, --abort",
        )
    return Moment.START


def overlap_of(text: str | None) -> timedelta | None:
    """The overlap as a duration; a share of a lifetime makes no sense here and is a `UsageProblem`."""
    if text is None:
        return None
    horizon = Horizon.parse(text)
    if horizon.percent:
        raise UsageProblem(f"{text} of what?", object="--overlap", hint="write a duration, as 12h, 30d or 13w")
    return horizon.duration


def _certificates(path: Path) -> tuple[Certificate, ...]:
    return read_certificates(read_file(path, MAX_INPUT_SIZE), str(path))


def _check_successor(old: Root, named: Root) -> None:
    if old.rotation is not None and old.rotation.successor != named.fingerprint:
        raise Refused(
            f"it is not being replaced by {named.name}",
            object=old.name,
            hint=f"see cmakeys roots show {old.name}",
        )


def _circumstances(held_against: Conditions, devices: tuple[Dependant, ...]) -> Circumstances:
    return Circumstances(
        held_against.now,
        devices,
        clock_fault(held_against.now, held_against.recorded),
        held_against.policy.leaf_rule,
        load_catalogue().test_roots,
    )


def enrolled(state_dir: Path) -> tuple[Dependant, ...]:
    """The enrolled devices as the register knows them."""
    return tuple(as_enrolled(device) for device in Register(state_dir).devices())


def asked(state_dir: Path, held_against: Conditions, plan: RotationPlan) -> tuple[Dependant, ...]:
    """The devices' own answers, held against the roots among which they are to live.

    At a start those are the roots after it: a device that has its new chain already is not known to be good before.
    """
    both = plan.moment is Moment.START and not plan.blocks
    among = replace(held_against, rootset=plan.after if both else held_against.rootset)
    return ask_all(Register(state_dir).devices(), among)


def settle(sysroot: Path, state_dir: Path) -> str:
    """Finish or drop a change that a killed run left, and say what it was; empty when there was none.

    A plan that was made before would be about roots that are not so any more.
    """
    store = RootStore(sysroot)
    if not os.path.lexists(store.directories[0] / PENDING):
        return ""
    return Ledger(store, state_dir).recover()


def carry_out(plan: RotationPlan, sysroot: Path, state_dir: Path, now: datetime, reason: str) -> RootSet:
    """Make the change, whole or not at all, and return the roots afterwards."""
    ledger = Ledger(RootStore(sysroot), state_dir)
    undoes = _start_of(plan, ledger) if plan.moment is Moment.ABORT else None
    return ledger.commit(plan.transaction(now, actor(), reason, undoes))


def _start_of(plan: RotationPlan, ledger: Ledger) -> int:
    """The number of the journal's entry that an abort takes back; 0, which none has, where the journal was lost."""
    started = plan.rotation.started if plan.rotation else None
    numbers = [
        entry.number
        for entry in ledger.journal.read().entries
        if entry.action == ACTION and entry.subject == plan.old.name and entry.time == started
    ]
    return numbers[0] if numbers else 0
