"""`cmakeys measure`: what devices measure, and whether it is what it should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli import measure_corim, measure_reference
from cmakeys.cli.evidence_verify import ChainOption
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, Json, PublicKeyOption, StateDir, Sysroot, TraceOption, state_directory
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.check import Conditions
    from cmakeys.devices.enrolled import EnrolledDevice
    from cmakeys.evidence.model import Evidence
    from cmakeys.spdm.provisioned import ProvisionedKey

app = noun_app("Show what devices measure, and hold it against reference values.")

SourceArgument = Annotated[
    str, typer.Argument(metavar="DEVICE|FILE", help="An enrolled device's name, an address, or a file of evidence.")
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for the whole device.")
]


@app.command("get")
def get(
    source: SourceArgument,
    chain: ChainOption = None,
    public_key: PublicKeyOption = None,
    timeout: TimeoutOption = None,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Show everything that a device measures, and whether it is signed.

    Leaves with 0 whatever the measurements are worth, 1 when a device breaks the protocol before it shows any, 5 when
    there are none, 6 when the device was not reached.
    """
    with verb("measure", "get", json=json) as out:
        from cmakeys.cli.conditions import conditions
        from cmakeys.errors import Unsupported
        from cmakeys.evidence.credentials import load_public_key
        from cmakeys.measuring import Proof, insist, measured
        from cmakeys.reports.measure import measured_data, measured_lines

        held_against = conditions(sysroot, state_dir, timeout, trace=trace)
        enrolled = _enrolled(source, sysroot, state_dir)
        key = load_public_key(public_key)
        evidence = _evidence(source, enrolled, chain, held_against, key)
        found = measured(evidence, enrolled, held_against, key)
        out.data = measured_data(found)
        for line in measured_lines(found):
            out.show(line.text, tone=line.tone)
        if found.proof is Proof.NONE:
            if found.facts.violation is not None:
                insist(found, what="there are no measurements")
            raise Unsupported("there are no measurements", object=source, hint=found.reason)


@app.command("compare")
def compare(
    source: SourceArgument,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The enrolled device that a file of evidence is of.")
    ] = None,
    corim: Annotated[
        Path | None, typer.Option("--corim", metavar="FILE", help="Compare with this CoRIM in place of the reference.")
    ] = None,
    signer: measure_corim.SignerOption = None,
    unsigned: measure_corim.UnsignedOption = False,
    vendor: measure_corim.VendorOption = "",
    model: measure_corim.ModelOption = "",
    chain: ChainOption = None,
    timeout: TimeoutOption = None,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Compare what a device measures with its reference values, by the policy's rules.

    Leaves with 0 when all is as it should be, 1 when something differs or is not signed by a trusted device, 3 when the
    device has no reference, 6 when it was not reached.
    """
    with verb("measure", "compare", json=json) as out:
        from cmakeys.cli.conditions import conditions
        from cmakeys.errors import ExitCode, NotFound, UsageProblem
        from cmakeys.measuring import against, insist, measured, policy_rules
        from cmakeys.references import ReferenceStore
        from cmakeys.reports.layout import wrap
        from cmakeys.reports.measure import (
            COMPARE_HEADER,
            comparison_data,
            comparison_rows,
            provenance_data,
            provenance_lines,
        )

        held_against = conditions(sysroot, state_dir, timeout, trace=trace)
        enrolled = _enrolled(name or source, sysroot, state_dir)
        if enrolled is None:
            raise UsageProblem(
                "only an enrolled device has reference values",
                object=name or source,
                hint="name one of cmakeys devices list; with a file, by --as NAME",
            )
        if corim is None:
            if signer or unsigned or vendor or model:
                raise UsageProblem("--signer, --unsigned, --vendor and --model go with --corim FILE")
            reference = ReferenceStore(state_directory(sysroot, state_dir)).reference(enrolled)
        else:
            taken, chosen = measure_corim.choose(
                corim, enrolled, signer, vendor, model, held_against.now, unsigned=unsigned
            )
            measure_corim.tell(out, taken, chosen)
            reference = measure_corim.reference(taken, chosen, held_against.now)
        if reference is None:
            raise NotFound(
                "there is no reference to compare with", object=enrolled.name, hint="cmakeys measure snapshot takes one"
            )
        origin = enrolled if source in (enrolled.name, enrolled.address) else None
        found = measured(_evidence(source, origin, chain, held_against), enrolled, held_against)
        insist(found, what="not compared")
        rules = policy_rules(found, held_against)
        lines = against(found, reference, rules)
        if corim is not None:
            lines = tuple(line for line in lines if line.stated is not None)
        certified = reference.values.tcb_differences(found.facts.certificates, rules)
        differing = [line for line in lines if not line.match.good]
        out.data = {
            "device": enrolled.name,
            "provenance": provenance_data(reference),
            "evidence": found.evidence.digest,
            "differences": len(differing) + len(certified),
            "measurements": comparison_data(lines),
            "tcb": list(certified),
        }
        for line in provenance_lines(reference) if corim is None else ():
            out.show(line.text)
        out.table(COMPARE_HEADER, comparison_rows(lines))
        for text in certified:
            for part in wrap(text, "", "  "):
                out.show(part, tone=Tone.BAD)
        if differing or certified:
            out.exit_code = ExitCode.FAILED
            out.show(f"{enrolled.name}: {len(differing)} of {len(lines)} measurements differ", tone=Tone.BAD)
            named = [f"--index {line.index}" for line in differing[:8]] + (["--tcb"] if certified else [])
            if corim is None:
                out.show(f"after a known update: cmakeys measure accept {enrolled.name} {' '.join(named)} --reason …")
        else:
            out.show(f"{enrolled.name}: {len(lines)} measurements are as they should be", tone=Tone.GOOD)


@app.command("show")
def show(
    name: measure_reference.NameArgument, sysroot: Sysroot = SYSTEM, state_dir: StateDir = None, json: Json = False
) -> None:
    """Show a device's reference values, and where they are from. The device is not asked."""
    with verb("measure", "show", json=json) as out:
        from cmakeys.devices.register import Register
        from cmakeys.errors import NotFound
        from cmakeys.references import ReferenceStore
        from cmakeys.reports.measure import reference_data, reference_lines

        state = state_directory(sysroot, state_dir)
        device = Register(state).find(name)
        store = ReferenceStore(state)
        stored, reference = store.load(device), store.reference(device)
        if reference is None:
            raise NotFound("there is no reference", object=name, hint="cmakeys measure snapshot takes one")
        out.data = reference_data(name, reference, stored)
        for line in reference_lines(reference, stored):
            out.show(line.text, tone=line.tone)


def _enrolled(word: str, sysroot: Path, state_dir: Path | None) -> EnrolledDevice | None:
    """The enrolled device of this name or address."""
    from cmakeys.devices.register import Register

    for device in Register(state_directory(sysroot, state_dir)).devices():
        if word in (device.name, device.address):
            return device
    return None


def _evidence(
    source: str,
    enrolled: EnrolledDevice | None,
    chain: Path | None,
    conditions: Conditions,
    key: ProvisionedKey | None = None,
) -> Evidence:
    """What the device says now, or what is in the file. An enrolled name comes before a file of that name."""
    from cmakeys.check import ask, usable_address
    from cmakeys.evidence.formats import read_evidence

    if enrolled is not None:
        return ask(enrolled.address, conditions, slot=enrolled.slot, key=key or enrolled.key)
    if ":" in source and not Path(source).exists():
        return ask(usable_address(source), conditions, key=key)
    return read_evidence(Path(source), chain)


measure_reference.register(app)
measure_corim.register(app)
