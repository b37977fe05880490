"""The command that makes the initrds is that of what is installed, and it is run to its end or ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cmakeys.errors import ExitCode, NotFound
from cmakeys.images.rebuild import InitrdNotRebuilt, command_for, rebuild_command, run_rebuild


def install(tree: Path, *programs: str) -> None:
    for program in programs:
        path = tree / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/bin/sh\n[ "$1" = add-all ] || exit\n')
        path.chmod(0o755)


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        (["usr/sbin/update-initramfs", "usr/bin/kernel-install"], "update-initramfs -u -k all"),
        (["usr/bin/dracut", "usr/bin/kernel-install"], "dracut --force --regenerate-all"),
        (["usr/bin/mkinitcpio", "usr/bin/kernel-install"], "mkinitcpio -P"),
        (["bin/kernel-install"], "kernel-install add-all"),
        ([], ""),
    ],
)
def test_each_distribution_has_its_command(programs: list[str], expected: str, tmp_path: Path) -> None:
    install(tmp_path, *programs)
    assert " ".join(rebuild_command(tmp_path)) == expected


def test_a_kernel_install_that_cannot_make_them_all_is_not_the_one(tmp_path: Path) -> None:
    install(tmp_path, "usr/bin/kernel-install")
    assert rebuild_command(tmp_path)
    (tmp_path / "usr/bin/kernel-install").write_text("#!/bin/sh\n# add VERSION IMAGE, and no more\n")
    assert rebuild_command(tmp_path) == ()


def test_a_unified_image_is_made_by_who_makes_them(tmp_path: Path) -> None:
    unified = [Path("/efi/EFI/Linux/x.efi")]
    install(tmp_path, "usr/bin/dracut", "usr/bin/kernel-install")
    assert rebuild_command(tmp_path, unified)[0] == "kernel-install"
    install(tmp_path, "usr/bin/mkinitcpio")
    assert rebuild_command(tmp_path, unified)[0] == "mkinitcpio"


def test_an_image_based_system_makes_them_with_its_next_deployment(tmp_path: Path) -> None:
    install(tmp_path, "usr/bin/dracut", "usr/bin/rpm-ostree")
    assert rebuild_command(tmp_path)[0] == "dracut"
    install(tmp_path, "run/ostree-booted")
    assert rebuild_command(tmp_path)[0] == "rpm-ostree"


def test_what_cannot_be_run_is_not_installed(tmp_path: Path) -> None:
    install(tmp_path, "usr/bin/dracut")
    (tmp_path / "usr/bin/dracut").chmod(0o644)
    (tmp_path / "usr/sbin/mkinitcpio").mkdir(parents=True)
    assert rebuild_command(tmp_path) == ()


def test_the_configuration_s_command_comes_first_and_without_any_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        command_for((), tmp_path)
    assert "initrd.rebuild" in caught.value.hint
    install(tmp_path, "usr/bin/dracut")
    assert command_for((), tmp_path)[0] == "dracut"
    assert command_for(("make", "initrd"), tmp_path) == ("make", "initrd")


def script(folder: Path, text: str) -> str:
    path = folder / "rebuild"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_it_says_is_passed_on_and_it_finds_what_is_in_sbin(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("w") as stream:
        run_rebuild([script(tmp_path, 'echo "out $1 $PATH"; echo err >&2; pwd; cat')], output=stream)
        run_rebuild([script(tmp_path, 'echo "argument $1"'), "a b; rm"], output=stream)
    lines = output.read_text().splitlines()
    assert lines[1:] == ["err", "/", "argument a b; rm"]
    assert "/usr/sbin" in lines[0]


@pytest.mark.parametrize(
    ("text", "words"), [("exit 3", "left with 3"), ("kill -9 $$", "killed by signal 9"), ("kill $$", "by signal 15")]
)
def test_a_failure_has_a_code_of_its_own_and_says_what_stands(text: str, words: str, tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as stream, pytest.raises(InitrdNotRebuilt, match=words) as caught:
        run_rebuild([script(tmp_path, text)], output=stream)
    assert caught.value.exit_code is ExitCode.FOLLOW_UP
    assert "the roots are changed all the same" in caught.value.hint


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as stream:
        with pytest.raises(InitrdNotRebuilt, match="no such program"):
            run_rebuild([str(tmp_path / "none")], output=stream)
        with pytest.raises(InitrdNotRebuilt, match="Permission denied"):
            run_rebuild([str(tmp_path)], output=stream)


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = script(tmp_path, f"sleep 60 & echo $! >{pid}; wait")
    begun = time.monotonic()
    with (tmp_path / "output").open("w") as stream, pytest.raises(InitrdNotRebuilt, match=r"ended after 0\.5 s"):
        run_rebuild([program], seconds=0.5, output=stream)
    assert time.monotonic() - begun < 30
    assert not _runs(int(pid.read_text()))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_is_interrupted_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    pid = tmp_path / "pid"
    wait = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout == 1000:
            while not pid.exists() or not pid.read_text().strip():
                time.sleep(0.01)
            raise KeyboardInterrupt
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with (tmp_path / "output").open("w") as stream, pytest.raises(KeyboardInterrupt):
        run_rebuild([script(tmp_path, f"echo $$ >{pid}; exec sleep 60")], seconds=1000, output=stream)
    assert not _runs(int(pid.read_text()))
    assert os.path.lexists(pid)
