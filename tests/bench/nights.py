"""What a night costs beside the devices, and what looking back costs, as the fleet and the years grow.

The bookkeeping of `check --all` is everything but asking and judging: reading the register, telling news from what was
there before, writing the verdicts. It may grow with the fleet, not with the nights that were before. The news of a
fleet are found in an index, so that ten times the devices must not make a question dearer than its answer.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cmakeys.check import CheckResult, Target
from cmakeys.devices.chronicle import Question, checks, runs
from cmakeys.devices.database import writing
from cmakeys.devices.register import Register
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.enrolling import Candidate, Wish, candidate
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.standing import findings, history, remembered
from tests.bench.ratio import Ratio, interleaved
from tests.nightly.world import Wire
from tests.workbench import NOW, conditions

SMALL, LARGE = 1_000, 10_000
WEEK, YEAR = 7, 365
ROUNDS = 5

_FLEET = "WITH RECURSIVE one (number) AS (SELECT 2 UNION ALL SELECT number + 1 FROM one WHERE number < ?)"
_COLUMNS = (
    "slot, pin_kind, pin_value, identity, enrolled_version, enrolled_asymmetric, enrolled_hash, last_version,"
    " last_asymmetric, last_hash, root_name, root_sha256, note, enrolled_at"
)


class Fleet:
    """A register of `devices`, checked in each of `nights`; one in a thousand checks was news."""

    def __init__(self, folder: Path, devices: int, nights: int, model: Candidate) -> None:
        self.register = Register(folder / f"{devices}-{nights}")
        self.register.enroll(replace(model.device, name="d1"), replace(model.first, device="d1"))
        self.now = NOW + timedelta(days=nights + 1)
        with writing(self.register.path) as connection:
            connection.execute(
                f"{_FLEET} INSERT INTO device (id, name, address, {_COLUMNS})"  # noqa: S608 (names of columns)
                f" SELECT number, 'd' || number, 'emu://d' || number, {_COLUMNS} FROM one, device WHERE device.id = 1",
                (devices,),
            )
            for table, columns in (
                ("certificate", "position, der"),
                ("measurement", "position, specification, value_type, value"),
                ("memory", "state, began, silent, passed_at, observed, changed_at, changes"),
            ):
                connection.execute(
                    f"{_FLEET} INSERT INTO {table} (device, {columns})"  # noqa: S608 (names of tables and columns)
                    f" SELECT number, {columns} FROM one, {table} WHERE device = 1",
                    (devices,),
                )
            for night in range(nights):
                connection.execute(
                    "INSERT INTO history (device, checked_at, outcome, reason, detail, news)"
                    " SELECT id, ?, 'trusted', ?, '', (id * 7919 + ?) % 1000 = 0 FROM device",
                    ((NOW + timedelta(days=night)).isoformat(), model.judgement.verdict.summary, night),
                )
        self.model = model

    def night(self) -> None:
        """One night's bookkeeping."""
        self.now += timedelta(days=1)
        enrolled = self.register.devices()
        verdict = replace(self.model.judgement.verdict, checked_at=self.now)
        judgement = replace(self.model.judgement, verdict=verdict)
        results = [CheckResult(Target(one.name, one.address, one), judgement) for one in enrolled]
        memories = remembered(self.register, [one.name for one in enrolled])
        self.register.record(history(findings(results, memories)))

    def news(self) -> None:
        """The news of the fleet, and the last of one device."""
        assert checks(self.register.path, Question(news=True))
        assert checks(self.register.path, Question(("d7",)))

    def look_back(self) -> None:
        """The last twenty runs."""
        assert len(runs(self.register.path, Question())) == 20


def model() -> Candidate:
    """An emulated device, as it would be enrolled."""
    vendor = VendorAuthority.create("Bench Nights")
    device = build_device(vendor, Blueprint())
    terms = replace(
        conditions(rootset=RootSet((Root("bench", vendor.certificate),))),
        reach=lambda url, _deadline: Wire(url, device),
    )
    return candidate(Wish("emu://d1", "d1"), terms)


def ratios() -> list[Ratio]:
    """A year against a week, and ten thousand devices against a thousand."""
    one = model()
    with tempfile.TemporaryDirectory(prefix="cmakeys-bench-") as place:
        folder = Path(place)
        young, old = Fleet(folder, SMALL, WEEK, one), Fleet(folder, SMALL, YEAR, one)
        large = Fleet(folder, LARGE, YEAR, one)
        week, year = interleaved([young.night, old.night], ROUNDS)
        thousand, many = interleaved([old.night, large.night], 3)
        few_news, many_news = interleaved([old.news, large.news], ROUNDS)
        few_runs, many_runs = interleaved([old.look_back, large.look_back], ROUNDS)
    return [
        Ratio(f"bookkeeping of {SMALL} devices after a year against after a week", year, week, 1.5),
        Ratio(f"bookkeeping of {LARGE} devices against {SMALL}, both after a year", many, thousand, 13),
        Ratio(f"news of {LARGE} devices and a year against {SMALL}", many_news, few_news, 2),
        Ratio(f"the last twenty runs of {LARGE} devices against {SMALL}", many_runs, few_runs, 13),
    ]


if __name__ == "__main__":
    for ratio in ratios():
        print(ratio)
