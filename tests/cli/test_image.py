"""`cmakeys image bake`: what goes in is said, what must not is refused, and the bytes are the same everywhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys import __version__
from cmakeys.cli.app import main
from cmakeys.images.tree import LOADER
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.store import RootStore
from tests.cli.machine import Machine, Said
from tests.roots import trust
from tests.x509.pki import issue

ROOT = Path(__file__).parents[2]
FIXED = ROOT / "tests/images/data"
GOLDEN = ROOT / "tests/images/data/golden.sha256"

ELSEWHERE = """
import contextlib, datetime, io, os, sys, time

user, days = int(sys.argv[1]), int(sys.argv[2])

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=days)

datetime.datetime = Shifted
before = time.time
time.time = lambda: before() + 86400 * days

from cmakeys.cli.app import main
with contextlib.redirect_stdout(io.StringIO()):
    main([*sys.argv[3:], "--dry-run"])  # loads what another user may not be able to read
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
sys.exit(main(sys.argv[3:]))
"""
"""The command as another user and at another time than the machine's."""


WITHOUT_KEYUTILS = """
import contextlib, ctypes, io, os, sys

load = ctypes.CDLL

class Missing(load):
    def __init__(self, name, *rest, **others):
        if name and "keyutils" in str(name):
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        super().__init__(name, *rest, **others)

ctypes.CDLL = Missing
from cmakeys.cli.app import main
with contextlib.redirect_stdout(io.StringIO()):
    main([*sys.argv[1:], "--dry-run"])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
code = main(sys.argv[1:])
assert "keyutils" not in open("/proc/self/maps").read()
sys.exit(code)
"""
"""The command as an unprivileged user on a machine without the library of keyutils."""


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    RootStore(tmp_path).add(trust.root("a"))
    return Machine(tmp_path, capsys)


def bake(machine: Machine, *words: str, output: str = "out") -> Said:
    return machine.run("image", "bake", "-o", str(machine.sysroot / output), *words, "--sysroot", str(machine.sysroot))


def test_what_went_in_is_said(machine: Machine) -> None:
    said = bake(machine)
    assert said.code == 0
    root = trust.root("a")
    assert f"  sha256 {root.fingerprint}" in said.out.splitlines()
    assert "a  trusted  until 2090-01-01" in said.out.splitlines()
    data = (machine.sysroot / "out").read_bytes()
    assert data.startswith(b"070701")
    assert root.certificate.der in data
    assert all(len(line) <= 80 for line in said.out.splitlines() if str(machine.sysroot) not in line)


def test_the_same_again_changes_nothing(machine: Machine) -> None:
    assert bake(machine, "--detailed-exitcode").code == 10
    assert bake(machine, "--detailed-exitcode").code == 0
    assert bake(machine, "--detailed-exitcode", "--required").code == 10


def test_a_dry_run_says_the_digest_and_writes_nothing(machine: Machine) -> None:
    would = bake(machine, "--dry-run", "--json").data
    assert not (machine.sysroot / "out").exists()
    assert bake(machine, "--json").data["sha256"] == would["sha256"]
    digest = hashlib.sha256((machine.sysroot / "out").read_bytes()).hexdigest()
    assert digest == would["sha256"]


@pytest.mark.parametrize(
    ("root", "permission"),
    [
        (trust.root("staged", state=LifeCycle.STAGED), None),
        (Root("old", issue("Old", not_after=datetime(2021, 1, 1, tzinfo=UTC)).certificate), "--allow-expired"),
        (trust.root("retired", state=LifeCycle.RETIRED), None),
        (trust.root("distrusted", state=LifeCycle.DISTRUSTED), None),
        (Root("soon", issue("Soon", not_after=datetime.now(UTC) + timedelta(days=80)).certificate), "--allow-expired"),
        (Root("odd", issue("Odd", kind="ed448").certificate), "--allow-unloadable"),
    ],
    ids=["staged", "expired", "retired", "distrusted", "soon", "unloadable"],
)
@pytest.mark.parametrize("form", ["cpio", "dir", "pem", "voa"])
def test_a_set_with_a_root_that_would_not_do_is_refused_as_a_whole(
    machine: Machine, root: Root, permission: str | None, form: str
) -> None:
    RootStore(machine.sysroot).add(root)
    said = bake(machine, "a", root.name, "--format", form)
    assert said.code == 8
    assert root.name in said.err
    assert not (machine.sysroot / "out").exists()
    (machine.sysroot / "out").mkdir()  # where something was before it is left as it was
    (machine.sysroot / "out/before").touch()
    assert bake(machine, "a", root.name, "--format", form).code == 8
    assert [path.name for path in (machine.sysroot / "out").iterdir()] == ["before"]
    shutil.rmtree(machine.sysroot / "out")
    if permission is not None:
        said = bake(machine, "--format", form, permission)
        assert said.code == 0
        assert f"warning: {root.name}: baked all the same" in said.err


def test_a_test_root_is_refused_by_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from cmakeys.roots.catalogue import Catalogue

    monkeypatch.setattr(Catalogue, "test_roots", {trust.root("a").fingerprint: "of a test"})
    refused = bake(machine)
    assert refused.code == 8
    assert "of a test" in refused.err
    assert not (machine.sysroot / "out").exists()
    assert bake(machine, "--allow-test-root").code == 0


def test_a_folder_of_certificates_is_a_source_too(machine: Machine) -> None:
    folder = machine.sysroot / "vendors"
    folder.mkdir()
    (folder / "b.pem").write_bytes(render_pem(trust.certificate("b")))
    said = bake(machine, "--roots", str(folder), "--format", "pem")
    assert said.code == 0
    assert trust.certificate("b").fingerprint.encode() in (machine.sysroot / "out").read_bytes()
    assert trust.certificate("a").fingerprint.encode() not in (machine.sysroot / "out").read_bytes()
    (folder / "notes.txt").write_text("")
    assert bake(machine, "--roots", str(folder)).code == 2


def test_a_tree_has_what_the_archive_has(machine: Machine) -> None:
    assert bake(machine, "--format", "dir").code == 0
    loader = machine.sysroot / "out" / LOADER
    assert stat.S_IMODE(loader.stat().st_mode) == 0o755
    assert loader.stat().st_mtime == 0
    assert bake(machine, "--format", "dir").code == 8, "not over what is there"


def test_a_uapi_tree_masks_what_is_denied(machine: Machine) -> None:
    from cmakeys.roots.deny import DenyEntry, DenyKind

    RootStore(machine.sysroot).deny(DenyEntry(DenyKind.CERTIFICATE, "ab" * 32))
    assert bake(machine, "--format", "voa", "--os", "debian:13").code == 0
    place = machine.sysroot / "out/debian:13/kernel-keyring/cma/x509"
    assert (place / f"{trust.certificate('a').fingerprint}.pem").read_bytes() == render_pem(trust.certificate("a"))
    assert (place / f"{'ab' * 32}.pem").readlink() == Path("/dev/null")


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "tar"),
        ("--format", "pem", "--required"),
        ("--format", "voa", "--with-keyctl"),
        ("--os", "debian"),
        ("--keyctl-sysroot", "/"),
        ("--format", "voa", "--os", "../x"),
    ],
)
def test_what_makes_no_sense_together_is_said(machine: Machine, words: tuple[str, ...]) -> None:
    assert bake(machine, *words).code == 2
    assert not (machine.sysroot / "out").exists()


@pytest.mark.parametrize("epoch", ["-1", "", "x", "4294967296", "99999999999", "1.5"])
def test_a_strange_epoch_is_refused(machine: Machine, epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    said = bake(machine)
    assert said.code == 2
    assert "SOURCE_DATE_EPOCH" in said.err


def test_the_epoch_is_the_only_time_in_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert bake(machine, "--json").data["mtime"] == 1700000000
    data = (machine.sysroot / "out").read_bytes()
    assert data[46:54] == b"%08X" % 1700000000


def test_nothing_is_overwritten_that_is_no_file(machine: Machine) -> None:
    (machine.sysroot / "out").mkdir()
    assert bake(machine).code == 2


# -- the same bytes anywhere -------------------------------------------------------------------------------------------


def built(
    work: Path, *options: str, user: int, umask: int, days: int, environment: Mapping[str, str]
) -> tuple[str, bytes]:
    """The digest that the command says, and the archive, of the fixed set, under the circumstances given."""
    roots = work / "roots"
    roots.mkdir(parents=True)
    for name in sorted(("acme.pem", "other.pem"), reverse=bool(days)):
        shutil.copyfile(FIXED / name, roots / name)
    for part in ("cmakeys", "roots"):
        shutil.copytree(ROOT / part, work / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
    if os.geteuid() == 0:
        os.chown(work, user, user)
    words = ["image", "bake", "--roots", "roots", "-o", "cma", "--json", *options]
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(user), str(days), *words],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        umask=umask,
        env={"PATH": os.defpath, "PYTHONPATH": str(work / "code"), **environment},
    )
    assert run.returncode == 0, run.stderr
    if os.geteuid() == 0:
        assert (work / "cma").stat().st_uid == user
    data = (work / "cma").read_bytes() if (work / "cma").is_file() else b""
    return json.loads(run.stdout)["data"]["sha256"], data


@pytest.mark.system
def test_the_same_roots_give_the_same_bytes_for_anybody_anywhere_at_any_time() -> None:
    other = {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "0"}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        said, data = built(place / "a", user=os.geteuid(), umask=0o022, days=0, environment={"LC_ALL": "C.UTF-8"})
        again, copy = built(place / "b/c", user=65534, umask=0o077, days=4000, environment=other)
    print(f"sha256 {said}\nsha256 {again}")
    assert data == copy
    assert said == again == hashlib.sha256(data).hexdigest()
    assert GOLDEN.read_text().split() == [__version__, said], "changes with the loader, and with the version"


@pytest.mark.parametrize("form", ["dir", "voa", "pem"])
@pytest.mark.system
def test_a_tree_and_a_bundle_are_the_same_for_anybody_too(form: str) -> None:
    """Down to permissions and times, since what copies the tree takes them along."""
    made = []
    for user, umask, seed in ((os.geteuid(), 0o022, "1"), (65534, 0o077, "2")):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            place.chmod(0o755)
            environment = {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": "1700000000"}
            words = ("--format", form, *(("--os", "debian:13") if form == "voa" else ()))
            built(place / "w", *words, user=user, umask=umask, days=0, environment=environment)
            made.append(_described(place / "w/cma"))
    assert made[0] == made[1]
    assert len(made[0]) >= (1 if form == "pem" else 5)


def _described(top: Path) -> list[tuple[str, int, int, bytes]]:
    """Names, permissions, times and contents of all that is below."""
    if not top.is_dir():
        return [("", 0, 0, top.read_bytes())]  # a single file has its time from whoever copies it
    found = []
    for path in sorted([top, *top.rglob("*")]):
        status = path.lstat()
        data = os.readlink(path).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()  # noqa: PTH115 the text itself
        found.append((str(path.relative_to(top)), status.st_mode, int(status.st_mtime), data))
    return found


@pytest.mark.system
def test_an_unprivileged_user_on_a_machine_without_keyutils_bakes_the_same() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        code = place / "code"
        for part in ("cmakeys", "roots"):
            shutil.copytree(ROOT / part, code / part, ignore=shutil.ignore_patterns("__pycache__"))
        work = place / "work"
        (work / "roots").mkdir(parents=True)
        for name in ("acme.pem", "other.pem"):
            shutil.copyfile(FIXED / name, work / "roots" / name)
        if os.geteuid() == 0:
            os.chown(work, 65534, 65534)
        run = subprocess.run(
            [sys.executable, "-c", WITHOUT_KEYUTILS, "image", "bake", "--roots", "roots", "-o", "cma", "--json"],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": "/nonexistent", "PYTHONPATH": str(code)},
        )
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["data"]["sha256"] == GOLDEN.read_text().split()[1]
        assert (work / "cma").stat().st_uid != 0


# -- looking at it again -----------------------------------------------------------------------------------------------


def look(machine: Machine, *words: str) -> Said:
    path = str(machine.sysroot / "out")
    return machine.run("image", "inspect", path, *words, "--sysroot", str(machine.sysroot))


def test_what_was_baked_is_shown_and_is_what_the_machine_trusts(machine: Machine) -> None:
    bake(machine)
    said = look(machine, "--against")
    assert said.code == 0
    lines = said.out.splitlines()
    assert f"  sha256 {trust.certificate('a').fingerprint}" in lines
    assert "a  until 2090-01-01" in lines
    assert f"baked by cmakeys {__version__}" in lines
    assert "loader: that of this cmakeys" in lines
    assert lines[-1] == "the same roots as on this machine"
    assert all(len(line) <= 80 for line in lines)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("screen", [True, False], ids=["terminal", "pipe"])
def test_a_long_look_shows_how_far_it_is_on_a_terminal_only(
    screen: bool, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bake(machine)
    stderr = Screen() if screen else io.StringIO()
    times = iter(range(1000))
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    assert main(["image", "inspect", str(machine.sysroot / "out")]) == 0
    assert stderr.getvalue() == ("\r100 %\n" if screen else "")


def test_a_short_look_shows_nothing_of_the_kind(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    bake(machine)
    monkeypatch.setattr(sys, "stderr", stderr := Screen())
    assert main(["image", "inspect", str(machine.sysroot / "out")]) == 0
    assert stderr.getvalue() == ""


def test_an_image_that_is_out_of_date_is_said_to_be(machine: Machine) -> None:
    bake(machine)
    RootStore(machine.sysroot).add(trust.root("b"))
    assert look(machine).code == 0
    said = look(machine, "--against")
    assert said.code == 1
    assert "missing: b: trusted, and not in the image" in said.out


def test_an_image_that_is_at_fault_is_said_to_be(machine: Machine) -> None:
    bake(machine)
    path = machine.sysroot / "out"
    path.write_bytes(path.read_bytes().replace(b'"required": false', b'"required": true '))
    said = look(machine)
    assert said.code == 1
    assert "fault: the manifest and the loader disagree" in said.out


def test_an_initrd_without_roots_is_told_from_one_that_cannot_be_read(machine: Machine) -> None:
    from cmakeys.images.cpio import Entry, render

    (machine.sysroot / "out").write_bytes(render([Entry.file("init", b"")]))
    assert look(machine).code == 3
    (machine.sysroot / "out").write_bytes(b"garbage")
    assert look(machine).code == 1
