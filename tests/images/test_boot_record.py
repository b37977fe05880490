"""What the loader logged at boot is found in the kernel's log, the newest of it, and nothing else is taken for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmakeys.images import boot_record
from cmakeys.images.boot_record import booted_digest

NEW, OLD = "ab" * 32, "cd" * 32


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[bytes | OSError]:
    """A kernel log as /dev/kmsg gives it out: one record for each read."""
    records: list[bytes | OSError] = []
    left: Iterator[bytes | OSError] = iter(())

    def open_(path: object, flags: int) -> int:
        nonlocal left
        left = iter(records)
        return os.dup(0)

    def read(descriptor: int, size: int) -> bytes:
        found = next(left, BlockingIOError(11, "Resource temporarily unavailable"))
        if isinstance(found, OSError):
            raise found
        return found[:size]

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "read", read)
    return records


def record(text: str) -> bytes:
    return f"14,502,1234567,-;{text}\n".encode()


def test_the_last_record_of_the_loader_counts(log: list[bytes | OSError]) -> None:
    log += [record("Linux version 6.12"), record(f"cmakeys: set digest {OLD}"), record(f"cmakeys: set digest {NEW}")]
    assert booted_digest() == NEW


def test_a_record_that_was_overwritten_meanwhile_is_passed_over(log: list[bytes | OSError]) -> None:
    log += [BrokenPipeError(32, "Broken pipe"), record(f"cmakeys: set digest {NEW}")]
    assert booted_digest() == NEW


@pytest.mark.parametrize(
    "text",
    ["", "cmakeys: set digest", f"cmakeys: set digest {NEW[:-1]}", f"usb: cmakeys: set digest {NEW}", f"{NEW}"],
)
def test_anything_else_is_none(text: str, log: list[bytes | OSError]) -> None:
    log.append(record(text))
    assert booted_digest() == ""


def test_a_log_that_never_ends_is_given_up(log: list[bytes | OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_record, "MAX_RECORDS", 10)
    log += [record("x")] * 100 + [record(f"cmakeys: set digest {NEW}")]
    assert booted_digest() == ""


def test_without_a_log_nothing_is_known(tmp_path: Path) -> None:
    assert booted_digest(tmp_path / "none") == ""
