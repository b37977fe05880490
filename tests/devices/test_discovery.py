"""Mailboxes are asked what they carry, by the rules that keep others undisturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.devices.address import PciFunction
from cmakeys.devices.discovery import mailbox_discovery
from cmakeys.devices.functions import FunctionEntry
from cmakeys.errors import Refused, Temporary
from tests.transports.mailbox import (
    FUNCTION,
    MAILBOX,
    MailboxFaults,
    SimulatedFunction,
    SimulatedMailbox,
    host,
    plant,
)

SILENT = MailboxFaults(silent=True)


def discover(
    tmp_path: Path, *mailboxes: SimulatedMailbox, driver: str = "nvme", seconds: float = 5.0
) -> frozenset[str]:
    folder = plant(tmp_path, driver=driver)
    function = SimulatedFunction({MAILBOX + 0x20 * number: mailbox for number, mailbox in enumerate(mailboxes)})
    entry = FunctionEntry(PciFunction.parse(FUNCTION), folder)
    return mailbox_discovery(host(tmp_path, function), seconds)(entry)


def test_the_features_of_all_mailboxes_are_found(tmp_path: Path) -> None:
    found = discover(tmp_path, SimulatedMailbox(features=((1, 0), (0x1E98, 2))), SimulatedMailbox())
    assert found >= {"0001:00", "0001:01", "1e98:02"}


def test_a_function_without_spdm_says_so(tmp_path: Path) -> None:
    assert discover(tmp_path, SimulatedMailbox(features=((1, 0),))) == frozenset({"0001:00"})


def test_a_silent_mailbox_does_not_hide_what_another_one_says(tmp_path: Path) -> None:
    assert "0001:01" in discover(tmp_path, SimulatedMailbox(faults=SILENT), SimulatedMailbox())


def test_a_silent_mailbox_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(Temporary):
        discover(tmp_path, SimulatedMailbox(faults=SILENT), SimulatedMailbox(features=((1, 0),)), seconds=0.2)


def test_the_function_of_a_virtual_machine_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        discover(tmp_path, SimulatedMailbox(), driver="vfio-pci")
