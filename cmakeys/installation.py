"""What a distribution puts beside a program: manual pages, units, completion, schemas, a first configuration.

A wheel cannot put files outside of its environment, so this does. What was written stands in a list with its digests,
in the form of sha256sum(1), so that a later version replaces and removes its own files and never one that somebody
edited or that was there before. What lies in /etc belongs to the admin from the moment it is there: it is written only
where nothing is, and taken away only as it was written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from cmakeys.callouts import Occasion
from cmakeys.config import Config
from cmakeys.errors import NotFound, Refused, UsageProblem, from_oserror
from cmakeys.files import make_folder, sync_folder, write_whole
from cmakeys.schedule.plan import SERVICE, TIMER, Plan, files
from cmakeys.stamped import FileState, inside, read_bounded

PREFIX = "/usr/local"
LIST = "share/cmakeys/installed.sha256"
PACKAGES = "var/lib/dpkg/info/cmakeys.list"
"""There where a package has put the same files into /usr."""

_PREFIX = re.compile(r"(/[A-Za-z0-9._+-]+)+")
_LINE = re.compile(r"([0-9a-f]{64})  (\S{1,512})")
_HOOKS_README = """\
Executables in this folder are run when a check has news of a device: see HOOKS in cmakeys-check(8).
They, this folder and those above it must belong to root and be writable by nobody else.
"""
_WORDS = {
    Occasion.CHANGE: "Run when anything about a device is news.",
    Occasion.FAILURE: "Run when a device has become rejected, unreachable or unsupported.",
    Occasion.EXPIRY: "Run when the dates of a device's chain have become due.",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A file, by its place under the root of a tree; `kept` is one that is the admin's once it is there."""

    place: str
    data: bytes
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """One of the files on the disk."""

    path: Path
    state: FileState
    kept: bool


@dataclass(frozen=True, slots=True)
class Change:
    """The files that were, or would be, written and removed."""

    written: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()


def items(sysroot: Path, prefix: str) -> tuple[Item, ...]:
    """Everything that belongs below `prefix` and in /etc. Raises `UsageProblem` for a prefix that is none."""
    below = check_prefix(prefix)
    return (
        *_manual(below),
        *_units(prefix, below),
        *_completions(sysroot, below),
        *_tree(_package() / "schemas", f"{below}/share/cmakeys/schemas"),
        *_tree(_package() / "ansible", f"{below}/share/cmakeys/ansible"),
        *_tree(_data("roots/vendors", "roots"), f"{below}/share/cmakeys/vendors"),
        *_etc(),
    )


def check_prefix(prefix: str) -> str:
    """The prefix as a place under the root of a tree. Raises `UsageProblem`."""
    if not _PREFIX.fullmatch(prefix) or ".." in prefix.split("/"):
        raise UsageProblem("not a prefix", object=prefix, hint="an absolute path, as /usr/local")
    return prefix.removeprefix("/")


def inspect(sysroot: Path, prefix: str) -> tuple[Standing, ...]:
    """How every file stands, and those of an earlier version that this one has no more."""
    wanted = items(sysroot, prefix)
    listed = _listed(sysroot, prefix)
    left = sorted(listed.keys() - {item.place for item in wanted})
    return (
        *(Standing(sysroot / one.place, _state(sysroot, one, listed), one.kept) for one in wanted),
        *(Standing(sysroot / place, _left(sysroot, place, listed[place]), False) for place in left),
    )


def install(sysroot: Path, prefix: str, *, force: bool, dry_run: bool) -> Change:
    """Write what is missing or of another version, and take away what an earlier version had and this one has not.

    Raises `Refused` for a file that is not as we wrote it, unless `force`, and where a package has done this already;
    then nothing was changed.
    """
    _check_packages(sysroot, prefix)
    wanted = {sysroot / one.place: one for one in items(sysroot, prefix)}
    found = inspect(sysroot, prefix)
    _check_edited(found, force=force)
    stale = [one for one in found if one.state in (FileState.OUTDATED, FileState.EDITED) and not one.kept]
    stale += [one for one in found if one.state is FileState.ABSENT]
    written = tuple(one.path for one in stale if one.path in wanted)
    removed = tuple(one.path for one in stale if one.path not in wanted and one.state is not FileState.ABSENT)
    if not dry_run:
        try:
            for path in written:
                make_folder(path.parent)
                write_whole(path, wanted[path].data)
            _unlink(sysroot, removed)
            _write_list(sysroot, prefix, tuple(wanted.values()))
        except OSError as error:
            raise from_oserror(error, str(error.filename or sysroot)) from error
    return Change(written, removed)


def remove(sysroot: Path, prefix: str, *, force: bool, dry_run: bool) -> Change:
    """Take away what `install` has written; what the admin has changed in /etc stays.

    Raises `NotFound` where nothing was, and `Refused` as `install` does.
    """
    listed = _listed(sysroot, prefix)
    if not listed:
        hint = "look with: cmakeys setup status, and give the same --prefix as then"
        raise NotFound("nothing was installed below this prefix", object=prefix, hint=hint)
    kept = {one.place for one in _etc()}
    found = tuple(
        Standing(sysroot / place, _left(sysroot, place, digest), place in kept) for place, digest in listed.items()
    )
    _check_edited(found, force=force)
    gone = [
        one for one in found if one.state is not FileState.ABSENT and not (one.kept and one.state is FileState.EDITED)
    ]
    paths = (*(one.path for one in gone), inside(sysroot, f"{check_prefix(prefix)}/{LIST}"))
    if not dry_run:
        try:
            _unlink(sysroot, paths)
        except OSError as error:
            raise from_oserror(error, str(error.filename or sysroot)) from error
    return Change(removed=paths)


# -- what there is -----------------------------------------------------------------------------------------------------


def _package() -> Traversable:
    return resources.files("cmakeys")


def _data(installed: str, checkout: str) -> Traversable:
    """A folder of the source tree, which is package data once cmakeys is installed."""
    folder = _package().joinpath(*installed.split("/"))
    return folder if folder.is_dir() else Path(__file__).parents[1] / checkout


def _manual(below: str) -> Iterator[Item]:
    for page in sorted(_data("man", "man").iterdir(), key=lambda page: page.name):
        yield Item(f"{below}/share/man/man{page.name[-1]}/{page.name}", page.read_bytes())


def _units(prefix: str, below: str) -> Iterator[Item]:
    places = {f.place.rpartition("/")[2]: f.body or b"" for f in files(Plan(program=f"{prefix}/bin/cmakeys"))}
    for name in (SERVICE, TIMER):
        yield Item(f"{below}/lib/systemd/system/{name}", places[name])


def _completions(sysroot: Path, below: str) -> Iterator[Item]:
    # Debian's zsh looks into the folder for vendors, and below /usr into no other.
    debian = below == "usr" and (sysroot / "etc/debian_version").exists()
    zsh = "vendor-completions" if debian else "site-functions"
    places = {
        "cmakeys.bash": "bash-completion/completions/cmakeys",
        "_cmakeys": f"zsh/{zsh}/_cmakeys",
        "cmakeys.fish": "fish/vendor_completions.d/cmakeys.fish",
    }
    for name, place in places.items():
        yield Item(f"{below}/share/{place}", (_package() / "completions" / name).read_bytes())


def _tree(folder: Traversable, place: str) -> Iterator[Item]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _tree(entry, f"{place}/{entry.name}")
        else:
            yield Item(f"{place}/{entry.name}", entry.read_bytes())


def _etc() -> Iterator[Item]:
    yield Item("etc/cmakeys/cmakeys.yaml", default_configuration(), kept=True)
    for occasion in Occasion:
        text = f"{_WORDS[occasion]}\n{_HOOKS_README}"
        yield Item(f"etc/cmakeys/hooks/{occasion.folder}/README", text.encode(), kept=True)


def default_configuration() -> bytes:
    """Every setting with its default, commented out."""
    lines = ["# Configuration of cmakeys; every setting is described in cmakeys.yaml(5). These are the defaults."]
    section = ""
    settings = Config().settings()
    filled = {setting.key.partition(".")[0] for setting in settings if setting.value is not None}
    for setting in settings:
        head, _, key = setting.key.partition(".")
        if head != section:
            section = head
            lines.append(f"#{head}:" if head in filled else f"## {head}:")
        lines.append(f"#  # {key}: not set" if setting.value is None else f"#  {key}: {_plain(setting.value)}")
    return "".join(f"{line}\n" for line in lines).encode()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_plain(item)}' for key, item in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) else str(value)


# -- what is there -----------------------------------------------------------------------------------------------------


def _listed(sysroot: Path, prefix: str) -> Mapping[str, str]:
    """The files that were written below this prefix, with their digests; none where there is no list."""
    data = read_bounded(inside(sysroot, f"{check_prefix(prefix)}/{LIST}")) or b""
    matches = map(_LINE.fullmatch, data.decode("utf-8", "replace").splitlines())
    return {match[2].removeprefix("/"): match[1] for match in matches if match and ".." not in match[2].split("/")}


def _write_list(sysroot: Path, prefix: str, wanted: tuple[Item, ...]) -> None:
    lines = [f"{hashlib.sha256(one.data).hexdigest()}  /{one.place}\n" for one in wanted]
    path = inside(sysroot, f"{check_prefix(prefix)}/{LIST}")
    make_folder(path.parent)
    write_whole(path, "".join(lines).encode())


def _state(sysroot: Path, item: Item, listed: Mapping[str, str]) -> FileState:
    data = read_bounded(inside(sysroot, item.place))
    if data is None:
        return FileState.ABSENT
    if data == item.data:
        return FileState.CURRENT
    return FileState.OUTDATED if hashlib.sha256(data).hexdigest() == listed.get(item.place) else FileState.EDITED


def _left(sysroot: Path, place: str, digest: str) -> FileState:
    """How a file stands that is in the list: as it was written, or otherwise."""
    data = read_bounded(inside(sysroot, place))
    if data is None:
        return FileState.ABSENT
    return FileState.OUTDATED if hashlib.sha256(data).hexdigest() == digest else FileState.EDITED


def _check_packages(sysroot: Path, prefix: str) -> None:
    if check_prefix(prefix) == "usr" and (sysroot / PACKAGES).exists():
        hint = "leave /usr to it, or give another --prefix"
        raise Refused("the package cmakeys has put these files there", object=prefix, hint=hint)


def _check_edited(found: tuple[Standing, ...], *, force: bool) -> None:
    for one in found:
        if one.state is FileState.EDITED and not one.kept and not force:
            raise Refused(
                "this file was edited by hand, or is not ours; nothing was changed",
                object=str(one.path),
                hint="keep what you need of it and give --force",
            )


def _unlink(sysroot: Path, paths: tuple[Path, ...]) -> None:
    """Remove files, and the folders of ours that are empty then."""
    for path in paths:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        for folder in path.relative_to(sysroot).parents:
            if "cmakeys" not in folder.parts:
                break
            with suppress(OSError):  # something else is in it
                (sysroot / folder).rmdir()
