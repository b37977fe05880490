"""`cmakeys measure import` and `compare --corim`: a vendor's reference values for a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cbor2
import pytest

from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.line import Seat
from cmakeys.emulator.measurements import INDEX_FIRMWARE, INDEX_SVN
from cmakeys.roots.journal import Journal
from cmakeys.spdm.codes import CertificateModel
from tests.cli.machine import Machine
from tests.cli.test_measure import updated
from tests.corim.publisher import Publisher, corim, digest, unsigned
from tests.workbench import honest, seat, serving, vendor

pytestmark = pytest.mark.system


@cache
def publisher() -> Publisher:
    return Publisher()


@dataclass(frozen=True)
class Bench:
    machine: Machine
    seat: Seat
    folder: Path

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    @property
    def signer(self) -> tuple[str, str]:
        return "--signer", self.write("acme.pem", publisher().pem)

    def published(self, *values: bytes, days: int = 30, environment: str = "Acme") -> str:
        measurements = [(INDEX_FIRMWARE, digest(value)) for value in values]
        document = corim([*measurements, (INDEX_SVN, {1: cbor2.CBORTag(553, 7)})], {0: {1: environment}}, days=days)
        return self.write(f"{environment}{days}.corim", publisher().signed(document))


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    place = seat()
    with serving(place) as (url,):
        assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
        yield Bench(machine, place, tmp_path)


def measured_firmware(bench: Bench) -> bytes:
    """The digest that the device gives for its firmware now."""
    data = bench.machine.run("measure", "get", "gpu0", "--json").data
    blocks = data["measurements"]
    assert isinstance(blocks, list)
    return bytes.fromhex(next(block["value"] for block in blocks if block["index"] == INDEX_FIRMWARE))


def test_the_vendors_word_is_the_reference_until_it_is_taken_back(bench: Bench) -> None:
    old = measured_firmware(bench)
    bench.seat.device = updated(svn=9)
    new = measured_firmware(bench)
    assert bench.machine.run("check", "gpu0").code == 1
    said = bench.machine.run(
        "measure", "import", bench.published(old, new), "--for", "gpu0", *bench.signer, "--detailed-exitcode"
    )
    assert said.code == 10, said.err
    checked = bench.machine.run("check", "gpu0")
    assert checked.code == 0
    shown = " ".join(bench.machine.run("measure", "show", "gpu0").out.split())
    assert "CoRIM acme-fw-2, signed by Acme signing" in shown
    assert "svn ≥ 7" in shown
    assert "import of CoRIM acme-fw-2" in bench.machine.run("check", "gpu0", "--json").out
    bench.seat.device = updated(b"firmware 3")
    refused = bench.machine.run("check", "gpu0")
    assert refused.code == 1
    assert "not as at the import of CoRIM acme-fw-2" in " ".join(refused.out.split())
    assert bench.machine.run("measure", "accept", "gpu0", "--index", "2", "--reason", "lab").code == 0
    assert bench.machine.run("check", "gpu0").code == 0
    for _ in range(2):
        assert bench.machine.run("measure", "undo", "gpu0").code == 0
    bench.seat.device = honest("0001")
    assert bench.machine.run("check", "gpu0").code == 0
    entries = Journal(bench.machine.register.parent).read().entries
    assert [entry.action for entry in entries] == ["measure-import", "measure-accept", "measure-undo", "measure-undo"]
    assert "signed by Acme signing (key SHA-256 " in str(entries[0])


def test_the_same_file_again_changes_nothing(bench: Bench) -> None:
    words = ("measure", "import", bench.published(b"\x01" * 48), "--for", "gpu0", *bench.signer)
    assert bench.machine.run(*words, "--dry-run", "--detailed-exitcode").code == 0
    assert bench.machine.run(*words, "--detailed-exitcode").code == 10
    assert bench.machine.run(*words, "--detailed-exitcode").code == 0


def test_a_file_that_does_not_hold_changes_nothing(bench: Bench) -> None:
    good = bench.published(b"\x01" * 48)
    other = bench.write("other.pem", Publisher().pem)
    tampered = bench.write("tampered", Path(good).read_bytes().replace(b"\x01" * 48, b"\x02" * 48))
    plain = bench.write("plain", unsigned(corim([(2, digest(b"\x01" * 48))])))
    for file, words, reason in (
        (good, ("--signer", other), "not one of the named signer"),
        (tampered, bench.signer, "not one of the named signer"),
        (plain, bench.signer, "nobody signed"),
        (bench.published(b"\x01" * 48, environment="Other"), bench.signer, "nothing in it is about this device"),
        (bench.published(b"\x01" * 48, days=-1), bench.signer, "ended at"),
    ):
        said = bench.machine.run("measure", "import", file, "--for", "gpu0", *words)
        assert said.code == 1
        assert reason in " ".join(said.err.split())
    assert bench.machine.run("measure", "import", plain, "--for", "gpu0").code == 2
    assert not Journal(bench.machine.register.parent).read().entries
    said = bench.machine.run("measure", "import", plain, "--for", "gpu0", "--unsigned")
    assert said.code == 0
    assert "nobody signed it" in said.err


def test_comparing_with_a_corim_shows_what_it_names_and_keeps_nothing(bench: Bench) -> None:
    value = measured_firmware(bench)
    good = bench.machine.run("measure", "compare", "gpu0", "--corim", bench.published(value), *bench.signer)
    assert good.code == 0
    assert "gpu0: 2 measurements are as they should be" in good.out
    assert all(len(line) <= 80 for line in good.out.splitlines())
    bad = bench.machine.run("measure", "compare", "gpu0", "--corim", bench.published(b"\x01" * 48), *bench.signer)
    assert bad.code == 1
    assert "1 of 2 measurements differ" in bad.out
    assert bench.machine.run("measure", "compare", "gpu0", "--unsigned").code == 2
    assert not Journal(bench.machine.register.parent).read().entries


def test_a_person_can_say_what_the_device_is_in_the_words_of_the_file(bench: Bench) -> None:
    file = bench.published(b"\x01" * 48, environment="Acme GmbH")
    words = ("measure", "import", file, "--for", "gpu0", *bench.signer)
    said = bench.machine.run(*words)
    assert said.code == 1
    assert "the leaf's device name says 'Acme'" in " ".join(said.err.split())
    assert bench.machine.run(*words).code == 1
    assert bench.machine.run(*words, "--vendor", "Acme GmbH", "--detailed-exitcode").code == 10
    assert bench.machine.run(*words, "--vendor", "Acme GmbH", "--detailed-exitcode").code == 0
    (entry,) = Journal(bench.machine.register.parent).read().entries
    assert "taken for vendor 'Acme GmbH'" in str(entry)
    assert "taken for vendor 'Acme GmbH'" in " ".join(bench.machine.run("measure", "show", "gpu0").out.split())


def test_what_the_vendor_says_of_the_certified_firmware_counts_before_what_was_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    device = build_device(vendor(), Blueprint(serial="0001", model=CertificateModel.ALIAS))
    place = Seat(device)
    bench = Bench(machine, place, tmp_path)
    with serving(place) as (url,):
        assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
        blocks = [{INDEX_FIRMWARE: measured_firmware(bench)}]
        device.hardware.change_firmware(b"firmware 2", 9)
        blocks.append({INDEX_FIRMWARE: measured_firmware(bench)})
        firmware = [(INDEX_FIRMWARE, digest(one[INDEX_FIRMWARE])) for one in blocks]
        certified = {**digest(hashlib.sha384(b"firmware 2").digest()), 1: cbor2.CBORTag(553, 8)}
        document = corim([*firmware, (INDEX_SVN, {1: cbor2.CBORTag(553, 7)}), (None, certified)])
        file = bench.write("two.corim", publisher().signed(document))
        assert machine.run("check", "gpu0").code == 1
        said = machine.run("measure", "compare", "gpu0", "--corim", file, *bench.signer)
        assert said.code == 0
        assert "TcbInfo of Acme" in said.out
        assert "svn ≥ 8" in said.out
        assert machine.run("measure", "import", file, "--for", "gpu0", *bench.signer, "--json").code == 0
        assert machine.run("check", "gpu0").code == 0
        assert "TcbInfo of Acme" in machine.run("measure", "show", "gpu0").out
        assert machine.run("measure", "show", "gpu0", "--json").code == 0
        device.hardware.change_firmware(b"firmware 1", 7)
        said = machine.run("check", "gpu0")
        assert said.code == 1
        assert "svn is 7, stated is at least 8" in " ".join(said.out.split())
        accepted = machine.run("measure", "accept", "gpu0", "--tcb", "--reason", "a step back, ticket 7")
        assert accepted.code == 0
        assert machine.run("check", "gpu0").code == 0
