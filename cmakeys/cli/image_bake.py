"""`cmakeys image bake`: write the roots of a machine, or of a folder, in the form that an image builder needs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, Sysroot
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmakeys.images.bake import Image, Objection
    from cmakeys.roots.directory import StoreReport

FORMATS = ("cpio", "dir", "pem", "voa")


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("bake")(bake)


def bake(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ROOT]...", help="Only these roots; default: all that are trusted.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Where to write: a file, or a new folder.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="cpio, dir, pem or voa.")] = "cpio",
    roots: Annotated[
        Path | None,
        typer.Option("--roots", metavar="DIR", help="Take the roots from this folder instead of the store."),
    ] = None,
    allow_expired: Annotated[
        bool, typer.Option("--allow-expired", help="Also bake what has expired, or will within 90 days.")
    ] = False,
    allow_unloadable: Annotated[
        bool, typer.Option("--allow-unloadable", help="Also bake what no kernel loads.")
    ] = False,
    allow_test_root: Annotated[
        bool, typer.Option("--allow-test-root", help="Also bake roots whose private keys are public.")
    ] = False,
    required: Annotated[
        bool, typer.Option("--required", help="Let the boot fail when a root cannot be loaded.")
    ] = False,
    with_keyctl: Annotated[bool, typer.Option("--with-keyctl", help="Bring keyctl along, with its libraries.")] = False,
    keyctl_sysroot: Annotated[
        Path | None,
        typer.Option("--keyctl-sysroot", metavar="DIR", help="Take keyctl from the tree at DIR; default: --sysroot."),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--os", metavar="ID", help="The system's name in a voa tree; default: by os-release.")
    ] = None,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Write the trusted roots for an initrd or an image: the same bytes from the same roots, anywhere."""
    with verb("image", "bake", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.errors import UsageProblem
        from cmakeys.images.bake import Permission, Request, check, image, objections
        from cmakeys.images.programs import keyctl_of
        from cmakeys.images.source import read_folder
        from cmakeys.roots.catalogue import load_catalogue
        from cmakeys.roots.store import RootStore

        if form not in FORMATS:
            raise UsageProblem(f"{form!r} is not a format", object="--format", hint=f"one of: {', '.join(FORMATS)}")
        if form in ("pem", "voa") and (with_keyctl or required):
            raise UsageProblem(
                f"a {form} bundle holds certificates and no loader", object="--format", hint="--format cpio"
            )
        if system is not None and form != "voa":
            raise UsageProblem("only a voa tree names a system", object="--os", hint="--format voa")
        if keyctl_sysroot is not None and not with_keyctl:
            raise UsageProblem("this is where --with-keyctl looks", object="--keyctl-sysroot", hint="give both")
        if output is None and not dry_run:
            raise UsageProblem("say where to write", object="--output", hint="a file, or a new folder for dir and voa")
        mtime = _mtime()
        report = read_folder(roots) if roots is not None else RootStore(sysroot).inspect()
        for finding in report.findings:
            out.warn(finding.message, object=str(finding.path), hint=finding.hint)
        given = (
            (Permission.EXPIRED, allow_expired),
            (Permission.UNLOADABLE, allow_unloadable),
            (Permission.TEST_ROOT, allow_test_root),
        )
        request = Request(tuple(names or ()), frozenset(one for one, allowed in given if allowed), required)
        keyctl = keyctl_of(keyctl_sysroot or sysroot) if with_keyctl else None
        baked = image(report.root_set, request, keyctl=keyctl)
        found = tuple(
            objections(baked.roots, report.root_set, now=datetime.now(UTC), test_roots=load_catalogue().test_roots)
        )
        overruled = check(found, request.allowed)
        for one in overruled:
            out.warn(f"baked all the same: {one.reason}", object=one.name)
        written = _write(out, baked, report, form, output, system or "", sysroot, mtime, dry_run=dry_run)
        out.data = {
            "format": form,
            "output": output,
            "dry_run": dry_run,
            **written,
            "mtime": mtime,
            **_data(baked, overruled),
        }
        _show(out, baked)
        if output is not None and not dry_run:
            size = f", {written['size']} bytes" if written["size"] is not None else ""
            out.show(f"wrote {output}{size}", tone=Tone.GOOD)


def _mtime() -> int:
    """The one time of all that is written: SOURCE_DATE_EPOCH, or none at all."""
    from cmakeys.errors import UsageProblem

    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > 0xFFFFFFFF:
        raise UsageProblem(
            f"{text[:40]!r} is no number of seconds since 1970 in 32 bits",
            object="SOURCE_DATE_EPOCH",
            hint="unset it, or: SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct)",
        )
    return int(text)


def _write(
    out: Output,
    baked: Image,
    report: StoreReport,
    form: str,
    output: Path | None,
    system: str,
    sysroot: Path,
    mtime: int,
    *,
    dry_run: bool,
) -> dict[str, object]:
    """Write it, unless this is a dry run, and say what there is to say about the bytes."""
    from cmakeys.images.folder import whole_folder, write_folder
    from cmakeys.roots.bundle import pem_bundle
    from cmakeys.roots.deny import DenyKind
    from cmakeys.roots.voa import check_os, system_identifiers, write_hierarchy

    if form in ("cpio", "pem"):
        data = baked.cpio(mtime=mtime) if form == "cpio" else pem_bundle(baked.roots)
        return _write_file(out, output, data, dry_run=dry_run)
    system = check_os(system or system_identifiers(sysroot)[0])
    denied = report.root_set.deny
    masked = [entry.sha256 for entry in denied if entry.kind is DenyKind.CERTIFICATE and entry.after is None]
    if output is not None and not dry_run:
        if form == "dir":
            write_folder(output, baked.entries(), mtime=mtime)
        else:
            with whole_folder(output) as place:
                for path in write_hierarchy(place, system, baked.roots, masked):
                    os.utime(path, (mtime, mtime), follow_symlinks=False)
                for path in (*place.rglob("*"), place):
                    if path.is_dir() and not path.is_symlink():
                        path.chmod(0o755)
                        os.utime(path, (mtime, mtime))
        out.changed = True
    return {"sha256": None, "size": None}


def _write_file(out: Output, output: Path | None, data: bytes, *, dry_run: bool) -> dict[str, object]:
    from hashlib import sha256

    from cmakeys.errors import UsageProblem
    from cmakeys.files import write_whole

    if output is not None and not dry_run:
        if output.exists() and not output.is_file():
            raise UsageProblem("not a regular file", object=str(output), hint="--format dir writes a folder")
        out.changed = not (output.is_file() and output.stat().st_size == len(data) and output.read_bytes() == data)
        write_whole(output, data)
    return {"sha256": sha256(data).hexdigest(), "size": len(data)}


def _data(baked: Image, overruled: Sequence[Objection]) -> dict[str, object]:
    manifest = baked.manifest
    return {
        "digest": manifest.digest,
        "version": manifest.version,
        "required": manifest.required,
        "roots": [
            {
                "name": root.name,
                "sha256": root.fingerprint,
                "state": root.state,
                "subject": root.certificate.subject,
                "not_after": root.certificate.not_after,
                "never_expires": root.certificate.never_expires,
            }
            for root in baked.roots
        ],
        "overruled": [{"name": one.name, "reason": one.reason} for one in overruled],
        "keyctl": None if baked.keyctl is None else sorted(baked.keyctl.libraries),
    }


def _show(out: Output, baked: Image) -> None:
    """What went in, for a person."""
    from cmakeys.reports.roots import expiry

    for root in baked.roots:
        out.show(f"{root.name}  {root.state.value}  until {expiry(root.certificate)}", f"  sha256 {root.fingerprint}")
    if baked.keyctl is not None:
        out.show(f"keyctl with {', '.join(sorted(baked.keyctl.libraries)) or 'no library'}")
    out.show(f"set digest {baked.digest}")
