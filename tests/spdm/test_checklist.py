"""What a careful requester must verify (wire reference §11.3): one row per claim, each lie against it caught."""

from __future__ import annotations

import ast
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from cmakeys import spdm
from cmakeys.emulator.factory import DEFAULT_IDENTITY, Blueprint, build_device
from cmakeys.emulator.faults import FAULTS, Fault, Where
from cmakeys.emulator.faults import Outcome as Expected
from cmakeys.emulator.lies.kinds import Refuse
from cmakeys.emulator.lies.lie import Lie
from cmakeys.emulator.lies.patience import Silent
from cmakeys.emulator.session_settings import AGREEMENT_PRIORITY, SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport
from cmakeys.evidence import archive
from cmakeys.evidence.live import Question, collect
from cmakeys.evidence.model import EndingKind, Evidence
from cmakeys.evidence.secrets import SecretKeeper
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.agreement import Agreement, begin
from cmakeys.spdm.algorithms import SIGNATURE_SIZES, BaseAsym, BaseHash, Dhe, Kem
from cmakeys.spdm.attesting import SessionUse
from cmakeys.spdm.codes import ErrorCode, RequestCode, Version
from cmakeys.spdm.effects import DeviceRefused
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.schedule import TrafficSecret
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.signing import Context, SignatureProblem, Statement, asym_of_key, verify_statement
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.transports.base import Deadline
from cmakeys.transports.framing import Framing
from cmakeys.transports.recording import RecordingTransport
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import Outcome, StepOutcome
from tests.conftest import SHARED_DATA
from tests.emulator.test_session_faults import lived_through
from tests.evidence.loopback import NOW, Loopback, attest, credentials, vendor
from tests.fuzz.stage import WatchedSession, watched
from tests.spdm.checklist_rows import HELD, LINES, ROWS, Held, Row
from tests.verify.cases import failed_steps, judge
from tests.verify.test_faults import QUICK, evidence_of, honest, verdict_on
from tests.verify.test_sessions import evidence as evidence_over_session

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

REFERENCE = SHARED_DATA.parent / "reference" / "spdm-wire.md"
HEADING = "### 11.3 "
SECRETS = ("verify_data", "proof", "mac")
"""Names of what an attacker would like to guess byte by byte."""

by_row = pytest.mark.parametrize("row", ROWS, ids=[f"{row.line}-{row.lie}" for row in ROWS])


def version_of(fault: Fault) -> Version:
    return max(Version.V13, fault.since)


def without_lie(fault: Fault) -> Fault:
    """The same configuration of an honest device. Settings that are the lie themselves go with it."""
    settings = fault.settings if fault.lies() else None
    return replace(fault, lies=tuple, flaw=None, substitution=None, measured=None, settings=settings)


@contextmanager
def none_survives() -> Iterator[None]:
    """Every session that is made meanwhile is over in the end, and has forgotten its keys."""
    WatchedSession.made.clear()
    with watched():
        yield
    assert all(session.dead for session in WatchedSession.made)


@by_row
def test_the_lie_against_each_claim_is_caught(row: Row) -> None:
    fault = FAULTS[row.lie]
    if fault.where is Where.SESSIONS:
        with none_survives(), pytest.raises((ProtocolViolation, DeviceRefused)) as caught:
            lived_through([fault], version_of(fault), Binding.MCTP)
        problem = caught.value
        assert isinstance(problem, ProtocolViolation | DeviceRefused)
        assert problem.step == fault.step
        assert row.words in str(problem)
        return
    evidence, verdict = verdict_on(fault, version_of(fault))
    if row.policy is not None:
        verdict = judge(evidence, policy=row.policy)
        assert (verdict.outcome, failed_steps(verdict)[:1]) == (Outcome.REJECTED, [1])
        assert row.words in verdict.failures[0].reason
        asked = asked_under(row.policy, fault)
        assert (asked.ending.kind, asked.ending.step) == (EndingKind.REFUSED, 1)
        assert failed_steps(judge(asked, policy=row.policy))[:1] == [1]
    elif fault.outcome is Expected.TOLERATED:
        assert verdict.outcome is Outcome.TRUSTED
        assert any(row.words in step.reason for step in verdict.steps)
    elif fault.outcome is Expected.UNREACHABLE:
        assert verdict.outcome is Outcome.UNREACHABLE
        assert row.words in verdict.summary
    else:
        assert verdict.outcome is Outcome.REJECTED
        assert failed_steps(verdict)[:1] == [fault.step]
        assert row.words in verdict.failures[0].reason


def asked_under(policy: Policy, fault: Fault) -> Evidence:
    """What is left of the same device where the requester offers nothing that the policy does not allow."""
    hardware = honest(version_of(fault)).hardware
    device = build_device(vendor(), Blueprint(settings=hardware.settings, credentials=hardware.slots), [fault])
    return attest(device, identity=DEFAULT_IDENTITY, question=replace(QUICK, offer=policy.offer()))


@by_row
def test_the_honest_device_passes_in_the_configuration_of_each_row(row: Row) -> None:
    fault = without_lie(FAULTS[row.lie])
    if fault.where is Where.SESSIONS:
        with none_survives():
            lived_through([fault], version_of(fault), Binding.MCTP)
    else:
        evidence, verdict = verdict_on(fault, version_of(fault))
        assert verdict.outcome is Outcome.TRUSTED, verdict.summary
        assert judge(evidence, policy=row.policy).outcome is Outcome.TRUSTED


def test_each_line_of_the_list_has_rows() -> None:
    assert {row.line for row in ROWS} == set(range(1, LINES + 1))
    assert len({(row.line, row.lie, row.policy) for row in ROWS}) == len(ROWS)
    claims = [(row.line, row.claim) for row in ROWS] + [(held.line, held.claim) for held in HELD]
    assert len(set(claims)) == len(claims)


@pytest.mark.parametrize("held", HELD, ids=[f"{held.line}-{held.claim.replace(' ', '-')}" for held in HELD])
def test_what_no_lie_can_show_has_a_test(held: Held) -> None:
    tree = ast.parse((Path(__file__).parents[1] / held.file).read_text(encoding="utf-8"))
    assert held.test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_list_has_as_many_lines_as_the_reference() -> None:
    if not REFERENCE.is_file():
        pytest.skip("the wire reference does not lie beside this checkout")
    section = REFERENCE.read_text(encoding="utf-8").split(HEADING, 1)[1].split("\n### ", 1)[0]
    assert sum(line.startswith("* [ ]") for line in section.splitlines()) == LINES


def test_a_chain_without_any_authority_is_not_trusted() -> None:
    verdict = judge(evidence_of(honest(Version.V13)), RootSet((), ()))
    assert verdict.outcome is Outcome.REJECTED
    assert failed_steps(verdict)[:1] == [4]


def drawn(code: RequestCode, field: slice, runs: Callable[[], list[bytes]]) -> list[bytes]:
    """What stands in `field` of each request of this kind."""
    return [request[field] for request in runs() if request[1] == code]


def requests_of(collected: list[Evidence]) -> list[bytes]:
    return [exchange.request for one in collected for exchange in one.exchanges]


def asked_again() -> list[bytes]:
    """Requests of two checks of a device whose measurements must be read again and again."""
    return requests_of([verdict_on(FAULTS["content-changed"], Version.V13)[0] for _ in range(2)])


def put_off(error: ErrorCode, code: RequestCode) -> Callable[[], list[bytes]]:
    """Requests of two checks of a device that puts off each request of one kind twice before it answers."""

    def runs() -> list[bytes]:
        fault = Fault("", "", Where.PATIENCE, lies=lambda: (Refuse(error, frozenset({code}), times=2),))
        return requests_of([evidence_over_session(faults=(fault,)) for _ in range(2)])

    return runs


class OnceMore(Lie):
    """Forgets the connection at the first request of one kind."""

    def __init__(self, code: RequestCode) -> None:
        self._code = code
        self._asked = False

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        if self._asked or request[1] != self._code:
            return None
        self._asked = True
        return ErrorResponse(talk.negotiated_version(), ErrorCode.REQUEST_RESYNCH).push()


def begun_again(code: RequestCode) -> Callable[[], list[bytes]]:
    """Requests of two checks of a device that forgets us when it is asked this for the first time."""

    def runs() -> list[bytes]:
        fault = Fault("", "", Where.PATIENCE, lies=lambda: (OnceMore(code),))
        return requests_of([evidence_over_session(faults=(fault,)) for _ in range(2)])

    return runs


def over_sessions(*agreements: Dhe | Kem) -> Callable[[], list[bytes]]:
    """Requests of two checks over a session each."""
    settings = SessionSettings(agreements=agreements or AGREEMENT_PRIORITY)
    return lambda: requests_of([evidence_over_session(Version.V14, settings) for _ in range(2)])


NONCE, RANDOM, SHARE = slice(4, 36), slice(8, 40), slice(40, 136)
CHALLENGE, MEASURE, EXCHANGE = RequestCode.CHALLENGE, RequestCode.GET_MEASUREMENTS, RequestCode.KEY_EXCHANGE


@pytest.mark.parametrize(
    ("code", "field", "runs", "least"),
    [
        pytest.param(CHALLENGE, NONCE, asked_again, 2, id="challenge"),
        pytest.param(CHALLENGE, NONCE, put_off(ErrorCode.BUSY, CHALLENGE), 6, id="challenge-busy"),
        pytest.param(CHALLENGE, NONCE, put_off(ErrorCode.MESSAGE_LOST, CHALLENGE), 6, id="challenge-lost"),
        pytest.param(CHALLENGE, NONCE, begun_again(CHALLENGE), 4, id="challenge-resynchronised"),
        pytest.param(MEASURE, NONCE, asked_again, 3, id="measurements-read-again"),
        pytest.param(MEASURE, NONCE, put_off(ErrorCode.BUSY, MEASURE), 6, id="measurements-busy"),
        pytest.param(EXCHANGE, RANDOM, over_sessions(), 2, id="key-exchange"),
        pytest.param(EXCHANGE, RANDOM, put_off(ErrorCode.BUSY, EXCHANGE), 6, id="key-exchange-busy"),
        pytest.param(EXCHANGE, SHARE, over_sessions(), 2, id="share-of-a-curve"),
        pytest.param(EXCHANGE, SHARE, put_off(ErrorCode.BUSY, EXCHANGE), 6, id="share-busy"),
        pytest.param(EXCHANGE, SHARE, begun_again(EXCHANGE), 4, id="share-resynchronised"),
        pytest.param(EXCHANGE, SHARE, over_sessions(Dhe.FFDHE_2048), 2, id="share-of-a-field"),
        pytest.param(EXCHANGE, SHARE, over_sessions(Kem.ML_KEM_768), 2, id="encapsulation-key"),
    ],
)
def test_nothing_random_is_used_twice(
    code: RequestCode, field: slice, runs: Callable[[], list[bytes]], least: int
) -> None:
    values = drawn(code, field, runs)
    assert len(values) >= least
    assert all(len(value) == field.stop - field.start for value in values)
    assert len(set(values)) == len(values)


def test_a_lower_version_than_both_sides_have_is_refused() -> None:
    offer = Offer(versions=frozenset({Version.V11}))
    collected = attest(honest(Version.V13), identity=DEFAULT_IDENTITY, question=replace(QUICK, offer=offer))
    verdict = judge(collected)
    assert failed_steps(verdict) == [1]
    assert "SPDM 1.1 was chosen though the device and the policy have 1.3" in verdict.failures[0].reason


def test_a_device_that_signed_nothing_is_not_trusted() -> None:
    """It could sign a KEY_EXCHANGE_RSP, so that its capabilities are in order; nobody asked for one."""
    silent = MeasurementSupport.NONE
    settings = DeviceSettings(challenge=False, measurements=silent, sessions=SessionSettings())
    collected = attest(build_device(vendor(), Blueprint(settings=settings)), identity=DEFAULT_IDENTITY, question=QUICK)
    assert collected.ending.kind is EndingKind.COMPLETE
    verdict = judge(collected)
    assert not verdict.outcome.healthy
    assert verdict.step(11).outcome is StepOutcome.NOT_CHECKED


@pytest.mark.parametrize("version", [Version.V12, Version.V13, Version.V14])
@pytest.mark.parametrize("size", [42, 43, 64, 100])
def test_no_request_is_larger_than_the_device_takes(version: Version, size: int) -> None:
    settings = DeviceSettings(versions=(version,), data_transfer_size=size, sessions=SessionSettings())
    device = build_device(vendor(), Blueprint(settings=settings, credentials={0: (credentials(),)}))
    loopback = Loopback(device)
    collected = collect(loopback, Deadline.after(600), now=NOW, question=Question(session=SessionUse.PREFER))
    assert collected.ending.message == ""
    settled = next(n for n, one in enumerate(loopback.asked) if one[1] == RequestCode.GET_CAPABILITIES)
    clear = [one for one in loopback.asked[settled + 1 :] if one[0] == version]
    assert max(map(len, clear)) == size
    assert any(len(one.request) > size for one in collected.exchanges)


def test_a_key_of_another_size_makes_no_signature() -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    assert asym_of_key(key) == (BaseAsym.RSASSA_2048, BaseAsym.RSAPSS_2048)
    for asym in (BaseAsym.RSASSA_3072, BaseAsym.RSAPSS_4096):
        signature = bytes(SIGNATURE_SIZES[asym])
        context = Context.CHALLENGE_AUTH
        statement = Statement(context, Version.V13, asym, BaseHash.SHA_384, 0, b"", signature, b"", b"")
        with pytest.raises(SignatureProblem, match="cannot make the negotiated"):
            verify_statement(statement, key)


def test_measurements_that_changed_are_asked_for_again() -> None:
    collected, verdict = verdict_on(FAULTS["content-changed-once"], Version.V13)
    assert verdict.outcome is Outcome.TRUSTED
    assert [one.request[1] for one in collected.exchanges].count(RequestCode.GET_MEASUREMENTS) == 2


def test_no_key_is_agreed_on_before_the_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device agrees once in the same process; we may only if its signature holds."""
    agreed: list[bytes] = []
    share = type(begin(Dhe.SECP384R1))
    agree = share.agree

    def noted(self: Agreement, answer: bytes) -> bytes:
        agreed.append(answer)
        return agree(self, answer)

    monkeypatch.setattr(share, "agree", noted)
    lived_through([], Version.V13, Binding.MCTP)
    assert len(agreed) == 2
    with pytest.raises(ProtocolViolation, match="signature does not verify"):
        lived_through([FAULTS["exchange-bad-signature"]], Version.V13, Binding.MCTP)
    assert len(agreed) == 3


@pytest.mark.parametrize(
    ("lies", "made"),
    [
        pytest.param((), 1, id="ended"),
        pytest.param((Silent(frozenset({RequestCode.GET_MEASUREMENTS})),), 1, id="no-answer"),
        pytest.param((Silent(frozenset({RequestCode.END_SESSION})),), 1, id="no-farewell"),
        pytest.param((OnceMore(RequestCode.GET_MEASUREMENTS),), 2, id="resynchronised"),
        pytest.param((Refuse(ErrorCode.BUSY, frozenset({RequestCode.FINISH})),), 1, id="unfinished"),
        pytest.param((Refuse(ErrorCode.DECRYPT_ERROR, frozenset({RequestCode.GET_MEASUREMENTS})),), 1, id="refused"),
    ],
)
def test_no_key_is_left_of_a_session_that_is_over(lies: tuple[Lie, ...], made: int) -> None:
    with none_survives():
        evidence_over_session(faults=(Fault("", "", Where.SESSIONS, lies=lambda: lies),))
    assert len(WatchedSession.made) == made


def test_nothing_that_is_kept_holds_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys: set[bytes] = set()
    expand = TrafficSecret.expand

    def noted(self: TrafficSecret, label: str, length: int, context: bytes = b"") -> bytes:
        made = expand(self, label, length, context)
        keys.update((self.value, made))
        return made

    monkeypatch.setattr(TrafficSecret, "expand", noted)
    settings = DeviceSettings(versions=(Version.V13,), sessions=SessionSettings())
    device = build_device(vendor(), Blueprint(settings=settings, credentials={0: (credentials(),)}))
    trace = tmp_path / "trace.jsonl"
    with closing(RecordingTransport.create(Loopback(device), Framing.PCI_DOE, trace)) as transport:
        keeper = SecretKeeper()
        question = Question(session=SessionUse.REQUIRE, keeper=keeper)
        collected = collect(transport, Deadline.after(600), now=NOW, question=question)
    assert judge(collected, policy=Policy(session=SessionUse.REQUIRE)).outcome is Outcome.TRUSTED
    assert len(keys) > 10
    keeper.write(tmp_path / "secrets.txt")
    shared = bytes.fromhex((tmp_path / "secrets.txt").read_text().split("secret=")[1])
    kept = trace.read_text() + b"".join(one.request + one.response for one in collected.exchanges).hex()
    kept += archive.encode(collected).decode() + repr(collected)
    for key in (*keys, shared):
        assert key.hex() not in kept
        assert b64encode(key).decode()[:-4] not in kept


def compared_openly(source: str) -> list[str]:
    """Comparisons by == or != of something whose name says that nobody should guess it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
            sides = [side for side in (node.left, *node.comparators) if isinstance(side, ast.Name | ast.Attribute)]
            names = [side.id if isinstance(side, ast.Name) else side.attr for side in sides]
            if any(name == secret or name.endswith("_" + secret) for name in names for secret in SECRETS):
                found.append(ast.unparse(node))
    return found


def test_proofs_are_compared_in_constant_time() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(spdm.__file__).parent.rglob("*.py")]
    assert [found for source in sources for found in compared_openly(source)] == []
    assert any("compare_digest(" in source for source in sources)
    assert compared_openly("if message.verify_data != expected: pass")
