"""A machine in a temporary folder: `cmakeys` run on it, with what it said and the code it left with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore


@dataclass(frozen=True)
class Said:
    """What a run printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> Mapping[str, object]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        assert sorted(document) == ["changed", "data", "errors", "ok", "schema"]
        return document

    @property
    def data(self) -> Mapping[str, object]:
        data = self.envelope["data"]
        assert isinstance(data, dict)
        return data

    @property
    def error(self) -> Mapping[str, str]:
        errors = self.envelope["errors"]
        assert isinstance(errors, list)
        (error,) = errors
        assert isinstance(error, dict)
        return error


@dataclass(frozen=True)
class Machine:
    """The tree at `sysroot`, and the command line on it."""

    sysroot: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *words: str) -> Said:
        self.capture.readouterr()
        code = main([*words, "--sysroot", str(self.sysroot)])
        captured = self.capture.readouterr()
        return Said(code, captured.out, captured.err)

    def trust(self, vendor: VendorAuthority, name: str = "acme") -> None:
        RootStore(self.sysroot).add(Root(name, vendor.certificate))

    @property
    def register(self) -> Path:
        return self.sysroot / "var/lib/cmakeys/devices.db"
