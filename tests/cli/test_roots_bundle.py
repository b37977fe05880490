"""Bundles from the command line: a vendor makes them, several people sign, a machine imports only what holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from cmakeys.cli.app import main
from cmakeys.roots.bundle_state import load_state, vouched
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.journal import Journal
from cmakeys.roots.root import LifeCycle
from cmakeys.roots.store import RootStore
from tests.cli.machine import Machine, Said
from tests.cli.roots_runner import Run, runner
from tests.roots.bundles import pem, private
from tests.roots.trust import root

A, B = root("a"), root("b")


@dataclass
class Vendor:
    """Whoever makes bundles: a machine with the roots, and the keys of its people as files."""

    machine: Machine
    folder: Path
    version: int = 0

    def key(self, name: str) -> str:
        path = self.folder / f"{name}.pem"
        path.write_bytes(pem(name))
        return str(path)

    def public(self, name: str) -> str:
        path = self.folder / f"{name}.pub"
        key = load_pem_private_key(pem(name), None).public_key()
        path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return str(path)

    def create(self, by: str, *options: str, version: int | None = None) -> Said:
        self.version = self.version + 1 if version is None else version
        keys = [word for name in by.split() for word in ("--key", self.key(name))]
        words = ("-o", self.file, "--name", "acme", "--version", str(self.version))
        return self.machine.run("roots", "bundle", "create", *words, *keys, *options)

    @property
    def file(self) -> str:
        return str(self.folder / f"{self.version}.bundle")


@pytest.fixture
def vendor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Vendor:
    found = Vendor(Machine(tmp_path / "vendor", capsys), tmp_path)
    store = RootStore(found.machine.sysroot)
    store.add(A)
    store.add(B)
    store.deny(DenyEntry(DenyKind.KEY, "ab" * 32, "leaked"))
    return found


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path / "machine", capsys)


def imported(machine: Machine, vendor: Vendor, *options: str) -> Said:
    return machine.run("roots", "bundle", "import", vendor.file, "--yes", "--detailed-exitcode", *options)


def held(machine: Machine) -> dict[str, str]:
    return {each.name: each.state.value for each in RootStore(machine.sysroot).load().roots}


def state_dir(machine: Machine) -> Path:
    return machine.sysroot / "var/lib/cmakeys"


def test_the_first_bundle_needs_a_key_that_somebody_names_and_the_next_one_does_not(
    machine: Machine, vendor: Vendor
) -> None:
    assert vendor.create("a").code == 0
    refused = imported(machine, vendor)
    assert refused.code == 8
    assert "nobody has named its keys" in refused.err
    assert not machine.sysroot.exists()
    assert imported(machine, vendor, "--key", vendor.public("b")).code == 1
    assert imported(machine, vendor, "--fingerprint", private("a").public.id).code == 10
    assert held(machine) == {"a": "trusted", "b": "trusted"}
    assert [each.sha256 for each in RootStore(machine.sysroot).own_denials()] == ["ab" * 32]
    assert [each.action for each in Journal(state_dir(machine)).verify().entries] == ["roots-bundle-import"]
    assert vouched(state_dir(machine)) == {A.fingerprint: "acme", B.fingerprint: "acme"}
    assert imported(machine, vendor).code == 0
    vendor.create("a")
    assert imported(machine, vendor).code == 10
    assert imported(machine, vendor).code == 0


def test_signatures_are_gathered_one_after_the_other(machine: Machine, vendor: Vendor) -> None:
    made = vendor.create("a", "--next-key", vendor.public("a"), "--next-key", vendor.public("p"), "--json")
    assert (made.data["complete"], made.data["signatures"]) == (False, [private("a").public.id])
    keys = ("--key", vendor.public("a"), "--key", vendor.public("p"))
    assert imported(machine, vendor, *keys).code == 1
    assert main(["roots", "bundle", "sign", vendor.file, "--key", vendor.key("p")]) == 0
    assert imported(machine, vendor, *keys).code == 10


def test_keys_are_exchanged_by_the_old_and_the_new_ones(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a")
    assert imported(machine, vendor, "--key", vendor.public("a")).code == 10
    vendor.create("b")
    said = imported(machine, vendor)
    assert said.code == 1
    assert "signed by 0 of version 1's 1 keys" in said.err
    vendor.create("a b", "--next-key", vendor.public("b"), version=2)
    said = imported(machine, vendor)
    assert said.code == 10
    assert "other keys than before sign the next one" in said.out
    vendor.create("a")
    assert imported(machine, vendor).code == 1
    remembered = load_state(state_dir(machine), "acme")
    assert remembered is not None
    assert remembered.version == 2


def test_an_old_and_an_expired_bundle_are_refused(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a", version=5)
    assert imported(machine, vendor, "--key", vendor.public("a")).code == 10
    vendor.create("a", version=4)
    said = imported(machine, vendor, "--json")
    assert (said.code, said.error["code"]) == (1, "bundle")
    assert "version 4 is older than 5" in said.error["message"]
    assert vendor.create("a", "--expires", "0d", version=6).code == 2


def test_what_is_dropped_is_named_and_goes_only_when_told(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a")
    imported(machine, vendor, "--key", vendor.public("a"))
    vendor.create("a", "a")
    said = imported(machine, vendor)
    assert "! b is no longer in it, and stays trusted; --prune lets it go" in said.out
    assert held(machine) == {"a": "trusted", "b": "trusted"}
    assert imported(machine, vendor, "--prune").code == 10
    assert held(machine) == {"a": "trusted", "b": "retiring"}
    assert imported(machine, vendor, "--prune").code == 0


def test_a_root_that_was_removed_does_not_come_back_by_the_next_version(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a")
    imported(machine, vendor, "--key", vendor.public("a"))
    assert machine.run("roots", "remove", "b", "--yes").code == 0
    vendor.create("a")
    said = imported(machine, vendor)
    assert "! b is passed over: it was removed here (entry 2 of the journal);" in said.out
    assert held(machine) == {"a": "trusted"}


def test_the_same_bundle_again_changes_nothing_and_says_so(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a")
    imported(machine, vendor, "--key", vendor.public("a"))
    said = imported(machine, vendor)
    assert said.code == 0
    assert said.out.endswith("acme, version 1, is imported already\n")


def test_an_import_that_was_taken_back_may_be_made_again(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a")
    imported(machine, vendor, "--key", vendor.public("a"))
    assert machine.run("roots", "undo", "--yes").code == 0
    assert held(machine) == {}
    assert imported(machine, vendor).code == 10
    assert held(machine) == {"a": "trusted", "b": "trusted"}


def test_a_dry_run_and_verify_change_nothing(machine: Machine, vendor: Vendor) -> None:
    vendor.create("a")
    named = ("--key", vendor.public("a"))
    machine.sysroot.mkdir()
    assert "would import it" in imported(machine, vendor, "--dry-run", *named).out
    assert machine.run("roots", "bundle", "verify", vendor.file, *named).code == 0
    assert list(machine.sysroot.iterdir()) == []


def test_a_person_is_asked_and_may_say_no(
    vendor: Vendor, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.create("a")
    tree = tmp_path / "asked"
    tree.mkdir()
    run: Run = runner(tree, capsys, monkeypatch)
    words = ("bundle", "import", vendor.file, "--key", vendor.public("a"))
    assert run(*words).code == 8
    assert run(*words, typed="n\n").code == 8
    assert load_state(tree / "var/lib/cmakeys", "acme") is None
    assert run(*words, typed="y\n").code == 0
    assert RootStore(tree).load().roots[0].state is LifeCycle.TRUSTED


@pytest.mark.parametrize("kind", ["fifo", "folder", "missing", "endless"])
def test_what_is_no_file_ends_in_words(machine: Machine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.bundle"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "endless":
            path.symlink_to("/dev/zero")
    said = machine.run("roots", "bundle", "verify", str(path))
    assert said.code in (1, 2, 3)
    assert str(path) in said.err


def test_a_run_that_died_before_the_roots_were_changed_is_made_good_by_the_same_bundle(
    machine: Machine, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.create("a")

    def die(*_: object) -> None:
        raise OSError(28, "No space left on device", "roots")

    with monkeypatch.context() as patch:
        patch.setattr("cmakeys.roots.ledger.Ledger.commit", die)
        assert imported(machine, vendor, "--key", vendor.public("a")).code == 1
    assert held(machine) == {}
    assert imported(machine, vendor).code == 10
    assert held(machine) == {"a": "trusted", "b": "trusted"}
