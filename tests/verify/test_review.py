"""Recorded conversations give their facts; hostile ones give a violation, never an exception."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.formats import read_evidence
from cmakeys.evidence.model import Evidence
from cmakeys.roots.root import Constraints, LeafNameRule, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.algorithms import BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import RequestCode
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms
from cmakeys.spdm.wire import Reader
from cmakeys.verify.facts import Facts
from cmakeys.verify.review import review
from cmakeys.verify.verdict import Outcome, Verdict
from cmakeys.verify.verifier import verify
from cmakeys.x509.certificate import Certificate
from tests.evidence import strategies as s
from tests.evidence.loopback import attest
from tests.verify.cases import failed_steps, judge

ROOT_OF = {
    "v10-doe-rsassa3072-sha256": "rsa3072",
    "v11-mctp-p256-sha256-session-encrypted-handshake": "ecp256",
    "v12-doe-p384-alias": "ecp384",
    "v12-mctp-p384-chunk256": "ecp384",
    "v12-mctp-p384-sha384": "ecp384",
    "v12-none-p256-sha256": "ecp256",
    "v12-tcp-p521-sha512": "ecp521",
    "v13-doe-p384-full": "ecp384",
    "v13-mctp-p384-sha384-multikey-session": "ecp384",
    "v14-doe-p384-sha384-session": "ecp384",
    "v14-mctp-mldsa65-mlkem768-session": "mldsa65",
    "qemu10-nvme-doe-v12-p384-session": "ecp384",
}


def recorded(shared_data: Path, name: str) -> Evidence:
    return read_evidence(shared_data / "captures" / f"{name}.pcap.raw.jsonl")


@pytest.mark.parametrize(("name", "folder"), ROOT_OF.items())
def test_every_recorded_attestation_is_trusted_under_its_root_and_no_other(
    shared_data: Path, name: str, folder: str
) -> None:
    evidence = recorded(shared_data, name)
    constraints = Constraints(leaf_name=LeafNameRule.DEVICE_INFO)
    now = datetime(2026, 11, 22, 23, tzinfo=UTC)
    trusted = set()
    for candidate in sorted(set(ROOT_OF.values())):
        der = (shared_data / "captures" / "roots" / candidate / "ca.cert.der").read_bytes()
        rootset = RootSet((Root(candidate, Certificate.from_der(der), constraints=constraints),))
        if verify(evidence, rootset, now=now).outcome is Outcome.TRUSTED:
            trusted.add(candidate)
    assert trusted == {folder}


def test_a_conversation_without_certificates_is_no_ground_for_trust(shared_data: Path) -> None:
    verdict = judge(recorded(shared_data, "v12-mctp-psk-sha384"))
    assert verdict.outcome is Outcome.REJECTED
    assert "no certificate chain" in verdict.summary


@given(s.evidence)
def test_any_evidence_gives_facts_and_a_verdict(evidence: Evidence) -> None:
    assert isinstance(review(evidence), Facts)
    assert isinstance(judge(evidence), Verdict)
    assert not judge(evidence).outcome.healthy


@given(st.data())
def test_a_changed_byte_anywhere_in_a_conversation_is_never_trusted_as_something_else(data: st.DataObject) -> None:
    evidence = attest()
    index = data.draw(st.integers(0, len(evidence.exchanges) - 1))
    exchange = evidence.exchanges[index]
    side = data.draw(st.sampled_from(["request", "response"]))
    octets = bytearray(getattr(exchange, side))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    halves = (octets, exchange.response) if side == "request" else (exchange.request, octets)
    changed = replace(exchange, request=bytes(halves[0]), response=bytes(halves[1]))
    exchanges = (*evidence.exchanges[:index], changed, *evidence.exchanges[index + 1 :])
    verdict = judge(replace(evidence, exchanges=exchanges))
    assert not verdict.outcome.healthy


@given(st.lists(st.integers(0, 20), max_size=25))
def test_exchanges_in_any_order_give_a_verdict(order: list[int]) -> None:
    evidence = attest()
    exchanges = tuple(evidence.exchanges[number % len(evidence.exchanges)] for number in order)
    assert isinstance(judge(replace(evidence, exchanges=exchanges)), Verdict)


@pytest.mark.parametrize(
    "request_", [b"", b"\x10", b"\x10\x84\x00\x00\x00", b"\x99\x84\x00\x00", b"\x10\x04\x00\x00", b"\x12\xe3\x04\x00"]
)
def test_a_request_that_no_requester_sends_is_a_violation_of_step_1(request_: bytes) -> None:
    facts = review(replace(attest(), exchanges=(Exchange(request_, b"\x10\x04\x00\x00\x00\x00"),)))
    assert facts.violation is not None
    assert facts.violation.step == 1


@pytest.mark.parametrize(
    ("asym", "base_hash", "pqc"),
    [
        (BaseAsym.ECDSA_P384, BaseHash.SM3_256, PqcAsym(0)),
        (BaseAsym.SM2, BaseHash.SHA_384, PqcAsym(0)),
        (BaseAsym(0), BaseHash.SHA_384, PqcAsym.SLH_DSA_SHA2_128S),
    ],
)
def test_algorithms_that_cannot_be_computed_here_end_the_review(
    asym: BaseAsym, base_hash: BaseHash, pqc: PqcAsym
) -> None:
    evidence = attest()
    exchange = evidence.exchanges[2]
    offer = NegotiateAlgorithms.pull(Reader(exchange.request, "NEGOTIATE_ALGORITHMS"))
    answer = Algorithms.pull(Reader(exchange.response, "ALGORITHMS"))
    changed = Exchange(
        replace(offer, base_asym=asym, base_hash=base_hash, pqc_asym=pqc).push(),
        replace(answer, base_asym=asym.value, base_hash=base_hash.value, pqc_asym=pqc.value).push(),
    )
    verdict = judge(replace(evidence, exchanges=(*evidence.exchanges[:2], changed, *evidence.exchanges[3:])))
    assert failed_steps(verdict) == [1]
    assert "cannot check" in verdict.step(1).reason


def test_only_the_last_connection_counts() -> None:
    first, second = attest(), attest()
    facts = review(replace(first, exchanges=(*first.exchanges, *second.exchanges)))
    assert facts.challenge == review(second).challenge
    unfinished = review(replace(first, exchanges=(*first.exchanges, *second.exchanges[:4])))
    assert unfinished.challenge is None


def test_a_recorded_message_that_does_not_answer_its_request_ends_the_conversation() -> None:
    """The last request made one that is only recorded, so that measurements would be passed over without a word."""
    evidence = attest()
    last = evidence.exchanges[-1]
    assert last.request[1] == RequestCode.GET_MEASUREMENTS
    request = bytes([last.request[0], RequestCode.KEY_EXCHANGE]) + last.request[2:]
    exchanges = (*evidence.exchanges[:-1], replace(last, request=request))
    verdict = judge(replace(evidence, exchanges=exchanges))
    assert verdict.outcome is Outcome.REJECTED
    assert "answered with code 0x60" in verdict.summary
