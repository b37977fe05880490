"""The fuzz target of the keyring runs, a short run finds nothing, and a parser that believes too much is found out."""

from __future__ import annotations

import pytest

from cmakeys.keyring.keyctl import Serial
from cmakeys.keyring.listing import KeySummary, Listing
from tests.fuzz import fuzz_keyring, mutation


def test_a_short_run_on_the_kernel_s_text_finds_nothing() -> None:
    tried, finding = mutation.fuzz(fuzz_keyring.corpus(), fuzz_keyring.try_one, 1.0, seed=4)
    assert finding is None
    assert tried > 100


def test_a_parser_that_believes_a_forged_line_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_line_wins(listing: Listing, key: Serial, description: str) -> KeySummary:
        line = next(line for line in listing.lines if line.serial == key)
        return KeySummary("rsa", line.rest[-11:-3].decode("latin-1"))

    monkeypatch.setattr(Listing, "summary", first_line_wins)
    assert fuzz_keyring.try_one(fuzz_keyring.FORGED) is not None
