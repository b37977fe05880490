"""A function is asked only by one run at a time, awake, and never behind the back of whom it belongs to."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from cmakeys.errors import Locked, NotFound, NotPermitted, Refused
from cmakeys.transports.base import Deadline, TransportClosed
from cmakeys.transports.pci_claim import claimed
from tests.transports.mailbox import FUNCTION, plant


def claim(sysfs: Path, *, force: bool = False) -> Path:
    with claimed(FUNCTION, Deadline.after(0.3), sysfs=sysfs, force=force) as folder:
        return folder


def test_a_function_that_nobody_uses_may_be_asked(tmp_path: Path) -> None:
    folder = plant(tmp_path)
    assert claim(tmp_path) == folder


def test_a_function_without_driver_may_be_asked(tmp_path: Path) -> None:
    (plant(tmp_path) / "driver").unlink()
    assert claim(tmp_path).name == FUNCTION


def test_a_function_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        claim(tmp_path)
    assert caught.value.object == FUNCTION


@pytest.mark.parametrize("driver", ["vfio-pci", "mlx5-vfio-pci", "xen-pciback", "pciback"])
def test_a_function_of_a_virtual_machine_is_refused_unless_forced(tmp_path: Path, driver: str) -> None:
    folder = plant(tmp_path, driver=driver)
    with pytest.raises(Refused, match=driver) as caught:
        claim(tmp_path)
    assert "?force=1" in caught.value.hint
    assert "ends the guest's SPDM connection" in caught.value.hint
    assert claim(tmp_path, force=True) == folder


@pytest.mark.parametrize("attribute", ["tsm/connect", "tsm/bound", "authenticated"])
def test_a_function_with_a_session_of_the_kernel_is_refused_unless_forced(tmp_path: Path, attribute: str) -> None:
    folder = plant(tmp_path, files={attribute: "tsm0"})
    (folder / attribute).chmod(0o444)
    with pytest.raises(Refused, match=f"{attribute} says tsm0") as caught:
        claim(tmp_path)
    assert "?force=1" in caught.value.hint
    assert "encryption of the link" in caught.value.hint
    assert claim(tmp_path, force=True) == folder


@pytest.mark.parametrize("verdict", ["0", "1"])
def test_the_verdict_of_a_kernel_with_cma_is_no_session(tmp_path: Path, verdict: str) -> None:
    folder = plant(tmp_path, files={"authenticated": verdict})
    assert claim(tmp_path) == folder


def test_a_kernel_without_a_session_leaves_its_attributes_empty(tmp_path: Path) -> None:
    folder = plant(tmp_path, files={"authenticated": "", "tsm/connect": ""})
    (folder / "authenticated").chmod(0o444)
    assert claim(tmp_path) == folder


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("state", ["none [integrity] confidentiality", "none integrity [confidentiality]"])
def test_lockdown_leaves_no_choice(tmp_path: Path, state: str, force: bool) -> None:  # a table's column
    folder = plant(tmp_path)
    lockdown = tmp_path / "kernel/security/lockdown"
    lockdown.parent.mkdir(parents=True)
    lockdown.write_text(state + "\n")
    with pytest.raises(NotPermitted, match="locked down"):
        claim(tmp_path, force=force)
    lockdown.write_text("[none] integrity confidentiality\n")
    assert claim(tmp_path, force=force) == folder


def test_one_run_at_a_time_and_the_other_is_named(tmp_path: Path) -> None:
    folder = plant(tmp_path)
    descriptor = os.open(folder / "config", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Locked, match=r"process \d+|another process") as caught:
            claim(tmp_path, force=True)
        assert caught.value.object == FUNCTION
    finally:
        os.close(descriptor)
    assert claim(tmp_path) == folder


def test_two_claims_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    plant(tmp_path)
    with claimed(FUNCTION, Deadline.after(1), sysfs=tmp_path), pytest.raises(Locked):
        claim(tmp_path)


def test_a_function_is_kept_awake_for_the_duration(tmp_path: Path) -> None:
    control = plant(tmp_path, files={"power/control": "auto"}) / "power/control"
    with claimed(FUNCTION, Deadline.after(1), sysfs=tmp_path):
        assert control.read_text().strip() == "on"
    assert control.read_text().strip() == "auto"


def test_the_admins_setting_is_restored_after_a_failure_too(tmp_path: Path) -> None:
    control = plant(tmp_path, files={"power/control": "auto"}) / "power/control"
    with pytest.raises(ZeroDivisionError), claimed(FUNCTION, Deadline.after(1), sysfs=tmp_path):
        raise ZeroDivisionError
    assert control.read_text().strip() == "auto"


def test_a_function_that_stays_on_is_left_alone(tmp_path: Path) -> None:
    folder = plant(tmp_path)
    control = folder / "power/control"
    control.chmod(0o444)
    before = control.stat().st_mtime_ns
    assert claim(tmp_path) == folder
    assert control.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "files", [{"power_state": "D3hot"}, {"power/control": "auto", "power/runtime_status": "suspended"}]
)
def test_a_function_that_does_not_wake_up_is_not_asked(tmp_path: Path, files: dict[str, str]) -> None:
    folder = plant(tmp_path, files=files)
    with pytest.raises(TransportClosed, match="does not wake up"):
        claim(tmp_path)
    assert (folder / "power/control").read_text().strip() == files.get("power/control", "on")
