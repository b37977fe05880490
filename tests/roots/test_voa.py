"""A UAPI.11 tree says what it holds for `.cma`: each certificate once, nothing masked, no link that leads away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import Refused, UsageProblem
from cmakeys.roots import voa
from cmakeys.roots.record import render_pem
from cmakeys.roots.voa import LOAD_PATHS, VerifierTree, os_identifiers, read_hierarchy, write_hierarchy
from tests.roots.trust import certificate, root

A, B = certificate("a"), certificate("b")


@dataclass(frozen=True)
class System:
    """A system with load paths, and a shorter way to write into them."""

    root: Path

    def place(self, load_path: str, system: str = "debian") -> Path:
        folder = self.root / load_path / system / voa.PLACE
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, load_path: str, name: str, data: bytes, system: str = "debian") -> Path:
        path = self.place(load_path, system) / name
        path.write_bytes(data)
        return path

    def read(self, *systems: str) -> VerifierTree:
        return read_hierarchy([self.root / path for path in LOAD_PATHS], systems or ("debian",), root=self.root)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def held(tree: VerifierTree) -> list[str]:
    return [each.fingerprint for each in tree.certificates]


def test_certificates_of_all_load_paths_count_once_in_any_form(system: System) -> None:
    system.put("usr/share/voa", f"{A.fingerprint}.pem", render_pem(A))
    system.put("etc/voa", "acme.der", A.der)
    system.put("run/voa", "other.crt", B.der)
    system.put("usr/share/voa", "else.pem", render_pem(certificate("c")), system="fedora")
    tree = system.read()
    assert held(tree) == [A.fingerprint, B.fingerprint]
    assert tree.certificates[0].source == str(system.root / "etc/voa/debian/kernel-keyring/cma/x509/acme.der")
    assert tree.findings == ()


def test_several_systems_are_read_together_and_no_system_stands_for_another(system: System) -> None:
    system.put("etc/voa", "a.pem", render_pem(A), system="debian:13")
    assert held(system.read("debian")) == []
    assert held(system.read("debian", "debian:13")) == [A.fingerprint]


@pytest.mark.parametrize("load_path", LOAD_PATHS)
def test_a_mask_holds_in_every_load_path(system: System, load_path: str) -> None:
    system.put("etc/voa", "again.crt", A.der)
    system.put("usr/share/voa" if load_path != "usr/share/voa" else "run/voa", f"{A.fingerprint}.pem", render_pem(A))
    mask = system.place(load_path) / f"{A.fingerprint}.pem"
    mask.symlink_to("/dev/null")
    tree = system.read()
    assert held(tree) == []
    assert tree.masked(A.fingerprint) == mask
    assert tree.masked(B.fingerprint) is None


def test_a_mask_by_another_name_masks_the_file_of_that_name(system: System) -> None:
    system.put("usr/share/voa", "acme.pem", render_pem(A))
    (system.place("etc/voa") / "acme.pem").symlink_to("/dev/null")
    assert held(system.read()) == []


def test_a_relative_link_within_the_load_paths_counts(system: System) -> None:
    system.put("usr/share/voa", "a.pem", render_pem(A), system="arch")
    link = system.place("etc/voa") / "a.pem"
    link.symlink_to("../../../../../../usr/share/voa/arch/kernel-keyring/cma/x509/a.pem")
    assert held(system.read()) == [A.fingerprint]
    link.unlink()
    link.symlink_to("/usr/share/voa/arch/kernel-keyring/cma/x509/a.pem")
    assert held(system.read()) == [A.fingerprint]


@pytest.mark.parametrize(
    ("place", "target", "why"),
    [
        ("etc/voa", "../../../../../../outside/a.pem", "out of the load paths"),
        ("etc/voa", "/outside/a.pem", "out of the load paths"),
        ("etc/voa", "b.pem", "to another name"),
        ("etc/voa", "../missing/a.pem", "to nothing"),
        ("etc/voa", "a.pem", "more than 8 links"),
        ("usr/share/voa", "../../../../../../../etc/voa/arch/kernel-keyring/cma/x509/a.pem", "out of the load paths"),
        ("run/voa", "../../../../../../usr/share/voa/arch/kernel-keyring/cma/x509/a.pem", "an ephemeral load path"),
    ],
)
def test_any_other_link_is_named_and_does_not_count(system: System, place: str, target: str, why: str) -> None:
    (system.root / "outside").mkdir()
    (system.root / "outside/a.pem").write_bytes(render_pem(A))
    system.put("etc/voa", "a.pem", render_pem(A), system="arch")
    system.put("usr/share/voa", "a.pem", render_pem(A), system="arch")
    link = system.place(place) / "a.pem"
    link.symlink_to(target)
    tree = system.read()
    assert held(tree) == []
    ((path, message),) = [(each.path, each.message) for each in tree.findings]
    assert path == link
    assert why in message


def test_a_folder_that_is_a_link_counts_within_the_load_paths_only(system: System) -> None:
    system.put("etc/voa", "a.pem", render_pem(A), system="arch")
    (system.root / "etc/voa/debian/kernel-keyring").mkdir(parents=True)
    link = system.root / "etc/voa/debian/kernel-keyring/cma"
    link.symlink_to("../../arch/kernel-keyring/cma")
    assert held(system.read()) == [A.fingerprint]
    link.unlink()
    (system.root / "elsewhere/cma/x509").mkdir(parents=True)
    (system.root / "elsewhere/cma/x509/b.pem").write_bytes(render_pem(B))
    link.symlink_to("../../../../elsewhere/cma")
    assert held(system.read()) == []
    link.unlink()
    link.symlink_to("/dev/null")
    assert [each.path for each in system.read().findings] == [link]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.txt", b"", "its name does not end in"),
        ("a.pem", b"nothing", ""),
        ("a.pem", render_pem(A) + render_pem(B), "holds 2 certificates"),
        (f"{B.fingerprint}.pem", render_pem(A), f"its certificate has {A.fingerprint}"),
        ("a.der", b"0" * (voa.MAX_FILE_SIZE + 1), "more than"),
    ],
)
def test_a_file_that_is_no_certificate_is_named_and_the_others_count(
    system: System, name: str, data: bytes, why: str
) -> None:
    path = system.put("etc/voa", name, data)
    system.put("etc/voa", "good.pem", render_pem(certificate("good")))
    tree = system.read()
    assert held(tree) == [certificate("good").fingerprint]
    (finding,) = tree.findings
    assert finding.path == path
    assert why in finding.message
    assert finding.message


def test_too_many_entries_are_refused(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voa, "MAX_ENTRIES", 2)
    for number in range(3):
        system.put("etc/voa", f"{number}.pem", b"")
    with pytest.raises(Refused, match="more than 2 entries"):
        system.read()


def test_what_is_written_reads_back_with_its_masks(tmp_path: Path) -> None:
    folder = tmp_path / "voa"
    paths = list(write_hierarchy(folder, "debian:13", [root("a"), root("b")], ["c" * 64]))
    assert len(paths) == 3
    tree = read_hierarchy([folder], ["debian:13"])
    assert sorted(held(tree)) == sorted([A.fingerprint, B.fingerprint])
    assert tree.masked("c" * 64) == folder / "debian:13" / voa.PLACE / f"{'c' * 64}.pem"
    with pytest.raises(Refused, match="not empty"):
        list(write_hierarchy(folder, "debian:13", [root("a")]))


def test_the_names_of_a_system_are_those_of_its_release() -> None:
    text = 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID="43"\nIMAGE_ID=\'till\'\nIMAGE_VERSION=1.0\n'
    assert os_identifiers(text) == ("fedora", "fedora:43", "fedora:43::till", "fedora:43::till:1.0")
    assert os_identifiers("ID=arch\n") == ("arch",)
    assert os_identifiers("") == os_identifiers("ID=..\n") == ("linux",)


@pytest.mark.parametrize("text", ["", "..", "a/b", "a:", "A", "a:b:c:d:e:f", ":12", "a\n"])
def test_what_is_no_name_of_a_system_never_becomes_a_path(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem):
        list(write_hierarchy(tmp_path / "new", text, [root("a")]))


@given(st.text(st.sampled_from("./:a\n\"'=")) | st.text())
def test_any_release_file_gives_names_that_can_be_folders(text: str) -> None:
    for name in (*os_identifiers(text), *os_identifiers(f"ID={text}\nVERSION_ID={text}")):
        assert voa.check_os(name) == name
