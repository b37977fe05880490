"""What the device tells beyond attestation, asked by our own requester: in the clear, and in a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from cmakeys.emulator.device import Device
from cmakeys.emulator.disclosure_settings import INDEX_LOG, Disclosures
from cmakeys.emulator.disclosures import ask_about_event
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MultiKey
from cmakeys.spdm import inquiry
from cmakeys.spdm.algorithms import MEASUREMENT_HASH_FUNCTIONS, MEL_SPECIFICATION_DMTF
from cmakeys.spdm.codes import Capability, ErrorCode, RequestCode, Version
from cmakeys.spdm.effects import DeviceRefused, Flow
from cmakeys.spdm.inquiry import NotOffered
from cmakeys.spdm.inventory import LogCoverage, coverage
from cmakeys.spdm.messages.endpoint_info import push_class_identifiers
from cmakeys.spdm.messages.events import EventAck, EventType, SendEvent, SubscribeEventTypes
from cmakeys.spdm.messages.provisioning import GetCsr, SetCertificate, SetCertificateResponse
from cmakeys.spdm.messages.vendor_defined import Registry, Vendor
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.pci_sig import (
    PCI_SIG,
    InterfaceState,
    TdispCapabilities,
    get_interface_state,
    get_tdisp_capabilities,
    pull_interface_state,
)
from cmakeys.spdm.session import Session
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.wire import Reader
from tests.emulator.conftest import credentials
from tests.emulator.session_driver import Talk, converse
from tests.workbench import vendor

SINCE_13 = (Version.V13, Version.V14)


def device(multi_key: MultiKey = MultiKey.NONE, slots: tuple[int, ...] = (0,), *, trusted: bool = False) -> Device:
    disclosures = Disclosures(trusted_place=trusted)
    settings = DeviceSettings(sessions=SessionSettings(), disclosures=disclosures, multi_key=multi_key)
    kept = dict.fromkeys(slots, (credentials(KeyType.ECDSA_P384),))
    return build_device(vendor(), Blueprint(settings=settings, slots=slots, credentials=kept))


def talk(version: Version = Version.V13, made: Device | None = None, **changes: Any) -> Talk:
    offer = replace(with_sessions(Offer()), mel_specification=MEL_SPECIFICATION_DMTF, **changes)
    return converse(made or device(), offer, version)


@pytest.mark.parametrize("version", SINCE_13)
def test_the_log_is_the_one_that_is_measured(version: Version) -> None:
    talking = talk(version)
    log = talking.run(inquiry.extension_log(talking.requester))
    talking.run(talking.requester.measurements(0xFF, slot=0, raw=False, signed=True))
    connection = talking.requester.connection
    assert log == Disclosures().log
    assert connection.measurements is not None
    assert connection.measurement_hash is not None
    function = MEASUREMENT_HASH_FUNCTIONS[connection.measurement_hash]
    assert coverage(log, connection.measurements.blocks, function) == (LogCoverage(INDEX_LOG, 3, 3),)


@pytest.mark.parametrize("version", SINCE_13)
@pytest.mark.parametrize("inside", [False, True])
def test_endpoint_information_is_signed_in_the_clear_and_in_a_session(version: Version, inside: bool) -> None:
    talking = talk(version)
    requester = talking.requester
    if inside:
        session = talking.open().session
        requester = session.requester
        found = talking.inside(session, inquiry.endpoint_info(requester))
    else:
        found = talking.run(inquiry.endpoint_info(requester))
    assert found == Disclosures().identifiers
    assert requester.connection.endpoint_info is not None
    assert talking.key is not None
    verify_statement(requester.connection.endpoint_info, talking.key)


def test_unsigned_endpoint_information_is_the_same() -> None:
    talking = talk()
    assert talking.run(inquiry.endpoint_info(talking.requester, signed=False)) == Disclosures().identifiers


def test_key_pairs_are_counted_whatever_slots_are_empty() -> None:
    talking = talk(made=device(MultiKey.NEGOTIABLE, (0, 3, 7)), multi_key=True)
    pairs = talking.run(inquiry.key_pairs(talking.requester))
    assert [(pair.key_pair, pair.slot_mask) for pair in pairs] == [(1, 0x01), (2, 0x08), (3, 0x80)]
    digests = talking.run(talking.requester.digests())
    assert [info.key_pair_id for info in digests.info] == [1, 2, 3]


@pytest.mark.parametrize("version", [Version.V12, *SINCE_13])
def test_a_certificate_request_is_signed_with_the_key_of_the_slot(version: Version) -> None:
    talking = talk(version)
    der = talking.run(inquiry.certificate_request(talking.requester))
    request = x509.load_der_x509_csr(der)
    assert request.is_signature_valid
    assert request.public_key() == talking.key


def test_a_key_pair_that_does_not_exist_gets_no_request() -> None:
    talking = talk(made=device(MultiKey.NEGOTIABLE), multi_key=True)
    with pytest.raises(DeviceRefused):
        talking.run(inquiry.certificate_request(talking.requester, lambda version: GetCsr(version, key_pair=9)))


# -- in a session only -------------------------------------------------------------------------------------------------


def in_session(version: Version = Version.V13) -> tuple[Talk, Session]:
    flags = with_sessions(Offer()).requester_flags | Capability.ENCAP
    talking = talk(version, requester_flags=flags)
    return talking, talking.open().session


@pytest.mark.parametrize("ask", [inquiry.tdisp_versions, inquiry.ide_port])
def test_what_belongs_into_a_session_is_refused_outside(ask: Callable[..., Flow[object]]) -> None:
    talking = talk()
    with pytest.raises(DeviceRefused) as caught:
        talking.run(ask(talking.requester))
    assert caught.value.error.code == ErrorCode.SESSION_REQUIRED


def test_tdisp_and_ide_are_told_in_a_session() -> None:
    talking, session = in_session()
    requester = session.requester
    assert talking.inside(session, inquiry.tdisp_versions(requester)) == (0x10,)
    port = talking.inside(session, inquiry.ide_port(requester))
    assert port.registers == Disclosures().ide_registers
    payload = talking.inside(session, inquiry.vendor_defined(requester, PCI_SIG, get_tdisp_capabilities()))
    assert TdispCapabilities.pull(Reader(payload, "TDISP_CAPABILITIES")).address_width == 52
    payload = talking.inside(session, inquiry.vendor_defined(requester, PCI_SIG, get_interface_state()))
    assert pull_interface_state(payload) is InterfaceState.CONFIG_UNLOCKED


def test_an_interface_is_locked_and_started_in_the_session_that_asks() -> None:
    talking, session = in_session()

    def ask(payload: bytes) -> bytes:
        return talking.inside(session, inquiry.vendor_defined(session.requester, PCI_SIG, payload))

    nonce = ask(bytes((1, 0x10, 0x83, 0, 0)) + bytes(12 + 20))[17:]
    assert pull_interface_state(ask(get_interface_state())) is InterfaceState.CONFIG_LOCKED
    ask(bytes((1, 0x10, 0x86, 0, 0)) + bytes(12) + nonce)
    assert pull_interface_state(ask(get_interface_state())) is InterfaceState.RUN
    talking.run(session.end())
    again = talking.open().session
    payload = talking.inside(again, inquiry.vendor_defined(again.requester, PCI_SIG, get_interface_state()))
    assert pull_interface_state(payload) is InterfaceState.CONFIG_UNLOCKED


def test_a_vendor_whose_protocols_are_not_played_is_refused() -> None:
    talking, session = in_session()
    with pytest.raises(DeviceRefused) as caught:
        talking.inside(
            session, inquiry.vendor_defined(session.requester, Vendor(Registry.PCI_SIG, b"\x02\x00"), b"\0\0")
        )
    assert caught.value.error.code == ErrorCode.UNSUPPORTED_REQUEST


def test_events_come_to_who_subscribed() -> None:
    talking, session = in_session()
    assert talking.inside(session, inquiry.supported_events(session.requester)).group_count == 1
    (opened,) = talking.device.talk.sessions.all()
    assert not ask_about_event(opened, (2,))
    everything = SubscribeEventTypes(Version.V13, 0, attributes=1).push()
    talking.inside(session, session.requester.delivery.ask(RequestCode.SUBSCRIBE_EVENT_TYPES, lambda: everything))
    assert ask_about_event(opened, (2,))

    class Receiver:
        def __init__(self) -> None:
            self.events: list[SendEvent] = []

        def answer(self, request: bytes) -> bytes:
            self.events.append(SendEvent.pull(Reader(request, "SEND_EVENT")))
            return EventAck(Version.V13).push()

    receiver = Receiver()
    talking.run(session.serve(receiver))
    (event,) = receiver.events[0].events
    assert event.kind is EventType.MEASUREMENT_CHANGED
    assert int.from_bytes(event.detail, "little") == 1 << 2
    talking.inside(session, session.requester.digests())


def test_a_chain_for_the_same_key_can_be_put_into_another_slot_and_taken_out() -> None:
    talking, session = in_session()
    structure = talking.requester.connection.chains[0]
    put = SetCertificate(Version.V13, 2, structure, model=1)

    def set_certificate(message: SetCertificate) -> SetCertificateResponse:
        answer = talking.inside(session, session.requester.delivery.ask(RequestCode.SET_CERTIFICATE, message.push))
        assert isinstance(answer, SetCertificateResponse)
        return answer

    assert set_certificate(put).slot == 2
    assert talking.inside(session, session.requester.digests()).slots == (0, 2)
    assert talking.inside(session, session.requester.certificate(2)) == structure
    assert set_certificate(SetCertificate(Version.V13, 2, erase=True)).slot == 2
    assert talking.inside(session, session.requester.digests()).slots == (0,)
    foreign = credentials(KeyType.ECDSA_P256).structure(talking.device.talk.hash())
    with pytest.raises(DeviceRefused):
        set_certificate(SetCertificate(Version.V13, 2, foreign))
    with pytest.raises(DeviceRefused):
        set_certificate(replace(put, slot=0))


@pytest.mark.parametrize("trusted", [False, True])
def test_slot_0_takes_a_chain_outside_a_session_in_a_trusted_place_only(trusted: bool) -> None:
    talking = talk(made=device(trusted=trusted))
    talking.run(talking.requester.digests())
    structure = talking.run(talking.requester.certificate(0))
    put = SetCertificate(Version.V13, 0, structure, model=1)
    flow = talking.requester.delivery.ask(RequestCode.SET_CERTIFICATE, put.push)
    if trusted:
        answer = talking.run(flow)
        assert isinstance(answer, SetCertificateResponse)
        assert answer.slot == 0
        assert talking.run(talking.requester.certificate(0)) == structure
    else:
        with pytest.raises(DeviceRefused) as caught:
            talking.run(flow)
        assert caught.value.error.code == ErrorCode.SESSION_REQUIRED


def test_slot_0_is_never_emptied() -> None:
    talking = talk(made=device(trusted=True))
    erase = SetCertificate(Version.V13, 0, erase=True)
    with pytest.raises(DeviceRefused):
        talking.run(talking.requester.delivery.ask(RequestCode.SET_CERTIFICATE, erase.push))


def test_signed_endpoint_information_needs_no_padding_on_doe() -> None:
    assert not len(push_class_identifiers(Disclosures().identifiers)) % 4


def test_events_are_announced_only_where_sessions_can_be_made() -> None:
    told = DeviceSettings(sessions=SessionSettings(), disclosures=Disclosures())
    assert told.flags(alias=False) & Capability.EVENT
    for without in (None, SessionSettings(key_exchange=False)):
        assert not replace(told, sessions=without).flags(alias=False) & Capability.EVENT


def test_a_device_without_disclosures_announces_none_and_answers_none() -> None:
    settings = DeviceSettings(sessions=SessionSettings())
    plain = build_device(vendor(), Blueprint(settings=settings, credentials={0: (credentials(KeyType.ECDSA_P384),)}))
    talking = talk(made=plain)
    for ask in (inquiry.extension_log, inquiry.endpoint_info, inquiry.key_pairs, inquiry.certificate_request):
        with pytest.raises(NotOffered):
            talking.run(ask(talking.requester))
    with pytest.raises(DeviceRefused) as caught:
        talking.run(inquiry.tdisp_versions(talking.requester))
    assert caught.value.error.code == ErrorCode.UNSUPPORTED_REQUEST
