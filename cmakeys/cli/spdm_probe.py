"""`cmakeys spdm probe` and `slots`: what a device speaks, and what its slots hold. Asked, not judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, Json, StateDir, Sysroot, TraceOption, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.reports.survey import SlotView
    from cmakeys.spdm.survey import SlotFacts, Survey

DEFAULT_TIMEOUT = 60.0
"""Seconds for one device; a survey takes some hundred exchanges."""

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="An enrolled device's name, or an address.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for the whole device.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to their noun."""
    app.command("probe")(probe)
    app.command("slots")(slots)


def probe(
    device: DeviceArgument,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out older versions, and algorithms that the device does not choose.")
    ] = False,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Find out what a device speaks: versions, capabilities, algorithms, slots, sessions."""
    with verb("spdm", "probe", json=json) as out:
        from cmakeys.reports.survey import survey_data, survey_lines

        url = _address(device, sysroot, state_dir)
        survey = _survey(url, timeout, trace, quick=quick)
        views = tuple(_view(survey, facts, url) for facts in survey.slots)
        out.data = survey_data(url, survey, views)
        for line in survey_lines(url, survey, views):
            out.show(line.text, tone=line.tone)
        _warn_troubles(out, survey, url)


def slots(
    device: DeviceArgument,
    dump: Annotated[
        Path | None, typer.Option("--dump", metavar="DIR", help="Write each slot's chain into this new directory.")
    ] = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    trace: TraceOption = None,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """Show what a device's slots hold, unjudged, and write the certificates down when asked."""
    with verb("spdm", "slots", json=json) as out:
        from cmakeys.errors import Unsupported
        from cmakeys.reports.survey import slot_data, slot_lines

        url = _address(device, sysroot, state_dir)
        survey = _survey(url, timeout, trace, quick=True)
        if not survey.slots:
            raise Unsupported(
                "the device shows no certificates", object=url, hint="cmakeys spdm probe says what it does"
            )
        views = tuple(_view(survey, facts, url) for facts in survey.slots)
        files = _dump(views, dump) if dump is not None else []
        out.changed = bool(files)
        out.data = {"device": url, "slots": [slot_data(view) for view in views], "files": files}
        for view in views:
            for line in slot_lines(view, multi_key=survey.multi_key):
                out.show(line.text, tone=line.tone)
        if dump is not None:
            out.show("", f"wrote {len(files)} files to {dump}", tone=Tone.GOOD)
        _warn_troubles(out, survey, url)


def _address(word: str, sysroot: Path, state_dir: Path | None) -> str:
    """The address of an enrolled device's name, or the word itself where it is an address."""
    from cmakeys.check import targets
    from cmakeys.devices.register import Register

    register = Register(state_directory(sysroot, state_dir))
    (target,) = targets([word], register.devices())
    return target.address


def _survey(url: str, timeout: float, trace: Path | None, *, quick: bool) -> Survey:
    from cmakeys.spdm.survey import Surveyor
    from cmakeys.transports.base import Deadline
    from cmakeys.transports.connect import framing_of, open_transport
    from cmakeys.transports.drive import drive
    from cmakeys.transports.recording import RecordingTransport

    deadline = Deadline.after(timeout)
    transport = open_transport(url, deadline)
    try:
        if trace is not None:
            transport = RecordingTransport.create(transport, framing_of(url), trace)
        return drive(Surveyor(quick=quick).run(), transport, deadline)
    finally:
        transport.close()


def _view(survey: Survey, facts: SlotFacts, url: str) -> SlotView:
    from cmakeys.reports.survey import SlotView
    from cmakeys.x509.bundle import MAX_LARGE_CHAIN_SIZE, SpdmChain
    from cmakeys.x509.certificate import CertificateProblem

    try:
        chain = SpdmChain.parse(facts.structure, survey.hash_size, url, max_size=MAX_LARGE_CHAIN_SIZE)
    except CertificateProblem as problem:
        return SlotView(facts, (), str(problem))
    return SlotView(facts, chain.certificates)


def _warn_troubles(out: Output, survey: Survey, url: str) -> None:
    if survey.troubles:
        out.warn(f"the device did not answer every question ({', '.join(survey.troubles)})", object=url)


def _dump(views: tuple[SlotView, ...], directory: Path) -> list[Path]:
    """Write each slot's chain structure and its certificates; the directory must be new."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from cmakeys.errors import from_oserror
    from cmakeys.files import write_whole

    written: list[Path] = []
    try:
        directory.mkdir()
        for view in views:
            stem = f"slot{view.facts.slot}"
            contents = {f"{stem}.chain": view.facts.structure}
            pem = b"".join(one.parsed.public_bytes(Encoding.PEM) for one in view.certificates)
            contents |= {f"{stem}.pem": pem} if pem else {}
            for name, data in contents.items():
                write_whole(directory / name, data)
                written.append(directory / name)
    except OSError as error:
        raise from_oserror(error, str(error.filename or directory)) from error
    return written
