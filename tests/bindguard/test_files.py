"""What is written for the bind guard: whole, repeatable, removable, and never over what somebody edited."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.bindguard.decision import By, Guard, Unreachable
from cmakeys.bindguard.files import (
    LIST,
    RULES,
    WANTS,
    inspect,
    install,
    parse_guard,
    read_guard,
    remove,
    render_guard,
    render_rules,
)
from cmakeys.errors import EnvironmentProblem, NotFound, Refused
from cmakeys.stamped import FileState

GUARD = Guard.of(
    ("0108", "02"),
    ("1b36:0010", "10de:*"),
    ("0000:00:1c.0",),
    removable=True,
    by=By.EITHER,
    unreachable=Unreachable.BIND,
)
TOKEN = re.compile(r'(?P<key>[A-Z_]+)(?:\{[^}]+\})?(?P<operator>==|!=|\+=|=)"(?:[^"\\]|\\.)*"')
MATCHED = {"SUBSYSTEM", "ACTION", "DRIVER", "ENV", "ATTR", "ATTRS", "KERNEL", "KERNELS"}
ASSIGNED = {"GOTO": "=", "LABEL": "=", "RUN": "+=", "TAG": "+=", "ENV": "+=", "IMPORT": "="}


def test_installing_twice_writes_once_and_removing_leaves_nothing(tmp_path: Path) -> None:
    assert len(install(tmp_path, GUARD, force=False, dry_run=True)) == 5
    assert list(tmp_path.iterdir()) == []
    assert len(install(tmp_path, GUARD, force=False, dry_run=False)) == 5
    assert (tmp_path / WANTS).resolve().read_bytes().startswith(b"# Written by cmakeys")
    assert install(tmp_path, GUARD, force=False, dry_run=False) == ()
    assert read_guard(tmp_path) == GUARD
    assert {one.state for one in inspect(tmp_path, GUARD)} == {FileState.CURRENT}
    assert len(remove(tmp_path, force=False, dry_run=True)) == 5
    remove(tmp_path, force=False, dry_run=False)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert remove(tmp_path, force=False, dry_run=False) == ()
    with pytest.raises(NotFound):
        read_guard(tmp_path)


def test_the_rule_lets_pass_bridges_to_another_bus_and_no_device_that_calls_itself_some_bridge() -> None:
    passing = [line for line in render_rules(GUARD).decode().splitlines() if 'ATTR{class}=="0x06' in line]
    assert passing == ['ATTR{class}=="0x0604*", GOTO="cmakeys_bind"']


@pytest.mark.parametrize("place", ["etc", "etc/systemd", "etc/cmakeys/bind-guard.yaml"])
def test_nothing_is_written_or_read_through_a_link_that_leads_out_of_the_tree(place: str, tmp_path: Path) -> None:
    host, tree = tmp_path / "host", tmp_path / "tree"
    install(host, GUARD, force=False, dry_run=False)
    before = {path: path.stat().st_mtime_ns for path in host.rglob("*")}
    (tree / place).parent.mkdir(parents=True)
    (tree / place).symlink_to(host / place)
    with pytest.raises(Refused, match="leads out of"):
        install(tree, GUARD, force=True, dry_run=False)
    with pytest.raises(Refused, match="leads out of"):
        remove(tree, force=True, dry_run=False)
    assert {path: path.stat().st_mtime_ns for path in host.rglob("*")} == before


def test_a_pipe_in_the_place_of_the_list_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / LIST).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / LIST)
    with pytest.raises(Refused, match="not a regular file"):
        install(tmp_path, GUARD, force=False, dry_run=False)


def test_another_list_replaces_our_own_files(tmp_path: Path) -> None:
    install(tmp_path, GUARD, force=False, dry_run=False)
    other = Guard(classes=("03",))
    assert len(install(tmp_path, other, force=False, dry_run=False)) == 2
    assert read_guard(tmp_path) == other


def test_an_edited_file_is_kept_until_force(tmp_path: Path) -> None:
    install(tmp_path, GUARD, force=False, dry_run=False)
    path = tmp_path / RULES
    edited = path.read_bytes() + b"# mine\n"
    path.write_bytes(edited)
    with pytest.raises(Refused):
        install(tmp_path, Guard(classes=("03",)), force=False, dry_run=False)
    with pytest.raises(Refused):
        remove(tmp_path, force=False, dry_run=False)
    assert path.read_bytes() == edited
    assert read_guard(tmp_path) == GUARD
    install(tmp_path, GUARD, force=True, dry_run=False)
    assert {one.state for one in inspect(tmp_path, GUARD)} == {FileState.CURRENT}


def test_the_rules_are_what_udev_can_read() -> None:
    lines = [line for line in render_rules(GUARD).decode().splitlines() if not line.startswith("#")]
    labels, targets = set(), []
    for number, line in enumerate(lines):
        assert "".join(TOKEN.split(line)[::3]).strip(", ") == "", line
        for match in TOKEN.finditer(line):
            key, operator = match["key"], match["operator"]
            matching = operator in ("==", "!=")
            assert key in MATCHED if matching else ASSIGNED[key] == operator, line
        labels |= set(re.findall(r'LABEL="(\w+)"', line))
        targets += [(number, name) for name in re.findall(r'GOTO="(\w+)"', line)]
    for number, name in targets:
        assert name in labels
        assert any(f'LABEL="{name}"' in line for line in lines[number + 1 :])


def test_only_what_is_listed_waits_for_the_service() -> None:
    rules = render_rules(Guard(classes=("0108",))).decode()
    holding = [line for line in rules.splitlines() if 'GOTO="cmakeys_hold"' in line]
    assert holding == ['ATTR{class}=="0x0108*", GOTO="cmakeys_hold"']
    bind, hold = rules.index('LABEL="cmakeys_bind"'), rules.index('LABEL="cmakeys_hold"')
    assert bind < rules.index("drivers_probe") < hold < rules.index("SYSTEMD_WANTS")


@given(
    st.lists(st.from_regex(r"(?:[0-9a-f]{2}){1,3}", fullmatch=True), max_size=4),
    st.lists(st.from_regex(r"[0-9a-f]{4}:(?:[0-9a-f]{4}|\*)", fullmatch=True), max_size=4),
    st.booleans(),
    st.sampled_from(By),
    st.sampled_from(Unreachable),
)
def test_a_list_is_read_back_as_it_was(
    classes: list[str], ids: list[str], removable: bool, by: By, unreachable: Unreachable
) -> None:
    behind = ("0000:00:1c.0",)
    guard = Guard.of(tuple(classes), tuple(ids), behind, removable=removable, by=by, unreachable=unreachable)
    assert parse_guard(render_guard(guard), "list") == guard


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_a_list_that_is_none_is_a_clean_error(data: bytes) -> None:
    with pytest.raises(EnvironmentProblem):
        parse_guard(data, "list")
