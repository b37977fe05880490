"""`cmakeys devices move`: a device is somewhere else now, and still the same."""

from __future__ import annotations

from typing import Annotated

import typer

from cmakeys.cli.options import (
    SYSTEM,
    DetailedExitcode,
    DryRun,
    Json,
    StateDir,
    Sysroot,
    TimeoutOption,
    state_directory,
)
from cmakeys.cli.output import verb
from cmakeys.reports.terminal import Tone


def move(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device's name.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Where it is now.")],
    swap: Annotated[bool, typer.Option("--swap", help="The device enrolled there is now where this one was.")] = False,
    timeout: TimeoutOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Enter the new address of a device that proves there that it is the same; its history goes on."""
    with verb("devices", "move", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.check import Target, check_device, usable_address
        from cmakeys.cli.conditions import conditions
        from cmakeys.devices.address import DeviceAddress
        from cmakeys.devices.register import Register
        from cmakeys.whereabouts import require_same

        address = usable_address(url)
        place = DeviceAddress.parse(address).place
        register = Register(state_directory(sysroot, state_dir))
        device = register.find(name)
        register.check_free_for_move(name, place, swap=swap)
        require_same(check_device(Target(name, address, device), conditions(sysroot, state_dir, timeout)).verdict, name)
        out.data = {"name": name, "from": device.address, "to": place, "swap": swap, "dry_run": dry_run}
        if dry_run:
            out.show(f"would move {name} from {device.address} to {place}", tone=Tone.NOTE)
            return
        out.changed = device.address != place
        register.move(name, place, swap=swap)
        out.show(f"moved {name} from {device.address} to {place}", tone=Tone.GOOD)


def register(app: typer.Typer) -> None:
    """Add the verb to its noun."""
    app.command("move")(move)
