"""How long before its end a certificate becomes a matter, and what a date says of it today.

A horizon is a duration (`90d`) or a share of the certificate's own lifetime (`10%`): a leaf of a year and a root of
thirty need different warnings, and one share fits both. An `Expiry` has two of them, `warn` and then `fail`. A
certificate of the year 9999 never ends, whatever the horizons say (RFC 5280 §4.1.2.5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from cmakeys.errors import UsageProblem
from cmakeys.x509.certificate import Certificate

MAX_DURATION = timedelta(days=36500)
"""A century: who looks further ahead has mistyped."""

_TEXT = re.compile(r"([0-9]{1,6})(h|d|w|%)")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_HINT = "write a duration as 12h, 90d or 13w, or a share of the lifetime as 10%"


class Nearness(Enum):
    """Where a certificate stands between now and its end."""

    ENDLESS = "endless"
    FAR = "far"
    WARN = "warn"
    FAIL = "fail"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Horizon:
    """A span before the end of a certificate: a `duration`, or `percent` (1 to 100) of its lifetime.

    Raises `UsageProblem` for spans that cannot be meant.
    """

    duration: timedelta = timedelta(0)
    percent: int = 0

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.duration <= MAX_DURATION:
            raise UsageProblem(f"{self.duration.days} days are no horizon", hint="give 0d to 36500d, a century")
        if not 0 <= self.percent <= 100:
            raise UsageProblem(f"{self.percent}% is more than a whole lifetime", hint=_HINT)
        if self.percent and self.duration:
            raise UsageProblem("a horizon is a duration or a share, not both", hint=_HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `90d`, `12h`, `13w` or `10%`. Raises `UsageProblem` for anything else."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise UsageProblem(f"{text[:40]!r} is not a horizon", hint=_HINT)
        number, unit = int(match[1]), match[2]
        return cls(percent=number) if unit == "%" else cls(number * _UNITS[unit])

    def __str__(self) -> str:
        """The text that `parse` reads, in days where they come out even."""
        if self.percent:
            return f"{self.percent}%"
        return f"{self.duration.days}d" if not self.duration.seconds else f"{self.duration // _UNITS['h']}h"

    def span(self, lifetime: timedelta) -> timedelta:
        """How long it is for a certificate that is valid for `lifetime`."""
        return self.duration + max(lifetime, timedelta(0)) * self.percent / 100


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the end of a certificate begins to matter, and from when on it is as good as over.

    Raises `UsageProblem` for a `fail` that comes before its `warn`, where the two can be compared.
    """

    warn: Horizon = Horizon(timedelta(days=30))
    fail: Horizon = Horizon()

    def __post_init__(self) -> None:
        same_kind = self.warn.percent == self.fail.percent == 0 or self.warn.duration == self.fail.duration
        if same_kind and (self.fail.duration, self.fail.percent) > (self.warn.duration, self.warn.percent):
            raise UsageProblem(
                f"fails {self.fail} before the end, and warns only {self.warn} before it",
                hint="a warning has to come first: make warn the longer one",
            )

    def nearness(self, certificate: Certificate, now: datetime) -> Nearness:
        """Where `certificate` stands at `now`, an aware time; that it is not valid *yet* is another matter."""
        if certificate.never_expires:
            return Nearness.ENDLESS
        left = certificate.not_after - now
        lifetime = certificate.not_after - certificate.not_before
        if left < timedelta(0):
            return Nearness.OVER
        fail = self.fail.span(lifetime)
        if fail and left <= fail:
            return Nearness.FAIL
        return Nearness.WARN if left <= self.warn.span(lifetime) else Nearness.FAR


ROOT_EXPIRY = Expiry(Horizon(timedelta(days=90)))
"""For roots: replacing one takes a vendor and a fleet some weeks."""
