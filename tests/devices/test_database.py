"""The register survives kill -9 at every instruction, opens read-only without a trace, and is never reset."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.devices import database
from cmakeys.devices.database import MIGRATIONS, RegisterDamaged
from cmakeys.devices.register import Register
from cmakeys.errors import EnvironmentProblem, Locked, NotPermitted, Refused
from tests.devices.samples import checked, older_register, sample

FURTHER = (("ALTER TABLE device ADD COLUMN colour TEXT", "UPDATE device SET colour = 'grey'"),)


@pytest.fixture
def register(tmp_path: Path) -> Register:
    register = Register(tmp_path / "state")
    register.enroll(sample(), checked())
    return register


def files(register: Register) -> list[str]:
    return sorted(path.name for path in register.path.parent.iterdir())


# -- killed ------------------------------------------------------------------------------------------------------------


def killed_at(count: int, step: str, work: Callable[[], None]) -> bool:
    """Run `work` in a child that gets SIGKILL at its n-th SQLite statement or virtual-machine step; was it hit?"""
    child = os.fork()
    if child == 0:
        connect = sqlite3.connect
        left = [count]

        def hit(*_statement: object) -> int:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return 0

        def watched(*arguments: object, **options: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]  # passed on
            if step == "statement":
                connection.set_trace_callback(hit)
            else:
                connection.set_progress_handler(hit, 1)
            return connection

        sqlite3.connect = watched  # type: ignore[assignment]  # in this child only
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


def points(step: str, work: Callable[[], None], prepare: Callable[[], None]) -> Iterator[None]:
    """Kill `work` at one point after the other, each time from a fresh start, until it runs through."""
    count = 1
    while True:
        prepare()
        hit = killed_at(count, step, work)
        yield
        if not hit:
            assert count > 10, "there were hardly any points to kill it at"
            return
        count += 1 if step == "statement" else 1 + count // 8


@pytest.mark.parametrize("step", ["statement", "instruction"])
def test_enroll_killed_anywhere_leaves_the_old_state_or_the_new(tmp_path: Path, step: str) -> None:
    register = Register(tmp_path)
    seen = set()

    def prepare() -> None:
        for path in tmp_path.iterdir():
            path.unlink()
        register.enroll(sample("old"))

    for _ in points(step, lambda: register.enroll(sample(), checked()), prepare):
        names = tuple(device.name for device in register.devices())
        assert names in (("old",), ("gpu0", "old"))
        if "gpu0" in names:
            assert register.find("gpu0") == sample()
            assert register.history("gpu0") == (checked(),)
        seen.add(names)
        register.record([checked("old")])
        assert register.latest()["old"] == checked("old")
    assert len(seen) == 2


@pytest.mark.parametrize("step", ["statement", "instruction"])
def test_the_first_enrolment_killed_anywhere_leaves_no_half_made_register(tmp_path: Path, step: str) -> None:
    register = Register(tmp_path)
    seen = set()

    def prepare() -> None:
        for path in tmp_path.iterdir():
            path.unlink()

    for _ in points(step, lambda: register.enroll(sample()), prepare):
        seen.add(register.devices())
        register.enroll(sample("next"))
        assert register.find("next") == sample("next")
    assert seen == {(), (sample(),)}


def test_re_enroll_killed_anywhere_leaves_the_old_enrolment_or_the_new(tmp_path: Path) -> None:
    register = Register(tmp_path)
    new = sample(note="after the update", measurements=())
    seen = set()

    def prepare() -> None:
        for path in tmp_path.iterdir():
            path.unlink()
        register.enroll(sample(), checked())

    for _ in points("statement", lambda: register.re_enroll(new, checked(minutes=1)), prepare):
        (device,) = register.devices()
        history = register.history("gpu0")
        assert (device, history) in (
            (sample(), (checked(),)),
            (new, (checked(minutes=1), checked())),
        )
        seen.add(device.note)
    assert len(seen) == 2


def test_a_migration_killed_anywhere_leaves_a_register_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = older_register(tmp_path, 1)
    enrolled = register.devices()
    assert [device.name for device in enrolled] == ["gpu0", "nic0"]

    def prepare() -> None:
        for path in tmp_path.iterdir():
            path.unlink()
        older_register(tmp_path, 1)

    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS + FURTHER)
    for _ in points("statement", lambda: register.record([checked(minutes=10)]), prepare):
        assert register.devices() == enrolled
        register.record([checked(minutes=11)])
        assert register.latest()["gpu0"] == checked(minutes=11)


# -- migrations --------------------------------------------------------------------------------------------------------


def test_a_migration_keeps_a_copy_of_the_older_register(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS + FURTHER)
    register.record([checked(minutes=1)])
    assert files(register) == ["devices.db", f"devices.db.schema-{len(MIGRATIONS)}"]
    with closing(sqlite3.connect(register.path)) as connection:
        assert connection.execute("SELECT colour FROM device").fetchall() == [("grey",)]
    monkeypatch.undo()
    copy = register.path.with_name(f"devices.db.schema-{len(MIGRATIONS)}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    copy.rename(register.path)
    assert register.history("gpu0") == (checked(),)


def test_reading_an_older_register_changes_nothing(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    before = register.path.read_bytes()
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS + FURTHER)
    assert register.devices() == (sample(),)
    assert register.path.read_bytes() == before
    assert files(register) == ["devices.db"]


def test_a_newer_register_is_refused_and_stays_as_it_is(register: Register) -> None:
    with closing(sqlite3.connect(register.path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = register.path.read_bytes()
    for attempt in (register.devices, lambda: register.record([checked()]), lambda: register.forget("gpu0")):
        with pytest.raises(Refused, match="newer cmakeys") as caught:
            attempt()
        assert caught.value.object == str(register.path)
        assert "upgrade" in caught.value.hint
    assert register.path.read_bytes() == before


# -- damaged and foreign -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + bytes(4096), b"\0" * 100])
def test_a_file_that_is_no_register_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    register = Register(tmp_path)
    register.path.write_bytes(content)
    for attempt in (register.devices, lambda: register.enroll(sample())):
        with pytest.raises(RegisterDamaged) as caught:
            attempt()
        assert caught.value.object == str(register.path)
        assert "left alone" in caught.value.hint
    assert register.path.read_bytes() == content


def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    register = Register(tmp_path)
    with closing(sqlite3.connect(register.path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = register.path.read_bytes()
    for attempt in (register.devices, lambda: register.enroll(sample())):
        with pytest.raises(RegisterDamaged, match="not a register"):
            attempt()
    assert register.path.read_bytes() == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_register_gives_devices_or_one_clean_error(register: Register, data: st.DataObject) -> None:
    good = register.path.read_bytes()
    bad = bytearray(good[: data.draw(st.one_of(st.none(), st.integers(0, 60_000)))])
    changes = st.dictionaries(st.one_of(st.integers(0, 200), st.integers(0, 60_000)), st.integers(0, 255), max_size=8)
    for offset, value in data.draw(changes).items():
        bad[offset % len(bad) if bad else 0 : offset % len(bad) + 1 if bad else 0] = bytes([value])
    register.path.write_bytes(bad)
    problem: EnvironmentProblem | None = None
    try:
        register.devices()
        register.history("gpu0")
    except EnvironmentProblem as caught:
        problem = caught
    register.path.write_bytes(good)
    assert problem is None or (problem.object == str(register.path) and problem.hint)


# -- read-only ---------------------------------------------------------------------------------------------------------


def test_reading_creates_no_file(register: Register) -> None:
    assert files(register) == ["devices.db"]
    before = register.path.stat()
    register.devices()
    register.latest()
    assert files(register) == ["devices.db"]
    assert register.path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.system
def test_reading_works_without_any_permission_to_write() -> None:
    with TemporaryDirectory() as folder:
        register = Register(Path(folder))
        register.enroll(sample())
        register.path.chmod(0o444)
        register.path.parent.chmod(0o555)
        child = os.fork()
        if child == 0:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os._exit(_refusals_of_a_reader(register))
        _, status = os.waitpid(child, 0)
        register.path.parent.chmod(0o755)
        assert os.waitstatus_to_exitcode(status) == 0
        assert files(register) == ["devices.db"]


def _refusals_of_a_reader(register: Register) -> int:
    try:
        if register.devices() != (sample(),):
            return 2
        register.record([checked()])
    except NotPermitted:
        return 0
    except BaseException:
        return 3
    return 4


def test_reading_goes_on_while_somebody_writes(register: Register) -> None:
    with database.writing(register.path) as connection:
        connection.execute("DELETE FROM device")
        assert register.devices() == (sample(),)
    assert register.devices() == ()


def test_what_a_killed_writer_committed_is_read_from_its_log(register: Register) -> None:
    child = os.fork()
    if child == 0:
        with database.writing(register.path) as connection:
            connection.execute("UPDATE device SET note = 'committed'")
            connection.execute("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert files(register) == ["devices.db", "devices.db-shm", "devices.db-wal"]
    assert register.find("gpu0").note == "committed"


def test_a_log_torn_at_any_byte_gives_the_old_state_or_the_new(register: Register, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with database.writing(register.path) as connection:
            connection.execute("UPDATE device SET note = 'new'")
            connection.execute("INSERT INTO history SELECT NULL, id, enrolled_at, 'new', '', '', 0 FROM device")
            connection.execute("COMMIT")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    main, log = register.path.read_bytes(), register.path.with_name("devices.db-wal").read_bytes()
    seen = []
    for cut in [*range(0, len(log), 499), len(log)]:
        torn = Register(tmp_path / f"torn-{cut}")
        torn.path.parent.mkdir()
        torn.path.write_bytes(main)
        torn.path.with_name("devices.db-wal").write_bytes(log[:cut])
        state = (torn.find("gpu0").note, torn.latest()["gpu0"].outcome)
        assert state in ((sample().note, "trusted"), ("new", "new"))
        torn.record([checked(minutes=5)])
        assert torn.history("gpu0", 1) == (checked(minutes=5),)
        seen.append(state)
    assert (seen[0], seen[-1]) == ((sample().note, "trusted"), ("new", "new"))


def test_a_writer_that_finishes_during_a_read_makes_it_run_again(register: Register) -> None:
    answers: list[int] = []

    def query(connection: sqlite3.Connection) -> int:
        if not answers:
            register.record([checked(minutes=1)])
        answers.append(int(connection.execute("SELECT count(*) FROM history").fetchone()[0]))
        return answers[-1]

    assert database.read(register.path, query, 0) == 2
    assert len(answers) == 2


# -- locks and permissions ---------------------------------------------------------------------------------------------


def test_a_second_writer_waits_and_then_says_that_another_run_is_in_the_way(
    register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with (
        database.writing(register.path),
        pytest.raises(Locked, match="another run is writing") as caught,
        database.writing(register.path),
    ):
        pytest.fail("two writers at once")
    assert caught.value.object == str(register.path)


def test_a_body_that_fails_leaves_everything_as_it_was(register: Register) -> None:
    def body() -> None:
        with database.writing(register.path) as connection:
            connection.execute("DELETE FROM device")
            raise KeyError

    with pytest.raises(KeyError):
        body()
    assert register.devices() == (sample(),)


def test_a_new_register_is_for_its_owner_only(register: Register) -> None:
    assert stat.S_IMODE(register.path.stat().st_mode) == 0o600


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(EnvironmentProblem) as caught:
        Register(tmp_path / "state").enroll(sample())
    assert str(tmp_path / "state") in caught.value.object


def test_a_full_disk_is_said_in_words(register: Register) -> None:
    def body() -> None:
        with database.writing(register.path) as connection:
            connection.execute("PRAGMA max_page_count = 1")
            for _ in range(100):
                connection.execute("INSERT INTO history VALUES (NULL, 1, '', '', '', ?, 0)", ("x" * 100_000,))

    with pytest.raises(EnvironmentProblem, match="cannot be read or written"):
        body()
    assert register.devices() == (sample(),)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_something_else_in_the_register_s_place_is_no_empty_register(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "devices.db")
    with pytest.raises(RegisterDamaged, match="not a regular file"):
        Register(tmp_path).devices()
