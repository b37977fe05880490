from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.spdm import handshake
from cmakeys.spdm.codes import Capability, ErrorCode, MutualAuthentication, RequestCode, Version
from cmakeys.spdm.effects import DeviceRefused, Flow
from cmakeys.spdm.encapsulated import serve
from cmakeys.spdm.messages.certificates import CertificateResponse
from cmakeys.spdm.messages.challenge import ChallengeAuth
from cmakeys.spdm.messages.encapsulated import DeliverEncapsulatedResponse, GetEncapsulatedRequest
from cmakeys.spdm.messages.finish import push_finish_start
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import with_sessions
from cmakeys.x509.certificate import Certificate
from tests.emulator.conftest import vendor
from tests.emulator.session_driver import (
    NONE,
    Host,
    Talk,
    as_requester,
    converse,
    requester_credentials,
    requester_vendor,
    session_device,
)
from tests.emulator.test_sessions import VERSIONS, raw, refused, use

CLEAR = Capability.HANDSHAKE_IN_THE_CLEAR
ENCAPSULATED = (MutualAuthentication.ENCAPSULATED, MutualAuthentication.IMPLICIT_DIGESTS)
MODES = (MutualAuthentication.REQUESTED, *ENCAPSULATED)


def asking(
    mode: MutualAuthentication = MutualAuthentication.NONE,
    *,
    roots: tuple[Certificate, ...] = (),
    key_type: KeyType = KeyType.ECDSA_P384,
    clear: bool = False,
    basic: bool = False,
    insists: bool = False,
    data_transfer_size: int = 0x1200,
) -> Device:
    sessions = SessionSettings(mutual=mode, clear_handshake=clear, basic_mutual=basic, insists=insists)
    device = session_device(sessions, data_transfer_size=data_transfer_size)
    device.hardware.requester_roots = roots
    if mode is MutualAuthentication.REQUESTED:
        device.hardware.requester_chain = requester_credentials(key_type).chain
    return device


def introduced(
    device: Device,
    version: Version,
    *,
    key_type: KeyType = KeyType.ECDSA_P384,
    extra: Capability = NONE,
    binding: Binding = Binding.PCI_DOE,
    slot: int = 0,
    size: int | None = None,
) -> tuple[Talk, Host]:
    offer = as_requester(with_sessions(Offer()), key_type, extra)
    if size is not None:
        offer = replace(offer, data_transfer_size=size)
    talk = converse(device, offer, version, binding)
    return talk, Host(talk.requester, key_type, slot)


# -- in sessions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_requester_is_known_in_each_form(version: Version, mode: MutualAuthentication, clear: bool) -> None:
    root = requester_vendor().certificate
    device = asking(mode, roots=(root,), clear=clear)
    talk, host = introduced(device, version, extra=CLEAR)
    session = talk.open(host).session
    ours = device.talk.sessions.all()[0]
    assert ours.requester is not None
    assert ours.requester.leaf == requester_credentials(KeyType.ECDSA_P384).leaf
    asked = {RequestCode.GET_DIGESTS, RequestCode.GET_CERTIFICATE} if mode in ENCAPSULATED else set()
    assert set(host.asked) == asked
    use(talk, session)
    talk.run(session.end())


@pytest.mark.parametrize("mode", ENCAPSULATED)
@pytest.mark.parametrize("binding", Binding)
def test_questions_travel_on_every_transport(binding: Binding, mode: MutualAuthentication) -> None:
    talk, host = introduced(asking(mode), Version.V13, binding=binding)
    use(talk, talk.open(host).session)


@pytest.mark.parametrize("key_type", [KeyType.RSA_3072, KeyType.ECDSA_P256, KeyType.ED25519, KeyType.ML_DSA_44])
@pytest.mark.parametrize("mode", MODES)
def test_a_requester_may_have_any_key(mode: MutualAuthentication, key_type: KeyType) -> None:
    talk, host = introduced(asking(mode, key_type=key_type), Version.V14, key_type=key_type)
    use(talk, talk.open(host).session)


@pytest.mark.parametrize("mode", ENCAPSULATED)
def test_a_requester_may_have_its_chain_in_any_slot(mode: MutualAuthentication) -> None:
    for version in VERSIONS:
        talk, host = introduced(asking(mode), version, slot=5)
        use(talk, talk.open(host).session)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("size", [42, 256])
@pytest.mark.parametrize("mode", ENCAPSULATED)
def test_questions_fit_through_small_transfers(mode: MutualAuthentication, size: int, clear: bool) -> None:
    device = asking(mode, clear=clear, data_transfer_size=size)
    talk, host = introduced(device, Version.V12, size=size, extra=CLEAR, binding=Binding.MCTP)
    use(talk, talk.open(host).session)


def test_several_sessions_each_know_their_requester() -> None:
    device = asking(MutualAuthentication.ENCAPSULATED)
    talk, host = introduced(device, Version.V12)
    first = talk.open(host).session
    second = talk.open(host, talk.plan(1)).session
    assert all(one.requester for one in device.talk.sessions.all())
    use(talk, first)
    use(talk, second)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_requester_that_signs_with_another_key_gets_no_session(mode: MutualAuthentication, clear: bool) -> None:
    device = asking(mode, clear=clear)
    talk, host = introduced(device, Version.V12, extra=CLEAR)
    host.spoil = True
    refused(ErrorCode.DECRYPT_ERROR, lambda: talk.open(host))
    assert not device.talk.sessions.all()


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("mode", ENCAPSULATED)
def test_a_requester_of_another_root_gets_no_session(mode: MutualAuthentication, clear: bool) -> None:
    device = asking(mode, roots=(vendor().certificate,), clear=clear)
    talk, host = introduced(device, Version.V12, extra=CLEAR)
    refused(ErrorCode.INVALID_RESPONSE_CODE, lambda: talk.open(host))
    assert all(one.talk.state is State.HANDSHAKE for one in device.talk.sessions.all())


@pytest.mark.parametrize("code", [RequestCode.GET_DIGESTS, RequestCode.GET_CERTIFICATE])
def test_a_requester_that_does_not_answer_gets_no_session(code: RequestCode) -> None:
    talk, host = introduced(asking(MutualAuthentication.ENCAPSULATED), Version.V12)
    host.refuse = frozenset({code})
    refused(ErrorCode.INVALID_RESPONSE_CODE, lambda: talk.open(host))


def test_a_requester_that_cannot_tell_is_served_unless_the_device_insists() -> None:
    for version in VERSIONS:
        talk = converse(asking(MutualAuthentication.ENCAPSULATED), version=version)
        use(talk, talk.open().session)
        demanding = converse(asking(MutualAuthentication.ENCAPSULATED, insists=True), version=version)
        code = ErrorCode.INVALID_POLICY if version >= Version.V13 else ErrorCode.UNSPECIFIED
        refused(code, demanding.open)


@pytest.mark.parametrize("mode", MODES)
def test_a_finish_without_the_signature_that_was_asked_for_makes_no_session(
    mode: MutualAuthentication, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, host = introduced(asking(mode), Version.V12)
    monkeypatch.setattr(handshake, "_check_mutual", lambda *_: MutualAuthentication.NONE)
    refused(ErrorCode.INVALID_REQUEST, lambda: talk.open(host))
    assert talk.device.talk.sessions.all()[0].talk.state is State.HANDSHAKE


def test_a_signature_that_nobody_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    device = asking(MutualAuthentication.NONE, basic=True)
    talk, host = introduced(device, Version.V12)
    monkeypatch.setattr(handshake, "_check_mutual", lambda *_: MutualAuthentication.REQUESTED)
    refused(ErrorCode.INVALID_REQUEST, lambda: talk.open(host))


def test_a_requester_that_is_known_signs_for_the_slot_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    start = push_finish_start
    monkeypatch.setattr(
        handshake, "push_finish_start", lambda version, attributes, slot: start(version, attributes, slot ^ 1)
    )
    talk, host = introduced(asking(MutualAuthentication.REQUESTED), Version.V12)
    refused(ErrorCode.INVALID_REQUEST, lambda: talk.open(host))


@pytest.mark.parametrize("version", [Version.V13, Version.V14])
@pytest.mark.parametrize("mode", ENCAPSULATED)
def test_the_digests_of_a_requester_with_several_keys_enter_the_transcript(
    mode: MutualAuthentication, version: Version
) -> None:
    talk, host = introduced(asking(mode), version, extra=Capability.MULTI_KEY_ONLY)
    host.multi_key = True
    session = talk.open(host).session
    assert session.terms.requester_multi_key
    use(talk, session)


@pytest.mark.parametrize(("version", "asked"), [(Version.V12, True), (Version.V13, False), (Version.V14, False)])
def test_encapsulation_is_implied_by_mutual_authentication_on_1_2_only(version: Version, asked: bool) -> None:
    offer = as_requester(with_sessions(Offer()))
    offer = replace(offer, requester_flags=offer.requester_flags & ~Capability.ENCAP)
    talk = converse(asking(MutualAuthentication.ENCAPSULATED), offer, version)
    talk.open(Host(talk.requester))
    assert (talk.device.talk.sessions.all()[0].requester is not None) is asked


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: replace(answer, slot=answer.slot ^ 1),
        lambda answer: replace(answer, portion=b"", remainder=answer.remainder + len(answer.portion)),
        lambda answer: replace(answer, portion=answer.portion + bytes(0x1000)),
        lambda answer: replace(answer, portion=bytes(len(answer.portion))),
        lambda answer: replace(answer, remainder=1),
    ],
    ids=["another slot", "an empty portion", "more than was asked for", "another chain", "no end"],
)
def test_a_chain_that_does_not_come_as_it_must_ends_the_interview(
    change: Callable[[CertificateResponse], CertificateResponse],
) -> None:
    talk, host = introduced(asking(MutualAuthentication.ENCAPSULATED), Version.V12)
    host.certificate = change
    refused(ErrorCode.INVALID_RESPONSE_CODE, lambda: talk.open(host))


# -- in CHALLENGE ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_challenge_is_answered_by_a_challenge(version: Version) -> None:
    device = asking(basic=True, roots=(requester_vendor().certificate,))
    talk, host = introduced(device, version)
    answer = talk.run(talk.requester.challenge(0))
    assert answer.param1 & 0x80
    talk.run(serve(talk.requester, host, MutualAuthentication.ENCAPSULATED))
    assert device.talk.requester is not None
    assert device.talk.requester.leaf == requester_credentials(KeyType.ECDSA_P384).leaf
    assert host.asked[-1] == RequestCode.CHALLENGE
    talk.run(talk.requester.digests())


def test_who_answered_a_challenge_need_not_answer_again_in_a_session() -> None:
    sessions = SessionSettings(mutual=MutualAuthentication.REQUESTED, basic_mutual=True)
    talk, host = introduced(session_device(sessions), Version.V12)
    talk.run(talk.requester.challenge(0))
    talk.run(serve(talk.requester, host, MutualAuthentication.ENCAPSULATED))
    use(talk, talk.open(host).session)


def test_a_challenge_answered_with_another_key_is_not_believed() -> None:
    device = asking(basic=True)
    talk, host = introduced(device, Version.V12)
    talk.run(talk.requester.challenge(0))
    host.spoil = True
    with pytest.raises(DeviceRefused):
        talk.run(serve(talk.requester, host, MutualAuthentication.ENCAPSULATED))
    assert device.talk.requester is None


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: replace(answer, chain_hash=bytes(len(answer.chain_hash))),
        lambda answer: replace(answer, param1=answer.param1 ^ 1),
        lambda answer: replace(answer, context=bytes(8)),
    ],
    ids=["chain hash", "slot", "context"],
)
def test_an_answer_to_another_challenge_is_not_believed(change: Callable[[ChallengeAuth], ChallengeAuth]) -> None:
    talk, host = introduced(asking(basic=True), Version.V13)
    talk.run(talk.requester.challenge(0))
    host.challenge = change
    with pytest.raises(DeviceRefused):
        talk.run(serve(talk.requester, host, MutualAuthentication.ENCAPSULATED))
    assert talk.device.talk.requester is None


def test_a_requester_without_a_certificate_is_not_challenged() -> None:
    talk = converse(asking(basic=True))
    assert not talk.run(talk.requester.challenge(0)).param1 & 0x80
    demanding = converse(asking(basic=True, insists=True), version=Version.V13)
    refused(ErrorCode.INVALID_POLICY, lambda: demanding.run(demanding.requester.challenge(0)))


# -- turns -----------------------------------------------------------------------------------------------------------


def test_while_a_question_is_open_nothing_else_is_answered() -> None:
    talk, host = introduced(asking(basic=True), Version.V12)
    talk.run(talk.requester.challenge(0))
    talk.run(talk.requester.digests())
    ask = GetEncapsulatedRequest(Version.V12).push()
    first = talk.line.carry(ask, secured=False)
    assert raw(talk, bytes.fromhex("12810000")).code == ErrorCode.REQUEST_IN_FLIGHT
    assert talk.line.carry(ask, secured=False) == first, "the same question again"
    wrong = DeliverEncapsulatedResponse(Version.V12, 9, host.answer(first[4:])).push()
    assert raw(talk, wrong).code == ErrorCode.INVALID_REQUEST
    right = DeliverEncapsulatedResponse(Version.V12, 1, host.answer(first[4:])).push()
    assert talk.line.carry(right, secured=False)[2] == 2


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("mode", ENCAPSULATED)
def test_a_finish_before_the_answers_is_refused(mode: MutualAuthentication, clear: bool) -> None:
    talk, host = introduced(asking(mode, clear=clear), Version.V12, extra=CLEAR)

    def skipping(*_: object) -> Flow[int]:
        yield from ()
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshake, "serve", skipping)
        refused(ErrorCode.UNEXPECTED_REQUEST, lambda: talk.open(host))
