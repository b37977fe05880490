"""Measurements that came over a session: what the verdict says of it, and what makes it reject them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, Fault
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceRequest
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.evidence import archive
from cmakeys.evidence.live import Question
from cmakeys.evidence.model import EndingKind, Evidence
from cmakeys.spdm.attesting import SessionUse
from cmakeys.spdm.codes import MutualAuthentication, RequestCode, Version
from cmakeys.spdm.own_identity import Credentials
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome, StepOutcome
from tests.evidence.loopback import attest, credentials, vendor
from tests.verify.cases import failed_steps, judge

PREFER, REQUIRE = Policy(session=SessionUse.PREFER), Policy(session=SessionUse.REQUIRE)
VERSIONS = (Version.V11, Version.V12, Version.V13, Version.V14)
# What a device can do to a session that carries measurements and nothing else.
FAULTS_OF_AN_EXCHANGE = [
    "exchange-bad-signature",
    "exchange-replayed-signature",
    "exchange-wrong-proof",
    "exchange-spoiled-share",
    "exchange-zero-share",
    "secured-version-unknown",
    "secured-version-twice",
    "mutual-illegal",
    "truncated-key-exchange-rsp",
    "record-bad-mac",
    "record-replayed",
    "record-in-the-clear",
    "measurements-in-the-clear",
    "measurements-without-key",
    "exchange-other-group",
    "exchange-forged",
    "secured-version-none",
]


@cache
def host() -> Credentials:
    """Who we are: a chain of a vendor that the device may or may not know."""
    made = vendor("Host").issue_device(DeviceRequest("host-1", None, KeyType.ECDSA_P384))
    return Credentials(tuple(one.der for one in made.chain), made.key)


def evidence(
    version: Version = Version.V13,
    sessions: SessionSettings | None = None,
    use: SessionUse = SessionUse.PREFER,
    faults: tuple[Fault, ...] = (),
    own: Credentials | None = None,
) -> Evidence:
    made = DeviceSettings(versions=(version,), sessions=sessions or SessionSettings())
    blueprint = Blueprint(settings=made, credentials={0: (credentials(),)})
    device = build_device(vendor(), blueprint, faults)
    return attest(device, question=Question(session=use, credentials=own))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_verdict_says_that_measurements_came_over_a_session(version: Version) -> None:
    collected = evidence(version)
    inside = [one.request[1] for one in collected.exchanges if one.session is not None]
    assert RequestCode.GET_MEASUREMENTS in inside
    assert inside[-1] == RequestCode.END_SESSION
    assert not [one for one in collected.exchanges if one.session is None and one.request[1] == inside[-2]]
    verdict = judge(collected, policy=REQUIRE)
    assert verdict.outcome is Outcome.TRUSTED
    assert "they came over a session" in verdict.steps[11].reason
    assert judge(archive.decode(archive.encode(collected), "file"), policy=REQUIRE) == verdict


def test_in_the_clear_they_are_as_good_unless_a_session_is_required() -> None:
    collected = evidence(use=SessionUse.OFF)
    verdict = judge(collected, policy=PREFER)
    assert verdict.outcome is Outcome.TRUSTED
    assert "session" not in verdict.steps[11].reason
    verdict = judge(collected, policy=REQUIRE)
    assert (verdict.outcome, failed_steps(verdict)) == (Outcome.REJECTED, [12])


def test_a_device_without_sessions_is_asked_in_the_clear_where_one_is_preferred() -> None:
    made = DeviceSettings(versions=(Version.V13,))
    plain = build_device(vendor(), Blueprint(settings=made, credentials={0: (credentials(),)}))
    collected = attest(plain, question=Question(session=SessionUse.PREFER))
    assert collected.ending.kind is EndingKind.COMPLETE
    assert not [one for one in collected.exchanges if one.session is not None]
    assert judge(collected, policy=PREFER).outcome is Outcome.TRUSTED
    assert judge(collected, policy=REQUIRE).outcome is Outcome.REJECTED


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mutual", [MutualAuthentication.ENCAPSULATED, MutualAuthentication.IMPLICIT_DIGESTS])
def test_a_device_that_asks_who_we_are_is_told(version: Version, mutual: MutualAuthentication) -> None:
    collected = evidence(version, SessionSettings(mutual=mutual, insists=True), own=host())
    assert collected.ending.message == ""
    verdict = judge(collected, policy=REQUIRE)
    assert verdict.outcome is Outcome.TRUSTED, verdict.summary


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("use", "policy"), [(SessionUse.PREFER, REQUIRE), (SessionUse.OFF, PREFER)], ids=["in", "out"])
def test_a_device_that_challenges_whoever_challenges_is_answered(
    version: Version, use: SessionUse, policy: Policy
) -> None:
    collected = evidence(version, SessionSettings(basic_mutual=True), use, own=host())
    assert collected.ending.message == ""
    asked = [one for one in collected.exchanges if one.request[1] == RequestCode.DELIVER_ENCAPSULATED_RESPONSE]
    assert len(asked) >= 3
    assert judge(collected, policy=policy).outcome is Outcome.TRUSTED


@pytest.mark.parametrize("name", FAULTS_OF_AN_EXCHANGE)
def test_a_device_that_lies_in_a_session_is_rejected_at_its_step(name: str) -> None:
    fault = FAULTS[name]
    collected = evidence(faults=(fault,))
    verdict = judge(collected, policy=PREFER)
    assert verdict.outcome in (Outcome.REJECTED, Outcome.UNREACHABLE), verdict.summary
    if verdict.outcome is Outcome.REJECTED:
        assert failed_steps(verdict)[:1] == [fault.step], verdict.summary


# -- a file that was changed -------------------------------------------------------------------------------------------


def changed(collected: Evidence, code: RequestCode, offset: int) -> Evidence:
    place = next(n for n, one in enumerate(collected.exchanges) if one.request[1] == code)
    octets = bytearray(collected.exchanges[place].response)
    octets[offset] ^= 1
    spoiled = replace(collected.exchanges[place], response=bytes(octets))
    return replace(collected, exchanges=(*collected.exchanges[:place], spoiled, *collected.exchanges[place + 1 :]))


def test_a_changed_signature_of_the_session_is_found() -> None:
    collected = evidence()
    verdict = judge(changed(collected, RequestCode.KEY_EXCHANGE, 12), policy=PREFER)  # in its random data
    assert verdict.outcome is Outcome.REJECTED
    assert failed_steps(verdict)[:1] == [12]
    assert "not opened by the leaf's key" in verdict.failures[0].reason


def test_a_message_of_a_session_that_nobody_opened_is_a_violation() -> None:
    collected = evidence()
    moved = tuple(
        replace(one, session=one.session ^ 1) if one.session is not None else one for one in collected.exchanges
    )
    verdict = judge(replace(collected, exchanges=moved), policy=PREFER)
    assert verdict.outcome is Outcome.REJECTED
    assert "no KEY_EXCHANGE" in verdict.failures[0].reason


def test_measurements_taken_out_of_their_session_are_not_taken_for_more() -> None:
    collected = evidence()
    loose = tuple(replace(one, session=None) for one in collected.exchanges)
    verdict = judge(replace(collected, exchanges=loose), policy=REQUIRE)
    assert verdict.outcome is not Outcome.TRUSTED


def test_a_session_alone_proves_possession_where_nothing_was_challenged() -> None:
    collected = evidence()
    kept = tuple(one for one in collected.exchanges if one.request[1] != RequestCode.CHALLENGE)
    verdict = judge(replace(collected, exchanges=kept), policy=REQUIRE)
    assert verdict.steps[10].outcome is StepOutcome.PASSED
    assert "KEY_EXCHANGE_RSP" in verdict.steps[10].reason
    assert verdict.outcome is Outcome.TRUSTED
