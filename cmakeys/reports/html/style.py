"""How the report looks: light and dark, wide and narrow, on a screen and on paper.

No selector with a greater-than sign and no ampersand: the sheet stands in a document that is written as XML and read as
HTML, and the two take those characters differently. Its digest stands in the document's content security policy.
"""

from __future__ import annotations

_LIGHT = """
--ground: #f4f6f9; --card: #ffffff; --ink: #18202c; --muted: #566073; --line: #dbe0e8; --soft: #f0f3f7;
--trusted: #15794a; --degraded: #8f5a00; --rejected: #bd1f2d; --unreachable: #6546b8; --unsupported: #566073;
--trusted-soft: #e5f5ec; --degraded-soft: #fdf1d8; --rejected-soft: #fdeaea; --unreachable-soft: #efeafc;
--unsupported-soft: #eceff4; --today: #0b62c4; --root: #3f6fb5;
"""

_DARK = """
--ground: #0e131a; --card: #171d27; --ink: #e5e9f0; --muted: #9ba6b8; --line: #2c3543; --soft: #1e2632;
--trusted: #4fc78f; --degraded: #e8b44c; --rejected: #ff8080; --unreachable: #b7a3ff; --unsupported: #9ba6b8;
--trusted-soft: #14301f; --degraded-soft: #33280f; --rejected-soft: #3a1a1e; --unreachable-soft: #272047;
--unsupported-soft: #242c39; --today: #6cb2ff; --root: #6c98d8;
"""

_VERDICTS = "".join(
    f".{word} {{ color: var(--{word}); }}\n"
    f".badge.{word} {{ background: var(--{word}-soft); }}\n"
    f".case.{word} {{ border-left-color: var(--{word}); }}\n"
    f".box.leaf.{word} .frame {{ stroke: var(--{word}); fill: var(--{word}-soft); }}\n"
    f".wire.{word} {{ stroke: var(--{word}); }}\n"
    for word in ("trusted", "degraded", "rejected", "unreachable", "unsupported")
)

_SHEET = """
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
main, header, footer { max-width: 1152px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
footer { padding-bottom: 32px; color: var(--muted); font-size: 13px; }
h1 { font-size: 28px; line-height: 1.2; margin: 4px 0 6px; letter-spacing: -.01em; }
h2 { font-size: 19px; line-height: 1.3; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 0; }
p { margin: 0 0 8px; }
a { color: inherit; }
.eyebrow, .lead, .when { color: var(--muted); }
.eyebrow { margin: 0; font-size: 13px; }
.lead { font-size: 14px; margin-bottom: 14px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 23px;
  margin: 16px 0; overflow: hidden; }
.tiles { list-style: none; display: grid; grid-template-columns: repeat(5, 1fr); gap: 10px; padding: 0;
  margin: 18px 0 0; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.tiles b { display: block; font-size: 24px; line-height: 1.25; color: var(--ink); font-variant-numeric: tabular-nums; }
.tiles .none, .tiles .none b { color: var(--muted); font-weight: 400; }
.glyph { vertical-align: -3px; overflow: visible; }
.glyph .shape { fill: currentColor; stroke: currentColor; stroke-width: 1; stroke-linejoin: round; }
.glyph .mark { fill: none; stroke: var(--card); stroke-width: 1.9; stroke-linecap: round; stroke-linejoin: round; }
.badge { display: inline-flex; gap: 6px; align-items: center; border-radius: 99px; padding: 1px 10px 1px 5px;
  font-size: 13px; font-weight: 600; white-space: nowrap; }
.tiles .glyph, .legend .glyph { margin-right: 6px; }
.none .glyph { opacity: .55; }
.cases { display: grid; gap: 10px; }
.case { border: 1px solid var(--line); border-left: 4px solid; border-radius: 6px; padding: 10px 14px; }
.case .head { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; color: var(--ink); }
.case ul { margin: 6px 0 0; padding-left: 18px; }
.case, .case p, .case li { color: var(--ink); }
.case p { margin: 2px 0 0; }
.case li { margin-top: 6px; }
.fold { margin-top: 12px; }
.fold summary { color: var(--muted); font-size: 14px; }
.fold .cases, .fold .changes { margin-top: 10px; }
.when { font-size: 13px; }
.next { color: var(--muted); }
.changes { margin: 0; display: grid; grid-template-columns: minmax(140px, 1fr) 3fr; }
.changes dt, .changes dd { margin: 0; padding: 6px 12px 6px 0; border-top: 1px solid var(--line); }
.changes dt { font-weight: 600; }
.changes dd p { margin: 0; }
figure { margin: 0; }
.drawing { display: block; width: 100%; height: auto; }
.drawing text { font: 12px ui-monospace, "DejaVu Sans Mono", "Noto Sans Mono", Consolas, monospace; fill: var(--ink); }
.drawing .note, .drawing .year { fill: var(--muted); }
.drawing .year, .drawing .today-word { text-anchor: middle; font-size: 11px; }
.narrow { display: none; }
.drawing .note, .drawing .alarm { font-size: 11px; }
.frame { fill: var(--soft); stroke: var(--muted); stroke-width: 1; }
.box.anchor .name { font-weight: 700; }
.box.anchor .frame { stroke-width: 2; stroke: var(--root); }
.seal { fill: none; stroke: var(--muted); stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round; }
.anchor .seal { stroke: var(--root); }
.box.claimed .frame { stroke-dasharray: 5 3; }
.wire { fill: none; stroke: var(--muted); stroke-width: 1.5; stroke-linejoin: round; }
.wire.claimed { stroke-dasharray: 5 3; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; padding: 0; margin: 14px 0 0;
  color: var(--muted); font-size: 13px; }
.legend svg { vertical-align: -3px; margin-right: 6px; }
.group:last-child { padding-bottom: 0; }
.tick { stroke: var(--line); stroke-width: 1; }
.today { stroke: var(--today); stroke-width: 1.5; }
.drawing .today-word { fill: var(--today); font-weight: 700; }
.behind { fill: var(--card); fill-opacity: .9; }
.bar, .arrow { fill: var(--root); }
.root.retiring .bar, .root.retiring .arrow { fill: var(--degraded); }
.root.staged .bar { fill: var(--soft); stroke: var(--root); stroke-dasharray: 4 3; }
.root.staged .arrow { fill: var(--root); }
.root.retired .bar, .root.retired .arrow { fill: var(--muted); fill-opacity: .45; }
.root.distrusted .bar { fill: var(--rejected-soft); stroke: var(--rejected); }
.root.distrusted .arrow { fill: var(--rejected); }
.overlap { fill: none; stroke: var(--degraded); stroke-width: 2; }
.distrust { fill: var(--rejected); }
table { width: 100%; border-collapse: collapse; font-size: 14px; margin-top: 8px; }
caption { text-align: left; color: var(--muted); font-size: 13px; padding-bottom: 4px; }
th, td { text-align: left; vertical-align: top; padding: 8px 12px 8px 0; border-top: 1px solid var(--line); }
thead th { color: var(--muted); font-size: 12px; border-top: 0; padding-bottom: 4px; }
tbody th { font-weight: 600; }
.devices { table-layout: fixed; }
.devices .c1 { width: 24%; }
.devices .c2 { width: 142px; }
summary { cursor: pointer; }
summary:focus-visible { outline: 2px solid var(--today); outline-offset: 2px; border-radius: 4px; }
figure + .group { margin-top: 14px; }
.group { border-top: 1px solid var(--line); padding: 8px 0; }
.group summary { padding: 2px 0; }
.steps { list-style: none; margin: 8px 0 4px; padding: 0; font-size: 13px; }
.steps li { display: grid; grid-template-columns: 24px 92px 1fr; gap: 0 8px; padding: 4px 0;
  border-top: 1px solid var(--line); }
.steps .number { color: var(--muted); text-align: right; font-variant-numeric: tabular-nums; }
.steps .passed { color: var(--trusted); }
.steps .warned { color: var(--degraded); font-weight: 600; }
.steps .failed { color: var(--rejected); font-weight: 600; }
.steps .not-checked { color: var(--muted); }
.facts { color: var(--muted); font-size: 13px; margin: 6px 0 0; }
@media screen and (max-width: 959px) {
  .wide { display: none; }
  .narrow { display: block; max-width: 620px; }
}
@media screen and (max-width: 700px) {
  h1 { font-size: 23px; }
  .card { padding: 15px 11px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles li:first-child { grid-column: 1 / -1; }
  .changes { display: block; }
  .changes dd { border-top: 0; padding-top: 0; }
  table, tbody, tr { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border-top: 1px solid var(--line); padding: 8px 0; }
  th, td { display: block; border: 0; padding: 1px 0; }
  caption { display: block; }
  .steps li { grid-template-columns: 20px 1fr; }
  .steps .what { grid-column: 2; }
}
@media print {
  body { background: none; font-size: 10pt; }
  .card, .tiles li { border-color: #bbb; }
  .case, tr, .group { break-inside: avoid; }
  main, header, footer { max-width: none; padding: 0; }
  .glyph, .drawing, .badge { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

STYLE = (
    f":root {{{_LIGHT}}}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{_DARK}}} }}\n{_SHEET}{_VERDICTS}"
)
"""The whole style sheet."""
