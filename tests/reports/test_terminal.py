"""Foreign text is harmless, columns line up, and colour needs a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.reports.terminal import Terminal, Tone, columns, printable, width

UTF8 = Terminal(interactive=True, colour=True, encoding="utf-8")
ASCII = Terminal(interactive=True, colour=False, encoding="ascii")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("NVIDIA Root, O=Größe", "NVIDIA Root, O=Größe"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("line\nroot: trusted\r", "line\\x0aroot: trusted\\x0d"),
        ("\u202egnidael", "\\u202egnidael"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_control_and_direction_characters_are_spelled_out(foreign: str, shown: str) -> None:
    assert printable(foreign) == shown


@given(st.text())
def test_no_unprintable_character_survives(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


@given(st.text(), st.sampled_from(Tone), st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_a_line_can_always_be_encoded_and_stays_one_line(text: str, tone: Tone, encoding: str) -> None:
    line = Terminal(interactive=True, encoding=encoding).line(text, tone)
    assert line.encode(encoding).decode(encoding) == line
    assert len(line.splitlines()) <= 1


def test_columns_line_up_and_leave_no_trailing_blanks() -> None:
    rows = [("a", "trusted"), ("longer", "")]
    assert columns(("NAME", "STATE"), rows) == ["NAME    STATE", "a       trusted", "longer"]


def test_wide_and_combining_characters_count_as_the_cells_they_take() -> None:
    assert width("鍵") == 2
    assert width("e\u0301") == 1
    assert columns(("N", "S"), [("鍵", "x"), ("ab", "x")]) == ["N   S", "鍵  x", "ab  x"]


def test_cells_are_escaped() -> None:
    assert columns(("N",), [("\x1b[31m",)]) == ["N", "\\x1b[31m"]


def test_a_row_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="one cell per column"):
        columns(("A", "B"), [("only",)])


def test_marks_and_colour_exist_only_on_a_terminal() -> None:
    assert Terminal().line("done", Tone.GOOD) == "done"
    assert UTF8.line("done", Tone.GOOD) == "\x1b[32m✓\x1b[0m done"
    assert ASCII.line("done", Tone.GOOD) == "+ done"
    assert UTF8.line("plain") == "plain"


@pytest.mark.parametrize(
    ("stream", "environ", "interactive", "colour"),
    [
        (io.StringIO(), {"TERM": "xterm"}, False, False),
        (Tty(), {"TERM": "xterm"}, True, True),
        (Tty(), {"TERM": "dumb"}, True, False),
        (Tty(), {}, True, False),
        (Tty(), {"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        (Tty(), {"TERM": "xterm", "NO_COLOR": ""}, True, True),
    ],
)
def test_colour_follows_terminal_and_environment(
    stream: io.StringIO, environ: dict[str, str], interactive: bool, colour: bool
) -> None:
    terminal = Terminal.of(stream, environ)
    assert (terminal.interactive, terminal.colour) == (interactive, colour)


def test_a_closed_stream_is_no_terminal() -> None:
    stream = io.StringIO()
    stream.close()
    assert not Terminal.of(stream, {"TERM": "xterm"}).interactive
