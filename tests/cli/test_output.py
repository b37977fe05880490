"""Whatever a verb does, the envelope, the exit code and the two streams say it the same way."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, IntEnum
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.cli.output import INTERRUPTED, Output, plain, verb
from cmakeys.errors import CmakeysError, EvidenceProblem, ExitCode, NotFound, Refused, Temporary
from cmakeys.reports.terminal import Tone


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


def code_of(body: Callable[[Output], None], *, json: bool = False, detailed_exitcode: bool = False) -> int:
    """Run a verb and return its exit code."""
    try:
        with verb("roots", "add", json=json, detailed_exitcode=detailed_exitcode) as out:
            body(out)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def raising(error: BaseException) -> Callable[[Output], None]:
    def body(_out: Output) -> None:
        raise error

    return body


def test_success_prints_one_object_and_no_prose_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with verb("roots", "list", json=True) as out:
        out.show("for people")
        out.table(("A",), [("b",)])
        out.say("working")
        out.data = [b"\x0f", Path("/x"), Colour.RED]
    streams = capsys.readouterr()
    assert json.loads(streams.out) == {
        "schema": "cmakeys/roots-list/1",
        "ok": True,
        "changed": False,
        "data": ["0f", "/x", "red"],
        "errors": [],
    }
    assert streams.err == "working\n"


def test_text_goes_to_stdout_and_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with verb("roots", "list") as out:
        out.show("one", "two\x07", tone=Tone.GOOD)
        out.table(("A", "B"), [("c", "d")])
    assert capsys.readouterr().out == "one\ntwo\\x07\nA  B\nc  d\n"


@pytest.mark.parametrize(
    ("raised", "code", "word"),
    [
        (NotFound("no such root", object="x", hint="look"), ExitCode.NOTHING_MATCHED, "not-found"),
        (Refused("no"), ExitCode.REFUSED, "refused"),
        (EvidenceProblem("bad signature"), ExitCode.FAILED, "evidence"),
        (PermissionError(errno.EACCES, "x", "/etc/x"), ExitCode.NOT_PERMITTED, "not-permitted"),
        (TimeoutError(errno.ETIMEDOUT, "x"), ExitCode.TEMPORARY, "temporary"),
        (typer.Abort(), ExitCode.REFUSED, "refused"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted"),
    ],
)
def test_every_failure_still_prints_the_envelope(
    capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, word: str
) -> None:
    assert code_of(raising(raised), json=True) == code
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [error["code"] for error in document["errors"]] == [word]


def test_a_failure_names_object_and_hint_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(raising(NotFound("no such root", object="acme\x1b", hint="see `cmakeys roots list`")))
    assert capsys.readouterr().err == ("cmakeys: acme\\x1b: no such root\n  hint: see `cmakeys roots list`\n")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "run as root, or choose another place with --sysroot or --state-dir"),
        (errno.EROFS, "remount its file system read-write, or choose another place with --sysroot or --state-dir"),
        (errno.ENOSPC, "free some space; what was there before is as it was"),
    ],
)
def test_a_failure_of_the_system_says_what_helps(capsys: pytest.CaptureFixture[str], number: int, hint: str) -> None:
    code_of(raising(OSError(number, "x", "/etc/x")))
    assert capsys.readouterr().err.endswith(f"\n  hint: {hint}\n")


def test_a_bug_is_told_apart_and_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        code_of(raising(ZeroDivisionError("oops")), json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["errors"][0]["code"] == "internal"
    assert document["errors"][0]["message"] == "ZeroDivisionError: oops"


def test_one_bad_object_does_not_end_the_run_over_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def enroll(out: Output) -> None:
        done: list[str] = []
        for name in ("a", "b", "c"):
            if name == "b":
                out.problem(Temporary("did not answer", object=name))
            else:
                done.append(name)
        out.data = done
        out.changed = True

    assert code_of(enroll, json=True) == ExitCode.TEMPORARY
    document = json.loads(capsys.readouterr().out)
    assert document["data"] == ["a", "c"]
    assert document["changed"] is True
    assert document["errors"] == [{"code": "temporary", "message": "did not answer", "object": "b", "hint": ""}]


@pytest.mark.parametrize(
    ("detailed", "changed", "code"), [(False, False, 0), (False, True, 0), (True, False, 0), (True, True, 10)]
)
def test_detailed_exitcode_tells_change_from_none(
    capsys: pytest.CaptureFixture[str], detailed: bool, changed: bool, code: int
) -> None:
    def change(out: Output) -> None:
        out.changed = changed

    assert code_of(change, json=True, detailed_exitcode=detailed) == code
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_verb_may_choose_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def check(out: Output) -> None:
        out.problem(Temporary("did not answer"))
        out.exit_code = ExitCode.FAILED

    assert code_of(check, json=True) == ExitCode.FAILED
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_noun_that_is_the_verb_has_the_short_schema() -> None:
    assert Output("check", "", json=True, detailed_exitcode=False).schema == "cmakeys/check/1"


def test_a_problem_after_exit_code_ok_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output("roots", "add", json=False, detailed_exitcode=False)
    out.problem(CmakeysError("bad"))
    assert out.finish() == ExitCode.FAILED
    assert capsys.readouterr().err == "cmakeys: bad\n"


def ask(out: Output) -> None:
    out.confirm("Trust it?", hint="give --fingerprint")


def test_without_a_terminal_a_confirmation_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert code_of(ask) == ExitCode.REFUSED
    assert "give --fingerprint" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("\n", 8), ("", 8), ("no\n", 8)])
def test_only_a_yes_confirms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Person(answer))
    assert code_of(ask) == code
    assert capsys.readouterr().err.startswith("Trust it? [y/N] ")
    monkeypatch.setattr(sys, "stdin", Person(answer))
    assert code_of(ask, json=True) == ExitCode.REFUSED


def test_times_are_rfc_3339_in_utc_and_need_a_zone() -> None:
    assert plain(datetime(2030, 1, 1, 12, 0, tzinfo=UTC)) == "2030-01-01T12:00:00Z"
    assert plain(datetime(2030, 1, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))) == "2030-01-01T10:00:00Z"
    with pytest.raises(TypeError, match="without a zone"):
        plain(datetime(2030, 1, 1, 12, 0))


def test_sets_are_sorted_enumerations_named_and_strange_values_refused() -> None:
    assert plain({"s": frozenset({"b", "a"}), "n": Number.ONE, "t": (1, 2)}) == {"s": ["a", "b"], "n": 1, "t": [1, 2]}
    with pytest.raises(TypeError, match="object has no fixed form"):
        plain(object())


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists))
def test_plain_data_survives_json(value: object) -> None:
    assert json.loads(json.dumps(plain(value))) == plain(value)


CLOSED_PIPE = """
import sys, typer
from cmakeys.cli.output import verb
try:
    with verb("roots", "list") as out:
        for n in range(20000):
            out.show("a line that fills the pipe")
        out.say("finished its work")
except typer.Exit as leaving:
    sys.exit(leaving.exit_code)
"""


def test_a_reader_that_leaves_does_not_stop_the_work() -> None:
    process = subprocess.Popen([sys.executable, "-c", CLOSED_PIPE], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    with process:
        complaint = process.stderr.read()
    assert complaint == b"finished its work\n"
    assert process.returncode == 141


@pytest.mark.parametrize("json", [False, True])
def test_an_answer_that_finds_no_room_is_told_and_does_not_stop_the_work(*, json: bool) -> None:
    program = CLOSED_PIPE.replace('"list")', f'"list", json={json})')
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    told = done.stderr.decode().splitlines()
    assert told[:2] == ["finished its work", "cmakeys: the answer: No space left on device (ENOSPC)"]
    assert len(told) == 3
