"""`cmakeys roots constrain`: change what a root may vouch for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cmakeys.cli.actor import actor
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("constrain")(constrain)


def constrain(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="A name, or the beginning of a fingerprint.")],
    pci_vendor: Annotated[
        list[str] | None,
        typer.Option("--pci-vendor", metavar="ID", help="Only for devices of this PCI vendor, as 10de. Repeatable."),
    ] = None,
    pci_device: Annotated[
        list[str] | None,
        typer.Option("--pci-device", metavar="ID", help="Only for devices with this PCI device id. Repeatable."),
    ] = None,
    pci_class: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="CLASS", help="Only for this PCI class: 03, 0302 or 030200. Repeatable."),
    ] = None,
    slot: Annotated[
        list[int] | None, typer.Option("--slot", metavar="N", help="Only for chains in this slot, 0 to 7. Repeatable.")
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option("--algorithm", metavar="NAME", help="Only for devices that sign with it. Repeatable."),
    ] = None,
    version: Annotated[
        list[str] | None, typer.Option("--version", metavar="1.N", help="Only for this SPDM version. Repeatable.")
    ] = None,
    leaf_name: Annotated[
        str | None,
        typer.Option("--leaf-name", metavar="RULE", help="Name required in a leaf: pcie, device-info, either, none."),
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="KIND", help="Restrict this kind no more, as pci-vendor. Repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, not even where a device would be rejected.")] = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Change what a root may vouch for: a kind that is given replaces what was there, the others stay.

    The enrolled devices that would then be rejected are named first, and a yes is needed for them.
    """
    with verb("roots", "constrain", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.cli.constraints import constraint_wishes
        from cmakeys.cli.rotating import enrolled, settle
        from cmakeys.config import load_config
        from cmakeys.reports.constraining import constraining_data, constraining_report
        from cmakeys.roots.constraining import plan_constraints
        from cmakeys.roots.ledger import Ledger
        from cmakeys.roots.store import RootStore
        from cmakeys.roots.transaction import Transaction

        wishes = constraint_wishes(pci_vendor, pci_device, pci_class, slot, algorithm, version, leaf_name, clear)
        store = RootStore(sysroot)
        state = state_directory(sysroot, state_dir)
        recovered = "" if dry_run else settle(sysroot, state)
        if recovered:
            out.warn(recovered)
        known = store.load()
        found = known.find(root)
        plan = plan_constraints(known, found, wishes, enrolled(state), load_config(sysroot).policy.leaf_rule)
        out.data = constraining_data(plan, dry_run=dry_run)
        for line in constraining_report(plan):
            out.show(line.text, tone=line.tone)
        if not plan.change.changes:
            out.show("it is so already; nothing was changed", tone=Tone.GOOD)
            return
        if dry_run:
            store.check_writable()
            out.show("nothing was changed", tone=Tone.NOTE)
            return
        if plan.lost and not yes:
            out.confirm(f"constrain {found.name} all the same?", hint="--yes does it without asking")
        Ledger(store, state).commit(
            Transaction("roots-constrain", found.name, (plan.change,), datetime.now(UTC), actor(), reason)
        )
        out.changed = True
        out.show(f"constrained {found.name}", tone=Tone.GOOD)
