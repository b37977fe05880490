"""A deadline is one moment that a whole piece of work shares."""

from __future__ import annotations

import pytest

from cmakeys.errors import EvidenceProblem, ExitCode, Temporary
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout


def test_a_deadline_in_the_past_has_nothing_left() -> None:
    deadline = Deadline.after(-1)
    assert deadline.expired
    assert deadline.remaining() == 0
    with pytest.raises(TransportTimeout, match=r"^dev: no time left while connecting$"):
        deadline.require("while connecting", "dev")


def test_a_message_gets_no_more_than_its_work_has_left() -> None:
    work = Deadline.after(100)
    assert work.within(1000) == work
    assert work.within(1).at < work.at
    assert 0 < work.require("to wait", "dev") <= 100
    assert not work.expired


@pytest.mark.parametrize("kind", [TransportTimeout, TransportClosed, TransportFramingError])
def test_trouble_on_the_way_is_temporary_and_no_evidence(kind: type[Temporary]) -> None:
    assert issubclass(kind, Temporary)
    assert not issubclass(kind, EvidenceProblem)
    assert kind("x").exit_code is ExitCode.TEMPORARY


def test_each_kind_of_trouble_has_its_own_word() -> None:
    assert len({kind.code for kind in (TransportTimeout, TransportClosed, TransportFramingError, Temporary)}) == 4
