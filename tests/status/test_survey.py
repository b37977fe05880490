"""The survey finds what is there, and says what it could not look at, without failing and without writing."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cmakeys.devices.register import Register
from cmakeys.keyring.cma import open_keyring
from cmakeys.keyring.managed import apply
from cmakeys.roots.journal import Journal
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root, Rotation
from cmakeys.roots.rootset import DenyEntry, DenyKind
from cmakeys.roots.store import RootStore
from cmakeys.status.model import Devices, Gap, JournalState, Kernel, Roots, Status
from cmakeys.status.survey import Places, survey
from cmakeys.verify.verdict import Outcome
from cmakeys.x509.horizon import Nearness
from tests.devices.samples import ENROLLED_AT, checked, sample
from tests.keyring.kernel import fresh_session, require_rsa
from tests.keyring.kernel import root as rsa_root
from tests.roots.trust import certificate
from tests.x509.pki import FOREVER, issue

DAY = timedelta(days=1)
NOW = ENROLLED_AT + DAY


def look(tree: Path, now: datetime = NOW, keyring: str | None = None) -> Status:
    return survey(Places(tree, tree / "state", keyring), now)


def found(status: Status) -> Roots:
    assert isinstance(status.roots, Roots)
    return status.roots


def test_a_fresh_machine_has_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    status = look(tmp_path)
    assert (status.roots, status.devices, status.journal) == (Roots(), Devices(), JournalState())
    assert (status.kernel, status.config, status.clock_fault, status.bad) == (None, None, "", ())
    assert list(tmp_path.iterdir()) == []


def test_roots_are_counted_by_state_and_their_ends_sorted(tmp_path: Path) -> None:
    store = RootStore(tmp_path)
    store.add(Root("a", certificate("a")))
    store.add(Root("b", issue("b", number=3, not_after=NOW + 40 * DAY).certificate))
    store.add(Root("c", issue("c", number=4, not_after=FOREVER).certificate))
    store.add(Root("d", certificate("d"), LifeCycle.STAGED))
    overlap = Rotation(certificate("d").fingerprint, NOW, NOW + 30 * DAY)
    store.add(Root("e", certificate("e"), LifeCycle.RETIRING, rotation=overlap))
    store.deny(DenyEntry(DenyKind.CERTIFICATE, certificate("e").fingerprint))
    roots = found(look(tmp_path))
    assert roots.states == ((LifeCycle.STAGED, 1), (LifeCycle.TRUSTED, 3), (LifeCycle.RETIRING, 1))
    assert [(end.name, end.nearness) for end in roots.ends] == [("b", Nearness.WARN), ("a", Nearness.FAR)]
    assert (roots.anchors, roots.deny_entries, roots.denied, roots.staged) == (3, 1, ("e",), ("d",))
    assert roots.retiring == (("e", NOW + 30 * DAY),)


def test_the_horizon_of_roots_is_the_configuration_s(tmp_path: Path) -> None:
    RootStore(tmp_path).add(Root("a", certificate("a")))
    (tmp_path / "etc/cmakeys/cmakeys.yaml").write_text("policy: {root-expiry: {warn: 100%, fail: 0d}}\n")
    assert found(look(tmp_path)).ends[0].nearness is Nearness.WARN


def test_a_wrong_clock_judges_no_end_and_says_what_was_recorded(tmp_path: Path) -> None:
    RootStore(tmp_path).add(Root("a", issue("a", number=3, not_after=NOW + 40 * DAY).certificate))
    assert found(look(tmp_path, NOW)).ends[0].nearness is Nearness.WARN
    Journal(tmp_path / "state").append("roots-add", "a", {}, at=NOW + 50 * DAY, by="ada")
    assert found(look(tmp_path, NOW + 50 * DAY)).ends[0].nearness is Nearness.OVER
    status = look(tmp_path, NOW)
    assert found(status).ends[0].nearness is Nearness.FAR
    assert status.newest.what == "entry 1 of the journal"
    assert "the machine's clock says" in status.clock_fault


def test_devices_are_counted_by_their_newest_verdict(tmp_path: Path) -> None:
    register = Register(tmp_path / "state")
    for name in ("gpu0", "gpu1", "gpu2", "gpu3"):
        register.enroll(sample(name))
    register.record(
        [
            *(checked("gpu0", minutes=1), checked("gpu0", "rejected", 2)),
            *(checked("gpu1", minutes=3), checked("gpu1", "unreachable", 4)),
            checked("gpu2", "degraded", 5),
        ]
    )
    assert look(tmp_path).devices == Devices(
        4,
        ((Outcome.TRUSTED, 1), (Outcome.DEGRADED, 1), (Outcome.REJECTED, 1)),
        ("gpu0",),
        ("gpu1",),
        1,
        ENROLLED_AT + timedelta(minutes=2),
    )


def test_an_edited_journal_is_told_from_a_torn_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    for name in ("a", "b", "c"):
        journal.append("roots-add", name, {}, at=NOW, by="ada")
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"schema":1,')
    assert look(tmp_path).journal == JournalState(3, "", 1)
    journal.path.write_bytes(whole.replace(b'"object":"b"', b'"object":"x"'))
    state = look(tmp_path).journal
    assert isinstance(state, JournalState)
    assert state.fault.startswith("line 3: it does not carry the hash")


@pytest.mark.parametrize(
    ("file", "part", "code"),
    [
        ("etc/cmakeys/cmakeys.yaml", "config", "document"),
        ("etc/cmakeys/roots/a.yaml", "roots", "document"),
        ("state/devices.db", "devices", "register-damaged"),
    ],
)
def test_what_is_broken_leaves_a_gap_and_the_rest_is_shown(tmp_path: Path, file: str, part: str, code: str) -> None:
    RootStore(tmp_path).add(Root("a", certificate("a")))
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nothing: that: is: understood " * 10)
    status = look(tmp_path)
    compared = [("image", code)] if part == "roots" else []  # with what cannot be read nothing can be compared
    assert [(name, gap.code) for name, gap in status.gaps] == [(part, code), *compared]
    assert len(status.bad) == 1 + len(compared)


def test_in_front_of_closed_doors_a_plain_user_is_told_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        status = look(closed)
    finally:
        os.seteuid(user)
    assert {name for name, gap in status.gaps if gap.forbidden} == {"config", "roots", "image", "devices", "journal"}
    assert status.bad == ()


def test_a_place_that_answers_not_permitted_is_a_gap_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "devices.db")

    monkeypatch.setattr(Register, "devices", forbidden)
    monkeypatch.setattr(Journal, "read", forbidden)
    status = look(tmp_path)
    assert {name for name, gap in status.gaps if gap.forbidden} == {"devices", "journal"}
    assert status.bad == ()


@pytest.mark.system
def test_a_keyring_is_compared_with_the_roots_and_audited(tmp_path: Path) -> None:
    keyctl = fresh_session()
    ring = open_keyring("@s", keyctl=keyctl)
    require_rsa(keyctl, ring.serial)
    first, second = rsa_root("first"), rsa_root("second", number=1)
    RootStore(tmp_path).add(first)
    assert look(tmp_path, keyring="@s").kernel == Kernel("@s", add=1)
    apply([first, second], ring, keyctl=keyctl)
    assert look(tmp_path, keyring="@s").kernel == Kernel("@s", remove=1, keep=1)
    RootStore(tmp_path).add(second)
    assert look(tmp_path, keyring="@s").kernel == Kernel("@s", keep=2)
    foreign = rsa_root("third", number=2).certificate
    keyctl.add_key("asymmetric", "somebody's", foreign.der, ring.serial)
    status = look(tmp_path, keyring="@s")
    assert status.kernel == Kernel("@s", keep=2, foreign=1, fixed=1)
    assert len(status.bad) == 1


@pytest.mark.system
def test_a_keyring_that_is_not_there_is_a_gap(tmp_path: Path) -> None:
    kernel = look(tmp_path, keyring="cmakeys-test-none").kernel
    assert isinstance(kernel, Gap)
    assert kernel.code == "not-found"
