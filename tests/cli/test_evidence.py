"""`evidence save`, `show` and `verify` on files and on an emulated device behind a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.emulator.line import Seat
from cmakeys.emulator.server import Server
from cmakeys.evidence import archive
from cmakeys.evidence.model import EndingKind
from cmakeys.keyring import oracle
from cmakeys.keyring.oracle import OracleAnswer
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from cmakeys.spdm.codes import ErrorCode, RequestCode
from tests.evidence.loopback import Answers, attest, credentials, device, vendor

NONCE = bytes(range(32)).hex()
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `cmakeys evidence` on an empty tree; exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        tree = [] if words[0] == "show" else ["--sysroot", str(tmp_path / "tree")]
        code = main(["evidence", *map(str, words), *tree])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "acme.pem"
    path.write_bytes(render_pem(vendor().certificate))
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "device.json"
    archive.save(attest(identity=None), path)
    return path


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server([Seat(device())]) as server:
        yield server.places[0].url


def hopper(shared_data: Path) -> tuple[Path, Path, Path]:
    folder = shared_data / "nvidia-hopper"
    return (
        folder / "hopperAttestationReport.txt",
        folder / "hopperCertChain.txt",
        folder / "nvidia_device_root.pem",
    )


def test_saved_from_a_device_and_verified_offline(run: Run, url: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    code, out, _ = run("save", url, "-o", path, "--nonce", NONCE)
    assert code == 0
    assert str(path) in out
    code, out, _ = run("verify", path, "--root", root, "--expect-nonce", NONCE, "--json")
    document = json.loads(out)
    assert (code, document["ok"], document["schema"]) == (0, True, "cmakeys/evidence-verify/1")
    (entry,) = document["data"]["devices"]
    assert entry["verdict"]["outcome"] == "trusted"
    assert [step["number"] for step in entry["verdict"]["steps"]] == list(range(1, 15))
    code, out, _ = run("verify", path, "--root", root, "--expect-nonce", "00" * 32)
    assert code == 1
    assert "failed      proof of possession" in out


def test_save_overwrites_nothing_unless_told(run: Run, url: str, saved: Path) -> None:
    before = saved.read_bytes()
    code, _, err = run("save", url, "-o", saved)
    assert (code, saved.read_bytes()) == (8, before)
    assert "--force" in err
    assert run("save", url, "-o", saved, "--force")[0] == 0
    assert saved.read_bytes() != before


def test_nothing_is_saved_of_a_device_that_is_not_there(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    code, _, err = run("save", "emu://127.0.0.1:1", "-o", path, "--timeout", "2")
    assert code == 6
    assert "127.0.0.1:1" in err
    assert not path.exists()


def test_what_makes_no_sense_is_a_usage_error(run: Run, url: str, saved: Path, tmp_path: Path) -> None:
    assert run("save", url, "-o", tmp_path / "x", "--nonce", "00")[0] == 2
    assert run("save", "ftp://host", "-o", tmp_path / "x")[0] == 2
    assert run("verify", saved, "--expect-nonce", "zz" * 32)[0] == 2


def test_the_real_report_is_trusted_by_its_root_and_every_step_is_listed(run: Run, shared_data: Path) -> None:
    report, chain, root = hopper(shared_data)
    code, out, _ = run("verify", report, "--chain", chain, "--root", root)
    assert code == 0
    assert "trusted: anchored" in out
    for number in range(1, 15):
        assert any(line.startswith(f"{number:>3}  ") for line in out.splitlines())


def test_a_changed_report_or_chain_is_rejected_by_its_file(run: Run, shared_data: Path, tmp_path: Path) -> None:
    report, chain, root = hopper(shared_data)
    text = report.read_text().strip()
    for position in (0, 2, 9, 500, len(text) - 1):
        changed = tmp_path / "report.txt"
        changed.write_text(text[:position] + ("0" if text[position] != "0" else "1") + text[position + 1 :])
        code, out, _ = run("verify", changed, "--chain", chain, "--root", root)
        assert code == 1
        assert "rejected: step 12" in out.replace("\n ", "")
    lines = chain.read_text().splitlines(keepends=True)
    lines[5] = lines[5][:10] + ("A" if lines[5][10] != "A" else "B") + lines[5][11:]
    spoiled = tmp_path / "chain.txt"
    spoiled.write_text("".join(lines))
    code, out, _ = run("verify", report, "--chain", spoiled, "--root", root)
    assert code == 1
    assert "rejected: step" in out


def test_the_machines_roots_and_policy_are_used_when_none_are_named(
    run: Run, saved: Path, root: Path, tmp_path: Path
) -> None:
    code, out, _ = run("verify", saved)
    assert code == 1
    assert "no root is trusted" in out
    RootStore(tmp_path / "tree").add(Root("acme", vendor().certificate))
    assert run("verify", saved)[0] == 0
    config = tmp_path / "tree/etc/cmakeys/cmakeys.yaml"
    config.write_text("policy: {hashes: [SHA-256]}\n")
    code, out, _ = run("verify", saved)
    assert code == 1
    assert "SHA-384 is not allowed" in out
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: {hashes: [SHA-384]}\n")
    assert run("verify", saved, "--policy", policy)[0] == 0


def test_many_files_are_all_judged_and_the_worst_counts(run: Run, saved: Path, root: Path, tmp_path: Path) -> None:
    impostor, broken, cut = tmp_path / "impostor.json", tmp_path / "broken.json", tmp_path / "cut.jsonl"
    archive.save(attest(device(credentials(authority="Impostor")), identity=None), impostor)
    broken.write_text("{}")
    cut.write_text('{"t": 1, "dir": "req", "cmd": 1, "trans": 0, "hex": "10840000"}\n')
    code, out, err = run("verify", saved, impostor, cut, broken, "--root", root, "--json")
    document = json.loads(out)
    outcomes = {entry["name"]: entry["verdict"]["outcome"] for entry in document["data"]["devices"]}
    assert outcomes == {"device.json": "trusted", "impostor.json": "rejected", "cut.jsonl": "unreachable"}
    assert (code, document["ok"]) == (1, False)
    assert [error["code"] for error in document["errors"]] == ["document"]
    assert "broken.json" in err
    assert run("verify", saved, cut, "--root", root)[0] == 6
    assert run("verify", saved, saved, "--root", root)[0] == 0
    _, out, _ = run("verify", saved, impostor, cut, broken, "--root", root, "--json", "--jobs", "2")
    entries = json.loads(out)["data"]["devices"]
    assert {entry["name"]: entry["verdict"]["outcome"] for entry in entries} == outcomes


def test_the_names_of_foreign_files_cannot_drive_the_terminal(run: Run, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m.json"
    archive.save(attest(identity=None), path)
    _, out, _ = run("verify", path, "--root", root)
    assert "\x1b" not in out


def test_show_lists_what_was_said(run: Run, saved: Path, shared_data: Path) -> None:
    code, out, _ = run("show", saved)
    assert code == 0
    assert "GET_VERSION" in out
    assert "CHALLENGE_AUTH" in out
    report, chain, _ = hopper(shared_data)
    code, out, _ = run("show", report, "--chain", chain, "--json")
    data = json.loads(out)["data"]
    assert (code, data["kind"], data["report_size"], data["certificates"]) == (0, "signed-report", 4117, 5)
    assert run("show", report)[0] == 2


def test_a_refusal_is_saved_with_a_warning(run: Run, root: Path, tmp_path: Path) -> None:
    refusing = device(None, Answers(RequestCode.CHALLENGE, ErrorCode.UNSPECIFIED))
    path = tmp_path / "refused.json"
    with Server([Seat(refusing)]) as server:
        code, _, err = run("save", server.places[0].url, "-o", path)
    assert code == 0
    assert "step 11" in err
    assert archive.load(path).ending.kind is EndingKind.REFUSED
    code, out, _ = run("verify", path, "--root", root)
    assert code == 1
    assert "step 11, proof of possession" in out.replace("\n ", "")


def test_the_kernel_is_asked_about_a_files_chain_when_told_to(
    run: Run, saved: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = OracleAnswer(False, "no key in the roots is its issuer's", 0, "ENOKEY")
    monkeypatch.setattr(oracle.Oracle, "ask", lambda _self, _chain: refusal)
    code, out, _ = run("verify", saved, "--root", root, "--json")
    assert code == 0
    assert step_14(out)[0] == "not-checked"
    code, out, _ = run("verify", saved, "--root", root, "--kernel", "--json")
    assert code == 0
    assert step_14(out) == ("warned", f"we accept the chain, this kernel would not: {refusal.reason}")


def step_14(out: str) -> tuple[str, str]:
    (device,) = json.loads(out)["data"]["devices"]
    last = device["verdict"]["steps"][-1]
    assert last["number"] == 14
    return last["outcome"], last["reason"]
