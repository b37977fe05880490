"""The HTML report is one harmless file that says everything once, whatever a device writes into its names."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.check import Judgement
from cmakeys.reports.html.elements import EMPTY, MAX_MARKS, MAX_TEXT, safe
from cmakeys.reports.html.page import MAX_CASES, UNFOLDED, headline, html_report
from cmakeys.reports.html.style import STYLE
from cmakeys.roots.rootset import RootSet
from cmakeys.running import Mark
from cmakeys.standing import Finding, finding
from cmakeys.verify.verdict import STEP_TITLES, Outcome
from tests.reports.findings import FINDINGS
from tests.reports.golden import assert_golden
from tests.reports.html.fleets import ACME, HOSTILE, LONG, ROOTS, device, fleet
from tests.reports.verdicts import ALL, CHECKED_AT

XHTML = "{http://www.w3.org/1999/xhtml}"
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "article", "figure"),
    *("h1", "h2", "h3", "p", "ul", "ol", "li", "dl", "dt", "dd", "div", "span", "b", "bdi", "details", "summary"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "g", "rect", "path", "line", "polyline", "text", "desc"),
}
ATTRIBUTES = {
    *("xmlns", "lang", "charset", "http-equiv", "content", "name", "class", "id", "role", "scope", "points", "d"),
    *("aria-label", "aria-labelledby", "aria-hidden", "viewBox", "x", "y", "width", "height", "rx"),
    *("x1", "x2", "y1", "y2"),
}


def page(findings: tuple[Finding, ...], rootset: RootSet = ROOTS) -> str:
    return "\n".join(html_report(findings, rootset, CHECKED_AT))


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 our own


def words(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def named(root: ET.Element, name: str) -> ET.Element:
    found = next((one for one in root.iter() if one.get("id") == name), None)
    assert found is not None, name
    return found


def classed(root: ET.Element, name: str) -> list[ET.Element]:
    return [one for one in root.iter() if name in (one.get("class") or "").split()]


def local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def test_a_full_report() -> None:
    text = page(fleet(4)).replace(STYLE, "the style sheet")
    assert_golden("check-html", re.sub(r"sha256-[^']*", "its digest", text).split("\n"))


# -- harmless ----------------------------------------------------------------------------------------------------------


def assert_harmless(text: str) -> None:
    root = parsed(text)
    assert {local(one) for one in root.iter()} <= TAGS
    assert {key for one in root.iter() for key in one.attrib} <= ATTRIBUTES
    assert text.isascii()
    for line in text.split("\n"):
        assert line.isprintable()
    styles = [one for one in root.iter() if local(one) == "style"]
    assert [style.text for style in styles] == [STYLE]


@given(st.text(), st.sampled_from(Outcome), st.text(), st.lists(st.text(), max_size=3))
def test_no_text_of_a_device_becomes_anything_but_text(
    name: str, outcome: Outcome, text: str, labels: list[str]
) -> None:
    one = device(name, outcome, None, *labels)
    verdict = replace(one.verdict, summary=text, device=text)
    steps = tuple(replace(step, reason=text, hint=text) for step in verdict.steps)
    judgement = replace(one.judgement, verdict=replace(verdict, steps=steps))
    assert_harmless(page((replace(one, judgement=judgement),)))


@pytest.mark.parametrize("text", [HOSTILE, LONG, "<svg/onload=alert(1)>", "]]>", "&lt;", "'\"`", "\u2028\u2029", ""])
def test_hostile_text_is_shown_as_it_is(text: str) -> None:
    one = finding(text, Judgement(replace(ALL["rejected"], summary=text)), None)
    found = page((one,))
    assert_harmless(found)
    rows = [words(row) for row in named(parsed(found), "devices").iter(f"{XHTML}th") if row.get("scope") == "row"]
    assert rows == [" ".join(safe(text).split())]


def test_a_browser_reads_the_same_tree_as_an_xml_reader() -> None:
    text = page(fleet(9, long=True))
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

    Reader().feed(text)
    assert tags == [local(one).lower() for one in parsed(text).iter()]


def test_only_void_elements_and_shapes_are_written_without_an_end() -> None:
    """A reader of HTML takes `<td/>` for a beginning, and everything behind it for its content."""
    found = set(re.findall(r"<([a-z0-9]+)[^<>]*/>", page(fleet(60, long=True))))
    assert found
    assert found <= EMPTY


def test_the_policy_forbids_everything_but_the_one_style_sheet() -> None:
    root = parsed(page(FINDINGS))
    (policy,) = [one.get("content") for one in root.iter(f"{XHTML}meta") if one.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_the_style_sheet_is_the_same_to_readers_of_html_and_of_xml() -> None:
    assert not set(STYLE) & set("<>&")
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert STYLE.count("{") == STYLE.count("}")


@given(st.text(max_size=2 * MAX_TEXT))
def test_safe_text_has_an_end_and_no_towers(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * MAX_TEXT + 1


def test_a_tower_of_marks_is_cut() -> None:
    assert safe("a" + "\u0301" * 50 + "b") == "a" + "\u0301" * MAX_MARKS + "b"


# -- what it says ------------------------------------------------------------------------------------------------------


def test_the_same_findings_make_the_same_bytes() -> None:
    assert page(fleet(50, long=True)) == page(fleet(50, long=True))


def test_every_device_has_its_verdict_and_its_fourteen_steps() -> None:
    root = parsed(page(FINDINGS))
    table = named(root, "devices")
    rows = [one for one in table.iter(f"{XHTML}tr") if one.find(f"{XHTML}td") is not None]
    shown = {words(row[0]): words(row[1]) for row in rows}
    assert shown == {one.name: one.outcome.value for one in FINDINGS}
    for row in rows:
        steps = classed(row, "number")
        assert [words(step) for step in steps] == [str(number) for number in STEP_TITLES]


def test_trouble_comes_first_with_what_to_do_next() -> None:
    root = parsed(page(FINDINGS))
    cases = classed(named(root, "trouble"), "case")
    assert [words(case[0][0]) for case in cases[:2]] == ["drifted4", "otherwise6"]
    assert "Next: another device answers here" in words(cases[0])
    assert "Step 10, same device as enrolled" in words(cases[0])
    assert not any("well0" in words(case) for case in cases)


def test_what_changed_is_told_of_those_with_news() -> None:
    text = words(named(parsed(page(FINDINGS)), "changes"))
    assert "negotiated version went down from SPDM 1.3 to 1.2" in text
    assert "slot 1 is newly provisioned" in text
    assert "standing5" not in text


def test_a_healthy_fleet_has_no_trouble_to_tell() -> None:
    found = tuple(device(f"gpu{number}", Outcome.TRUSTED, ACME, "CN=One") for number in range(1, 4))
    text = page(found)
    assert 'id="trouble"' not in text
    assert "<h1>All 3 devices are trusted</h1>" in text


@pytest.mark.parametrize(
    ("findings", "title"),
    [
        ((), "No device was checked"),
        (FINDINGS[:1], "The device is trusted"),
        (FINDINGS[3:4], "The device is trusted, with something due soon"),
        (FINDINGS, "3 of 10 devices are rejected"),
        (FINDINGS[:5], "1 of 5 devices is rejected"),
        (FINDINGS[7:9], "1 of 2 devices is unreachable"),
        (FINDINGS[4:7], "All 3 devices are rejected"),
        (FINDINGS[9:], "The device is not able to prove what it is"),
    ],
)
def test_the_title_is_about_the_worst(findings: tuple[Finding, ...], title: str) -> None:
    assert headline(findings)[0] == title


def test_no_device_and_no_root_is_said_plainly() -> None:
    text = words(parsed(page((), RootSet())))
    assert "Nothing is said about any device." in text
    assert "This machine trusts no root" in text


def test_a_run_that_did_not_finish_is_told() -> None:
    lines = html_report(FINDINGS, ROOTS, CHECKED_AT, Mark(CHECKED_AT, 4711, 3))
    assert "by process 4711, did not finish" in words(parsed("\n".join(lines)))


def test_every_picture_has_a_title_a_description_and_the_same_as_a_table() -> None:
    root = parsed(page(fleet(20)))
    pictures = classed(root, "drawing")
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.get("role") == "img"
        assert [local(one) for one in picture[:2]] == ["title", "desc"]
        assert all(words(one) for one in picture[:2])
    table = words(classed(root, "roots-table")[0])
    assert all(one.name in table for one in ROOTS.roots)
    assert "being replaced by umbra-2039, both until 2041-02-05" in table
    assert "leaves issued after 2039-03-01 are not believed" in table


def test_the_legend_explains_what_is_drawn_and_no_more() -> None:
    well = parsed(page((device("gpu0", Outcome.TRUSTED, ACME, "CN=One"),)))
    assert words(classed(named(well, "chains"), "legend")[0]) == "trusted"
    away = parsed(page((device("gpu0", Outcome.REJECTED, ACME, "CN=One"),)))
    assert words(classed(named(away, "chains"), "legend")[0]) == "rejected claimed or seen earlier, not verified now"


def test_headings_do_not_skip_a_level_and_every_section_is_named() -> None:
    root = parsed(page(FINDINGS))
    levels = [int(local(one)[1]) for one in root.iter() if local(one) in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    for section in root.iter(f"{XHTML}section"):
        assert section.get("aria-labelledby") in ids


def test_an_outcome_is_never_told_by_colour_alone() -> None:
    root = parsed(page(FINDINGS))
    shapes = {
        outcome: {one[0].get("d") for one in classed(root, outcome.value) if "glyph" in (one.get("class") or "")}
        for outcome in Outcome
    }
    assert all(len(found) == 1 for found in shapes.values())
    assert len(set().union(*shapes.values())) == len(Outcome)
    for one in classed(root, "badge"):
        assert words(one) in {outcome.value for outcome in Outcome}


# -- colours -----------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_what_it_stands_on(theme: int) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    palette = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", re.findall(r":root {(.*?)}", STYLE, re.DOTALL)[theme]))
    outcomes = [outcome.value for outcome in Outcome]
    pairs = [(ink, ground) for ink in ("ink", "muted", *outcomes) for ground in ("ground", "card")]
    pairs += [(ink, "soft") for ink in ("ink", "muted")]
    pairs += [(ink, f"{outcome}-soft") for outcome in outcomes for ink in ("ink", outcome)]
    pairs += [("today", "card")]
    for ink, ground in pairs:
        light, dark = sorted((luminance(palette[ink]), luminance(palette[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


# -- fleets ------------------------------------------------------------------------------------------------------------


def test_a_fleet_shows_every_device_and_folds_what_is_well() -> None:
    findings = fleet(5000)
    text = page(findings)
    assert len(text) < 6_000_000
    root = parsed(text)
    rows = [one for one in named(root, "devices").iter(f"{XHTML}th") if one.get("scope") == "row"]
    assert {words(row) for row in rows} == {one.name for one in findings}
    assert len(rows) == 5000
    assert len(classed(root, "case")) == MAX_CASES
    folded = classed(named(root, "trouble"), "fold")
    assert words(folded[0][0]) == f"{MAX_CASES - UNFOLDED} more devices"
    assert len(classed(root, "box")) < 600
