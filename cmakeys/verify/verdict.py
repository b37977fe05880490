"""What a check of one device ends in: an overall outcome and all fourteen numbered steps, each with its reason.

A step that was not run says so and why; it is never counted as passed. `unreachable` is kept apart from every finding:
it means that nothing could be found out, so nothing is said about the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType

from cmakeys.errors import ExitCode
from cmakeys.evidence.fields import Fields, time_text

SCHEMA = 1


class Outcome(Enum):
    """The overall outcome."""

    TRUSTED = "trusted"
    DEGRADED = "degraded"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    UNSUPPORTED = "unsupported"

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of a verb whose result is this outcome."""
        return _EXIT_CODES[self]

    def nagios(self, *, unreachable_is_critical: bool = False) -> int:
        """Nagios state: 0 OK, 1 warning, 2 critical, 3 unknown."""
        if self is Outcome.UNREACHABLE and unreachable_is_critical:
            return 2
        return _NAGIOS[self]

    @property
    def healthy(self) -> bool:
        """Every required step passed."""
        return self in (Outcome.TRUSTED, Outcome.DEGRADED)


_EXIT_CODES = {
    Outcome.TRUSTED: ExitCode.OK,
    Outcome.DEGRADED: ExitCode.OK,
    Outcome.REJECTED: ExitCode.FAILED,
    Outcome.UNREACHABLE: ExitCode.TEMPORARY,
    Outcome.UNSUPPORTED: ExitCode.UNSUPPORTED,
}
_NAGIOS = {
    Outcome.TRUSTED: 0,
    Outcome.DEGRADED: 1,
    Outcome.REJECTED: 2,
    Outcome.UNREACHABLE: 3,
    Outcome.UNSUPPORTED: 3,
}


class StepOutcome(Enum):
    """The outcome of one step. `warned` is passed, with something to know or to do soon."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    NOT_CHECKED = "not-checked"


STEP_TITLES: Mapping[int, str] = MappingProxyType(
    {
        1: "negotiation within policy",
        2: "chain well-formed",
        3: "chain signatures",
        4: "anchored in a trusted root",
        5: "root's life cycle and constraints",
        6: "validity dates",
        7: "revocation",
        8: "leaf profile",
        9: "leaf names this function",
        10: "same device as enrolled",
        11: "proof of possession",
        12: "signed measurements",
        13: "measurements against reference values",
        14: "the kernel's view agrees",
    }
)
"""The verification steps in their order; the numbers are part of the contract with whoever reads a verdict."""


@dataclass(frozen=True, slots=True)
class Step:
    """One verification step: its number, 1 to 14, what came out, one line of reason, and what to do about it."""

    number: int
    outcome: StepOutcome
    reason: str
    hint: str = ""

    def __post_init__(self) -> None:
        if self.number not in STEP_TITLES:
            raise ValueError(f"there is no verification step {self.number}")

    @property
    def title(self) -> str:
        """What the step checks."""
        return STEP_TITLES[self.number]

    def to_json(self) -> dict[str, object]:
        """The step as a JSON object."""
        return {
            "number": self.number,
            "title": self.title,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of verifying one piece of evidence.

    `steps` are always all fourteen. `root` and `root_fingerprint` name the trusted root that the chain ends in, `slot`,
    `version` and `algorithm` what the device proved its possession with, `leaf_fingerprint` the leaf's certificate, and
    `key_fingerprint` the provisioned public key by which a device without certificates was judged; each is None where
    it is not known. `evidence_digest` identifies the evidence, `rootset_digest` the roots it was
    held against. `checked_at` is an aware time.
    """

    device: str
    outcome: Outcome
    steps: tuple[Step, ...]
    summary: str
    checked_at: datetime
    evidence_digest: str = ""
    rootset_digest: str = ""
    root: str | None = None
    root_fingerprint: str | None = None
    slot: int | None = None
    version: str | None = None
    algorithm: str | None = None
    leaf_fingerprint: str | None = None
    key_fingerprint: str | None = None

    def __post_init__(self) -> None:
        if tuple(step.number for step in self.steps) != tuple(STEP_TITLES):
            raise ValueError("a verdict has exactly the fourteen steps, in order")
        if self.checked_at.tzinfo is None:
            raise ValueError("the time of a verdict needs a time zone")

    def step(self, number: int) -> Step:
        """The step of that number, 1 to 14."""
        return self.steps[number - 1]

    @property
    def failures(self) -> tuple[Step, ...]:
        """The steps that failed."""
        return tuple(step for step in self.steps if step.outcome is StepOutcome.FAILED)

    @property
    def warnings(self) -> tuple[Step, ...]:
        """The steps that passed with a warning."""
        return tuple(step for step in self.steps if step.outcome is StepOutcome.WARNED)

    def to_json(self) -> dict[str, object]:
        """The verdict as a JSON object (text, numbers, lists and objects only), stable in its keys."""
        return {
            "schema": SCHEMA,
            "device": self.device,
            "outcome": self.outcome.value,
            "summary": self.summary,
            "checked_at": time_text(self.checked_at),
            "root": self.root,
            "root_fingerprint": self.root_fingerprint,
            "slot": self.slot,
            "version": self.version,
            "algorithm": self.algorithm,
            "leaf_fingerprint": self.leaf_fingerprint,
            "key_fingerprint": self.key_fingerprint,
            "evidence_digest": self.evidence_digest,
            "rootset_digest": self.rootset_digest,
            "steps": [step.to_json() for step in self.steps],
        }

    @classmethod
    def from_json(cls, document: object, source: str = "verdict") -> Verdict:
        """Read back what `to_json` wrote. Raises `FieldProblem` for anything else."""
        fields = Fields(document, source)
        schema = fields.take("schema")
        if schema != SCHEMA:
            raise fields.problem("schema", f"this cmakeys reads verdicts of schema {SCHEMA}, not {schema!r}")
        steps = tuple(_step_from(item) for item in fields.objects("steps", len(STEP_TITLES)))
        if tuple(step.number for step in steps) != tuple(STEP_TITLES):
            raise fields.problem("steps", "the fourteen steps in order are expected")
        verdict = cls(
            device=fields.text("device"),
            outcome=fields.member("outcome", Outcome),
            steps=steps,
            summary=fields.text("summary"),
            checked_at=fields.time("checked_at"),
            evidence_digest=fields.text("evidence_digest"),
            rootset_digest=fields.text("rootset_digest"),
            root=fields.optional_text("root"),
            root_fingerprint=fields.optional_text("root_fingerprint"),
            slot=fields.optional_integer("slot", 0, 255),
            version=fields.optional_text("version"),
            algorithm=fields.optional_text("algorithm"),
            leaf_fingerprint=fields.optional_text("leaf_fingerprint"),
            key_fingerprint=fields.optional_text("key_fingerprint") if fields.has("key_fingerprint") else None,
        )
        fields.finish()
        return verdict


def _step_from(fields: Fields) -> Step:
    number = fields.integer("number", 1, len(STEP_TITLES))
    if fields.text("title") != STEP_TITLES[number]:
        raise fields.problem("title", f"step {number} has another title")
    step = Step(number, fields.member("outcome", StepOutcome), fields.text("reason"), fields.text("hint"))
    fields.finish()
    return step
