"""`cmakeys roots stage | trust | retire | distrust | restore`: one root goes one step through its life."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.effect import NoApply, take_effect
from cmakeys.cli.initrd_update import UpdateInitrd, updating_initrd
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from pathlib import Path

    from cmakeys.roots.root import Root
    from cmakeys.roots.rootset import RootSet
    from cmakeys.roots.steps import StepPlan, Verb

RootArgument = Annotated[str, typer.Argument(metavar="ROOT", help="A name, or the beginning of a fingerprint.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the noun."""
    for function in (stage, trust, retire, distrust, restore):
        app.command(function.__name__)(function)


def stage(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="PEM, DER, PKCS#7 or an SPDM certificate chain.")],
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256", help="The fingerprint, as the vendor publishes it."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Call the root so; default: from its subject.")] = None,
    pci_vendor: Annotated[
        list[str] | None,
        typer.Option("--pci-vendor", metavar="ID", help="Only for devices of this PCI vendor, as 10de. Repeatable."),
    ] = None,
    leaf_name: Annotated[
        str | None,
        typer.Option("--leaf-name", metavar="RULE", help="Name required in a leaf: pcie, device-info, either, none."),
    ] = None,
    reason: Reason = "",
    allow_test_root: Annotated[
        bool, typer.Option("--allow-test-root", help="Allow a well-known test root, whose private key is public.")
    ] = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Keep a root that is to be trusted later: confirmed like any other, and anchoring nothing until roots trust."""
    with verb("roots", "stage", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.cli.enrolment import enrol, wishes
        from cmakeys.cli.sources import certificates_from, source_of
        from cmakeys.roots.root import LifeCycle, Provenance

        wanted = wishes(name, pci_vendor, leaf_name, fingerprint, allow_test_root=allow_test_root)
        wanted = replace(wanted, state=LifeCycle.STAGED)
        provenance = Provenance(source_of(file), added_by=actor(), reason=reason)
        certificates = certificates_from(file, None)
        if enrol(out, certificates, wanted, provenance, sysroot, state_dir, dry_run=dry_run):
            out.show("next: cmakeys roots trust, when devices of this vendor need it", tone=Tone.NOTE)


def trust(
    root: RootArgument,
    reason: Reason = "",
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Let a staged root anchor chains from now on, in the kernel too."""
    with (
        verb("roots", "trust", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.roots.steps import Verb

        plan = _plan(out, Verb.TRUST, root, sysroot, state_dir, dry_run=dry_run)
        _make(out, plan, reason, sysroot, state_dir, apply=not no_apply, dry_run=dry_run)


def retire(
    root: RootArgument,
    finish: Annotated[
        bool, typer.Option("--finish", help="Retire a root that is retiring, if no enrolled device needs it.")
    ] = False,
    reason: Reason = "",
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Announce the end of a root: it still anchors, and devices below it are degraded. With --finish, end it.

    To replace it by another root, use cmakeys roots rotate.
    """
    with (
        verb("roots", "retire", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.roots.steps import Verb

        which = Verb.FINISH if finish else Verb.RETIRE
        plan = _plan(out, which, root, sysroot, state_dir, dry_run=dry_run)
        plan.check()
        _make(out, plan, reason, sysroot, state_dir, apply=not no_apply, dry_run=dry_run)


def distrust(
    root: RootArgument,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="DATE", help="Only leaves issued after this date, as 2027-01-31."),
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Believe a root no more: neither as an anchor nor anywhere in a chain, and not its key under another name.

    With --after, leaves whose notBefore is not later than the date are believed as before. The kernel knows no dates:
    there the root stays.
    """
    with (
        verb("roots", "distrust", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.cli.dates import a_date
        from cmakeys.roots.steps import Verb, plan_distrust_after

        if after is None:
            plan = _plan(out, Verb.DISTRUST, root, sysroot, state_dir, dry_run=dry_run)
        else:
            known = _known(out, sysroot, state_dir, dry_run=dry_run)
            plan = plan_distrust_after(known.find(root), a_date(after, "--after"), known)
            _show(out, plan, dry_run=dry_run)
        if plan.changes and not dry_run and not yes:
            out.confirm(f"distrust {plan.transition.root.name}?", hint="--yes does it without asking")
        _make(out, plan, reason, sysroot, state_dir, apply=not no_apply, dry_run=dry_run)


def restore(
    root: RootArgument,
    fingerprint: Annotated[
        str | None,
        typer.Option("--fingerprint", metavar="SHA256", help="Of a distrusted root, as the vendor publishes it."),
    ] = None,
    reason: Reason = "",
    no_apply: NoApply = False,
    update_initrd: UpdateInitrd = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Take one step back: retiring to trusted, retired to retiring, distrusted to staged with its fingerprint."""
    with (
        verb("roots", "restore", json=json, detailed_exitcode=detailed_exitcode) as out,
        updating_initrd(out, sysroot, wanted=update_initrd, dry_run=dry_run),
    ):
        from cmakeys.roots.steps import Verb

        plan = _plan(out, Verb.RESTORE, root, sysroot, state_dir, dry_run=dry_run, fingerprint=fingerprint)
        _make(out, plan, reason, sysroot, state_dir, apply=not no_apply, dry_run=dry_run)


# -- what they share ---------------------------------------------------------------------------------------------------


def _known(out: Output, sysroot: Path, state_dir: Path | None, *, dry_run: bool) -> RootSet:
    """The roots as they are, once what a killed run left has been settled."""
    from cmakeys.cli.rotating import settle
    from cmakeys.roots.store import RootStore

    recovered = "" if dry_run else settle(sysroot, state_directory(sysroot, state_dir))
    if recovered:
        out.warn(recovered)
    return RootStore(sysroot).load()


def _plan(
    out: Output,
    which: Verb,
    root: str,
    sysroot: Path,
    state_dir: Path | None,
    *,
    dry_run: bool,
    fingerprint: str | None = None,
) -> StepPlan:
    from cmakeys.cli.rotating import enrolled
    from cmakeys.config import load_config
    from cmakeys.roots.steps import plan_step

    known = _known(out, sysroot, state_dir, dry_run=dry_run)
    found: Root = known.find(root)
    devices = enrolled(state_directory(sysroot, state_dir))
    rule = load_config(sysroot).policy.leaf_rule
    plan = plan_step(which, found, known, devices=devices, rule=rule, fingerprint=fingerprint)
    _show(out, plan, dry_run=dry_run)
    return plan


def _show(out: Output, plan: StepPlan, *, dry_run: bool) -> None:
    from cmakeys.reports.lifecycle import step_data, step_report

    out.data = {**step_data(plan, dry_run=dry_run), "kernel": None}
    for line in step_report(plan):
        out.show(line.text, tone=line.tone)


def _make(
    out: Output, plan: StepPlan, reason: str, sysroot: Path, state_dir: Path | None, *, apply: bool, dry_run: bool
) -> None:
    from cmakeys.reports.lifecycle import step_data
    from cmakeys.roots.ledger import Ledger
    from cmakeys.roots.store import RootStore

    if not plan.changes:
        out.show("it is so already; nothing was changed", tone=Tone.GOOD)
        return
    store = RootStore(sysroot)
    if dry_run:
        store.check_writable()
        out.show("nothing was changed", tone=Tone.NOTE)
        return
    ledger = Ledger(store, state_directory(sysroot, state_dir))
    roots = ledger.commit(plan.transaction(at=datetime.now(UTC), by=actor(), reason=reason))
    out.changed = True
    out.show("done", tone=Tone.GOOD)
    out.data = {
        **step_data(plan, dry_run=False),
        "kernel": take_effect(out, roots, sysroot, wanted=apply),
    }
