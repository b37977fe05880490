"""What `evidence save --record` writes can be replayed, judged and turned into a capture file."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.line import Seat
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.emulator.server import Server
from cmakeys.transports.framing import Framing

LINKTYPE = {Framing.NONE: 147, Framing.MCTP: 291, Framing.PCI_DOE: 292, Framing.TCP: 147}


def cmakeys(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "cmakeys", *map(str, arguments))
    return subprocess.run(words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.mark.system
@pytest.mark.parametrize("framing", list(LINKTYPE), ids=lambda framing: framing.name)
def test_a_recorded_conversation_is_replayed_judged_and_exported(framing: Framing, tmp_path: Path) -> None:
    vendor = VendorAuthority.create("Recorded Vendor")
    root, recording, capture = tmp_path / "root.der", tmp_path / "talk.jsonl", tmp_path / "talk.pcap"
    root.write_bytes(vendor.certificate.der)
    with Server([Seat(build_device(vendor, Blueprint()), framing)]) as server:
        url = server.places[0].url
        saved = cmakeys("evidence", "save", url, "-o", tmp_path / "a.json", "--record", recording)
    assert saved.returncode == 0, saved.stderr
    verified = cmakeys("evidence", "verify", recording, "--root", root)
    assert verified.returncode == 0, verified.stdout
    exported = cmakeys("evidence", "pcap", recording, "-o", capture)
    assert exported.returncode == 0, exported.stderr
    magic, _, _, _, _, _, linktype = struct.unpack_from("<IHHiIII", capture.read_bytes())
    assert (magic, linktype) == (0xA1B2C3D4, LINKTYPE[framing])
    again = cmakeys("evidence", "pcap", recording, "-o", capture)
    assert again.returncode == 8
    assert "--force" in again.stderr


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    recording = tmp_path / "talk.jsonl"
    recording.write_text("precious")
    vendor = VendorAuthority.create("Recorded Vendor")
    with Server([Seat(build_device(vendor, Blueprint()))]) as server:
        result = cmakeys("evidence", "save", server.places[0].url, "-o", tmp_path / "a.json", "--record", recording)
    assert result.returncode != 0
    assert recording.read_text() == "precious"
    assert not (tmp_path / "a.json").exists()
