"""Checks that run by themselves: one plan at a time, nothing of it open to others, and a sandbox that is measured."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.callouts import ALL_SECONDS
from cmakeys.cli.app import main
from cmakeys.errors import ExitCode, NotFound, Refused, UsageProblem
from cmakeys.schedule import systemd
from cmakeys.schedule.plan import (
    CRON,
    LINK,
    SERVICE,
    TIMER,
    UNITS,
    Kind,
    Plan,
    Reach,
    check_program,
    files,
    find_program,
    inspect_plan,
    install_plan,
    reach_in,
    reach_of,
    remove_plan,
)
from cmakeys.stamped import FileState
from tests.cli.machine import Machine
from tests.cli.tree import typed
from tests.workbench import seat, serving, vendor

SYSTEMD = {f"{UNITS}/{SERVICE}", f"{UNITS}/{TIMER}", LINK.place}
EXPOSURE = 1.0
"""What `systemd-analyze security` says of the service; cmakeys-schedule(8) repeats it."""
EXPOSURE_WITH_EVERYTHING = 2.3

Changed = tuple[Path, ...]


def places(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir() or path.is_symlink()}


def install(tree: Path, plan: Plan | None = None, *, force: bool = False) -> tuple[Changed, Changed]:
    change = install_plan(tree, plan or Plan(), force=force, dry_run=False)
    return change.written, change.removed


# -- files -------------------------------------------------------------------------------------------------------------


def test_installing_twice_writes_once_and_removing_leaves_nothing(tmp_path: Path) -> None:
    planned = install_plan(tmp_path, Plan(), force=False, dry_run=True)
    assert places(tmp_path) == set()
    assert install(tmp_path) == (planned.written, ())
    assert places(tmp_path) == SYSTEMD
    assert (tmp_path / LINK.place).resolve() == tmp_path / UNITS / TIMER
    assert install(tmp_path) == ((), ())
    remove_plan(tmp_path, force=False, dry_run=True)
    assert places(tmp_path) == SYSTEMD
    remove_plan(tmp_path, force=False, dry_run=False)
    assert places(tmp_path) == set()


def test_one_kind_takes_the_place_of_the_other_so_that_nothing_is_asked_twice(tmp_path: Path) -> None:
    install(tmp_path)
    written, removed = install(tmp_path, Plan(Kind.CRON))
    assert (places(tmp_path), len(written), len(removed)) == ({CRON}, 1, 3)
    install(tmp_path)
    assert places(tmp_path) == SYSTEMD


@pytest.mark.parametrize("edited", [f"{UNITS}/{SERVICE}", f"{UNITS}/{TIMER}"])
def test_what_somebody_edited_stays_and_so_does_everything_else(tmp_path: Path, edited: str) -> None:
    install(tmp_path)
    path = tmp_path / edited
    path.write_text(path.read_text() + "# mine\n")
    before = {place: (tmp_path / place).read_bytes() for place in SYSTEMD}
    for plan in (Plan(when="weekly"), Plan(Kind.CRON)):
        with pytest.raises(Refused, match="edited by hand"):
            install(tmp_path, plan)
    with pytest.raises(Refused, match="edited by hand"):
        remove_plan(tmp_path, force=False, dry_run=False)
    assert {place: (tmp_path / place).read_bytes() for place in places(tmp_path)} == before
    install(tmp_path, Plan(Kind.CRON), force=True)
    assert places(tmp_path) == {CRON}


def test_the_state_of_every_file_is_told(tmp_path: Path) -> None:
    def states() -> list[str]:
        return [one.state.value for one in inspect_plan(tmp_path)]

    assert states() == ["absent"] * 4
    install(tmp_path, Plan(when="hourly", reach=frozenset(Reach)))
    assert states() == ["current", "current", "absent", "current"]
    service = tmp_path / UNITS / SERVICE
    service.write_bytes(service.read_bytes().replace(b"by cmakeys ", b"by cmakeys 0.0.1+old.", 1))
    assert states()[0] == FileState.OUTDATED.value
    service.write_text("[Service]\n")
    assert states()[0] == FileState.EDITED.value


# -- what is run -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("measured", [False, True])
def test_the_command_fails_for_nothing_but_want_of_devices(kind: Kind, measured: bool, tmp_path: Path) -> None:
    plan = Plan(kind, metrics=tmp_path / "cmakeys.prom" if measured else None)
    assert main([*plan.command.split()[1:], "--sysroot", str(tmp_path)]) == ExitCode.NOTHING_MATCHED


@pytest.mark.parametrize("kind", Kind)
def test_the_command_has_what_the_plan_says(kind: Kind) -> None:
    plan = Plan(kind, metrics=Path("/var/lib/node/cmakeys.prom"), grace="12h", budget=600, program="/usr/bin/cmakeys")
    program, *words = plan.command.split()
    verb, rest = typed(words)
    verb.parse(rest)
    assert program == "/usr/bin/cmakeys"
    assert words[words.index("--grace") :][:2] == ["--grace", "12h"]
    assert words[words.index("--budget") :][:2] == ["--budget", "600"]
    assert "--output /var/lib/node/cmakeys.prom" in plan.command


@pytest.mark.parametrize("grace", ["0", "3", "90m", "12h", "2d", "365d"])
def test_a_grace_is_what_a_check_takes_for_one(grace: str, tmp_path: Path) -> None:
    assert main(["schedule", "install", "--grace", grace, "--sysroot", str(tmp_path)]) == 0
    service = (tmp_path / UNITS / SERVICE).read_text()
    assert f" --grace {grace} " in service
    assert main(["check", "--all", "--grace", grace, "--sysroot", str(tmp_path)]) == ExitCode.NOTHING_MATCHED


@given(st.text(max_size=12))
def test_whatever_else_is_said_of_grace_never_stands_in_a_unit(grace: str) -> None:
    try:
        plan = Plan(grace=grace)
    except UsageProblem:
        return
    assert re.fullmatch("[0-9]{1,6}[mhd]?", plan.grace)


@pytest.mark.parametrize("words", [("--grace", "366"), ("--grace", "2w"), ("--grace", "-1"), ("--budget", "0")])
@pytest.mark.parametrize("kind", [(), ("--cron",)])
def test_what_a_check_would_refuse_is_refused_before_anything_is_written(
    words: tuple[str, ...], kind: tuple[str, ...], tmp_path: Path
) -> None:
    assert main(["schedule", "install", *kind, *words, "--sysroot", str(tmp_path)]) == ExitCode.USAGE
    assert places(tmp_path) == set()


@pytest.mark.parametrize("budget", [0, -1, 86401])
def test_a_plan_has_no_budget_that_a_check_would_refuse(budget: int) -> None:
    with pytest.raises(UsageProblem):
        Plan(budget=budget)


@pytest.mark.parametrize("budget", [1, 1800, 86400])
def test_systemd_ends_no_check_within_its_budget_or_while_its_hooks_run(budget: int) -> None:
    service = (files(Plan(budget=budget))[0].body or b"").decode()
    (line,) = [line for line in service.splitlines() if line.startswith("TimeoutStartSec=")]
    assert f" --budget {budget}" in service
    assert int(line.partition("=")[2]) >= budget + 2 * ALL_SECONDS


def test_the_folder_of_the_metrics_and_only_it_is_opened_besides() -> None:
    def writable(plan: Plan) -> str:
        service = files(plan)[0].body or b""
        (line,) = [line for line in service.decode().splitlines() if line.startswith("ReadWritePaths=")]
        return line.partition("=")[2]

    assert writable(Plan()) == "/sys/devices"
    assert writable(Plan(metrics=Path("/var/lib/node/cmakeys.prom"))) == "/sys/devices /var/lib/node"


@given(when=st.text(max_size=40), metrics=st.text(min_size=1, max_size=40), kind=st.sampled_from(Kind))
def test_what_is_given_makes_no_line_of_its_own(when: str, metrics: str, kind: Kind) -> None:
    try:
        plan = Plan(kind, when, metrics=Path("/" + metrics))
    except UsageProblem:
        return
    plain = files(Plan(kind))
    for one, usual in zip(files(plan), plain, strict=True):
        assert (one.body or b"").count(b"\n") == (usual.body or b"").count(b"\n")
        assert not re.search(rb"@[A-Z]+@", (one.body or b"").replace(metrics.encode(errors="replace"), b""))


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        (Kind.SYSTEMD, "daily\nOnBootSec=1"),
        (Kind.SYSTEMD, ""),
        (Kind.SYSTEMD, "%h"),
        (Kind.CRON, "* * * *"),
        (Kind.CRON, "* * * * * root"),
        (Kind.CRON, "*-*-* 02:30"),
        (Kind.CRON, "0 0 * *\t* root rm"),
        (Kind.SYSTEMD, "foo"),
        (Kind.SYSTEMD, "at night"),
        (Kind.CRON, "99 99 * * *"),
        (Kind.CRON, "0 24 * * *"),
        (Kind.CRON, "0 0 0 * *"),
        (Kind.CRON, "0 0 * 13 *"),
        (Kind.CRON, "0 0 * * 8"),
        (Kind.CRON, "0 0 * * foo"),
        (Kind.CRON, "*/0 * * * *"),
        (Kind.CRON, "30-10 * * * *"),
        (Kind.CRON, "0, * * * *"),
    ],
)
def test_a_time_that_is_none_is_refused(kind: Kind, when: str) -> None:
    with pytest.raises(UsageProblem, match="not a time"):
        Plan(kind, when)


@pytest.mark.parametrize(
    "when", ["30 2 * * *", "*/15 0-6,22 1,15 jan-mar Mon-Fri", "0 0 * * 7", "5 4-20/2 31 12 0", "weekly"]
)
def test_a_time_that_cron_understands_is_taken(when: str) -> None:
    assert Plan(Kind.CRON, when).when == when


# -- which way -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("pci:0000:01:00.0", frozenset()),
        ("replay:session.jsonl", frozenset()),
        ("emu://127.0.0.1:2323?transport=mctp", frozenset({Reach.NETWORK})),
        ("tcp://192.0.2.1", frozenset({Reach.NETWORK})),
        ("mctp:9", frozenset({Reach.MCTP})),
        ("nvme:/dev/nvme0", frozenset({Reach.NVME})),
    ],
)
def test_the_way_to_a_device_is_opened_and_no_other(address: str, reach: frozenset[Reach], tmp_path: Path) -> None:
    assert reach_of(address) == reach
    install(tmp_path, Plan(reach=reach))
    assert reach_in(tmp_path) == reach
    lines = (tmp_path / UNITS / SERVICE).read_text().splitlines()
    assert ("IPAddressDeny=any" in lines) == (Reach.NETWORK not in reach)
    assert ("PrivateNetwork=yes" in lines) == (not reach & {Reach.NETWORK, Reach.MCTP})
    assert ("PrivateDevices=yes" in lines) == (Reach.NVME not in reach)


def test_of_a_service_that_is_not_ours_nothing_is_said(tmp_path: Path) -> None:
    assert reach_in(tmp_path) is None


# -- which cmakeys -----------------------------------------------------------------------------------------------------


def test_the_program_of_the_tree_is_run_where_there_is_one(tmp_path: Path) -> None:
    assert find_program(tmp_path, Path("/nonsense")) == "cmakeys"
    for folder in ("usr/bin", "usr/local/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "cmakeys").touch()
        assert find_program(tmp_path, Path("/nonsense")) == f"/{folder}/cmakeys"


def test_root_is_given_no_program_that_others_can_change_or_that_it_does_not_see() -> None:
    assert check_program(Path(os.path.realpath("/usr/bin/env"))) == os.path.realpath("/usr/bin/env")
    with pytest.raises(Refused, match="does not see"):
        check_program(Path("/home/somebody/bin/cmakeys"))
    with pytest.raises(NotFound):
        check_program(Path("/usr/bin/cmakeys-that-is-not-there"))


# -- held against systemd itself ---------------------------------------------------------------------------------------


def analyze(*words: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze, which measures the sandbox, is not installed")
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    everything = frozenset(Reach)
    install(tmp_path, Plan(program="/usr/bin/true", metrics=Path("/var/cmakeys.prom"), reach=everything))
    return tmp_path / UNITS


@pytest.mark.system
@pytest.mark.parametrize(("reach", "expected"), [((), EXPOSURE), (Reach, EXPOSURE_WITH_EVERYTHING)])
def test_the_exposure_of_the_service_is_as_the_manual_says(
    tmp_path: Path, reach: Iterable[Reach], expected: float
) -> None:
    install(tmp_path, Plan(program="/usr/bin/true", reach=frozenset(reach)))
    said = analyze("security", "--offline=true", "--no-pager", str(tmp_path / UNITS / SERVICE))
    match = re.search(r"Overall exposure level for cmakeys-check.service: ([0-9.]+)", said)
    assert match is not None, said
    assert float(match[1]) <= expected, said
    page = Path(__file__).parents[2] / "man/cmakeys-schedule.8"
    assert f"{expected:.1f}" in page.read_text()


@pytest.mark.system
def test_systemd_understands_every_line(units: Path) -> None:
    said = analyze("verify", "--man=no", str(units / SERVICE), str(units / TIMER))
    assert [line for line in said.splitlines() if "cmakeys" in line] == []


@pytest.mark.system
@pytest.mark.parametrize("when", ["daily", "hourly", "*-*-* 02:30", "Mon..Fri 04:00", "*-*-01,15 03:00:00"])
def test_a_time_that_systemd_understands_is_taken(when: str) -> None:
    assert "Next elapse" in analyze("calendar", when)
    assert Plan(when=when).when == when
    assert systemd.check_calendar(when)


def test_a_time_that_systemd_does_not_understand_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "install", "--when", "*-*-* 25:99", "--sysroot", str(tmp_path)]) == 2
    assert "systemd does not understand this time" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_nobody_can_say_it_is_told_that_the_time_was_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["schedule", "install", "--when", "*-*-* 02:30", "--sysroot", str(tmp_path / "tree")]) == 0
    assert "was not checked" in capsys.readouterr().err
    assert main(["schedule", "install", "--sysroot", str(tmp_path / "other")]) == 0
    assert not capsys.readouterr().err


# -- the verb ----------------------------------------------------------------------------------------------------------

SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$CMAKEYS_CALLS"
[ "$CMAKEYS_SYSTEMCTL" = fails ] && { echo 'Failed to connect to bus' >&2; exit 1; }
[ "$1" = show ] && echo 'Tue 2026-11-24 00:31:02 UTC'
exit 0
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a systemctl is told that stands in for the machine's own, with the folder of the command's own machine."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CMAKEYS_CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr("cmakeys.schedule.systemd.RUNNING", tmp_path)
    monkeypatch.setattr("cmakeys.cli.schedule.SYSTEM", tmp_path / "root")
    return tmp_path / "calls"


def told(calls: Path) -> list[str]:
    return calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.system
def test_a_running_systemd_is_told_at_once(tmp_path: Path, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = ("--sysroot", str(tmp_path / "root"))
    assert main(["schedule", "install", "--dry-run", *tree, "--program", "/usr/bin/env"]) == 0
    assert told(calls) == []
    assert main(["schedule", "install", *tree, "--program", "/usr/bin/env"]) == 0
    assert told(calls) == ["daemon-reload", f"restart {TIMER}"]
    assert main(["schedule", "status", *tree]) == 0
    assert "next: Tue 2026-11-24 00:31:02 UTC" in capsys.readouterr().out
    calls.unlink()
    assert main(["schedule", "remove", *tree]) == 0
    assert told(calls) == [f"stop {TIMER}", "daemon-reload"]
    assert main(["schedule", "remove", *tree]) == 0
    assert told(calls) == [f"stop {TIMER}", "daemon-reload"]
    assert "no check runs by itself" not in capsys.readouterr().out


@pytest.mark.system
def test_a_systemd_that_does_not_listen_is_reported_and_the_files_stand(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CMAKEYS_SYSTEMCTL", "fails")
    tree = ("--sysroot", str(tmp_path / "root"))
    assert main(["schedule", "install", *tree, "--program", "/usr/bin/env"]) == 1
    assert "systemctl daemon-reload" in capsys.readouterr().err
    assert places(tmp_path / "root") == SYSTEMD
    assert told(calls) == ["daemon-reload"]


def test_in_a_tree_nothing_of_this_machine_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "install", "--cron", "--when", "30 2 * * *", "--sysroot", str(tmp_path)]) == 0
    line = (tmp_path / CRON).read_text().splitlines()[-1]
    assert line.startswith("30 2 * * * root ")
    assert line.endswith("exec cmakeys check --all --log syslog --grace 3 --budget 1800 --quiet --changed-only")
    assert re.sub(r"\\%", "", line).count("%") == 0
    assert main(["schedule", "install", "--when", "no time", "--sysroot", str(tmp_path), "--cron"]) == 2
    assert "not a time" in capsys.readouterr().err


@pytest.mark.system
def test_the_line_of_cron_is_shell(tmp_path: Path) -> None:
    install(tmp_path, Plan(Kind.CRON, delay=0, program="/bin/true"))
    command = (tmp_path / CRON).read_text().splitlines()[-1].split(" root ")[1].replace("\\%", "%")
    assert "/var/lib/cmakeys/devices.db" in command
    there = command.replace("/var/lib/cmakeys/devices.db", str(tmp_path))
    done = subprocess.run(["sh", "-exc", there], capture_output=True, text=True, check=True, timeout=30)
    assert "exec /bin/true check --all" in done.stderr
    assert "sleep 0" in done.stderr


@pytest.mark.system
def test_what_enrolled_devices_need_is_opened_and_what_is_enrolled_later_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    assert machine.run("schedule", "install").code == 0
    assert reach_in(tmp_path) == frozenset()
    with serving(seat()) as (url,):
        assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
    said = machine.run("schedule", "status")
    assert "gpu0: the sandbox of the service keeps it out of reach" in said.err
    assert machine.run("schedule", "install").code == 0
    assert reach_in(tmp_path) == frozenset({Reach.NETWORK})
    assert machine.run("schedule", "status").err == ""
