"""The options that many verbs share, spelled once so that they read the same everywhere.

Use them as annotations with these defaults:

    json: Json = False, dry_run: DryRun = False, detailed_exitcode: DetailedExitcode = False,
    sysroot: Sysroot = SYSTEM, state_dir: StateDir = None
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SYSTEM = Path("/")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, also on failure.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
DetailedExitcode = Annotated[
    bool, typer.Option("--detailed-exitcode", help="Leave with 10 instead of 0 when something was changed.")
]
Sysroot = Annotated[
    Path, typer.Option("--sysroot", metavar="DIR", help="Work in the tree at DIR instead of this machine's own.")
]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="Keep the register, journal and evidence in DIR."),
]

TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for one device, all attempts together."),
]
TraceOption = Annotated[
    Path | None,
    typer.Option("--trace", metavar="FILE", help="Record every frame in a new file, for spdm trace and pcap."),
]

PublicKeyOption = Annotated[
    Path | None,
    typer.Option("--public-key", metavar="FILE", help="The public key of a device that shows no certificates."),
]

KernelOption = Annotated[
    bool,
    typer.Option("--kernel", help="Ask the running kernel too what it makes of the chain (kernel-view: oracle)."),
]
CrlOption = Annotated[
    list[Path] | None,
    typer.Option("--crl", metavar="FILE", help="Also look into this revocation list; may be repeated."),
]
OcspOption = Annotated[
    list[Path] | None,
    typer.Option("--ocsp", metavar="FILE", help="Also look into this OCSP response; may be repeated."),
]


def state_directory(sysroot: Path, state_dir: Path | None) -> Path:
    """Where the register, the journal and saved evidence live: `--state-dir` wins over `--sysroot`.

    Raises `Refused` where that leads out of the tree at `sysroot`, to a state directory that is not the tree's.
    """
    if state_dir is not None:
        return state_dir
    place = sysroot / "var/lib/cmakeys"
    if sysroot != SYSTEM:
        from cmakeys.files import check_inside

        check_inside(place, sysroot)
    return place
