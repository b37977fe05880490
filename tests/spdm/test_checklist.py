"""What a careful requester must verify (wire reference §11.3): one row per claim, each lie against it caught."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys import spdm
from cmakeys.emulator.faults import FAULTS, Fault, Where
from cmakeys.emulator.faults import Outcome as Expected
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.codes import RequestCode, Version
from cmakeys.spdm.effects import DeviceRefused
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.verify.verdict import Outcome
from tests.conftest import SHARED_DATA
from tests.emulator.test_session_faults import lived_through
from tests.spdm.checklist_rows import LINES, ROWS, Row
from tests.verify.cases import failed_steps, judge
from tests.verify.test_faults import evidence_of, honest, verdict_on
from tests.verify.test_sessions import evidence as evidence_over_session

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


@by_row
def test_the_lie_against_each_claim_is_caught(row: Row) -> None:
    fault = FAULTS[row.lie]
    if fault.where is Where.SESSIONS:
        with pytest.raises((ProtocolViolation, DeviceRefused)) as caught:
            lived_through([fault], version_of(fault), Binding.MCTP)
        problem = caught.value
        assert isinstance(problem, ProtocolViolation | DeviceRefused)
        assert problem.step == fault.step
        assert row.words in str(problem)
        return
    _, verdict = verdict_on(fault, version_of(fault))
    assert not verdict.outcome.healthy
    if fault.outcome is Expected.UNREACHABLE:
        assert verdict.outcome is Outcome.UNREACHABLE
        assert row.words in verdict.summary
    else:
        assert failed_steps(verdict)[:1] == [fault.step]
        assert row.words in verdict.failures[0].reason


@by_row
def test_the_honest_device_passes_in_the_configuration_of_each_row(row: Row) -> None:
    fault = without_lie(FAULTS[row.lie])
    if fault.where is Where.SESSIONS:
        lived_through([fault], version_of(fault), Binding.MCTP)
    else:
        _, verdict = verdict_on(fault, version_of(fault))
        assert verdict.outcome is Outcome.TRUSTED, verdict.summary


def test_each_line_of_the_list_has_rows() -> None:
    assert {row.line for row in ROWS} == set(range(1, LINES + 1))
    assert len({(row.line, row.lie) for row in ROWS}) == len(ROWS)


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


def asked_again() -> list[bytes]:
    """Requests of two checks of a device whose measurements must be read again and again."""
    collected = [verdict_on(FAULTS["content-changed"], Version.V13)[0] for _ in range(2)]
    return [exchange.request for one in collected for exchange in one.exchanges]


def over_sessions() -> list[bytes]:
    """Requests of two checks over a session each."""
    collected = [evidence_over_session() for _ in range(2)]
    return [exchange.request for one in collected for exchange in one.exchanges]


@pytest.mark.parametrize(
    ("code", "field", "runs", "least"),
    [
        pytest.param(RequestCode.CHALLENGE, slice(4, 36), asked_again, 2, id="challenge"),
        pytest.param(RequestCode.GET_MEASUREMENTS, slice(4, 36), asked_again, 3, id="measurements-read-again"),
        pytest.param(RequestCode.KEY_EXCHANGE, slice(8, 40), over_sessions, 2, id="key-exchange"),
        pytest.param(RequestCode.KEY_EXCHANGE, slice(40, 136), over_sessions, 2, id="share-of-the-key"),
    ],
)
def test_nothing_random_is_used_twice(
    code: RequestCode, field: slice, runs: Callable[[], list[bytes]], least: int
) -> None:
    values = drawn(code, field, runs)
    assert len(values) >= least
    assert all(len(value) == field.stop - field.start for value in values)
    assert len(set(values)) == len(values)


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
