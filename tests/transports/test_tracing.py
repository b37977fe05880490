"""Every conversation goes into a file of its own, and none over another."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from cmakeys.errors import CmakeysError
from cmakeys.transports.base import Deadline
from cmakeys.transports.recording import Recording
from cmakeys.transports.tracing import Tracer
from tests.transports.peer import peer, wait_for_end
from tests.transports.test_tcp import ANSWER, FRAMED_ANSWER, REQUEST, replying

pytestmark = pytest.mark.system


def talk(tracer: Tracer, port: int) -> None:
    deadline = Deadline.after(5)
    with contextlib.closing(tracer.reach(f"tcp://127.0.0.1:{port}", deadline)) as transport:
        assert transport.exchange(REQUEST, deadline) == ANSWER


def test_each_connection_has_its_file(tmp_path: Path) -> None:
    tracer = Tracer(tmp_path / "run.jsonl")
    with peer(replying(FRAMED_ANSWER), replying(FRAMED_ANSWER), replying(FRAMED_ANSWER)) as port:
        for _ in range(3):
            talk(tracer, port)
    assert [file.name for file in tracer.files] == ["run.jsonl", "run-2.jsonl", "run-3.jsonl"]
    for file in tracer.files:
        request, answer = Recording.read(file).conversation()
        assert (request.direction, answer.direction) == ("req", "rsp")


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    file.write_text("mine")
    with peer(wait_for_end) as port, pytest.raises(CmakeysError) as caught:
        Tracer(file).reach(f"tcp://127.0.0.1:{port}", Deadline.after(5))
    assert "run.jsonl" in caught.value.object
    assert file.read_text() == "mine"
