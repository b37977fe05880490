"""Hooks for what makes initrds: written, read back, removed; and what each script does with what bake leaves.

The scripts run with a `cmakeys` that records how it was called, and with functions in the place of those that their
generator has. The real generators are in tests/guest/test_initrds.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmakeys.errors import Refused, UsageProblem
from cmakeys.images.bake import Permission, Request, image
from cmakeys.images.folder import write_folder
from cmakeys.images.generators import HOOKS, Generator
from cmakeys.images.hooks import install, is_there, options_of, remove, standing
from cmakeys.images.tree import LOADER, PLACE
from cmakeys.roots.rootset import RootSet
from cmakeys.stamped import FileState
from tests.roots import trust

BAKING = [generator for generator in Generator if generator is not Generator.SYSTEMD]
EVERYTHING = options_of(required=True, allowed=tuple(Permission))
UNIT = "usr/lib/systemd/system/cmakeys-load.service"

each_generator = pytest.mark.parametrize("generator", Generator, ids=lambda one: one.value)
each_baking = pytest.mark.parametrize("generator", BAKING, ids=lambda one: one.value)


def put(sysroot: Path, generator: Generator, *options: str) -> tuple[Path, ...]:
    return install(sysroot, generator, options, force=False, dry_run=False)


# -- the files ---------------------------------------------------------------------------------------------------------


@each_generator
def test_a_hook_is_whole_once_it_is_installed_and_gone_once_it_is_removed(generator: Generator, tmp_path: Path) -> None:
    assert standing(tmp_path, generator).state is FileState.ABSENT
    written = put(tmp_path, generator)
    assert {path for path in tmp_path.rglob("*") if not path.is_dir() or path.is_symlink()} == set(written)
    assert standing(tmp_path, generator).state is FileState.CURRENT
    assert put(tmp_path, generator) == ()
    assert set(remove(tmp_path, generator, force=False, dry_run=False)) == set(written)
    assert standing(tmp_path, generator).state is FileState.ABSENT
    assert not [path for path in tmp_path.rglob("*") if "cmakeys" in path.name]


def test_the_hooks_do_not_get_into_each_other_s_way(tmp_path: Path) -> None:
    written = [path for generator in Generator for path in put(tmp_path, generator)]
    assert len(set(written)) == len(written)
    remove(tmp_path, Generator.DRACUT, force=False, dry_run=False)
    assert {one: standing(tmp_path, one).state for one in Generator} == {
        one: FileState.ABSENT if one is Generator.DRACUT else FileState.CURRENT for one in Generator
    }


@each_baking
def test_the_options_are_in_the_hook_and_read_back(generator: Generator, tmp_path: Path) -> None:
    put(tmp_path, generator, *EVERYTHING)
    found = standing(tmp_path, generator)
    assert (found.state, found.options) == (FileState.CURRENT, EVERYTHING)
    put(tmp_path, generator)
    found = standing(tmp_path, generator)
    assert (found.state, found.options) == (FileState.CURRENT, ())


def test_a_unit_that_bakes_nothing_takes_no_options(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem):
        put(tmp_path, Generator.SYSTEMD, "--required")
    assert list(tmp_path.iterdir()) == []


@each_generator
def test_an_edited_hook_is_said_to_be_and_kept(generator: Generator, tmp_path: Path) -> None:
    path = put(tmp_path, generator)[0]
    path.write_bytes(path.read_bytes() + b"# mine\n")
    found = standing(tmp_path, generator)
    assert found.state is FileState.EDITED
    assert [file.path for file in found.files if file.state is FileState.EDITED] == [path]
    with pytest.raises(Refused):
        put(tmp_path, generator)
    with pytest.raises(Refused):
        remove(tmp_path, generator, force=False, dry_run=False)
    assert path.read_bytes().endswith(b"# mine\n")


@pytest.mark.parametrize("generator", [Generator.DRACUT, Generator.SYSTEMD], ids=lambda one: one.value)
def test_half_a_hook_is_none_that_is_current(generator: Generator, tmp_path: Path) -> None:
    put(tmp_path, generator)[-1].unlink()
    assert standing(tmp_path, generator).state is FileState.OUTDATED
    assert len(put(tmp_path, generator)) == 1


@each_generator
def test_a_generator_is_known_by_what_its_package_brings(generator: Generator, tmp_path: Path) -> None:
    put(tmp_path, generator)
    assert not is_there(tmp_path, generator)
    sign = tmp_path / HOOKS[generator].signs[0]
    sign.parent.mkdir(parents=True, exist_ok=True)
    sign.symlink_to("/nonexistent")
    assert is_there(tmp_path, generator)


# -- what the scripts do -----------------------------------------------------------------------------------------------

CMAKEYS = """#!/bin/sh
echo "$*" >>"$FAKE/calls"
[ "$1" != --version ] || exit 0
output=
for word in "$@"; do
    [ "$output" != next ] || output=$word
    [ "$word" != -o ] || output=next
done
read -r status <"$FAKE/status"
[ "$status" -eq 0 ] || exit "$status"
cp -r "$FAKE/baked" "$output"
"""
"""Leaves with the status that the file `status` says, and what the folder `baked` has where it is to write."""


@dataclass
class Build:
    """Where an initrd is being made, with commands that do as they are told."""

    folder: Path

    def bakes(self, status: int = 0) -> None:
        (self.folder / "status").write_text(f"{status}\n")

    @property
    def baked(self) -> list[str]:
        """The arguments of the one call of `image bake`."""
        lines = (self.folder / "calls").read_text().splitlines()
        (words,) = [line.split() for line in lines if line.startswith("image bake")]
        return words

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            words,
            env={"PATH": path, "FAKE": str(self.folder), "initdir": str(self.initrd), **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def source(self, program: str, functions: str, call: str) -> subprocess.CompletedProcess[str]:
        """Source a hook as its generator does, and call what it defines."""
        return self.run("bash", "-c", f'{functions}\n. "$0"\n{call}', program)

    def leaves_nothing(self) -> bool:
        """Whether the temporary files of the script are gone."""
        return not list((self.folder / "tmp").iterdir())


@pytest.fixture
def build(tmp_path: Path) -> Build:
    for name in ("bin", "initrd", "tmp"):
        (tmp_path / name).mkdir()
    for name, text in (("cmakeys", CMAKEYS), ("keyctl", "#!/bin/sh\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    baked = image(RootSet((trust.root("a"),)), Request(required=True))
    write_folder(tmp_path / "baked", baked.entries(), mtime=1)
    made = Build(tmp_path)
    made.bakes()
    return made


def written(build: Build, generator: Generator, *options: str) -> str:
    """The first file of the hook as it is installed."""
    return str(put(build.folder / "system", generator, *options)[0])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


DRACUT = """
dfatal() { echo "fatal: $*"; }
derror() { echo "error: $*"; }
require_binaries() { command -v "$1" >/dev/null; }
inst_multiple() { echo "binaries: $*"; }
inst_hook() { echo "hook: $1 $2 ${3##*/}"; }
dracut_module_included() { [ "$SYSTEMD" = yes ]; }
systemdsystemunitdir=/usr/lib/systemd/system
DRACUT_TMPDIR=$FAKE/tmp
moddir=${0%/*}
"""
MKINITCPIO = """
error() { printf "$@"; }
warning() { printf "$@"; }
add_binary() { echo "binaries: $*"; }
add_runscript() { echo "runscript"; }
add_file() { mkdir -p "$initdir${2%/*}" && cp --preserve=mode "$1" "$initdir$2"; }
add_symlink() { mkdir -p "$initdir${1%/*}" && ln -s "$2" "$initdir$1"; }
export TMPDIR=$FAKE/tmp
"""


def in_dracut(build: Build, *options: str, call: str = "check && install") -> subprocess.CompletedProcess[str]:
    return build.source(written(build, Generator.DRACUT, *options), f"SYSTEMD=yes\n{DRACUT}", call)


def in_mkinitcpio(build: Build, *options: str) -> subprocess.CompletedProcess[str]:
    return build.source(written(build, Generator.MKINITCPIO, *options), MKINITCPIO, "build")


def in_mkosi(build: Build, *options: str) -> subprocess.CompletedProcess[str]:
    program = build.folder / "system/etc/mkosi-initrd/cmakeys.finalize"
    written(build, Generator.MKOSI, *options)
    for name in ("initrd/usr/bin", "src/cmakeys"):
        (build.folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(build.folder / "bin/keyctl", build.initrd / "usr/bin")
    return build.run(
        str(program), BUILDROOT=str(build.initrd), SRCDIR=str(build.folder / "src"), TMPDIR=str(build.folder / "tmp")
    )


def in_kernel_install(build: Build, *options: str) -> subprocess.CompletedProcess[str]:
    (build.initrd / "initrd.img").touch()
    (build.initrd / "cmakeys-was-here").unlink(missing_ok=True)  # every run has a staging area of its own
    words = (written(build, Generator.KERNEL_INSTALL, *options), "add", "6.12", "/boot/entry", "/boot/vmlinuz")
    return build.run(*words, KERNEL_INSTALL_STAGING_AREA=str(build.initrd))


IN = {
    Generator.DRACUT: in_dracut,
    Generator.MKINITCPIO: in_mkinitcpio,
    Generator.MKOSI: in_mkosi,
    Generator.KERNEL_INSTALL: in_kernel_install,
}
each_script = pytest.mark.parametrize("generator", IN, ids=lambda one: one.value)


@each_script
def test_what_bake_refuses_is_said_and_ends_nothing(generator: Generator, build: Build) -> None:
    build.bakes(8)
    run = IN[generator](build)
    assert run.returncode == 0
    said = run.stdout + run.stderr
    assert "no roots for PCIe devices" in said
    assert "exit status 8" in said
    assert not (build.initrd / LOADER).exists()
    assert "--required" not in build.baked
    assert build.leaves_nothing()


@each_script
def test_where_the_roots_are_required_what_bake_refuses_ends_it(generator: Generator, build: Build) -> None:
    build.bakes(8)
    run = IN[generator](build, "--required")
    assert run.returncode == 1
    assert "are required" in run.stdout + run.stderr
    assert "--required" in build.baked
    assert build.leaves_nothing()


@each_script
def test_bake_gets_the_options_of_the_hook(generator: Generator, build: Build) -> None:
    assert IN[generator](build, *EVERYTHING).returncode == 0
    assert set(EVERYTHING) <= set(build.baked)
    assert build.leaves_nothing()


@each_script
def test_without_the_command_an_initrd_is_made_all_the_same(generator: Generator, build: Build) -> None:
    (build.folder / "bin/cmakeys").write_text("#!/bin/sh\nexit 127\n")
    run = IN[generator](build)
    assert "no roots for PCIe devices" in run.stdout + run.stderr
    assert run.returncode == (1 if generator is Generator.DRACUT else 0), "of dracut's check: not this module"
    assert IN[generator](build, "--required").returncode == 1


@pytest.mark.parametrize("generator", [Generator.DRACUT, Generator.MKINITCPIO, Generator.MKOSI], ids=lambda g: g.value)
def test_what_was_baked_is_in_the_initrd_with_the_unit(generator: Generator, build: Build) -> None:
    run = IN[generator](build)
    assert (run.returncode, run.stderr) == (0, "")
    ours = {name for name in files(build.folder / "baked") if name.startswith((PLACE, "usr/lib/systemd"))}
    assert files(build.initrd) - {"usr/bin/keyctl"} == ours
    assert os.access(build.initrd / LOADER, os.X_OK)
    link = build.initrd / "usr/lib/systemd/system/sysinit.target.wants/cmakeys-load.service"
    assert link.resolve() == build.initrd / UNIT
    assert build.leaves_nothing()


def test_dracut_without_systemd_calls_the_loader_before_udev(build: Build) -> None:
    run = build.source(written(build, Generator.DRACUT), f"SYSTEMD=no\n{DRACUT}", "check && install")
    assert run.stdout.splitlines() == ["binaries: keyctl mkdir sleep", "hook: pre-udev 05 cmakeys.sh"]
    assert (build.initrd / LOADER).exists()
    assert not (build.initrd / UNIT).exists()


def test_dracut_bakes_the_roots_of_the_tree_that_it_works_on(build: Build) -> None:
    in_dracut(build, call="dracutsysrootdir=/image; install")
    assert build.baked[build.baked.index("--sysroot") + 1] == "/image"


def test_mkinitcpio_runs_the_hook_first(build: Build) -> None:
    put(build.folder / "system", Generator.MKINITCPIO)
    conf = build.folder / "system/etc/mkinitcpio.conf.d/zz-cmakeys.conf"
    run = build.source(str(conf), "HOOKS=(base udev)", 'echo "${HOOKS[@]}"')
    assert run.stdout == "cmakeys base udev\n"


@pytest.mark.parametrize("status", [0, 1])
def test_mkinitcpio_opens_a_shell_where_the_loader_says_that_the_boot_must_not_go_on(build: Build, status: int) -> None:
    put(build.folder / "system", Generator.MKINITCPIO)
    hook = (build.folder / "system/etc/initcpio/hooks/cmakeys").read_text()
    (build.initrd / PLACE).mkdir(parents=True)
    (build.initrd / LOADER).write_text(f"exit {status}\n")
    script = build.folder / "hook"
    script.write_text(hook.replace("/usr/lib", f"{build.initrd}/usr/lib"))
    functions = 'err() { echo "$*"; }\nlaunch_interactive_shell() { echo shell; }'
    run = build.source(str(script), functions, "run_earlyhook")
    assert run.returncode == 0
    assert ("shell" in run.stdout.splitlines()) == bool(status)


@pytest.mark.parametrize("command", ["remove", "inspect"])
def test_kernel_install_is_left_alone_where_nothing_is_added(command: str, build: Build) -> None:
    words = (written(build, Generator.KERNEL_INSTALL, "--required"), command, "6.12")
    assert build.run(*words, KERNEL_INSTALL_STAGING_AREA=str(build.initrd)).returncode == 0
    assert files(build.initrd) == set()


@pytest.mark.parametrize("given", ["argument", "staged"])
def test_kernel_install_gets_an_initrd_beside_the_one_that_is_there(given: str, build: Build) -> None:
    other = (build.folder if given == "argument" else build.initrd) / "initrd.img"
    other.touch()
    words = [written(build, Generator.KERNEL_INSTALL), "add", "6.12", "/boot/entry", "/boot/vmlinuz"]
    words += [str(other)] if given == "argument" else []
    run = build.run(*words, KERNEL_INSTALL_STAGING_AREA=str(build.initrd))
    assert (run.returncode, run.stderr) == (0, "")
    assert (build.initrd / "initrd-cmakeys").exists()
    assert {"--with-keyctl", "-o"} <= set(build.baked)


def plugins(build: Build) -> list[str]:
    """What each of the plugins says, one after the other."""
    runs = []
    for path in put(build.folder / "system", Generator.KERNEL_INSTALL):
        words = (str(path), "add", "6.12", "/boot/entry", "/boot/vmlinuz")
        run = build.run(*words, KERNEL_INSTALL_STAGING_AREA=str(build.initrd))
        assert run.returncode == 0
        runs.append(run.stderr)
        if (build.folder / "between").exists():
            (build.folder / "between").rename(build.initrd / "initrd.img")
    return runs


def test_kernel_install_gets_no_initrd_that_would_be_the_only_one(build: Build) -> None:
    early, late = plugins(build)
    assert (early, files(build.initrd)) == ("", set())
    assert "no initrd was made that they could stand beside" in late


def test_kernel_install_gets_it_beside_an_initrd_that_is_staged_late(build: Build) -> None:
    (build.folder / "between").touch()
    assert plugins(build) == ["", ""]
    assert (build.initrd / "initrd-cmakeys").exists()


@pytest.mark.parametrize("status", [0, 8])
def test_kernel_install_has_it_baked_once(build: Build, status: int) -> None:
    build.bakes(status)
    (build.initrd / "initrd.img").touch()
    early, late = plugins(build)
    assert (bool(early), late) == (status == 8, "")
    assert build.baked
