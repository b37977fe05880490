"""The managed ring holds exactly the anchors, and a difference is told truthfully, whoever made it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence

import pytest

from cmakeys.errors import EnvironmentProblem, NotPermitted, Temporary, Unsupported
from cmakeys.keyring.cma import Keyring, open_keyring
from cmakeys.keyring.contents import MANAGED_PERMISSION, ROOT_PERMISSION, OwnDescription, read_contents
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Permission, Serial, SpecialRing
from cmakeys.keyring.managed import Cause, RootsRefused, apply, plan, rehearse, status
from cmakeys.roots.root import Root
from tests.keyring.kernel import CMA_LIKE, TestingKeyctl, become_nobody, in_child, root
from tests.x509.pki import issue

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("rsa_loads")]

A, B, C = root("a"), root("b", number=1), root("c", number=2)
NO_KEY_ID = root("bare", subject_key_id=False)
IMPOSTOR = root("impostor", number=3)


def names(roots: Sequence[OwnDescription]) -> list[str]:
    return sorted(one.name for one in roots)


def managed_serial(kernel: Keyctl, ring: Keyring) -> Serial:
    managed = read_contents(kernel, ring).managed
    assert managed is not None
    return managed.serial


def test_roots_are_put_into_a_ring_of_our_own(kernel: TestingKeyctl, ring: Keyring) -> None:
    result = apply([A, B], ring, keyctl=kernel)
    assert (result.changed, [added.name for added in result.added], result.removed) == (True, ["a", "b"], ())
    contents = read_contents(kernel, ring)
    assert contents.direct == ()
    assert contents.managed is not None
    assert (contents.managed.serial, contents.managed.info.permission) == (result.serial, MANAGED_PERMISSION)
    assert {member.description for member in contents.managed.members} == {A.description, B.description}
    assert {member.info.permission for member in contents.managed.members if member.info} == {ROOT_PERMISSION}


def test_an_unchanged_set_is_not_swapped(kernel: TestingKeyctl, ring: Keyring) -> None:
    first = apply([A, B], ring, keyctl=kernel)
    again = apply([B, A], ring, keyctl=kernel)
    assert (again.changed, again.added, again.removed, again.serial) == (False, (), (), first.serial)
    assert managed_serial(kernel, ring) == first.serial


def test_an_anchor_given_twice_is_put_there_once(kernel: TestingKeyctl, ring: Keyring) -> None:
    assert [added.name for added in apply([A, A], ring, keyctl=kernel).added] == ["a"]
    assert names(status(ring, keyctl=kernel).roots) == ["a"]


def test_nothing_to_put_there_makes_no_ring(kernel: TestingKeyctl, ring: Keyring) -> None:
    assert apply([], ring, keyctl=kernel).serial is None
    assert kernel.members(ring.serial) == ()


def test_a_removed_root_goes_and_the_others_stay(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A, B], ring, keyctl=kernel)
    difference = plan([B, C], ring, keyctl=kernel)
    assert [(addition.name, addition.cause) for addition in difference.add] == [("c", Cause.MISSING)]
    assert (names(difference.remove), names(difference.keep)) == (["a"], ["b"])
    result = apply([B, C], ring, keyctl=kernel)
    assert names(result.removed) == ["a"]
    assert names(status(ring, keyctl=kernel).roots) == ["b", "c"]
    assert apply([], ring, keyctl=kernel).changed
    assert status(ring, keyctl=kernel).roots == ()


def test_our_link_to_the_built_ring_is_dropped(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    assert kernel.members(kernel.keyring_id(SpecialRing.THREAD)) == ()


def test_a_refused_certificate_changes_nothing_and_every_one_is_named(kernel: TestingKeyctl, ring: Keyring) -> None:
    before = apply([A], ring, keyctl=kernel).serial
    one = Root("edwards", issue("Edwards", kind="ed25519").certificate)
    two = Root("curve", issue("Curve", kind="brainpool").certificate)
    for attempt in (lambda: apply([A, one, two, B], ring, keyctl=kernel), lambda: rehearse([one, two], keyctl=kernel)):
        with pytest.raises(RootsRefused) as raised:
            attempt()
        assert [problem.object for problem in raised.value.problems] == ["edwards", "curve"]
        assert raised.value.exit_code == Unsupported.exit_code
        assert "and 1 more" in raised.value.message
    assert managed_serial(kernel, ring) == before
    assert kernel.members(kernel.keyring_id(SpecialRing.THREAD)) == ()


def test_a_rehearsal_changes_nothing(kernel: TestingKeyctl, ring: Keyring) -> None:
    rehearse([A, B], keyctl=kernel)
    assert kernel.members(ring.serial) == ()
    assert kernel.members(kernel.keyring_id(SpecialRing.THREAD)) == ()


@pytest.mark.parametrize("victim", [A, NO_KEY_ID], ids=["with key id", "without"])
def test_a_displaced_root_is_seen_and_put_back(kernel: TestingKeyctl, ring: Keyring, victim: Root) -> None:
    apply([victim, B], ring, keyctl=kernel)
    kernel.add_key("asymmetric", victim.description, IMPOSTOR.certificate.der, managed_serial(kernel, ring))
    difference = plan([victim, B], ring, keyctl=kernel)
    assert [(addition.name, addition.cause) for addition in difference.add] == [(victim.name, Cause.DISPLACED)]
    assert names(difference.keep) == ["b"]
    assert apply([victim, B], ring, keyctl=kernel).changed
    assert not plan([victim, B], ring, keyctl=kernel).changes


def test_an_impostor_with_the_same_names_and_key_identifier_is_seen(kernel: TestingKeyctl, ring: Keyring) -> None:
    victim = issue("Vendor twin", kind="rsa2048")
    extensions = victim.certificate.parsed.extensions
    twin = issue(
        "Vendor twin",
        kind="rsa2048",
        number=3,
        subject_key_id=False,
        extensions=[(one.value, False) for one in extensions if one.oid.dotted_string == "2.5.29.14"],
    )
    genuine = Root("twin", victim.certificate)
    apply([genuine], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", genuine.description, twin.certificate.der, managed_serial(kernel, ring))
    kernel.set_permission(key, ROOT_PERMISSION)
    difference = plan([genuine], ring, keyctl=kernel)
    assert [addition.cause for addition in difference.add] == [Cause.DISPLACED]


def test_a_key_that_cannot_be_asked_was_not_added_by_us(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    key = kernel.add_key("asymmetric", A.description, A.certificate.der, managed_serial(kernel, ring))
    difference = plan([A], ring, keyctl=kernel)
    assert f"permissions {kernel.describe(key).permission}" in difference.rebuild
    assert apply([A], ring, keyctl=kernel).changed


def test_keys_that_are_not_ours_go_with_the_swap(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    inside = managed_serial(kernel, ring)
    noise = kernel.add_key("user", "noise", b"x", inside)
    stranger = kernel.add_key("asymmetric", "stranger", IMPOSTOR.certificate.der, inside)
    nested = kernel.keyring("cmakeys", inside)
    difference = plan([A], ring, keyctl=kernel)
    assert {member.serial for member in difference.foreign} == {noise, stranger, nested}
    assert apply([A], ring, keyctl=kernel).changed
    assert plan([A], ring, keyctl=kernel).foreign == ()


def test_keys_beside_our_ring_are_left_alone(kernel: TestingKeyctl, ring: Keyring) -> None:
    other = kernel.add_key("user", "other", b"x", ring.serial)
    apply([A], ring, keyctl=kernel)
    apply([B], ring, keyctl=kernel)
    assert other in kernel.members(ring.serial)
    assert status(ring, keyctl=kernel).others == 1


def test_revoked_roots_are_dead_and_replaced(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A, B], ring, keyctl=kernel)
    managed = read_contents(kernel, ring).managed
    assert managed is not None
    inside = {member.description: member.serial for member in managed.members}
    kernel.revoke(inside[A.description])
    difference = plan([A, B], ring, keyctl=kernel)
    assert [(addition.name, addition.cause) for addition in difference.add] == [("a", Cause.DEAD)]
    assert [member.serial for member in difference.dead] == [inside[A.description]]
    assert difference.foreign == ()
    apply([A, B], ring, keyctl=kernel)
    assert not plan([A, B], ring, keyctl=kernel).changes


@pytest.mark.parametrize("spoil", [TestingKeyctl.revoke, TestingKeyctl.invalidate, TestingKeyctl.expire])
def test_a_dead_managed_ring_is_replaced(kernel: TestingKeyctl, ring: Keyring, spoil: object) -> None:
    apply([A], ring, keyctl=kernel)
    dead = managed_serial(kernel, ring)
    assert callable(spoil)
    spoil(kernel, dead)
    deadline = time.monotonic() + 5
    while plan([A], ring, keyctl=kernel).managed == dead:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert apply([A], ring, keyctl=kernel).changed
    assert not plan([A], ring, keyctl=kernel).changes
    assert dead not in kernel.members(ring.serial)


def test_a_managed_ring_open_to_others_is_rebuilt(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)
    kernel.set_permission(managed_serial(kernel, ring), Permission(0x1F3F3F3F))
    assert "1f3f3f3f" in plan([A], ring, keyctl=kernel).rebuild
    assert apply([A], ring, keyctl=kernel).changed
    assert plan([A], ring, keyctl=kernel).rebuild == ""


def test_a_managed_ring_that_we_may_not_read_is_replaced(kernel: TestingKeyctl, ring: Keyring) -> None:
    kernel.keyring("cmakeys", ring.serial, Permission(0x11110000))
    assert "permissions" in plan([A], ring, keyctl=kernel).rebuild
    assert apply([A], ring, keyctl=kernel).changed


def test_a_frozen_keyring_says_so(kernel: TestingKeyctl, ring: Keyring) -> None:
    kernel.freeze(ring.serial)
    with pytest.raises(NotPermitted, match="takes no further keys"):
        apply([A], ring, keyctl=kernel)
    assert kernel.members(ring.serial) == ()


def test_a_keyring_that_died_says_so(kernel: TestingKeyctl, ring: Keyring) -> None:
    parent = kernel.keyring("parent", ring.serial)
    opened = open_keyring(str(parent), keyctl=kernel)
    kernel.revoke(parent)
    for attempt in (lambda: plan([A], opened, keyctl=kernel), lambda: apply([A], opened, keyctl=kernel)):
        with pytest.raises(EnvironmentProblem, match="revoked"):
            attempt()


class Meddling(TestingKeyctl):
    """Another program works in the ring that is being built."""

    def set_permission(self, key: Serial, permission: Permission) -> None:
        super().set_permission(key, permission)
        if permission == MANAGED_PERMISSION:
            self.add_key("user", "meddling", b"x", key)


def test_a_ring_that_is_not_exactly_what_was_built_is_never_linked(kernel: TestingKeyctl, ring: Keyring) -> None:
    with pytest.raises(EnvironmentProblem, match="2 keys, 1 were added"):
        apply([A], ring, keyctl=Meddling())
    assert kernel.members(ring.serial) == ()


class Overtaken(TestingKeyctl):
    """Another run links other roots right after ours."""

    roots: Sequence[Root] = ()
    overtaking = False

    def link(self, key: Serial, ring: Serial | SpecialRing) -> None:
        super().link(key, ring)
        if not self.overtaking:
            self.overtaking = True
            target = open_keyring(str(int(ring)), keyctl=self)
            assert in_child(lambda: assert_changed(self.roots, target)) == 0


def assert_changed(roots: Sequence[Root], ring: Keyring) -> None:
    assert apply([*roots, C], ring).changed
    if C not in roots:
        assert apply(roots, ring).changed


def test_another_run_with_the_same_roots_is_no_trouble(kernel: TestingKeyctl, ring: Keyring) -> None:
    overtaken = Overtaken()
    overtaken.roots = [A]
    result = apply([A], ring, keyctl=overtaken)
    assert result.serial == managed_serial(kernel, ring)


def test_another_run_with_other_roots_is_reported(kernel: TestingKeyctl, ring: Keyring) -> None:
    overtaken = Overtaken()
    overtaken.roots = [B]
    with pytest.raises(Temporary, match="somebody changed"):
        apply([A], ring, keyctl=overtaken)
    assert names(status(ring, keyctl=kernel).roots) == ["b"]


def test_a_ring_like_cma_that_nobody_possesses_works_by_user_id(kernel: TestingKeyctl, ring: Keyring) -> None:
    parent = kernel.keyring("cma like", ring.serial, CMA_LIKE)

    def from_another_session() -> None:
        other = TestingKeyctl()
        other.join_session()
        opened = open_keyring(str(parent), keyctl=other)
        assert apply([A, B], opened, keyctl=other).changed
        assert not apply([A, B], opened, keyctl=other).changed
        inside = managed_serial(other, opened)
        other.add_key("asymmetric", A.description, IMPOSTOR.certificate.der, inside)
        assert [addition.cause for addition in plan([A, B], opened, keyctl=other).add] == [Cause.DISPLACED]
        assert apply([A, B], opened, keyctl=other).changed

    assert in_child(from_another_session) == 0
    assert not plan([A, B], open_keyring(str(parent), keyctl=kernel), keyctl=kernel).changes


def test_it_works_without_privileges_in_a_session_of_one_s_own(kernel: TestingKeyctl) -> None:
    def as_nobody() -> None:
        if os.geteuid() == 0:
            become_nobody()
        kernel.join_session()
        session = open_keyring("@s", keyctl=kernel)
        assert apply([A, B], session, keyctl=kernel).changed
        assert apply([A], session, keyctl=kernel).changed
        assert names(status(session, keyctl=kernel).roots) == ["a"]

    assert in_child(as_nobody) == 0


def test_another_user_may_not_write_and_is_told_so(kernel: TestingKeyctl, ring: Keyring) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    parent = kernel.keyring("for reading", ring.serial, Permission(0x1F0F0003))

    def as_nobody() -> None:
        become_nobody()
        kernel.join_session()
        with pytest.raises(NotPermitted, match="may not write"):
            apply([A], open_keyring(str(parent), keyctl=kernel), keyctl=kernel)

    assert in_child(as_nobody) == 0
    assert kernel.members(parent) == ()


def fill(kernel: TestingKeyctl, hoard: Serial) -> None:
    for number in range(100_000):
        kernel.add_key("user", f"{number}", b"x", hoard)


def test_a_used_up_quota_leaves_the_old_set(kernel: TestingKeyctl) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user, whose quota may be used up")

    def as_nobody() -> None:
        become_nobody(60_000 + os.getpid() % 5_000)  # not the user of other tests, whose quota it is
        kernel.join_session()
        session = open_keyring("@s", keyctl=kernel)
        before = apply([A], session, keyctl=kernel).serial
        hoard = kernel.keyring("hoard", session.serial)
        with pytest.raises(KeyctlError, match=os.strerror(errno.EDQUOT)):
            fill(kernel, hoard)
        with pytest.raises(EnvironmentProblem, match="quota"):
            apply([A, B], session, keyctl=kernel)
        assert managed_serial(kernel, session) == before
        assert names(status(session, keyctl=kernel).roots) == ["a"]

    assert in_child(as_nobody) == 0


def test_a_keyring_that_changes_all_the_time_is_temporary(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply([A], ring, keyctl=kernel)

    class Restless(TestingKeyctl):
        """Our ring is swapped for another each time just before it is read."""

        def members(self, ring: Serial) -> tuple[Serial, ...]:
            if self.describe(ring).description == "cmakeys":
                raise KeyctlError(errno.ENOKEY, "keyctl_read", ring)
            return super().members(ring)

    with pytest.raises(Temporary, match="all the time"):
        read_contents(Restless(), ring)
