"""Two checks at once are one too many, and a check that was killed is noticed by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.errors import Locked, NotFound, NotPermitted
from cmakeys.running import MARK, Mark, alone, read_mark

NOW = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
HOLD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from cmakeys.running import alone
with alone(Path(sys.argv[1]), datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC), 12):
    print("running", flush=True)
    sys.stdin.read()
"""


def test_a_run_finds_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with alone(tmp_path, NOW, 2) as run:
        assert (run.unfinished, run.problem) == (None, None)
        assert read_mark(tmp_path / MARK) == Mark(NOW, os.getpid(), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_has_finished_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone(tmp_path, NOW, 2):
        raise ZeroDivisionError
    with alone(tmp_path, NOW, 2) as run:
        assert run.unfinished is None


@pytest.mark.system
def test_the_second_one_is_told_who_runs_and_a_killed_one_is_noticed_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        with pytest.raises(Locked, match=f"locked by process {process.pid} ") as caught, alone(tmp_path, NOW, 1):
            pytest.fail("two at once")
        assert caught.value.exit_code == 7
        assert caught.value.hint == "let that run finish, then try again"
        process.send_signal(signal.SIGKILL)
        process.wait()
    with alone(tmp_path, NOW, 1) as run:
        assert run.unfinished == Mark(NOW, process.pid, 12)
    with alone(tmp_path, NOW, 1) as run:
        assert run.unfinished is None


@pytest.mark.parametrize(
    "mark", [b"", b"{}", b"\xff", b"[" * 5000, b'{"schema":1,"began":"soon","process":1,"devices":1}']
)
def test_a_mark_that_cannot_be_read_still_says_that_there_was_a_run(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / MARK).write_bytes(mark)
    with alone(tmp_path, NOW, 1) as run:
        assert run.unfinished == Mark()
    assert not (tmp_path / MARK).exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_mark_ends_a_run(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / MARK).write_bytes(mark)
    assert isinstance(read_mark(tmp_path / MARK), Mark)


def test_where_no_mark_can_be_left_the_run_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cmakeys.running.write_whole", refuse)
    with alone(tmp_path, NOW, 1) as run:
        assert isinstance(run.problem, NotPermitted)


def test_a_state_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound), alone(tmp_path / "away", NOW, 1):
        pytest.fail("there is nothing to hold")
