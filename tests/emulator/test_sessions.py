from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.session_settings import PskSupport, SessionSettings
from cmakeys.emulator.sessions import OpenSession
from cmakeys.emulator.settings import MultiKey
from cmakeys.spdm.agreement import SUPPORTED_DHE, SUPPORTED_KEM
from cmakeys.spdm.algorithms import Aead, Dhe, Kem
from cmakeys.spdm.codes import Capability, ErrorCode, KeyOperation, RequestCode, ResponseCode, SummaryHash, Version
from cmakeys.spdm.effects import DeviceRefused, Send
from cmakeys.spdm.handshake import PreSharedKey, key_exchange, psk_exchange
from cmakeys.spdm.messages.encapsulated import DeliverEncapsulatedResponse
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.messages.finish import push_finish_start
from cmakeys.spdm.messages.header import push_header
from cmakeys.spdm.messages.opaque import SecuredVersion
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.schedule import TrafficSecret
from cmakeys.spdm.secured import MAX_APPLICATION, SUPPORTED_AEAD, Binding, Opener, Sealer, SessionType
from cmakeys.spdm.session import Session
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.spdm.wire import Reader
from tests.emulator.session_driver import PSK, Clock, NoAnswer, Talk, converse, session_device

VERSIONS = (Version.V11, Version.V12, Version.V13, Version.V14)
GROUPS = [one for one in Dhe if one & SUPPORTED_DHE] + [one for one in Kem if one & SUPPORTED_KEM]
AEADS = [one for one in Aead if one & SUPPORTED_AEAD]
NONE = Capability(0)
CLEAR = Capability.HANDSHAKE_IN_THE_CLEAR


def offer(
    extra: Capability = NONE,
    without: Capability = NONE,
    dhe: Dhe = SUPPORTED_DHE,
    kem: Kem = SUPPORTED_KEM,
    aead: Aead = SUPPORTED_AEAD,
) -> Offer:
    plain = with_sessions(Offer(), psk=True, dhe=dhe, kem=kem, aead=aead)
    return replace(plain, requester_flags=(plain.requester_flags | extra) & ~without)


def use(talk: Talk, session: Session) -> None:
    """Everything that a session is for, with the signature over the measurements checked."""
    inner = session.requester
    talk.inside(session, inner.measurements(0xFF, slot=0, raw=False, signed=True))
    assert inner.connection.measurements is not None
    assert talk.key is not None
    verify_statement(inner.connection.measurements.statement, talk.key)
    talk.inside(session, inner.digests())
    assert talk.inside(session, inner.certificate(0)) == talk.requester.connection.chains[0]
    if session.heartbeat_period:
        talk.run(session.heartbeat())
    if session.terms.key_update:
        for operation in (KeyOperation.UPDATE_ALL_KEYS, KeyOperation.UPDATE_KEY, KeyOperation.UPDATE_ALL_KEYS):
            talk.run(session.update_keys(operation))
            talk.inside(session, inner.digests())


def refused(code: ErrorCode, act: Callable[[], object]) -> None:
    with pytest.raises(DeviceRefused) as caught:
        act()
    assert caught.value.error.code == code


def raw(talk: Talk, message: bytes) -> ErrorResponse:
    """The ERROR that answers a message in the clear."""
    return ErrorResponse.pull(Reader(talk.line.carry(message, secured=False), "ERROR"))


def raw_answer(talk: Talk, session: Session, message: bytes) -> bytes:
    """What answers a message in a session, whatever the requester thinks of sending it."""
    record = session._sealer.seal(session.channel.binding.wrap(message))
    answer = session._opener.open(talk.line.carry(record, secured=True)).application
    return session.channel.binding.unwrap(answer)


def raw_inside(talk: Talk, session: Session, message: bytes) -> ErrorResponse:
    """The ERROR that answers a message in a session."""
    return ErrorResponse.pull(Reader(raw_answer(talk, session, message), "ERROR"))


# -- KEY_EXCHANGE ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("binding", Binding)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_carries_everything_on_every_version_and_transport(
    version: Version, binding: Binding, clear: bool
) -> None:
    device = session_device(SessionSettings(clear_handshake=clear, heartbeat=9))
    talk = converse(device, offer(CLEAR), version, binding)
    session = talk.open().session
    assert (session.state, session.heartbeat_period, session.terms.clear_handshake) == (State.SESSION, 9, clear)
    use(talk, session)
    talk.run(session.end())
    assert not device.talk.sessions.all()


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_makes_a_session(group: Dhe | Kem) -> None:
    dhe, kem = (group, Kem(0)) if isinstance(group, Dhe) else (Dhe(0), group)
    talk = converse(session_device(), offer(dhe=dhe, kem=kem), Version.V14)
    session = talk.open().session
    assert session.terms.agreement == group
    use(talk, session)


@pytest.mark.parametrize("binding", Binding)
@pytest.mark.parametrize("kind", SessionType)
@pytest.mark.parametrize("aead", AEADS)
def test_every_cipher_protects_records(aead: Aead, kind: SessionType, binding: Binding) -> None:
    settings = SessionSettings(encrypt=kind is SessionType.ENCRYPTED)
    talk = converse(session_device(settings), offer(aead=aead), Version.V13, binding)
    session = talk.open().session
    assert (session.terms.aead, session.terms.kind) == (aead, kind)
    use(talk, session)


@pytest.mark.parametrize("summary", SummaryHash)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_summary_of_measurements_is_what_challenge_gives(version: Version, summary: SummaryHash) -> None:
    talk = converse(session_device(), version=version)
    established = talk.open(plan=talk.plan(summary=summary))
    assert established.summary_hash == talk.run(talk.requester.challenge(0, summary)).summary_hash
    assert bool(established.summary_hash) == (summary is not SummaryHash.NONE)


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.ECDSA_P521, KeyType.ED25519, KeyType.ML_DSA_65])
def test_every_kind_of_key_signs_the_exchange(key_type: KeyType) -> None:
    use(talk := converse(session_device(key_type=key_type), version=Version.V14), talk.open().session)


@pytest.mark.parametrize("version", [Version.V12, Version.V13, Version.V14])
@pytest.mark.parametrize("size", [42, 64, 256])
def test_a_session_fits_through_small_transfers(size: int, version: Version) -> None:
    small = replace(offer(), data_transfer_size=size)
    settings = SessionSettings(psk=PskSupport.WITH_CONTEXT, heartbeat=9)
    talk = converse(session_device(settings, data_transfer_size=size), small, version, Binding.MCTP)
    use(talk, talk.open().session)
    use(talk, talk.open_psk(plan=talk.plan(1)).session)


@pytest.mark.parametrize("multi_key", [MultiKey.ONLY, MultiKey.NEGOTIABLE])
@pytest.mark.parametrize("version", [Version.V13, Version.V14])
def test_digests_enter_the_transcript_of_multi_key_connections(version: Version, multi_key: MultiKey) -> None:
    device = session_device(multi_key=multi_key)
    talk = converse(device, replace(offer(), multi_key=True), version)
    talk.run(talk.requester.digests())
    assert device.talk.first_digests
    use(talk, talk.open().session)


def test_the_highest_common_version_of_secured_messages_is_selected() -> None:
    device = session_device(SessionSettings(secured_versions=(SecuredVersion.V10, SecuredVersion.V11)))
    talk = converse(device)
    talk.open()
    plan = replace(talk.plan(0xFFFE), secured_versions=frozenset({SecuredVersion.V12}))
    refused(ErrorCode.INVALID_REQUEST, lambda: talk.open(plan=plan))


def test_a_key_exchange_for_an_empty_slot_is_refused() -> None:
    talk = converse(session_device())
    talk.requester.connection.chains[3] = talk.requester.connection.chains[0]
    refused(ErrorCode.INVALID_REQUEST, lambda: talk.open(plan=replace(talk.plan(), slot=3)))


def test_a_transport_without_records_has_no_sessions() -> None:
    device = session_device()
    device.respond(GetVersion().push(), binding=None)
    answer = device.respond(Offer().get_capabilities(Version.V12).push(), binding=None)
    assert answer is not None
    assert not int.from_bytes(answer[8:12], "little") & int(Capability.KEY_EX | Capability.MAC)


def test_a_device_without_sessions_announces_none_and_makes_none() -> None:
    device = session_device()
    device.hardware.settings = replace(device.hardware.settings, sessions=None)
    talk = converse(device)
    assert not talk.requester.connection.has(Capability.KEY_EX, Capability.MAC, Capability.ENCAP)
    error = raw(talk, push_header(Version.V12, RequestCode.KEY_EXCHANGE) + bytes(200))
    assert (error.code, error.data) == (ErrorCode.UNSUPPORTED_REQUEST, RequestCode.KEY_EXCHANGE)


# -- PSK_EXCHANGE ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("psk", [PskSupport.WITHOUT_CONTEXT, PskSupport.WITH_CONTEXT])
@pytest.mark.parametrize("binding", Binding)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_pre_shared_key_makes_a_session(version: Version, binding: Binding, psk: PskSupport) -> None:
    talk = converse(session_device(SessionSettings(psk=psk, heartbeat=1)), offer(), version, binding)
    session = talk.open_psk().session
    assert session.state is State.SESSION
    use(talk, session)
    talk.run(session.end())


def test_pre_shared_keys_alone_are_enough() -> None:
    device = session_device(SessionSettings(key_exchange=False, psk=PskSupport.WITH_CONTEXT))
    talk = converse(device, offer(without=Capability.KEY_EX))
    use(talk, talk.open_psk().session)
    error = raw(talk, push_header(Version.V12, RequestCode.KEY_EXCHANGE))
    assert (error.code, error.data) == (ErrorCode.UNSUPPORTED_REQUEST, RequestCode.KEY_EXCHANGE)


def test_an_unknown_hint_is_refused() -> None:
    talk = converse(session_device(SessionSettings(psk=PskSupport.WITH_CONTEXT)), offer())
    refused(ErrorCode.INVALID_REQUEST, lambda: talk.open_psk(PreSharedKey(b"another", PSK.key)))


def test_a_requester_without_the_key_is_found_out_by_its_own_check() -> None:
    talk = converse(session_device(SessionSettings(psk=PskSupport.WITH_CONTEXT)), offer())
    with pytest.raises(ProtocolViolation, match="ResponderVerifyData"):
        talk.open_psk(PreSharedKey(PSK.hint, b"not the key"))


# -- several sessions, and their ends --------------------------------------------------------------------------------


def test_sessions_stand_beside_each_other_up_to_the_limit() -> None:
    device = session_device(SessionSettings(psk=PskSupport.WITH_CONTEXT))
    talk = converse(device, offer(), binding=Binding.MCTP)
    sessions = [talk.open(plan=talk.plan(0xFFFF - number)).session for number in range(3)]
    sessions.append(talk.open_psk(plan=talk.plan(0xFFF0)).session)
    assert len({session.channel.session_id for session in sessions}) == 4
    for session in (*sessions, *reversed(sessions)):
        talk.inside(session, session.requester.digests())
    refused(ErrorCode.SESSION_LIMIT_EXCEEDED, lambda: talk.open(plan=talk.plan(7)))
    talk.run(sessions[1].end())
    use(talk, talk.open(plan=talk.plan(7)).session)
    talk.inside(sessions[0], sessions[0].requester.digests())


def test_one_number_chosen_twice_by_the_requester_gives_two_sessions() -> None:
    talk = converse(session_device())
    first, second = talk.open().session, talk.open().session
    assert first.channel.session_id != second.channel.session_id
    use(talk, first)
    use(talk, second)


def test_an_ended_session_is_not_known_any_more() -> None:
    talk = converse(session_device())
    session = talk.open().session
    end, late = (
        session._sealer.seal(push_header(Version.V12, code))
        for code in (RequestCode.END_SESSION, RequestCode.GET_DIGESTS)
    )
    assert talk.device.respond(end, secured=True)
    assert talk.device.respond(late, secured=True) is None


@pytest.mark.parametrize("record", [b"", b"\xff", b"\x01\x02\x03\x04\x10\x00" + bytes(16)])
def test_a_record_of_no_session_is_not_answered(record: bytes) -> None:
    talk = converse(session_device())
    talk.open()
    assert talk.device.respond(record, secured=True) is None


@pytest.mark.parametrize("binding", Binding)
def test_a_record_that_does_not_authenticate_ends_its_session_and_no_other(binding: Binding) -> None:
    talk = converse(session_device(), binding=binding)
    bystander, session = talk.open().session, talk.open(plan=talk.plan(1)).session
    talk.line.meddle_request = lambda record: record[:-1] + bytes((record[-1] ^ 1,))
    refused(ErrorCode.DECRYPT_ERROR, lambda: talk.inside(session, session.requester.digests()))
    talk.line.meddle_request = None
    assert [one.channel.session_id for one in talk.device.talk.sessions.all()] == [bystander.channel.session_id]
    talk.inside(bystander, bystander.requester.digests())


@pytest.mark.parametrize("binding", Binding)
def test_a_record_sent_twice_ends_the_session(binding: Binding) -> None:
    talk = converse(session_device(), binding=binding)
    session = talk.open().session
    record = session._sealer.seal(binding.wrap(push_header(Version.V12, RequestCode.GET_DIGESTS)))
    assert talk.device.respond(record, secured=True)
    assert talk.device.respond(record, secured=True)
    assert not talk.device.talk.sessions.all()
    assert talk.device.respond(record, secured=True) is None


def test_a_new_get_version_ends_every_session() -> None:
    talk = converse(session_device())
    session = talk.open().session
    record = session._sealer.seal(push_header(Version.V12, RequestCode.GET_DIGESTS))
    (ours,) = talk.device.talk.sessions.all()
    talk.line.carry(GetVersion().push(), secured=False)
    assert talk.device.respond(record, secured=True) is None
    assert ours.over


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("psk", [False, True])
def test_a_wrong_proof_of_the_keys_ends_the_session(clear: bool, psk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SessionSettings(clear_handshake=clear, psk=PskSupport.WITH_CONTEXT)
    talk = converse(session_device(settings), offer(CLEAR))
    talk.open()
    monkeypatch.setattr(TrafficSecret, "verifies", lambda self, data, transcript: True)
    monkeypatch.setattr(TrafficSecret, "verify_data", lambda self, transcript: bytes(48))
    monkeypatch.setattr(OpenSession, "verifies", lambda self, data, transcript: any(data))
    refused(ErrorCode.DECRYPT_ERROR, lambda: talk.open_psk() if psk else talk.open())
    assert len(talk.device.talk.sessions.all()) == 1


# -- heartbeat and policy --------------------------------------------------------------------------------------------


def test_a_silent_session_is_over_after_two_periods() -> None:
    clock = Clock()
    talk = converse(session_device(SessionSettings(heartbeat=10), clock=clock))
    session = talk.open().session
    clock.now += 19
    talk.run(session.heartbeat())
    clock.now += 19
    talk.inside(session, session.requester.digests())
    clock.now += 21
    with pytest.raises(NoAnswer):
        talk.run(session.heartbeat())
    assert not talk.device.talk.sessions.all()


def test_a_session_without_heartbeat_lives_as_long_as_it_likes() -> None:
    clock = Clock()
    talk = converse(session_device(clock=clock))
    session = talk.open().session
    clock.now += 1e9
    talk.inside(session, session.requester.digests())


def test_a_requester_without_heartbeats_is_asked_for_none() -> None:
    talk = converse(session_device(SessionSettings(heartbeat=10)), offer(without=Capability.HBEAT))
    session = talk.open().session
    assert session.heartbeat_period == 0
    error = raw_inside(talk, session, push_header(Version.V12, RequestCode.HEARTBEAT))
    assert (error.code, error.data) == (ErrorCode.UNSUPPORTED_REQUEST, RequestCode.HEARTBEAT)


@pytest.mark.parametrize(("policy", "survives"), [(0, False), (1, True)])
def test_the_policy_decides_whether_a_session_outlives_a_firmware_change(policy: int, survives: bool) -> None:
    talk = converse(session_device())
    session = talk.open(plan=talk.plan(policy=policy)).session
    talk.device.hardware.change_firmware(b"firmware 2")
    assert bool(talk.device.talk.sessions.all()) is survives
    if survives:
        talk.inside(session, session.requester.digests())


# -- KEY_UPDATE ------------------------------------------------------------------------------------------------------


def test_an_update_is_verified_before_the_next_and_never_without_one() -> None:
    talk = converse(session_device())
    session = talk.open().session
    verify = push_header(Version.V12, RequestCode.KEY_UPDATE, KeyOperation.VERIFY_NEW_KEY, 1)
    assert raw_inside(talk, session, verify).code == ErrorCode.INVALID_REQUEST
    unknown = push_header(Version.V12, RequestCode.KEY_UPDATE, 4, 1)
    assert raw_inside(talk, session, unknown).code == ErrorCode.INVALID_REQUEST
    update = push_header(Version.V12, RequestCode.KEY_UPDATE, KeyOperation.UPDATE_KEY, 1)
    session._opener.open(talk.line.carry(session._sealer.seal(update), secured=True))
    session._sealer = session._sealer_of(session._current().request.updated())
    assert raw_inside(talk, session, update).code == ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("version", VERSIONS)
def test_the_device_updates_its_own_key(version: Version) -> None:
    talk = converse(session_device(), offer(Capability.ENCAP), version)
    session, other = talk.open().session, talk.open(plan=talk.plan(1)).session
    assert talk.device.request_key_update() == 2
    assert talk.device.request_key_update() == 0, "the first one is still to be fetched"
    before = session._current().response
    talk.run(session.serve())
    assert session._current().response == before.updated()
    talk.inside(session, session.requester.digests())
    talk.run(other.serve())
    use(talk, other)
    talk.run(session.update_keys())
    use(talk, session)


def test_a_requester_that_takes_no_questions_is_asked_none() -> None:
    talk = converse(session_device())
    talk.open()
    assert talk.device.request_key_update() == 0


@pytest.mark.parametrize(
    ("version", "code"), [(Version.V12, ErrorCode.UNEXPECTED_REQUEST), (Version.V13, ErrorCode.NO_PENDING_REQUESTS)]
)
def test_with_nothing_to_ask_the_device_says_so(version: Version, code: ErrorCode) -> None:
    talk = converse(session_device(), offer(Capability.ENCAP), version)
    session = talk.open().session
    message = push_header(version, RequestCode.GET_ENCAPSULATED_REQUEST)
    assert raw_inside(talk, session, message).code == code
    delivered = push_header(version, RequestCode.DELIVER_ENCAPSULATED_RESPONSE) + push_header(
        version, ResponseCode.KEY_UPDATE_ACK
    )
    assert raw_inside(talk, session, delivered).code == ErrorCode.UNEXPECTED_REQUEST


@pytest.mark.parametrize("refusal", [True, False])
def test_a_requester_that_will_not_update_keeps_the_key(refusal: bool) -> None:
    talk = converse(session_device(), offer(Capability.ENCAP))
    session = talk.open().session
    talk.device.request_key_update()
    question = raw_answer(talk, session, push_header(Version.V12, RequestCode.GET_ENCAPSULATED_REQUEST))
    said = ErrorResponse(Version.V12, ErrorCode.BUSY).push()
    if not refusal:
        said = push_header(Version.V12, ResponseCode.KEY_UPDATE_ACK, question[6], question[7] ^ 1)
    answer = raw_answer(talk, session, DeliverEncapsulatedResponse(Version.V12, 1, said).push())
    expected = ResponseCode.ENCAPSULATED_RESPONSE_ACK if refusal else ResponseCode.ERROR
    assert answer[1] == expected
    assert answer[2] == (0 if refusal else ErrorCode.INVALID_RESPONSE_CODE)
    assert talk.device.talk.sessions.all()[0].talk.interview is None
    talk.inside(session, session.requester.digests())


# -- application data ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("01 87 00 02", "01 07 00 02 00 01"), ("01 80 00 04 aa", "01 00 00 04 05"), ("01 80 02 02", "01 00 02 02 05")],
)
def test_a_session_carries_other_protocols_over_mctp(asked: str, answered: str) -> None:
    talk = converse(session_device(), binding=Binding.MCTP)
    session = talk.open().session
    assert talk.run(session.application(bytes.fromhex(asked), 1.0)).hex(" ") == answered
    use(talk, session)


@pytest.mark.parametrize("binding", [Binding.MCTP, Binding.TCP])
@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x00\x00\x02", b"\x7e\x80\x00\x02\x00"])
def test_application_data_that_is_nobodys_is_not_answered(data: bytes, binding: Binding) -> None:
    talk = converse(session_device(), binding=binding)
    session = talk.open().session
    assert talk.device.respond(session._sealer.seal(data), secured=True) is None
    talk.inside(session, session.requester.digests())


# -- what may be asked when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "code",
    [
        RequestCode.HEARTBEAT,
        RequestCode.KEY_UPDATE,
        RequestCode.END_SESSION,
        RequestCode.PSK_FINISH,
        RequestCode.FINISH,
    ],
)
def test_what_only_sessions_have_needs_one(code: RequestCode, version: Version) -> None:
    talk = converse(session_device(SessionSettings(psk=PskSupport.WITH_CONTEXT, heartbeat=9)), offer(), version)
    expected = ErrorCode.SESSION_REQUIRED if version >= Version.V12 else ErrorCode.UNSPECIFIED
    assert raw(talk, push_header(version, code) + bytes(80)).code == expected


@pytest.mark.parametrize("code", [RequestCode.CHALLENGE, RequestCode.KEY_EXCHANGE, RequestCode.GET_VERSION])
def test_what_begins_something_new_is_unexpected_in_a_session(code: RequestCode) -> None:
    talk = converse(session_device())
    session = talk.open().session
    version = Version.V10 if code is RequestCode.GET_VERSION else Version.V12
    assert raw_inside(talk, session, push_header(version, code) + bytes(200)).code == ErrorCode.UNEXPECTED_REQUEST
    use(talk, session)


def test_a_finish_with_nothing_to_finish_is_unexpected() -> None:
    talk = converse(session_device(SessionSettings(clear_handshake=True)), offer(CLEAR))
    finish = push_finish_start(Version.V12, 0, 0) + bytes(48)
    assert raw(talk, finish).code == ErrorCode.UNEXPECTED_REQUEST
    session = talk.open().session
    assert raw(talk, finish).code == ErrorCode.UNEXPECTED_REQUEST
    assert raw_inside(talk, session, finish).code == ErrorCode.UNEXPECTED_REQUEST


def handshaking(talk: Talk, device_session: OpenSession, message: bytes) -> bytes:
    """What answers a message that is sent with the keys of a handshake."""
    channel, secrets = device_session.channel, device_session._secrets
    record = Sealer(channel, secrets.request.keys(channel.aead)).seal(channel.binding.wrap(message))
    answer = talk.device.respond(record, secured=True)
    assert answer is not None
    return channel.binding.unwrap(Opener(channel, secrets.response.keys(channel.aead)).open(answer).application)


def test_a_finish_in_the_clear_is_not_taken_in_a_record() -> None:
    talk = converse(session_device(SessionSettings(clear_handshake=True)), offer(CLEAR))
    assert talk.key is not None
    finish = talk.line.until(key_exchange(talk.requester, talk.plan(), talk.key), RequestCode.FINISH)
    (ours,) = talk.device.talk.sessions.all()
    assert handshaking(talk, ours, finish)[2] == ErrorCode.UNEXPECTED_REQUEST
    assert talk.line.carry(finish, secured=False)[1] == ResponseCode.FINISH_RSP


def test_each_kind_of_session_is_finished_in_its_own_way() -> None:
    settings = SessionSettings(clear_handshake=True, psk=PskSupport.WITH_CONTEXT)
    talk = converse(session_device(settings), offer(CLEAR))
    assert talk.key is not None
    finish = talk.line.until(key_exchange(talk.requester, talk.plan(), talk.key), RequestCode.FINISH)
    (by_exchange,) = talk.device.talk.sessions.all()
    psk_finish = push_header(Version.V12, RequestCode.PSK_FINISH) + bytes(48)
    assert handshaking(talk, by_exchange, psk_finish)[2] == ErrorCode.UNEXPECTED_REQUEST
    flow = psk_exchange(talk.requester, talk.plan(1), PSK)
    first = next(flow)
    assert isinstance(first, Send)
    flow.send(talk.line.carry(first.message, secured=False))
    by_psk = talk.device.talk.sessions.all()[-1]
    assert by_psk.psk
    assert talk.line.carry(finish, secured=False)[1] == ResponseCode.FINISH_RSP, "the one by key exchange is meant"
    assert handshaking(talk, by_psk, finish)[2] == ErrorCode.UNEXPECTED_REQUEST


def test_a_message_of_a_session_fits_a_record() -> None:
    large = replace(offer(), data_transfer_size=0x30000)
    talk = converse(session_device(data_transfer_size=0x28000), large)
    talk.open()
    (ours,) = talk.device.talk.sessions.all()
    assert talk.device.talk.transfer_size() == 0x28000
    assert ours.talk.transfer_size() == MAX_APPLICATION - 4


def test_the_negotiated_state_cannot_be_cleared_where_none_is_kept() -> None:
    talk = converse(session_device())
    session = talk.open().session
    assert raw_inside(talk, session, push_header(Version.V12, RequestCode.END_SESSION, 1)).code == (
        ErrorCode.INVALID_REQUEST
    )
    talk.run(session.end())
