"""Every piece of news is one entry with a name that lasts, and no text of a device makes it two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cmakeys.check import Judgement
from cmakeys.reports.events import (
    MAX_LINE,
    Event,
    Kind,
    Priority,
    events,
    journal_datagram,
    syslog_datagram,
)
from cmakeys.running import Mark
from cmakeys.standing import finding
from tests.reports.findings import CHANGES, FINDINGS
from tests.reports.verdicts import HOSTILE, REJECTED

MANUAL = Path(__file__).parents[2] / "man/cmakeys-check.8"
SYSLOG_NAMES = {Priority.ERROR: "err", Priority.WARNING: "warning", Priority.NOTICE: "notice", Priority.INFO: "info"}


def fields(datagram: bytes) -> Iterator[tuple[str, bytes]]:
    """Read an entry as journald does."""
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(datagram[:8], "little")
            value, end, datagram = datagram[8 : 8 + size], datagram[8 + size : 9 + size], datagram[9 + size :]
            assert end == b"\n"
        yield name.decode(), value


def test_the_message_ids_never_change() -> None:
    """They are in other people's rules: whoever changes one breaks an alarm somewhere."""
    assert {kind.name: kind.value for kind in Kind} == {
        "DEVICE_REJECTED": "e1530fb6cfba491794ada55aeb559fcb",
        "DEVICE_UNREACHABLE": "452e10e0eb1c4f44a4453fa26a25c5e5",
        "DEVICE_DEGRADED": "5695854b0b81497991d6ed6dfce58d63",
        "DEVICE_UNSUPPORTED": "75fd4b9c04c048d3bf404942de0a1a94",
        "DEVICE_TRUSTED": "8bc4b6214dd04c67bb78610949bf8b42",
        "DEVICE_CHANGED": "90ab589a02bf4558be805103df025739",
        "DEVICE_STANDING": "2327dd2af16c4ac5ab62e51ef4b9e6cd",
        "CHECK_FINISHED": "e3e6326918844955bcd50ec7eda95aa2",
        "CHECK_UNFINISHED": "282a93414b4f4f7eb646d6ef55f48d66",
        "HOOK_FAILED": "cee7a905aa0845fe8a0b7af0d975cf94",
        "INITRD_STALE": "e12bbaff947e4392b3e9182a96808ded",
        "STRANGER_SEEN": "9a29f562e9e34c5ba1eb7f09ce86479b",
        "CLOCK_WRONG": "14dd2a5105e849129843c2a4a43f5090",
    }


def test_the_manual_names_every_kind_of_entry_and_every_field() -> None:
    page = MANUAL.read_text()
    priorities = {event.kind: event.priority for event in events(FINDINGS, Mark())}
    for kind in Kind:
        (item,) = [part for part in page.split(".It Li ") if part.startswith(kind.value + "\n")]
        if kind in priorities:
            assert f".Pq Li {SYSLOG_NAMES[priorities[kind]]}\n" in item
    fields = {name for event in events(FINDINGS, None)[:-1] for name, _ in event.fields}
    assert all(f".Li {name}\n" in page or f".Li {name} ,\n" in page for name in fields)


def test_each_device_with_something_to_tell_has_one_entry_and_the_run_the_last() -> None:
    found = events(FINDINGS, None)
    assert [(event.kind, event.priority) for event in found] == [
        (Kind.DEVICE_CHANGED, Priority.NOTICE),
        (Kind.DEVICE_TRUSTED, Priority.NOTICE),
        (Kind.DEVICE_STANDING, Priority.NOTICE),
        (Kind.DEVICE_REJECTED, Priority.ERROR),
        (Kind.DEVICE_STANDING, Priority.NOTICE),
        (Kind.DEVICE_REJECTED, Priority.ERROR),
        (Kind.DEVICE_UNREACHABLE, Priority.WARNING),
        (Kind.DEVICE_UNSUPPORTED, Priority.NOTICE),
        (Kind.CHECK_FINISHED, Priority.INFO),
    ]
    assert found[-1].lines == ("checked 10 devices: 4 trusted, 1 degraded, 3 rejected, 1 unreachable, 1 unsupported",)


def test_a_healthy_run_is_one_entry() -> None:
    (only,) = events(FINDINGS[:1], None)
    assert only.lines == ("checked 1 device: 1 trusted",)


def test_a_run_that_did_not_finish_is_said_first() -> None:
    assert [event.kind for event in events(FINDINGS[:1], Mark())] == [Kind.CHECK_UNFINISHED, Kind.CHECK_FINISHED]


def test_an_entry_has_what_a_program_needs_in_fields() -> None:
    rejected = events(FINDINGS[4:5], None)[0]
    found = list(fields(journal_datagram(rejected)))
    single = dict(found)
    assert single["MESSAGE_ID"].decode() == Kind.DEVICE_REJECTED.value
    assert single["PRIORITY"] == b"3"
    assert single["SYSLOG_IDENTIFIER"] == b"cmakeys"
    assert single["CMAKEYS_DEVICE"] == b"drifted4"
    assert single["CMAKEYS_OUTCOME"] == b"rejected"
    assert single["CMAKEYS_BEFORE"] == b"trusted"
    assert single["CMAKEYS_SINCE"] == b"2040-01-02T03:04:05.000678Z"
    assert [value for name, value in found if name == "CMAKEYS_STEP"] == [b"10", b"13"]
    assert [value.decode() for name, value in found if name == "CMAKEYS_CHANGE"] == list(CHANGES)
    message = single["MESSAGE"].decode().splitlines()
    assert message[0].startswith("drifted4 was trusted, and is rejected since this check: step 10")
    assert message[1:] == list(CHANGES)


def test_a_value_of_several_lines_has_its_length_in_front() -> None:
    event = Event(Kind.CHECK_FINISHED, Priority.INFO, ("a", "b"), (("CMAKEYS_X", "=\n="),))
    assert journal_datagram(event).startswith(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nMESSAGE_ID=")
    assert journal_datagram(event).endswith(b"CMAKEYS_X\n\x03\0\0\0\0\0\0\0=\n=\n")


@given(st.text(), st.text(), st.lists(st.text(), max_size=3))
def test_no_text_forges_a_field(name: str, summary: str, changes: list[str]) -> None:
    one = finding(name, Judgement(replace(REJECTED, summary=summary)), None)
    one = replace(one, standing=replace(one.standing, changes=tuple(changes)))
    event = events([one], None)[0]
    found = list(fields(journal_datagram(event)))
    assert [key for key, _ in found][4:] == [key for key, _ in event.fields]
    assert dict(found)["CMAKEYS_DEVICE"] == name.encode("utf-8", "backslashreplace")
    line = syslog_datagram(event, 77).decode()
    assert line.startswith("<27>cmakeys[77]: ")
    assert line.isprintable()


def test_a_line_for_syslog_is_as_long_as_it_may_be() -> None:
    one = finding("gpu0", Judgement(replace(REJECTED, summary=HOSTILE + "x" * 3000)), None)
    line = syslog_datagram(events([one], None)[0], 1).decode()
    assert len(line.partition(": ")[2]) == MAX_LINE
    assert line.endswith("x…")


def test_names_of_fields_are_those_that_the_journal_takes() -> None:
    names = {name for event in events(FINDINGS, Mark()) for name, _ in event.fields}
    assert len(names) > 10
    assert all(name.startswith("CMAKEYS_") and name.replace("_", "").isalpha() and name.isupper() for name in names)
