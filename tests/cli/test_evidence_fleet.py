"""`evidence verify` on what a fleet sent in: folders, lines and streams, every form of the answer, every exit code."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.cli.judgements import ROWS_HELD
from cmakeys.evidence import archive
from cmakeys.roots.record import render_pem
from tests.cli.envelopes import part
from tests.evidence.loopback import attest, credentials, device, vendor

Run = Callable[..., tuple[int, str, str]]

GOOD = archive.encode(attest(identity=None))
BAD = archive.encode(attest(device(credentials(authority="Impostor")), identity=None))
CUT = b'{"t": 1, "dir": "req", "cmd": 1, "trans": 0, "hex": "10840000"}\n'


def line(document: bytes) -> bytes:
    return json.dumps(json.loads(document)).encode() + b"\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `cmakeys evidence verify` with one vendor's root on an empty tree; exit code, stdout, stderr."""
    root = tmp_path / "acme.pem"
    root.write_bytes(render_pem(vendor().certificate))

    def call(*words: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        tree = ("--sysroot", str(tmp_path / "tree"), "--root", str(root))
        code = main(["evidence", "verify", *map(str, words), *tree])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    (folder / "rack1").mkdir(parents=True)
    (folder / "rack1/a.json").write_bytes(GOOD)
    (folder / "rack1/b.json").write_bytes(BAD)
    (folder / "all.jsonl").write_bytes(line(GOOD) + b"{}\n" + line(GOOD))
    return folder


def lines_of(text: str) -> list[dict[str, object]]:
    documents = [json.loads(one) for one in text.splitlines()]
    for document in documents:
        assert list(part("evidence_line").iter_errors(document)) == []
    return documents


@pytest.mark.parametrize("jobs", [(), ("--jobs", 1), ("--jobs", 2)])
def test_a_folder_is_judged_whole_and_its_lines_say_so_one_by_one(run: Run, inbox: Path, jobs: tuple[object]) -> None:
    code, out, _ = run(inbox, "--format", "jsonl", *jobs)
    *results, last = lines_of(out)
    assert code == 1
    assert [(one["file"], one["line"], one["outcome"]) for one in results] == [
        (str(inbox / "all.jsonl"), 1, "trusted"),
        (str(inbox / "all.jsonl"), 2, "unreadable"),
        (str(inbox / "all.jsonl"), 3, "trusted"),
        (str(inbox / "rack1/a.json"), None, "trusted"),
        (str(inbox / "rack1/b.json"), None, "rejected"),
    ]
    counts = {"trusted": 3, "degraded": 0, "rejected": 1, "unreachable": 0, "unsupported": 0}
    assert last == {"schema": "cmakeys/evidence-run/1", "total": 5, "summary": counts | {"unreadable": 1, "crashed": 0}}


def test_a_person_sees_a_table_with_a_summary_and_hints(run: Run, inbox: Path) -> None:
    code, out, err = run(inbox)
    assert code == 1
    assert "all.jsonl:2  unreadable   missing" in out
    assert "5 pieces of evidence: 3 trusted, 1 rejected, 1 unreadable" in out
    assert f"{inbox}/all.jsonl:2" in err
    assert all(len(row) <= 80 for row in out.splitlines())
    assert "\r" not in err


def test_quiet_leaves_out_what_is_trusted_and_counts_it(run: Run, inbox: Path) -> None:
    _, out, _ = run(inbox, "--quiet")
    assert "a.json" not in out
    assert "b.json" in out
    assert "3 trusted" in out
    _, out, _ = run(inbox, "-q", "--format", "jsonl")
    assert [one["outcome"] for one in lines_of(out)[:-1]] == ["unreadable", "rejected"]
    assert run(inbox / "rack1/a.json", "-q") == (0, "1 piece of evidence: 1 trusted\n", "")


def test_standard_input_is_evidence_of_any_form(run: Run) -> None:
    code, out, _ = run("-", stdin=GOOD)
    assert (code, "trusted: anchored" in out) == (0, True)
    code, out, _ = run("-", "--json", stdin=line(GOOD) * 2)
    assert (code, [one["name"] for one in json.loads(out)["data"]["devices"]]) == (0, ["-:1", "-:2"])
    assert run("-", stdin=CUT)[0] == 6
    assert run("-", stdin=b"")[0] == 1


def test_a_long_table_is_printed_as_it_comes_and_loses_no_row(run: Run, tmp_path: Path) -> None:
    count = ROWS_HELD + 100
    path = tmp_path / "many.jsonl"
    path.write_bytes(line(GOOD) + b"{}\n" * count + line(GOOD))
    code, out, err = run(path)
    assert code == 1
    rows = out.splitlines()
    assert len(rows) == count + 4
    assert rows[-2].startswith(f"many.jsonl:{count + 2}")
    assert rows[-1] == f"{count + 2} pieces of evidence: 2 trusted, {count} unreadable"
    assert err.count("hint") <= 60


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([GOOD], 0),
        ([GOOD, CUT], 6),
        ([GOOD, CUT, b"{}"], 1),
        ([CUT, BAD], 1),
        ([b"\x11\xe0"], 1),
        ([], 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst(run: Run, tmp_path: Path, content: list[bytes], expected: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, data in enumerate(content):
        (folder / str(number)).write_bytes(data)
    assert run(folder)[0] == expected
    assert run(folder, "--format", "jsonl")[0] == expected


def test_options_that_contradict_each_other_are_refused(run: Run, inbox: Path) -> None:
    assert run(inbox, "--format", "xml")[0] == 2
    assert run(inbox, "--format", "jsonl", "--json")[0] == 2
    assert run(inbox, "--jobs", "2", "--dask", "tcp://127.0.0.1:1")[0] == 2
    assert run(inbox, "--format", "json")[1] != ""
