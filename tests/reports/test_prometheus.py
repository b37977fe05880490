"""node_exporter reads the file, promtool has nothing against it, and no device can forge a sample."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.check import Judgement
from cmakeys.reports.prometheus import RunTimes, prometheus_report
from cmakeys.standing import Finding, finding
from cmakeys.verify.clock import ClockState
from tests.reports.findings import FINDINGS
from tests.reports.golden import assert_golden
from tests.reports.verdicts import ALL, CHECKED_AT, TRUSTED

ROOT = Path(__file__).parents[2]
RUN = RunTimes(CHECKED_AT, 12.3456, stale=0, strangers=2)
LABEL = r'[a-z]+="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"(cmakeys_[a-z_]+)(?:\{{{LABEL}(?:,{LABEL})*\}})? (\d+(?:\.\d{{1,3}})?)")


def samples(lines: Sequence[str]) -> dict[str, float]:
    """Every sample of a file that keeps to the rules: HELP, TYPE, then samples of that metric, each once."""
    found: dict[str, float] = {}
    metric, seen = "", set()
    for line in lines:
        if line.startswith("# HELP "):
            metric = line.split()[2]
            assert metric not in seen
            seen.add(metric)
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {metric} gauge"
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            assert match[1] == metric
            key = line.rpartition(" ")[0]
            assert key not in found
            found[key] = float(match[2])
    return found


def test_a_full_report() -> None:
    lines = prometheus_report(FINDINGS, RUN)
    assert_golden("prometheus", lines)
    assert samples(lines)


def test_initrds_that_nobody_looked_at_have_no_number() -> None:
    assert samples(prometheus_report(FINDINGS, RunTimes(CHECKED_AT, 1, stale=2)))["cmakeys_initrds_stale"] == 2
    assert "cmakeys_initrds_stale" not in samples(prometheus_report(FINDINGS, RunTimes(CHECKED_AT, 1)))


def test_strangers_that_nobody_looked_for_have_no_number_and_the_clock_has_one_state() -> None:
    found = samples(prometheus_report(FINDINGS, RunTimes(CHECKED_AT, 1, clock=ClockState.AHEAD)))
    assert "cmakeys_strangers" not in found
    states = {name: value for name, value in found.items() if name.startswith("cmakeys_clock_state")}
    assert [name for name, value in states.items() if value] == ['cmakeys_clock_state{state="ahead"}']
    assert len(states) == 3


def test_the_manual_names_every_metric_and_no_other() -> None:
    page = (ROOT / "man/cmakeys-check.8").read_text()
    section = page.split(".Sh METRICS\n")[1].split(".Sh ")[0]
    written = [line.split()[2] for line in prometheus_report(FINDINGS, RUN) if line.startswith("# HELP ")]
    assert [f"cmakeys_{name}" for name in re.findall(r"^\.It Li (\S+)$", section, re.MULTILINE)] == written


def test_exactly_one_outcome_applies_to_each_device() -> None:
    found = samples(prometheus_report(FINDINGS, RUN))
    for one in FINDINGS:
        of_device = {
            key: value for key, value in found.items() if key.startswith(f'cmakeys_device_outcome{{device="{one.name}"')
        }
        assert len(of_device) == 5
        assert [key for key, value in of_device.items() if value] == [
            f'cmakeys_device_outcome{{device="{one.name}",outcome="{one.outcome.value}"}}'
        ]


def test_success_is_as_old_as_the_device_that_has_not_passed_for_longest() -> None:
    name = "cmakeys_check_last_success_timestamp_seconds"
    assert samples(prometheus_report(FINDINGS[:1], RUN))[name] == pytest.approx(CHECKED_AT.timestamp(), abs=0.001)
    assert samples(prometheus_report(FINDINGS[:8], RUN))[name] < CHECKED_AT.timestamp() - 80000
    assert samples(prometheus_report(FINDINGS, RUN))[name] == 0


def test_a_time_that_never_comes_is_left_out() -> None:
    text = "\n".join(prometheus_report([finding("gpu0", Judgement(TRUSTED), None)], RUN))
    assert "expiry" not in text


def test_a_run_before_that_did_not_finish_is_1() -> None:
    assert samples(prometheus_report(FINDINGS, RUN))["cmakeys_check_unfinished"] == 0
    assert (
        samples(prometheus_report(FINDINGS, RunTimes(CHECKED_AT, 1, unfinished=True)))["cmakeys_check_unfinished"] == 1
    )


names = st.lists(st.text(), unique_by=lambda name: name.encode("unicode-escape"), max_size=6)


@given(names, st.sampled_from(sorted(ALL)))
def test_no_name_forges_a_sample(names: list[str], outcome: str) -> None:
    devices: list[Finding] = [finding(name, Judgement(ALL[outcome]), None) for name in names]
    found = samples(prometheus_report(devices, RUN))
    assert sum(key.startswith("cmakeys_device_outcome") for key in found) == 5 * len(names)


@pytest.mark.system
def test_promtool_has_nothing_to_say() -> None:
    tool = shutil.which("promtool", path=f"{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin")
    if tool is None:
        pytest.skip("promtool, from Debian's package prometheus, is not here")
    hostile = finding('a"b\\c\nd\x1b{x="1"} 1', Judgement(TRUSTED), None)
    text = "".join(f"{line}\n" for line in prometheus_report([*FINDINGS, hostile], RUN))
    run = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
