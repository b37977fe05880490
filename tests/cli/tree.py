"""The command tree as it really is: every verb with its options, for tests that walk it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from cmakeys.cli.app import app
from cmakeys.cli.nouns import NOUNS, LazyNoun

if TYPE_CHECKING:
    from typer._click import Command

HELP = frozenset({"-h", "--help"})


@dataclass(frozen=True)
class Option:
    """An option of a verb: all its spellings, whether it takes a value, and its default, None where there is none."""

    spellings: frozenset[str]
    takes_value: bool
    repeatable: bool
    default: object


@dataclass(frozen=True)
class Verb:
    """A verb, or a noun that is itself one: `words` are those behind `cmakeys`, three where a noun has one below it."""

    words: tuple[str, ...]
    command: Command

    @property
    def noun(self) -> str:
        return self.words[0]

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def schema(self) -> str:
        """The name of its form of JSON: `roots-add`, `check`."""
        return "-".join(self.words)

    @property
    def options(self) -> tuple[Option, ...]:
        return options_of(self.command)

    @property
    def title(self) -> str:
        """What the part of the manual about it is called: `add`, `bundle create`; empty where the page is about it."""
        return " ".join(self.words[1:])

    @property
    def spellings(self) -> frozenset[str]:
        """Every option in every spelling, but for that of the help."""
        return frozenset().union(*(option.spellings for option in self.options))

    def parse(self, arguments: list[str]) -> None:
        """Parse arguments without running the verb; raises `typer.TyperException` for wrong ones."""
        self.command.make_context(self.name, list(arguments))


def options_of(command: Command) -> tuple[Option, ...]:
    return tuple(
        Option(
            frozenset(parameter.opts),
            not getattr(parameter, "is_flag", False),
            bool(getattr(parameter, "multiple", False)),
            parameter.default,
        )
        for parameter in command.params
        if parameter.param_type_name == "option" and not HELP & set(parameter.opts)
    )


@cache
def verbs() -> Mapping[tuple[str, ...], Verb]:
    return {verb.words: verb for noun in NOUNS for verb in _below((noun.name,), LazyNoun(noun).load())}


def _below(words: tuple[str, ...], command: Command) -> Iterator[Verb]:
    """The verbs of a noun, those of the nouns below it included; a verb itself."""
    if not isinstance(command, TyperGroup):
        yield Verb(words, command)
        return
    for name, each in command.commands.items():
        yield from _below((*words, name), each)


def typed(words: Sequence[str]) -> tuple[Verb, list[str]]:
    """The verb that the words behind `cmakeys` begin with, and what is left of them; `KeyError` for none."""
    for number in (1, 2, 3):
        verb = verbs().get(tuple(words[:number]))
        if verb is not None:
            return verb, list(words[number:])
    raise KeyError(" ".join(words))


def top_options() -> frozenset[str]:
    """The options of `cmakeys` itself."""
    command = typer.main.get_command(app)
    return frozenset().union(*(option.spellings for option in options_of(command)))
