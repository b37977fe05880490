"""What is wrong makes a machine unhealthy; what is due, hidden or not there does not."""

from __future__ import annotations

import pytest

from cmakeys.status.model import Status
from tests.status import machines


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (machines.REJECTED, "gpu0, nvme3"),
        (machines.FOREIGN, "did not put there: 2 in .cma"),
        (machines.ENDED, "expired, or as good as: acme"),
        (machines.TAMPERED, "line 4"),
        (machines.MISCONFIGURED, "clok"),
        (machines.BROKEN_REGISTER, "not a database"),
    ],
)
def test_what_is_wrong_is_said(status: Status, words: str) -> None:
    (sentence,) = status.bad
    assert words in sentence


@pytest.mark.parametrize(
    "status",
    [
        machines.FRESH,
        machines.HEALTHY,
        machines.DRIFT,
        machines.STALE,
        machines.NO_INITRD_IN_SIGHT,
        machines.ENDS_SOON,
        machines.WRONG_CLOCK,
        machines.PLAIN_USER,
        machines.ROTATING,
        machines.UNREACHABLE,
        machines.NEVER_CHECKED,
        machines.BUSY,
    ],
)
def test_what_is_due_or_not_known_is_no_fault(status: Status) -> None:
    assert status.bad == ()
