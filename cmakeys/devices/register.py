"""The register of enrolled devices and the history of their checks.

Every operation opens the database, does its work in one transaction and closes it, so that several processes and a
killed one never see half of anything. Newest history entries are kept up to `KEPT` per device.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.devices.database import RegisterDamaged, read, writing
from cmakeys.devices.enrolled import UNREACHABLE, CheckRecord, EnrolledDevice, Memory, Negotiated
from cmakeys.errors import CmakeysError, NotFound, Refused
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.pin import Pin, PinKind

FILE_NAME = "devices.db"

KEPT = 500
"""History entries kept per device."""

_DEVICE_COLUMNS = (
    "name, address, slot, pin_kind, pin_value, identity, enrolled_version, enrolled_asymmetric, enrolled_hash,"
    " last_version, last_asymmetric, last_hash, root_name, root_sha256, note, enrolled_at"
)

_NEWEST = """SELECT max(moment) FROM
    (SELECT max(enrolled_at) AS moment FROM device UNION ALL SELECT max(checked_at) FROM history)"""


class Register:
    """The register in a state directory. Nothing is opened or created before an operation needs it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    # -- reading ------------------------------------------------------------------------------------------------------

    def devices(self) -> tuple[EnrolledDevice, ...]:
        """All enrolled devices by name; none when there is no register yet."""
        return read(self.path, self._devices, ())

    def find(self, name: str) -> EnrolledDevice:
        """The device of that name. Raises `NotFound`."""
        found = next((device for device in self.devices() if device.name == name), None)
        if found is None:
            raise self._no_such(name)
        return found

    def at_address(self, address: str) -> EnrolledDevice | None:
        """The device enrolled at an address, if any."""
        return next((device for device in self.devices() if device.address == address), None)

    def history(self, name: str, limit: int = 20) -> tuple[CheckRecord, ...]:
        """The newest checks of a device, newest first."""
        condition = "WHERE device.name = ? ORDER BY history.id DESC LIMIT ?"
        return read(self.path, lambda connection: self._records(connection, condition, (name, limit)), ())

    def newest(self) -> datetime | None:
        """When a device was last enrolled or checked; None when nothing is in the register."""
        # All times are written by `_text`, in one zone, so that their order as text is their order.
        empty: tuple[str | None, ...] = (None,)
        (text,) = read(self.path, lambda connection: connection.execute(_NEWEST).fetchone(), empty)
        return None if text is None else self._time(text)

    def latest(self) -> Mapping[str, CheckRecord]:
        """The newest check of each device, unreachable ones included."""
        return self._newest("WHERE history.id IN (SELECT max(id) FROM history GROUP BY device)")

    def latest_verdicts(self) -> Mapping[str, CheckRecord]:
        """The newest check of each device that found something out."""
        return self._newest(
            "WHERE history.id IN (SELECT max(id) FROM history WHERE outcome <> ? GROUP BY device)", UNREACHABLE
        )

    def memories(self) -> Mapping[str, Memory]:
        """What is remembered of each device; nothing of one that only an older cmakeys has checked."""
        return read(self.path, self._memories, {})

    def _memories(self, connection: sqlite3.Connection) -> Mapping[str, Memory]:
        rows = connection.execute(
            "SELECT name, state, began, silent, passed_at, observed, changed_at, changes"
            " FROM memory JOIN device ON device.id = memory.device"
        )
        return {
            name: Memory(
                state,
                self._time(began),
                silent,
                None if passed_at is None else self._time(passed_at),
                observed,
                None if changed_at is None else self._time(changed_at),
                self._texts(changes),
            )
            for name, state, began, silent, passed_at, observed, changed_at, changes in rows
        }

    def _newest(self, condition: str, *values: str) -> Mapping[str, CheckRecord]:
        empty: tuple[CheckRecord, ...] = ()
        records = read(self.path, lambda connection: self._records(connection, condition, values), empty)
        return {record.device: record for record in records}

    def _records(
        self, connection: sqlite3.Connection, condition: str, values: Sequence[str | int]
    ) -> tuple[CheckRecord, ...]:
        rows = connection.execute(
            "SELECT device.name, checked_at, outcome, reason, detail"  # noqa: S608 (the condition is written above)
            f" FROM history JOIN device ON device.id = history.device {condition}",
            values,
        )
        return tuple(
            CheckRecord(name, self._time(checked_at), outcome, reason, detail)
            for name, checked_at, outcome, reason, detail in rows
        )

    def _devices(self, connection: sqlite3.Connection) -> tuple[EnrolledDevice, ...]:
        rows = connection.execute(f"SELECT id, {_DEVICE_COLUMNS} FROM device ORDER BY name").fetchall()  # noqa: S608
        return tuple(self._device(connection, number, values) for number, *values in rows)

    def _device(self, connection: sqlite3.Connection, number: int, values: Sequence[object]) -> EnrolledDevice:
        name, address, slot, kind, pin, identity, *negotiated, root_name, root_sha256, note, enrolled_at = values
        certificates = connection.execute("SELECT der FROM certificate WHERE device = ? ORDER BY position", (number,))
        measurements = connection.execute(
            "SELECT position, value_type, value, specification FROM measurement WHERE device = ? ORDER BY position",
            (number,),
        )
        try:
            return EnrolledDevice(
                name=str(name),
                address=str(address),
                pin=Pin(PinKind(kind), str(pin)),
                chain=tuple(Certificate.from_der(der, f"{self.path}, device {name}") for (der,) in certificates),
                enrolled_at=self._time(str(enrolled_at)),
                identity=None if identity is None else PciIdentity.parse(str(identity)),
                slot=slot if isinstance(slot, int) else None,
                at_enrolment=Negotiated(*map(str, negotiated[:3])),
                last=Negotiated(*map(str, negotiated[3:])),
                measurements=tuple(MeasurementBlock(*row) for row in measurements),
                root_name=str(root_name),
                root_fingerprint=str(root_sha256),
                note=str(note),
            )
        except (ValueError, CmakeysError) as error:
            raise RegisterDamaged(
                f"the entry of device {name} is damaged: {error}",
                object=str(self.path),
                hint="put back a copy of the register, or take the device out with: cmakeys devices forget",
            ) from error

    def _time(self, text: str) -> datetime:
        try:
            return datetime.fromisoformat(text)
        except ValueError as error:
            raise RegisterDamaged(
                f"{text!r} is no time", object=str(self.path), hint="put back a copy of the register"
            ) from error

    def _texts(self, text: str) -> tuple[str, ...]:
        try:
            return tuple(str(one) for one in json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise RegisterDamaged(
                "what changed about a device cannot be read",
                object=str(self.path),
                hint="put back a copy of the register",
            ) from error

    def check_present(self, name: str) -> None:
        """Raise `NotFound` when no device has that name; works for an entry that is damaged, too."""
        if name not in self._names():
            raise self._no_such(name)

    def check_free(self, name: str, address: str, *, replace: bool) -> None:
        """Raise what `enroll`, or with `replace` what `re_enroll`, would raise about a name and an address."""
        names = self._names()
        if replace and name not in names:
            raise self._no_such(name)
        for other, place in names.items():
            if (other == name and not replace) or (place == address and other != name):
                raise self._taken(name, other)

    def _names(self) -> Mapping[str, str]:
        empty: dict[str, str] = {}
        return read(self.path, lambda connection: dict(connection.execute("SELECT name, address FROM device")), empty)

    # -- writing ------------------------------------------------------------------------------------------------------

    def enroll(self, device: EnrolledDevice, first: CheckRecord | None = None) -> None:
        """Add a device, and the check that it passed, in one transaction.

        Raises `Refused` when the name or the address is taken.
        """
        with writing(self.path) as connection:
            self._refuse_taken(connection, device)
            self._insert(connection, device)
            self._append(connection, [first] if first else [])

    def re_enroll(self, device: EnrolledDevice, first: CheckRecord | None = None) -> None:
        """Put a device in the place of the one that has its name, and keep that one's history, in one transaction.

        Raises `NotFound` when there is none of that name, `Refused` when the address belongs to another one.
        """
        with writing(self.path) as connection:
            number = self._number(connection, device.name)
            history = connection.execute(
                "SELECT checked_at, outcome, reason, detail FROM history WHERE device = ? ORDER BY id", (number,)
            ).fetchall()
            connection.execute("DELETE FROM device WHERE id = ?", (number,))
            self._refuse_taken(connection, device)
            number = self._insert(connection, device)
            connection.executemany(
                "INSERT INTO history (device, checked_at, outcome, reason, detail) VALUES (?, ?, ?, ?, ?)",
                [(number, *row) for row in history],
            )
            self._append(connection, [first] if first else [])

    def forget(self, name: str) -> None:
        """Take a device and its history out. Raises `NotFound`, and then creates no register either."""
        if not self.path.exists():
            raise self._no_such(name)
        with writing(self.path) as connection:
            connection.execute("DELETE FROM device WHERE id = ?", (self._number(connection, name),))

    def record(self, records: Iterable[CheckRecord]) -> None:
        """Add checks to the history; those of devices that were forgotten meanwhile are dropped."""
        records = list(records)
        if records:
            with writing(self.path) as connection:
                self._append(connection, records)

    def _refuse_taken(self, connection: sqlite3.Connection, device: EnrolledDevice) -> None:
        row = connection.execute(
            "SELECT name FROM device WHERE name = ? OR address = ?", (device.name, device.address)
        ).fetchone()
        if row is not None:
            raise self._taken(device.name, str(row[0]))

    def _taken(self, name: str, other: str) -> Refused:
        what = "the name is taken" if other == name else f"its address is enrolled already, as {other}"
        hint = f"to enrol it anew: cmakeys devices enroll … --name {other} --replace"
        return Refused(what, object=name, hint=hint)

    def _number(self, connection: sqlite3.Connection, name: str) -> int:
        row = connection.execute("SELECT id FROM device WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise self._no_such(name)
        return int(row[0])

    def _no_such(self, name: str) -> NotFound:
        return NotFound("no such device", object=name, hint="see cmakeys devices list")

    def _insert(self, connection: sqlite3.Connection, device: EnrolledDevice) -> int:
        negotiated = [
            text for one in (device.at_enrolment, device.last) for text in (one.version, one.asymmetric, one.hash)
        ]
        identity = device.identity.san_string() if device.identity else None
        values = (
            *(device.name, device.address, device.slot, device.pin.kind.value, device.pin.value, identity),
            *negotiated,
            *(device.root_name, device.root_fingerprint, device.note, _text(device.enrolled_at)),
        )
        marks = ", ".join("?" * len(values))
        cursor = connection.execute(f"INSERT INTO device ({_DEVICE_COLUMNS}) VALUES ({marks})", values)  # noqa: S608
        number = cursor.lastrowid or 0
        connection.executemany(
            "INSERT INTO certificate (device, position, der) VALUES (?, ?, ?)",
            [(number, position, certificate.der) for position, certificate in enumerate(device.chain)],
        )
        connection.executemany(
            "INSERT INTO measurement (device, position, specification, value_type, value) VALUES (?, ?, ?, ?, ?)",
            [(number, one.index, one.specification, one.value_type, one.value) for one in device.measurements],
        )
        return number

    def _append(self, connection: sqlite3.Connection, records: Iterable[CheckRecord]) -> None:
        for record in records:
            row = connection.execute("SELECT id FROM device WHERE name = ?", (record.device,)).fetchone()
            if row is None:
                continue
            (number,) = row
            connection.execute(
                "INSERT INTO history (device, checked_at, outcome, reason, detail) VALUES (?, ?, ?, ?, ?)",
                (number, _text(record.checked_at), record.outcome, record.reason, record.detail),
            )
            connection.execute(
                "DELETE FROM history WHERE device = ? AND id NOT IN"
                " (SELECT id FROM history WHERE device = ? ORDER BY id DESC LIMIT ?)",
                (number, number, KEPT),
            )
            if record.memory is not None:
                _remember(connection, number, record.memory)
            if record.negotiated is not None:
                one = record.negotiated
                connection.execute(
                    "UPDATE device SET last_version = ?, last_asymmetric = ?, last_hash = ? WHERE id = ?",
                    (one.version, one.asymmetric, one.hash, number),
                )


def _remember(connection: sqlite3.Connection, number: int, memory: Memory) -> None:
    passed, changed = memory.passed_at, memory.changed_at
    connection.execute(
        "INSERT OR REPLACE INTO memory (device, state, began, silent, passed_at, observed, changed_at, changes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number, memory.state, _text(memory.began), memory.silent, None if passed is None else _text(passed)),
            *(memory.observed, None if changed is None else _text(changed), json.dumps(memory.changes)),
        ),
    )


def _text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat()
