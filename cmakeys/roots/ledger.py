"""The one door through which trust is changed: a transaction becomes files and one entry of the journal, or nothing.

Several files cannot be renamed at once. So the whole transaction is first noted beside them (`.pending.json`), then
written to the journal, then made file by file, and at last the note is dropped. A writer that is killed on the way
leaves the note, and the next one finds it under the same lock: a change that the journal has is finished, one that it
lacks never began. No root that the transaction does not name is touched, and what comes comes before what goes.

The journal's entry holds the roots before and after as records; their certificates are kept once each, by fingerprint,
in `certificates/` of the state directory, so that a root that was removed years ago can be put back.
"""

from __future__ import annotations

import base64
import json
import secrets
import syslog
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.errors import CmakeysError, NotFound, Refused, from_oserror
from cmakeys.files import make_folder, write_whole
from cmakeys.roots.deny import DenyEntry
from cmakeys.roots.journal import Journal, JournalEntry
from cmakeys.roots.record import StoreProblem
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import RootStore, StoreWriter
from cmakeys.roots.transaction import (
    UNDO,
    Transaction,
    Transition,
    decision,
    deny_text,
    read_deny_text,
    read_transition,
    transition_json,
)
from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE, Certificate

CERTIFICATES = "certificates"
MAX_PART = 40 * 1024
"""Bytes of transitions and deny entries in one entry of the journal; a transaction with more has several, which belong
together."""


MAX_TOLD = 8
"""Roots that one line of the machine's log names."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A transaction as the journal has it; `entries` are those of its parts, the first gives it its number."""

    transaction: Transaction
    entries: tuple[JournalEntry, ...]

    @property
    def number(self) -> int:
        """The number by which it can be undone."""
        return self.entries[0].number


class Ledger:
    """Roots and journal of one machine. `recovered` names a change of a killed run that `commit` has finished."""

    def __init__(self, store: RootStore, state_dir: Path) -> None:
        self.store = store
        self.journal = Journal(state_dir)
        self.recovered = ""
        self._certificates = state_dir / CERTIFICATES

    def commit(self, transaction: Transaction) -> RootSet:
        """Make the change, all of it, and return the roots afterwards; nothing is written where nothing changes.

        Raises what `Transaction.apply_to` raises, before anything is written; `Locked` with the holder's name; and
        what the file system says, after what was written has been taken back.
        """
        with self.store.writing() as writer:
            if self._recover(writer):
                with_recovered = self.store.inspect()
                writer.report = with_recovered
            result = transaction.apply_to(writer.report.root_set)
            if not transaction.changes:
                return result
            identity = secrets.token_hex(8)
            self._keep_certificates(transaction.effective)
            write_whole(writer.pending, _render(transaction, identity))
            try:
                self._record(transaction, identity)
            except BaseException:
                if self._parts_recorded(identity) < len(list(_parts(transaction))):
                    writer.drop_pending()
                raise
            self._make(transaction, writer, identity)
            writer.drop_pending()
        self._tell(transaction)
        return result

    def _tell(self, transaction: Transaction) -> None:
        """One line for whoever watches the machine's log; a tree that an image is made of is none of its business."""
        if self.store.sysroot != Path("/"):
            return
        states = ", ".join(
            f"{one.root.name} {one.before.state.value if one.before else 'absent'}"
            f" -> {one.after.state.value if one.after else 'absent'}"
            for one in transaction.effective[:MAX_TOLD]
        )
        reason = f" ({transaction.reason})" if transaction.reason else ""
        line = f"{transaction.action} {transaction.subject} by {transaction.by}: {states}{reason}"
        syslog.openlog("cmakeys", 0, syslog.LOG_AUTHPRIV)
        syslog.syslog(syslog.LOG_NOTICE, "".join(each if each.isprintable() else "?" for each in line))

    def recover(self) -> str:
        """Finish or drop what a killed run left, and say what it was; empty when there was nothing."""
        with self.store.writing() as writer:
            self._recover(writer)
        return self.recovered

    # -- making ----------------------------------------------------------------------------------------------------

    def _make(self, transaction: Transaction, writer: StoreWriter, identity: str) -> None:
        done: list[Transition] = []
        denied = False
        try:
            writer.deny(transaction.deny_added, ())
            denied = True
            for transition in _ordered(transaction.effective):
                done.append(transition)
                _perform(transition, writer)
            writer.deny((), transaction.deny_removed)
        except CmakeysError as error:
            self._take_back(transaction, writer, identity, done, error, denied=denied)
            raise
        except OSError as error:
            problem = from_oserror(error, str(error.filename or self.store.directories[0]))
            self._take_back(transaction, writer, identity, done, problem, denied=denied)
            raise problem from error

    def _take_back(
        self,
        transaction: Transaction,
        writer: StoreWriter,
        identity: str,
        done: Sequence[Transition],
        error: CmakeysError,
        *,
        denied: bool,
    ) -> None:
        """Undo what was written. Where that fails too, the note stays, and the next run finishes the change."""
        try:
            writer.deny(transaction.deny_removed if denied else (), transaction.deny_added if denied else ())
            for transition in reversed(done):
                _perform(transition.inverse, writer)
            detail = {"failed": identity, "code": error.code, "message": str(error)}
            action, subject = f"{transaction.action}-failed", transaction.subject
            self.journal.append(action, subject, detail, at=transaction.at, by=transaction.by)
        except (CmakeysError, OSError):
            return
        writer.drop_pending()

    def _recover(self, writer: StoreWriter) -> bool:
        data = writer.read_pending()
        if data is None:
            return False
        source = str(writer.pending)
        transaction, identity = _parse(data, source)
        recorded = self._parts_recorded(identity)
        if self._taken_back(identity):
            writer.drop_pending()
            self.recovered = f"{transaction.action} of {transaction.subject} had failed and was taken back"
            return True
        if not recorded:
            writer.drop_pending()
            self.recovered = f"{transaction.action} of {transaction.subject} had not begun and was dropped"
            return True
        self._record(transaction, identity, beyond=recorded)
        now = {root.name: root for root in writer.report.root_set.roots}
        writer.deny(transaction.deny_added, transaction.deny_removed)
        for transition in _ordered(transaction.effective):
            if decision(now.get(transition.root.name)) != decision(transition.after):
                _perform(transition, writer)
        writer.drop_pending()
        self.recovered = f"{transaction.action} of {transaction.subject} was interrupted and has been finished"
        return True

    # -- the record ------------------------------------------------------------------------------------------------

    def _record(self, transaction: Transaction, identity: str, *, beyond: int = 0) -> None:
        """Write the parts that come after the first `beyond`."""
        parts = list(_parts(transaction))
        for number, part in list(enumerate(parts, 1))[beyond:]:
            detail: dict[str, object] = {"transaction": identity}
            if len(parts) > 1:
                detail |= {"part": number, "parts": len(parts)}
            if number == 1:
                detail |= dict(transaction.detail)
                detail |= {"reason": transaction.reason} if transaction.reason else {}
                detail |= {"undoes": transaction.undoes} if transaction.undoes is not None else {}
            detail |= {"deny-added": deny_text(part.deny_added)} if part.deny_added else {}
            detail |= {"deny-removed": deny_text(part.deny_removed)} if part.deny_removed else {}
            detail["roots"] = part.roots
            action, subject = transaction.action, transaction.subject
            self.journal.append(action, subject, detail, at=transaction.at, by=transaction.by)

    def _parts_recorded(self, identity: str) -> int:
        return sum(entry.detail.get("transaction") == identity for entry in self.journal.read().entries)

    def _taken_back(self, identity: str) -> bool:
        """Whether the journal says that all of it was undone: the writer was killed before it dropped the note."""
        return any(entry.detail.get("failed") == identity for entry in self.journal.read().entries)

    def _keep_certificates(self, transitions: Sequence[Transition]) -> None:
        make_folder(self._certificates)
        for transition in transitions:
            path = self._certificates / f"{transition.root.fingerprint}.der"
            if not path.exists():
                write_whole(path, transition.root.certificate.der)

    def certificate(self, fingerprint: str) -> Certificate:
        """A certificate that was a root at some time.

        Raises `NotFound` when it was not kept and `StoreProblem` when what was kept is another one.
        """
        path = self._certificates / f"{fingerprint}.der"
        try:
            with path.open("rb") as file:
                der = file.read(MAX_CERTIFICATE_SIZE + 1)
        except FileNotFoundError:
            raise NotFound(
                "its certificate was not kept", object=fingerprint, hint="add it from its file: cmakeys roots add"
            ) from None
        certificate = Certificate.from_der(der, str(path), 0)
        if certificate.fingerprint != fingerprint:
            raise StoreProblem("holds another certificate than its name says", object=str(path))
        return certificate

    def transactions(self) -> tuple[Recorded, ...]:
        """Every change in the journal, oldest first. A certificate that was not kept raises when it is needed."""
        found: dict[str, list[JournalEntry]] = {}
        failed: set[str] = set()
        latest: dict[tuple[str, str], str] = {}
        for entry in self.journal.read().entries:
            identity = entry.detail.get("transaction")
            if isinstance(identity, str):
                found.setdefault(identity, []).append(entry)
                latest[entry.action, entry.subject] = identity
            elif entry.action.endswith("-failed"):
                failed.add(latest.get((entry.action.removesuffix("-failed"), entry.subject), ""))
        return tuple(
            Recorded(self._read(entries), tuple(entries))
            for identity, entries in found.items()
            if identity not in failed and len(entries) == entries[0].detail.get("parts", 1)
        )

    def _read(self, entries: Sequence[JournalEntry]) -> Transaction:
        first = entries[0]
        source = f"{self.journal.path} line {first.line}"
        undoes = first.detail.get("undoes")
        listed = [value for entry in entries for value in _roots(entry.detail)]
        return Transaction(
            first.action,
            first.subject,
            tuple(read_transition(value, self.certificate(str(value.get("certificate"))), source) for value in listed),
            first.time,
            first.actor,
            str(first.detail.get("reason", "")),
            _denied(entries, "deny-added", source),
            _denied(entries, "deny-removed", source),
            undoes=undoes if isinstance(undoes, int) else None,
        )

    def removals(self) -> Mapping[str, int]:
        """The fingerprints of roots whose last change took them away, with the numbers of its journal entries.

        A change that was taken back took nothing away: it was to be as if it had never been.
        """
        gone: dict[str, int] = {}
        for entry in self.journal.read().entries:
            for value in _roots(entry.detail):
                fingerprint = str(value.get("certificate"))
                if value.get("after") is None and entry.action != UNDO:
                    gone[fingerprint] = entry.number
                else:
                    gone.pop(fingerprint, None)
        return gone

    def undoing(self, number: int | None, *, at: datetime, by: str, reason: str) -> Transaction:
        """The transaction that takes back the last one that was not taken back yet, or the one of this number.

        Raises `NotFound` when there is none and `Refused` when a later change is about the same roots.
        """
        known = self.transactions()
        undone = {one.transaction.undoes for one in known} - {None}
        candidates = [one for one in known if one.number not in undone and one.transaction.undoes is None]
        if number is not None:
            candidates = [one for one in candidates if one.number == number]
        if not candidates:
            what = "no change that could be taken back" if number is None else f"entry {number} is none to take back"
            raise NotFound(what, object=str(self.journal.path), hint="cmakeys roots history lists the changes")
        chosen = candidates[-1]
        names = {transition.root.name for transition in chosen.transaction.transitions}
        for later in known:
            touched = {transition.root.name for transition in later.transaction.transitions} & names
            if later.number > chosen.number and touched and later.number not in undone and not later.transaction.undoes:
                raise Refused(
                    f"entry {later.number} changed {', '.join(sorted(touched))} since then",
                    object=f"entry {chosen.number}",
                    hint=f"take that one back first: cmakeys roots undo --entry {later.number}",
                )
        return chosen.transaction.inverse(at=at, by=by, reason=reason, undoes=chosen.number)


def _ordered(transitions: Sequence[Transition]) -> list[Transition]:
    """What comes, or becomes an anchor, before what goes: no chain is without its root in between."""
    return sorted(transitions, key=lambda transition: not (transition.after and transition.after.state.anchors))


def _perform(transition: Transition, writer: StoreWriter) -> None:
    if transition.after is not None:
        writer.put(transition.after)
    else:
        writer.take(transition.root.name)


@dataclass(slots=True)
class _Part:
    """What of a transaction goes into one entry of the journal."""

    roots: list[dict[str, object]] = field(default_factory=list)
    deny_added: list[DenyEntry] = field(default_factory=list)
    deny_removed: list[DenyEntry] = field(default_factory=list)
    size: int = 0


def _parts(transaction: Transaction) -> Iterator[_Part]:
    """Portions that fit into one line of the journal each; one empty portion where there is nothing."""
    part = _Part()
    for transition in transaction.effective:
        document = transition_json(transition)
        part = yield from _room(part, len(json.dumps(document)))
        part.roots.append(document)
    for entry in transaction.deny_added:
        part = yield from _room(part, len(json.dumps(deny_text((entry,)))))
        part.deny_added.append(entry)
    for entry in transaction.deny_removed:
        part = yield from _room(part, len(json.dumps(deny_text((entry,)))))
        part.deny_removed.append(entry)
    yield part


def _room(part: _Part, size: int) -> Generator[_Part, None, _Part]:
    """The part with room for something of `size`: the one at hand, or a new one once that is handed out."""
    if part.size and part.size + size > MAX_PART:
        yield part
        part = _Part()
    part.size += size
    return part


def _denied(entries: Sequence[JournalEntry], key: str, source: str) -> tuple[DenyEntry, ...]:
    return tuple(denied for entry in entries for denied in read_deny_text(entry.detail.get(key, ""), source))


def _roots(detail: Mapping[str, object]) -> list[dict[str, object]]:
    listed = detail.get("roots")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _render(transaction: Transaction, identity: str) -> bytes:
    document = {
        "transaction": identity,
        "action": transaction.action,
        "subject": transaction.subject,
        "at": transaction.at.astimezone(UTC).isoformat(),
        "by": transaction.by,
        "roots": [
            {**transition_json(one), "der": base64.b64encode(one.root.certificate.der).decode()}
            for one in transaction.effective
        ],
        "deny-added": deny_text(transaction.deny_added),
        "deny-removed": deny_text(transaction.deny_removed),
    }
    return json.dumps(document).encode("ascii") + b"\n"


def _parse(data: bytes, source: str) -> tuple[Transaction, str]:
    try:
        document = json.loads(data)
        roots = _roots(document)
        certificates = [Certificate.from_der(base64.b64decode(str(one["der"])), source, 0) for one in roots]
        transaction = Transaction(
            str(document["action"]),
            str(document["subject"]),
            tuple(
                read_transition(one, certificate, source) for one, certificate in zip(roots, certificates, strict=True)
            ),
            datetime.fromisoformat(str(document["at"])),
            str(document["by"]),
            deny_added=read_deny_text(document["deny-added"], source),
            deny_removed=read_deny_text(document["deny-removed"], source),
        )
        return transaction, str(document["transaction"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreProblem(
            f"the note of an unfinished change cannot be read: {error}",
            object=source,
            hint="compare the roots with the last entry of the journal, then remove this file",
        ) from error
