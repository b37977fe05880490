"""What is said of initrds in a few words: how they stand, and whether this system was started with what is in them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.images.freshness import Freshness, Initrd, Initrds
from cmakeys.reports.initrds import initrds_sentence, stale_text
from cmakeys.reports.terminal import Tone
from tests.status.machines import BAKED, CURRENT, STALE

NONE = Initrds((), "ab" * 32)


@pytest.mark.parametrize(
    ("found", "sentence", "tone"),
    [
        (NONE, "no initrd found", Tone.NOTE),
        (replace(NONE, booted="ab" * 32), "no initrd found; this system was started with these roots", Tone.NOTE),
        (replace(NONE, booted="cd" * 32), "no initrd found; this system was started with another set", Tone.NOTE),
        (CURRENT, "the initrd in step with the roots", Tone.GOOD),
        (replace(CURRENT, booted=""), "the initrd in step with the roots", Tone.GOOD),
        (replace(CURRENT, booted="cd" * 32), "the initrd in step with the roots, from the next boot on", Tone.GOOD),
        (Initrds((Initrd("x", Freshness.NOTHING),), ""), "nothing is baked into the initrd", Tone.NOTE),
        (
            Initrds((Initrd("x", Freshness.UNKNOWN, forbidden=True),), ""),
            "not looked at, this user may not",
            Tone.NOTE,
        ),
        (
            Initrds((Initrd("x", Freshness.UNKNOWN, BAKED, reason="it is cut"),), ""),
            "could not be looked at",
            Tone.WARNING,
        ),
    ],
)
def test_each_state_has_its_sentence(found: Initrds, sentence: str, tone: Tone) -> None:
    assert initrds_sentence(found) == (sentence, tone)
    assert stale_text(found) == ""


def test_what_is_out_of_step_is_named_with_its_path() -> None:
    assert isinstance(STALE.image, Initrds)
    assert stale_text(STALE.image).startswith("/boot/initrd.img-6.12.1 is not in step with the roots: distrusted: acme")
