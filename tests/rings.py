"""The three rings of tests, counted: pure, local system, guest.

A test is in the ring of its marker (`system`, `guest`), else in the pure one. What cannot run on this machine is
skipped with the reason printed, and the end of every run says per ring how many tests ran and why the others did not.

Under CI=true a skip is a failure, because it means that the set-up lacks something it could have; the exception is
`cannot(...)`, for what no set-up can give: this kernel has no `.cma` keyring, this processor no virtualisation.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from typing import NoReturn

import pytest

RINGS = ("pure", "system", "guest")
CANNOT = "this machine cannot: "


def cannot(reason: str) -> NoReturn:
    """Skip the running test, in CI too, because no set-up of this machine could make it run."""
    pytest.skip(CANNOT + reason)


def ring_of(item: pytest.Item) -> str:
    """The ring of one test: the outermost one it is marked for."""
    return next((ring for ring in reversed(RINGS) if item.get_closest_marker(ring)), "pure")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def _fail_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    avoidable = report.skipped and not hasattr(report, "wasxfail") and not _reason(report).startswith(CANNOT)
    if avoidable and os.environ.get("CI") == "true":
        report.longrepr = f"skipped, which CI does not allow: {_reason(report)}"
        report.outcome = "failed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    report.user_properties.append(("ring", ring_of(item)))
    _fail_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_in_ci(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran: Counter[str] = Counter()
    skipped: dict[str, Counter[str]] = {ring: Counter() for ring in RINGS}
    for outcome in ("passed", "failed", "error", "xfailed", "xpassed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            ring = dict(getattr(report, "user_properties", ())).get("ring", "pure")
            if outcome == "skipped":
                skipped[ring][_reason(report)] += 1
            else:
                ran[ring] += 1
    terminalreporter.section("rings")
    for ring in RINGS:
        terminalreporter.line(f"{ring:6}  {ran[ring]:5} ran  {skipped[ring].total():4} skipped")
        for reason, count in skipped[ring].most_common():
            terminalreporter.line(f"        {count:5} x {reason}")
