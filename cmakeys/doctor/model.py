"""A finding, and how a probe is kept from taking the others with it.

A doctor is called to machines that are broken, so a probe may meet anything: what it raises, a fault of our own
included, becomes the finding that this could not be found out, with the reason. It is never left out and never good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from cmakeys.errors import CmakeysError, from_oserror


class Severity(Enum):
    """How much a finding matters; only BAD makes the machine fail."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "could-not-find-out"


class Group(Enum):
    """What a finding is about, in the order of the report."""

    KERNEL = "kernel"
    ALGORITHMS = "algorithms"
    RIGHTS = "rights"
    DEVICES = "devices"
    CLOCK = "clock"
    CMAKEYS = "cmakeys"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `code` is a stable word for machines.

    `message` says what is so, `meaning` what follows from it, `action` what to do: a command where there is one.
    """

    group: Group
    code: str
    severity: Severity
    message: str
    meaning: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """One look at the machine; `code` names the finding that stands for it when it cannot be made."""

    group: Group
    code: str
    look: Callable[[], Iterable[Finding]]

    def run(self) -> tuple[Finding, ...]:
        """What it finds; never raises an `Exception`."""
        try:
            return tuple(self.look())
        except CmakeysError as error:
            return (self._unknown(str(error), error.hint),)
        except OSError as error:
            problem = from_oserror(error, str(error.filename or ""))
            return (self._unknown(str(problem), problem.hint),)
        except Exception as error:  # whatever a broken machine does to one probe, the others go on
            reason = f"{type(error).__name__}: {error}"
            return (self._unknown(reason, "this is a bug in cmakeys; please report it"),)

    def _unknown(self, reason: str, action: str) -> Finding:
        return Finding(self.group, self.code, Severity.UNKNOWN, f"{self.code}: {reason}", "", action)
