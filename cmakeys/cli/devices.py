"""`cmakeys devices`: enrol devices, so that a check can say whether they are still the same; list and forget them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli import devices_move, functions
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import (
    SYSTEM,
    DetailedExitcode,
    DryRun,
    Json,
    PublicKeyOption,
    StateDir,
    Sysroot,
    TimeoutOption,
    TraceOption,
    state_directory,
)
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.check import Conditions
    from cmakeys.devices.enrolled import EnrolledDevice
    from cmakeys.enrolling import Candidate, Wish
    from cmakeys.x509.identity import PciIdentity
    from cmakeys.x509.pin import PinKind

app = noun_app("Enrol devices, so that a check can say whether they are still the same.")

app.command("scan")(functions.scan)
app.command("kernel")(functions.kernel)
app.command("recheck")(functions.recheck)

SHOWN_CHECKS = 10
_SAME_KEY = "one device at two addresses, or a private key in several devices: then one can stand for the other"

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The device's name.")]


@app.command("enroll")
def enroll(
    url: Annotated[str, typer.Argument(metavar="URL", help="The device, as emu://127.0.0.1:2323?transport=doe.")],
    name: Annotated[str | None, typer.Option("--name", help="Call it so; default: made of its address.")] = None,
    pin: Annotated[
        str | None,
        typer.Option("--pin", metavar="KIND", help="Know it by: root, device-cert (the default), leaf or chain."),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option("--identity", metavar="NAME", help="The PCI function it must name, as 'Vendor=1b36:Device=…'."),
    ] = None,
    slot: Annotated[
        int | None, typer.Option("--slot", min=0, max=7, help="The slot that must prove itself; the lowest otherwise.")
    ] = None,
    public_key: PublicKeyOption = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A remark, kept with the device.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the device of that name, after an update, say.")
    ] = False,
    timeout: TimeoutOption = None,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Ask a device, judge it, and remember it if it passes: what it is known by, and what it measures now."""
    with verb("devices", "enroll", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.check import usable_address
        from cmakeys.cli.conditions import conditions
        from cmakeys.devices.enrolled import check_device_name
        from cmakeys.devices.register import Register
        from cmakeys.enrolling import Wish, default_name
        from cmakeys.evidence.credentials import load_public_key
        from cmakeys.reports.devices import device_data, enrolled_report

        address = usable_address(url)
        register = Register(state_directory(sysroot, state_dir))
        chosen = check_device_name(name or default_name(address))
        register.check_free(chosen, address, replace=replace)
        key = load_public_key(public_key)
        kind = _pin(pin, by_key=key is not None, slot=slot)
        wish = Wish(address, chosen, kind, _identity(identity), slot, note, key)
        found = _candidate(out, wish, conditions(sysroot, state_dir, timeout, trace=trace))
        device = found.device
        out.data = {
            "device": device_data(device),
            "pin_reason": found.pin_reason,
            "verdict": found.judgement.verdict.to_json(),
            "dry_run": dry_run,
        }
        _warn(out, found, register.devices())
        if dry_run:
            out.show(f"would enrol {device.name}", tone=Tone.NOTE)
        else:
            (register.re_enroll if replace else register.enroll)(device, found.first)
            out.changed = True
            out.show(f"enrolled {device.name}", tone=Tone.GOOD)
        for line in enrolled_report(device, found.pin_reason):
            out.show(line.text, tone=line.tone)


@app.command("list")
def list_(sysroot: Sysroot = SYSTEM, state_dir: StateDir = None, json: Json = False) -> None:
    """List the enrolled devices with the last verdict on each."""
    with verb("devices", "list", json=json) as out:
        from cmakeys.devices.register import Register
        from cmakeys.reports.devices import HEADER, list_row, record_data

        register = Register(state_directory(sysroot, state_dir))
        devices, verdicts, latest = register.devices(), register.latest_verdicts(), register.latest()
        out.data = {
            "devices": [
                {
                    "name": device.name,
                    "address": device.address,
                    "pin": {"kind": device.pin.kind, "sha256": device.pin.value},
                    "verdict": record_data(verdicts.get(device.name)),
                    "last_check": record_data(latest.get(device.name)),
                }
                for device in devices
            ]
        }
        if not devices:
            out.show("no device is enrolled", "next: cmakeys devices enroll URL", tone=Tone.NOTE)
            return
        out.table(HEADER, [list_row(device, verdicts.get(device.name), latest.get(device.name)) for device in devices])


@app.command("show")
def show(name: NameArgument, sysroot: Sysroot = SYSTEM, state_dir: StateDir = None, json: Json = False) -> None:
    """Show what a device was enrolled with, and what its last checks found."""
    with verb("devices", "show", json=json) as out:
        from cmakeys.devices.register import Register
        from cmakeys.reports.devices import device_data, device_report, record_data

        register = Register(state_directory(sysroot, state_dir))
        device = register.find(name)
        history = register.history(name, SHOWN_CHECKS)
        out.data = {"device": device_data(device), "history": [record_data(record) for record in history]}
        for line in device_report(device, history):
            out.show(line.text, tone=line.tone)


@app.command("forget")
def forget(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Forget a device, its pin, its reference measurements and its history."""
    with verb("devices", "forget", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.devices.register import Register

        register = Register(state_directory(sysroot, state_dir))
        register.check_present(name)
        out.data = {"name": name, "dry_run": dry_run}
        if dry_run:
            out.show(f"would forget {name}", tone=Tone.NOTE)
            return
        if not yes:
            out.confirm(f"forget {name}? It will not be known again by what it was enrolled with.", hint="add --yes")
        register.forget(name)
        out.changed = True
        out.show(f"forgot {name}", tone=Tone.GOOD)


def _candidate(out: Output, wish: Wish, conditions: Conditions) -> Candidate:
    """The device as it would be enrolled; of one that is rejected, every step is shown before the refusal."""
    from cmakeys.enrolling import DeviceRejected, candidate
    from cmakeys.reports.text import verdict_report

    try:
        return candidate(wish, conditions)
    except DeviceRejected as refusal:
        out.data = {"verdict": refusal.verdict.to_json()}
        for line in verdict_report(wish.name or wish.address, refusal.verdict):
            out.show(line.text, tone=line.tone)
        raise


def _warn(out: Output, found: Candidate, others: Sequence[EnrolledDevice]) -> None:
    """Say what an admin should know although the device passed."""
    from cmakeys.verify.verdict import Outcome
    from cmakeys.x509.pin import PinKind

    device, verdict = found.device, found.judgement.verdict
    if verdict.outcome is Outcome.DEGRADED:
        remarks = (*verdict.warnings, *verdict.failures, verdict.step(6))  # a wrong clock leaves step 6 not checked
        hint = next((step.hint for step in remarks if step.hint), "")
        out.warn(f"it passes, but {verdict.summary}", object=device.name, hint=hint)
    for other in others:
        if other.pin == device.pin and other.name != device.name and device.pin.kind is not PinKind.ROOT:
            out.warn(
                f"{other.name} has the same {device.pin.kind.value} pin",
                object=device.name,
                hint=_SAME_KEY
                if device.key is not None
                else "one device at two addresses, or a certificate that several devices share: then use --pin leaf",
            )


def _pin(text: str | None, *, by_key: bool, slot: int | None) -> PinKind | None:
    from cmakeys.errors import UsageProblem
    from cmakeys.x509.pin import PinKind

    kinds = {kind.value: kind for kind in PinKind}
    if text is not None and text not in kinds:
        raise UsageProblem(f"{text!r} is no kind of pin", object="--pin", hint=f"one of: {', '.join(kinds)}")
    pin = kinds[text] if text else None
    if by_key and (pin not in (None, PinKind.PUBLIC_KEY) or slot is not None):
        raise UsageProblem(
            "a device without certificates is known by its public key, and has no slots",
            object="--public-key",
            hint="leave out --pin and --slot",
        )
    if pin is PinKind.PUBLIC_KEY and not by_key:
        raise UsageProblem("there is no public key to pin", object="--pin", hint="add --public-key FILE")
    return pin


def _identity(text: str | None) -> PciIdentity | None:
    from cmakeys.errors import UsageProblem
    from cmakeys.x509.certificate import CertificateProblem
    from cmakeys.x509.identity import PciIdentity

    try:
        return PciIdentity.parse(text) if text is not None else None
    except CertificateProblem as problem:
        raise UsageProblem(problem.message, object="--identity", hint=problem.hint) from None


devices_move.register(app)
