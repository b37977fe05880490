"""The guest that all tests of this ring share, as a machine on which nothing was done yet, and the devices in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from tests.guest import inside
from tests.guest.machine import Guest, started
from tests.guest.prepare import why_not
from tests.workbench import honest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them in one worker, because they share one guest; and before all others, because they take longest."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker(pytest.mark.guest)
        item.add_marker(pytest.mark.xdist_group("guest"))
    items[:] = ours + [item for item in items if not item.path.is_relative_to(HERE)]


@dataclass(frozen=True)
class Room:
    """The guest, and what sits behind the mailboxes of its controllers: of the last one nothing does."""

    guest: Guest
    seats: tuple[Seat, ...]

    @property
    def dead(self) -> str:
        """The function whose responder has gone."""
        return self.guest.functions[-1]

    def renew(self) -> None:
        """A machine just started: no file of ours, an empty `.cma`, honest devices."""
        for number, seat in enumerate(self.seats):
            seat.device = honest(f"{number + 1:04}")
            seat.fault = None
        self.guest.call(inside.renew, self.guest.functions)


@pytest.fixture(scope="session")
def _room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    if reason := why_not():
        pytest.skip(reason)
    seats = (Seat(honest("0001")), Seat(honest("0002")))
    with Server(seats) as server, Server([Seat(honest("0003"))]) as mortal:
        ports = [place.port for place in (*server.places, *mortal.places)]
        with started(tmp_path_factory.mktemp("guest"), ports) as guest:
            mortal.stop()  # QEMU connects once, when it starts
            yield Room(guest, seats)


@pytest.fixture
def room(_room: Room) -> Room:
    _room.renew()
    return _room


@pytest.fixture
def guest(room: Room) -> Guest:
    return room.guest
