"""The forms in which `roots export` writes roots for programs that know nothing of cmakeys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cmakeys.cli.output import Output, plain
from cmakeys.errors import Refused, UsageProblem
from cmakeys.files import write_whole
from cmakeys.reports.roots import root_data
from cmakeys.reports.terminal import Tone
from cmakeys.roots.bundle import pem_bundle
from cmakeys.roots.catalogue import load_catalogue
from cmakeys.roots.declaration import render_declaration
from cmakeys.roots.directory import StoreReport
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Root


def write(out: Output, roots: Sequence[Root], report: StoreReport, form: str, output: Path | None) -> None:
    """Write `roots` as `pem`, `der` or `json` to `output`, or show them where that is one text and no place is given.

    Raises `UsageProblem` for another form, and `Refused` for a DER folder that holds other files: a program that loads
    the whole folder would trust them, too.
    """
    if form not in ("pem", "der", "json"):
        raise UsageProblem(f"{form!r} is not a format", object="--format", hint="one of: pem, der, json, declaration")
    if form == "der":
        _write_folder(roots, output)
        out.show(f"wrote {len(roots)} to {output}", tone=Tone.GOOD)
    else:
        _write_text(out, pem_bundle(roots) if form == "pem" else _json_bundle(roots, report), len(roots), output)


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
    out.show(f"wrote {number} to {output}", tone=Tone.GOOD)


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


def _json_bundle(roots: Sequence[Root], report: StoreReport) -> bytes:
    data = [{**root_data(root, report), "pem": render_pem(root.certificate).decode()} for root in roots]
    return json.dumps(plain(data), indent=2).encode() + b"\n"
