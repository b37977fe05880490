"""The command line of `cmakeys deny` as deny entries, and whom they concern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmakeys.cli.dates import a_date
from cmakeys.devices.register import Register
from cmakeys.errors import NotFound, Refused, UsageProblem, from_oserror
from cmakeys.revocation.store import read_file
from cmakeys.roots.deny import DenyEntry, DenyKind, entry_about, name_hash, parse_serial
from cmakeys.roots.enrolment import check_fingerprint, select
from cmakeys.roots.revoked import entries_of, issuers_in, verified_issuer
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import MIN_PREFIX, RootSet, normalise_fingerprint
from cmakeys.roots.store import RootStore
from cmakeys.x509.bundle import MAX_INPUT_SIZE, read_certificates
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.crl import RevocationList
from cmakeys.x509.tbs import subject_der


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `deny add`, as they were typed."""

    file: Path | None
    by: str
    fingerprint: str | None
    certificate: str | None
    key: str | None
    issuer_serial: str | None
    serial: str | None
    crl: Path | None
    issuer: Path | None
    after: str | None
    reason: str


def wanted_entries(wanted: Wanted, known: RootSet) -> tuple[DenyEntry, ...]:
    """What is to be denied.

    Raises `UsageProblem` unless exactly one thing is named, `Refused` for a list that nobody known has signed.
    """
    named = (wanted.file, wanted.certificate, wanted.key, wanted.issuer_serial, wanted.serial, wanted.crl)
    if sum(one is not None for one in named) != 1:
        raise UsageProblem(
            "name one thing to deny: FILE, --certificate, --key, --issuer-serial, --serial or --crl",
            hint="cmakeys deny add --help",
        )
    after = None if wanted.after is None else a_date(wanted.after, "--after")
    if wanted.crl is not None:
        if after is not None:
            raise UsageProblem("a revocation list has its own dates", object="--after", hint="leave one of them out")
        return _of_list(wanted.crl, wanted.issuer, wanted.reason, known)
    kind, sha256, serial, source = _one(wanted)
    return (DenyEntry(kind, sha256, wanted.reason, serial, after, source),)


def _one(wanted: Wanted) -> tuple[DenyKind, str, int | None, str]:
    if wanted.certificate is not None:
        return DenyKind.CERTIFICATE, check_fingerprint(wanted.certificate), None, ""
    if wanted.key is not None:
        return DenyKind.KEY, check_fingerprint(wanted.key), None, ""
    if wanted.issuer_serial is not None:
        issuer, slash, serial = wanted.issuer_serial.partition("/")
        if not slash:
            raise UsageProblem("the two parts are divided by /", object="--issuer-serial", hint="as SHA256/1A2B3C")
        return DenyKind.ISSUER_SERIAL, check_fingerprint(issuer), parse_serial(serial), ""
    if wanted.serial is not None:
        if wanted.issuer is None:
            raise UsageProblem("whose serial number?", object="--serial", hint="name the certificate: --issuer FILE")
        (issuer_certificate,) = _certificates(wanted.issuer, one=True)
        sha256 = name_hash(subject_der(issuer_certificate))
        return DenyKind.ISSUER_SERIAL, sha256, parse_serial(wanted.serial), str(wanted.issuer)
    if wanted.file is None:
        raise UsageProblem("nothing is named")
    kinds = {kind.value: kind for kind in DenyKind}
    if wanted.by not in kinds:
        raise UsageProblem(f"{wanted.by!r} is not known here", object="--by", hint=f"one of: {', '.join(kinds)}")
    entry = entry_about(select(_certificates(wanted.file), wanted.fingerprint), kinds[wanted.by])
    return entry.kind, entry.sha256, entry.serial, str(wanted.file)


def _of_list(path: Path, issuer: Path | None, reason: str, known: RootSet) -> tuple[DenyEntry, ...]:
    found = read_file(path)
    if not isinstance(found, RevocationList):
        raise UsageProblem("an OCSP response, not a revocation list", object=str(path))
    candidates = _certificates(issuer) if issuer is not None else issuers_in(known)
    entries = entries_of(found, verified_issuer(found, candidates), reason=reason, source=str(path))
    if not entries:
        raise NotFound("the list is empty: its issuer has withdrawn nothing", object=str(path))
    return entries


def _certificates(path: Path, *, one: bool = False) -> tuple[Certificate, ...]:
    try:
        with path.open("rb") as file:
            found = read_certificates(file.read(MAX_INPUT_SIZE + 1), str(path))
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    return (select(found, None),) if one else found


def concerned(
    known: RootSet, entries: Sequence[DenyEntry], state_dir: Path
) -> tuple[tuple[Root, ...], tuple[str, ...]]:
    """The roots in which no chain could end any more, and the enrolled devices that would be rejected."""
    more = RootSet(known.roots, (*known.deny, *entries))
    roots = tuple(root for root in known.anchors() if not more.is_anchor(root))
    devices = []
    for device in Register(state_dir).devices():
        anchors = [root.certificate for root in known.roots if root.fingerprint == device.root_fingerprint]
        chain = (*anchors, *device.chain)
        denied = any(more.denied(each, chain[-1]) and not known.denied(each, chain[-1]) for each in chain)
        if device.key is not None:
            fingerprint = device.key.fingerprint
            denied = more.denied_key(fingerprint) is not None and known.denied_key(fingerprint) is None
        if denied:
            devices.append(device.name)
    return roots, tuple(devices)


def chosen(store: RootStore, text: str | None, source: str | None) -> tuple[DenyEntry, ...]:
    """The entries of this machine's own deny file that the command line means.

    Raises `NotFound` for none, `UsageProblem` for several where one was meant, and `Refused` for one that stands in a
    file that is not ours to change.
    """
    if (text is None) == (source is None):
        raise UsageProblem("name an entry, or --source", hint="cmakeys deny list shows both")
    own = store.own_denials()
    fits = [entry for entry in own if _means(entry, text, source)]
    if not fits:
        for entry, files in store.inspect().denials.items():
            if _means(entry, text, source):
                raise Refused(
                    f"denied by {', '.join(files)}", object=entry.words, hint="only who brought that file can change it"
                )
        raise NotFound("nothing like it is denied", object=text or source or "", hint="cmakeys deny list")
    if text is not None and len({entry.target for entry in fits}) > 1:
        raise UsageProblem(f"fits {len(fits)} entries", object=text, hint="give more digits, or /SERIAL behind them")
    return tuple(fits)


def _means(entry: DenyEntry, text: str | None, source: str | None) -> bool:
    if text is None:
        return entry.source == source
    digits, slash, serial = text.partition("/")
    prefix = normalise_fingerprint(digits)
    if len(prefix) < MIN_PREFIX or not entry.sha256.startswith(prefix):
        return False
    return not slash or entry.serial == parse_serial(serial)


def certificates_at_hand(known: RootSet, files: Sequence[Path], state_dir: Path) -> Iterator[Certificate]:
    """Those of the roots, of the enrolled devices' chains, and of the files."""
    yield from (root.certificate for root in known.roots)
    for device in Register(state_dir).devices():
        yield from device.chain
    for path in files:
        yield from _certificates(path)
