"""The plan of a rotation for a reader: like a diff, in the order in which somebody doubts it.

First what changes and on whose word, then what the kernel does, then every enrolled device and what it rests on. What
is new is shown with its whole fingerprint; nothing else needs comparing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cmakeys.reports.layout import WIDTH, Line, shorten, wrap
from cmakeys.reports.roots import rotation_record_data
from cmakeys.reports.terminal import Tone, columns
from cmakeys.roots.root import Root, Rotation
from cmakeys.roots.rotation import Block, DeviceView, Moment, Relation, RotationPlan
from cmakeys.roots.transaction import Transition

NAME_CELLS = 22

_TITLES = {
    Moment.START: "rotate {old} to {new}",
    Moment.FINISH: "finish the rotation of {old} to {new}",
    Moment.ABORT: "abort the rotation of {old} to {new}",
}
_CHAIN_WORDS = {Relation.OLD: "old", Relation.NEW: "new", Relation.BOTH: "both", Relation.NEITHER: "neither"}


def rotation_report(plan: RotationPlan) -> list[Line]:
    """The plan as lines of at most `WIDTH` cells, without what forbids it."""
    title = _TITLES[plan.moment].format(old=plan.old.name, new=_successor_name(plan))
    lines = [Line(shorten(title, WIDTH))]
    if plan.vouching is not None:
        lines += [Line(text) for text in wrap(plan.vouching.words, "  vouched for:  ", " " * 16)]
    if plan.rotation is not None and plan.moment is not Moment.ABORT:
        lines.append(Line(f"  overlap:      {_overlap(plan.rotation)}"))
    lines += [Line(text, Tone.NOTE) for remark in plan.remarks for text in wrap(remark, "  note:         ", " " * 16)]
    lines += [Line(""), Line("roots"), *_roots(plan)]
    lines += [Line(""), Line("kernel keyring"), *_kernel(plan)]
    lines += [Line(""), Line(f"enrolled devices ({len(plan.devices)})"), *_devices(plan)]
    return lines


def done_words(plan: RotationPlan) -> str:
    """What was done, in one line."""
    new = _successor_name(plan)
    match plan.moment:
        case Moment.START:
            return f"{new} is trusted, {plan.old.name} is retiring"
        case Moment.FINISH:
            return f"{plan.old.name} is retired"
        case Moment.ABORT:
            return f"{plan.old.name} is trusted again"


def _roots(plan: RotationPlan) -> list[Line]:
    if not plan.changes:
        return [Line("  nothing changes")]
    lines: list[Line] = []
    for change in sorted(plan.changes, key=lambda change: change.root.name != plan.old.name):
        name = shorten(change.root.name, 64)
        if change.before is not None:
            lines.append(Line(f"- {name}  {change.before.state.value}", Tone.PLAIN))
        if change.after is not None:
            lines += [Line(text) for text in wrap(_state(plan, change), f"+ {name}  ", " " * 4)]
        if change.before is None:
            lines.append(Line(f"    sha256 {change.root.fingerprint}"))
    return lines


def _state(plan: RotationPlan, change: Transition) -> str:
    after = change.after
    if after is None:
        return ""
    if after.rotation is None or change.root.name != plan.old.name:
        return after.state.value
    return f"{after.state.value}, replaced by {_successor_name(plan)}"


def _kernel(plan: RotationPlan) -> list[Line]:
    added, removed = plan.kernel_additions, plan.kernel_removals
    if not added and not removed:
        return [Line("  nothing changes")]
    return [
        *(Line(f"- {shorten(root.name, 64)}") for root in removed),
        *(Line(f"+ {shorten(root.name, 64)}") for root in added),
        Line("  in one swap"),
    ]


def _devices(plan: RotationPlan) -> list[Line]:
    if not plan.devices:
        return [Line("  none")]
    then = "then" if plan.moment is not Moment.START else f"without {plan.old.name}"
    header = ("device", "chain", "rests on now", shorten(then, NAME_CELLS))
    table = columns(header, [_row(view) for view in plan.devices])
    lines = [Line(f"  {table[0]}")]
    for text, view in zip(table[1:], plan.devices, strict=True):
        lines.append(Line(f"{'!' if view.stranded else ' '} {text}"))
        if view.device.remark:
            lines += [Line(part) for part in wrap(f"as enrolled, for it is {view.device.remark}", " " * 6, " " * 6)]
    counts = [f"{sum(view.relation is one for view in plan.devices)} {word}" for one, word in _CHAIN_WORDS.items()]
    asked = sum(view.device.asked for view in plan.devices)
    lines.append(Line(f"  chains lead to: {', '.join(counts)}; {asked} of {len(plan.devices)} asked now"))
    return lines


def _row(view: DeviceView) -> tuple[str, str, str, str]:
    return (
        shorten(view.device.name, NAME_CELLS - 3),
        _CHAIN_WORDS[view.relation],
        _names(view.before),
        "NOTHING" if view.stranded else _names(view.after),
    )


def _names(roots: Sequence[str]) -> str:
    if not roots:
        return "nothing"
    more = f" +{len(roots) - 1}" if len(roots) > 1 else ""
    return shorten(roots[0], NAME_CELLS - len(more)) + more


def _overlap(rotation: Rotation) -> str:
    hours = (rotation.overlap_until - rotation.started).total_seconds() / 3600
    number, unit = (hours / 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{number:g} {unit}{'' if number == 1 else 's'}, until {_minute(rotation.overlap_until)}"


def _successor_name(plan: RotationPlan) -> str:
    if plan.new is not None:
        return plan.new.name
    return f"{plan.rotation.successor[:16]}…" if plan.rotation else "nothing"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"


# --- as data ---------------------------------------------------------------------------------------------------------


def rotation_data(plan: RotationPlan, *, dry_run: bool) -> dict[str, object]:
    """The plan as data."""
    return {
        "moment": plan.moment,
        "old": _root(plan.old),
        "new": plan.new and _root(plan.new),
        "rotation": rotation_record_data(plan.rotation),
        "vouching": plan.vouching and {"by": plan.vouching.voucher, "words": plan.vouching.words},
        "changes": [_change(change) for change in plan.changes],
        "kernel": {
            "add": [_root(root) for root in plan.kernel_additions],
            "remove": [_root(root) for root in plan.kernel_removals],
        },
        "devices": [_view(view) for view in plan.devices],
        "remarks": plan.remarks,
        "blocks": [_block(block) for block in plan.blocks],
        "dry_run": dry_run,
    }


def _root(root: Root) -> dict[str, object]:
    return {"name": root.name, "sha256": root.fingerprint, "state": root.state}


def _change(change: Transition) -> dict[str, object]:
    return {
        "name": change.root.name,
        "sha256": change.root.fingerprint,
        "before": change.before and change.before.state,
        "after": change.after and change.after.state,
    }


def _view(view: DeviceView) -> dict[str, object]:
    return {
        "name": view.device.name,
        "chain": view.relation,
        "before": view.before,
        "after": view.after,
        "stranded": view.stranded,
        "asked": view.device.asked,
        "remark": view.device.remark,
    }


def _block(block: Block) -> dict[str, object]:
    return {"code": block.code, "message": block.message, "object": block.object, "hint": block.hint}
