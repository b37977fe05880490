"""`cmakeys image inspect`: the roots in an initrd or a unified kernel image, and whether they are the right ones."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, Json, Sysroot
from cmakeys.cli.output import Output, verb, write
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmakeys.images.initrd import Progress
    from cmakeys.images.inspect import Deviation, Inspection
    from cmakeys.roots.rootset import RootSet


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("inspect")(inspect)


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An initrd, or a unified kernel image.")],
    against: Annotated[
        bool, typer.Option("--against", help="Compare with the roots of this machine; 1 where they differ.")
    ] = False,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Show the roots in an initrd or a unified kernel image, and whether they are what its manifest says."""
    with verb("image", "inspect", json=json) as out:
        from cmakeys.errors import NotFound
        from cmakeys.images.initrd import read_image
        from cmakeys.images.inspect import deviations
        from cmakeys.images.inspect import inspect as look

        contents = read_image(file, progress=_progress())
        found = look(contents, str(file))
        differing = tuple(deviations(found, _configured(sysroot))) if against else ()
        out.data = _data(file, found, differing, against=against)
        _show(out, found)
        if found.manifest is None and not found.faults and not against:
            raise NotFound("nothing was baked into it", object=str(file), hint="cmakeys image bake")
        for fault in found.faults:
            out.show(f"fault: {fault}", tone=Tone.BAD)
        for one in differing:
            out.show(f"{one.kind.value}: {one.name}: {one.reason}", f"  sha256 {one.sha256}", tone=Tone.BAD)
        if found.faults or differing:
            out.exit_code = 1
        elif against:
            out.show("the same roots as on this machine", tone=Tone.GOOD)


def _configured(sysroot: Path) -> RootSet:
    from cmakeys.roots.store import RootStore

    return RootStore(sysroot).load()


def _progress() -> Progress | None:
    """Shows how far it is, on a terminal only, once it takes long."""
    if not sys.stderr.isatty():
        return None
    begun = shown = time.monotonic()

    def progress(position: int, end: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - begun > 1 and (now - shown > 0.2 or position >= end):
            shown = now
            write(sys.stderr, f"\r{100 * position // max(end, 1):3} %{chr(10) if position >= end else ''}")

    return progress


def _show(out: Output, found: Inspection) -> None:
    from cmakeys.reports.roots import expiry

    for part in found.parts:
        packing = f"{part.packing}, {part.unpacked} unpacked" if part.packing else "not packed"
        place = f" in {part.section}" if part.section else ""
        out.show(f"part{place} at {part.offset}: {part.size} bytes, {packing}, {part.entries} entries")
    for root in found.roots:
        until = f"until {expiry(root.certificate)}" if root.certificate is not None else root.problem
        out.show(f"{root.name}  {until}", f"  sha256 {root.sha256}")
    if found.manifest is not None:
        required = ", required" if found.manifest.required else ""
        out.show(f"baked by cmakeys {found.manifest.version}{required}", f"set digest {found.manifest.digest}")
    if found.loader is not None:
        loader = "that of this cmakeys" if found.same_loader else "another one than that of this cmakeys"
        out.show(f"loader: {loader}{', with keyctl' if found.keyctl else ''}")


def _data(file: Path, found: Inspection, differing: Sequence[Deviation], *, against: bool) -> dict[str, object]:
    manifest = found.manifest
    return {
        "file": file,
        "parts": [
            {
                "offset": part.offset,
                "size": part.size,
                "unpacked": part.unpacked,
                "packing": part.packing or None,
                "entries": part.entries,
                "section": part.section or None,
            }
            for part in found.parts
        ],
        "roots": [
            {
                "name": root.name,
                "sha256": root.sha256,
                "subject": root.certificate.subject if root.certificate else None,
                "not_after": root.certificate.not_after if root.certificate else None,
                "never_expires": root.certificate.never_expires if root.certificate else None,
                "problem": root.problem or None,
            }
            for root in found.roots
        ],
        "manifest": manifest
        and {
            "digest": manifest.digest,
            "version": manifest.version,
            "required": manifest.required,
            "roots": [{"name": one.name, "sha256": one.sha256, "state": one.state} for one in manifest.roots],
        },
        "loader": {"sha256": found.loader, "current": found.same_loader} if found.loader is not None else None,
        "keyctl": found.keyctl,
        "callers": list(found.callers),
        "faults": list(found.faults),
        "against": [
            {"kind": one.kind, "name": one.name, "sha256": one.sha256, "reason": one.reason} for one in differing
        ]
        if against
        else None,
    }
