"""What this machine remembers of the bundles that it imported: one small file for each name in the state directory.

`bundles/<name>.json` holds the last version, its digest, the keys that sign the next one, and the fingerprints that it
vouches for. Without it an old bundle could be played back, so a file that cannot be read stops the import, and is never
taken for "no bundle yet". It is written before the roots are changed: a run that is killed in between has seen the
bundle, and the same bundle may be imported again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.errors import EnvironmentProblem, ExitCode, Temporary, UsageProblem, from_oserror
from cmakeys.files import make_folder, write_whole
from cmakeys.lock import exclusive
from cmakeys.roots.bundle_acceptance import Remembered
from cmakeys.roots.document import DocumentProblem, Node
from cmakeys.roots.json_document import read_json, render_json
from cmakeys.roots.root import check_name
from cmakeys.roots.signed_bundle import MAX_ROOTS, time_text
from cmakeys.roots.signer import check_key_id, read_signers, render_signers

FOLDER = "bundles"
SCHEMA = 1
MAX_STATE_SIZE = 4 * 1024 * 1024
MAX_BUNDLES = 256
_MAX_NODES = 40 * MAX_ROOTS


class BundleStateProblem(EnvironmentProblem):
    """What was remembered of a bundle cannot be read, so nothing can be said about a new one."""

    exit_code = ExitCode.USAGE
    code = "bundle-state"


def load_state(state_dir: Path, name: str) -> Remembered | None:
    """What is remembered of the bundle called `name`; None when none was imported yet.

    Raises `BundleStateProblem` for a file that is not as it was written.
    """
    path = state_dir / FOLDER / f"{check_name(name)}.json"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_STATE_SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    try:
        found = _read(read_json(data, str(path), max_size=MAX_STATE_SIZE, max_nodes=_MAX_NODES))
    except (DocumentProblem, UsageProblem) as error:
        raise _unreadable(path, error.message) from error
    if found.name != name:
        raise _unreadable(path, f"it is about {found.name}")
    return found


def save_state(state_dir: Path, state: Remembered, *, instead_of: Remembered | None) -> None:
    """Remember the last bundle of a name, whole or not at all.

    Raises `Temporary` when what is there is not `instead_of`, because somebody else was quicker, and `Locked`.
    """
    with _writing(state_dir) as folder:
        if load_state(state_dir, state.name) != instead_of:
            raise Temporary(
                "another bundle of this name was imported meanwhile; nothing was done",
                object=state.name,
                hint="look at it again: cmakeys roots bundle verify FILE",
            )
        write_whole(folder / f"{state.name}.json", _render(state))


def load_all(state_dir: Path) -> tuple[Remembered, ...]:
    """What is remembered of every bundle, by name. Raises as `load_state` does."""
    folder = state_dir / FOLDER
    try:
        files = sorted(entry for entry in os.listdir(folder) if entry.endswith(".json"))  # noqa: PTH208 names alone
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise from_oserror(error, str(folder)) from error
    names = [name.removesuffix(".json") for name in files if not name.startswith(".")]
    if len(names) > MAX_BUNDLES:
        raise BundleStateProblem(f"{len(names)} bundles, more than {MAX_BUNDLES}", object=str(folder))
    found = (load_state(state_dir, name) for name in names)
    return tuple(state for state in found if state is not None)


def vouched(state_dir: Path, now: datetime | None = None) -> Mapping[str, str]:
    """The fingerprints that the imported bundles vouch for, each with the name of a bundle that does.

    A bundle that has expired vouches for nothing. Raises as `load_state` does.
    """
    when = datetime.now(UTC) if now is None else now
    return {
        fingerprint: state.name
        for state in reversed(load_all(state_dir))
        if when < state.expires
        for fingerprint in sorted(state.roots)
    }


@contextmanager
def _writing(state_dir: Path) -> Iterator[Path]:
    folder = state_dir / FOLDER
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with exclusive(descriptor, str(folder)):
            yield folder
    finally:
        os.close(descriptor)


def _render(state: Remembered) -> bytes:
    return render_json(
        {
            "schema": SCHEMA,
            "name": state.name,
            "version": state.version,
            "digest": state.digest,
            "signers": render_signers(state.signers),
            "expires": time_text(state.expires),
            "roots": sorted(state.roots),
            "added": sorted(state.added),
        }
    )


def _read(node: Node) -> Remembered:
    fields = node.mapping(frozenset({"schema", "name", "version", "digest", "signers", "expires", "roots", "added"}))
    if fields["schema"].number() != SCHEMA:
        raise fields["schema"].problem(f"schema {fields['schema'].text()} is not known")
    return Remembered(
        check_name(fields["name"].text()),
        fields["version"].number(),
        check_key_id(fields["digest"].text()),
        read_signers(fields["signers"]),
        fields["expires"].time(),
        frozenset(check_key_id(text) for text in fields["roots"].texts()),
        frozenset(check_key_id(text) for text in fields["added"].texts()),
    )


def _unreadable(path: Path, why: str) -> BundleStateProblem:
    return BundleStateProblem(
        f"cannot be read: {why}",
        object=str(path),
        hint="restore it; without it an old bundle cannot be told from a new one. Removing it means to name keys anew",
    )
