"""`cmakeys schema`: the forms of the JSON that the verbs print, for whoever wants to hold it against them."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import Json
from cmakeys.cli.output import verb

app = noun_app("Show the schema of the JSON that a verb prints.")

SHARED = "definitions"
_REFERENCE = f"{SHARED}.json#/$defs/"
_HERE = "#/$defs/"


@app.command()
def schema(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="A verb, as: roots add. Without: list them.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the JSON Schema of what a verb prints with --json, or which verbs have one."""
    with verb("schema", json=json) as out:
        from cmakeys.errors import NotFound

        folder = resources.files("cmakeys") / "schemas"
        names = sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))
        if not words:
            out.data = {"schemas": [name for name in names if name != SHARED]}
            out.show(*(name for name in names if name != SHARED))
            return
        name = "-".join(words)
        if name not in names or name == SHARED:
            raise NotFound("there is no schema of that name", object=name, hint="cmakeys schema lists them")
        document = self_contained(_read(folder, name), _read(folder, SHARED))
        out.data = {"name": name, "schema": document}
        out.show(*json_format.dumps(document, indent=2).splitlines())


def _read(folder: Traversable, name: str) -> dict[str, object]:
    document = json_format.loads((folder / f"{name}.json").read_text("utf-8"))
    assert isinstance(document, dict)  # noqa: S101 a file of ours, and a test reads every one
    return document


def self_contained(document: Mapping[str, object], shared: Mapping[str, object]) -> dict[str, object]:
    """A schema with what it refers to in the shared one inside, so that it can be used alone.

    It must have no definitions of its own.
    """
    parts = shared["$defs"]
    assert isinstance(parts, dict)  # noqa: S101 a file of ours, and a test reads every one
    wanted, seen = list(_references(document)), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted.extend(_references(parts[name]))
    if not seen:
        return dict(document)
    whole = {**document, "$defs": {name: parts[name] for name in sorted(seen)}}
    local: dict[str, object] = json_format.loads(json_format.dumps(whole).replace(_REFERENCE, _HERE))
    return local


def _references(part: object) -> Iterator[str]:
    """The names of the shared definitions that a part of a schema refers to."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref" and isinstance(value, str) and value.startswith((_REFERENCE, _HERE)):
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
