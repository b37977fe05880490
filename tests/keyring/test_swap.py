"""The swap is one instant: no reader sees a ring that is missing, empty or mixed, and no kill leaves one behind."""

from __future__ import annotations

import errno
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from cryptography.x509 import SubjectKeyIdentifier

from cmakeys.keyring.cma import MANAGED, Keyring
from cmakeys.keyring.contents import MANAGED_PERMISSION
from cmakeys.keyring.keyctl import KeyctlError, Serial
from cmakeys.keyring.managed import apply, plan
from cmakeys.roots.root import Root
from tests.keyring.kernel import TestingKeyctl, in_child, root

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("rsa_loads")]

SWAPS = 500

KEPT, OLD, NEW = root("kept"), root("old", number=1), root("new", number=2)
BEFORE, AFTER = (KEPT, OLD), (KEPT, NEW)


def descriptions(roots: tuple[Root, ...]) -> frozenset[str]:
    return frozenset(one.description for one in roots)


class Displaced(Exception):
    """The ring was swapped for another between two questions about it."""


class Reading(TestingKeyctl):
    """Tells a key that has gone meanwhile from every other trouble."""

    def _call(self, function: str, about: int, *arguments: object) -> int:
        try:
            return super()._call(function, about, *arguments)
        except KeyctlError as error:
            if error.errno in (errno.ENOKEY, errno.EACCES) and function != "keyctl_search":
                raise Displaced from error
            raise


class Reader:
    """Lists the ring as fast as it can and believes nothing but what the kernel says at one instant."""

    def __init__(self, ring: Serial) -> None:
        self.kernel = Reading()
        self.ring = ring
        self.seen: dict[frozenset[str], int] = {}

    def look(self) -> None:
        (managed,) = self.kernel.members(self.ring)
        with suppress(Displaced):
            info = self.kernel.describe(managed)
            assert (info.description, info.permission) == (MANAGED, MANAGED_PERMISSION)
            inside = self.kernel.members(managed)
            assert len(inside) == 2, f"our ring holds {len(inside)} keys"
            found = frozenset(self.kernel.describe(key).description for key in inside)
            assert found in (descriptions(BEFORE), descriptions(AFTER))
            self.seen[found] = self.seen.get(found, 0) + 1

    def search(self) -> None:
        """The kernel's own lookup never misses a root that both sets hold."""
        key_id = KEPT.certificate.parsed.extensions.get_extension_for_class(SubjectKeyIdentifier).value.digest
        self.kernel.search(self.ring, "asymmetric", f"ex:{key_id.hex()}")

    def run(self, stop: int) -> None:
        while not select.select([stop], [], [], 0)[0]:
            self.look()
            self.search()
        assert set(self.seen) == {descriptions(BEFORE), descriptions(AFTER)}, "the reader was too slow to see both"


def test_a_reader_never_sees_the_ring_missing_empty_or_mixed(kernel: TestingKeyctl, ring: Keyring) -> None:
    apply(BEFORE, ring, keyctl=kernel)
    stop, stopper = os.pipe()
    reader = os.fork()
    if reader == 0:
        os.close(stopper)
        os._exit(in_child(lambda: Reader(ring.serial).run(stop)))
    try:
        for number in range(SWAPS):
            assert apply(BEFORE if number % 2 else AFTER, ring, keyctl=kernel).changed
    finally:
        os.close(stopper)
        os.close(stop)
        status = os.waitpid(reader, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0


class Mortal(TestingKeyctl):
    """Is killed just before the nth operation."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def _call(self, function: str, about: int, *arguments: object) -> int:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super()._call(function, about, *arguments)


def killed_before(operation: int, ring: Keyring) -> Callable[[], None]:
    def run() -> None:
        apply(AFTER, ring, keyctl=Mortal(operation))

    return run


def held(kernel: TestingKeyctl, ring: Keyring) -> frozenset[str]:
    """What the one ring in the keyring holds."""
    (managed,) = kernel.members(ring.serial)
    assert kernel.describe(managed).permission == MANAGED_PERMISSION
    return frozenset(kernel.describe(key).description for key in kernel.members(managed))


def test_killed_before_any_operation_the_old_set_or_the_new_one_is_there(kernel: TestingKeyctl, ring: Keyring) -> None:
    outcomes = []
    for operation in range(1000):
        apply(BEFORE, ring, keyctl=kernel)
        code = in_child(killed_before(operation, ring))
        outcomes.append(held(kernel, ring))
        assert outcomes[-1] in (descriptions(BEFORE), descriptions(AFTER))
        assert plan(AFTER, ring, keyctl=kernel).changes is (outcomes[-1] == descriptions(BEFORE))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    changes = [new for old, new in pairwise(outcomes) if old != new]
    assert changes == [descriptions(AFTER)], "the change is made by exactly one operation"
    assert len(outcomes) > 20


def test_killed_while_the_first_set_is_put_there_nothing_or_all_of_it_is(kernel: TestingKeyctl, ring: Keyring) -> None:
    for operation in range(1000):
        code = in_child(killed_before(operation, ring))
        members = kernel.members(ring.serial)
        if members:
            assert held(kernel, ring) == descriptions(AFTER)
            kernel.unlink(members[0], ring.serial)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert operation > 10
