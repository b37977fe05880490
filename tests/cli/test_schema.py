"""A schema that is shown stands alone, and says what the one in the package says."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from jsonschema import Draft202012Validator

from cmakeys.cli.app import main
from cmakeys.cli.schema import self_contained
from tests.cli.envelopes import SHARED, schemas


@pytest.mark.parametrize("name", sorted(schemas().keys() - {SHARED}))
def test_a_schema_that_is_shown_refers_to_nothing_outside_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *name.split("-", 1)]) == 0
    shown = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(shown)
    defined = shown.get("$defs", {})
    assert set(references(shown)) == {f"#/$defs/{part}" for part in defined}
    assert "$defs" not in schemas()[name]
    here = json.dumps(definitions()).replace("definitions.json#", "#")
    assert defined == {part: json.loads(here)[part] for part in defined}


def test_a_fault_deep_inside_what_is_shared_is_still_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "roots", "list"]) == 0
    shown = Draft202012Validator(json.loads(capsys.readouterr().out))
    error = {"code": "usage", "message": "no", "object": "", "hint": ""}
    envelope = {"schema": "cmakeys/roots-list/1", "ok": False, "changed": False, "data": None, "errors": [error]}
    assert shown.is_valid(envelope)
    assert not shown.is_valid({**envelope, "errors": [{**error, "odd": 1}]})


def test_what_refers_to_itself_is_taken_once() -> None:
    tree = {"items": {"$ref": "#/$defs/tree"}}
    document = {"$ref": "definitions.json#/$defs/tree"}
    assert self_contained(document, {"$defs": {"tree": tree, "other": {}}}) == {
        "$ref": "#/$defs/tree",
        "$defs": {"tree": tree},
    }


def test_the_list_names_every_schema_but_what_they_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.split() == sorted(schemas().keys() - {SHARED})


def references(part: object) -> list[str]:
    if isinstance(part, dict):
        own = [value for key, value in part.items() if key == "$ref" and isinstance(value, str)]
        return own + [reference for value in part.values() for reference in references(value)]
    return [reference for value in part for reference in references(value)] if isinstance(part, list) else []


def definitions() -> Mapping[str, object]:
    parts = schemas()[SHARED]["$defs"]
    assert isinstance(parts, dict)
    return parts
