"""`cmakeys evidence`: keep what a device said, look at it, and judge it again anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, CrlOption, Json, KernelOption, OcspOption, Sysroot, state_directory
from cmakeys.cli.output import Output, plain, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from datetime import datetime

    from cmakeys.evidence.model import Evidence
    from cmakeys.offline import Bench
    from cmakeys.roots.rootset import RootSet
    from cmakeys.verify.policy import Policy
    from cmakeys.verify.verdict import Verdict
    from cmakeys.x509.revocation import RevocationRecords

app = noun_app("Keep what a device said, look at it, and judge it again anywhere.")

ChainOption = Annotated[
    Path | None,
    typer.Option("--chain", metavar="FILE", help="The certificate chain that goes with an attestation report."),
]


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
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for the whole device.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Also record every frame, for replay and pcap."),
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
        from cmakeys.evidence.live import Question, collect
        from cmakeys.evidence.model import EndingKind
        from cmakeys.spdm.requester import Plan
        from cmakeys.transports.base import Deadline
        from cmakeys.transports.connect import framing_of, open_transport
        from cmakeys.transports.recording import RecordingTransport

        config = load_config(sysroot)
        if output.exists() and not force:
            raise Refused("the file is there already", object=str(output), hint="choose another name, or add --force")
        question = Question(config.policy.offer(), Plan(slot=slot), nonce=_nonce(nonce))
        deadline = Deadline.after(timeout if timeout is not None else config.timeout)
        transport = open_transport(url, deadline)
        try:
            identity = identity_behind(transport)
            if record is not None:
                transport = RecordingTransport.create(transport, framing_of(url), record)
            evidence = collect(transport, deadline, now=datetime.now(UTC), question=question, identity=identity)
        finally:
            transport.close()
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


@app.command("verify")
def verify_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Saved evidence, recordings, or attestation reports.")
    ],
    chain: ChainOption = None,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", metavar="FILE", help="Trust this root, instead of the machine's; may be repeated."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Judge by this policy, instead of the machine's.")
    ] = None,
    expect_nonce: Annotated[
        str | None,
        typer.Option("--expect-nonce", metavar="HEX", help="The nonce that the evidence must have been made for."),
    ] = None,
    crl: CrlOption = None,
    ocsp: OcspOption = None,
    kernel: KernelOption = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, metavar="N", help="Judge the files in N processes.")
    ] = 1,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Judge evidence from files, step by step, without any device."""
    with verb("evidence", "verify", json=json) as out:
        from datetime import UTC, datetime

        from cmakeys.clock import newest_record
        from cmakeys.offline import Bench

        now = datetime.now(UTC)
        rootset = _given_roots(out, root, now) if root else _stored_roots(sysroot)
        recorded = newest_record(state_directory(sysroot, None))
        revocation = _revocation([*(crl or ()), *(ocsp or ())], None if root else sysroot)
        judged_by = _policy(policy, sysroot, kernel=kernel)
        bench = Bench(rootset, judged_by, now, chain, _nonce(expect_nonce), recorded, revocation)
        results = _judge(out, bench, files, jobs)
        _report(out, results)


def _judge(out: Output, bench: Bench, files: Sequence[Path], jobs: int) -> Sequence[tuple[str, Verdict]]:
    from concurrent.futures import ProcessPoolExecutor

    from cmakeys.errors import CmakeysError
    from cmakeys.offline import judge_files

    results = []
    short = len({file.name for file in files}) == len(files)
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as executor:
        for file, result in judge_files(bench, files, executor):
            if isinstance(result, CmakeysError):
                out.problem(result)
            else:
                results.append((file.name if short else str(file), result))
    return results


def _report(out: Output, results: Sequence[tuple[str, Verdict]]) -> None:
    from cmakeys.reports.json import check_data
    from cmakeys.reports.text import summary, table, verdict_report
    from cmakeys.verify.verdict import Outcome

    out.data = check_data(results)
    lines = verdict_report(*results[0]) if len(results) == 1 else [*table(results), summary(results)] if results else []
    for line in lines:
        out.show(line.text, tone=line.tone)
    found = {verdict.outcome for _, verdict in results}
    for outcome in (Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.UNSUPPORTED):
        if outcome in found and (outcome is Outcome.REJECTED or not out.errors):
            out.exit_code = int(outcome.exit_code)
            return


def _given_roots(out: Output, files: Sequence[Path], now: datetime) -> RootSet:
    """The roots in files named on the command line, with what the catalogue knows of them."""
    from cmakeys.evidence.archive import read_file
    from cmakeys.roots.catalogue import load_catalogue
    from cmakeys.roots.enrolment import Wishes, propose
    from cmakeys.roots.root import Provenance
    from cmakeys.roots.rootset import RootSet
    from cmakeys.x509.bundle import MAX_INPUT_SIZE, read_certificates

    catalogue = load_catalogue()
    rootset = RootSet(deny=catalogue.known_bad)
    for file in files:
        for certificate in read_certificates(read_file(file, MAX_INPUT_SIZE), str(file)):
            proposal = propose(
                certificate, Wishes(), known=rootset, catalogue=catalogue, now=now, provenance=Provenance(str(file))
            )
            for refusal in proposal.refusals:
                out.warn(refusal.message, object=str(file))
            rootset = rootset.with_root(proposal.root)
    return rootset


def _stored_roots(sysroot: Path) -> RootSet:
    from cmakeys.roots.store import RootStore

    return RootStore(sysroot).load()


def _revocation(files: Sequence[Path], sysroot: Path | None) -> RevocationRecords:
    """The lists and responses in `files`, with those of the machine unless its roots do not count either."""
    from cmakeys.revocation.store import RevocationStore, read_file, records

    given = records([read_file(path) for path in files])
    if sysroot is None:
        return given
    return RevocationStore(sysroot, state_directory(sysroot, None)).load() + given


def _policy(file: Path | None, sysroot: Path, *, kernel: bool) -> Policy:
    from cmakeys.cli.conditions import asking_the_kernel
    from cmakeys.config import load_config
    from cmakeys.evidence.archive import read_file
    from cmakeys.roots.document import MAX_DOCUMENT_SIZE
    from cmakeys.verify.policy import read_policy

    found = load_config(sysroot).policy if file is None else read_policy(read_file(file, MAX_DOCUMENT_SIZE), str(file))
    return asking_the_kernel(found) if kernel else found


def _nonce(text: str | None) -> bytes | None:
    from cmakeys.errors import UsageProblem
    from cmakeys.spdm.codes import NONCE_LENGTH

    if text is None:
        return None
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_LENGTH:
        raise UsageProblem(
            f"a nonce has {2 * NONCE_LENGTH} hex digits", object=text[:80], hint="make one: openssl rand -hex 32"
        )
    return nonce


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
