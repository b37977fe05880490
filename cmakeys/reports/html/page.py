"""The whole report: what is wrong first, then what changed, the picture, the roots, and every device.

It is one file without a script, and its policy forbids a browser to load or run anything, so that a name in a device's
certificate can do nothing even where an escape were missing. The same findings give the same bytes. A fleet makes it
longer but not endless: see the limits below; whatever is left out is counted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from cmakeys.reports.clock import ClockNotice, clock_text
from cmakeys.reports.html.drawing import both, both_times, legend, legend_of_times, remarks, span
from cmakeys.reports.html.elements import XHTML, badge, document, element, foreign, glyph
from cmakeys.reports.html.style import STYLE
from cmakeys.reports.html.timeline import MAX_ROOTS, Period, periods
from cmakeys.reports.html.tree import SEVERITY, forest
from cmakeys.reports.standing import state_texts, unfinished_text
from cmakeys.reports.text import STEP_WORDS, counts
from cmakeys.roots.rootset import RootSet
from cmakeys.running import Mark
from cmakeys.standing import Finding, minute
from cmakeys.verify.verdict import Outcome, Step, StepOutcome, Verdict
from cmakeys.whereabouts import Sighting

UNFOLDED = 8
"""Devices in trouble, or with changes, that are told of at the top; the others are folded away below them."""

MAX_CASES = 100
"""Devices in trouble that are described."""

MAX_CHANGES = 100
"""Devices whose changes are told."""

MAX_IN_FULL = 100
"""Devices up to which all are shown with their steps; beyond it, those that are well only by name and reason."""

MAX_STEPS = 500
"""Devices that are shown with their steps at all."""

MAX_ROWS = 10_000
"""Rows of the table."""


def html_report(
    findings: Sequence[Finding],
    rootset: RootSet,
    began: datetime,
    unfinished: Mark | None = None,
    sightings: Sequence[Sighting] | None = None,
    clock: ClockNotice | None = None,
) -> list[str]:
    """The lines of the document about a run that began at an aware time, held against these roots.

    `sightings` are the devices that nobody enrolled, None where nobody looked, and `clock` what is wrong with the
    machine's clock.
    """
    title, sentence = headline(findings)
    parts = [
        _trouble(findings),
        _changes(findings),
        _strangers(sightings or ()),
        _chains(findings, rootset),
        _roots(rootset, began),
    ]
    body = element(
        "body",
        element(
            "header",
            element("p", "cmakeys check", class_="eyebrow"),
            element("h1", title),
            element("p", f"{sentence} Checked on {minute(began)}.", class_="lead"),
            *([element("p", f"{unfinished_text(unfinished)}.", class_="lead")] if unfinished else []),
            *([element("p", f"{clock_text(clock)}.", class_="lead")] if clock else []),
            _tiles(findings),
        ),
        element("main", *(part for part in parts if part is not None), _table(findings)),
        element(
            "footer",
            element("p", f"Held against the roots {rootset.digest[:16]}\N{HORIZONTAL ELLIPSIS} of this machine."),
        ),
    )
    style = Element("style")
    style.text = STYLE
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} - cmakeys check of {began.astimezone(UTC):%Y-%m-%d}"),
        style,
    )
    return document(element("html", head, body, xmlns=XHTML, lang="en"))


def headline(findings: Sequence[Finding]) -> tuple[str, str]:
    """What a run comes down to: a title, and a sentence about what it means."""
    number = len(findings)
    found = {outcome: sum(one.outcome is outcome for one in findings) for outcome in Outcome}
    devices = f"{number:,} device{'s'[: number != 1]}"
    if not number:
        return "No device was checked", "Nothing is said about any device."
    for outcome, verb, sentence in (
        (Outcome.REJECTED, "rejected", "What a rejected device shows is not good enough to be trusted."),
        (Outcome.UNREACHABLE, "unreachable", "That says nothing about a device; it has to be asked again."),
        (Outcome.UNSUPPORTED, "not able to prove what it is", "Without CMA-SPDM nothing can be said about a device."),
        (Outcome.DEGRADED, "trusted, with something due soon", "Every required step passed."),
    ):
        if found[outcome]:
            if number == 1:
                return f"The device is {verb}", sentence
            if found[outcome] == number:
                return f"All {devices} are {verb}", sentence
            return f"{found[outcome]:,} of {devices} {'is' if found[outcome] == 1 else 'are'} {verb}", sentence
    return (f"All {devices} are trusted" if number > 1 else "The device is trusted"), "Every required step passed."


def _tiles(findings: Sequence[Finding]) -> Element:
    named = [(one.name, one.counted) for one in findings]
    items = [
        element(
            "li", element("b", f"{count:,}"), glyph(outcome), outcome.value, class_=outcome.value if count else "none"
        )
        for outcome, count in counts(named).items()
    ]
    return element("ul", *items, class_="tiles", aria_label="Devices by verdict")


def _card(name: str, title: str, lead: str, *content: Element) -> Element:
    said = [element("p", lead, class_="lead")] if lead else []
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, *said, *content, class_="card", id=name, aria_labelledby=f"{name}-title")


def _left_out(number: int, what: str) -> list[Element]:
    return [element("p", f"{number:,} more {what}.", class_="facts")] if number > 0 else []


# -- what is wrong, and what changed -----------------------------------------------------------------------------------


def _by_severity(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: (SEVERITY.index(one.outcome), one.name))


def _trouble(findings: Sequence[Finding]) -> Element | None:
    bad = _by_severity(one for one in findings if one.outcome is not Outcome.TRUSTED)
    if not bad:
        return None
    cases = [_case(one) for one in bad[:MAX_CASES]]
    rest = _left_out(len(bad) - MAX_CASES, "are in the table of devices below")
    lead = "The worst first, with what to do next."
    return _card("trouble", "What needs attention", lead, *_folded("div", "cases", cases), *rest)


def _folded(tag: str, look: str, parts: Sequence[Element], each: int = 1) -> list[Element]:
    """The parts about the first devices, and the others where a click shows them; `each` of them are about one."""
    first, others = parts[: UNFOLDED * each], parts[UNFOLDED * each :]
    shown = [element(tag, *first, class_=look)]
    if others:
        number = len(others) // each
        head = element("summary", f"{number:,} more device{'s'[: number != 1]}")
        shown.append(element("details", head, element(tag, *others, class_=look), class_="fold"))
    return shown


def _case(one: Finding) -> Element:
    verdict = one.counted
    steps = (*verdict.failures, *verdict.warnings)
    reasons = [element("ul", *(element("li", *_told(step)) for step in steps))] if steps else []
    if not steps:
        hint = verdict.steps[0].hint
        reasons = [element("p", foreign(verdict.summary)), *([_next(hint)] if hint else [])]
    since = "; ".join(state_texts(one))
    head = element(
        "div",
        element("h3", foreign(one.name)),
        badge(one.outcome),
        *([element("span", foreign(since), class_="when")] if since else []),
        class_="head",
    )
    return element("article", head, *reasons, class_=f"case {one.outcome.value}")


def _told(step: Step) -> list[str | Element]:
    told: list[str | Element] = [f"Step {step.number}, {step.title}: ", foreign(step.reason)]
    return [*told, _next(step.hint)] if step.hint else told


def _next(hint: str) -> Element:
    return element("p", "Next: ", foreign(hint), class_="next")


def _changes(findings: Sequence[Finding]) -> Element | None:
    told = [(one, [*state_texts(one), *one.standing.changes]) for one in findings if one.standing.news]
    told = [(one, texts) for one, texts in told if texts]
    if not told:
        return None
    parts: list[Element] = []
    for one, texts in told[:MAX_CHANGES]:
        parts.append(element("dt", foreign(one.name)))
        parts.append(element("dd", *(element("p", foreign(text)) for text in texts)))
    rest = _left_out(len(told) - MAX_CHANGES, "devices have changed")
    content = _folded("dl", "changes", parts, each=2)
    return _card("changes", "What changed", "Since the checks before this one.", *content, *rest)


def _strangers(sightings: Sequence[Sighting]) -> Element | None:
    """Devices that nobody enrolled; those that are new first."""
    if not sightings:
        return None
    ordered = sorted(sightings, key=lambda one: (not one.news, one.stranger.address))
    rows = [_stranger(one) for one in ordered[:MAX_CASES]]
    table = _rows("devices", "Devices that speak SPDM and are not enrolled", ("Address", "Seen", "Name"), rows)
    lead = "They are no part of any verdict. One that is meant to be there is enrolled: cmakeys devices enroll ADDRESS."
    return _card("strangers", "Strangers", lead, table, *_left_out(len(ordered) - MAX_CASES, "strangers"))


def _stranger(one: Sighting) -> Element:
    stranger = one.stranger
    since = "now for the first time" if one.news else f"since {minute(stranger.first_seen)}"
    twin = f", with the identity of {stranger.twin}, which answers in its own place" if stranger.twin else ""
    return element(
        "tr",
        element("th", foreign(stranger.address), scope="row", role="rowheader"),
        element("td", since, role="cell"),
        element("td", foreign(f"{stranger.label or 'without a chain'}{twin}"), role="cell"),
        role="row",
    )


# -- the pictures ------------------------------------------------------------------------------------------------------


def _chains(findings: Sequence[Finding], rootset: RootSet) -> Element | None:
    if not findings:
        return None
    trees = forest(findings, rootset.roots)
    figure = element("figure", *both(trees), legend(trees))
    return _card("chains", "Chains of trust", "From the roots, over their intermediates, to the devices.", figure)


def _roots(rootset: RootSet, today: datetime) -> Element:
    found = periods(rootset.roots)
    if not found:
        return _card("roots", "Roots", "This machine trusts no root, so no chain can be anchored.")
    rows = [_root(period) for period in found[:MAX_ROOTS]]
    heads = ("Root", "State", "Valid", "Remarks")
    table = _rows("roots-table", "The same as a table", heads, rows)
    lead = "How long each is valid, and which are being replaced."
    folded = element("details", element("summary", "As a table"), table, class_="group")
    rest = _left_out(len(found) - MAX_ROOTS, "roots")
    return _card(
        "roots",
        "Roots along time",
        lead,
        element("figure", *both_times(found, today), legend_of_times(found)),
        folded,
        *rest,
    )


def _root(period: Period) -> Element:
    said = "; ".join(remarks(period)) or "no remarks"
    cells = [element("td", text, role="cell") for text in (period.state.value, span(period), said)]
    return element("tr", element("th", period.name, scope="row", role="rowheader"), *cells, role="row")


# -- every device ------------------------------------------------------------------------------------------------------


def _rows(look: str, caption: str, heads: Sequence[str], rows: Sequence[Element]) -> Element:
    """A table whose roles are written down, because a narrow page lays it out as something else."""
    cells = [
        element("th", head, scope="col", role="columnheader", class_=f"c{number}")
        for number, head in enumerate(heads, 1)
    ]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *cells, role="row"), role="rowgroup"),
        element("tbody", *rows, role="rowgroup"),
        class_=look,
        role="table",
    )


def _table(findings: Sequence[Finding]) -> Element:
    ordered = _by_severity(findings)
    if not ordered:
        return _card("devices", "Devices", "None was checked.")
    if len(ordered) <= MAX_IN_FULL:
        full, brief = ordered, []
    else:
        full = [one for one in ordered if one.outcome is not Outcome.TRUSTED]
        brief = [one for one in ordered if one.outcome is Outcome.TRUSTED]
    room = max(MAX_ROWS - len(full), 0)
    parts = []
    if full:
        rows = [_device(one, steps=number < MAX_STEPS) for number, one in enumerate(full[:MAX_ROWS])]
        order = ", the worst first" if len({one.outcome for one in full}) > 1 else ""
        parts.append(_device_table(f"{len(full):,} device{'s'[: len(full) != 1]}{order}", rows))
    for root, these in _by_root(brief[:room]):
        head = element("summary", glyph(Outcome.TRUSTED), f" {len(these):,} trusted, anchored in ", foreign(root))
        rows = [_device(one, steps=False) for one in these]
        parts.append(element("details", head, _device_table("Every required step passed", rows), class_="group"))
    rest = _left_out(len(ordered) - MAX_ROWS, "devices are counted and not shown")
    lead = "Open a reason for the fourteen steps." if full else ""
    if brief:
        lead = f"{lead} Those of devices that are well are left out of so large a report.".strip()
    return _card("devices", "Devices", lead, *parts, *rest)


def _device_table(caption: str, rows: Sequence[Element]) -> Element:
    return _rows("devices", caption, ("Device", "Verdict", "Reason"), rows)


def _by_root(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    groups: dict[str, list[Finding]] = {}
    for one in findings:
        groups.setdefault(one.verdict.root or "an unknown root", []).append(one)
    return sorted(groups.items())


def _device(one: Finding, *, steps: bool) -> Element:
    verdict = one.counted
    reason: Element = foreign(verdict.summary)
    if steps:
        content = [
            element("ol", *map(_step, verdict.steps), class_="steps"),
            element("p", _facts(verdict), class_="facts"),
        ]
        reason = element("details", element("summary", foreign(verdict.summary)), *content)
    return element(
        "tr",
        element("th", foreign(one.name), scope="row", role="rowheader"),
        element("td", badge(one.outcome), role="cell"),
        element("td", reason, role="cell"),
        role="row",
    )


def _step(step: Step) -> Element:
    word = STEP_WORDS[step.outcome][0]
    hint = [_next(step.hint)] if step.hint and step.outcome is not StepOutcome.PASSED else []
    return element(
        "li",
        element("span", str(step.number), class_="number"),
        element("span", word, class_=step.outcome.value),
        element("div", f"{step.title}: ", foreign(step.reason), *hint, class_="what"),
    )


def _facts(verdict: Verdict) -> str:
    known = (
        f"address {verdict.device}",
        f"SPDM {verdict.version}" if verdict.version else "",
        verdict.algorithm or "",
        f"slot {verdict.slot}" if verdict.slot is not None else "",
        f"root {verdict.root} {verdict.root_fingerprint}" if verdict.root else "",
        f"leaf {verdict.leaf_fingerprint}" if verdict.leaf_fingerprint else "",
        f"public key {verdict.key_fingerprint}" if verdict.key_fingerprint else "",
    )
    return " \N{MIDDLE DOT} ".join(text for text in known if text)
