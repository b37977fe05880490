"""A flow gets its answers, its waits and its deadline."""

from __future__ import annotations

import pytest

from cmakeys.spdm.effects import Flow, Send, Wait
from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout
from cmakeys.transports.drive import drive


class Echo:
    """Answers with what it was sent, backwards; notes the time each message was given."""

    address = "test:echo"

    def __init__(self) -> None:
        self.allowed: list[float] = []
        self.secured: list[bool] = []

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        self.allowed.append(deadline.remaining())
        self.secured.append(secured)
        if message == b"hang up":
            raise TransportClosed("closed", object=self.address)
        return message[::-1]

    def close(self) -> None:
        pass


def test_the_flow_gets_answers_and_its_result_comes_back() -> None:
    def flow() -> Flow[str]:
        first = yield Send(b"abc", 1.0)
        nothing = yield Wait(0.5)
        second = yield Send(first + b"d", 1.0)
        return f"{first!r} {nothing!r} {second!r}"

    slept: list[float] = []
    assert drive(flow(), Echo(), Deadline.after(10), sleep=slept.append) == "b'cba' b'' b'dabc'"
    assert slept == [0.5]


def test_a_record_of_a_session_travels_as_one() -> None:
    def flow() -> Flow[None]:
        yield Send(b"a message", 1.0)
        yield Send(b"a record", 1.0, secured=True)

    echo = Echo()
    drive(flow(), echo, Deadline.after(10))
    assert echo.secured == [False, True]


def test_a_message_gets_its_own_time_but_never_more_than_is_left() -> None:
    def flow() -> Flow[None]:
        yield Send(b"a", 1.0)
        yield Send(b"b", 1000.0)

    echo = Echo()
    drive(flow(), echo, Deadline.after(10))
    assert echo.allowed[0] <= 1.0
    assert 1.0 < echo.allowed[1] <= 10


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    def flow() -> Flow[None]:
        yield Wait(60.0)

    slept: list[float] = []
    with pytest.raises(TransportTimeout, match="wants 60 s more"):
        drive(flow(), Echo(), Deadline.after(5), sleep=slept.append)
    assert slept == []


def test_trouble_of_the_transport_ends_the_flow_and_is_raised() -> None:
    ended = []

    def flow() -> Flow[None]:
        try:
            yield Send(b"hang up", 1.0)
        finally:
            ended.append(True)

    with pytest.raises(TransportClosed):
        drive(flow(), Echo(), Deadline.after(5))
    assert ended == [True]


def test_a_flow_that_asks_nothing_is_done_at_once() -> None:
    def flow() -> Flow[int]:
        yield from ()
        return 7

    assert drive(flow(), Echo(), Deadline.after(5)) == 7
