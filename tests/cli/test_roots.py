"""`cmakeys roots` from the outside: list, show, remove, export and lint, with what they say and their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.keyring import trial
from cmakeys.roots.journal import Journal
from cmakeys.roots.record import render_deny, render_pem
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind
from cmakeys.roots.store import ETC, USR
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.lint import Finding, Severity
from tests.cli.roots_runner import Run, actions, names, runner, save
from tests.roots.trust import certificate, put, root
from tests.x509.pki import FOREVER, LEAF_USAGE, issue

A, B = certificate("a"), certificate("b")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, capsys, monkeypatch)


class TestList:
    def test_an_empty_store_says_what_to_do(self, run: Run) -> None:
        result = run("list")
        assert result.code == 0
        assert "cmakeys roots add" in result.out

    def test_every_root_is_there_with_its_whole_fingerprint(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        put(tmp_path / USR, root("b", state=LifeCycle.RETIRING))
        lines = run("list").out.splitlines()
        assert lines[1].split() == ["a", "trusted", "ECDSA", "P-256", "2090-01-01", A.fingerprint, str(tmp_path / ETC)]
        assert lines[2].split()[:2] == ["b", "retiring"]

    def test_json_has_roots_deny_entries_masks_and_findings(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        put(tmp_path / USR, root("b"))
        (tmp_path / ETC / "b.yaml").symlink_to("/dev/null")
        (tmp_path / ETC / "c.pem").write_bytes(render_pem(B))
        (tmp_path / ETC / "deny.yaml").write_bytes(render_deny((DenyEntry(DenyKind.CERTIFICATE, A.fingerprint),)))
        result = run("list", "--json")
        data = result.data
        assert set(data) == {"roots", "digest", "deny", "masks", "store_findings"}
        assert isinstance(data["roots"], list)
        assert [(each["name"], each["anchor"], each["denied"] is None) for each in data["roots"]] == [
            ("a", False, False)
        ]
        assert data["masks"] == {"b": str(tmp_path / ETC / "b.yaml")}
        assert isinstance(data["store_findings"], list)
        assert [Path(each["path"]).name for each in data["store_findings"]] == ["c.pem"]
        assert "not trusted" in result.err
        assert "trusted, denied" in run("list").out

    def test_a_root_of_a_distrusted_key_is_not_shown_as_a_trusted_one(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, Root("lost", issue("Renewed", number=41).certificate, LifeCycle.DISTRUSTED))
        put(tmp_path / ETC, Root("twin", issue("Renewed", number=41, not_after=FOREVER).certificate))
        (line,) = [line for line in run("list").out.splitlines() if line.startswith("twin")]
        assert "trusted, key distrusted" in line
        assert "DISTRUSTED   its key, with the root lost" in run("show", "twin").out.splitlines()
        assert "DISTRUSTED " not in run("show", "lost").out

    def test_a_broken_record_is_named_with_its_line(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        (tmp_path / ETC / "a.yaml").write_text("schema: 1\nstates: 2\n")
        result = run("list", "--json")
        assert result.code == 2
        assert f"{tmp_path / ETC / 'a.yaml'} line 2" in result.err


class TestShow:
    def test_shows_what_decides(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        out = run("show", A.fingerprint[:8]).out
        for shown in ("trusted", A.subject, A.fingerprint, A.spki_fingerprint, f"cmakeys:a:{A.fingerprint}"):
            assert shown in out

    def test_json_carries_the_certificate(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        assert run("show", "a", "--json").data["pem"] == render_pem(A).decode()

    def test_what_is_not_there_is_exit_3(self, run: Run) -> None:
        assert run("show", "a").code == 3


class TestRemove:
    def test_asks_and_takes_no_for_an_answer(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        assert run("remove", "a", typed="\n").code == 8
        assert run("remove", "a").code == 8
        assert names(tmp_path) == ["a"]
        assert run("remove", "a", typed="y\n").code == 0
        assert names(tmp_path) == []

    def test_yes_answers_and_the_journal_tells(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        result = run("remove", A.fingerprint[:6], "--yes", "--json", "--detailed-exitcode", "--reason", "sold")
        assert (result.code, result.envelope["changed"], result.data["sha256"]) == (10, True, A.fingerprint)
        (entry,) = Journal(tmp_path / "var/lib/cmakeys").verify().entries
        assert (entry.action, entry.subject, entry.detail["reason"]) == ("roots-remove", "a", "sold")

    def test_a_dry_run_changes_nothing(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        result = run("remove", "a", "--dry-run", "--json")
        assert (result.code, result.envelope["changed"]) == (0, False)
        assert (names(tmp_path), actions(tmp_path)) == (["a"], [])

    def test_what_is_not_there_is_exit_3(self, run: Run, tmp_path: Path) -> None:
        assert run("remove", "a", "--yes").code == 3
        assert actions(tmp_path) == []


class TestExport:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        put(tmp_path / ETC, root("b"))
        put(tmp_path / USR, root("a"))
        put(tmp_path / ETC, Root("c", certificate("c"), LifeCycle.STAGED))
        return tmp_path

    def test_pem_holds_what_is_trusted_and_nothing_else(self, run: Run, tree: Path) -> None:
        out = run("export").out
        assert out.count("BEGIN CERTIFICATE") == 2
        assert out.index(A.fingerprint) < out.index(B.fingerprint)
        assert certificate("c").fingerprint not in out

    def test_a_file_holds_the_same_as_stdout_each_time(self, run: Run, tree: Path) -> None:
        out = run("export").out
        assert run("export", "-o", str(tree / "one.pem")).code == 0
        assert run("export", "-o", str(tree / "one.pem")).code == 0
        assert (tree / "one.pem").read_text() == out

    def test_der_fills_an_empty_folder(self, run: Run, tree: Path) -> None:
        assert run("export", "--format", "der", "-o", str(tree / "der")).code == 0
        assert {path.name: path.read_bytes() for path in (tree / "der").iterdir()} == {"a.der": A.der, "b.der": B.der}

    def test_der_does_not_mix_with_what_is_there(self, run: Run, tree: Path) -> None:
        (tree / "der").mkdir()
        (tree / "der" / "old.der").write_bytes(b"x")
        assert run("export", "--format", "der", "-o", str(tree / "der")).code == 8

    def test_json_is_a_document_of_its_own(self, run: Run, tree: Path) -> None:
        document = json.loads(run("export", "--format", "json", "a").out)
        assert [(each["name"], each["pem"]) for each in document] == [("a", render_pem(A).decode())]

    def test_the_envelope_lists_what_was_exported(self, run: Run, tree: Path) -> None:
        data = run("export", "--json", "-o", str(tree / "one.pem")).data
        assert data["output"] == str(tree / "one.pem")
        assert isinstance(data["roots"], list)
        assert [each["name"] for each in data["roots"]] == ["a", "b"]

    def test_a_root_that_is_not_trusted_is_not_exported(self, run: Run, tree: Path) -> None:
        result = run("export", "c")
        assert result.code == 8
        assert "BEGIN" not in result.out

    @pytest.mark.parametrize("words", [("--format", "p12"), ("--format", "der"), ("-o", "/dev/null")])
    def test_a_form_or_place_that_makes_no_sense_is_a_usage_error(
        self, run: Run, tree: Path, words: tuple[str, ...]
    ) -> None:
        assert run("export", *words).code == 2

    def test_nothing_to_export_is_exit_3(self, run: Run) -> None:
        assert run("export").code == 3


class TestLint:
    def test_a_sound_store_is_exit_0(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        assert run("lint").code == 0

    def test_files_and_names_can_be_mixed(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        data = run("lint", "a", save(tmp_path, "b.pem", B), "--json").data
        assert isinstance(data["certificates"], list)
        assert [each["sha256"] for each in data["certificates"]] == [A.fingerprint, B.fingerprint]

    def test_what_forbids_a_root_is_exit_1(self, run: Run, tmp_path: Path) -> None:
        leaf = issue("leaf", ca=False, key_usage=LEAF_USAGE).certificate
        result = run("lint", save(tmp_path, "leaf.pem", leaf), "--json")
        assert result.code == 1
        assert isinstance(result.data["certificates"], list)
        assert "not-ca" in {finding["code"] for finding in result.data["certificates"][0]["findings"]}

    def test_the_horizon_is_the_policy_s_and_a_wrong_clock_judges_nothing(self, run: Run, tmp_path: Path) -> None:
        put(tmp_path / ETC, root("a"))
        (tmp_path / "etc/cmakeys/cmakeys.yaml").write_text("policy: {root-expiry: {warn: 100%, fail: 0d}}\n")
        assert "warning  expires on 2090-01-01" in run("lint").out
        later = datetime.now(UTC) + timedelta(days=2)
        Journal(tmp_path / "var/lib/cmakeys").append("test", "x", {}, at=later, by="ada")
        assert "were not checked: the machine's clock says" in run("lint").out

    def test_the_running_kernel_is_asked_when_told_to(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def answer(certificate: Certificate) -> Finding:
            asked.append(certificate)
            return Finding(Severity.WARNING, "this-kernel-refuses", "this kernel does not load it: no such algorithm")

        monkeypatch.setattr(trial, "try_certificate", answer)
        file = save(tmp_path, "b.pem", B)
        assert "this kernel" not in run("lint", file).out
        assert asked == []
        result = run("lint", file, "--kernel")
        assert result.code == 0, "one that only this kernel refuses can be a root all the same"
        assert "warning  this kernel does not load it: no such algorithm" in result.out
        assert asked == [B]

    def test_what_the_store_ignores_is_said(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / ETC).mkdir(parents=True)
        (tmp_path / ETC / "a.pem").write_bytes(render_pem(A))
        assert "not trusted" in run("lint").err


UNUSED_BY_LIST = {
    *("cmakeys.spdm", "cmakeys.keyring", "cmakeys.verify", "cmakeys.transports", "cmakeys.devices", "cmakeys.evidence"),
    *("cmakeys.emulator", "cmakeys.images", "cmakeys.roots.rotation", "cmakeys.roots.vouching"),
    *("cmakeys.roots.enrolment", "cmakeys.roots.dependants", "cmakeys.x509.chain", "cmakeys.x509.lint"),
    *("sqlite3", "asyncio"),
}


@pytest.mark.parametrize(("arguments", "shown"), [(["list"], "a"), (["--help"], "Usage")])
def test_list_and_help_load_only_what_they_use(arguments: list[str], shown: str, tmp_path: Path) -> None:
    put(tmp_path / ETC, root("a"))
    program = (
        "import sys; from cmakeys.cli.app import main; main(sys.argv[1:]);"
        f"print(sorted(set({sorted(UNUSED_BY_LIST)!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "roots",
            *arguments,
            *(["--sysroot", str(tmp_path)] if arguments == ["list"] else []),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
