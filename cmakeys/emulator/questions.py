"""Requests of the device to the requester, carried in exchanges that the requester begins (reference §5.7).

A questionnaire is a generator: it yields a request, is given the requester's answer, and returns the slot of the
requester that it ended with. Which one is asked is decided elsewhere; here turns are kept and numbers counted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

Questionnaire = Generator[bytes, bytes, int]
"""Raises `Refusal` or `WireError` for an answer that it cannot take; both end it."""


@dataclass(slots=True)
class Interview:
    """A questionnaire under way. `number` is the RequestID of `question`, 0 as long as nothing was asked for."""

    questionnaire: Questionnaire
    question: bytes = b""
    number: int = 0

    @classmethod
    def begun(cls, questionnaire: Questionnaire) -> Interview:
        """One whose first question counts as asked already: the flow with implicit GET_DIGESTS."""
        return cls(questionnaire, next(questionnaire))

    @property
    def outstanding(self) -> bool:
        """A question was sent, and nothing but its answer is expected."""
        return self.number > 0

    def current(self) -> bytes:
        """The question to be answered next; the first one is made when it is asked for."""
        if not self.question:
            self.question = next(self.questionnaire)
        if not self.number:
            self.number = 1
        return self.question

    def take(self, answer: bytes) -> int | None:
        """Go on with an answer: None while there is another question, at the end the requester's slot."""
        try:
            self.question = self.questionnaire.send(answer)
        except StopIteration as stop:
            slot: int = stop.value
            return slot
        self.number = self.number % 0xFF + 1
        return None
