"""Files of ours in a system: known by their stamp, whole, and never changed behind the back of who edited them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys import __version__
from cmakeys.errors import Refused
from cmakeys.stamped import FileState, OurFile, OurLink, inspect, install, read_ours, remove, stamp, unstamp

SCRIPT = OurFile("etc/hooks/cmakeys", b"#!/bin/sh\nexit 0\n", executable=True)
CONF = OurFile("usr/lib/70cmakeys/conf", b"key=value\n")
LINK = OurLink("etc/wants/cmakeys.service", "../cmakeys.service")
FILES, LINKS = (SCRIPT, CONF), (LINK,)


def states(sysroot: Path) -> list[FileState]:
    return [one.state for one in inspect(sysroot, FILES, LINKS)]


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"# mine\n")


def switch_off(path: Path) -> None:
    path.chmod(0o644)


def replace(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n# of another program\n")


def test_what_is_installed_is_current_and_what_is_removed_leaves_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "etc/hooks").mkdir(parents=True)
    everything = tuple(tmp_path / one.place for one in (*FILES, *LINKS))
    assert install(tmp_path, FILES, LINKS, force=False, dry_run=True) == everything
    assert states(tmp_path) == [FileState.ABSENT] * 3
    assert install(tmp_path, FILES, LINKS, force=False, dry_run=False) == everything
    assert states(tmp_path) == [FileState.CURRENT] * 3
    assert install(tmp_path, FILES, LINKS, force=False, dry_run=False) == ()
    assert stat.S_IMODE((tmp_path / SCRIPT.place).stat().st_mode) == 0o755
    assert remove(tmp_path, FILES, LINKS, force=False, dry_run=False) == everything[::-1]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        *("etc", "etc/hooks", "etc/wants", "usr", "usr/lib")
    ]


def test_a_script_still_begins_with_what_runs_it(tmp_path: Path) -> None:
    install(tmp_path, FILES, force=False, dry_run=False)
    first, second, *rest = (tmp_path / SCRIPT.place).read_text().splitlines()
    assert (first, rest) == ("#!/bin/sh", ["exit 0"])
    assert second.startswith(f"# Written by cmakeys {__version__}; ")


@pytest.mark.parametrize("act", [edit, switch_off, replace])
def test_what_somebody_changed_stays_until_force(act: Callable[[Path], None], tmp_path: Path) -> None:
    install(tmp_path, FILES, LINKS, force=False, dry_run=False)
    path = tmp_path / SCRIPT.place
    act(path)
    before = path.read_bytes()
    assert states(tmp_path)[0] is FileState.EDITED
    for attempt in (install, remove):
        with pytest.raises(Refused) as caught:
            attempt(tmp_path, FILES, LINKS, force=False, dry_run=False)
        assert (caught.value.object, path.read_bytes()) == (str(path), before)
        assert states(tmp_path)[1:] == [FileState.CURRENT] * 2, "nothing else was touched either"
    install(tmp_path, FILES, LINKS, force=True, dry_run=False)
    assert states(tmp_path) == [FileState.CURRENT] * 3
    act(path)
    remove(tmp_path, FILES, LINKS, force=True, dry_run=False)
    assert states(tmp_path) == [FileState.ABSENT] * 3


def test_a_link_that_somebody_masked_stays_masked_until_force(tmp_path: Path) -> None:
    place = tmp_path / LINK.place
    place.parent.mkdir(parents=True)
    place.symlink_to("/dev/null")
    with pytest.raises(Refused):
        install(tmp_path, FILES, LINKS, force=False, dry_run=False)
    assert str(place.readlink()) == "/dev/null"
    assert states(tmp_path) == [FileState.ABSENT, FileState.ABSENT, FileState.EDITED]
    install(tmp_path, FILES, LINKS, force=True, dry_run=False)
    assert states(tmp_path) == [FileState.CURRENT] * 3


def test_another_version_s_file_is_outdated_and_replaced(tmp_path: Path) -> None:
    install(tmp_path, (OurFile(CONF.place, b"key=older\n"),), force=False, dry_run=False)
    path = tmp_path / CONF.place
    path.write_bytes(path.read_bytes().replace(__version__.encode(), b"0.0.9", 1))
    (found,) = inspect(tmp_path, (CONF,))
    assert (found.state, found.version) == (FileState.OUTDATED, "0.0.9")
    assert install(tmp_path, (CONF,), force=False, dry_run=False) == (path,)
    assert path.read_bytes() == stamp(CONF.body or b"")
    ours = read_ours(tmp_path, CONF.place)
    assert ours is not None
    assert (ours.version, ours.body) == (__version__, CONF.body)


@pytest.mark.parametrize("place", ["etc", "etc/hooks", "etc/hooks/cmakeys"])
def test_nothing_is_written_through_a_link_that_leads_out_of_the_tree(place: str, tmp_path: Path) -> None:
    host, tree = tmp_path / "host", tmp_path / "tree"
    install(host, FILES, LINKS, force=False, dry_run=False)
    (tree / place).parent.mkdir(parents=True)
    (tree / place).symlink_to(host / place)
    for attempt in (install, remove):
        with pytest.raises(Refused, match="leads out of"):
            attempt(tree, FILES, LINKS, force=True, dry_run=False)
    assert states(host) == [FileState.CURRENT] * 3


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_keeps_nobody_waiting_and_a_folder_is_no_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / SCRIPT.place).parent.mkdir(parents=True)
    make(tmp_path / SCRIPT.place)
    with pytest.raises(Refused, match="not a regular file"):
        inspect(tmp_path, FILES)


@given(st.binary(max_size=300), st.sampled_from([b"", b"#!", b"#!/bin/sh\n"]))
def test_a_stamp_is_read_back_and_holds_for_no_other_bytes(body: bytes, first: bytes) -> None:
    found = unstamp(stamp(first + body))
    assert found is not None
    assert found.body == first + body
    assert unstamp(stamp(first + body) + b"x") is None


@given(st.binary(max_size=200))
def test_what_is_none_of_ours_is_none(data: bytes) -> None:
    assert unstamp(b"# Written by cmakeys 0.1.0; the rest has the SHA-256 " + data) is None
