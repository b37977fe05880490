"""`cmakeys roots add` from the outside: what is shown and asked, what is refused, and what is then in the store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.cli import enrolment
from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.roots.journal import Journal
from cmakeys.roots.record import render_deny
from cmakeys.roots.root import LeafNameRule
from cmakeys.roots.rootset import DenyEntry, DenyKind
from cmakeys.roots.store import USR, RootStore
from cmakeys.transports.base import Deadline
from cmakeys.x509.lint import Finding, Severity
from tests.cli.roots_runner import Run, actions, names, runner, save
from tests.roots.trust import certificate
from tests.x509.pki import LEAF_USAGE, issue

A, B = certificate("a"), certificate("b")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, capsys, monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return save(tmp_path, "a.pem", A)


class TestAdd:
    def test_without_terminal_and_fingerprint_nothing_is_added(self, run: Run, tmp_path: Path, file: str) -> None:
        result = run("add", file)
        assert result.code == 8
        assert A.fingerprint in result.out
        assert "--fingerprint SHA256" in result.err
        assert (names(tmp_path), actions(tmp_path)) == ([], [])

    def test_yes_never_answers_for_the_fingerprint(self, run: Run, tmp_path: Path, file: str) -> None:
        assert run("add", file, "--yes").code == 8
        assert names(tmp_path) == []

    @pytest.mark.parametrize("separator", ["", ":"])
    def test_the_fingerprint_answers_as_openssl_prints_it(
        self, run: Run, tmp_path: Path, file: str, separator: str
    ) -> None:
        printed = separator.join(A.fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
        assert run("add", file, "--fingerprint", printed).code == 0
        assert names(tmp_path) == ["a-ca"]
        assert actions(tmp_path) == ["roots-add"]

    def test_another_fingerprint_is_refused(self, run: Run, tmp_path: Path, file: str) -> None:
        result = run("add", file, "--fingerprint", B.fingerprint)
        assert result.code == 8
        assert A.fingerprint in result.out
        assert names(tmp_path) == []

    def test_the_beginning_of_a_fingerprint_is_a_usage_error(self, run: Run, file: str) -> None:
        assert run("add", file, "--fingerprint", A.fingerprint[:16]).code == 2

    @pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 8), ("\n", 8), ("", 8)])
    def test_a_person_who_is_shown_everything_answers(
        self, run: Run, tmp_path: Path, file: str, typed: str, code: int
    ) -> None:
        result = run("add", file, typed=typed)
        assert result.code == code
        for shown in (A.subject, "itself", "2020-01-01 to 2090-01-01", "ECDSA P-256", A.fingerprint):
            assert shown in result.out
        assert "[y/N]" in result.err
        assert names(tmp_path) == (["a-ca"] if code == 0 else [])

    def test_json_never_asks(self, run: Run, tmp_path: Path, file: str) -> None:
        result = run("add", file, "--json", typed="y\n")
        assert result.code == 8
        assert result.envelope["ok"] is False
        assert result.data["sha256"] == A.fingerprint
        assert names(tmp_path) == []

    def test_the_envelope_has_stable_keys(self, run: Run, file: str) -> None:
        envelope = run("add", file, "--fingerprint", A.fingerprint, "--json").envelope
        assert (envelope["schema"], envelope["ok"], envelope["changed"]) == ("cmakeys/roots-add/1", True, True)
        assert isinstance(envelope["data"], dict)
        assert set(envelope["data"]) == {
            *("name", "state", "sha256", "spki_sha256", "subject", "issuer", "serial", "not_before", "not_after"),
            *("never_expires", "key", "description", "constraints", "distrust_after", "rotation", "provenance"),
            *("findings", "confirmed_by", "catalogue", "dry_run"),
        }

    def test_adding_again_is_a_success_that_changes_nothing(self, run: Run, tmp_path: Path, file: str) -> None:
        run("add", file, "--fingerprint", A.fingerprint)
        again = run("add", file, "--json", "--detailed-exitcode")
        assert (again.code, again.envelope["changed"]) == (0, False)
        assert "is there already" in run("add", file).out
        assert actions(tmp_path) == ["roots-add"]

    def test_detailed_exitcode_tells_a_change(self, run: Run, file: str) -> None:
        assert run("add", file, "--fingerprint", A.fingerprint, "--detailed-exitcode").code == 10

    def test_a_dry_run_changes_nothing_and_ends_as_the_real_one(self, run: Run, tmp_path: Path, file: str) -> None:
        before = sorted(path.name for path in tmp_path.iterdir())
        sure = run("add", file, "--fingerprint", A.fingerprint, "--dry-run", "--json")
        assert (sure.code, sure.envelope["changed"], sure.data["dry_run"]) == (0, False, True)
        assert run("add", file, "--dry-run").code == 8
        assert "would add a-ca" in run("add", file, "--dry-run", typed="").out
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    def test_options_become_name_constraints_and_provenance(self, run: Run, tmp_path: Path, file: str) -> None:
        words = ["--name", "mine", "--pci-vendor", "10de", "--pci-vendor", "15B3", "--leaf-name", "either"]
        assert run("add", file, "--fingerprint", A.fingerprint, *words, "--reason", "new cards").code == 0
        (made,) = RootStore(tmp_path).load().roots
        assert made.name == "mine"
        assert made.constraints.pci_vendors == {0x10DE, 0x15B3}
        assert made.constraints.leaf_name is LeafNameRule.EITHER
        assert (made.provenance.source, made.provenance.reason) == (file, "new cards")

    @pytest.mark.parametrize(
        "words",
        [
            ("--pci-vendor", "nvidia"),
            ("--pci-vendor", "10de0"),
            ("--leaf-name", "any"),
            ("--name", "../up"),
            ("--name", "deny"),
            ("--from-device", "emu://127.0.0.1:1"),
        ],
    )
    def test_an_option_that_makes_no_sense_is_a_usage_error(
        self, run: Run, tmp_path: Path, file: str, words: tuple[str, ...]
    ) -> None:
        assert run("add", file, "--fingerprint", A.fingerprint, *words).code == 2
        assert names(tmp_path) == []

    def test_no_source_is_a_usage_error(self, run: Run) -> None:
        assert run("add").code == 2

    def test_a_missing_file_is_named(self, run: Run, tmp_path: Path) -> None:
        result = run("add", str(tmp_path / "absent.pem"))
        assert result.code == 3
        assert "absent.pem" in result.err

    def test_a_bundle_is_shown_and_needs_a_choice(self, run: Run, tmp_path: Path) -> None:
        bundle = save(tmp_path, "bundle.pem", A, B)
        result = run("add", bundle)
        assert result.code == 8
        assert A.fingerprint in result.out
        assert B.fingerprint in result.out
        assert run("add", bundle, "--fingerprint", B.fingerprint).code == 0
        assert names(tmp_path) == ["b-ca"]

    def test_a_certificate_comes_from_stdin(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [
                sys.executable,
                *["-m", "cmakeys", "roots", "add", "-"],
                f"--fingerprint={A.fingerprint}",
                f"--sysroot={tmp_path}",
            ],
            input=A.der,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert RootStore(tmp_path).load().roots[0].provenance.source == "stdin"

    def test_a_certificate_that_is_no_ca_is_refused_whoever_vouches(self, run: Run, tmp_path: Path) -> None:
        leaf = issue("leaf", ca=False, key_usage=LEAF_USAGE).certificate
        result = run("add", save(tmp_path, "leaf.pem", leaf), "--fingerprint", leaf.fingerprint)
        assert result.code == 8
        assert "not a CA certificate" in result.err

    def test_a_root_that_ends_within_the_policy_s_horizon_is_refused(self, run: Run, tmp_path: Path, file: str) -> None:
        settings = tmp_path / "etc/cmakeys/cmakeys.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("policy: {root-expiry: {warn: 100%, fail: 99%}}\n")
        result = run("add", file, "--fingerprint", A.fingerprint)
        assert result.code == 8
        assert "and the policy wants more than 99%" in result.err
        settings.write_text("policy: {root-expiry: {warn: 100%, fail: 0d}}\n")
        assert run("add", file, "--fingerprint", A.fingerprint).code == 0

    def test_by_a_clock_that_is_wrong_no_date_is_judged(self, run: Run, tmp_path: Path, file: str) -> None:
        later = datetime.now(UTC) + timedelta(days=2)
        Journal(tmp_path / "var/lib/cmakeys").append("test", "x", {}, at=later, by="ada")
        result = run("add", file, "--fingerprint", A.fingerprint)
        assert result.code == 0
        assert "were not checked: the machine's clock says" in result.out + result.err

    def test_what_is_denied_is_not_added_again(self, run: Run, tmp_path: Path, file: str) -> None:
        (tmp_path / USR).mkdir(parents=True)
        entry = DenyEntry(DenyKind.KEY, A.spki_fingerprint, "stolen")
        (tmp_path / USR / "deny.yaml").write_bytes(render_deny((entry,)))
        result = run("add", file, "--fingerprint", A.fingerprint)
        assert result.code == 8
        assert "stolen" in result.err

    def test_a_state_dir_of_its_own_keeps_the_journal(self, run: Run, tmp_path: Path, file: str) -> None:
        run("add", file, "--fingerprint", A.fingerprint, "--state-dir", str(tmp_path / "state"))
        assert [entry.subject for entry in Journal(tmp_path / "state").verify().entries] == ["a-ca"]
        assert not (tmp_path / "var").exists()

    def test_a_name_with_a_terminal_escape_does_no_harm(self, run: Run, tmp_path: Path) -> None:
        nasty = issue("\x1b[2J\u202eevil").certificate
        result = run("add", save(tmp_path, "nasty.pem", nasty))
        assert "\x1b" not in result.out + result.err
        assert "\u202e" not in result.out + result.err


class TestCatalogue:
    def test_nvidias_root_needs_no_fingerprint(self, run: Run, tmp_path: Path, shared_data: Path) -> None:
        result = run("add", str(shared_data / "nvidia-hopper" / "nvidia_device_root.pem"), "--json")
        assert (result.code, result.data["confirmed_by"]) == (0, "catalogue")
        (made,) = RootStore(tmp_path).load().roots
        assert made.name == "nvidia-device-identity"
        assert made.constraints.leaf_name is LeafNameRule.DEVICE_INFO

    def test_a_sample_root_of_dmtf_is_refused_unless_allowed(self, run: Run, tmp_path: Path, shared_data: Path) -> None:
        path = str(shared_data / "captures" / "roots" / "ecp384" / "ca.cert.der")
        refused = run("add", path)
        assert refused.code == 8
        assert "--allow-test-root" in refused.err
        assert run("add", path, "--allow-test-root").code == 0
        assert names(tmp_path) == ["dmtf-sample-ecp384-ca"]


class TestFromDevice:
    """The emulated device stands in for a transport; everything above it is real."""

    @pytest.fixture
    def vendor(self) -> VendorAuthority:
        return VendorAuthority.create("Acme")

    @pytest.fixture
    def plug(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Device], None]:
        def plug(device: Device) -> None:
            def open_transport(url: str, deadline: Deadline) -> Wire:
                return Wire(url, device)

            monkeypatch.setattr("cmakeys.transports.connect.open_transport", open_transport)

        return plug

    def test_the_device_is_not_taken_at_its_word(
        self, run: Run, tmp_path: Path, vendor: VendorAuthority, plug: Callable[[Device], None]
    ) -> None:
        plug(build_device(vendor, Blueprint()))
        result = run("add", "--from-device", "emu://device")
        assert result.code == 8
        assert names(tmp_path) == []

    def test_its_root_is_added_with_the_fingerprint(
        self, run: Run, tmp_path: Path, vendor: VendorAuthority, plug: Callable[[Device], None]
    ) -> None:
        plug(build_device(vendor, Blueprint()))
        wanted = vendor.certificate.fingerprint
        result = run("add", "--from-device", "emu://device", "--fingerprint", wanted, "--json")
        assert (result.code, result.data["sha256"]) == (0, wanted)
        assert RootStore(tmp_path).load().roots[0].provenance.source == "emu://device"

    def test_a_chain_without_its_root_is_refused(
        self, run: Run, vendor: VendorAuthority, plug: Callable[[Device], None]
    ) -> None:
        plug(build_device(vendor, replace(Blueprint(), include_root=False)))
        result = run("add", "--from-device", "emu://device")
        assert result.code == 8
        assert "which is not its root" in result.err

    def test_a_device_that_is_not_there_is_temporary(self, run: Run) -> None:
        assert run("add", "--from-device", "emu://127.0.0.1:1").code == 6


class Wire:
    """A transport with an emulated device at its end."""

    def __init__(self, address: str, device: Device) -> None:
        self.address = address
        self.device = device
        self.closed = False

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        return self.device.respond(message) or b""

    def close(self) -> None:
        self.closed = True


def test_what_this_machines_kernel_would_refuse_is_said_and_forbids_nothing(
    run: Run, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Finding(Severity.WARNING, "this-kernel-refuses", "this kernel does not load it: no such algorithm")
    monkeypatch.setattr(enrolment, "objections", lambda _certificate: (refused,))
    elsewhere = run("add", file, "--fingerprint", A.fingerprint, "--dry-run")
    assert "this kernel" not in elsewhere.out, "the kernel here is not the one of a tree"
    monkeypatch.setattr(enrolment, "SYSTEM", tmp_path)
    said = run("add", file, "--fingerprint", A.fingerprint)
    assert said.code == 0
    assert "warning  this kernel does not load it: no such algorithm" in said.out
    assert names(tmp_path) == ["a-ca"]
