"""A program reads from the envelope's data what a person reads from the report."""

from __future__ import annotations

import json

from cmakeys.reports.json import check_data
from cmakeys.verify.verdict import Verdict
from tests.reports.verdicts import ALL


def test_every_device_is_there_with_a_verdict_that_can_be_read_back() -> None:
    data = json.loads(json.dumps(check_data(list(ALL.items()))))
    assert [device["name"] for device in data["devices"]] == list(ALL)
    assert [Verdict.from_json(device["verdict"]) for device in data["devices"]] == list(ALL.values())


def test_the_summary_counts_every_outcome_also_those_that_did_not_occur() -> None:
    assert check_data([])["summary"] == dict.fromkeys(ALL, 0)
    assert check_data(list(ALL.items()))["summary"] == dict.fromkeys(ALL, 1)
