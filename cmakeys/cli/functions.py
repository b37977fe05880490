"""The verbs of `cmakeys devices` about PCI functions and what the kernel says of them: scan, kernel, recheck.

They are registered in `cmakeys.cli.devices`. None of them judges: what a device deserves is said by `check` and
`evidence verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, StateDir, Sysroot, state_directory
from cmakeys.cli.output import Output, verb
from cmakeys.errors import CmakeysError, EvidenceProblem, ExitCode, NotPermitted, Temporary, Unsupported
from cmakeys.reports.terminal import Tone

if TYPE_CHECKING:
    from cmakeys.devices.functions import FunctionEntry
    from cmakeys.devices.reauthentication import Reauthentication
    from cmakeys.devices.signature_listener import Hearing
    from cmakeys.devices.signatures import LoggedSignature
    from cmakeys.devices.sysfs import Sysfs
    from cmakeys.evidence.kernel import LogFinding

SYSFS = Path("/sys")
SHOWN_SIGNATURES = 16

SysfsOption = Annotated[
    Path, typer.Option("--sysfs", metavar="DIR", help="Read the tree at DIR instead of /sys: in tests and containers.")
]
SaveOption = Annotated[
    Path | None,
    typer.Option("--save", metavar="DIR", help="Save what the signatures prove as evidence, a file each, in DIR."),
]

_GRAVEST_FIRST = (ExitCode.FAILED, ExitCode.NOT_PERMITTED, ExitCode.TEMPORARY, ExitCode.UNSUPPORTED)


class KernelRejected(EvidenceProblem):
    """The kernel could be asked, and does not authenticate the device."""

    code = "kernel-rejected"


def scan(
    all_functions: Annotated[
        bool, typer.Option("--all", help="Also list functions that speak no CMA, or of which that is unknown.")
    ] = False,
    sysfs: SysfsOption = SYSFS,
    sysroot: Sysroot = SYSTEM,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    """List the PCI functions that speak CMA-SPDM, what the kernel says of each, and whether it is enrolled.

    Needs no privileges; what only root could tell is called unknown. Where the kernel does not list what a mailbox
    carries, root's scan asks the mailbox. Leaves with 3 when nothing speaks CMA.
    """
    with verb("devices", "scan", json=json) as out:
        from cmakeys.devices.discovery import mailbox_discovery
        from cmakeys.devices.functions import list_functions
        from cmakeys.devices.names import device_names
        from cmakeys.devices.scan import Speaks
        from cmakeys.devices.scan import scan as look
        from cmakeys.devices.sysfs import Sysfs
        from cmakeys.errors import NotFound
        from cmakeys.reports.functions import SCAN_HEADER, scan_data, scan_row
        from cmakeys.transports.doe_transport import PciHost

        tree = Sysfs(sysfs)
        found = look(tree, list_functions(tree), mailbox_discovery(PciHost(sysfs)))
        shown = [one for one in found if all_functions or one.noteworthy]
        hidden = [one for one in found if one not in shown and one.speaks is Speaks.UNKNOWN]
        names = device_names((one.function.vendor or 0, one.function.device or 0) for one in shown)
        enrolled = _enrolled(out, state_directory(sysroot, state_dir))
        labels = {one.function.url: None if enrolled is None else enrolled.get(one.function.url, "") for one in shown}
        out.data = {
            "functions": [scan_data(one, names, labels[one.function.url]) for one in shown],
            "total": len(found),
            "unknown_not_listed": len(hidden),
            "enrolled_known": enrolled is not None,
        }
        if shown:
            out.table(SCAN_HEADER, [scan_row(one, names, labels[one.function.url]) for one in shown])
        for one in shown:
            if one.speaks is Speaks.UNKNOWN:
                out.warn(one.reason, object=str(one.function.address))
        if hidden:
            out.say(f"{len(hidden)} more may or may not speak CMA: {hidden[0].reason}", tone=Tone.NOTE)
        if not any(one.speaks is Speaks.YES for one in found):
            unknown = any(one.speaks is Speaks.UNKNOWN for one in found)
            raise NotFound(
                f"none of {len(found)} PCI functions is known to speak CMA-SPDM",
                object=str(tree.functions),
                hint="--all --json says why of each; root can see more"
                if unknown
                else "cmakeys emulate offers an emulated one",
            )


def kernel(
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="The PCI function, as 0000:01:00.0.")],
    save: SaveOption = None,
    sysfs: SysfsOption = SYSFS,
    json: Json = False,
) -> None:
    """Show what the kernel says of a device: verdict, certificate slots, and its log of signatures, verified by us.

    Leaves with 1 when a logged signature does not hold.
    """
    with verb("devices", "kernel", json=json) as out:
        from cmakeys.devices.functions import list_functions, select_functions
        from cmakeys.devices.kernel import read_slots, read_verdict
        from cmakeys.devices.signatures import read_log
        from cmakeys.devices.sysfs import Sysfs
        from cmakeys.evidence.kernel import LogOutcome
        from cmakeys.reports.functions import (
            VERDICT_TONES,
            function_data,
            log_data,
            log_report,
            slot_data,
            slot_report,
            verdict_data,
        )

        _require_folder(save)
        tree = Sysfs(sysfs)
        (entry,) = select_functions(list_functions(tree), [function])
        verdict = read_verdict(tree, entry.folder)
        slots = read_slots(tree, entry.folder)
        findings = [_examine(tree, entry, one) for one in read_log(tree, entry.folder, SHOWN_SIGNATURES)]
        out.data = {
            **function_data(entry),
            "kernel": verdict_data(verdict),
            "slots": [slot_data(slot) for slot in slots],
            "signatures": [log_data(finding) for finding in findings],
            "announces_signatures": (announces := _announces(out) if sysfs == SYSFS else None),
            "saved": _save(out, findings, save),
        }
        out.show(str(entry.address))
        out.show(f"  kernel      {verdict.words}", tone=VERDICT_TONES.get(verdict.state, Tone.PLAIN))
        if announces:
            out.show("  netlink     family spdm is there: it announces signatures, and keeps none to show")
        for line in slot_report(slots):
            out.show(line.text, tone=line.tone)
        for finding in findings:
            for line in log_report(finding):
                out.show(line.text, tone=line.tone)
        for finding in findings:
            if finding.outcome is LogOutcome.REFUTED:
                out.problem(_refuted(entry, finding))


def recheck(
    functions: Annotated[
        list[str] | None, typer.Argument(metavar="[FUNCTION]...", help="PCI functions, as 0000:01:00.0.")
    ] = None,
    all_functions: Annotated[
        bool, typer.Option("--all", help="Every function that this kernel authenticates.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=3600, metavar="SECONDS", help="Time for one function.")
    ] = 30.0,
    save: SaveOption = None,
    sysfs: SysfsOption = SYSFS,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Have the kernel authenticate devices again, and say what it said before and says now.

    Leaves with 0 when all are authenticated, 1 when one is rejected, 4 without permission, 6 when it could not be found
    out, 5 where the kernel authenticates nothing.
    """
    with verb("devices", "recheck", json=json, detailed_exitcode=detailed_exitcode) as out:
        import secrets

        from cmakeys.devices.kernel import read_verdict
        from cmakeys.devices.reauthentication import reauthenticate_all
        from cmakeys.devices.sysfs import Sysfs
        from cmakeys.reports.functions import log_report, recheck_data, recheck_report

        _require_folder(save)
        tree = Sysfs(sysfs)
        chosen = _chosen(tree, functions or (), all_functions=all_functions)
        if dry_run:
            out.data = {"functions": [str(entry.address) for entry in chosen], "dry_run": True}
            for entry in chosen:
                words = read_verdict(tree, entry.folder).words
                out.show(f"would ask the kernel again about {entry.address}: {words}", tone=Tone.NOTE)
            return
        with _listening(sysfs) as heard:
            attempts = reauthenticate_all(tree, chosen, timeout, secrets.token_bytes)
        for trouble in heard.problems:
            out.warn(trouble, object="announced signatures")
        findings = [_of_attempt(tree, attempt, heard) for attempt in attempts]
        out.changed = any(attempt.changed for attempt in attempts)
        out.data = {
            "functions": [recheck_data(*pair) for pair in zip(attempts, findings, strict=True)],
            "saved": _save(out, [finding for finding in findings if finding], save),
            "dry_run": False,
        }
        for attempt, finding in zip(attempts, findings, strict=True):
            for line in (*recheck_report(attempt), *(log_report(finding) if finding else ())):
                out.show(line.text, tone=line.tone)
        for attempt, finding in zip(attempts, findings, strict=True):
            for problem in _problems(attempt, finding):
                out.problem(problem)
        out.exit_code = next((code for code in _GRAVEST_FIRST if code in {one.exit_code for one in out.errors}), None)


def _enrolled(out: Output, directory: Path) -> Mapping[str, str] | None:
    """Names of enrolled devices by address; None, with a warning, when the register cannot be read."""
    from cmakeys.devices.register import Register
    from cmakeys.errors import EnvironmentProblem

    try:
        return {device.address: device.name for device in Register(directory).devices()}
    except EnvironmentProblem as problem:
        out.warn(f"whether devices are enrolled is unknown: {problem.message}", object=problem.object)
        return None


def _announces(out: Output) -> bool | None:
    """Whether the kernel has the netlink family `spdm`; None, with a warning, when that could not be found out."""
    from cmakeys.devices.netlink import SPDM, find_family
    from cmakeys.errors import EnvironmentProblem

    try:
        return find_family(SPDM) is not None
    except EnvironmentProblem as problem:
        out.warn(f"whether the kernel announces signatures is unknown: {problem.message}", object=problem.object)
        return None


def _chosen(tree: Sysfs, wanted: Sequence[str], *, all_functions: bool) -> tuple[FunctionEntry, ...]:
    from cmakeys.devices.functions import list_functions, select_functions
    from cmakeys.devices.kernel import read_verdict
    from cmakeys.errors import NotFound, UsageProblem

    if bool(wanted) == all_functions:
        raise UsageProblem("which devices?", hint="name PCI functions, or give --all; not both")
    entries = list_functions(tree)
    if wanted:
        return select_functions(entries, wanted)
    chosen = tuple(entry for entry in entries if read_verdict(tree, entry.folder).can_repeat)
    if not chosen:
        raise NotFound(
            "the kernel authenticates none of the PCI functions",
            object=str(tree.functions),
            hint="few kernels can; cmakeys check asks the devices themselves",
        )
    return chosen


@contextmanager
def _listening(sysfs: Path) -> Iterator[Hearing]:
    """Hear the signatures that this kernel announces; a tree that is not its sysfs has none."""
    from cmakeys.devices.signature_listener import Hearing, listening

    if sysfs != SYSFS:
        yield Hearing()
        return
    with listening() as heard:
        yield heard


def _of_attempt(tree: Sysfs, attempt: Reauthentication, heard: Hearing) -> LogFinding | None:
    """The signature that the kernel has just received: announced, or in the log under the nonce it was given."""
    from cmakeys.devices.signature_event import of_device
    from cmakeys.devices.signatures import read_log

    nonce = attempt.nonce
    folder = attempt.function.folder
    devpath = "/" + str(folder.resolve().relative_to(tree.root.resolve()))
    announced = [event.signature for event in of_device(heard.events, devpath)]
    if nonce is not None:
        announced = [entry for entry in announced if entry.requester_nonce == nonce]
        announced += [entry for entry in read_log(tree, folder, SHOWN_SIGNATURES) if entry.requester_nonce == nonce]
    return _examine(tree, attempt.function, announced[0], nonce) if announced else None


def _examine(tree: Sysfs, entry: FunctionEntry, logged: LoggedSignature, nonce: bytes | None = None) -> LogFinding:
    from cmakeys.devices.configuration import ConfigurationSpace
    from cmakeys.devices.kernel import read_slots
    from cmakeys.evidence.kernel import examine

    return examine(
        logged,
        read_slots(tree, entry.folder),
        device=entry.url,
        identity=ConfigurationSpace.read(tree, entry.folder).identity(),
        expected_nonce=nonce,
    )


def _require_folder(directory: Path | None) -> None:
    """See before anything is asked that what is found can be kept."""
    from cmakeys.errors import NotFound

    if directory is not None and not directory.is_dir():
        raise NotFound("no such folder", object=str(directory), hint="make it first; nothing was asked")


def _save(out: Output, findings: Iterable[LogFinding], directory: Path | None) -> list[Path]:
    """Write evidence under its function and digest, so that the same evidence is always the same file."""
    if directory is None:
        return []
    from cmakeys.evidence.archive import save

    saved = []
    for finding in findings:
        evidence = finding.evidence
        if evidence is not None:
            path = directory / f"{evidence.device.removeprefix('pci:')}-{evidence.digest[:16]}.json"
            save(evidence, path)
            saved.append(path)
            out.show(f"saved {path}", tone=Tone.GOOD)
    return saved


def _refuted(entry: FunctionEntry, finding: LogFinding) -> CmakeysError:
    return KernelRejected(
        f"signature {finding.entry.number} of the kernel's log does not hold: {finding.faults[0]}",
        object=str(entry.address),
        hint="the kernel logs signatures before it has verified them; ask the device with cmakeys check",
    )


def _problems(attempt: Reauthentication, finding: LogFinding | None) -> Iterable[CmakeysError]:
    """What an attempt did not reach, and a signature that does not hold although the kernel says that it does."""
    from cmakeys.devices.reauthentication import RecheckOutcome
    from cmakeys.evidence.kernel import LogOutcome

    kinds: Mapping[RecheckOutcome, type[CmakeysError]] = {
        RecheckOutcome.REJECTED: KernelRejected,
        RecheckOutcome.UNREACHABLE: Temporary,
        RecheckOutcome.UNSUPPORTED: Unsupported,
        RecheckOutcome.NOT_PERMITTED: NotPermitted,
    }
    cause = attempt.cause
    if cause.outcome in kinds:
        yield kinds[cause.outcome](cause.words, object=str(attempt.function.address), hint=cause.hint)
    elif finding is not None and finding.outcome is LogOutcome.REFUTED:
        yield _refuted(attempt.function, finding)
