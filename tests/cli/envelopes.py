"""The forms of JSON that verbs promise, from `cmakeys/schemas/`, and how an object is held against its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import cmakeys
from cmakeys.cli.nouns import NOUNS

FOLDER = Path(cmakeys.__file__).parent / "schemas"
SHARED = "definitions"
USAGE = "usage"


@cache
def schemas() -> Mapping[str, dict[str, object]]:
    """Every schema by the name of its file: `roots-add`."""
    return {path.stem: cast("dict[str, object]", json.loads(path.read_text("utf-8"))) for path in FOLDER.iterdir()}


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schemas()[name], registry=_registry())


@cache
def part(name: str) -> Draft202012Validator:
    """What is held against one of the shared definitions, for what is no envelope."""
    return Draft202012Validator({"$ref": f"{SHARED}.json#/$defs/{name}"}, registry=_registry())


def _registry() -> Registry[Any]:
    shared: Resource[Any] = Resource.from_contents(schemas()[SHARED])
    registry: Registry[Any] = Registry().with_resource(f"{SHARED}.json", shared)
    return registry


def schema_of(envelope: Mapping[str, object]) -> str | None:
    """The name of the schema that an envelope says it has; None for one of a noun that is not ours."""
    name = str(envelope["schema"]).removeprefix("cmakeys/").removesuffix("/1")
    nouns = {noun.name for noun in NOUNS}
    if name == USAGE or (name in nouns and name not in schemas()):
        return USAGE
    return name if name.partition("-")[0] in nouns else None


def faults(envelope: Mapping[str, object]) -> list[str]:
    """What in an envelope is not as its schema says."""
    name = schema_of(envelope)
    if name is None:
        return []
    if name not in schemas():
        return [f"there is no schema {name}"]
    return [f"{name}: {error.json_path}: {error.message}" for error in validator(name).iter_errors(envelope)]
