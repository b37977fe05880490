"""The loader under every shell that an initrd has, with a keyctl that records its calls and fails on command.

/proc, /sys, the kernel's log and the image itself are a folder; what the loader does with them is what is looked at.
The real keyctl and the real `.cma` are in tests/guest/test_image.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmakeys.images.bake import Request, image
from cmakeys.images.folder import write_folder
from cmakeys.images.tree import PLACE
from cmakeys.roots.rootset import RootSet
from tests.roots import trust

A, B = trust.root("a"), trust.root("b")
DIGEST = RootSet((A, B)).digest

KEYCTL = """#!/bin/sh
echo "$*" >>"$FAKE/calls"
while read -r pattern; do
    # shellcheck disable=SC2254
    case $* in
    $pattern)
        echo "keyctl: refused" >&2
        exit 1
        ;;
    esac
done <"$FAKE/fail"
case $1 in
id) echo 42 ;;
rdescribe) cat "$FAKE/ring" ;;
newring) echo 100 ;;
padd)
    cat >"$FAKE/added.$3"
    echo $((200 + $(grep -c ^padd "$FAKE/calls")))
    ;;
session)
    shift 2
    echo "Joined session keyring: 7" >&2
    exec "$@"
    ;;
esac
"""
"""Answers as keyctl does; fails where its arguments fit a line of the file `fail`."""

TOOLS = ("cat", "grep", "mkdir", "sleep")


@dataclass
class Initrd:
    """A booting machine, in a folder."""

    folder: Path
    shell: Path

    @property
    def place(self) -> Path:
        return self.folder / "image" / PLACE

    def fail(self, *patterns: str) -> None:
        (self.folder / "fail").write_text("".join(f"{pattern}\n" for pattern in patterns))

    def device(self, name: str, state: str | None = "0") -> Path:
        """A device whose `authenticated` reads `state`; one that never answers for None."""
        path = self.folder / "sys/bus/pci/devices" / name / "authenticated"
        path.parent.mkdir(parents=True)
        if state is None:
            os.mkfifo(path)
        else:
            path.write_text(f"{state}\n")
        return path

    def load(self, *, cmdline: str = "root=/dev/sda1 quiet", limit: float = 10) -> subprocess.CompletedProcess[str]:
        (self.folder / "proc").mkdir(exist_ok=True)
        (self.folder / "proc/cmdline").write_text(f"{cmdline}\n")
        environment = {
            "PATH": str(self.folder / "bin"),
            "FAKE": str(self.folder),
            "CMAKEYS_DIR": str(self.place),
            "CMAKEYS_PROC": str(self.folder / "proc"),
            "CMAKEYS_SYS": str(self.folder / "sys"),
            "CMAKEYS_KMSG": str(self.folder / "kmsg"),
            "CMAKEYS_LIMIT": f"{limit:g}",
            "CMAKEYS_SHELL": str(self.shell),
        }
        command = [str(self.shell), str(self.place / "load")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def log(self) -> str:
        path = self.folder / "kmsg"
        return path.read_text() if path.exists() else ""


def made(folder: Path, shell: str, *, required: bool = False) -> Initrd:
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    (folder / "bin").mkdir()
    link = folder / "bin" / {"busybox": "ash", "bash-posix": "sh"}.get(shell, shell)
    link.symlink_to(program)
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(shutil.which(tool) or "")
    (folder / "bin/keyctl").write_text(KEYCTL)
    (folder / "bin/keyctl").chmod(0o755)
    (folder / "fail").write_text("")
    (folder / "ring").write_text("keyring;0;0;1f0f0000;.cma\n")
    write_folder(folder / "image", image(RootSet((A, B)), Request(required=required)).entries(), mtime=0)
    return Initrd(folder, link)


@pytest.fixture(params=["dash", "busybox", "bash"])
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def initrd(tmp_path: Path, shell: str) -> Initrd:
    return made(tmp_path, shell)


@pytest.fixture
def demanding(tmp_path: Path, shell: str) -> Initrd:
    """An image that was baked with --required."""
    return made(tmp_path, shell, required=True)


def test_it_builds_the_ring_before_it_links_it_and_asks_last(initrd: Initrd) -> None:
    device = initrd.device("0000:01:00.0")
    done = initrd.load()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert initrd.calls == [
        "--version",
        f"session - {initrd.shell} {initrd.place}/load inside",
        "id %:.cma",
        "rdescribe 42",
        "newring cmakeys @s",
        f"padd asymmetric {A.description} 100",
        "setperm 201 0x39090000",
        f"padd asymmetric {B.description} 100",
        "setperm 202 0x39090000",
        "setperm 100 0x1f3f0000",
        "link 100 42",
    ]
    for root in (A, B):
        assert (initrd.folder / f"added.{root.description}").read_bytes() == root.certificate.der
    assert device.read_text() == "re\n"
    assert initrd.log.splitlines() == [
        f"<6>cmakeys: loaded {A.description}",
        f"<6>cmakeys: loaded {B.description}",
        "<6>cmakeys: 2 roots are in .cma",
        f"<6>cmakeys: set digest {DIGEST}",
        "<6>cmakeys: 1 devices authenticated",
    ]


@pytest.mark.parametrize("pattern", [f"padd asymmetric {A.description} *", "setperm 201 *"])
def test_a_root_that_is_refused_is_named_and_the_others_are_loaded(initrd: Initrd, pattern: str) -> None:
    initrd.fail(pattern)
    assert initrd.load().returncode == 0
    assert f"<4>cmakeys: not loaded: {A.description}" in initrd.log
    assert "keyctl: refused" in initrd.log
    assert f"loaded {B.description}" in initrd.log
    assert "<6>cmakeys: 1 roots are in .cma" in initrd.log
    assert "link 100 42" in initrd.calls
    if pattern.startswith("setperm"):
        assert "unlink 201 100" in initrd.calls, "what is in the ring is what was loaded"


def test_a_file_that_is_missing_is_a_root_that_is_refused(initrd: Initrd) -> None:
    (initrd.place / "roots/a.der").unlink()
    assert initrd.load().returncode == 0
    assert f"<4>cmakeys: not loaded: {A.description}" in initrd.log
    assert "<6>cmakeys: 1 roots are in .cma" in initrd.log


def test_an_image_that_requires_its_roots_fails_where_one_is_missing(demanding: Initrd) -> None:
    demanding.fail(f"padd asymmetric {A.description} *")
    assert demanding.load().returncode == 1
    assert "link 100 42" in demanding.calls, "the others are of use to whoever is called for help"
    assert "this image requires its roots" in demanding.log


def test_an_image_that_requires_its_roots_boots_with_them(demanding: Initrd) -> None:
    assert demanding.load().returncode == 0


FAILURES = {
    "no .cma": ("id *", "no .cma keyring"),
    "no keyring can be made": ("newring *", "no keyring can be made: keyctl: refused"),
    "no root can be loaded": ("padd *", "none of 2 roots"),
    "no permissions of the ring": ("setperm 100 *", "permissions of our keyring cannot be set: keyctl: refused"),
    "no link": ("link *", "cannot be linked into .cma: keyctl: refused"),
    "no session": ("session *", "keyctl: refused"),
    "no keyctl that runs": ("--version", "no keyctl in this image"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("required", [False, True], ids=["", "required"])
def test_whatever_fails_the_boot_goes_on_unless_it_must_not(
    tmp_path: Path, shell: str, failure: str, required: bool
) -> None:
    initrd = made(tmp_path, shell, required=required)
    pattern, words = FAILURES[failure]
    initrd.fail(pattern)
    assert initrd.load().returncode == (1 if required else 0)
    assert words in initrd.log
    if failure not in ("no link",):
        assert not any(call.startswith("link") for call in initrd.calls)


@pytest.mark.parametrize(
    "ring", ["keyring;1000;1000;3f3f0000;.cma", "user;0;0;1f0f0000;.cma", "keyring;0;0;1f0f0000;x;.cma", ""]
)
def test_a_ring_that_only_has_the_name_gets_nothing(initrd: Initrd, ring: str) -> None:
    (initrd.folder / "ring").write_text(f"{ring}\n")
    assert initrd.load().returncode == 0
    assert "not the kernel's keyring" in initrd.log
    assert not any(call.startswith(("newring", "padd", "link")) for call in initrd.calls)


def test_a_kernel_that_gives_the_ring_other_permissions_is_served_too(initrd: Initrd) -> None:
    (initrd.folder / "ring").write_text("keyring;0;0;1f030000;.cma\n")
    assert initrd.load().returncode == 0
    assert "link 100 42" in initrd.calls


def test_without_keyctl_it_says_so(initrd: Initrd) -> None:
    (initrd.folder / "bin/keyctl").unlink()
    assert initrd.load().returncode == 0
    assert "<4>cmakeys: there is no keyctl in this image" in initrd.log


def test_the_keyctl_of_the_image_comes_first(initrd: Initrd) -> None:
    shutil.move(initrd.folder / "bin/keyctl", initrd.place / "keyctl")
    assert initrd.load().returncode == 0
    assert "link 100 42" in initrd.calls


def test_the_keyctl_of_the_image_is_run_by_its_own_loader(initrd: Initrd) -> None:
    shutil.move(initrd.folder / "bin/keyctl", initrd.place / "keyctl")
    (initrd.place / "keyctl").chmod(0o644)
    (initrd.place / "ld.so").write_text('#!/bin/sh\n[ "$1" = --library-path ] || exit 9\nshift 2\nexec /bin/sh "$@"\n')
    (initrd.place / "ld.so").chmod(0o755)
    assert initrd.load().returncode == 0
    assert "link 100 42" in initrd.calls


def test_it_is_switched_off_on_the_kernels_command_line(demanding: Initrd) -> None:
    assert demanding.load(cmdline="quiet cmakeys=off").returncode == 0
    assert demanding.calls == []
    assert demanding.log == "<5>cmakeys: switched off on the kernel's command line\n"


def test_no_other_word_switches_it_off(initrd: Initrd) -> None:
    initrd.load(cmdline="xcmakeys=off cmakeys=offer * cmakeys.off")
    assert "link 100 42" in initrd.calls


def test_verbose_says_the_same_on_the_console(initrd: Initrd) -> None:
    done = initrd.load(cmdline="cmakeys=verbose")
    assert "cmakeys: 2 roots are in .cma" in done.stdout
    assert f"cmakeys: loaded {A.description}" in done.stdout


def test_the_second_of_two_hooks_does_nothing(initrd: Initrd) -> None:
    initrd.load()
    before = initrd.calls
    assert initrd.load().returncode == 0
    assert initrd.calls == before


def test_devices_that_passed_or_belong_to_a_tsm_are_left_alone(initrd: Initrd) -> None:
    states = {"0000:01:00.0": "0", "0000:02:00.0": "1", "0000:03:00.0": "tsm0"}
    paths = {name: initrd.device(name, state) for name, state in states.items()}
    (initrd.folder / "sys/bus/pci/devices/0000:04:00.0").mkdir()
    initrd.load()
    assert [path.read_text().strip() for path in paths.values()] == ["re", "1", "tsm0"]
    assert "1 devices authenticated" in initrd.log


def test_a_device_that_does_not_answer_holds_up_neither_the_boot_nor_the_others(initrd: Initrd) -> None:
    hanging = initrd.device("0000:01:00.0", None)
    good = initrd.device("0000:02:00.0")
    begun = time.monotonic()
    done = initrd.load(limit=1)
    taken = time.monotonic() - begun
    released = os.open(hanging, os.O_RDWR | os.O_NONBLOCK)  # lets go whoever waits for it
    hanging.unlink()  # so that nobody waits a second time
    os.close(released)
    assert done.returncode == 0
    assert 0.9 < taken < 8
    assert good.read_text() == "re\n"
    assert "<4>cmakeys: some device did not answer within 1 seconds" in initrd.log


def test_a_device_that_fails_is_counted(initrd: Initrd) -> None:
    (initrd.folder / "sys/bus/pci/devices/0000:01:00.0/authenticated").mkdir(parents=True)
    assert initrd.load().returncode == 0
    assert "<4>cmakeys: 1 devices not authenticated" in initrd.log


def test_what_measures_is_told_the_digest_and_may_fail(initrd: Initrd) -> None:
    (initrd.place / "measure").write_text(f'#!/bin/sh\necho "$1" >{initrd.folder}/measured\nexit 1\n')
    (initrd.place / "measure").chmod(0o755)
    assert initrd.load().returncode == 0
    assert (initrd.folder / "measured").read_text() == f"{DIGEST}\n"
    assert "<4>cmakeys: measuring the set failed" in initrd.log


def test_without_a_log_of_the_kernel_it_still_loads(initrd: Initrd) -> None:
    (initrd.folder / "kmsg").mkdir()
    assert initrd.load().returncode == 0
    assert "link 100 42" in initrd.calls
