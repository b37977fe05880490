"""The binding: what it reads is bounded, what the kernel refuses is kept with its errno."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem, Unsupported
from cmakeys.keyring import keyctl as module
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, KeyInfo, Permission, Serial, SpecialRing
from tests.keyring.kernel import TestingKeyctl


@given(
    st.sampled_from(["keyring", "asymmetric", "user"]),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=200).filter(lambda raw: b"\0" not in raw),
)
def test_any_description_survives_semicolons_newlines_and_bad_utf8_included(
    kind: str, uid: int, permission: int, description: bytes
) -> None:
    raw = b"%s;%d;%d;%08x;%s" % (kind.encode(), uid, uid, permission, description)
    info = KeyInfo.parse(raw)
    assert (info.type, info.uid, info.gid, int(info.permission)) == (kind, uid, uid, permission)
    assert info.description.encode("utf-8", "surrogateescape") == description


@given(st.binary(max_size=100))
def test_an_answer_of_another_form_is_one_clean_error(raw: bytes) -> None:
    try:
        info = KeyInfo.parse(raw)
    except EnvironmentProblem:
        return
    assert raw.count(b";") >= 4
    assert raw.endswith(info.description.encode("utf-8", "surrogateescape"))


def test_a_permission_prints_as_the_kernel_does() -> None:
    assert str(Permission(0x1F3F0000)) == "1f3f0000"
    assert Permission(0x1F3F0000) & Permission.USER_SETATTR
    assert not Permission(0x1F3F0000) & Permission.POSSESSOR_SETATTR


def test_without_the_library_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", "libkeyutils.so.0-none")
    with pytest.raises(Unsupported) as raised:
        Keyctl()
    assert "libkeyutils1" in raised.value.hint


@pytest.mark.system
def test_a_key_is_described_as_it_was_made(kernel: TestingKeyctl) -> None:
    name = "a;b\nc\udcff"
    key = kernel.add_key("user", name, b"x", SpecialRing.SESSION)
    info = kernel.describe(key)
    assert (info.type, info.uid, info.description) == ("user", os.geteuid(), name)
    assert kernel.members(kernel.keyring_id(SpecialRing.SESSION)) == (key,)
    kernel.set_permission(key, Permission(0x3F3F0000))
    assert kernel.describe(key).permission == Permission(0x3F3F0000)


@pytest.mark.system
def test_a_nul_never_cuts_a_description(kernel: TestingKeyctl) -> None:
    with pytest.raises(ValueError, match="NUL"):
        kernel.add_key("user", "safe\0not", b"x", SpecialRing.SESSION)


@pytest.mark.system
def test_a_refusal_keeps_errno_operation_and_key(kernel: TestingKeyctl) -> None:
    key = kernel.add_key("user", "short", b"x", SpecialRing.SESSION)
    kernel.revoke(key)
    with pytest.raises(KeyctlError) as raised:
        kernel.describe(key)
    assert (raised.value.errno, raised.value.operation, raised.value.key) == (
        errno.EKEYREVOKED,
        "keyctl_describe",
        key,
    )


@pytest.mark.system
def test_a_ring_of_more_keys_than_the_first_buffer_holds_is_read_whole(
    kernel: TestingKeyctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_READ", 4)
    session = kernel.keyring_id(SpecialRing.SESSION)
    made = {kernel.add_key("user", f"key {number}", b"x", session) for number in range(60)}
    assert set(kernel.members(session)) == made


class GrowingKeyctl(TestingKeyctl):
    """Adds keys behind the reader's back, just before each read."""

    step = 0
    grown = 0

    def _call(self, function: str, about: int, *arguments: object) -> int:
        if function == "keyctl_read":
            for _ in range(self.step):
                self.grown += 1
                self.add_key("user", f"grown {self.grown}", b"x", Serial(about))
        return super()._call(function, about, *arguments)


@pytest.mark.system
def test_a_ring_that_grows_while_it_is_read_is_read_again(
    kernel: TestingKeyctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = kernel.keyring_id(SpecialRing.SESSION)
    monkeypatch.setattr(module, "_FIRST_READ", 4)
    growing = GrowingKeyctl()
    growing.step = 10
    assert len(growing.members(session)) == growing.grown >= 20


@pytest.mark.system
def test_a_ring_that_outgrows_every_buffer_is_an_error(kernel: TestingKeyctl, monkeypatch: pytest.MonkeyPatch) -> None:
    session = kernel.keyring_id(SpecialRing.SESSION)
    monkeypatch.setattr(module, "_FIRST_READ", 1)
    monkeypatch.setattr(module, "_READ_ATTEMPTS", 1)
    growing = GrowingKeyctl()
    growing.step = 20
    with pytest.raises(EnvironmentProblem, match="grew faster"):
        growing.members(session)


@pytest.mark.system
def test_a_ring_of_absurdly_many_keys_is_refused(kernel: TestingKeyctl, monkeypatch: pytest.MonkeyPatch) -> None:
    session = kernel.keyring_id(SpecialRing.SESSION)
    monkeypatch.setattr(module, "MAX_MEMBERS", 10)
    for number in range(11):
        kernel.add_key("user", f"key {number}", b"x", session)
    with pytest.raises(EnvironmentProblem, match="11 keys, more than 10"):
        kernel.members(session)
