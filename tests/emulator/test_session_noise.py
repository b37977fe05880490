"""Hostile requesters: whatever arrives, in the clear or in a session, the device answers a message or keeps silent."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from cmakeys.emulator.device import SERVICES
from cmakeys.emulator.session_settings import PskSupport, SessionSettings
from cmakeys.spdm.codes import Capability, MutualAuthentication, RequestCode, ResponseCode, Version
from cmakeys.spdm.messages.encapsulated import DeliverEncapsulatedResponse, GetEncapsulatedRequest
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.terms import with_sessions
from tests.emulator.session_driver import MUTUAL, Host, Talk, as_requester, converse, session_device
from tests.emulator.test_sessions import offer, use

EVERYTHING = SessionSettings(
    psk=PskSupport.WITH_CONTEXT, heartbeat=9, mutual=MutualAuthentication.ENCAPSULATED, basic_mutual=True
)
KNOWN = {int(code) for code in ResponseCode}
versions = st.sampled_from([Version.V11, Version.V12, Version.V13, Version.V14])
bodies = st.one_of(st.binary(max_size=80), st.binary(min_size=150, max_size=600))


def messages(version: Version) -> st.SearchStrategy[bytes]:
    """Known requests with anything in them, and plain noise."""
    known = st.tuples(st.sampled_from(sorted(SERVICES)), bodies).map(lambda pair: bytes((version, pair[0])) + pair[1])
    chunks = bodies.map(lambda body: bytes((version, RequestCode.CHUNK_SEND)) + body)
    return st.one_of(known, chunks, bodies)


@cache
def chain_holder() -> None:
    """Keys are made before the clock of the first example runs."""
    converse(session_device())


def answered(octets: bytes | None) -> None:
    assert octets is None or octets[1] in KNOWN


@given(st.data())
def test_noise_in_the_clear_leaves_open_sessions_alone(data: st.DataObject) -> None:
    chain_holder()
    version = data.draw(versions)
    talk = converse(session_device(EVERYTHING), offer(), version)
    session = talk.open_psk().session
    for message in data.draw(st.lists(messages(version).filter(lambda one: one[:2] != b"\x10\x84"), max_size=8)):
        answered(talk.device.respond(message))
    talk.inside(session, session.requester.digests())


@given(st.data())
def test_noise_in_a_session_is_answered_in_it(data: st.DataObject) -> None:
    chain_holder()
    version, binding = data.draw(versions), data.draw(st.sampled_from(Binding))
    talk = converse(session_device(EVERYTHING), offer(Capability.ENCAP), version, binding)
    session = talk.open_psk().session
    unkeyed = messages(version).filter(
        lambda one: one[1:2] not in (bytes((RequestCode.KEY_UPDATE,)), bytes((RequestCode.END_SESSION,)))
    )
    for message in data.draw(st.lists(unkeyed.filter(lambda one: len(one) >= 4), max_size=8)):
        record = talk.device.respond(session._sealer.seal(binding.wrap(message)), secured=True)
        assert record is not None
        answered(binding.unwrap(session._opener.open(record).application))
    assert len(talk.device.talk.sessions.all()) == 1


@given(st.lists(st.binary(max_size=120), max_size=5))
def test_records_of_noise_end_a_session_at_most(noise: list[bytes]) -> None:
    chain_holder()
    talk = converse(session_device())
    first, second = talk.open().session, talk.open(plan=talk.plan(1)).session
    for body in noise:
        record = first.channel.session_id.to_bytes(4, "little") + body
        talk.device.respond(record, secured=True)
        talk.device.respond(body, secured=True)
    use(talk, second)


@given(st.data())
def test_answers_of_noise_end_an_interview_and_nothing_else(data: st.DataObject) -> None:
    chain_holder()
    version = data.draw(versions)
    talk, host = introduced(version)
    talk.run(talk.requester.challenge(0))
    ask = GetEncapsulatedRequest(version).push()
    question = talk.line.carry(ask, secured=False)
    honest = data.draw(st.integers(min_value=0, max_value=3))
    for _ in range(honest):
        answer = DeliverEncapsulatedResponse(version, question[2], host.answer(inner(question))).push()
        question = talk.line.carry(answer, secured=False)
    if question[2]:
        noise = data.draw(st.one_of(bodies, bodies.map(lambda body: host.answer(inner(question))[:4] + body)))
        answered(talk.device.respond(DeliverEncapsulatedResponse(version, question[2], noise).push()))
    assert talk.device.talk.requester is None or honest
    answered(talk.device.respond(bytes((version, RequestCode.GET_DIGESTS, 0, 0))))


def introduced(version: Version) -> tuple[Talk, Host]:
    talk = converse(session_device(EVERYTHING), as_requester(with_sessions(Offer()), extra=MUTUAL), version)
    return talk, Host(talk.requester)


def inner(question: bytes) -> bytes:
    """The question in an ENCAPSULATED_REQUEST or in an acknowledgement, which is longer since 1.2."""
    acknowledgement = question[1] == ResponseCode.ENCAPSULATED_RESPONSE_ACK and question[0] >= Version.V12
    return question[8 if acknowledgement else 4 :]
