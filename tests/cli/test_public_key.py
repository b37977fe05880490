"""Devices without certificates on the command line: the key is given once, kept, and asked for ever after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.cli.app import main
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.line import Seat
from cmakeys.emulator.session_settings import SessionSettings
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import Version
from tests.cli.machine import Machine
from tests.cli.test_emulate import emulated
from tests.workbench import honest, seat, serving, vendor

pytestmark = pytest.mark.system

KEYED = DeviceSettings(versions=(Version.V12, Version.V13), provisioned_key=True)


@dataclass(frozen=True)
class Bench:
    """A machine without any root, the address of a device without certificates, and files with its key and another."""

    machine: Machine
    seat: Seat
    url: str
    key: str
    wrong: str


def pem(key: ec.EllipticCurvePublicKey, path: Path) -> str:
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    device = build_device(vendor(), Blueprint(settings=KEYED, credentials=honest("0001").hardware.slots))
    public = honest("0001").hardware.slots[0][0].chain[-1].public_key
    assert isinstance(public, ec.EllipticCurvePublicKey)
    files = (
        pem(public, tmp_path / "device.pub"),
        pem(ec.generate_private_key(public.curve).public_key(), tmp_path / "wrong.pub"),
    )
    there = Seat(device)
    with serving(there) as (url,):
        yield Bench(Machine(tmp_path / "tree", capsys), there, url, *files)


def test_it_is_enrolled_by_its_key_and_checked_by_it_without_any_root(bench: Bench) -> None:
    enrolled = bench.machine.run("devices", "enroll", bench.url, "--name", "acc", "--public-key", bench.key, "--json")
    assert enrolled.code == 0
    shown = bench.machine.run("devices", "show", "acc")
    assert "none: it is known by a public key" in shown.out
    checked = bench.machine.run("check", "acc")
    assert checked.code == 0
    assert checked.out.startswith("acc: trusted: identified by public key")
    assert "10  passed" in checked.out
    assert "13  passed" in checked.out
    assert bench.machine.run("check", "--all", "--json").code == 0


@pytest.mark.parametrize("words", [("check",), ("devices", "enroll", "--name", "acc")])
def test_without_the_key_every_verb_asks_for_it(bench: Bench, words: tuple[str, ...]) -> None:
    said = bench.machine.run(*words, bench.url)
    assert said.code == 5
    assert "provisioned public key" in " ".join((said.out + said.err).split())


@pytest.mark.parametrize("words", [("check",), ("devices", "enroll", "--name", "acc"), ("measure", "get")])
def test_another_key_is_rejected_with_the_reason(bench: Bench, words: tuple[str, ...]) -> None:
    said = bench.machine.run(*words, bench.url, "--public-key", bench.wrong)
    assert said.code == 1
    assert "CertChainHash is not the hash of the provisioned public key" in " ".join((said.out + said.err).split())


def test_a_device_in_its_place_with_another_key_is_noticed_and_enrolled_anew_on_purpose(bench: Bench) -> None:
    assert bench.machine.run("devices", "enroll", bench.url, "--name", "acc", "--public-key", bench.key).code == 0
    (known,) = bench.seat.device.hardware.slots[0]
    (other,) = honest("0002").hardware.slots[0]
    bench.seat.device = build_device(vendor(), Blueprint(settings=KEYED, credentials={0: (other,)}))
    said = bench.machine.run("check", "acc")
    assert said.code == 1
    assert "another device answers here" in " ".join(said.out.split())
    replacement = other.chain[-1].public_key
    assert isinstance(replacement, ec.EllipticCurvePublicKey)
    file = pem(replacement, Path(bench.key).with_name("new.pub"))
    again = bench.machine.run(
        "devices", "enroll", bench.url, "--name", "acc", "--public-key", file, "--replace", "--json"
    )
    assert again.code == 0
    assert bench.machine.run("check", "acc").code == 0
    assert known.chain != other.chain


def test_its_key_is_withdrawn_by_a_deny_entry(bench: Bench) -> None:
    assert bench.machine.run("devices", "enroll", bench.url, "--name", "acc", "--public-key", bench.key).code == 0
    shown = bench.machine.run("devices", "show", "acc", "--json").data["device"]
    assert isinstance(shown, dict)
    denied = bench.machine.run("deny", "add", "--key", shown["pin"]["sha256"], "--reason", "leaked", "--no-apply")
    assert denied.code == 0
    assert "acc" in denied.out + denied.err
    said = bench.machine.run("check", "acc")
    assert said.code == 1
    assert "the provisioned public key is denied by its key" in " ".join(said.out.split())
    assert bench.machine.run("devices", "enroll", bench.url, "--public-key", bench.key, "--name", "acc2").code != 0


def test_what_an_enrolled_device_signs_is_trusted_and_what_a_key_only_given_vouches_for_says_so(bench: Bench) -> None:
    given = bench.machine.run("measure", "get", bench.url, "--public-key", bench.key)
    assert given.code == 0
    assert "signed by the public key that was given" in given.out
    assert bench.machine.run("devices", "enroll", bench.url, "--name", "acc", "--public-key", bench.key).code == 0
    assert "signed by a trusted device" in bench.machine.run("measure", "get", "acc").out
    assert bench.machine.run("measure", "compare", "acc").code == 0


def test_saved_evidence_is_judged_by_the_key_in_the_register_or_one_that_is_given(bench: Bench, tmp_path: Path) -> None:
    file = str(tmp_path / "evidence.json")
    assert bench.machine.run("evidence", "save", bench.url, "-o", file).code == 0
    assert bench.machine.run("evidence", "verify", file).code == 5
    assert bench.machine.run("evidence", "verify", file, "--public-key", bench.wrong).code == 1
    assert (
        bench.machine.run("evidence", "verify", file, "--public-key", bench.wrong, "--public-key", bench.key).code == 0
    )
    assert bench.machine.run("devices", "enroll", bench.url, "--name", "acc", "--public-key", bench.key).code == 0
    assert bench.machine.run("evidence", "verify", file).code == 0


def test_its_sessions_are_opened_with_the_secrets_and_the_key(bench: Bench, tmp_path: Path) -> None:
    talk, secrets = str(tmp_path / "talk.jsonl"), str(tmp_path / "secrets")
    bench.seat.device.hardware.settings = replace(KEYED, sessions=SessionSettings())
    asked = ("--session", "require", "--trace", talk, "--trace-secrets", secrets, "-o", str(tmp_path / "e.json"))
    assert bench.machine.run("evidence", "save", bench.url, "--public-key", bench.key, *asked).code == 0
    opened: list[object] = []
    for words in ((), ("--public-key", bench.key), ("--public-key", bench.wrong)):
        assert main(["spdm", "trace", talk, "--secrets", secrets, *words, "--json"]) == 0
        opened.append(json.loads(bench.machine.capture.readouterr().out)["data"]["unopened"])
    assert opened[1] == 0
    assert all(isinstance(count, int) and count > 0 for count in (opened[0], opened[2]))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("devices", "enroll", "URL", "--public-key", "KEY", "--pin", "leaf"), "leave out --pin and --slot"),
        (("devices", "enroll", "URL", "--public-key", "KEY", "--slot", "0"), "leave out --pin and --slot"),
        (("devices", "enroll", "URL", "--pin", "public-key"), "add --public-key FILE"),
        (("check", "URL", "URL2", "--public-key", "KEY"), "the address of one device"),
        (("check", "URL", "--public-key", "NOTHING"), "NOTHING"),
        (("check", "URL", "--public-key", "TREE"), "tree"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_asked(
    bench: Bench, words: tuple[str, ...], reason: str
) -> None:
    bench.machine.sysroot.mkdir()
    meant = {"URL": bench.url, "URL2": "emu://127.0.0.1:1", "KEY": bench.key, "TREE": str(bench.machine.sysroot)}
    said = bench.machine.run(*(meant.get(word, word) for word in words))
    assert said.code not in (0, 70)
    assert reason in said.err


def test_a_device_with_certificates_is_not_asked_for_a_key(bench: Bench) -> None:
    with serving(seat(serial="0003")) as (url,):
        said = bench.machine.run("check", url, "--public-key", bench.key)
    assert said.code == 1
    assert "leave out the public key to ask a device for its certificates" in " ".join(said.out.split())


def test_a_damaged_key_in_the_register_is_told_as_damage_of_the_register(bench: Bench) -> None:
    import sqlite3
    from contextlib import closing

    assert bench.machine.run("devices", "enroll", bench.url, "--name", "acc", "--public-key", bench.key).code == 0
    with closing(sqlite3.connect(bench.machine.register)) as connection:
        connection.execute("UPDATE device SET public_key = x'3000'")
        connection.commit()
    for words in (("check", "acc"), ("devices", "list"), ("evidence", "verify", bench.key)):
        said = bench.machine.run(*words)
        assert said.code == 1
        assert "devices.db" in said.err
        assert "damaged" in said.err


def test_the_emulator_writes_the_key_and_says_how_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "device.pub"
    with emulated(tmp_path, "--provisioned-key", str(key), "--key", "p256") as (process, (url,)):
        assert main(["check", url, "--public-key", str(key), "--sysroot", str(tmp_path / "tree")]) == 0
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert errors == ""
    assert f"check it     cmakeys check --public-key {key} '{url}'" in output
    assert "root  " not in output
    assert capsys.readouterr().out.startswith(f"{url}: trusted")


@pytest.mark.parametrize("option", [("--count", "2"), ("--slots", "2"), ("--alias",), ("--multi-key", "only")])
def test_the_emulator_has_one_key_for_one_device(
    tmp_path: Path, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emulate", "--provisioned-key", str(tmp_path / "device.pub"), *option]) == 2
    assert "one key of one device" in capsys.readouterr().err
    assert not (tmp_path / "device.pub").exists()
