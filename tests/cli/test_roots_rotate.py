"""`cmakeys roots rotate`: the plan is shown, and is carried out as a whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.check import Conditions
from cmakeys.cli import roots_rotate, rotating
from cmakeys.cli.output import Output
from cmakeys.devices.enrolled import EnrolledDevice, Negotiated
from cmakeys.devices.register import Register
from cmakeys.roots.dependants import Dependant
from cmakeys.roots.journal import Journal
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Constraints, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import RootStore, StoreWriter
from cmakeys.x509.pin import PinKind, compute_pin
from tests.cli.roots_runner import Run, names, runner, save
from tests.roots.succession import certificate, crossed, dependant, states

ENROLLED = datetime(2026, 2, 3, tzinfo=UTC)
EARLY = datetime(2020, 1, 1)
NEW = certificate("new")


def state(tree: Path) -> Path:
    return tree / "var/lib/cmakeys"


def enrol(tree: Path, word: str, name: str = "") -> None:
    """Put the device into the register, with the chain that it has."""
    device = dependant(word)
    negotiated = Negotiated(device.version, device.algorithm, "SHA-384")
    pin = compute_pin(PinKind.LEAF, device.chain, None)
    Register(state(tree)).enroll(
        EnrolledDevice(
            name or word,
            f"tcp://192.0.2.7:2323/{name or word}",
            pin,
            device.chain,
            ENROLLED,
            device.identity,
            0,
            negotiated,
            negotiated,
        )
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A machine that trusts the old root, and has one device on it."""
    RootStore(tmp_path).add(Root("old", certificate("old"), constraints=Constraints(pci_vendors=frozenset({0x1B36}))))
    enrol(tmp_path, "on-old")
    save(tmp_path, "new.pem", NEW)
    return tmp_path


@pytest.fixture
def run(tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tree)
    return runner(tree, capsys, monkeypatch)


@pytest.fixture
def start(run: Run) -> Sequence[str]:
    """The words that start the rotation; it is started."""
    words = ("rotate", "old", "new.pem", "--name", "new", "--fingerprint", NEW.fingerprint)
    assert run(*words).code == 0
    return words


def now(tree: Path) -> str:
    return states(RootStore(tree).load())


def test_a_dry_run_shows_the_plan_and_changes_nothing(run: Run, tree: Path) -> None:
    said = run("rotate", "old", "new.pem", "--fingerprint", NEW.fingerprint, "--dry-run")
    assert said.code == 0
    assert "+ old  retiring, replaced by acme-root-new" in said.out
    assert NEW.fingerprint in said.out
    assert "on-old  old    old" in said.out
    assert now(tree) == "old:trusted"
    assert not (state(tree) / "journal.jsonl").exists()


def test_a_start_trusts_the_new_root_and_lets_the_old_one_retire(run: Run, tree: Path) -> None:
    said = run("rotate", "old", "new.pem", "--fingerprint", NEW.fingerprint, "--reason", "quarter 3", "--json")
    assert (said.code, said.envelope["changed"]) == (0, True)
    assert now(tree) == "acme-root-new:trusted old:retiring"
    (entry,) = Journal(state(tree)).verify().entries
    assert (entry.action, entry.subject) == ("roots-rotate", "old")
    assert (entry.detail["moment"], entry.detail["vouched-by"]) == ("start", "fingerprint")
    assert entry.detail["reason"] == "quarter 3"
    old, new = (RootStore(tree).load().find(name) for name in ("old", "acme-root-new"))
    assert new.constraints == old.constraints
    assert old.rotation is not None
    assert (old.rotation.overlap_until - old.rotation.started).days == 30


@pytest.mark.parametrize("option", ["--cross-signed", "--fingerprint"])
def test_either_somebody_vouches_for_the_new_root(run: Run, tree: Path, option: str) -> None:
    value = save(tree, "cross.pem", crossed("new", begin=EARLY)) if option == "--cross-signed" else NEW.fingerprint
    assert run("rotate", "old", "new.pem", option, value).code == 0


def test_a_bundle_that_was_imported_vouches_for_the_new_root(
    run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def named(state_dir: Path, now: datetime) -> dict[str, str]:
        assert state_dir == state(tree)
        assert now.tzinfo is not None
        return {NEW.fingerprint: "acme"}

    monkeypatch.setattr(rotating, "vouched", named)
    said = run("rotate", "old", "new.pem")
    assert said.code == 0
    assert "the signed bundle acme names its fingerprint" in said.out


@pytest.mark.usefixtures("start")
def test_the_overlap_is_shown_where_one_looks(run: Run) -> None:
    assert "replaced by  new (trusted), since " in run("show", "old").out
    assert "retiring, replaced by new" in run("list").out
    shown = run("show", "old", "--json").data["rotation"]
    assert isinstance(shown, dict)
    assert shown["successor"] == NEW.fingerprint


def test_nobody_vouches_by_default(run: Run, tree: Path) -> None:
    said = run("rotate", "old", "new.pem", typed="y\n")
    assert said.code == 8
    assert "nobody vouches for it" in said.err
    assert now(tree) == "old:trusted"


def test_everything_that_forbids_a_rotation_is_named_at_once(run: Run, tree: Path) -> None:
    save(tree, "edwards.pem", certificate("edwards"))
    said = run("rotate", "old", "edwards.pem", "--json")
    assert said.code == 8
    blocks = said.data["blocks"]
    assert isinstance(blocks, list)
    assert [block["code"] for block in blocks] == ["kernel-refuses", "not-vouched"]
    errors = said.envelope["errors"]
    assert isinstance(errors, list)
    assert [error["message"] for error in errors] == [block["message"] for block in blocks]


def test_the_same_command_again_says_that_it_is_under_way(run: Run, tree: Path, start: Sequence[str]) -> None:
    before = now(tree)
    said = run(*start, "--detailed-exitcode")
    assert (said.code, now(tree)) == (0, before)
    assert "there is nothing to do" in said.out
    assert len(Journal(state(tree)).verify().entries) == 1


@pytest.mark.usefixtures("start")
def test_a_finish_names_the_device_that_lags_behind(run: Run, tree: Path) -> None:
    said = run("rotate", "old", "--finish", "--early")
    assert said.code == 8
    assert "on-old: still needs old" in said.err
    assert now(tree) == "new:trusted old:retiring"


@pytest.mark.usefixtures("start")
def test_a_finish_waits_for_the_end_of_the_overlap(run: Run, tree: Path) -> None:
    Register(state(tree)).forget("on-old")
    assert "the overlap lasts until" in run("rotate", "old", "--finish").err
    said = run("rotate", "old", "new", "--finish", "--early", "--detailed-exitcode")
    assert (said.code, now(tree)) == (10, "new:trusted old:retired")
    assert run("rotate", "old", "--finish").code == 0


@pytest.mark.usefixtures("start")
def test_an_abort_leaves_the_roots_as_they_were(run: Run, tree: Path) -> None:
    assert run("rotate", "old", "--abort").code == 0
    assert names(tree) == ["old"]
    assert RootStore(tree).load().find("old").rotation is None
    entries = Journal(state(tree)).verify().entries
    assert [entry.detail["moment"] for entry in entries] == ["start", "abort"]
    assert entries[1].detail["undoes"] == entries[0].number
    assert run("rotate", "old", "--abort").code == 3


def test_a_staged_root_is_staged_again_after_an_abort(run: Run, tree: Path) -> None:
    RootStore(tree).add(Root("new", NEW, LifeCycle.STAGED))
    assert run("rotate", "old", "new", "--fingerprint", NEW.fingerprint).code == 0
    assert run("rotate", "old", "--abort").code == 0
    assert now(tree) == "new:staged old:trusted"


@pytest.mark.usefixtures("start")
def test_an_abort_names_the_device_that_has_moved_on(run: Run, tree: Path) -> None:
    enrol(tree, "on-new")
    said = run("rotate", "old", "--abort")
    assert said.code == 8
    assert "on-new: needs new by now" in said.err


@pytest.mark.usefixtures("start")
def test_devices_are_asked_where_that_is_wanted(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(devices: Sequence[EnrolledDevice], conditions: Conditions) -> tuple[Dependant, ...]:
        assert [device.name for device in devices] == ["on-old"]
        assert states(conditions.rootset) == "new:trusted old:retiring"
        return (dependant("on-old", "on-new"),)

    monkeypatch.setattr(rotating, "ask_all", asked)
    said = run("rotate", "old", "--finish", "--early", "--live")
    assert (said.code, now(tree)) == (0, "new:trusted old:retired")
    assert "1 of 1 asked now" in said.out


def test_before_a_start_devices_are_asked_as_if_it_had_happened(
    run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def asked(devices: Sequence[EnrolledDevice], conditions: Conditions) -> tuple[Dependant, ...]:
        seen.append((len(devices), states(conditions.rootset)))
        return (dependant("on-old", "on-new"),)

    monkeypatch.setattr(rotating, "ask_all", asked)
    words = ("rotate", "old", "new.pem", "--name", "new", "--fingerprint", NEW.fingerprint, "--live", "--dry-run")
    assert run(*words).code == 0
    assert seen == [(1, "new:trusted old:retiring")]
    assert now(tree) == "old:trusted"


@pytest.mark.parametrize("option", [(), ("--no-apply",)])
def test_the_kernel_is_given_the_roots_afterwards(
    run: Run, monkeypatch: pytest.MonkeyPatch, option: Sequence[str]
) -> None:
    given = []

    def effect(out: Output, roots: RootSet, sysroot: Path, *, wanted: bool) -> dict[str, object]:
        given.append((states(roots), wanted))
        return {"added": ["new"], "removed": [], "recheck": None}

    monkeypatch.setattr(roots_rotate, "take_effect", effect)
    words = ("rotate", "old", "new.pem", "--name", "new", "--fingerprint", NEW.fingerprint, *option, "--json")
    assert run(*words, "--dry-run").data["effect"] is None
    assert run(*words).data["effect"] == {"added": ["new"], "removed": [], "recheck": None}
    assert given == [("new:trusted old:retiring", not option)]


def test_a_start_that_was_killed_half_way_is_finished_by_the_next_run(
    run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("rotate", "old", "new.pem", "--name", "new", "--fingerprint", NEW.fingerprint)
    put = StoreWriter.put

    def dying(writer: StoreWriter, root: Root) -> None:
        if root.name == "old":
            raise KeyboardInterrupt
        put(writer, root)

    with monkeypatch.context() as killed:
        killed.setattr(StoreWriter, "put", dying)
        assert run(*words).code == 130
    assert now(tree) == "new:trusted old:trusted"
    said = run("rotate", "old", "--abort")
    assert said.code == 0
    assert "was interrupted and has been finished" in said.err
    assert now(tree) == "old:trusted"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("old",), 2),
        (("old", "--finish", "--abort"), 2),
        (("old", "new.pem", "--early"), 2),
        (("old", "new.pem", "--overlap", "soon"), 2),
        (("old", "new.pem", "--overlap", "10%"), 2),
        (("old", "new.pem", "--fingerprint", "abcd"), 2),
        (("nobody", "new.pem"), 3),
        (("old", "nobody"), 3),
        (("old", "--finish"), 3),
        (("old", "new.pem", "--cross-signed", "nowhere.pem"), 3),
        (("old", "old"), 8),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(
    run: Run, tree: Path, words: Sequence[str], code: int
) -> None:
    said = run("rotate", *words, "--json")
    assert said.code == code
    assert json.loads(said.out)["changed"] is False
    assert now(tree) == "old:trusted"


@pytest.mark.usefixtures("start")
def test_another_successor_than_the_one_that_was_named_is_refused(run: Run, tree: Path) -> None:
    RootStore(tree).add(Root("third", certificate("third")))
    said = run("rotate", "old", "third", "--finish", "--early")
    assert said.code == 8
    assert "not being replaced by third" in said.err


def test_of_several_certificates_in_a_file_the_one_with_the_fingerprint_is_meant(run: Run, tree: Path) -> None:
    save(tree, "both.pem", NEW, certificate("third"))
    assert run("rotate", "old", "both.pem").code == 8
    assert run("rotate", "old", "both.pem", "--fingerprint", NEW.fingerprint).code == 0
    assert "acme-root-new" in names(tree)
