"""A browser shows the report whole: nothing sticks out at the side, on a desk or on a telephone, dark or light.

The pages stand in frames of a probing page, because a browser without a screen has windows of its own least width. The
frames are of the same origin as the probe, which asks each where its parts ended up, and prints that as JSON.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from cmakeys.reports.html.page import html_report
from cmakeys.roots.rootset import RootSet
from tests.reports.html.fleets import ROOTS, fleet
from tests.reports.verdicts import CHECKED_AT

pytestmark = pytest.mark.system

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (1280, 960, 700, 400, 320)
MANY = 100
"""Devices from which on a page is looked at in two widths only, so that this takes seconds."""
THEMES = {"dark": 0, "light": 1}
FLEETS = {
    "none": (),
    "three": fleet(3),
    "fifty": fleet(50),
    "long names": fleet(16, long=True),
    "two hundred": fleet(200),
}

PROBE = """
onload = () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, width = page.documentElement.clientWidth;
    const all = [...page.body.querySelectorAll("*")].filter(one => one.getClientRects().length);
    const outside = all.filter(one => {
      const place = one.getBoundingClientRect();
      return (place.right > width + .5 || place.left < -.5) && !one.closest("thead");
    });
    const cut = all.filter(one => one.localName === "text" && one.closest("svg svg")).filter(one =>
      one.getComputedTextLength() + one.x.baseVal[0].value > one.closest("svg").width.baseVal.value + 1);
    found[frame.name] = {
      width, wide: page.documentElement.scrollWidth,
      outside: outside.slice(0, 3).map(one => one.outerHTML.slice(0, 300)),
      cut: cut.map(one => one.textContent),
      drawings: all.filter(one => one.matches(".drawing")).map(one => one.getAttribute("class")),
      smallest: Math.min(...all.filter(one => one.localName === "text").map(one =>
        one.getScreenCTM().a * parseFloat(frame.contentWindow.getComputedStyle(one).fontSize))),
      ground: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
      scripts: page.querySelectorAll("script").length,
    };
  }
  const shown = document.createElement("pre");
  shown.textContent = "FOUND" + JSON.stringify(found) + "END";
  document.body.append(shown);
};
"""


def widths(name: str) -> tuple[int, ...]:
    return WIDTHS if len(FLEETS[name]) < MANY else (1280, 400)


CASES = [(name, width) for name in FLEETS for width in widths(name)]
DARK = ("none", "long names")
"""What is looked at in the dark too; where things are has nothing to do with their colours."""


def probing_page(names: Iterable[str]) -> str:
    frames = []
    for name in names:
        findings = FLEETS[name]
        page = "\n".join(html_report(findings, ROOTS if findings else RootSet(), CHECKED_AT))
        opened = page.replace("<details", '<details open="open"') if len(findings) <= 16 else page
        for width in widths(name):
            size = f'style="border:0;width:{width}px;height:900px"'
            frames.append(f'<iframe name="{name} {width}" {size} srcdoc="{html.escape(opened)}"></iframe>')
    return f"<!DOCTYPE html><title>probe</title><body>{''.join(frames)}<script>{PROBE}</script></body>"


def seen_in(folder: Path, theme: str) -> dict[str, dict[str, object]]:
    """What a browser of that theme makes of every page, by the name and width of its frame."""
    if BROWSER is None:
        pytest.skip("no browser: Debian's package chromium is not installed")
    page = folder / "probe.html"
    page.write_text(probing_page(DARK if theme == "dark" else FLEETS), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    command += [f"--user-data-dir={folder / 'profile'}", "--no-first-run", "--disable-extensions"]
    command += [f"--blink-settings=preferredColorScheme={THEMES[theme]}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r"<pre>FOUND(.*)END</pre>", done.stdout, re.DOTALL)
    assert told is not None, done.stderr[-2000:]
    found: dict[str, dict[str, object]] = json.loads(html.unescape(told[1]))
    return found


Seen = Mapping[str, dict[str, dict[str, object]]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return {theme: seen_in(tmp_path_factory.mktemp(theme), theme) for theme in THEMES}


@pytest.mark.parametrize(("name", "width"), CASES)
def test_nothing_sticks_out_at_the_side(seen: Seen, name: str, width: int) -> None:
    for theme in THEMES if name in DARK else ("light",):
        frame = seen[theme][f"{name} {width}"]
        assert frame["width"] == width
        assert frame["wide"] == width
        assert frame["outside"] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_one_drawing_of_each_kind_is_shown_the_one_that_fits(seen: Seen, width: int) -> None:
    kind = "drawing wide" if width >= 960 else "drawing narrow"
    assert seen["light"][f"fifty {width}"]["drawings"] == [kind, kind]


@pytest.mark.parametrize(("name", "width"), [case for case in CASES if case[0] not in ("none", "long names")])
def test_text_in_a_drawing_fits_its_box_and_can_be_read(seen: Seen, name: str, width: int) -> None:
    frame = seen["light"][f"{name} {width}"]
    assert frame["cut"] == []
    smallest = frame["smallest"]
    assert isinstance(smallest, int | float)
    assert smallest >= (9 if width >= 400 else 8)


def test_the_style_sheet_is_allowed_and_follows_the_reader(seen: Seen) -> None:
    assert {frame["ground"] for frame in seen["light"].values()} == {"rgb(244, 246, 249)"}
    assert {frame["ground"] for frame in seen["dark"].values()} == {"rgb(14, 19, 26)"}


def test_no_name_became_a_script(seen: Seen) -> None:
    assert all(frame["scripts"] == 0 for frames in seen.values() for frame in frames.values())
