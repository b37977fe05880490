"""`cmakeys config`: the settings in effect, and where each of them comes from."""

from __future__ import annotations

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, Json, Sysroot
from cmakeys.cli.output import verb

app = noun_app("Show the settings in effect, and the file that each comes from.")


@app.callback()
def config() -> None:
    """Show the settings in effect, and the file that each comes from."""


@app.command("show")
def show(
    changed: bool = typer.Option(False, "--changed", help="Show only what differs from the defaults."),
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Show every setting with its value and the file and line it comes from."""
    with verb("config", "show", json=json) as out:
        from cmakeys.config import DEFAULT, load_config

        settings = [setting for setting in load_config(sysroot).settings() if not changed or setting.origin != DEFAULT]
        out.data = {
            "settings": [{"key": setting.key, "value": setting.value, "origin": setting.origin} for setting in settings]
        }
        out.table(
            ("SETTING", "FROM", "VALUE"), [(setting.key, setting.origin, _text(setting.value)) for setting in settings]
        )


def _text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
