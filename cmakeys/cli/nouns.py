"""The table of nouns, and how one is loaded only when it is used.

`cmakeys --help` prints this table and imports none of the modules in it: a noun's module, and through it the protocol
or the keyring, is imported when that noun is on the command line. A new noun is a module `cmakeys.cli.<noun>` with

    app = noun_app("One line, the same as in the table.")

and one line here.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command, Context


@dataclass(frozen=True, slots=True)
class Noun:
    """One line of `cmakeys --help`; `verbs` is false for a noun that is itself the verb, such as `check`."""

    name: str
    module: str
    help: str
    verbs: bool = True


NOUNS: tuple[Noun, ...] = (
    Noun(
        "status",
        "cmakeys.cli.status",
        "Show on one screen what is trusted, whether it is in effect, and what to do next.",
        verbs=False,
    ),
    Noun(
        "doctor",
        "cmakeys.cli.doctor",
        "Find out what about this machine helps or hinders, and what to do about it.",
        verbs=False,
    ),
    Noun("roots", "cmakeys.cli.roots", "Say which vendors' roots this machine trusts: add, show, remove, export them."),
    Noun("deny", "cmakeys.cli.deny", "Say what must never be trusted, whatever brings it."),
    Noun("journal", "cmakeys.cli.journal", "Show the record of what was changed, and find out whether it is whole."),
    Noun("keyring", "cmakeys.cli.keyring", "Compare the kernel's keyring with the trusted roots, and put them there."),
    Noun("devices", "cmakeys.cli.devices", "Enrol devices, so that a check can say whether they are still the same."),
    Noun("check", "cmakeys.cli.check", "Check devices against their roots and their enrolment.", verbs=False),
    Noun("history", "cmakeys.cli.history", "Look back at what the checks have found, by device or by run."),
    Noun("measure", "cmakeys.cli.measure", "Show what devices measure, and hold it against reference values."),
    Noun("schedule", "cmakeys.cli.schedule", "Have the checks run by themselves, by systemd or by cron."),
    Noun("policy", "cmakeys.cli.policy", "Say which devices get no driver before they are trusted."),
    Noun("evidence", "cmakeys.cli.evidence", "Keep what a device said, look at it, and judge it again anywhere."),
    Noun("revocation", "cmakeys.cli.revocation", "Keep lists of what vendors have revoked, and fetch them when asked."),
    Noun("image", "cmakeys.cli.image", "Bake roots into what a machine boots from, and look at what is in there."),
    Noun("spdm", "cmakeys.cli.spdm", "Look at the protocol itself: what a device speaks, and what was said."),
    Noun("emulate", "cmakeys.cli.emulate", "Emulate a CMA device, honest or faulty, on a local port.", verbs=False),
    Noun("config", "cmakeys.cli.config", "Show the settings in effect, and the file that each comes from."),
    Noun("setup", "cmakeys.cli.setup", "Put manual pages, units, completion and more where a distribution would."),
    Noun("schema", "cmakeys.cli.schema", "Show the schema of the JSON that a verb prints.", verbs=False),
    Noun(
        "completion", "cmakeys.cli.completion", "Let the shell complete nouns, verbs, options and names.", verbs=False
    ),
)


def noun_app(help: str) -> typer.Typer:  # noqa: A002 typer's own name for it
    """The typer application of one noun."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


class LazyNoun(TyperGroup):
    """Stands for a noun in the command tree and becomes the real one when its arguments are parsed."""

    def __init__(self, noun: Noun) -> None:
        super().__init__(name=noun.name, help=noun.help, rich_markup_mode=None)
        self.noun = noun

    def load(self, verb: str = "") -> Command:
        """Import the noun's module and build its commands; only that of `verb` where the noun has it."""
        app: typer.Typer = import_module(self.noun.module).app
        command: Command = get_group(_only(app, verb)) if self.noun.verbs else get_command(app)
        command.name = self.noun.name
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        """Parse the arguments with the real noun."""
        return self.load(args[0] if args else "").make_context(info_name, args, parent=parent, **extra)


def _only(app: typer.Typer, verb: str) -> typer.Typer:
    """The application with nothing but the verb that was typed, where it has that: each takes a millisecond to build.

    Whatever else was typed, help or a mistake, needs all of them.
    """
    chosen = [command for command in app.registered_commands if command.name == verb]
    if not chosen:
        return app
    one = copy(app)
    one.registered_commands, one.registered_groups = chosen, []
    return one


class Nouns(TyperGroup):
    """The root of the command tree: every noun of the table, none of them loaded."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for noun in NOUNS:
            self.add_command(LazyNoun(noun))
