"""The command `cmakeys`: global options, and the way from an argument list to an exit code.

Whatever goes wrong before a verb runs (an unknown noun, a missing argument) is said here, as text or, when `--json` is
among the arguments, as the same envelope that a verb prints. What goes wrong inside a verb is `output.verb`'s business.
This module imports little, and more only when there is something to say: `cmakeys --help` should cost what typer costs.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cmakeys import __version__
from cmakeys.cli.nouns import Nouns

app = typer.Typer(
    cls=Nouns,
    name="cmakeys",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from cmakeys.cli.output import write

        write(sys.stdout, f"cmakeys {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Manage the trusted roots by which this machine identifies its PCIe devices, and check that it still can.

    Without a noun: show the status of this machine.
    """
    if context.invoked_subcommand is None:
        from cmakeys.cli.status import overview

        overview()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    # A command lives for a moment: looking for cycles while its modules are loaded costs more than it could free.
    gc.set_threshold(50_000, 20, 20)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = typer.main.get_command(app).main(words, prog_name="cmakeys", standalone_mode=False)
    except typer.TyperException as error:
        return _usage(error, words)
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException, words: Sequence[str]) -> int:
    """Say what is wrong with the command line; typer keeps the context on those errors that have one."""
    from cmakeys.cli.output import envelope, write
    from cmakeys.errors import ExitCode, UsageProblem
    from cmakeys.reports.terminal import printable

    context: typer.Context | None = getattr(error, "ctx", None)
    path = context.command_path.split() if context else ["cmakeys"]
    message = error.format_message()
    if context and message == context.get_help():
        write(sys.stderr, message + "\n")
        return int(ExitCode.USAGE)
    hint = f"{' '.join(path)} --help shows how it is used"
    lines = [printable(line) for line in message.expandtabs(4).split("\n")]
    write(sys.stderr, "cmakeys: " + "\n".join(lines) + f"\n  hint: {hint}\n")
    if "--json" in words:
        schema = f"cmakeys/{'-'.join(path[1:]) or 'usage'}/1"
        problem = UsageProblem(message, hint=hint)
        write(sys.stdout, envelope(schema, ok=False, changed=False, data=None, errors=[problem]) + "\n")
    return int(ExitCode.USAGE)
