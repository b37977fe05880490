"""Whatever a device does, collecting from it ends in evidence."""

from __future__ import annotations

import pytest

from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.errors import Temporary
from cmakeys.evidence.live import Question, collect, not_reached
from cmakeys.evidence.model import EndingKind
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseHash
from cmakeys.spdm.codes import ErrorCode, RequestCode, Version
from cmakeys.spdm.effects import Limits
from cmakeys.spdm.offer import Offer
from cmakeys.transports.base import Deadline
from tests.evidence.loopback import ADDRESS, IDENTITY, NOW, Answers, Loopback, attest, credentials, device


def test_a_whole_attestation_is_complete() -> None:
    evidence = attest()
    assert evidence.ending.kind is EndingKind.COMPLETE
    assert (evidence.device, evidence.identity, evidence.collected_at) == (ADDRESS, IDENTITY, NOW)
    asked = [RequestCode(exchange.request[1]) for exchange in evidence.exchanges]
    assert asked[:3] == [RequestCode.GET_VERSION, RequestCode.GET_CAPABILITIES, RequestCode.NEGOTIATE_ALGORITHMS]
    assert RequestCode.CHALLENGE in asked
    assert asked[-1] == RequestCode.GET_MEASUREMENTS


def test_padding_of_the_transport_is_not_kept() -> None:
    evidence = collect(Loopback(device(), padding=b"\0\0\0"), Deadline.after(30), now=NOW)
    assert evidence.ending.kind is EndingKind.COMPLETE
    assert [len(e.response) for e in evidence.exchanges] == [len(e.response) for e in attest().exchanges]


@pytest.mark.parametrize("answered", range(9))
def test_a_device_that_falls_silent_is_unreachable(answered: int) -> None:
    evidence = collect(Loopback(device(), silent_after=answered), Deadline.after(30), now=NOW)
    assert evidence.ending.kind in (EndingKind.UNREACHABLE, EndingKind.COMPLETE)
    assert evidence.ending.kind is EndingKind.UNREACHABLE or answered >= len(evidence.exchanges)
    assert len(evidence.exchanges) <= answered


def test_a_device_that_is_always_busy_is_unreachable_within_its_bounds() -> None:
    lie = Answers(RequestCode.CHALLENGE, ErrorCode.BUSY)
    question = Question(limits=Limits(busy_retries=3, busy_delay=0.0001))
    evidence = attest(device(None, lie), question=question)
    assert evidence.ending.kind is EndingKind.UNREACHABLE
    assert "busy" in evidence.ending.message
    assert sum(exchange.request[1] == RequestCode.CHALLENGE for exchange in evidence.exchanges) == 4


@pytest.mark.parametrize(
    ("request_code", "step"),
    [
        (RequestCode.NEGOTIATE_ALGORITHMS, 1),
        (RequestCode.GET_DIGESTS, 2),
        (RequestCode.GET_CERTIFICATE, 2),
        (RequestCode.CHALLENGE, 11),
        (RequestCode.GET_MEASUREMENTS, 12),
    ],
)
def test_an_error_answer_is_a_refusal_at_its_step(request_code: RequestCode, step: int) -> None:
    evidence = attest(device(None, Answers(request_code, ErrorCode.UNSPECIFIED)))
    assert (evidence.ending.kind, evidence.ending.step) == (EndingKind.REFUSED, step)
    assert evidence.exchanges[-1].request[1] == request_code


def test_no_common_version_is_a_refusal() -> None:
    emulated = device(settings=DeviceSettings(versions=(Version.V10, Version.V11)))
    evidence = attest(emulated, question=Question(Offer(versions=frozenset({Version.V12}))))
    assert (evidence.ending.kind, evidence.ending.step) == (EndingKind.REFUSED, 1)
    assert "1.0, 1.1" in evidence.ending.message


def test_a_chosen_nonce_is_asked_with_and_noted() -> None:
    nonce = bytes(range(32))
    evidence = attest(question=Question(nonce=nonce))
    asked = [e.request for e in evidence.exchanges if e.request[1] in (RequestCode.CHALLENGE,)]
    assert evidence.expected_nonce == nonce
    assert asked
    assert all(nonce in request for request in asked)


def test_fresh_nonces_never_repeat() -> None:
    nonces = set()
    for _ in range(3):
        evidence = attest()
        nonces |= {e.request[4:36] for e in evidence.exchanges if e.request[1] == RequestCode.CHALLENGE}
    assert len(nonces) == 3


def test_a_nonce_of_another_size_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Question(nonce=b"short")


def test_a_known_chain_is_not_read_again_but_kept_in_the_evidence() -> None:
    function = BASE_HASH_FUNCTIONS[BaseHash.SHA_384]
    structure = credentials().structure(function)
    evidence = attest(known_chains={function.digest(structure): structure})
    assert evidence.chains == (structure,)
    assert all(exchange.request[1] != RequestCode.GET_CERTIFICATE for exchange in evidence.exchanges)


def test_a_known_chain_that_the_device_does_not_have_stays_out() -> None:
    assert attest(known_chains={b"\0" * 48: b"another chain"}).chains == ()


def test_a_device_without_measurements_is_complete_all_the_same() -> None:
    evidence = attest(device(settings=DeviceSettings(measurements=MeasurementSupport.NONE)))
    assert evidence.ending.kind is EndingKind.COMPLETE


def test_no_connection_leaves_evidence_too() -> None:
    problem = Temporary("connection refused", object=ADDRESS, hint="start it")
    evidence = not_reached(ADDRESS, problem, now=NOW)
    assert evidence.ending.kind is EndingKind.UNREACHABLE
    assert (evidence.ending.message, evidence.ending.hint) == (f"{ADDRESS}: connection refused", "start it")


def test_bounded_messages_even_from_a_device_that_resynchronises_for_ever() -> None:
    transport = Loopback(device(None, Answers(RequestCode.GET_DIGESTS, ErrorCode.REQUEST_RESYNCH)))
    evidence = collect(transport, Deadline.after(30), now=NOW)
    assert evidence.ending.kind is EndingKind.UNREACHABLE
    assert len(transport.asked) == 3 * 4
