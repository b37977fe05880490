"""The forms in which `roots export` writes roots for programs that know nothing of cmakeys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cmakeys.cli.output import Output, plain
from cmakeys.errors import Refused, UsageProblem
from cmakeys.files import write_whole
from cmakeys.reports.roots import root_data
from cmakeys.reports.terminal import Tone
from cmakeys.roots.bundle import pem_bundle
from cmakeys.roots.catalogue import load_catalogue
from cmakeys.roots.declaration import render_declaration
from cmakeys.roots.deny import DenyKind
from cmakeys.roots.directory import StoreReport
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Root
from cmakeys.roots.voa import system_identifiers, write_hierarchy
from cmakeys.wording import counted


@dataclass(frozen=True, slots=True)
class Form:
    """How roots are written: the format and the place, and for a UAPI.11 tree the system's name in it."""

    name: str
    output: Path | None
    system: str | None
    sysroot: Path


def write(out: Output, roots: Sequence[Root], report: StoreReport, form: Form) -> None:
    """Write `roots` as `pem`, `der`, `voa` or `json`, or show them where that is one text and no place is given.

    Raises `UsageProblem` for another form, and `Refused` for a folder that holds other files: a program that loads the
    whole folder would trust them, too.
    """
    output = form.output
    if form.name not in ("pem", "der", "voa", "json"):
        raise UsageProblem(
            f"{form.name!r} is not a format", object="--format", hint="one of: pem, der, voa, json, declaration"
        )
    if form.system is not None and form.name != "voa":
        raise UsageProblem("only a voa tree names a system", object="--os", hint="--format voa")
    if form.name == "voa":
        _write_tree(out, roots, report, form)
    elif form.name == "der":
        _write_folder(roots, output)
        out.show(f"wrote {counted(len(roots), 'root')} to {output}", tone=Tone.GOOD)
    else:
        _write_text(out, pem_bundle(roots) if form.name == "pem" else _json_bundle(roots, report), len(roots), output)


def write_declaration(out: Output, report: StoreReport, named: Sequence[str], output: Path | None) -> None:
    """Write the whole set as `roots apply` reads it.

    Raises `UsageProblem` for single roots: a declaration of some would have the others pruned.
    """
    if named:
        raise UsageProblem("a declaration is of all roots", object=named[0], hint="leave the names out")
    known = report.root_set
    out.data = {"format": "declaration", "output": output, "roots": [root_data(root, report) for root in known.roots]}
    _write_text(out, render_declaration(known, load_catalogue().test_roots), len(known.roots), output)


def _write_text(out: Output, data: bytes, number: int, output: Path | None) -> None:
    if output is None:
        out.show(*data.decode().splitlines())
        return
    if output.exists() and not output.is_file():
        raise UsageProblem("not a regular file", object=str(output), hint="for stdout leave --output out")
    write_whole(output, data)
    out.show(f"wrote {counted(number, 'root')} to {output}", tone=Tone.GOOD)


def _write_folder(roots: Sequence[Root], folder: Path | None) -> None:
    if folder is None:
        raise UsageProblem("der needs a folder", object="--output", hint="give an empty or new one")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Refused(
            "the folder is not empty, and what else is in it would be taken for a trusted root",
            object=str(folder),
            hint="give an empty or new one",
        )
    for root in roots:
        write_whole(folder / f"{root.name}.der", root.certificate.der)


def _write_tree(out: Output, roots: Sequence[Root], report: StoreReport, form: Form) -> None:
    """A load path of UAPI.11 with the roots, and a mask for each certificate that is denied."""
    if form.output is None:
        raise UsageProblem("voa needs a folder", object="--output", hint="give an empty or new one")
    masked = [
        entry.sha256 for entry in report.root_set.deny if entry.kind is DenyKind.CERTIFICATE and entry.after is None
    ]
    system = form.system or system_identifiers(form.sysroot)[0]
    written = sum(1 for _ in write_hierarchy(form.output, system, roots, masked))
    out.show(f"wrote {counted(len(roots), 'root')} and {written - len(roots)} masked to {form.output}", tone=Tone.GOOD)


def _json_bundle(roots: Sequence[Root], report: StoreReport) -> bytes:
    data = [{**root_data(root, report), "pem": render_pem(root.certificate).decode()} for root in roots]
    return json.dumps(plain(data), indent=2).encode() + b"\n"
