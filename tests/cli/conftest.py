"""What holds in every test of the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from cmakeys.cli import output
from cmakeys.errors import CmakeysError
from tests.cli.envelopes import faults


@pytest.fixture(autouse=True)
def _every_envelope_fits_its_schema(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a verb says as JSON in any test has the form that it promises.

    The tests of the envelope itself are left out: what they put into it belongs to no verb.
    """
    if request.path.name == "test_output.py":
        return
    made = output.envelope

    def held_against_its_schema(
        schema: str, *, ok: bool, changed: bool, data: object, errors: Sequence[CmakeysError]
    ) -> str:
        text = made(schema, ok=ok, changed=changed, data=data, errors=errors)
        found = faults(json.loads(text))
        assert not found, "\n".join(found)
        return text

    monkeypatch.setattr(output, "envelope", held_against_its_schema)
