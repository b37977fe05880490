"""The malicious responder of reference §11.3 in sessions: each lie ends the session where its table says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, Fault, Where
from cmakeys.emulator.session_settings import PskSupport, SessionSettings
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import Capability, KeyOperation, Version
from cmakeys.spdm.effects import DeviceRefused
from cmakeys.spdm.handshake import Established
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.violation import ProtocolViolation
from tests.emulator.conftest import credentials, vendor
from tests.emulator.session_driver import PSK, Host, Talk, as_requester, converse
from tests.emulator.test_sessions import VERSIONS

IN_SESSIONS = [fault for fault in FAULTS.values() if fault.where is Where.SESSIONS]
CASES = [(fault, version) for fault in IN_SESSIONS for version in VERSIONS if version >= fault.since]
CLEAR = Capability.HANDSHAKE_IN_THE_CLEAR


def lived_through(
    faults: list[Fault], version: Version, binding: Binding, opened: list[Established] | None = None
) -> None:
    """All that can happen in a session, with a device that has these faults. A pre-shared key is used if it has any."""
    blueprint = Blueprint(
        credentials={0: (credentials(),)}, psks={PSK.hint: PSK.key}, settings=DeviceSettings(sessions=SessionSettings())
    )
    device = build_device(vendor(), blueprint, faults)
    settings = device.hardware.settings.sessions
    assert settings is not None
    offer = with_sessions(Offer(), psk=True)
    host: Host | None = None
    if settings.mutual.value:
        offer = as_requester(offer)
    if settings.clear_handshake:
        offer = replace(offer, requester_flags=offer.requester_flags | CLEAR)
    if not settings.heartbeat:
        offer = replace(offer, requester_flags=offer.requester_flags | Capability.ENCAP)
    talk: Talk = converse(device, offer, version, binding)
    host = Host(talk.requester) if settings.mutual.value else None
    established = talk.open_psk() if settings.psk is not PskSupport.NONE else talk.open(host)
    if opened is not None:
        opened.append(established)
    session = established.session
    if settings.heartbeat:
        talk.run(session.heartbeat())
    talk.inside(session, session.requester.digests())
    talk.inside(session, session.requester.measurements(0xFF, slot=0, raw=False, signed=True))
    talk.run(session.update_keys())
    talk.run(session.update_keys(KeyOperation.UPDATE_KEY))
    talk.inside(session, session.requester.certificate(0))
    talk.run(session.end())


@pytest.mark.parametrize("binding", Binding)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_honest_device_lives_through_all_of_it(version: Version, binding: Binding) -> None:
    lived_through([], version, binding)


@pytest.mark.parametrize("binding", [Binding.MCTP, Binding.TCP])
@pytest.mark.parametrize(("fault", "version"), CASES, ids=[f"{fault.name}-{version}" for fault, version in CASES])
def test_each_lie_about_a_session_is_caught(fault: Fault, version: Version, binding: Binding) -> None:
    opened: list[Established] = []
    with pytest.raises((ProtocolViolation, DeviceRefused)) as caught:
        lived_through([fault], version, binding, opened)
    assert isinstance(caught.value, ProtocolViolation | DeviceRefused)
    assert caught.value.step == fault.step, str(caught.value)
    for established in opened:
        assert established.session.state is State.ENDED


def test_what_the_checklist_demands_of_sessions_is_there() -> None:
    demanded = """exchange-bad-signature exchange-wrong-proof finish-wrong-proof psk-wrong-proof record-bad-mac
        record-replayed record-same-sequence record-other-session record-truncated record-in-the-clear
        exchange-wrong-version exchange-wrong-context group-not-offered two-groups exchange-other-group
        exchange-zero-share exchange-spoiled-share secured-version-unknown secured-version-twice
        exchange-spoiled-opaque mutual-illegal mutual-not-negotiated heartbeat-not-negotiated key-update-wrong-tag
        key-update-old-key endless-questions"""
    assert set(demanded.split()) <= {fault.name for fault in IN_SESSIONS}
