"""What the steps of a root's life do to devices and to the kernel: who is lost, who is believed, what is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.cli.effect import take_effect
from cmakeys.cli.options import SYSTEM
from cmakeys.cli.output import Output, verb
from cmakeys.errors import NotPermitted, Unsupported
from cmakeys.keyring.cma import Keyring, open_keyring
from cmakeys.keyring.managed import status
from cmakeys.roots.record import render_pem
from cmakeys.roots.rootset import RootSet
from tests.cli.machine import Machine
from tests.keyring.kernel import fresh_session, require_rsa
from tests.keyring.kernel import root as rsa_root
from tests.workbench import honest, seat, serving, vendor

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(seat()) as (address,):
        yield address


@pytest.fixture
def machine(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    machine = Machine(tmp_path, capsys)
    machine.trust(vendor())
    assert machine.run("devices", "enroll", url, "--name", "gpu0").code == 0
    return machine


def issued() -> datetime:
    """The notBefore of the leaf of the device."""
    return next(iter(honest("0001").hardware.slots.values()))[0].leaf.not_before


@pytest.mark.parametrize(
    ("days", "code"), [(-1, 1), (0, 0), (1, 0), (20_000, 0)], ids=["before", "on the day", "after", "to come"]
)
def test_a_day_of_distrust_is_compared_with_the_leaf_and_never_with_today(
    machine: Machine, days: int, code: int
) -> None:
    """Compared with today, a day that is past would reject every leaf, and one that is to come none."""
    day = issued() + timedelta(days=days)
    said = machine.run("roots", "distrust", "acme", "--after", day.isoformat(), "--yes")
    assert said.code == 0, said.err
    assert machine.run("check", "--all").code == code


def test_a_day_of_distrust_is_taken_back_by_undo(machine: Machine) -> None:
    assert issued() < datetime.now(UTC), "else the test above says nothing of days in the past"
    day = issued() - timedelta(days=400)
    assert machine.run("roots", "distrust", "acme", "--after", day.isoformat(), "--yes").code == 0
    assert machine.run("check", "--all").code == 1
    assert machine.run("roots", "undo", "--yes").code == 0
    assert machine.run("check", "--all").code == 0


def test_a_step_names_the_devices_that_it_leaves_without_a_root(machine: Machine) -> None:
    said = machine.run("roots", "distrust", "acme", "--dry-run", "--json")
    assert (said.code, said.data["lost"]) == (0, ["gpu0"])
    assert machine.run("roots", "retire", "acme", "--json").data["lost"] == []
    refused = machine.run("roots", "retire", "acme", "--finish")
    assert refused.code == 8
    assert "gpu0 still needs it" in refused.err
    assert machine.run("devices", "forget", "gpu0", "--yes").code == 0
    assert machine.run("roots", "retire", "acme", "--finish").code == 0


def test_a_copy_of_a_distrusted_root_is_refused_under_any_name(machine: Machine) -> None:
    assert machine.run("roots", "distrust", "acme", "--yes").code == 0
    copy = machine.sysroot / "copy.pem"
    copy.write_bytes(render_pem(vendor().certificate))
    for words in (("add",), ("stage",)):
        fingerprint = vendor().certificate.fingerprint
        said = machine.run("roots", *words, str(copy), "--name", "other", "--fingerprint", fingerprint)
        assert said.code == 8, said.err
    assert machine.run("check", "--all").code == 1


# -- in the kernel -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """A keyring of the session in the place of `.cma`, and no devices."""
    keyctl = fresh_session()
    ring = open_keyring("@s", keyctl=keyctl)
    require_rsa(keyctl, ring.serial)
    monkeypatch.setattr("cmakeys.keyring.cma.open_keyring", lambda _name: ring)
    return ring


def test_a_change_is_in_effect_in_the_kernel_and_devices_are_asked_again_once(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def recheck(*_arguments: object, **_options: object) -> dict[str, object]:
        asked.append(1)
        return {"n": 1}

    monkeypatch.setattr("cmakeys.cli.rechecking.recheck_devices", recheck)
    roots = RootSet((rsa_root("a"),))
    with verb("roots", "trust") as out:
        first = take_effect(out, roots, SYSTEM, wanted=True)
        second = take_effect(out, roots, SYSTEM, wanted=True)
    assert first == {"added": ["a"], "removed": [], "recheck": {"n": 1}}
    assert second == {"added": [], "removed": [], "recheck": None}
    assert asked == [1]
    assert [own.name for own in status(ring).roots] == ["a"]


@pytest.mark.parametrize(("sysroot", "wanted"), [(SYSTEM, False), (Path("/nowhere"), True)])
def test_the_kernel_is_left_alone_where_that_is_asked_and_for_a_tree(
    ring: Keyring, sysroot: Path, wanted: bool
) -> None:
    with verb("roots", "trust") as out:
        assert take_effect(out, RootSet((rsa_root("a"),)), sysroot, wanted=wanted) is None
    assert status(ring).roots == ()


@pytest.mark.parametrize(("problem", "reported"), [(Unsupported("no .cma"), 0), (NotPermitted("not root"), 1)])
def test_a_kernel_that_cannot_follow_undoes_nothing_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem: Exception, reported: int
) -> None:
    def failing(_name: str) -> Keyring:
        raise problem

    monkeypatch.setattr("cmakeys.keyring.cma.open_keyring", failing)
    out = Output("roots", "trust", json=False, detailed_exitcode=False)
    assert take_effect(out, RootSet((rsa_root("a"),)), SYSTEM, wanted=True) is None
    assert len(out.errors) == reported
    said = capsys.readouterr()
    assert ("still believes the old ones" in said.err) == bool(reported)
    assert ("not in the kernel" in said.out) == (not reported)
