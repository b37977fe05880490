"""The floors of the house as a table, and what a module does against them.

Imports only go down. A violation is found in the syntax tree, so an import inside a function or under `TYPE_CHECKING`
counts like any other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

BELOW_CHECK = frozenset({"x509", "spdm", "transports", "devices", "roots", "evidence", "keyring", "verify"})
BELOW_CLI = BELOW_CHECK | {
    "errors",
    "files",
    "stamped",
    "emulator",
    "images",
    "bindguard",
    "schedule",
    "callouts",
    "installation",
    "check",
    "clock",
    "config",
    "dependants",
    "enrolling",
    "references",
    "measuring",
    "corim",
    "eventlog",
    "running",
    "grace",
    "standing",
    "whereabouts",
    "offline",
    "fleet",
    "revocation",
    "status",
    "doctor",
    "witness",
    "wording",
    "reports",
}

# Who may import whom, by package or top module of cmakeys. Everyone may import itself and `errors`.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "files": frozenset(),
    "lock": frozenset(),
    "wording": frozenset(),
    "stamped": frozenset({"files"}),
    "x509": frozenset(),
    "spdm": frozenset(),
    "transports": frozenset({"spdm", "lock"}),
    "devices": frozenset({"x509", "spdm", "transports", "files"}),
    "roots": frozenset({"x509", "files", "lock"}),
    "emulator": frozenset({"spdm", "x509", "transports", "files"}),
    "evidence": frozenset({"x509", "spdm", "devices", "transports", "files"}),
    "keyring": frozenset({"x509", "roots"}),
    "images": frozenset({"x509", "roots", "files", "stamped"}),
    "verify": frozenset({"x509", "spdm", "roots", "evidence"}),
    "corim": frozenset({"x509", "verify"}),
    "revocation": frozenset({"x509", "files", "lock"}),
    "clock": frozenset({"devices", "evidence", "files", "roots", "verify"}),
    "dependants": frozenset({"check", "devices", "roots", "verify"}),
    "ownership": frozenset(),
    "schedule": frozenset({"grace", "ownership", "stamped"}),
    "bindguard": frozenset({"devices", "roots", "files", "stamped"}),
    "check": BELOW_CHECK | {"witness"},
    "eventlog": frozenset(),
    "running": frozenset({"evidence", "files", "lock"}),
    "grace": frozenset(),
    "standing": BELOW_CHECK | {"check", "grace"},
    "whereabouts": BELOW_CHECK | {"check"},
    "enrolling": BELOW_CHECK | {"check", "standing"},
    "references": frozenset({"x509", "devices", "evidence", "roots", "spdm", "verify", "files", "lock"}),
    "measuring": BELOW_CHECK | {"check", "references"},
    "status": BELOW_CHECK | {"clock", "config", "images"},
    "doctor": BELOW_CHECK | {"status", "config", "wording"},
    "config": frozenset({"devices", "evidence", "images", "roots", "verify"}),
    "witness": frozenset({"x509", "devices", "roots", "keyring", "verify"}),
    "offline": frozenset({"witness", "x509", "roots", "evidence", "verify"}),
    "fleet": frozenset({"offline", "evidence"}),
    "reports": (BELOW_CHECK - {"transports"})
    | {
        "status",
        "doctor",
        "wording",
        "fleet",
        "images",
        "revocation",
        "running",
        "standing",
        "whereabouts",
        "corim",
        "measuring",
        "references",
    },
    "installation": frozenset({"callouts", "config", "files", "schedule", "stamped"}),
    "callouts": frozenset({"devices", "evidence", "ownership", "reports", "standing", "verify"}),
    "cli": BELOW_CLI,
    "__main__": frozenset({"cli"}),
    "__init__": frozenset(),
}

# Doors to the outside that a floor below stands open to, but not to these: verify works on values only.
CLOSED: dict[str, frozenset[str]] = {
    "verify": frozenset(
        {"cmakeys.roots.store", "cmakeys.roots.journal", "cmakeys.evidence.live", "cmakeys.evidence.kernel"}
    ),
}

PURE = frozenset({"x509", "spdm", "verify"})
INPUT_OUTPUT = frozenset(
    {"os", "socket", "subprocess", "pathlib", "shutil", "tempfile", "select", "selectors", "asyncio", "ssl", "urllib"}
    | {"http", "sqlite3", "ctypes", "mmap", "fcntl", "signal"}
)
INPUT_OUTPUT_CALLS = frozenset({"open", "print", "input", "breakpoint", "__import__"})

# Packages from elsewhere, and who may use them. Crypto (pycryptodome) is optional: Ed448 with a context string, which
# spdm verifies and the emulator signs with. So are the four of images: ELF files, packed initrds, unified kernels.
THIRD_PARTY: dict[str, frozenset[str]] = {
    "cryptography": frozenset(ALLOWED),
    "Crypto": frozenset({"spdm", "emulator"}),
    "yaml": frozenset(ALLOWED) - PURE,
    "typer": frozenset({"cli"}),
    "elftools": frozenset({"images"}),
    "cbor2": frozenset({"corim"}),
    "distributed": frozenset({"fleet"}),
    "lz4": frozenset({"images"}),
    "pefile": frozenset({"images"}),
    "zstandard": frozenset({"images"}),
}


def imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every imported name, absolute, with its line; `from a import b` gives `a.b`."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What the module does that its floor does not allow, as sentences with line numbers."""
    tree = ast.parse(source)
    parts = module.split(".")
    floor = parts[1] if len(parts) > 1 else "__init__"
    if floor not in ALLOWED:
        return [f"{module}: {floor} has no place in the table of floors"]
    found = []
    for line, name in imports(tree, module, is_package=is_package):
        complaint = _complaint(floor, name)
        if complaint:
            found.append(f"{module}:{line}: {complaint}")
    if floor in PURE:
        found += [
            f"{module}:{node.lineno}: {floor} calls {node.func.id}(), which is input or output"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in INPUT_OUTPUT_CALLS
        ]
    return found


def _complaint(floor: str, name: str) -> str:
    top, *rest = name.split(".")
    if top == "cmakeys":
        return _inside(floor, rest[0] if rest else "", name)
    if floor in PURE and top in INPUT_OUTPUT:
        return f"{floor} does no input or output, but imports {name}"
    if top in sys.stdlib_module_names:
        return ""
    if floor not in THIRD_PARTY.get(top, frozenset()):
        return f"{floor} must not use the package {top}"
    return ""


def _inside(floor: str, target: str, name: str) -> str:
    if target in (floor, "errors", "__version__"):
        return ""
    if target not in ALLOWED[floor]:
        return f"{floor} must not import {name}"
    if any(name == closed or name.startswith(closed + ".") for closed in CLOSED.get(floor, ())):
        return f"{floor} works on values and must not import {name}"
    return ""
