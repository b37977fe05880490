"""`cmakeys completion`: the scripts by which shells complete what is typed, and the answers that these ask for."""

from __future__ import annotations

from enum import Enum
from importlib import resources
from typing import Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import Json
from cmakeys.cli.output import verb

app = noun_app("Let the shell complete nouns, verbs, options and names.")


class Shell(Enum):
    """A shell that completes what is typed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS = {Shell.BASH: "cmakeys.bash", Shell.ZSH: "_cmakeys", Shell.FISH: "cmakeys.fish"}


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="After --: what stands on the line; say what may stand at its end."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the script that lets a shell complete what is typed, or, for a line, what may stand at its end."""
    with verb("completion", json=json) as out:
        if words is None:
            script = (resources.files("cmakeys") / "completions" / SCRIPTS[shell]).read_text("utf-8")
            out.data = {"shell": shell, "script": script}
            out.show(*script.splitlines())
            return
        from cmakeys.cli.completing import candidates

        found = candidates(words)
        out.data = {
            "shell": shell,
            "words": [{"value": one.value, "help": one.help} for one in found.words],
            "files": found.files,
            "folders": found.folders,
        }
        for one in found.words:
            out.show(f"{one.value} {one.help}".rstrip())
        if found.files or found.folders:
            out.show("!files" if found.files else "!folders")
