"""An admin reads from the register's reports what is known of a device, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.devices.enrolled import Negotiated
from cmakeys.reports.devices import HEADER, device_data, device_report, enrolled_report, list_row, record_data
from cmakeys.reports.terminal import Terminal, columns, width
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.x509.pin import Pin, PinKind
from tests.devices.samples import checked, sample
from tests.reports.golden import assert_golden
from tests.reports.verdicts import HOSTILE

# Certificates are made anew in every run, so the golden files show a device without them.
DEVICE = sample(pin=Pin(PinKind.DEVICE_CERTIFICATE, "ab" * 32), root_fingerprint="cd" * 32, chain=())
HISTORY = (checked(outcome="unreachable", minutes=2), checked(outcome="rejected", minutes=1), checked())
TERMINAL = Terminal(interactive=True)


def test_one_device_in_full() -> None:
    assert_golden("device", [line.text for line in device_report(DEVICE, HISTORY)])


def test_a_device_of_which_little_is_known() -> None:
    bare = replace(DEVICE, identity=None, slot=None, measurements=(), note="", root_name="", root_fingerprint="")
    newer = replace(bare, last=Negotiated("1.3", "ECDSA-P384", "SHA-512"))
    assert_golden("device-bare", [line.text for line in device_report(newer, ())])


def test_the_list() -> None:
    rows = [
        list_row(DEVICE, checked(), checked()),
        list_row(replace(DEVICE, name="nvme1"), checked(outcome="rejected"), checked(outcome="unreachable")),
        list_row(replace(DEVICE, name="new"), None, None),
        list_row(replace(DEVICE, name="never-there"), None, checked(outcome="unreachable")),
    ]
    assert_golden("device-list", columns(HEADER, rows))


def test_what_an_enrolment_fixed() -> None:
    assert_golden("device-enrolled", [line.text for line in enrolled_report(DEVICE, "its key identifies the device")])


def test_a_device_without_measurements_is_enrolled_with_a_warning() -> None:
    report = [line.text for line in enrolled_report(replace(DEVICE, measurements=()), "why")]
    assert any("change of firmware would go unnoticed" in line for line in report)


def test_a_chain_is_shown_with_full_fingerprints() -> None:
    report = [line.text.strip() for line in device_report(sample(), ())]
    for certificate in sample().chain:
        assert certificate.fingerprint in report
        assert any(certificate.label in line for line in report)


def test_many_measurements_are_counted_and_the_first_ones_shown() -> None:
    many = tuple(MeasurementBlock(index, 1, bytes(48)) for index in range(1, 65))
    report = [line.text for line in device_report(replace(DEVICE, measurements=many), ())]
    assert "    and 48 more; --json shows all" in report


@pytest.mark.parametrize("text", [HOSTILE, "長い" * 100, "x" * 500])
def test_foreign_text_stays_within_the_terminal(text: str) -> None:
    device = replace(DEVICE, note=text, address=f"emu://{text}")
    history = (checked(reason=text),)
    for line in (*device_report(device, history), *enrolled_report(device, text)):
        shown = TERMINAL.line(line.text, line.tone)
        assert line.text.isprintable()
        assert width(shown) <= 80


def test_a_program_gets_every_measurement() -> None:
    data = device_data(sample())
    assert [one["value"] for one in data["measurements"]] == [bytes(48), b"raw"]  # type: ignore[attr-defined]  # a list
    assert data["negotiated"] == {"version": "1.2", "asym": "ECDSA-P384", "hash": "SHA-384"}
    assert device_data(replace(sample(), last=Negotiated()))["last_negotiated"] == {
        "version": None,
        "asym": None,
        "hash": None,
    }
    assert record_data(None) is None
