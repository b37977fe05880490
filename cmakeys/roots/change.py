"""One change of trust: written to the journal first, then made.

In this order a kill between the two leaves a record of a change that did not happen, which the next run makes or a
person can see; the other order would leave a change that nobody recorded. A change that fails is recorded as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cmakeys.errors import CmakeysError
from cmakeys.roots.journal import Journal

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Change:
    """What is about to change: `action` is the journal's word for it, `subject` the root's name."""

    action: str
    subject: str
    detail: Mapping[str, object]
    at: datetime
    by: str


def make(change: Change, journal: Journal, perform: Callable[[], _Result]) -> _Result:
    """Record `change`, then call `perform` and return what it returns.

    Raises what the journal raises, before anything was changed, or what `perform` raises, with a second entry
    `<action>-failed`.
    """
    journal.append(change.action, change.subject, change.detail, at=change.at, by=change.by)
    try:
        return perform()
    except CmakeysError as error:
        detail = {"code": error.code, "message": str(error)}
        journal.append(f"{change.action}-failed", change.subject, detail, at=change.at, by=change.by)
        raise
