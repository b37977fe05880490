"""Sessions through a real mailbox, whose secured data objects are a type of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, find_faults
from cmakeys.emulator.session_settings import PskSupport, SessionSettings
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import Version
from tests.guest import talking
from tests.guest.conftest import Room
from tests.workbench import honest, vendor

FIRST = "pci:0000:00:04.0"
PSK = {"hint": b"hint".hex(), "key": b"a key that both were given".hex()}


def with_sessions(settings: SessionSettings, *faults: str) -> Device:
    blueprint = Blueprint(
        credentials=honest("0001").hardware.slots,
        settings=DeviceSettings(sessions=replace(settings, heartbeat=60)),
        psks={b"hint": b"a key that both were given"},
    )
    return build_device(vendor(), blueprint, find_faults(faults))


@pytest.mark.parametrize("encrypt", [True, False])
@pytest.mark.parametrize("version", [Version.V11, Version.V12, Version.V13, Version.V14])
def test_a_session_goes_through_the_mailbox(version: Version, encrypt: bool, room: Room) -> None:
    room.seats[0].device = with_sessions(SessionSettings(encrypt=encrypt, clear_handshake=not encrypt))
    said = room.guest.call(talking.hold_session, FIRST, str(version))
    assert said["version"] == str(version)
    assert said["kind"] == ("encrypted" if encrypt else "MAC only")
    assert said["state"] == "after the end of a session"
    assert said["blocks"] >= 4


def test_a_session_of_a_pre_shared_key_goes_through_the_mailbox(room: Room) -> None:
    room.seats[0].device = with_sessions(SessionSettings(psk=PskSupport.WITH_CONTEXT))
    assert room.guest.call(talking.hold_session, FIRST, "1.3", PSK)["state"] == "after the end of a session"


@pytest.mark.parametrize("fault", ["record-bad-mac", "exchange-bad-signature"])
def test_a_lie_in_a_session_is_caught_behind_the_mailbox(fault: str, room: Room) -> None:
    assert fault in FAULTS
    room.seats[0].device = with_sessions(SessionSettings(), fault)
    with pytest.raises(Exception, match="does not verify"):
        room.guest.call(talking.hold_session, FIRST, "1.2")
