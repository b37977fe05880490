"""The store on disk: precedence, masks, deny entries, what is an error and what is only reported."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.errors import EnvironmentProblem, Locked, NotFound, NotPermitted, Refused
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.record import StoreProblem, render_deny, render_pem, render_root
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.roots.rootset import DenyEntry, DenyKind, RootSet
from cmakeys.roots.store import ETC, RUN, USR, RootStore
from tests.roots.trust import certificate, put, root

A, B, C = root("a"), root("b"), root("c")


@pytest.fixture
def store(tmp_path: Path) -> RootStore:
    return RootStore(tmp_path)


def names(store: RootStore) -> list[str]:
    return [each.name for each in store.load().roots]


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def mask(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/null")


class TestReading:
    def test_a_machine_without_directories_has_no_roots(self, store: RootStore) -> None:
        assert store.load() == RootSet()

    @pytest.mark.parametrize("place", [USR, RUN, ETC])
    def test_each_directory_is_read(self, store: RootStore, tmp_path: Path, place: str) -> None:
        put(tmp_path / place, A)
        report = store.inspect()
        assert report.root_set == RootSet((A,))
        assert report.places == {"a": (tmp_path / place,)}
        assert report.findings == ()

    @pytest.mark.parametrize(("higher", "lower"), [(ETC, RUN), (ETC, USR), (RUN, USR)])
    def test_the_higher_directory_wins_by_name(self, store: RootStore, tmp_path: Path, higher: str, lower: str) -> None:
        put(tmp_path / lower, A)
        put(tmp_path / higher, replace(A, state=LifeCycle.RETIRED))
        assert store.load().roots == (replace(A, state=LifeCycle.RETIRED),)
        assert store.load().anchors() == ()

    def test_a_file_that_is_beaten_is_not_even_parsed(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / USR, A)
        (tmp_path / USR / "a.yaml").write_text("a: [")
        put(tmp_path / ETC, A)
        assert names(store) == ["a"]

    @pytest.mark.parametrize("half", ["a.yaml", "a.pem"])
    @pytest.mark.parametrize("place", [ETC, RUN])
    def test_a_link_to_dev_null_masks_the_name_below(
        self, store: RootStore, tmp_path: Path, half: str, place: str
    ) -> None:
        put(tmp_path / USR, A)
        put(tmp_path / USR, B)
        mask(tmp_path / place / half)
        assert names(store) == ["b"]
        assert store.inspect().masks == {"a": tmp_path / place / half}

    def test_a_mask_hides_a_broken_file(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / USR, A)
        (tmp_path / USR / "a.yaml").write_text("a: [")
        mask(tmp_path / ETC / "a.yaml")
        assert names(store) == []

    def test_a_mask_below_does_not_mask_what_is_above(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        mask(tmp_path / USR / "a.yaml")
        assert names(store) == ["a"]

    def test_an_upper_mask_beats_a_pair_between(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / RUN, A)
        put(tmp_path / USR, A)
        mask(tmp_path / ETC / "a.yaml")
        assert names(store) == []

    def test_a_certificate_without_record_is_not_trusted_and_said_so(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / "b.pem").write_bytes(render_pem(B.certificate))
        report = store.inspect()
        assert report.root_set == RootSet((A,))
        assert [(finding.path.name, "not trusted" in finding.message) for finding in report.findings] == [
            ("b.pem", True)
        ]

    def test_an_orphan_above_does_not_hide_the_pair_below(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / USR, A)
        (tmp_path / ETC).mkdir(parents=True)
        (tmp_path / ETC / "a.pem").write_bytes(render_pem(B.certificate))
        assert store.load() == RootSet((A,))

    def test_a_record_without_certificate_stops_the_load(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / "a.pem").unlink()
        with pytest.raises(StoreProblem, match=r"there is no a\.pem") as caught:
            store.load()
        assert caught.value.object == str(tmp_path / ETC / "a.yaml")

    def test_a_swapped_certificate_stops_the_load(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / "a.pem").write_bytes(render_pem(B.certificate))
        with pytest.raises(StoreProblem, match="is about"):
            store.load()

    def test_an_unknown_key_stops_the_load_with_file_and_line(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        record = tmp_path / ETC / "a.yaml"
        record.write_bytes(b"only-on-tuesdays: yes\n" + render_root(A))
        with pytest.raises(DocumentProblem) as caught:
            store.load()
        assert caught.value.object == f"{record} line 1"

    @pytest.mark.parametrize("name", ["Nvidia.yaml", "a.b.pem", "Deny.yaml", "ä.pem"])
    def test_a_name_that_no_root_has_stops_the_load(self, store: RootStore, tmp_path: Path, name: str) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / name).write_text("")
        with pytest.raises(StoreProblem, match="its name is not one of the store"):
            store.load()

    def test_other_files_are_reported_and_temporary_ones_are_not_read(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        for name in ("vendor.crt", "README.md", ".cmakeys-a.yaml.123", "b.yml"):
            (tmp_path / ETC / name).write_text("x")
        report = store.inspect()
        assert report.root_set == RootSet((A,))
        assert {finding.path.name for finding in report.findings} == {"vendor.crt", "b.yml"}

    def test_a_file_that_others_may_change_is_reported(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / "a.yaml").chmod(0o666)
        assert [finding.path.name for finding in store.inspect().findings] == ["a.yaml"]

    def test_what_is_no_regular_file_is_refused_without_waiting_for_it(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / "a.pem").unlink()
        os.mkfifo(tmp_path / ETC / "a.pem")
        with pytest.raises(StoreProblem, match="not a regular file"):
            store.load()

    def test_a_huge_file_is_refused_unread(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        with (tmp_path / ETC / "a.pem").open("r+b") as file:
            file.truncate(1 << 40)
        with pytest.raises(StoreProblem, match="more than"):
            store.load()

    @pytest.mark.parametrize("what", ["directory", "file"])
    def test_a_link_out_of_the_tree_is_refused(self, tmp_path: Path, what: str) -> None:
        tree, outside = tmp_path / "tree", tmp_path / "outside"
        put(outside, A)
        if what == "directory":
            (tree / ETC).parent.mkdir(parents=True)
            (tree / ETC).symlink_to(outside)
        else:
            put(tree / ETC, A)
            (tree / ETC / "a.yaml").unlink()
            (tree / ETC / "a.yaml").symlink_to(outside / "a.yaml")
        with pytest.raises(Refused, match="leads out of"):
            RootStore(tree).load()

    def test_a_writer_does_not_follow_a_link_out_of_the_tree(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (tmp_path / "tree" / ETC).parent.mkdir(parents=True)
        (tmp_path / "tree" / ETC).symlink_to(outside)
        with pytest.raises(Refused, match="leads out of"):
            RootStore(tmp_path / "tree").add(A)
        assert list(outside.iterdir()) == []

    def test_a_relative_link_inside_the_tree_is_followed(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / "opt", A)
        (tmp_path / ETC).mkdir(parents=True)
        for half in ("a.pem", "a.yaml"):
            (tmp_path / ETC / half).symlink_to(f"../../../opt/{half}")
        assert names(store) == ["a"]


class TestDuplicates:
    def test_the_higher_directory_wins_over_the_same_certificate_of_another_name(
        self, store: RootStore, tmp_path: Path
    ) -> None:
        put(tmp_path / USR, A)
        put(tmp_path / ETC, root("mine", of="a"))
        report = store.inspect()
        assert [each.name for each in report.root_set.roots] == ["mine"]
        assert report.duplicates == {"mine": ("a",)}
        assert [finding.path for finding in report.findings] == [tmp_path / USR / "a.yaml"]

    def test_distrust_wins_wherever_it_stands(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / USR, root("a", state=LifeCycle.DISTRUSTED))
        put(tmp_path / ETC, root("mine", of="a"))
        assert store.load().anchors() == ()

    def test_twice_in_one_directory_is_an_error(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        put(tmp_path / ETC, root("mine", of="a"))
        with pytest.raises(StoreProblem, match="there twice"):
            store.load()

    def test_removing_a_root_does_not_uncover_its_double(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / USR, A)
        put(tmp_path / ETC, root("mine", of="a"))
        store.remove("mine")
        assert names(store) == []


class TestDeny:
    ENTRY = DenyEntry(DenyKind.CERTIFICATE, A.fingerprint, "stolen")

    @pytest.mark.parametrize("place", [USR, RUN, ETC])
    @pytest.mark.parametrize("name", ["deny.yaml", "vendor-x.deny.yaml"])
    def test_an_entry_in_any_directory_wins(self, store: RootStore, tmp_path: Path, place: str, name: str) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).write_bytes(render_deny((self.ENTRY,)))
        assert store.load().anchors() == ()
        assert store.load().denied(A.certificate) == self.ENTRY

    def test_an_entry_cannot_be_masked(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / USR).mkdir(parents=True)
        (tmp_path / USR / "deny.yaml").write_bytes(render_deny((self.ENTRY,)))
        mask(tmp_path / ETC / "deny.yaml")
        assert store.load().anchors() == ()
        assert ["cannot be masked" in finding.message for finding in store.inspect().findings] == [True]

    def test_a_deny_file_that_cannot_be_read_stops_the_load(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / ETC, A)
        (tmp_path / ETC / "x.deny.yaml").write_text("schema: 1\ndeny: all\n")
        with pytest.raises(DocumentProblem, match="a list is expected"):
            store.load()

    def test_denying_beats_adding_again(self, store: RootStore, tmp_path: Path) -> None:
        store.add(A)
        assert store.deny(self.ENTRY)
        assert store.load().anchors() == ()
        with pytest.raises(Refused, match="denied"):
            store.add(A)
        store.remove("a")
        with pytest.raises(Refused, match="denied"):
            store.add(A)

    def test_denying_twice_changes_nothing(self, store: RootStore, tmp_path: Path) -> None:
        other = DenyEntry(DenyKind.KEY, B.certificate.spki_fingerprint)
        assert [store.deny(entry) for entry in (self.ENTRY, other, self.ENTRY, other)] == [True, True, False, False]
        assert store.load().deny == (self.ENTRY, other)


class TestWriting:
    def test_an_added_root_is_read_back(self, store: RootStore, tmp_path: Path) -> None:
        assert store.add(A)
        assert store.load() == RootSet((A,))
        assert files(tmp_path / ETC) == {"a.pem", "a.yaml"}
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / ETC).iterdir()} == {0o644}

    def test_adding_again_changes_nothing(self, store: RootStore, tmp_path: Path) -> None:
        store.add(A)
        before = (tmp_path / ETC / "a.yaml").stat()
        assert not store.add(A)
        assert (tmp_path / ETC / "a.yaml").stat() == before

    def test_a_changed_state_is_written(self, store: RootStore) -> None:
        store.add(A)
        assert store.add(replace(A, state=LifeCycle.RETIRING))
        assert store.load().roots == (replace(A, state=LifeCycle.RETIRING),)

    def test_the_same_certificate_under_another_name_is_refused(self, store: RootStore) -> None:
        store.add(A)
        with pytest.raises(Refused, match="already there as 'a'"):
            store.add(root("other", of="a"))

    def test_a_name_is_not_passed_on_to_another_certificate(self, store: RootStore) -> None:
        store.add(A)
        with pytest.raises(Refused, match="belongs to another certificate"):
            store.add(root("a", of="b"))

    @pytest.mark.parametrize("half", ["a.yaml", "a.pem"])
    def test_adding_what_is_masked_takes_the_mask_away(self, store: RootStore, tmp_path: Path, half: str) -> None:
        put(tmp_path / USR, root("a", of="b"))
        mask(tmp_path / ETC / half)
        store.add(A)
        assert store.load() == RootSet((A,))

    @pytest.mark.parametrize("place", [ETC, RUN])
    def test_a_removed_root_leaves_nothing(self, store: RootStore, tmp_path: Path, place: str) -> None:
        put(tmp_path / place, A)
        put(tmp_path / place, B)
        assert store.remove("a") == A
        assert names(store) == ["b"]
        assert files(tmp_path / place) == {"b.pem", "b.yaml"}

    @pytest.mark.parametrize("above", [(), (ETC,), (RUN,), (ETC, RUN)])
    def test_removing_a_root_of_the_system_masks_it(
        self, store: RootStore, tmp_path: Path, above: tuple[str, ...]
    ) -> None:
        for place in (USR, *above):
            put(tmp_path / place, A)
        store.remove("a")
        assert names(store) == []
        assert (tmp_path / ETC / "a.yaml").readlink() == Path("/dev/null")
        assert (tmp_path / USR / "a.yaml").is_file()

    def test_what_is_not_there_cannot_be_removed(self, store: RootStore, tmp_path: Path) -> None:
        put(tmp_path / USR, A)
        store.remove("a")
        with pytest.raises(NotFound):
            store.remove("a")

    def test_leftovers_of_a_killed_writer_are_cleared_away(self, store: RootStore, tmp_path: Path) -> None:
        store.add(A)
        (tmp_path / ETC / ".cmakeys-b.yaml.1").write_text("half")
        store.add(B)
        assert files(tmp_path / ETC) == {"a.pem", "a.yaml", "b.pem", "b.yaml"}

    def test_a_failed_write_leaves_the_old_state_and_no_temporary_file(
        self, store: RootStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.add(A)

        def full(descriptor: int, data: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(EnvironmentProblem, match="ENOSPC") as caught:
                store.add(B)
        assert "free some space" in caught.value.hint
        assert store.load() == RootSet((A,))
        assert files(tmp_path / ETC) == {"a.pem", "a.yaml"}

    def test_a_write_where_none_is_allowed_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbid(path: object, mode: int) -> bool:
            return False

        monkeypatch.setattr(os, "access", forbid)
        with pytest.raises(NotPermitted) as caught:
            RootStore(tmp_path).check_writable()
        assert "--sysroot" in caught.value.hint

    def test_two_writers_never_mix(self, store: RootStore, tmp_path: Path) -> None:
        program = (
            "import sys; from pathlib import Path; from tests.roots.trust import root;"
            "from cmakeys.roots.store import RootStore; s = RootStore(Path(sys.argv[1]));"
            "[(s.add(r), s.remove(r.name)) for r in [root(sys.argv[2])] for _ in range(15)]; s.add(root(sys.argv[2]))"
        )
        command = [sys.executable, "-c", program, str(tmp_path)]
        running = [subprocess.Popen([*command, name]) for name in ("one", "two")]
        while any(process.poll() is None for process in running):
            assert set(names(store)) <= {"one", "two"}
        assert [process.returncode for process in running] == [0, 0]
        assert names(store) == ["one", "two"]

    def test_a_writer_that_waits_too_long_names_who_it_waits_for(self, tmp_path: Path) -> None:
        import fcntl

        (tmp_path / ETC).mkdir(parents=True)
        descriptor = os.open(tmp_path / ETC, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            with pytest.raises(Locked, match=f"process {os.getpid()}") as caught:
                RootStore(tmp_path, wait=0.1).add(A)
        finally:
            os.close(descriptor)
        assert caught.value.object == str(tmp_path / ETC)
        assert RootStore(tmp_path).add(A)


def test_a_distrusted_root_is_not_trusted_again_by_adding_it(store: RootStore, tmp_path: Path) -> None:
    put(tmp_path / ETC, Root("a", certificate("a"), LifeCycle.DISTRUSTED))
    with pytest.raises(Refused, match="it is distrusted"):
        store.add(A)
