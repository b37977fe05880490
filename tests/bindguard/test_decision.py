"""Which function is held and which is bound, as a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.bindguard.decision import (
    By,
    Guard,
    Standing,
    Subject,
    Unreachable,
    after_asking,
    before_asking,
    listed,
)
from cmakeys.devices.address import PciFunction
from cmakeys.devices.binding import Essential
from cmakeys.devices.functions import FunctionEntry
from cmakeys.errors import UsageProblem

PORT = PciFunction.parse("0000:00:1c.0")
HERE = PciFunction.parse("0000:01:00.0")
NVME = Subject(FunctionEntry(HERE, Path("/none"), 0x1B36, 0x0010, 0x010802), (PORT,))
BRIDGE = replace(NVME, entry=replace(NVME.entry, class_code=0x060400))
HOST_BRIDGE = replace(NVME, entry=replace(NVME.entry, class_code=0x060000))
DISPLAY = replace(NVME, entry=replace(NVME.entry, class_code=0x030000), boot_display=True)
NOTHING = Essential({})


def guard(
    classes: tuple[str, ...] = (), ids: tuple[str, ...] = (), behind: tuple[str, ...] = (), *, removable: bool = False
) -> Guard:
    return Guard.of(classes, ids, behind, removable=removable, by=By.CHECK, unreachable=Unreachable.HOLD)


@pytest.mark.parametrize(
    ("guarding", "subject", "expected"),
    [
        (guard(("01",)), NVME, "class 01"),
        (guard(("0108",)), NVME, "class 0108"),
        (guard(("0106",)), NVME, ""),
        (guard(ids=("1B36:0010",)), NVME, "id 1b36:0010"),
        (guard(ids=("1b36:*",)), NVME, "id 1b36:*"),
        (guard(ids=("1b36:0011",)), NVME, ""),
        (guard(behind=(str(PORT),)), NVME, f"behind {PORT}"),
        (guard(behind=(str(HERE),)), NVME, ""),
        (guard(removable=True), NVME, ""),
        (guard(removable=True), replace(NVME, removable=True), "removable"),
        (guard(behind=(str(PORT),)), BRIDGE, ""),
        (guard(behind=(str(PORT),)), HOST_BRIDGE, f"behind {PORT}"),
        (guard(removable=True), replace(HOST_BRIDGE, removable=True), "removable"),
        (guard(("0604",)), BRIDGE, "class 0604"),
        (guard(("01",)), replace(NVME, entry=FunctionEntry(HERE, Path("/none"))), ""),
    ],
)
def test_a_function_is_listed_by_class_id_or_place(guarding: Guard, subject: Subject, expected: str) -> None:
    assert listed(guarding, subject) == expected


@pytest.mark.parametrize(
    ("guarding", "subject", "essential", "off", "reason"),
    [
        (guard(("01",)), NVME, NOTHING, True, "switched off"),
        (guard(("02",)), NVME, NOTHING, False, "not listed"),
        (guard(("01",)), NVME, Essential({HERE: "/"}), False, "holds /"),
        (guard(("01",)), NVME, Essential({}, ("/",)), False, "may hold /"),
        (guard(("03",)), DISPLAY, NOTHING, False, "console"),
    ],
)
def test_what_is_bound_without_asking_and_why(
    guarding: Guard, subject: Subject, essential: Essential, off: bool, reason: str
) -> None:
    decision = before_asking(guarding, subject, essential, off=off)
    assert decision is not None
    assert decision.bind
    assert reason in decision.reason


@pytest.mark.parametrize(
    ("guarding", "subject", "essential"),
    [
        (guard(("01",)), NVME, NOTHING),
        (guard(ids=("1b36:0010",)), DISPLAY, NOTHING),
        (guard(("03",)), replace(DISPLAY, boot_display=False), Essential({}, ("/",))),
        (guard(("01",)), NVME, Essential({PORT: "/"})),
    ],
)
def test_whom_nothing_excuses_has_to_show_that_it_is_trusted(
    guarding: Guard, subject: Subject, essential: Essential
) -> None:
    assert before_asking(guarding, subject, essential, off=False) is None


@pytest.mark.parametrize(
    ("standings", "unreachable", "bind"),
    [
        ({By.CHECK: Standing.TRUSTED}, Unreachable.HOLD, True),
        ({By.CHECK: Standing.REJECTED, By.KERNEL: Standing.TRUSTED}, Unreachable.HOLD, True),
        ({By.CHECK: Standing.REJECTED}, Unreachable.BIND, False),
        ({By.CHECK: Standing.UNSUPPORTED}, Unreachable.BIND, False),
        ({By.CHECK: Standing.UNREACHABLE}, Unreachable.HOLD, False),
        ({By.CHECK: Standing.UNREACHABLE}, Unreachable.BIND, True),
        ({By.CHECK: Standing.UNREACHABLE, By.KERNEL: Standing.REJECTED}, Unreachable.BIND, False),
        ({By.CHECK: Standing.UNSUPPORTED, By.KERNEL: Standing.UNREACHABLE}, Unreachable.HOLD, False),
        ({}, Unreachable.HOLD, False),
    ],
)
def test_only_trust_binds_and_the_unreachable_stay_unless_allowed(
    standings: dict[By, Standing], unreachable: Unreachable, bind: bool
) -> None:
    decision = after_asking(replace(guard(("01",)), unreachable=unreachable), standings)
    assert decision.bind is bind
    assert decision.reason


@pytest.mark.parametrize(
    ("classes", "ids", "behind"),
    [
        (("1",), (), ()),
        (("01080200",), (), ()),
        (('01", RUN+="x',), (), ()),
        ((), ("1b36",), ()),
        ((), ("1b36:10",), ()),
        ((), ("*:0010",), ()),
        ((), (), ("port",)),
        ((), (), ()),
        (("01",) * 300, (), ()),
    ],
)
def test_what_is_no_list_is_refused(classes: tuple[str, ...], ids: tuple[str, ...], behind: tuple[str, ...]) -> None:
    with pytest.raises(UsageProblem):
        guard(classes, ids, behind)
