"""`cmakeys keyring`: what the kernel believes, compared with the trusted roots, and brought in step with them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmakeys.cli.functions import SYSFS, SysfsOption
from cmakeys.cli.nouns import noun_app
from cmakeys.cli.options import SYSTEM, DetailedExitcode, DryRun, Json, Sysroot
from cmakeys.cli.output import Output, verb
from cmakeys.cli.rechecking import RecheckOption, TimeoutOption, choice, recheck_devices
from cmakeys.reports.terminal import Tone
from cmakeys.wording import counted

if TYPE_CHECKING:
    from cmakeys.keyring.audit import AuditFinding
    from cmakeys.keyring.cma import Keyring
    from cmakeys.keyring.contents import Member, OwnDescription
    from cmakeys.keyring.managed import Addition, KeyringDiff
    from cmakeys.roots.root import Root

app = noun_app("Compare the kernel's keyring with the trusted roots, and put them there.")

RingOption = Annotated[
    str,
    typer.Option("--keyring", metavar="NAME|@s|SERIAL", help="The keyring: a name, @s, @u or @p, or a serial number."),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="ROOT", help="Leave this root out, as one that this kernel cannot load."),
]
AllowEmptyOption = Annotated[bool, typer.Option("--allow-empty", help="Go on although there is no trusted root.")]


@app.command("status")
def status(
    keyring: RingOption = ".cma", without: WithoutOption = None, sysroot: Sysroot = SYSTEM, json: Json = False
) -> None:
    """Show the keyring, our ring in it, and whether it is in step with the trusted roots."""
    with verb("keyring", "status", json=json) as out:
        from cmakeys.keyring.cma import open_keyring
        from cmakeys.keyring.managed import plan
        from cmakeys.keyring.managed import status as look

        ring = open_keyring(keyring)
        found = look(ring)
        difference = plan(_anchors(sysroot, without), ring)
        managed = found.managed
        out.data = {
            "keyring": _ring_data(ring),
            "managed": managed
            and {"serial": managed.serial, "uid": managed.info.uid, "permission": str(managed.info.permission)},
            "roots": [_root_data(root) for root in found.roots],
            "others": found.others,
            "in_step": not difference.changes,
        }
        out.show(f"keyring {ring.label}, owner {ring.info.uid}, permissions {ring.info.permission}")
        if managed is None:
            out.show("no root was put there by cmakeys", tone=Tone.NOTE)
        else:
            out.show(f"{counted(len(found.roots), 'root')} put there by cmakeys, in ring {managed.serial:#x}")
        if found.roots:
            out.table(("ROOT", "SHA-256"), [(root.name, root.fingerprint) for root in found.roots])
        if found.others:
            out.show(
                f"{counted(found.others, 'other key')}; next: {_next('audit', keyring, sysroot)}", tone=Tone.WARNING
            )
        _show_step(out, difference, keyring, sysroot)


@app.command("diff")
def diff(
    keyring: RingOption = ".cma",
    without: WithoutOption = None,
    sysroot: Sysroot = SYSTEM,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Say what apply would change; with --detailed-exitcode leave with 10 if that is anything."""
    with verb("keyring", "diff", json=json) as out:
        from cmakeys.errors import ExitCode
        from cmakeys.keyring.cma import open_keyring
        from cmakeys.keyring.managed import plan

        ring = open_keyring(keyring)
        difference = plan(_anchors(sysroot, without), ring)
        out.data = {"keyring": _ring_data(ring), **_difference_data(difference)}
        if difference.changes and detailed_exitcode:
            out.exit_code = ExitCode.CHANGED
        _show_difference(out, difference)
        _show_step(out, difference, keyring, sysroot)


@app.command("apply")
def apply(
    keyring: RingOption = ".cma",
    without: WithoutOption = None,
    allow_empty: AllowEmptyOption = False,
    recheck: RecheckOption = None,
    timeout: TimeoutOption = 30.0,
    sysfs: SysfsOption = SYSFS,
    sysroot: Sysroot = SYSTEM,
    dry_run: DryRun = False,
    json: Json = False,
    detailed_exitcode: DetailedExitcode = False,
) -> None:
    """Put exactly the trusted roots into the keyring, all at once; nothing happens if they are there already.

    After a change the kernel authenticates devices again. What that changed is said, and is no part of the exit code.
    """
    with verb("keyring", "apply", json=json, detailed_exitcode=detailed_exitcode) as out:
        from cmakeys.keyring.cma import open_keyring
        from cmakeys.keyring.managed import RootsRefused, plan, rehearse
        from cmakeys.keyring.managed import apply as swap

        ring = open_keyring(keyring)
        anchors = _anchors(sysroot, without)
        difference = plan(anchors, ring)
        if not anchors and not allow_empty:
            _refuse_empty(ring, difference)
        try:
            if dry_run:
                rehearse(anchors)
                added, removed, serial = difference.add, difference.remove, difference.managed
                would = difference.changes
            else:
                result = swap(anchors, ring)
                added, removed, serial = result.added, result.removed, result.serial
                out.changed = would = result.changed
        except RootsRefused as refused:
            for problem in refused.problems:
                out.problem(problem)
            return
        out.data = data = {
            "keyring": _ring_data(ring),
            "dry_run": dry_run,
            "added": [_addition_data(addition) for addition in added],
            "removed": [_root_data(root) for root in removed],
            "managed": serial,
            "roots": [{"name": root.name, "sha256": root.fingerprint} for root in anchors],
            "recheck": None,
        }
        _show_applied(out, ring, len(anchors), added, removed, would=would, dry_run=dry_run)
        if would:
            data["recheck"] = recheck_devices(out, choice(recheck, ring), timeout, sysfs, dry_run=dry_run)


@app.command("audit")
def audit(keyring: RingOption = ".cma", sysroot: Sysroot = SYSTEM, json: Json = False) -> None:
    """List what is in the keyring that we did not put there, and what of ours is not what it says.

    Leaves with 1 when something there changes which devices the kernel believes.
    """
    with verb("keyring", "audit", json=json) as out:
        from cmakeys.errors import ExitCode
        from cmakeys.keyring.audit import audit as examine
        from cmakeys.keyring.cma import open_keyring
        from cmakeys.x509.lint import Severity

        ring = open_keyring(keyring)
        findings = examine(_anchors(sysroot, None), ring)
        if any(finding.severity is Severity.ERROR for finding in findings):
            out.exit_code = ExitCode.FAILED
        out.data = {"keyring": _ring_data(ring), "findings": [_finding_data(finding) for finding in findings]}
        tones = {Severity.ERROR: Tone.BAD, Severity.WARNING: Tone.WARNING, Severity.INFO: Tone.NOTE}
        for finding in findings:
            name = f" {finding.description}" if finding.description else ""
            out.show(f"{finding.serial:#x}{name}: {finding.message}", tone=tones[finding.severity])
            out.show(f"    {finding.code}; {finding.hint}")
        if not findings:
            out.show(f"keyring {ring.label} holds nothing but our roots", tone=Tone.GOOD)


def _anchors(sysroot: Path, without: Sequence[str] | None) -> tuple[Root, ...]:
    """The trusted roots of the store, less those that the caller leaves out by name."""
    from cmakeys.errors import NotFound
    from cmakeys.roots.store import RootStore

    anchors = RootStore(sysroot).load().anchors()
    left_out = set(without or ())
    unknown = sorted(left_out - {root.name for root in anchors})
    if unknown:
        raise NotFound("no trusted root has this name", object=unknown[0], hint="see cmakeys roots list")
    return tuple(root for root in anchors if root.name not in left_out)


def _refuse_empty(ring: Keyring, difference: KeyringDiff) -> None:
    from cmakeys.errors import Refused

    if difference.remove:
        raise Refused(
            f"there is no trusted root, so this would take all {len(difference.remove)} from the kernel",
            object=ring.label,
            hint="if that is meant: --allow-empty; if not, see cmakeys roots list and --sysroot",
        )


def _show_difference(out: Output, difference: KeyringDiff) -> None:
    causes = {
        "missing": "",
        "displaced": " (another certificate is in its place)",
        "disputed": " (/proc/keys contradicts itself)",
        "dead": " (revoked or expired)",
    }
    for addition in difference.add:
        out.show(f"+ {addition.name} {addition.fingerprint}{causes[addition.cause.value]}", tone=Tone.GOOD)
    for root in difference.remove:
        out.show(f"- {root.name} {root.fingerprint}", tone=Tone.BAD)
    for member in difference.foreign:
        out.show(f"- {member.type or 'hidden key'} {member.serial:#x} {member.description}: not ours", tone=Tone.BAD)
    for member in difference.dead:
        out.show(f"- {member.serial:#x}: {member.state.value}", tone=Tone.WARNING)
    if difference.rebuild:
        out.show(f"our ring: {difference.rebuild}", tone=Tone.WARNING)
    for root in difference.keep:
        out.show(f"= {root.name} {root.fingerprint}", tone=Tone.NOTE)


def _show_step(out: Output, difference: KeyringDiff, keyring: str, sysroot: Path) -> None:
    """Whether something is to do, and what."""
    if difference.changes:
        out.show(f"not in step with the trusted roots; next: {_next('apply', keyring, sysroot)}", tone=Tone.WARNING)
    elif difference.keep:
        out.show("in step with the trusted roots", tone=Tone.GOOD)
    else:
        out.show("there is no trusted root; next: cmakeys roots add", tone=Tone.NOTE)


def _show_applied(
    out: Output,
    ring: Keyring,
    roots: int,
    added: Iterable[Addition],
    removed: Iterable[OwnDescription],
    *,
    would: bool,
    dry_run: bool,
) -> None:
    for addition in added:
        out.show(f"+ {addition.name} {addition.fingerprint}", tone=Tone.GOOD)
    for root in removed:
        out.show(f"- {root.name} {root.fingerprint}", tone=Tone.BAD)
    if not would:
        out.show(f"keyring {ring.label} already holds exactly the {counted(roots, 'trusted root')}", tone=Tone.GOOD)
    elif dry_run:
        out.show("the kernel takes all of them; nothing was changed", tone=Tone.NOTE)
    else:
        out.show(f"keyring {ring.label} now holds {counted(roots, 'trusted root')}", tone=Tone.GOOD)
        out.show("devices are believed or not when they are authenticated next; see cmakeys check")


def _ring_data(ring: Keyring) -> dict[str, object]:
    return {
        "selector": ring.selector,
        "name": ring.info.description,
        "serial": ring.serial,
        "uid": ring.info.uid,
        "permission": str(ring.info.permission),
    }


def _difference_data(difference: KeyringDiff) -> dict[str, object]:
    return {
        "changes": difference.changes,
        "add": [_addition_data(addition) for addition in difference.add],
        "remove": [_root_data(root) for root in difference.remove],
        "keep": [_root_data(root) for root in difference.keep],
        "foreign": [_member_data(member) for member in difference.foreign],
        "dead": [_member_data(member) for member in difference.dead],
        "rebuild": difference.rebuild or None,
        "managed": difference.managed,
    }


def _addition_data(addition: Addition) -> dict[str, object]:
    return {"name": addition.name, "sha256": addition.fingerprint, "cause": addition.cause}


def _root_data(root: OwnDescription) -> dict[str, object]:
    return {"name": root.name, "sha256": root.fingerprint}


def _member_data(member: Member) -> dict[str, object]:
    return {
        "serial": member.serial,
        "type": member.type or None,
        "description": member.description or None,
        "state": member.state,
    }


def _finding_data(finding: AuditFinding) -> dict[str, object]:
    return {
        "severity": finding.severity,
        "code": finding.code,
        "serial": finding.serial,
        "description": finding.description,
        "message": finding.message,
        "hint": finding.hint,
    }


def _next(name: str, keyring: str, sysroot: Path) -> str:
    """The command to run next, for the same keyring and tree."""
    words = ["cmakeys", "keyring", name]
    if keyring != ".cma":
        words += ["--keyring", keyring]
    if sysroot != SYSTEM:
        words += ["--sysroot", str(sysroot)]
    return shlex.join(words)
