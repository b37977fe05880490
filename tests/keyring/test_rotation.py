"""The table of rotations, carried out on a keyring of the real kernel: each step is one swap, or none."""

from __future__ import annotations

import pytest

from cmakeys.keyring.cma import Keyring
from cmakeys.keyring.managed import apply, plan, status
from tests.keyring.kernel import TestingKeyctl
from tests.roots.rotating import by_row, carried_out, first
from tests.roots.rotations import Row

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("rsa_loads")]


@by_row
def test_the_kernel_gets_what_the_plan_says_in_one_swap(row: Row, kernel: TestingKeyctl, ring: Keyring) -> None:
    known = first(row)
    apply(known.anchors(), ring, keyctl=kernel)
    for step in row.steps:
        after = carried_out(known, row, step)
        expected = plan(after.anchors(), ring, keyctl=kernel)
        told = [*(f"+{each.name}" for each in expected.add), *(f"-{each.name}" for each in expected.remove)]
        assert sorted(told) == sorted(step.swap.split()), step
        serial = status(ring, keyctl=kernel).managed
        result = apply(after.anchors(), ring, keyctl=kernel)
        assert result.changed == bool(step.swap)
        if result.changed:
            assert serial is None or result.serial != serial.serial
        assert {each.name for each in status(ring, keyctl=kernel).roots} == {each.name for each in after.anchors()}
        known = after
