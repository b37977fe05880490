"""`cmakeys keyring` from the outside, on the real keyring of a session made for each test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.keyring.cma import CMA, open_keyring
from cmakeys.keyring.contents import read_contents
from cmakeys.keyring.keyctl import Serial
from cmakeys.keyring.listing import read_listing
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from tests.cli.machine import Said
from tests.keyring.kernel import TestingKeyctl, fresh_session, require_rsa, root
from tests.rings import cannot
from tests.x509.pki import issue

pytestmark = pytest.mark.system

A, B, IMPOSTOR = root("a"), root("b", number=1), root("impostor", number=3)
EDWARDS = Root("edwards", issue("Edwards", kind="ed25519").certificate)


Run = Callable[..., Said]


@pytest.fixture
def kernel() -> TestingKeyctl:
    keyctl = fresh_session()
    require_rsa(keyctl, open_keyring("@s", keyctl=keyctl).serial)
    return keyctl


@pytest.fixture
def store(tmp_path: Path) -> RootStore:
    store = RootStore(tmp_path)
    store.add(A)
    store.add(B)
    return store


@pytest.fixture
def run(kernel: TestingKeyctl, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb on the session keyring, which `kernel` has made, and the tree at tmp_path."""
    del kernel

    def run(*words: str, keyring: str = "@s") -> Said:
        capsys.readouterr()
        code = main(["keyring", *words, "--keyring", keyring, "--sysroot", str(tmp_path)])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def managed(kernel: TestingKeyctl) -> Serial:
    ring = read_contents(kernel, open_keyring("@s", keyctl=kernel)).managed
    assert ring is not None
    return ring.serial


def listed(roots: object) -> list[object]:
    assert isinstance(roots, list)
    return [root["name"] for root in roots]


@pytest.mark.usefixtures("store")
def test_the_story_from_nothing_to_in_step(run: Run) -> None:
    status = run("status")
    assert status.code == 0
    assert "next: cmakeys keyring apply --keyring @s" in status.out
    assert run("diff", "--detailed-exitcode").code == 10
    applied = run("apply", "--json", "--detailed-exitcode")
    assert (applied.code, applied.envelope["changed"]) == (10, True)
    assert listed(applied.data["added"]) == ["a", "b"]
    again = run("apply", "--json", "--detailed-exitcode")
    assert (again.code, again.envelope["changed"], again.data["added"]) == (0, False, [])
    assert again.data["managed"] == applied.data["managed"]
    assert run("diff", "--detailed-exitcode").code == 0
    status = run("status")
    assert "in step with the trusted roots" in status.out
    assert A.fingerprint in status.out
    assert run("audit").out.endswith("holds nothing but our roots\n")


@pytest.mark.usefixtures("store")
def test_a_dry_run_changes_nothing(run: Run, kernel: TestingKeyctl) -> None:
    result = run("apply", "--dry-run", "--json", "--detailed-exitcode")
    assert (result.code, result.envelope["changed"], result.data["dry_run"]) == (0, False, True)
    assert listed(result.data["added"]) == ["a", "b"]
    assert "nothing was changed" in run("apply", "--dry-run").out
    assert read_contents(kernel, open_keyring("@s", keyctl=kernel)).managed is None


def test_a_root_that_the_kernel_refuses_is_named_and_can_be_left_out(run: Run, store: RootStore) -> None:
    store.add(EDWARDS)
    for words in (("apply",), ("apply", "--dry-run")):
        refused = run(*words)
        assert refused.code == 5
        assert "edwards: the kernel has no Ed25519 (ENOPKG)" in refused.err
        assert "--without edwards" in refused.err
    assert run("status", "--json").data["roots"] == []
    assert run("apply", "--without", "edwards").code == 0
    assert "in step" in run("diff", "--without", "edwards").out
    assert listed(run("diff", "--json").data["add"]) == ["edwards"]


@pytest.mark.usefixtures("store")
def test_a_root_to_leave_out_must_exist(run: Run) -> None:
    result = run("apply", "--without", "nobody")
    assert (result.code, "nobody: no trusted root" in result.err) == (3, True)


def test_taking_every_root_from_the_kernel_needs_a_word(run: Run, store: RootStore) -> None:
    assert run("apply").code == 0
    for one in (A, B):
        store.remove(one.name)
    refused = run("apply")
    assert (refused.code, "all 2 from the kernel" in refused.err) == (8, True)
    assert listed(run("status", "--json").data["roots"]) == ["a", "b"]
    result = run("apply", "--allow-empty", "--json")
    assert (result.code, listed(result.data["removed"])) == (0, ["a", "b"])
    assert run("apply").code == 0


@pytest.mark.usefixtures("store")
def test_diff_and_audit_tell_what_was_done_behind_our_back(run: Run, kernel: TestingKeyctl) -> None:
    run("apply")
    ring = managed(kernel)
    kernel.add_key("asymmetric", A.description, IMPOSTOR.certificate.der, ring)
    kernel.add_key("user", "no\x1b[2Jise", b"x", ring)
    foreign = kernel.add_key("asymmetric", "foreign", IMPOSTOR.certificate.der, open_keyring("@s").serial)
    diff = run("diff")
    assert diff.code == 0
    assert f"+ a {A.fingerprint} (another certificate is in its place)" in diff.out
    assert r"no\x1b[2Jise: not ours" in diff.out
    assert run("diff", "--json").data["add"] == [{"name": "a", "sha256": A.fingerprint, "cause": "displaced"}]
    audit = run("audit")
    assert audit.code == 1
    assert f"{foreign:#x} foreign: the kernel believes this certificate" in audit.out
    assert "\x1b" not in audit.out
    findings = run("audit", "--json").data["findings"]
    assert isinstance(findings, list)
    assert {"displaced", "foreign-anchor", "foreign-in-managed"} <= {finding["code"] for finding in findings}
    assert all(set(finding) == {"severity", "code", "serial", "description", "message", "hint"} for finding in findings)
    run("apply")
    left = run("audit", "--json").data["findings"]
    assert isinstance(left, list)
    assert [finding["code"] for finding in left] == ["foreign-anchor"]
    assert "1 other key; next: cmakeys keyring audit --keyring @s" in run("status").out


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("verb", ["status", "diff", "apply", "audit"])
def test_every_verb_speaks_the_envelope(run: Run, verb: str) -> None:
    good = run(verb, "--json")
    assert (good.code, good.envelope["schema"], good.envelope["ok"]) == (0, f"cmakeys/keyring-{verb}/1", True)
    keyring = good.data["keyring"]
    assert isinstance(keyring, dict)
    assert set(keyring) == {"selector", "name", "serial", "uid", "permission"}
    bad = run(verb, "--json", keyring="no such ring")
    assert (bad.code, bad.envelope["ok"]) == (3, False)


@pytest.mark.parametrize("verb", ["status", "diff", "apply", "audit"])
def test_without_cma_every_verb_says_what_still_works(run: Run, verb: str) -> None:
    if read_listing().keyrings(CMA):
        cannot("this kernel has a .cma keyring")
    result = run(verb, keyring=CMA)
    assert result.code in (4, 5)
    assert "cmakeys check" in result.err


@pytest.mark.usefixtures("store", "kernel")
def test_another_process_of_the_session_finds_what_was_applied(run: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cmakeys", "keyring"]
    options = ["--keyring", "@s", "--sysroot", str(tmp_path)]
    subprocess.run([*command, "apply", *options], check=True, capture_output=True)
    assert "in step" in run("status").out
