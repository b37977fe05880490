"""The life of a root, and which step may follow which.

`staged → trusted → retiring → retired`, and `distrusted` from anywhere. The table below is the whole rule: whatever
changes a state asks `may_become`, nothing else decides. A root that left `distrusted` would make a revoked vendor
trusted again by one typo, so nothing follows it: the root has to be removed and added anew, with its fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class LifeCycle(Enum):
    """State of a root on this machine."""

    STAGED = "staged"
    TRUSTED = "trusted"
    RETIRING = "retiring"
    RETIRED = "retired"
    DISTRUSTED = "distrusted"

    @property
    def anchors(self) -> bool:
        """True when a chain may end in such a root: trusted, or retiring (which makes a verdict `degraded`)."""
        return self in (LifeCycle.TRUSTED, LifeCycle.RETIRING)

    def may_become(self, other: LifeCycle) -> bool:
        """Whether the transition table allows the step from this state to `other`."""
        return other in TRANSITIONS[self]


TRANSITIONS: Mapping[LifeCycle, frozenset[LifeCycle]] = MappingProxyType(
    {
        LifeCycle.STAGED: frozenset({LifeCycle.TRUSTED, LifeCycle.RETIRED, LifeCycle.DISTRUSTED}),
        LifeCycle.TRUSTED: frozenset({LifeCycle.RETIRING, LifeCycle.DISTRUSTED}),
        LifeCycle.RETIRING: frozenset({LifeCycle.TRUSTED, LifeCycle.RETIRED, LifeCycle.DISTRUSTED}),
        LifeCycle.RETIRED: frozenset({LifeCycle.RETIRING, LifeCycle.DISTRUSTED}),
        LifeCycle.DISTRUSTED: frozenset(),
    }
)
"""From each state, the states that may follow. The steps backwards (retiring → trusted, retired → retiring) are what
undoing a rotation needs; a retired root comes back through `retiring`, so that its use is reported as degraded."""
