"""Reference values that are another than those of the enrolment: one file for each device, each change journalled.

    <state>/references/<device>.json

A device's first reference is what it measured when it was enrolled, and stands in the register. What a person took or
accepted since stands here, with who did so, when, why and from which evidence, and with what it was before, so that it
can be taken back. A file belongs to one enrolment: a device that is enrolled again has its new measurements for a
reference, and what is here counts no more.

The entry of the journal comes before the file; where the file then cannot be written, the journal says so. The highest
secure version numbers are remembered without an entry: nobody decided anything, and they only make a check stricter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cmakeys.devices.enrolled import EnrolledDevice
from cmakeys.errors import CmakeysError, EnvironmentProblem, NotFound, from_oserror
from cmakeys.evidence.fields import FieldProblem, Fields, read_json, time_text
from cmakeys.files import make_folder, write_whole
from cmakeys.lock import exclusive
from cmakeys.roots.journal import Journal
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.measurement_rules import Rules
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.tcb_comparison import known_tcb
from cmakeys.x509.tcb import ChainTcb

SCHEMA = "cmakeys/reference/1"
FOLDER = "references"
MAX_FILE_SIZE = 64 * 1024 * 1024
MAX_PREVIOUS = 16
"""Changes that can be taken back."""


class ReferenceProblem(EnvironmentProblem):
    """A file of reference values is not as it was written."""

    code = "reference"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who made these values the reference, when, why, and the digest of the evidence or the file that they are from.

    `source` names the file's document and its signer, for values that a vendor states.
    """

    action: str
    at: datetime
    by: str = ""
    reason: str = ""
    evidence: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference values and where they come from."""

    values: ReferenceValues
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands in a device's file: the reference, and those before it, the newest first."""

    device: str
    enrolled_at: datetime
    current: Reference
    previous: tuple[Reference, ...] = ()


def enrolled_reference(device: EnrolledDevice) -> Reference | None:
    """The reference that the enrolment took; None for a device that had no signed measurements then."""
    if not device.measurements:
        return None
    values = ReferenceValues(device.measurements, tcb=known_tcb(device.chain))
    return Reference(values, Provenance("enrolment", device.enrolled_at))


class ReferenceStore:
    """The folder `references` of a state directory; made when first needed."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.folder = state_dir / FOLDER

    def load(self, device: EnrolledDevice) -> Stored | None:
        """What stands here for this enrolment of a device.

        Raises `ReferenceProblem` for a damaged file, which is never taken for none.
        """
        path = self._path(device)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_SIZE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        stored = _decode(data, str(path))
        if stored.device != device.name or stored.enrolled_at != device.enrolled_at:
            return None
        return stored

    def reference(self, device: EnrolledDevice) -> Reference | None:
        """The reference that counts: what was taken or accepted last, or that of the enrolment."""
        stored = self.load(device)
        return stored.current if stored else enrolled_reference(device)

    def values(self, device: EnrolledDevice) -> ReferenceValues | None:
        """The values of the reference that counts."""
        reference = self.reference(device)
        return reference.values if reference else None

    def change(self, device: EnrolledDevice, values: ReferenceValues, provenance: Provenance, detail: str) -> Stored:
        """Make values the reference of a device, and note it in the journal; `detail` says there what differs."""
        with self._writing():
            before = self.reference(device)
            stored = self.load(device)
            previous = (*([before] if before else []), *(stored.previous if stored else ()))[:MAX_PREVIOUS]
            after = Stored(device.name, device.enrolled_at, Reference(values, provenance), previous)
            self._commit(device, after, detail)
        return after

    def undo(self, device: EnrolledDevice, provenance: Provenance, rules: Rules) -> Stored:
        """Go back to the reference before the last change; secure version numbers keep the highest value seen.

        Raises `NotFound` when there is none.
        """
        self.before(device)
        with self._writing():
            stored = self._changed(device)
            before, *rest = stored.previous
            values = before.values.raised(stored.current.values.blocks, stored.current.values.tcb, rules)
            detail = f"back to {before.provenance.action}"
            back = Reference(values, before.provenance)
            after = replace(stored, current=back, previous=tuple(rest))
            self._commit(device, after, detail, provenance)
        return after

    def before(self, device: EnrolledDevice) -> Reference:
        """The reference that `undo` goes back to. Raises `NotFound` when there is none."""
        return self._changed(device).previous[0]

    def _changed(self, device: EnrolledDevice) -> Stored:
        stored = self.load(device)
        if stored is None or not stored.previous:
            raise NotFound(
                "there is no change of its reference to take back",
                object=device.name,
                hint="cmakeys measure show tells where the reference is from",
            )
        return stored

    def remember(
        self, device: EnrolledDevice, measured: Sequence[MeasurementBlock], tcb: Sequence[ChainTcb], rules: Rules
    ) -> bool:
        """Keep the secure version numbers that rose; whether any did. For measurements that were found good only."""
        reference = self.reference(device)
        if reference is None or reference.values.raised(measured, tcb, rules) == reference.values:
            return False
        with self._writing():
            reference = self.reference(device)
            if reference is None:
                return False
            values = reference.values.raised(measured, tcb, rules)
            stored = self.load(device) or Stored(device.name, device.enrolled_at, reference)
            self._write(device, replace(stored, current=replace(reference, values=values)))
        return True

    def _commit(self, device: EnrolledDevice, after: Stored, detail: str, provenance: Provenance | None = None) -> None:
        told = provenance or after.current.provenance
        action = f"measure-{told.action}"
        journal = Journal(self.state_dir)
        facts = {"reason": told.reason, "evidence": told.evidence, "change": detail}
        facts |= {"source": told.source} if told.source else {}
        journal.append(action, device.name, facts, at=told.at, by=told.by)
        try:
            self._write(device, after)
        except CmakeysError as error:
            journal.append(f"{action}-failed", device.name, {"error": str(error)}, at=told.at, by=told.by)
            raise

    def _write(self, device: EnrolledDevice, stored: Stored) -> None:
        try:
            write_whole(self._path(device), _encode(stored))
        except OSError as error:
            raise from_oserror(error, str(self._path(device))) from error

    def _path(self, device: EnrolledDevice) -> Path:
        return self.folder / f"{device.name}.json"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            make_folder(self.folder)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise from_oserror(error, str(self.folder)) from error
        try:
            with exclusive(descriptor, str(self.folder)):
                yield
        finally:
            os.close(descriptor)


def _encode(stored: Stored) -> bytes:
    document = {
        "schema": SCHEMA,
        "device": stored.device,
        "enrolled_at": time_text(stored.enrolled_at),
        "current": _reference_json(stored.current),
        "previous": [_reference_json(one) for one in stored.previous],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _reference_json(reference: Reference) -> dict[str, object]:
    origin = reference.provenance
    source = {"source": origin.source} if origin.source else {}
    return {
        **source,
        "values": reference.values.to_json(),
        "action": origin.action,
        "at": time_text(origin.at),
        "by": origin.by,
        "reason": origin.reason,
        "evidence": origin.evidence,
    }


def _decode(data: bytes, source: str) -> Stored:
    hint = "take the reference again with: cmakeys measure snapshot; or move the file away, and the enrolment's counts"
    if len(data) > MAX_FILE_SIZE:
        raise ReferenceProblem(f"larger than {MAX_FILE_SIZE} bytes", object=source, hint=hint)
    try:
        fields = Fields(read_json(data, source), source)
        if fields.text("schema") != SCHEMA:
            raise fields.problem("schema", f"{SCHEMA} is expected")
        stored = Stored(
            fields.text("device"),
            fields.time("enrolled_at"),
            _reference(Fields(fields.take("current"), f"{source}, current")),
            tuple(_reference(one) for one in fields.objects("previous", MAX_PREVIOUS)),
        )
        fields.finish()
    except FieldProblem as problem:
        raise ReferenceProblem(f"damaged: {problem.message}", object=problem.object, hint=hint) from problem
    return stored


def _reference(fields: Fields) -> Reference:
    values = ReferenceValues.from_json(fields.take("values"), f"{fields.source}, values")
    provenance = Provenance(
        fields.text("action"), fields.time("at"), fields.text("by"), fields.text("reason"), fields.text("evidence")
    )
    if fields.has("source"):
        provenance = replace(provenance, source=fields.text("source"))
    fields.finish()
    return Reference(values, provenance)
