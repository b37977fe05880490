"""`cmakeys revocation`: the lists and responses that step 7 looks into; shown, imported, and fetched when asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.revocation.sources import Source
    from cmakeys.revocation.store import RevocationStore
    from cmakeys.x509.certificate import Certificate

app = noun_app("Keep lists of what vendors have revoked, and fetch them when asked.")


@app.command("list")
def list_(sysroot: Sysroot = SYSTEM, state_dir: StateDir = None, json: Json = False) -> None:
    """List the revocation lists and OCSP responses at hand, with their dates."""
    with verb("revocation", "list", json=json) as out:
        from cmakeys.reports.revocation import record_data, record_lines
        from cmakeys.revocation.store import RevocationStore

        now = datetime.now(UTC)
        kept = RevocationStore(sysroot, state_directory(sysroot, state_dir)).inspect()
        out.data = {"records": [{"file": each.path, **record_data(each.record, now)} for each in kept]}
        for each in kept:
            out.show(str(each.path), *(f"  {line}" for line in record_lines(each.record, now)))
        if not kept:
            out.show("no list and no response; next: cmakeys revocation fetch, or import FILE", tone=Tone.NOTE)


@app.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Revocation lists (DER, PEM) and OCSP responses (DER).")
    ],
    issuer: Annotated[
        list[Path] | None,
        typer.Option("--issuer", metavar="FILE", help="Certificates of issuers that are not known here. Repeatable."),
    ] = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Keep lists and responses from files, once their signature is found to be an issuer's that is known."""
    with verb("revocation", "import", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.cli.denying import certificates_at_hand
        from cmakeys.errors import CmakeysError
        from cmakeys.reports.revocation import record_data
        from cmakeys.revocation.sources import check_issuer
        from cmakeys.revocation.store import RevocationStore, read_file
        from cmakeys.roots.store import RootStore

        state, now = state_directory(sysroot, state_dir), datetime.now(UTC)
        store = RevocationStore(sysroot, state)
        known = tuple(certificates_at_hand(RootStore(sysroot).load(), issuer or (), state))
        data = []
        for file in files:
            try:
                record = read_file(file)
                signer = check_issuer(record, known, now)
                place = None if dry_run else store.put(record)
            except CmakeysError as error:
                out.problem(error)
                continue
            data.append({"file": file, "kept": place, "signer": signer.label, **record_data(record, now)})
            _say_kept(out, str(file), place, dry_run=dry_run)
        out.data = {"records": data, "dry_run": dry_run}


@app.command("fetch")
def fetch(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="[URL]...", help="Only from these of the places; default: from all.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, max=600, metavar="SECONDS", help="Time for each place.")
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Fetch what the chains of enrolled devices and the roots name, after showing from where.

    No other verb opens a connection to the network.
    """
    with verb("revocation", "fetch", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.errors import CmakeysError, NotFound
        from cmakeys.reports.revocation import source_data, source_line
        from cmakeys.revocation.fetch import check_url
        from cmakeys.revocation.store import RevocationStore

        state = state_directory(sysroot, state_dir)
        places = _places(sysroot, state, urls or ())
        if not places:
            raise NotFound(
                "no certificate of a root or an enrolled device names a place",
                object=str(state),
                hint="get lists from the vendor: cmakeys revocation import FILE",
            )
        usable: list[Source] = []
        for place in places:
            try:
                check_url(place.url)
            except CmakeysError as error:
                out.warn(error.message, object=place.url)
                continue
            usable.append(place)
            out.show(source_line(place))
        out.data = {"sources": [source_data(place) for place in usable], "kept": [], "dry_run": dry_run}
        if dry_run:
            out.show(f"would ask {len(usable)} places", tone=Tone.NOTE)
            return
        if usable and not yes:
            out.confirm(f"connect to these {len(usable)} places?", hint="--yes connects without asking")
        store = RevocationStore(sysroot, state)
        kept = [place for place in usable if _fetch_one(out, store, place, timeout)]
        out.data = {**out.data, "kept": [place.url for place in kept]}


def _places(sysroot: Path, state: Path, urls: Sequence[str]) -> Sequence[Source]:
    from cmakeys.devices.register import Register
    from cmakeys.errors import Refused
    from cmakeys.revocation.sources import sources
    from cmakeys.roots.store import RootStore

    roots = {root.fingerprint: root.certificate for root in RootStore(sysroot).load().roots}
    chains: list[tuple[Certificate, ...]] = [(root,) for root in roots.values()]
    for device in Register(state).devices():
        anchor = roots.get(device.root_fingerprint)
        chains.append(device.chain if anchor is None or anchor in device.chain else (anchor, *device.chain))
    places = sources(chains)
    named = {place.url for place in places}
    for url in urls:
        if url not in named:
            raise Refused(
                "no certificate of a root or an enrolled device names this place",
                object=url,
                hint="fetch it with another program, then: cmakeys revocation import FILE",
            )
    return [place for place in places if not urls or place.url in urls]


def _fetch_one(out: Output, store: RevocationStore, place: Source, timeout: float) -> bool:
    """Fetch, verify and keep one thing; whatever is wrong with it is reported and ends nothing else."""
    from cmakeys.errors import CmakeysError, Refused
    from cmakeys.revocation.fetch import fetch as from_network
    from cmakeys.revocation.sources import SourceKind, check_issuer
    from cmakeys.x509.crl import MAX_LIST_SIZE, RevocationList
    from cmakeys.x509.ocsp import MAX_RESPONSE_SIZE
    from cmakeys.x509.revocation import read_revocation

    is_list = place.kind is SourceKind.LIST
    try:
        limit = MAX_LIST_SIZE if is_list else MAX_RESPONSE_SIZE
        data = from_network(place.url, limit=limit, timeout=timeout, question=place.request())
        record = read_revocation(data, place.url)
        if isinstance(record, RevocationList) is not is_list:
            raise Refused("answered with something else than was asked for", object=place.url)
        check_issuer(record, (place.issuer,), datetime.now(UTC))
        if not isinstance(record, RevocationList) and not any(
            one.is_about(place.certificate, place.issuer) for one in record.statements
        ):
            raise Refused("answered about another certificate", object=place.url)
        kept = store.put(record)
    except CmakeysError as error:
        out.problem(error)
        return False
    _say_kept(out, place.url, kept, dry_run=False)
    return True


def _say_kept(out: Output, what: str, place: Path | None, *, dry_run: bool) -> None:
    if dry_run:
        out.show(f"would keep {what}", tone=Tone.NOTE)
    elif place is None:
        out.show(f"{what}: there already", tone=Tone.NOTE)
    else:
        out.changed = True
        out.show(f"kept {what} as {place.name}", tone=Tone.GOOD)
