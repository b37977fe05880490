"""Reports as they are printed, kept as files: a change of what people read shows in a review as a change of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, lines: Iterable[str]) -> None:
    """Compare with the file of that name; UPDATE_GOLDEN=1 writes it instead, for a person to review."""
    text = "".join(f"{line}\n" for line in lines)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "if this is meant: UPDATE_GOLDEN=1 pytest, and review the file"
