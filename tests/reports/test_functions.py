"""What is said of PCI functions fits a terminal and says what a person has to know."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.devices.address import PciFunction
from cmakeys.devices.functions import FunctionEntry
from cmakeys.devices.kernel import Authenticated, KernelSlot, KernelVerdict, SlotState
from cmakeys.devices.names import DeviceNames
from cmakeys.devices.reauthentication import Reauthentication
from cmakeys.devices.scan import ScannedFunction, Speaks
from cmakeys.devices.signatures import LoggedSignature
from cmakeys.evidence.kernel import LogFinding, LogOutcome
from cmakeys.reports.functions import log_report, recheck_report, scan_row, slot_report
from cmakeys.reports.layout import WIDTH
from cmakeys.reports.terminal import Tone

ENTRY = FunctionEntry(PciFunction(0, 1, 0, 0), Path("0000:01:00.0"), 0x10DE, 0x2336)
NAMES = DeviceNames({0x10DE: "NVIDIA Corporation"}, {(0x10DE, 0x2336): "GH100 [H200 NVL] with a name without end"})
FAILED = KernelVerdict(Authenticated.FAILED, 0o644, b"0\n")
SUCCEEDED = KernelVerdict(Authenticated.SUCCEEDED, 0o644, b"1\n")


def test_a_row_is_short_whatever_the_name() -> None:
    row = scan_row(ScannedFunction(ENTRY, Speaks.YES, "", SUCCEEDED), NAMES, "gpu0")
    assert row == ("0000:01:00.0", "NVIDIA Corporation GH100 [H20…", "yes", "authenticated", "gpu0")
    unread = scan_row(ScannedFunction(ENTRY, Speaks.NO, "", KernelVerdict(Authenticated.ABSENT)), DeviceNames(), None)
    assert unread == ("0000:01:00.0", "10de:2336", "no", "", "?")


@pytest.mark.parametrize("number", [errno.EKEYREJECTED, errno.ENOTTY, errno.EPERM])
def test_an_attempt_that_failed_is_no_good_news_and_fits_the_terminal(number: int) -> None:
    attempt = Reauthentication(ENTRY, SUCCEEDED, FAILED, OSError(number, os.strerror(number)))
    first, *more = recheck_report(attempt)
    assert first.text.startswith("0000:01:00.0  authenticated -> failed: ")
    assert first.tone is (Tone.BAD if number == errno.EKEYREJECTED else Tone.WARNING)
    assert all(len(line.text) <= WIDTH for line in (first, *more))


def test_success_is_good_news() -> None:
    (line,) = recheck_report(Reauthentication(ENTRY, FAILED, SUCCEEDED))
    assert line.tone is Tone.GOOD


def test_a_slot_that_is_no_chain_says_why() -> None:
    lines = slot_report([KernelSlot(0, SlotState.PROVISIONED, b"\x30\x80"), KernelSlot(1, SlotState.EMPTY)])
    assert lines[0].tone is Tone.WARNING
    assert "not DER" in lines[0].text
    assert lines[-1].text == "  slot 1      empty"
    assert slot_report([])[0].tone is Tone.NOTE


def test_a_signature_is_shown_with_its_faults() -> None:
    entry = LoggedSignature(7, datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC))
    lines = log_report(LogFinding(entry, LogOutcome.REFUTED, ("x" * 200, "the prefix")))
    assert lines[0].text == "  signature 7: refuted, received 2040-01-02 03:04:05 UTC"
    assert lines[0].tone is Tone.BAD
    assert all(len(line.text) <= WIDTH for line in lines)
