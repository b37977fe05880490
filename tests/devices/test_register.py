"""The register gives back what was enrolled, and says plainly what is wrong with it."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cmakeys.devices.database import RegisterDamaged
from cmakeys.devices.enrolled import CheckRecord, Negotiated, check_device_name
from cmakeys.devices.register import Register
from cmakeys.devices.retention import Retention
from cmakeys.errors import NotFound, Refused, UsageProblem
from tests.devices.samples import ENROLLED_AT, checked, sample


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path / "var" / "lib" / "cmakeys")


def test_an_enrolled_device_comes_back_as_it_was(register: Register) -> None:
    bare = sample("bare", identity=None, slot=None, measurements=(), note="")
    register.enroll(sample())
    register.enroll(bare)
    assert register.devices() == (bare, sample())
    assert register.find("gpu0") == sample()
    assert register.at_address(bare.address) == bare


def test_without_a_register_there_are_no_devices_and_no_file_appears(register: Register) -> None:
    assert register.devices() == ()
    assert register.latest() == {}
    assert register.history("gpu0") == ()
    assert register.at_address("emu://x") is None
    for missing in (register.find, register.forget):
        with pytest.raises(NotFound):
            missing("gpu0")
    assert not register.path.parent.exists()


def test_a_name_or_an_address_is_enrolled_once(register: Register) -> None:
    register.enroll(sample())
    with pytest.raises(Refused, match="name is taken"):
        register.enroll(sample(address="emu://elsewhere:1"))
    with pytest.raises(Refused, match="address is enrolled already, as gpu0"):
        register.enroll(sample("gpu1", address=sample().address))
    assert register.devices() == (sample(),)


def test_enrolling_anew_keeps_the_history_and_nothing_else(register: Register) -> None:
    register.enroll(sample(), checked())
    replacement = sample(address="emu://elsewhere:1", measurements=(), note="after the update")
    register.re_enroll(replacement, checked(minutes=1))
    assert register.devices() == (replacement,)
    assert register.history("gpu0") == (checked(minutes=1), checked())


def test_enrolling_anew_needs_an_old_enrolment_and_a_free_address(register: Register) -> None:
    register.enroll(sample())
    with pytest.raises(NotFound):
        register.re_enroll(sample("other"))
    register.enroll(sample("other"))
    with pytest.raises(Refused, match="as gpu0"):
        register.re_enroll(sample("other", address=sample().address))
    assert [device.name for device in register.devices()] == ["gpu0", "other"]


def test_a_forgotten_device_takes_its_history_along(register: Register) -> None:
    register.enroll(sample(), checked())
    register.forget("gpu0")
    assert register.devices() == ()
    register.record([checked(minutes=1)])
    register.enroll(sample())
    assert register.history("gpu0") == ()


def test_unreachable_is_history_but_no_verdict(register: Register) -> None:
    register.enroll(sample(), checked())
    register.record([checked(outcome="rejected", minutes=1), checked(outcome="unreachable", minutes=2)])
    assert register.latest()["gpu0"].outcome == "unreachable"
    assert register.latest_verdicts()["gpu0"].outcome == "rejected"
    assert [record.outcome for record in register.history("gpu0", 2)] == ["unreachable", "rejected"]
    assert [record.is_verdict for record in register.history("gpu0")] == [False, True, True]


def test_only_a_check_that_passed_changes_what_the_next_one_compares_with(register: Register) -> None:
    register.enroll(sample())
    register.record([checked(outcome="rejected")])
    assert register.find("gpu0").last == sample().last
    newer = Negotiated("1.3", "ECDSA-P384", "SHA-512")
    register.record([checked(negotiated=newer)])
    assert register.find("gpu0").last == newer
    assert register.find("gpu0").at_enrolment == sample().at_enrolment


def test_history_is_bounded_per_device(register: Register) -> None:
    register.enroll(sample())
    register.enroll(sample("other"), checked("other"))
    register.record([checked(minutes=minute) for minute in range(8)], Retention(3))
    assert register.history("gpu0", 100) == tuple(checked(minutes=minute) for minute in (7, 6, 5))
    assert register.history("other") == (checked("other"),)


def test_several_runs_record_at_the_same_time(register: Register) -> None:
    for number in range(4):
        register.enroll(sample(f"gpu{number}"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: register.record([checked(f"gpu{n % 4}", minutes=n)]), range(40)))
    assert sum(len(register.history(f"gpu{number}")) for number in range(4)) == 40


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE device SET pin_kind = 'shoe size'", "shoe size"),
        ("UPDATE device SET pin_value = 'ff'", "SHA-256"),
        ("UPDATE certificate SET der = x'3000'", "not a valid X.509"),
        ("UPDATE device SET identity = 'Vendor=zzzz'", "not a PCIe identity"),
        ("UPDATE device SET enrolled_at = 'yesterday'", "is no time"),
        ("UPDATE device SET enrolled_at = '2040-01-01T00:00:00'", "needs a zone"),
        ("UPDATE device SET name = 'emu://x'", "cannot name a device"),
    ],
)
def test_an_entry_that_somebody_spoilt_is_named(register: Register, statement: str, complaint: str) -> None:
    register.enroll(sample())
    with closing(sqlite3.connect(register.path)) as connection, connection:
        connection.execute(statement)
    with pytest.raises(RegisterDamaged, match=complaint) as caught:
        register.devices()
    assert caught.value.object == str(register.path)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["", "a b", "emu://x", "pci:0000:01:00.0", "-x", "x" * 65, "ä", "../x"])
def test_a_device_s_name_can_never_be_taken_for_an_address_or_a_path(name: str) -> None:
    with pytest.raises(UsageProblem):
        check_device_name(name)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageProblem):
        sample(enrolled_at=ENROLLED_AT.replace(tzinfo=None))


def test_a_check_says_whether_it_is_a_verdict() -> None:
    assert not CheckRecord("x", ENROLLED_AT, "unreachable").is_verdict
    assert CheckRecord("x", ENROLLED_AT, "unsupported").is_verdict
