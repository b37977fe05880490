"""What may stand at the end of a command line that is being typed, as the command tree says.

The scripts of the three shells ask this each time the key is pressed, so that they never say anything else than the
cmakeys that is installed. Only the noun that stands on the line is loaded. Names of roots and devices come from the
store and the register; where those cannot be read, there are none: nobody wants an error while typing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from cmakeys.cli.nouns import LazyNoun
from cmakeys.cli.options import SYSTEM, state_directory

if TYPE_CHECKING:
    from typer._click import Command
    from typer._click.core import Parameter

FUNCTIONS = Path("/sys/bus/pci/devices")
MAX_NAMES = 4096

_ROOTS = frozenset({"ROOT", "OLD", "NEW"})
_FILES = frozenset({"FILE", "PATH", "RECORDING"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may stand there, and what it means in one line."""

    value: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Everything that may stand there; `files` and `folders` say that the shell knows more than we do."""

    words: tuple[Candidate, ...] = ()
    files: bool = False
    folders: bool = False


@dataclass(slots=True)
class _Typed:
    """What stands before the word that is being typed: the command, and what of its parameters was given."""

    command: Command
    path: tuple[str, ...] = ()
    pending: Parameter | None = None
    positional: int = 0
    given: frozenset[str] = frozenset()
    literal: bool = False


def candidates(words: Sequence[str]) -> Candidates:
    """What may stand in place of the last of the words behind `cmakeys`; nothing where a word before it is wrong."""
    *before, current = words or ("",)
    typed = _read(before)
    if typed is None:
        return Candidates()
    if typed.pending is not None:
        return _values(typed, typed.pending, before, current)
    if current.startswith("-") and not typed.literal:
        name, equals, start = current.partition("=")
        option = _option(typed.command, name) if equals else None
        if option is None:
            return _starting(current, _options(typed))
        found = _values(typed, option, before, start)
        return Candidates(
            tuple(Candidate(f"{name}={one.value}", one.help) for one in found.words), found.files, found.folders
        )
    if isinstance(typed.command, TyperGroup):
        return _starting(current, _commands(typed.command))
    argument = _argument(typed)
    if argument is None:
        return _starting(current, () if typed.literal else _options(typed))
    return _values(typed, argument, before, current)


def _read(before: Iterable[str]) -> _Typed | None:
    from cmakeys.cli.app import app

    typed = _Typed(typer.main.get_command(app))
    for word in before:
        if typed.pending is not None:
            typed.pending = None
        elif word == "--" and not typed.literal:
            typed.literal = True
        elif word.startswith("-") and word != "-" and not typed.literal:
            name, equals, _ = word.partition("=")
            option = _option(typed.command, name)
            typed.given |= frozenset(option.opts) if option else frozenset({name})
            if option and not equals and not getattr(option, "is_flag", False):
                typed.pending = option
        elif isinstance(typed.command, TyperGroup):
            command = typed.command.commands.get(word)
            if command is None:
                return None
            loaded = command.load() if isinstance(command, LazyNoun) else command
            typed = _Typed(loaded, (*typed.path, word))
        else:
            typed.positional += 1
    return typed


def _option(command: Command, name: str) -> Parameter | None:
    return next((each for each in command.params if each.param_type_name == "option" and name in each.opts), None)


def _options(typed: _Typed) -> Iterator[Candidate]:
    """The options that may still be given; of those with two spellings, the long one."""
    for option in typed.command.params:
        if option.param_type_name != "option" or getattr(option, "hidden", False):
            continue
        if typed.given.isdisjoint(option.opts) or getattr(option, "multiple", False):
            yield Candidate(max(option.opts, key=len), getattr(option, "help", "") or "")
    if "--help" not in typed.given:
        yield Candidate("--help", "Say how it is used.")


def _commands(group: TyperGroup) -> Iterator[Candidate]:
    for name, command in group.commands.items():
        if not command.hidden:
            yield Candidate(name, command.get_short_help_str(limit=100))


def _argument(typed: _Typed) -> Parameter | None:
    """The argument whose turn it is; the last one when it takes any number."""
    arguments = [each for each in typed.command.params if each.param_type_name == "argument"]
    if typed.positional < len(arguments):
        return arguments[typed.positional]
    return arguments[-1] if arguments and arguments[-1].nargs == -1 else None


def _values(typed: _Typed, parameter: Parameter, before: Sequence[str], current: str) -> Candidates:
    choices: Sequence[str] | None = getattr(parameter.type, "choices", None)
    if choices is not None:
        return _starting(current, map(Candidate, choices))
    kinds = frozenset((parameter.metavar or "").strip("[].").replace("]", "").split("|"))
    names: list[Candidate] = []
    if kinds & _ROOTS or (typed.path == ("journal", "show") and parameter.name == "root"):
        names += map(Candidate, _roots(_place(before, "--sysroot") or SYSTEM))
    if "DEVICE" in kinds or (typed.path[:1] == ("devices",) and parameter.opts == ["name"]):
        names += _devices(before)
    if "--fault" in parameter.opts:
        names += _faults()
    if "FUNCTION" in kinds:
        names += map(Candidate, _functions())
    found = _starting(current, names)
    return Candidates(found.words, files=bool(kinds & _FILES), folders="DIR" in kinds)


def _starting(start: str, words: Iterable[Candidate]) -> Candidates:
    return Candidates(tuple(word for word in words if word.value.startswith(start)))


def _place(before: Sequence[str], option: str) -> Path | None:
    """The value of an option that stands on the line."""
    for number, word in enumerate(before):
        if word == option and number + 1 < len(before):
            return Path(before[number + 1])
        if word.startswith(f"{option}="):
            return Path(word.partition("=")[2])
    return None


def _roots(sysroot: Path) -> list[str]:
    from cmakeys.errors import CmakeysError
    from cmakeys.roots.store import RootStore

    try:
        return sorted(root.name for root in RootStore(sysroot).load().roots)
    except (CmakeysError, OSError):
        return []


def _devices(before: Sequence[str]) -> list[Candidate]:
    from cmakeys.devices.register import Register
    from cmakeys.errors import CmakeysError
    from cmakeys.reports.terminal import printable

    try:
        state = state_directory(_place(before, "--sysroot") or SYSTEM, _place(before, "--state-dir"))
        return [Candidate(device.name, printable(device.address)) for device in Register(state).devices()]
    except (CmakeysError, OSError):
        return []


def _faults() -> list[Candidate]:
    from cmakeys.emulator.faults import FAULTS

    return [Candidate(fault.name, fault.description) for fault in FAULTS.values()]


def _functions() -> list[str]:
    try:
        return sorted(place.name for place in FUNCTIONS.iterdir())[:MAX_NAMES]
    except OSError:
        return []
