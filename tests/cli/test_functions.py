"""`cmakeys devices scan`, `kernel` and `recheck` from the outside, on a tree like /sys with a kernel behind it."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from cmakeys.cli.app import main
from cmakeys.devices.netlink_codec import Family
from cmakeys.devices.register import Register
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.roots.root import Root
from cmakeys.roots.store import RootStore
from tests.cli.machine import Machine, Said
from tests.devices.kernel_log import KERNEL_VERSIONS, entry_of, kernel_conversation
from tests.devices.samples import sample
from tests.devices.sysfs import FUNCTION, Tree
from tests.evidence.loopback import IDENTITY, credentials, device, vendor

SECOND = "0000:02:00.0"


@cache
def log_entry(nonce: bytes | None = None) -> dict[str, bytes]:
    """What a kernel logs of an honest device that speaks what the kernel speaks."""
    return entry_of(kernel_conversation(device(settings=DeviceSettings(versions=KERNEL_VERSIONS[:3])), nonce=nonce))


class Desk:
    """The command line on a fake /sys and a register of its own."""

    def __init__(self, tmp_path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.tree = Tree(tmp_path / "sys")
        self.state = tmp_path / "state"
        self.saved = tmp_path / "saved"
        self.capture = capture

    def run(self, verb: str, *words: str) -> Said:
        self.capture.readouterr()
        code = main(["devices", verb, *words, "--sysfs", str(self.tree.root)])
        captured = self.capture.readouterr()
        return Said(code, captured.out, captured.err)

    def scan(self, *words: str) -> Said:
        return self.run("scan", *words, "--state-dir", str(self.state))


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk(tmp_path, capsys)
    monkeypatch.setattr("cmakeys.devices.sysfs.Sysfs", lambda _root: desk.tree.sysfs)
    return desk


def functions(said: Said) -> list[Mapping[str, object]]:
    found = said.data["functions"]
    assert isinstance(found, list)
    return found


def test_scan_lists_what_speaks_cma_what_the_kernel_says_and_the_enrolment(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"1\n")
    desk.tree.add(SECOND, features=("doe_discovery",))
    Register(desk.state).enroll(sample("gpu0", address=f"pci:{FUNCTION}"))
    said = desk.scan()
    assert said.code == 0
    header, row = said.out.splitlines()
    assert header.split() == ["FUNCTION", "NAME", "CMA", "KERNEL", "SAYS", "ENROLLED", "AS"]
    assert row.split()[0] == FUNCTION
    assert row.split()[-3:] == ["yes", "authenticated", "gpu0"]
    assert len(desk.scan("--all").out.splitlines()) == 3


def test_scan_tells_a_program_everything(desk: Desk) -> None:
    desk.tree.add()
    said = desk.scan("--json")
    assert said.envelope["schema"] == "cmakeys/devices-scan/1"
    (found,) = functions(said)
    assert found["speaks_cma"] == "yes"
    assert found["identity"] == IDENTITY.san_string()
    assert found["kernel"] == {
        "state": "absent",
        "meaning": "not able to, or a kernel without support",
        "mode": None,
        "raw": None,
        "problem": None,
    }
    assert (found["vendor"], found["class"], found["driver"]) == ("1b36", "010802", "nvme")
    assert found["enrolled"] is None


def test_scan_leaves_with_3_when_nothing_speaks_cma(desk: Desk) -> None:
    assert desk.scan().code == 3
    desk.tree.add(features=("doe_discovery",))
    said = desk.scan("--json")
    assert said.code == 3
    assert said.error["code"] == "not-found"
    assert functions(said) == []


def test_scan_shows_a_possible_downgrade_and_says_so(desk: Desk) -> None:
    desk.tree.add(features=None)
    desk.tree.authenticated(errno.ENOTTY)
    said = desk.scan()
    assert said.code == 3
    assert "undetermined" in said.out
    assert "downgrade" in said.err


def test_scan_works_without_the_register_and_says_what_is_unknown(desk: Desk) -> None:
    desk.tree.add()
    desk.state.mkdir()
    (desk.state / "devices.db").write_bytes(b"no database at all, and longer than a header of SQLite")
    said = desk.scan()
    assert said.code == 0
    assert said.out.splitlines()[1].endswith("?")
    assert "whether devices are enrolled is unknown" in said.err


def test_scan_never_lets_foreign_text_reach_the_terminal(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"\x1b[2J\n")
    for words in ((), ("--json",)):
        said = desk.scan(*words)
        assert "\x1b" not in said.out + said.err


def test_recheck_reports_before_and_after(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"0\n")
    desk.tree.on_recheck(b"1\n")
    said = desk.run("recheck", FUNCTION, "--detailed-exitcode")
    assert said.code == 10
    assert said.out == f"{FUNCTION}  failed -> authenticated: authenticated against .cma\n"
    assert desk.run("recheck", "--all", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (errno.EKEYREJECTED, 1, "kernel-rejected"),
        (errno.EBUSY, 6, "temporary"),
        (errno.ENOTTY, 6, "temporary"),
        (errno.EACCES, 4, "not-permitted"),
        (errno.EPROTONOSUPPORT, 5, "unsupported"),
    ],
)
def test_recheck_leaves_with_the_code_of_what_went_wrong(desk: Desk, number: int, code: int, word: str) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"1\n")
    desk.tree.on_recheck(number)
    said = desk.run("recheck", "--all", "--json")
    assert said.code == code
    assert said.error["code"] == word
    assert said.error["hint"]
    assert functions(said)[0]["errno"] == number


def test_a_rejected_device_weighs_more_than_one_that_is_busy(desk: Desk) -> None:
    for name, number in ((FUNCTION, errno.EBUSY), (SECOND, errno.EKEYREJECTED)):
        desk.tree.add(name)
        desk.tree.authenticated(b"1\n", name=name)
        desk.tree.on_recheck(number, name)
    said = desk.run("recheck", FUNCTION, SECOND)
    assert said.code == 1
    assert "busy" in said.err


def test_recheck_wants_to_know_which_and_asks_only_kernels_that_can(desk: Desk) -> None:
    desk.tree.add()
    assert desk.run("recheck").code == 2
    assert desk.run("recheck", FUNCTION, "--all").code == 2
    assert desk.run("recheck", "--all").code == 3
    assert desk.run("recheck", SECOND).code == 3
    assert desk.run("recheck", FUNCTION).code == 5
    desk.tree.authenticated(b"tsm0\n", 0o444)
    assert desk.run("recheck", FUNCTION).code == 5
    assert desk.tree.written == []


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"0\n")
    said = desk.run("recheck", "--all", "--dry-run")
    assert said.code == 0
    assert "would ask" in said.out
    assert desk.tree.written == []


def kernel_that_signs(desk: Desk, *, honest: bool = True) -> None:
    """A kernel that takes a nonce, talks to the device with it, and logs what it gets."""
    nonce_file = desk.tree.put(desk.tree.folder() / "signatures/next_requester_nonce", b"", 0o200)
    path = desk.tree.authenticated(b"0\n")

    def react(data: bytes) -> None:
        parts = log_entry(nonce_file.read_bytes())
        if not honest:
            parts = parts | {"signature": bytes(96)}
        desk.tree.log(0, parts)
        path.write_bytes(b"1\n")

    desk.tree.reactions[path] = react


def test_recheck_verifies_the_signature_over_a_nonce_of_its_own_and_saves_it(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.slot(0, b"".join(one.der for one in credentials().chain))
    kernel_that_signs(desk)
    desk.saved.mkdir()
    said = desk.run("recheck", FUNCTION, "--save", str(desk.saved), "--json")
    assert said.code == 0
    signature = functions(said)[0]["signature"]
    assert isinstance(signature, dict)
    assert (signature["outcome"], signature["notes"]) == ("verified", [])
    assert signature["requester_nonce"] == functions(said)[0]["nonce"]
    (path,) = desk.saved.iterdir()
    assert said.data["saved"] == [str(path)]
    assert json.loads(path.read_bytes())["expected_nonce"] == signature["requester_nonce"]


def test_what_was_saved_is_judged_offline(desk: Desk, tmp_path: Path) -> None:
    desk.tree.add()
    kernel_that_signs(desk)
    desk.saved.mkdir()
    desk.run("recheck", FUNCTION, "--save", str(desk.saved))
    (path,) = desk.saved.iterdir()
    RootStore(tmp_path).add(Root("acme", vendor().certificate))
    said = Machine(tmp_path, desk.capture).run("evidence", "verify", str(path), "--json")
    devices = said.data["devices"]
    assert isinstance(devices, list)
    steps = {step["number"]: step["outcome"] for step in devices[0]["verdict"]["steps"]}
    assert {number: steps[number] for number in (3, 4, 9, 11)} == dict.fromkeys((3, 4, 9, 11), "passed")


def test_a_kernel_that_says_yes_to_a_signature_that_does_not_hold_is_contradicted(desk: Desk) -> None:
    desk.tree.add()
    kernel_that_signs(desk, honest=False)
    said = desk.run("recheck", FUNCTION, "--json")
    assert said.code == 1
    assert "does not hold" in said.error["message"]


def test_kernel_shows_verdict_slots_and_verified_signatures(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"1\n")
    desk.tree.slot(0, b"".join(one.der for one in credentials().chain))
    desk.tree.slot(1, b"")
    desk.tree.slot(2, b"\x30\x03abc")
    desk.tree.log(0, log_entry())
    said = desk.run("kernel", f"pci:{FUNCTION}")
    assert said.code == 0
    assert "authenticated against .cma" in said.out
    assert vendor().certificate.fingerprint in said.out
    assert "signature 0: verified" in said.out
    slots = desk.run("kernel", FUNCTION, "--json").data["slots"]
    assert isinstance(slots, list)
    assert [slot["state"] for slot in slots] == ["provisioned", "empty", "provisioned"]
    assert slots[2]["problem"]


def test_kernel_leaves_with_1_when_a_logged_signature_does_not_hold(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.log(0, log_entry())
    desk.tree.log(1, log_entry() | {"signature": bytes(96)})
    desk.tree.log(2, log_entry() | {"transcript": b"\x1b[2J"})
    said = desk.run("kernel", FUNCTION)
    assert said.code == 1
    assert said.out.count("refuted") == 2
    assert "\x1b" not in said.out + said.err


def test_kernel_says_when_there_is_no_such_function(desk: Desk) -> None:
    assert desk.run("kernel", FUNCTION).code == 3
    assert desk.run("kernel", "gpu0").code == 2


def test_nothing_is_asked_when_the_answer_could_not_be_kept(desk: Desk) -> None:
    desk.tree.add()
    desk.tree.authenticated(b"0\n")
    desk.tree.on_recheck(b"1\n")
    assert desk.run("recheck", "--all", "--save", str(desk.saved)).code == 3
    assert desk.tree.written == []


@pytest.mark.parametrize("there", [True, False])
def test_the_netlink_family_is_asked_for_on_this_machine_only(
    tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree(tmp_path / "sys")
    tree.add()
    family = Family("spdm", 33, 1) if there else None
    monkeypatch.setattr("cmakeys.devices.sysfs.Sysfs", lambda _root: tree.sysfs)
    monkeypatch.setattr("cmakeys.devices.netlink.find_family", lambda _name: family)
    assert main(["devices", "kernel", FUNCTION]) == 0
    assert ("family spdm is there" in capsys.readouterr().out) is there
    assert main(["devices", "kernel", FUNCTION, "--sysfs", str(tree.root)]) == 0
    assert "family spdm" not in capsys.readouterr().out
