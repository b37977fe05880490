"""`cmakeys evidence`: keep what a device said, look at it, and judge it again anywhere."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli import evidence_verify
from cmakeys.cli.evidence_verify import ChainOption, a_nonce
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, Json, PublicKeyOption, Sysroot
from cmakeys.cli.output import plain, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.evidence.model import Evidence


class SessionWhen(Enum):
    """`SessionUse` by the words of the command line, without what it needs."""

    OFF = "off"
    PREFER = "prefer"
    REQUIRE = "require"


app = noun_app("Keep what a device said, look at it, and judge it again anywhere.")


@app.command("save")
def save(
    url: Annotated[str, typer.Argument(metavar="URL", help="The device, as emu://127.0.0.1:2323?transport=doe.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    nonce: Annotated[
        str | None,
        typer.Option("--nonce", metavar="HEX", help="Ask with this nonce of 32 bytes, chosen by a verifier."),
    ] = None,
    slot: Annotated[
        int | None, typer.Option("--slot", min=0, max=7, help="The slot that must prove itself; the lowest otherwise.")
    ] = None,
    public_key: PublicKeyOption = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for the whole device.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", "--trace", metavar="FILE", help="Also record every frame, for replay and pcap."),
    ] = None,
    session: Annotated[
        SessionWhen | None,
        typer.Option("--session", metavar="WHEN", help="Ask for measurements in a session: off, prefer or require."),
    ] = None,
    trace_secrets: Annotated[
        Path | None,
        typer.Option("--trace-secrets", metavar="FILE", help="Write down the secrets that open what was recorded."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Ask a device everything and save its answers, unjudged."""
    with verb("evidence", "save", json=json) as out:
        from datetime import UTC, datetime

        from cmakeys.config import load_config
        from cmakeys.devices.pci import identity_behind
        from cmakeys.errors import Refused, Temporary
        from cmakeys.evidence.archive import save as write
        from cmakeys.evidence.credentials import load_credentials, load_public_key
        from cmakeys.evidence.live import Question, collect
        from cmakeys.evidence.model import EndingKind
        from cmakeys.evidence.secrets import SecretKeeper
        from cmakeys.spdm.attesting import SessionUse
        from cmakeys.spdm.requester import Plan
        from cmakeys.transports.base import Deadline
        from cmakeys.transports.connect import framing_of, open_transport
        from cmakeys.transports.recording import RecordingTransport

        config = load_config(sysroot)
        if output.exists() and not force:
            raise Refused("the file is there already", object=str(output), hint="choose another name, or add --force")
        question = Question(
            config.policy.offer(),
            Plan(slot=slot, key=load_public_key(public_key)),
            nonce=a_nonce(nonce),
            session=config.policy.session if session is None else SessionUse(session.value),
            credentials=load_credentials(config.requester),
            keeper=SecretKeeper() if trace_secrets is not None else None,
        )
        question.whole_offer()  # a public key of no allowed algorithm is told before anything is sent
        deadline = Deadline.after(timeout if timeout is not None else config.timeout)
        transport = open_transport(url, deadline)
        try:
            identity = identity_behind(transport)
            if record is not None:
                transport = RecordingTransport.create(transport, framing_of(url), record)
            evidence = collect(transport, deadline, now=datetime.now(UTC), question=question, identity=identity)
        finally:
            transport.close()
            if trace_secrets is not None and question.keeper is not None:
                question.keeper.write(trace_secrets)
        ending = evidence.ending
        if ending.kind is EndingKind.UNREACHABLE:
            raise Temporary(f"nothing was saved: {ending.message}", object=url, hint=ending.hint)
        write(evidence, output)
        out.changed = True
        out.data = {"file": output, **_facts(evidence)}
        out.show(f"saved {len(evidence.exchanges)} exchanges to {output}", tone=Tone.GOOD)
        if ending.kind is EndingKind.REFUSED:
            out.warn(f"the conversation ended at step {ending.step}: {ending.message}", object=url, hint=ending.hint)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Saved evidence, a recording, or a report.")],
    chain: ChainOption = None,
    json: Json = False,
) -> None:
    """Show what is in a file of evidence, unjudged."""
    with verb("evidence", "show", json=json) as out:
        from cmakeys.evidence.formats import read_evidence

        evidence = read_evidence(file, chain)
        out.data = facts = _facts(evidence)
        ending = evidence.ending
        for name in ("device", "kind", "collected_at", "tool", "identity", "expected_nonce", "digest"):
            value = plain(facts[name])
            if value:
                out.show(f"{name.replace('_', ' '):<15} {value}")
        out.show(f"ending          {ending.kind.value}{': ' if ending.message else ''}{ending.message}")
        if evidence.exchanges:
            out.show("")
            out.table(
                ("NO", "REQUEST", "BYTES", "ANSWER", "BYTES"),
                [
                    (
                        str(number),
                        _code_name(exchange.request),
                        str(len(exchange.request)),
                        _code_name(exchange.response),
                        str(len(exchange.response)),
                    )
                    for number, exchange in enumerate(evidence.exchanges, start=1)
                ],
            )
        if evidence.report:
            out.show(f"report          {len(evidence.report)} bytes, {len(evidence.certificates)} certificates")


@app.command("pcap")
def pcap(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording, as save --record makes.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The capture file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Turn a recording into a capture file, for Wireshark and other dissectors."""
    with verb("evidence", "pcap", json=json) as out:
        from cmakeys.errors import Refused
        from cmakeys.files import write_whole
        from cmakeys.transports.pcap import to_pcap
        from cmakeys.transports.recording import Recording

        if output.exists() and not force:
            raise Refused("the file is there already", object=str(output), hint="choose another name, or add --force")
        capture = to_pcap(Recording.read(recording))
        write_whole(output, capture)
        out.changed = True
        out.data = {"recording": recording, "file": output, "bytes": len(capture)}
        out.show(f"wrote {len(capture)} bytes to {output}", tone=Tone.GOOD)


def _facts(evidence: Evidence) -> dict[str, object]:
    ending = evidence.ending
    return {
        "device": evidence.device,
        "kind": evidence.kind,
        "collected_at": evidence.collected_at,
        "tool": evidence.tool,
        "identity": evidence.identity.san_string() if evidence.identity else None,
        "expected_nonce": evidence.expected_nonce,
        "ending": {"kind": ending.kind, "message": ending.message, "step": ending.step, "hint": ending.hint},
        "digest": evidence.digest,
        "exchanges": [
            {
                "request": _code_name(exchange.request),
                "request_size": len(exchange.request),
                "response": _code_name(exchange.response),
                "response_size": len(exchange.response),
            }
            for exchange in evidence.exchanges
        ],
        "report_size": len(evidence.report),
        "certificates": len(evidence.certificates),
    }


def _code_name(message: bytes) -> str:
    from cmakeys.spdm.codes import RequestCode, ResponseCode

    if len(message) < 2:
        return "?"
    kind = RequestCode if message[1] & 0x80 else ResponseCode
    try:
        return kind(message[1]).name
    except ValueError:
        return f"{message[1]:#04x}"


evidence_verify.register(app)
