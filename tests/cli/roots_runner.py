"""Runs `cmakeys roots` on a tree of its own, with or without a person at the terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.roots.journal import Journal
from cmakeys.roots.record import render_pem
from cmakeys.roots.store import RootStore
from cmakeys.x509.certificate import Certificate
from tests.cli.machine import Said

Run = Callable[..., Said]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def runner(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb on the tree at tmp_path; `typed` is what a person at a terminal types, None where there is none."""

    def run(*words: str, typed: str | None = None) -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO("") if typed is None else Terminal(typed))
        capsys.readouterr()
        code = main(["roots", *words, "--sysroot", str(tmp_path)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def save(folder: Path, name: str, *certificates: Certificate) -> str:
    (folder / name).write_bytes(b"".join(render_pem(each) for each in certificates))
    return str(folder / name)


def names(tree: Path) -> list[str]:
    return [each.name for each in RootStore(tree).load().roots]


def actions(tree: Path) -> list[str]:
    return [entry.action for entry in Journal(tree / "var/lib/cmakeys").verify().entries]
