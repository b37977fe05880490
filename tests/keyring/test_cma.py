"""A keyring is found by name, and believed only when DESCRIBE says that it is the one."""

from __future__ import annotations

import os

import pytest

from cmakeys.errors import EnvironmentProblem, NotFound, NotPermitted, Refused, Unsupported, UsageProblem
from cmakeys.keyring.cma import CMA, MANAGED, Keyring, open_keyring
from cmakeys.keyring.keyctl import Permission, Serial, SpecialRing
from cmakeys.keyring.listing import Listing, read_listing
from tests.keyring.kernel import TestingKeyctl, become_nobody, in_child
from tests.rings import cannot

pytestmark = pytest.mark.system


@pytest.mark.parametrize("selector", ["@s", "@u", "@p"])
def test_special_keyrings_are_opened(kernel: TestingKeyctl, selector: str) -> None:
    ring = open_keyring(selector, keyctl=kernel)
    assert ring.info.is_keyring
    assert ring.label == f"{selector} ({ring.serial:#x})"


def test_a_serial_is_taken_in_decimal_and_hexadecimal(kernel: TestingKeyctl, ring: Keyring) -> None:
    for text in (f"{ring.serial}", f"{ring.serial:#x}", f"0X{ring.serial:X}"):
        assert open_keyring(text, keyctl=kernel).serial == ring.serial


def test_the_session_keyring_stays_the_same_between_runs(kernel: TestingKeyctl, ring: Keyring) -> None:
    def same_in_another_process() -> None:
        assert open_keyring("@s").serial == ring.serial

    assert in_child(same_in_another_process) == 0


@pytest.mark.parametrize("selector", ["", "@x", "@", "%:.cma", "0", "2147483648", "0xffffffff", "a\0b", "n" * 4096])
def test_what_cannot_name_a_keyring_is_a_usage_problem(kernel: TestingKeyctl, selector: str) -> None:
    with pytest.raises(UsageProblem):
        open_keyring(selector, keyctl=kernel)


def test_a_key_that_is_no_keyring_is_a_usage_problem(kernel: TestingKeyctl) -> None:
    key = kernel.add_key("user", "x", b"x", SpecialRing.SESSION)
    with pytest.raises(UsageProblem, match="type user"):
        open_keyring(str(key), keyctl=kernel)


def test_a_serial_that_no_key_has_is_not_found(kernel: TestingKeyctl) -> None:
    with pytest.raises(NotFound, match="no such key"):
        open_keyring("1", keyctl=kernel)


def test_a_dead_keyring_says_so(kernel: TestingKeyctl, ring: Keyring) -> None:
    dead = kernel.keyring("dead", ring.serial)
    kernel.revoke(dead)
    with pytest.raises(EnvironmentProblem, match="revoked"):
        open_keyring(str(dead), keyctl=kernel)


def test_a_keyring_is_found_by_name(kernel: TestingKeyctl, ring: Keyring) -> None:
    made = kernel.keyring("cmakeys test vault", ring.serial)
    assert open_keyring("cmakeys test vault", keyctl=kernel).serial == made


def test_our_own_ring_is_not_taken_for_the_keyring_it_is_in(kernel: TestingKeyctl, ring: Keyring) -> None:
    ours = kernel.keyring(MANAGED, ring.serial)
    with pytest.raises(UsageProblem, match="cmakeys itself"):
        open_keyring(str(ours), keyctl=kernel)


def test_two_keyrings_of_a_name_are_never_guessed_between(kernel: TestingKeyctl, ring: Keyring) -> None:
    first = kernel.keyring("cmakeys test twin", ring.serial)
    second = kernel.keyring("cmakeys test twin", kernel.keyring("cmakeys test nest", ring.serial))
    with pytest.raises(Refused, match="2 keyrings") as raised:
        open_keyring("cmakeys test twin", keyctl=kernel)
    assert f"{first:#x}" in raised.value.message
    assert f"{second:#x}" in raised.value.message


def forge(kernel: TestingKeyctl, ring: Keyring, name: str) -> Serial:
    """A key whose description adds a line to /proc/keys that calls some other keyring by `name`."""
    victim = kernel.keyring("victim", ring.serial)
    line = f"{victim:08x} I------     1 perm 1f0f0000     0     0 keyring   {name}: 1"
    kernel.add_key("user", f"x\n{line}\ny", b"x", ring.serial)
    assert victim in read_listing().keyrings(name)
    return victim


def test_a_forged_line_of_proc_keys_is_never_believed(kernel: TestingKeyctl, ring: Keyring) -> None:
    forge(kernel, ring, "cmakeys test safe")
    with pytest.raises(NotFound):
        open_keyring("cmakeys test safe", keyctl=kernel)
    genuine = kernel.keyring("cmakeys test safe", ring.serial)
    assert open_keyring("cmakeys test safe", keyctl=kernel).serial == genuine


def test_a_forged_cma_is_never_believed(kernel: TestingKeyctl, ring: Keyring) -> None:
    victim = forge(kernel, ring, CMA)
    try:
        found = open_keyring(keyctl=kernel).serial
    except (Unsupported, NotPermitted):
        return
    assert found != victim


def test_a_candidate_that_is_gone_or_dead_is_passed_over(kernel: TestingKeyctl, ring: Keyring) -> None:
    made = kernel.keyring("cmakeys test gone", ring.serial)
    listing = read_listing()
    kernel.revoke(made)
    with pytest.raises(NotFound):
        open_keyring("cmakeys test gone", keyctl=kernel, listing=lambda: listing)


def test_another_user_s_keyring_of_the_name_is_not_ours(kernel: TestingKeyctl, ring: Keyring) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a keyring that another user cannot have made")
    kernel.keyring("cmakeys test mine", ring.serial, Permission(0x1F3F3F3F))

    def as_nobody() -> None:
        become_nobody()
        assert read_listing().keyrings("cmakeys test mine")
        with pytest.raises(NotFound):
            open_keyring("cmakeys test mine")

    assert in_child(as_nobody) == 0


def test_no_cma_says_what_still_works(kernel: TestingKeyctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Unsupported, match=r"no \.cma keyring") as raised:
        open_keyring(keyctl=kernel, listing=lambda: Listing(()))
    assert "cmakeys check" in raised.value.hint
    with pytest.raises(Unsupported, match="no keyring of this name"):
        open_keyring(".cmx", keyctl=kernel, listing=lambda: Listing(()))


def test_who_cannot_see_cma_is_not_told_that_there_is_none(
    kernel: TestingKeyctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotPermitted, match="only root can see"):
        open_keyring(keyctl=kernel, listing=lambda: Listing(()))


def test_the_kernel_s_own_keyrings_are_confirmed_for_root(kernel: TestingKeyctl) -> None:
    name = ".builtin_trusted_keys"
    if os.geteuid() != 0 or not read_listing().keyrings(name):
        cannot("no system keyring to be seen")
    assert open_keyring(name, keyctl=kernel).info.description == name
