"""`cmakeys spdm`: look at the protocol itself, in a recording or with a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cmakeys.cli import spdm_probe
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import Json, PublicKeyOption
from cmakeys.cli.output import verb

app = noun_app("Look at the protocol itself: what a device speaks, and what was said.")
spdm_probe.register(app)


@app.command("trace")
def trace(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, or a capture file (pcap).")],
    secrets: Annotated[
        Path | None,
        typer.Option("--secrets", metavar="FILE", help="Open the sessions with the secrets in this file."),
    ] = None,
    public_key: PublicKeyOption = None,
    details: Annotated[bool, typer.Option("--details", help="Show every field of every message.")] = False,
    octets: Annotated[bool, typer.Option("--octets", help="With --json, give each message as sent.")] = False,
    json: Json = False,
) -> None:
    """Show a recorded conversation message by message, unjudged."""
    with verb("spdm", "trace", json=json) as out:
        from cmakeys.errors import UsageProblem
        from cmakeys.evidence.credentials import load_public_key
        from cmakeys.evidence.trace import read_conversation, read_secrets
        from cmakeys.evidence.trace import trace as messages
        from cmakeys.reports.trace import trace_data, trace_lines
        from cmakeys.spdm.eavesdropper import KeptSecrets

        if octets and not json:
            raise UsageProblem("--octets belongs to --json", hint="add --json, or use --details")
        recording = read_conversation(file)
        kept = read_secrets(secrets) if secrets is not None else KeptSecrets()
        spoken = list(messages(recording, kept, load_public_key(public_key)))
        shut = sum(one.shut for one in spoken)
        problems = sum(bool(one.problem) for one in spoken)
        out.data = {
            "file": file,
            "address": recording.address,
            "messages": [trace_data(one, octets=octets) for one in spoken],
            "unopened": shut,
            "problems": problems,
        }
        start = spoken[0].time if spoken else 0.0
        for one in spoken:
            for line in trace_lines(one, start, details=details):
                out.show(line.text, tone=line.tone)
        out.show("", f"{sum(not one.whole for one in spoken)} messages, {shut} unopened, {problems} with a problem")
        if shut and secrets is None:
            out.say("the records of a session open with its secrets: --secrets FILE")
