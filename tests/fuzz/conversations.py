"""The requester against the malicious responder: the target, and what must hold whatever the responder does.

* Only the errors come out that the flow's own documentation names.
* Requests and waiting have an end (`stage`).
* After a failure no session can be used, and none keeps a secret. A question that a device refuses ends no session.
* What is believed at the end is what an honest device would have made us believe, wherever a signature or a MAC stands
  for it: whoever has no keys cannot change it, and whoever holds those of a session cannot change what was signed.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable
from cmakeys.spdm.inquiry import NotOffered
from cmakeys.spdm.states import State
from tests.fuzz.damage import Damage
from tests.fuzz.meddler import draw
from tests.fuzz.scenarios import Case, Facts, Untrusted, cases
from tests.fuzz.stage import ResponderFault, Stage, Unbounded, WatchedSession
from tests.fuzz.target import Played, described, several, template

_LIVES_ON = (DeviceRefused, DeviceUnavailable, NotOffered)
"""What ends no session that was established."""


@dataclass(frozen=True, slots=True)
class Honest:
    """The conversation that nobody damages."""

    length: int
    facts: Facts
    steps: frozenset[str]
    answers: tuple[bytes, ...]


@cache
def honest(name: str) -> Honest:
    """How a case goes where nobody lies."""
    case = cases()[name]
    WatchedSession.made.clear()
    stage = Stage(case.hardware, case.binding)
    facts = stage.run(case.scenario(stage))
    stage.forget()
    WatchedSession.made.clear()
    meddler = stage.meddler
    return Honest(stage.requests, facts, frozenset(meddler.reached), tuple(meddler.answers))


@cache
def stock() -> tuple[bytes, ...]:
    """Answers of other devices, versions and states, a few of each kind."""
    kept: dict[bytes, list[bytes]] = {}
    for name in cases():
        for answer in honest(name).answers:
            some = kept.setdefault(answer[:2], [])
            if len(some) < 6 and answer not in some and len(answer) < 6000:
                some.append(answer)
    return tuple(answer for some in kept.values() for answer in some)


@dataclass
class ConversationTarget:
    """One case of `scenarios`."""

    case: Case
    made: list[WatchedSession] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The case's."""
        return self.case.name

    @property
    def weight(self) -> int:
        """The case's."""
        return self.case.weight

    def draw(self, rng: random.Random) -> tuple[Damage, ...]:
        """Damage to any message that an honest conversation has."""
        length = honest(self.name).length
        return several(rng, lambda: draw(rng, length))

    def play(self, damages: tuple[Damage, ...]) -> Played:
        """One conversation."""
        WatchedSession.made.clear()
        stage = Stage(self.case.hardware, self.case.binding, damages, stock())
        try:
            outcome, finding = self._converse(stage)
        finally:
            stage.forget()
            WatchedSession.made.clear()
        meddler = stage.meddler
        step = meddler.step
        kind = outcome.split(":")[0]
        return Played(
            (step, outcome), kind, Counter(meddler.reached), Counter(meddler.damaged), stage.received, finding
        )

    def _converse(self, stage: Stage) -> tuple[str, str]:
        try:
            facts = stage.run(self.case.scenario(stage))
        except self.case.expected as error:
            return template(error), self._left_behind(error) or self._told(stage, error)
        except Untrusted as error:
            for session in WatchedSession.made:
                session.close()
            return template(error), ""
        except ResponderFault as error:
            return template(error), f"the emulated device fails: {error}"
        except Unbounded as error:
            return template(error), f"without bounds: {error}"
        except Exception as error:
            return template(error), described(error)
        changed = ", ".join(sorted(stage.meddler.applied))
        return f"accepted: {changed or 'nothing was changed'}", self._left_behind(None) or self._believed(stage, facts)

    def _left_behind(self, error: Exception | None) -> str:
        """What is wrong with the sessions that are left; a refused question leaves one in which it can go on."""
        for session in WatchedSession.made:
            lives_on = isinstance(error, _LIVES_ON) and session.state is State.SESSION
            if lives_on and not self.name.startswith("attest/"):
                session.close()
            if not session.dead:
                secrets = "with its secrets" if session.keeps_secrets else "without secrets"
                return f"after {error!r} a session is left {session.state.value}, {secrets}"
        return ""

    def _told(self, stage: Stage, error: Exception) -> str:
        text = f"{error} {getattr(error, 'hint', '')}"
        return "a secret is told" if any(secret.hex() in text for secret in stage.secrets) else ""

    def _believed(self, stage: Stage, facts: Facts) -> str:
        """A fact that is not the honest one though nobody could have changed it, in words."""
        applied, expected = stage.meddler.applied, honest(self.name).facts
        if applied & {"value", "octets"}:
            return ""  # the device signed its own lies
        for key, fact in facts.signed.items():
            if fact != expected.signed.get(key):
                return f"believed another {key} under a signature: {fact!r} for {expected.signed.get(key)!r}"[:600]
        if not facts.blocks <= expected.blocks:
            return f"believed measurements that the device does not have: {sorted(facts.blocks - expected.blocks)}"
        if "keys" in applied:
            return ""  # whoever holds the keys of a session says in it what he likes
        for key, fact in facts.sealed.items():
            if fact != expected.sealed.get(key):
                return f"believed another {key} under a MAC: {fact!r} for {expected.sealed.get(key)!r}"[:600]
        if expected.blocks and not facts.blocks:
            return "believed a device without its measurements"
        return ""


def targets() -> list[ConversationTarget]:
    """Every case."""
    return [ConversationTarget(case) for case in cases().values()]
