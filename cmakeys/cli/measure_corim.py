"""`cmakeys measure import`: a vendor's reference values (CoRIM) for an enrolled device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from datetime import datetime

    from cmakeys.corim.matching import Selection
    from cmakeys.corim.reading import Taken
    from cmakeys.devices.enrolled import EnrolledDevice
    from cmakeys.references import Reference

SignerOption = Annotated[
    Path | None,
    typer.Option("--signer", metavar="FILE", help="The certificate or public key whose signature counts."),
]
UnsignedOption = Annotated[bool, typer.Option("--unsigned", help="Take the CoRIM although no signature is checked.")]
VendorOption = Annotated[
    str, typer.Option("--vendor", metavar="TEXT", help="The device's vendor, in the words of the CoRIM.")
]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="TEXT", help="The device's model, in the words of the CoRIM.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to its noun."""
    app.command("import")(import_)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The CoRIM.")],
    name: Annotated[str, typer.Option("--for", metavar="NAME", help="The enrolled device.")],
    signer: SignerOption = None,
    unsigned: UnsignedOption = False,
    vendor: VendorOption = "",
    model: ModelOption = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the journal.")] = "",
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Take what a vendor states in a CoRIM for a device's reference. The device is not asked."""
    with verb("measure", "import", json=json, detailed_exitcode=detailed_exitcode) as out:
        from dataclasses import replace
        from datetime import UTC, datetime

        from cmakeys.cli.actor import actor
        from cmakeys.devices.register import Register
        from cmakeys.errors import NotFound
        from cmakeys.references import Provenance, ReferenceStore
        from cmakeys.reports.corim import selection_data

        now = datetime.now(UTC)
        state = state_directory(sysroot, state_dir)
        device = Register(state).find(name)
        taken, chosen = choose(file, device, signer, vendor, model, now, unsigned=unsigned)
        tell(out, taken, chosen)
        out.data = {"device": name, **selection_data(taken, chosen), "dry_run": dry_run}
        store = ReferenceStore(state)
        before = store.reference(device)
        if before is None:
            raise NotFound(
                "it has no reference yet, and the CoRIM does not name every index",
                object=name,
                hint="cmakeys measure snapshot takes one, to which the CoRIM is added",
            )
        source = _source(taken, vendor, model)
        said = (chosen.stated, chosen.stated_tcb)
        if (before.values.stated, before.values.stated_tcb) == said and before.provenance.source == source:
            out.show(f"it is the reference of {name} already; nothing was changed", tone=Tone.GOOD)
            return
        count = len(chosen.stated) + len(chosen.stated_tcb)
        if dry_run:
            out.show(f"would take {count} measurements as the reference of {name}", tone=Tone.NOTE)
            return
        values = replace(
            before.values,
            stated=chosen.stated,
            stated_tcb=chosen.stated_tcb,
            origin=f"the import of CoRIM {taken.manifest.identity}",
        )
        provenance = Provenance("import", now, actor(), reason, taken.digest, source)
        what = [f"index {one.index}" for one in chosen.stated] + [f"TcbInfo of {one.name}" for one in chosen.stated_tcb]
        store.change(device, values, provenance, f"{source}: {', '.join(what)}")
        out.changed = True
        out.show(f"took {count} measurements as the reference of {name}", tone=Tone.GOOD)


def _source(taken: Taken, vendor: str, model: str) -> str:
    """The file and its signer, and what a person said that the device is, where its certificates did not."""
    words = [f"{name} {text!r}" for name, text in (("vendor", vendor), ("model", model)) if text]
    return f"{taken.source}, taken for {' and '.join(words)}" if words else taken.source


def choose(
    file: Path, device: EnrolledDevice, signer: Path | None, vendor: str, model: str, now: datetime, *, unsigned: bool
) -> tuple[Taken, Selection]:
    """The CoRIM, and what of it is about the device; raises what reading and matching do."""
    from cmakeys.corim.matching import select, subject_of
    from cmakeys.corim.reading import take

    taken = take(file, signer, unsigned=unsigned, now=now)
    return taken, select(taken.manifest, subject_of(device.chain, vendor, model), str(file))


def reference(taken: Taken, chosen: Selection, now: datetime) -> Reference:
    """A CoRIM in the place of a reference, for one comparison."""
    from cmakeys.references import Provenance, Reference
    from cmakeys.verify.reference import ReferenceValues

    values = ReferenceValues((), f"CoRIM {taken.manifest.identity}", stated=chosen.stated, stated_tcb=chosen.stated_tcb)
    return Reference(values, Provenance("corim", now, evidence=taken.digest, source=taken.source))


def tell(out: Output, taken: Taken, chosen: Selection) -> None:
    """What is in a CoRIM for a device, and what was left out of account."""
    from cmakeys.reports.corim import selection_lines

    for line in selection_lines(taken, chosen):
        out.show(line.text, tone=line.tone)
    if taken.warning:
        out.warn(taken.warning, object=taken.source.partition(",")[0])
