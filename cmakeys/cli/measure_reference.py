"""`cmakeys measure snapshot`, `accept` and `undo`: what a device's reference values are from now on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, TraceOption, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.check import Conditions
    from cmakeys.devices.enrolled import EnrolledDevice
    from cmakeys.measuring import Measured

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The enrolled device's name.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the journal.")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for the whole device.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to their noun."""
    app.command("snapshot")(snapshot)
    app.command("accept")(accept)
    app.command("undo")(undo)


def snapshot(
    name: NameArgument,
    reason: ReasonOption = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Do so although the device has a reference, and measures otherwise.")
    ] = False,
    timeout: TimeoutOption = None,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Take what an enrolled device measures now as its reference: signed, by a device that is trusted."""
    with verb("measure", "snapshot", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.cli.actor import actor
        from cmakeys.cli.conditions import conditions
        from cmakeys.errors import Refused
        from cmakeys.measuring import policy_rules, refuse_certified_going_down, refuse_going_down, would_go_down
        from cmakeys.references import Provenance, ReferenceStore
        from cmakeys.reports.measure import block_data, block_lines
        from cmakeys.verify.reference import ReferenceValues
        from cmakeys.verify.tcb_comparison import known_tcb

        state = state_directory(sysroot, state_dir)
        held_against = conditions(sysroot, state_dir, timeout, trace=trace)
        device, found = _ask(name, state, held_against)
        store = ReferenceStore(state)
        before = store.reference(device)
        rules = policy_rules(found, held_against)
        differences: tuple[str, ...] = ()
        if before is not None:
            certified = before.values.tcb_differences(found.facts.certificates, rules)
            differences = (*before.values.differences(found.blocks, rules), *certified)
        out.data = {
            "device": device.name,
            "measurements": [block_data(block) for block in found.blocks],
            "differences": list(differences),
            "dry_run": dry_run,
        }
        for block in found.blocks:
            for line in block_lines(block):
                out.show(line.text)
        refuse_going_down(device.name, would_go_down(before, found.blocks, rules))
        refuse_certified_going_down(device.name, before, found, rules)
        if differences and not replace:
            raise Refused(
                f"it has a reference, from which {len(differences)} measurements differ: {differences[0]}",
                object=device.name,
                hint="accept what is known to have changed: cmakeys measure accept; or take all of it with --replace",
            )
        if dry_run:
            out.show(f"would take {len(found.blocks)} measurements as the reference of {device.name}", tone=Tone.NOTE)
            return
        origin = f"the snapshot of {held_against.now:%Y-%m-%d}"
        provenance = Provenance("snapshot", held_against.now, actor(), reason, found.evidence.digest)
        change = "; ".join(differences) or f"{len(found.blocks)} measurements"
        values = ReferenceValues.of(found.blocks, origin, known_tcb(found.facts.certificates))
        store.change(device, values, provenance, change)
        out.changed = True
        out.show(f"took {len(found.blocks)} measurements as the reference of {device.name}", tone=Tone.GOOD)


def accept(
    name: NameArgument,
    reason: ReasonOption,
    index: Annotated[
        list[int] | None,
        typer.Option("--index", min=1, max=254, metavar="N", help="Accept this one; may be repeated."),
    ] = None,
    tcb: Annotated[
        bool, typer.Option("--tcb", help="Accept what the certificates say of firmware (DICE TcbInfo).")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Accept every difference.")] = False,
    timeout: TimeoutOption = None,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Accept what a device measures now in place of its reference, after a known update: only what is named."""
    with verb("measure", "accept", json=json, detailed_exitcode=detailed_exitcode) as out:
        from dataclasses import replace

        from cmakeys.cli.actor import actor
        from cmakeys.cli.conditions import conditions
        from cmakeys.errors import NotFound, UsageProblem
        from cmakeys.measuring import accepted, against, policy_rules, refuse_certified_going_down
        from cmakeys.references import Provenance, ReferenceStore
        from cmakeys.reports.layout import wrap
        from cmakeys.reports.measure import COMPARE_HEADER, comparison_data, comparison_rows
        from cmakeys.verify.tcb_comparison import known_tcb

        if (bool(index) or tcb) == everything:
            raise UsageProblem(
                "name what to accept by --index N or --tcb, or say --all", hint="cmakeys measure compare shows it"
            )
        if not reason.strip():
            raise UsageProblem("a reason is needed", object="--reason", hint="as: --reason 'firmware 1.2.3, ticket 42'")
        state = state_directory(sysroot, state_dir)
        held_against = conditions(sysroot, state_dir, timeout, trace=trace)
        device, found = _ask(name, state, held_against)
        store = ReferenceStore(state)
        reference = store.reference(device)
        if reference is None:
            raise NotFound("there is no reference yet", object=name, hint="cmakeys measure snapshot takes one")
        rules = policy_rules(found, held_against)
        lines = against(found, reference, rules)
        blocks, changed = accepted(name, reference, lines, None if everything else sorted(set(index or ())))
        left = [line for line in lines if not line.match.good and line not in changed]
        certified = reference.values.tcb_differences(found.facts.certificates, rules)
        takes_certified = bool(certified) and (tcb or everything)
        if takes_certified:
            refuse_certified_going_down(name, reference, found, rules)
        elif tcb:
            raise UsageProblem("what the certificates say of firmware is as it was", object=f"{name}, --tcb")
        out.data = {
            "device": device.name,
            "accepted": comparison_data(changed),
            "left": comparison_data(left),
            "accepted_tcb": list(certified) if takes_certified else [],
            "left_tcb": [] if takes_certified else list(certified),
            "dry_run": dry_run,
        }
        if not changed and not takes_certified:
            out.show(f"{name} measures what it should; nothing was changed", tone=Tone.GOOD)
            return
        if changed:
            out.table(COMPARE_HEADER, comparison_rows(changed))
        for text in certified if takes_certified else ():
            out.show(*wrap(text, "", "  "))
        told = [line.difference for line in changed] + (list(certified) if takes_certified else [])
        if dry_run:
            out.show(f"would accept {len(told)} differences of {name}", tone=Tone.NOTE)
        else:
            origin = f"the acceptance of {held_against.now:%Y-%m-%d}"
            provenance = Provenance("accept", held_against.now, actor(), reason, found.evidence.digest)
            certificates = known_tcb(found.facts.certificates) if takes_certified else reference.values.tcb
            overruled = {line.index for line in changed}
            stated = tuple(one for one in reference.values.stated if one.index not in overruled)
            stated_tcb = () if takes_certified else reference.values.stated_tcb
            values = replace(
                reference.values, blocks=blocks, origin=origin, tcb=certificates, stated=stated, stated_tcb=stated_tcb
            )
            store.change(device, values, provenance, "; ".join(told))
            out.changed = True
            out.show(f"accepted {len(told)} differences of {name}", tone=Tone.GOOD)
        _tell_left(out, name, [line.difference for line in left] + ([] if takes_certified else list(certified)))


def undo(
    name: NameArgument,
    reason: ReasonOption = "",
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Go back to the reference before the last snapshot or acceptance. The device is not asked."""
    with verb("measure", "undo", json=json, detailed_exitcode=detailed_exitcode) as out:
        from datetime import UTC, datetime

        from cmakeys.cli.actor import actor
        from cmakeys.config import load_config
        from cmakeys.devices.register import Register
        from cmakeys.references import Provenance, ReferenceStore
        from cmakeys.reports.measure import provenance_data, provenance_lines
        from cmakeys.verify.measurement_rules import rules_for

        state = state_directory(sysroot, state_dir)
        device = Register(state).find(name)
        store = ReferenceStore(state)
        back = store.before(device)
        out.data = {"device": name, "provenance": provenance_data(back), "dry_run": dry_run}
        if dry_run:
            out.show(f"would go back for {name} to this reference", tone=Tone.NOTE)
        else:
            rules = rules_for(load_config(sysroot).policy.measurements, device.root_name or None)
            store.undo(device, Provenance("undo", datetime.now(UTC), actor(), reason), rules)
            out.changed = True
            out.show(f"went back for {name} to the reference before", tone=Tone.GOOD)
        for line in provenance_lines(back):
            out.show(line.text)


def _ask(name: str, state: Path, conditions: Conditions) -> tuple[EnrolledDevice, Measured]:
    """The enrolled device and what it measures now, signed. Raises where that cannot be a reference."""
    from cmakeys.check import ask
    from cmakeys.devices.register import Register
    from cmakeys.measuring import insist, measured

    device = Register(state).find(name)
    found = measured(ask(device.address, conditions, slot=device.slot), device, conditions)
    insist(found, what="no reference values are taken from it")
    return device, found


def _tell_left(out: Output, name: str, differences: list[str]) -> None:
    if differences:
        out.warn(f"{len(differences)} more differ and stay so: {'; '.join(differences[:4])}", object=name)
