"""`cmakeys evidence verify`: one file, or what a whole fleet sent in."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, CrlOption, Json, KernelOption, OcspOption, Sysroot, state_directory
from cmakeys.cli.output import Output, verb

if TYPE_CHECKING:
    from datetime import datetime

    from cmakeys.cli.judgements import Form
    from cmakeys.fleet.item import Item, Judged
    from cmakeys.offline import Bench
    from cmakeys.roots.rootset import RootSet
    from cmakeys.verify.keys import Keys
    from cmakeys.verify.policy import Policy
    from cmakeys.x509.revocation import RevocationRecords

ChainOption = Annotated[
    Path | None,
    typer.Option("--chain", metavar="FILE", help="The certificate chain that goes with an attestation report."),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the noun."""
    app.command("verify")(verify_files)


def verify_files(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Evidence, recordings, reports, JSON Lines, folders, or - for stdin."),
    ],
    chain: ChainOption = None,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", metavar="FILE", help="Trust this root, instead of the machine's; may be repeated."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="Judge by this policy, instead of the machine's.")
    ] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--public-key", metavar="FILE", help="The public key of a device without certificates; may be repeated."
        ),
    ] = None,
    expect_nonce: Annotated[
        str | None,
        typer.Option("--expect-nonce", metavar="HEX", help="The nonce that the evidence must have been made for."),
    ] = None,
    crl: CrlOption = None,
    ocsp: OcspOption = None,
    kernel: KernelOption = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=256, metavar="N", help="Judge in N processes (all cores)."),
    ] = None,
    dask: Annotated[
        str | None, typer.Option("--dask", metavar="ADDRESS", help="Judge on the Dask cluster of this scheduler.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", metavar="FORM", help="text, json or jsonl.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Leave out what is trusted; it still counts.")] = False,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
) -> None:
    """Judge evidence from files, step by step, without any device."""
    with verb("evidence", "verify", json=json or form == "json") as out:
        from datetime import UTC, datetime

        from cmakeys.clock import newest_record
        from cmakeys.evidence.formats import ChainFile
        from cmakeys.offline import Bench

        chosen = _form(form, json=json)
        now = datetime.now(UTC)
        rootset = _given_roots(out, root, now) if root else _stored_roots(sysroot)
        bench = Bench(
            rootset,
            _policy(policy, sysroot, kernel=kernel),
            now,
            ChainFile.read(chain) if chain is not None else None,
            a_nonce(expect_nonce),
            newest_record(state_directory(sysroot, None)),
            _revocation([*(crl or ()), *(ocsp or ())], None if root else sysroot),
            _keys(public_key or (), None if root else sysroot),
        )
        _judge(out, bench, files, jobs, dask, chosen, quiet=quiet)


def _judge(
    out: Output, bench: Bench, files: Sequence[str], jobs: int | None, dask: str | None, form: Form, *, quiet: bool
) -> None:
    import sys

    from cmakeys.cli.judgements import FORMS, Progress, briefly, well
    from cmakeys.errors import NotFound
    from cmakeys.fleet.intake import STDIN, gather
    from cmakeys.reports.fleet import Tally

    names = {Path(file).name for file in files}
    short = len(names) == len(files) and STDIN not in files and not any(Path(file).is_dir() for file in files)
    answer, tally, progress = FORMS[form](out), Tally(), Progress()
    with closing(_results(bench, gather(files, sys.stdin.buffer), jobs, dask)) as found:
        for results in found:
            tally.add(results)
            shown = [result for result in results if not well(result)] if quiet else results
            if shown:
                progress.clear()
                answer.take([briefly(result) for result in shown] if short else shown)
            progress.tell(tally)
    progress.clear()
    if not tally.total:
        raise NotFound("no evidence there", object=", ".join(files)[:200], hint="name files, or folders with files")
    answer.end(tally)
    out.exit_code = tally.exit_code or None


def _results(
    bench: Bench, items: Iterator[Item], jobs: int | None, dask: str | None
) -> Generator[list[Judged], None, None]:
    """Judge the items where the options say; a few of them are not worth processes of their own."""
    import os

    from cmakeys.errors import UsageProblem
    from cmakeys.fleet.conductor import first_few, judge_all, judge_here
    from cmakeys.fleet.crew import Cluster, Processes

    if dask is not None and jobs is not None:
        raise UsageProblem("--jobs is about this machine, and --dask about others", hint="choose one of them")
    if dask is not None:
        with closing(Cluster(dask)) as cluster:
            yield from judge_all(bench, items, cluster)
        return
    few = False
    if jobs is None:
        items, few = first_few(items)
    number = jobs or len(os.sched_getaffinity(0))
    if few or number == 1:
        yield from judge_here(bench, items)
        return
    with closing(Processes(number)) as processes:
        yield from judge_all(bench, items, processes)


def _form(name: str | None, *, json: bool) -> Form:
    from cmakeys.cli.judgements import Form
    from cmakeys.errors import UsageProblem

    known = [form.value for form in Form]
    if name is not None and name not in known:
        raise UsageProblem(f"there is no form {name[:40]!r}", object="--format", hint=f"one of {', '.join(known)}")
    if json and name not in (None, Form.JSON.value):
        raise UsageProblem(f"json and {name} are two forms of one answer", hint="choose one of them")
    return Form.JSON if json else Form(name or Form.TEXT.value)


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


def _keys(files: Sequence[Path], sysroot: Path | None) -> Keys:
    """The keys in `files`; without any, those of the enrolled devices, as far as they may be read."""
    from cmakeys.devices.register import Register
    from cmakeys.errors import NotPermitted
    from cmakeys.evidence.credentials import load_public_key
    from cmakeys.verify.keys import Keys

    given = tuple(key for key in map(load_public_key, files) if key is not None)
    if given or sysroot is None:
        return Keys(given, named=True)
    try:
        return Keys(Register(state_directory(sysroot, None)).public_keys())
    except NotPermitted:
        return Keys()


def _policy(file: Path | None, sysroot: Path, *, kernel: bool) -> Policy:
    from cmakeys.cli.conditions import asking_the_kernel
    from cmakeys.config import load_config
    from cmakeys.evidence.archive import read_file
    from cmakeys.roots.document import MAX_DOCUMENT_SIZE
    from cmakeys.verify.policy import read_policy

    found = load_config(sysroot).policy if file is None else read_policy(read_file(file, MAX_DOCUMENT_SIZE), str(file))
    return asking_the_kernel(found) if kernel else found


def a_nonce(text: str | None) -> bytes | None:
    """The nonce that an option gives in hex. Raises `UsageProblem` for anything else than its 32 bytes."""
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
