"""The plan of a rotation reads well on a terminal of 80 columns, whatever names are in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.reports.layout import WIDTH
from cmakeys.reports.rotation import done_words, rotation_data, rotation_report
from cmakeys.reports.terminal import width
from cmakeys.roots.dependants import Dependant
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.rotation import Circumstances, RotationPlan
from cmakeys.roots.rotation_end import plan_abort, plan_finish
from cmakeys.roots.rotation_start import plan_start
from cmakeys.roots.vouching import Credentials
from tests.reports.golden import assert_golden
from tests.roots.succession import NOW, certificate, crossed, dependant

NAMES = {"old": "acme-2031", "new": "acme-2040", "third": "acme-switches", "other": "zenith", "renewed": "acme-2031-r"}
DEVICES = (
    replace(dependant("on-old"), name="gpu0"),
    replace(dependant("on-old", "on-new"), name="gpu1"),
    replace(dependant("on-old-bare"), name="gpu2", remark="unreachable: could not find out: no answer in time"),
    replace(dependant("on-third"), name="switch-with-a-long-name-0"),
    replace(dependant("on-other"), name="nic0"),
)


def root(word: str, state: str = "trusted") -> Root:
    return Root(NAMES[word], certificate(word), LifeCycle(state))


KNOWN = RootSet((root("old"), root("third"), root("other")))


def circumstances(day: int = 0, devices: tuple[Dependant, ...] = DEVICES) -> Circumstances:
    return Circumstances(NOW + timedelta(days=day), devices)


def start(known: RootSet = KNOWN, new: str = "new", **given: object) -> RotationPlan:
    credentials = Credentials(**given) if given else Credentials(cross=(crossed(new),))  # type: ignore[arg-type]
    return plan_start(known, known.find(NAMES["old"]), root(new, "staged"), circumstances(), credentials=credentials)


STARTED = start().after
PLANS = {
    "rotation-start": start(),
    "rotation-renewal": start(new="renewed", listed={}),
    "rotation-continued": start(STARTED),
    "rotation-no-device": plan_start(
        KNOWN,
        KNOWN.find(NAMES["old"]),
        root("new", "staged"),
        circumstances(devices=()),
        credentials=Credentials(listed={certificate("new").fingerprint: "the bundle acme 3, of 2040-01-01"}),
        overlap=timedelta(hours=12),
    ),
    "rotation-finish": plan_finish(STARTED, STARTED.find(NAMES["old"]), circumstances(31)),
    "rotation-abort": plan_abort(STARTED, STARTED.find(NAMES["old"]), circumstances(3)),
}


def lines(plan: RotationPlan) -> Iterator[str]:
    """The report, with the fingerprints that are new in every run made the same."""
    for line in rotation_report(plan):
        text = line.text
        for word in NAMES:
            text = text.replace(certificate(word).fingerprint, "0123456789abcdef" * 4)
        yield text
    yield done_words(plan)
    for block in plan.blocks:
        yield f"{block.object}: {block.message}"


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_as_it_is_printed(name: str) -> None:
    assert_golden(name, lines(PLANS[name]))


@given(
    st.lists(
        st.builds(
            lambda of, name, remark: replace(dependant(of), name=name, remark=remark),
            st.sampled_from(["on-old", "on-new", "on-third", "on-other"]),
            st.text(min_size=1, max_size=80),
            st.text(max_size=200),
        ),
        max_size=6,
    ),
    st.sampled_from(["a", "a" * 64, "old-" + "0123456789" * 5]),
)
def test_no_line_is_longer_than_a_terminal_whatever_the_names(devices: list[Dependant], name: str) -> None:
    old = replace(root("old"), name=name)
    new = replace(root("new", "staged"), name=name[:-1] + "b")
    plan = plan_start(
        RootSet((old, root("other"))),
        old,
        new,
        circumstances(devices=tuple(devices)),
        credentials=Credentials(fingerprint=new.fingerprint),
    )
    for line in rotation_report(plan):
        assert width(line.text) <= WIDTH, line.text
        assert line.text.isprintable()


@pytest.mark.parametrize("name", PLANS)
def test_the_data_says_what_the_lines_say(name: str) -> None:
    plan = PLANS[name]
    data = rotation_data(plan, dry_run=True)
    assert data["devices"] == [
        {
            "name": view.device.name,
            "chain": view.relation,
            "before": view.before,
            "after": view.after,
            "stranded": view.stranded,
            "asked": view.device.asked,
            "remark": view.device.remark,
        }
        for view in plan.devices
    ]
    text = "\n".join(line.text for line in rotation_report(plan))
    for view in plan.devices:
        assert ("!" if view.stranded else " ") + f" {view.device.name[:10]}" in text
    for added in plan.kernel_additions:
        assert f"+ {added.name}" in text
