"""`pci:` reaches the device through its mailbox, and gives the function back whatever happened."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from cmakeys.errors import NotFound, NotPermitted, Refused, Unsupported
from cmakeys.transports import doe
from cmakeys.transports.base import Deadline, TransportClosed, TransportTimeout
from cmakeys.transports.connect import open_transport
from cmakeys.transports.doe_transport import PciHost
from tests.transports.mailbox import FUNCTION, MAILBOX, MailboxFaults, SimulatedFunction, SimulatedMailbox, host, plant

URL = f"pci:{FUNCTION}"


def soon() -> Deadline:
    return Deadline.after(10)


def test_messages_and_records_go_as_objects_of_their_type(tmp_path: Path) -> None:
    plant(tmp_path)
    simulated = SimulatedMailbox()
    machine = host(tmp_path, SimulatedFunction({MAILBOX: simulated}))
    with closing(open_transport(URL, soon(), pci=machine)) as transport:
        assert transport.address == URL
        assert transport.exchange(b"abc", soon()) == b"abc\0"
        assert transport.exchange(b"record00", soon(), secured=True) == b"record00"
    assert simulated.objects[-2:] == [(1, b"abc\0"), (2, b"record00")]


def test_secured_records_need_a_mailbox_that_carries_them(tmp_path: Path) -> None:
    plant(tmp_path)
    simulated = SimulatedMailbox(features=((1, 0), (1, 1)))
    machine = host(tmp_path, SimulatedFunction({MAILBOX: simulated}))
    with closing(open_transport(URL, soon(), pci=machine)) as transport:
        with pytest.raises(Unsupported):
            transport.exchange(b"record00", soon(), secured=True)
        assert transport.exchange(b"abcd", soon()) == b"abcd"


def test_after_a_failure_the_transport_is_of_no_more_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doe, "SECOND", 0.02)
    plant(tmp_path)
    simulated = SimulatedMailbox()
    machine = host(tmp_path, SimulatedFunction({MAILBOX: simulated}))
    with closing(open_transport(URL, soon(), pci=machine)) as transport:
        simulated.faults = MailboxFaults(silent=True)
        with pytest.raises(TransportTimeout):
            transport.exchange(b"abcd", soon())
        simulated.faults = MailboxFaults()
        with pytest.raises(TransportClosed, match="given up"):
            transport.exchange(b"abcd", soon())


@pytest.mark.parametrize("boxes", [{MAILBOX: SimulatedMailbox()}, {}])
def test_the_function_is_given_back(tmp_path: Path, boxes: dict[int, SimulatedMailbox]) -> None:
    control = plant(tmp_path, files={"power/control": "auto"}) / "power/control"
    function = SimulatedFunction(boxes)
    machine = host(tmp_path, function)
    if boxes:
        transport = open_transport(URL, soon(), pci=machine)
        assert control.read_text().strip() == "on"
        transport.close()
        transport.close()
    else:
        with pytest.raises(Unsupported):
            open_transport(URL, soon(), pci=machine)
    assert function.closed
    assert control.read_text().strip() == "auto"


def test_a_function_without_extended_space_is_unsupported(tmp_path: Path) -> None:
    plant(tmp_path)
    with pytest.raises(Unsupported, match="extended configuration space"):
        open_transport(URL, soon(), pci=host(tmp_path, SimulatedFunction({}, size=0x100)))


def test_force_is_said_in_the_address(tmp_path: Path) -> None:
    plant(tmp_path, driver="vfio-pci")
    machine = host(tmp_path, SimulatedFunction())
    with pytest.raises(Refused):
        open_transport(URL + "?force=0", soon(), pci=machine)
    with closing(open_transport(URL + "?force=1", soon(), pci=machine)) as transport:
        assert transport.exchange(b"abcd", soon()) == b"abcd"


def test_a_function_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_transport(URL, soon(), pci=PciHost(tmp_path))


@pytest.mark.system
def test_whoever_is_not_root_is_told_so(tmp_path: Path) -> None:
    folder = plant(tmp_path)
    (folder / "config").chmod(0o444)
    if os.access(folder / "config", os.W_OK):
        with pytest.raises(Unsupported):  # root opens it, and finds a file that is no configuration space
            open_transport(URL, soon(), pci=PciHost(tmp_path))
        return
    with pytest.raises(NotPermitted, match="EACCES") as caught:
        open_transport(URL, soon(), pci=PciHost(tmp_path))
    assert "root" in caught.value.hint
