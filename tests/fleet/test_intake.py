"""Whatever is given is named: what can be judged becomes an item, what cannot says why, and the walk goes on."""

from __future__ import annotations

import io
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence import archive
from cmakeys.fleet import intake
from cmakeys.fleet.intake import gather
from cmakeys.fleet.item import Item
from tests.evidence.loopback import attest

DOCUMENT = archive.encode(attest())
LINE = json.dumps(json.loads(DOCUMENT)).encode() + b"\n"
RECORDING = b'{"t": 1, "dir": "req", "cmd": 1, "trans": 0, "hex": "10840000"}\n' * 3


def of(*arguments: object, stdin: bytes = b"") -> list[Item]:
    return list(gather([str(argument) for argument in arguments], io.BytesIO(stdin)))


def told(items: list[Item]) -> list[tuple[str, int | None, str]]:
    """Name of the file, line, and the problem or nothing."""
    return [(Path(item.name).name, item.line, item.problem.message if item.problem else "") for item in items]


@pytest.mark.parametrize("data", [DOCUMENT, LINE, LINE.strip(), RECORDING, b"\x11\xe0", b"", b"{}", b"{\n"])
def test_a_single_document_is_one_item_with_all_its_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert of(path) == [Item(str(path), None, data, path.stat().st_mtime)]
    assert of("-", stdin=data) == [Item("-", None, data, None)]


def test_lines_of_evidence_are_items_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(LINE + b"\n" + LINE + b"broken\n" + LINE.strip())
    items = of(path)
    assert told(items) == [("a", 1, ""), ("a", 3, ""), ("a", 4, ""), ("a", 5, "")]
    assert [item.place for item in items][1] == f"{path}:3"
    assert items[2].data == b"broken\n"
    assert told(of("-", stdin=path.read_bytes()))[-1] == ("-", 5, "")


def test_a_broken_first_line_does_not_hide_the_others() -> None:
    items = of("-", stdin=b"x\n" + LINE[:-30] + b"\n" + LINE + LINE)
    assert [item.line for item in items] == [1, 2, 3, 4]
    assert items[3].data == LINE


def test_a_line_that_is_too_long_is_named_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_LINE_SIZE", len(LINE) + 10)
    monkeypatch.setattr(intake, "_PORTION", 100)
    long = b"{" + b" " * (3 * len(LINE)) + b"}\n"
    assert told(of("-", stdin=LINE + long + LINE)) == [
        ("-", 1, ""),
        ("-", 2, "a line of more than 0 MiB"),
        ("-", 3, ""),
    ]
    assert told(of("-", stdin=long + LINE + LINE))[0][2].startswith("a line of more than")
    assert [item.line for item in of("-", stdin=long + LINE + LINE)] == [1, 2, 3]
    monkeypatch.setattr(intake, "MAX_PASSED_OVER", len(LINE) + 500)
    assert told(of("-", stdin=LINE + long + LINE))[-1] == (
        "-",
        2,
        "a line without an end; what follows was not looked at",
    )


def test_a_file_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_PASSED_OVER", 1 << 27)
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # a hole: a terabyte that takes no room
    (tmp_path / "text").write_bytes(b"{\n" + b" " * 100)
    items = of(tmp_path)
    assert told(items)[0][:2] == ("huge", 1)
    assert "more than 64 MiB" in told(items)[0][2]
    assert told(items)[-1] == ("text", None, "")


def test_a_document_of_many_lines_that_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_FILE_SIZE", 50)
    assert told(of("-", stdin=b"{\n" + b" " * 49)) == [("-", None, "more than 0 MiB")]
    assert told(of("-", stdin=b"{\n" + b" " * 48)) == [("-", None, "")]


def test_a_folder_is_walked_by_name_and_nothing_odd_in_it_is_opened(tmp_path: Path) -> None:
    inner = tmp_path / "b"
    inner.mkdir()
    for path in (tmp_path / "c.json", inner / "2.json", inner / "1.json", tmp_path / ".hidden"):
        path.write_bytes(DOCUMENT)
    (tmp_path / "a-loop").symlink_to(tmp_path)
    (tmp_path / "d-link").symlink_to(tmp_path / "c.json")
    os.mkfifo(tmp_path / "e-pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "f-socket"))
        items = of(tmp_path)
    not_followed = "a symbolic link, which is not followed in a folder"
    assert told(items) == [
        ("a-loop", None, not_followed),
        ("1.json", None, ""),
        ("2.json", None, ""),
        ("c.json", None, ""),
        ("d-link", None, not_followed),
        ("e-pipe", None, "not a regular file"),
        ("f-socket", None, "not a regular file"),
    ]


def test_what_is_named_is_followed_but_must_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(DOCUMENT)
    (tmp_path / "link").symlink_to("a.json")
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    items = of(tmp_path / "link", tmp_path / "circle", tmp_path / "pipe", tmp_path / "none", "/dev/zero", "a\0b")
    assert items[0].data == DOCUMENT
    assert [item.problem.code if item.problem else "" for item in items] == [
        "",
        "environment",
        "document",
        "not-found",
        "document",
        "environment",
    ]


def test_folders_are_bounded_in_depth_and_in_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_DEPTH", 2)
    monkeypatch.setattr(intake, "MAX_ENTRIES", 2)
    deep = tmp_path / "1/2/3"
    deep.mkdir(parents=True)
    (deep / "a.json").write_bytes(DOCUMENT)
    for name in ("x", "y", "z"):
        (tmp_path / "1" / name).write_bytes(DOCUMENT)
    assert ("3", None, "more than 2 folders deep") in told(of(tmp_path))
    assert told(of(tmp_path))[-1] == ("1", None, "more than 2 names in it; the others were not looked at")


@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([LINE, b"\n", b"x\n", b"{\n", b"{}\n", RECORDING])).map(b"".join)
)
def test_nothing_is_lost_of_any_stream(data: bytes) -> None:
    items = of("-", stdin=data)
    assert all(item.problem is None for item in items)
    assert b"".join(item.data for item in items).split() == data.split()
    numbers = [item.line for item in items]
    assert numbers == [None] or all(numbers)
