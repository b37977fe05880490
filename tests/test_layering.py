"""Imports only go down, and the floors that do no input or output import nothing that could."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layering import ALLOWED, PURE, violations

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "cmakeys").rglob("*.py"))
FLOORS = (
    {"errors", "files", "lock", "wording", "__init__"},
    {"x509", "spdm", "transports", "stamped", "ownership", "grace"},
    {"devices", "roots", "emulator", "revocation"},
    {"evidence", "keyring", "images", "bindguard", "schedule"},
    {"verify"},
    {"witness", "corim"},
    {"check", "clock", "config", "offline", "revocation", "references"},
    {"standing", "running", "eventlog", "fleet", "whereabouts"},
    {"status", "dependants", "enrolling", "measuring"},
    {"doctor"},
    {"reports"},
    {"callouts"},
    {"installation"},
    {"cli"},
    {"__main__"},
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_keeps_to_its_floor(path: Path) -> None:
    assert violations(path.read_text(), name_of(path), is_package=path.name == "__init__.py") == []


def test_the_table_itself_only_goes_down() -> None:
    height = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    assert set(height) == set(ALLOWED)
    for upper, allowed in ALLOWED.items():
        for lower in allowed:
            assert height[lower] < height[upper] or {lower, upper} == {"spdm", "transports"}


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("cmakeys.spdm.wire", "import os", "spdm does no input or output"),
        ("cmakeys.spdm.messages.version", "def f():\n    from socket import socket", ":2: spdm does no input"),
        ("cmakeys.x509.chain", "if TYPE_CHECKING:\n    from pathlib import Path", ":2: x509 does no input"),
        ("cmakeys.verify.policy", "import os.path as p", "verify does no input or output"),
        ("cmakeys.verify.policy", "import yaml", "must not use the package yaml"),
        ("cmakeys.verify.steps", "open('x')", "verify calls open()"),
        ("cmakeys.spdm.wire", "async def f():\n    import subprocess", "spdm does no input or output"),
        ("cmakeys.spdm.wire", "from cmakeys.x509.certificate import Certificate", "spdm must not import"),
        ("cmakeys.spdm.wire", "from cmakeys import transports", "spdm must not import cmakeys.transports"),
        ("cmakeys.spdm.messages.x", "from ...x509 import chain", "spdm must not import cmakeys.x509.chain"),
        ("cmakeys.roots.store", "import cmakeys.keyring.cma", "roots must not import"),
        ("cmakeys.roots.store", "import requests", "must not use the package requests"),
        ("cmakeys.verify.steps", "from cmakeys.roots import store", "must not import cmakeys.roots.store"),
        ("cmakeys.verify.steps", "from cmakeys.evidence.live import x", "must not import cmakeys.evidence.live"),
        ("cmakeys.devices.pci", "import typer", "must not use the package typer"),
        ("cmakeys.helpers.misc", "", "no place in the table"),
    ],
)
def test_a_violation_is_found(module: str, source: str, complaint: str) -> None:
    (found,) = violations(source, module)
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cmakeys.spdm.messages.version", "from ..wire import Reader\nfrom . import base\nimport struct, hashlib"),
        ("cmakeys.x509.chain", "from cmakeys.errors import EvidenceProblem\nfrom cryptography import x509"),
        (
            "cmakeys.verify.steps",
            "from cmakeys.evidence.model import Evidence\nfrom cmakeys.roots.rootset import RootSet",
        ),
        ("cmakeys.cli.roots", "import os, typer, yaml\nfrom cmakeys.roots import store"),
        ("cmakeys.x509.chain", "def open_chain(): pass\nopen_chain()"),
    ],
)
def test_what_the_floors_allow_is_not_a_violation(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_of_a_package_are_resolved_from_the_package() -> None:
    assert violations("from .. import x509", "cmakeys.spdm", is_package=True) == [
        "cmakeys.spdm:1: spdm must not import cmakeys.x509"
    ]


def test_the_pure_floors_are_in_the_table() -> None:
    assert set(ALLOWED) >= PURE
