"""The register of enrolled devices and the history of their checks.

Every operation opens the database, does its work in one transaction and closes it, so that several processes and a
killed one never see half of anything. How much history is kept is `retention`'s business, what can be asked of it
`chronicle`'s.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.devices.database import RegisterDamaged, read, writing
from cmakeys.devices.enrolled import UNREACHABLE, CheckRecord, EnrolledDevice, Memory, Negotiated
from cmakeys.devices.retention import Retention, trim_age, trim_device
from cmakeys.errors import CmakeysError, NotFound, Refused, UsageProblem
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.pin import Pin, PinKind

FILE_NAME = "devices.db"

DEFAULT_RETENTION = Retention()

_DEVICE_COLUMNS = (
    "name, address, slot, pin_kind, pin_value, identity, enrolled_version, enrolled_asymmetric, enrolled_hash,"
    " last_version, last_asymmetric, last_hash, root_name, root_sha256, note, public_key,"
    " enrolled_at"
)

_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)

_NEWEST = """SELECT max(moment) FROM
    (SELECT max(enrolled_at) AS moment FROM device WHERE enrolled_at <= :until
     UNION ALL SELECT max(checked_at) FROM history WHERE checked_at <= :until)"""


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
        found = self._only("WHERE name = ?", name)
        if found is None:
            raise self._no_such(name)
        return found

    def at_address(self, address: str) -> EnrolledDevice | None:
        """The device enrolled at an address, if any."""
        return self._only("WHERE address = ?", address)

    def public_keys(self) -> tuple[ProvisionedKey, ...]:
        """The keys of all devices that were enrolled without certificates."""
        return read(self.path, self._public_keys, ())

    def _public_keys(self, connection: sqlite3.Connection) -> tuple[ProvisionedKey, ...]:
        keys = []
        for name, octets in connection.execute("SELECT name, public_key FROM device WHERE public_key IS NOT NULL"):
            try:
                keys.append(_public_key(octets))
            except UsageProblem as error:
                raise self._damaged_entry(name, error) from error
        return tuple(keys)

    def _only(self, condition: str, value: str) -> EnrolledDevice | None:
        nobody: tuple[EnrolledDevice, ...] = ()
        found = read(self.path, lambda connection: self._devices(connection, condition, (value,)), nobody)
        return found[0] if found else None

    def history(self, name: str, limit: int = 20) -> tuple[CheckRecord, ...]:
        """The newest checks of a device, newest first."""
        condition = "WHERE device.name = ? ORDER BY history.id DESC LIMIT ?"
        return read(self.path, lambda connection: self._records(connection, condition, (name, limit)), ())

    def newest(self, until: datetime = _LAST_MOMENT) -> datetime | None:
        """When a device was last enrolled or checked, `until` included; None when there is no such record."""
        # All times are written by `_text`, in one zone, so that their order as text is their order.
        empty: tuple[str | None, ...] = (None,)
        words = {"until": _text(until)}
        (text,) = read(self.path, lambda connection: connection.execute(_NEWEST, words).fetchone(), empty)
        return None if text is None else self._time(text)

    def latest(self) -> Mapping[str, CheckRecord]:
        """The newest check of each device that was checked at all."""
        return self._newest("")

    def latest_verdicts(self) -> Mapping[str, CheckRecord]:
        """The newest check of each device that found something out."""
        return self._newest("AND outcome <> ?", UNREACHABLE)

    def memories(self) -> Mapping[str, Memory]:
        """What is remembered of each device; nothing of one that only an older cmakeys has checked."""
        return read(self.path, self._memories, {})

    def _memories(self, connection: sqlite3.Connection) -> Mapping[str, Memory]:
        rows = connection.execute(
            "SELECT name, state, began, silent, passed_at, observed, changed_at, changes, silent_since"
            " FROM memory JOIN device ON device.id = memory.device"
        )
        return {
            name: Memory(
                state,
                self._time(began),
                silent,
                self._moment(passed_at),
                observed,
                self._moment(changed_at),
                self._texts(changes),
                self._moment(silent_since),
            )
            for name, state, began, silent, passed_at, observed, changed_at, changes, silent_since in rows
        }

    def _newest(self, condition: str, *values: str) -> Mapping[str, CheckRecord]:
        newest = (  # the condition is one of two, both written above
            "WHERE history.id IN (SELECT (SELECT one.id FROM history AS one WHERE one.device = each.id "  # noqa: S608
            + condition
            + " ORDER BY one.id DESC LIMIT 1) FROM device AS each)"
        )
        empty: tuple[CheckRecord, ...] = ()
        records = read(self.path, lambda connection: self._records(connection, newest, values), empty)
        return {record.device: record for record in records}

    def _records(
        self, connection: sqlite3.Connection, condition: str, values: Sequence[str | int]
    ) -> tuple[CheckRecord, ...]:
        rows = connection.execute(
            "SELECT device.name, checked_at, outcome, reason, detail, news"  # noqa: S608 (the condition is written above)
            f" FROM history JOIN device ON device.id = history.device {condition}",
            values,
        )
        return tuple(
            CheckRecord(name, self._time(checked_at), outcome, reason, detail, news=bool(news))
            for name, checked_at, outcome, reason, detail, news in rows
        )

    def _devices(
        self, connection: sqlite3.Connection, condition: str = "ORDER BY name", values: Sequence[str] = ()
    ) -> tuple[EnrolledDevice, ...]:
        rows = connection.execute(
            f"SELECT id, {_DEVICE_COLUMNS} FROM device {condition}",  # noqa: S608 (the condition is written above)
            values,
        ).fetchall()
        parsed: dict[bytes, Certificate] = {}
        return tuple(self._device(connection, number, row, parsed) for number, *row in rows)

    def _device(
        self, connection: sqlite3.Connection, number: int, values: Sequence[object], parsed: dict[bytes, Certificate]
    ) -> EnrolledDevice:
        """One entry; a certificate that many devices have in their chains is parsed once, and kept in `parsed`."""
        name, address, slot, kind, pin, identity, *negotiated, root_name, root_sha256, note, public_key, enrolled_at = (
            values
        )
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
                chain=tuple(self._certificate(der, f"{self.path}, device {name}", parsed) for (der,) in certificates),
                enrolled_at=self._time(str(enrolled_at)),
                identity=None if identity is None else PciIdentity.parse(str(identity)),
                slot=slot if isinstance(slot, int) else None,
                at_enrolment=Negotiated(*map(str, negotiated[:3])),
                last=Negotiated(*map(str, negotiated[3:])),
                measurements=tuple(MeasurementBlock(*row) for row in measurements),
                root_name=str(root_name),
                root_fingerprint=str(root_sha256),
                note=str(note),
                key=_public_key(public_key) if isinstance(public_key, bytes) else None,
            )
        except (ValueError, CmakeysError) as error:
            raise self._damaged_entry(name, error) from error

    def _damaged_entry(self, name: object, error: Exception) -> RegisterDamaged:
        return RegisterDamaged(
            f"the entry of device {name} is damaged: {error}",
            object=str(self.path),
            hint="put back a copy of the register, or take the device out with: cmakeys devices forget",
        )

    def _certificate(self, der: bytes, source: str, parsed: dict[bytes, Certificate]) -> Certificate:
        if der not in parsed:
            parsed[der] = Certificate.from_der(der, source)
        return parsed[der]

    def _time(self, text: str) -> datetime:
        try:
            return datetime.fromisoformat(text)
        except ValueError as error:
            raise RegisterDamaged(
                f"{text!r} is no time", object=str(self.path), hint="put back a copy of the register"
            ) from error

    def _moment(self, text: str | None) -> datetime | None:
        return None if text is None else self._time(text)

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

    def check_free_for_move(self, name: str, address: str, *, swap: bool) -> None:
        """Raise what `move` would raise about an address."""
        for other, place in self._names().items():
            if place == address and other != name and not swap:
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
                "SELECT checked_at, outcome, reason, detail, news FROM history WHERE device = ? ORDER BY id", (number,)
            ).fetchall()
            connection.execute("DELETE FROM device WHERE id = ?", (number,))
            self._refuse_taken(connection, device)
            number = self._insert(connection, device)
            connection.executemany(
                "INSERT INTO history (device, checked_at, outcome, reason, detail, news) VALUES (?, ?, ?, ?, ?, ?)",
                [(number, *row) for row in history],
            )
            self._append(connection, [first] if first else [])

    def forget(self, name: str) -> None:
        """Take a device and its history out. Raises `NotFound`, and then creates no register either."""
        if not self.path.exists():
            raise self._no_such(name)
        with writing(self.path) as connection:
            connection.execute("DELETE FROM device WHERE id = ?", (self._number(connection, name),))

    def record(self, records: Iterable[CheckRecord], retention: Retention = DEFAULT_RETENTION) -> None:
        """Add checks to the history, and let go of what is kept no longer.

        Those of devices that were forgotten meanwhile are dropped.
        """
        records = list(records)
        if records:
            with writing(self.path) as connection:
                self._append(connection, records, retention)
                trim_age(connection, retention, max(record.checked_at for record in records))

    def move(self, name: str, address: str, *, swap: bool = False) -> None:
        """Note that a device is at another address now; all else that is known of it stays.

        With `swap` the device that is enrolled there takes its place. Raises `NotFound`, and `Refused` when the address
        belongs to another one.
        """
        if not self.path.exists():
            raise self._no_such(name)
        with writing(self.path) as connection:
            number = self._number(connection, name)
            row = connection.execute(
                "SELECT id, name FROM device WHERE address = ? AND id <> ?", (address, number)
            ).fetchone()
            if row is not None and not swap:
                raise self._taken(name, str(row[1]))
            (left,) = connection.execute("SELECT address FROM device WHERE id = ?", (number,)).fetchone()
            if row is not None:
                connection.execute("UPDATE device SET address = ? WHERE id = ?", (f"swapping {left}", row[0]))
            connection.execute("UPDATE device SET address = ? WHERE id = ?", (address, number))
            if row is not None:
                connection.execute("UPDATE device SET address = ? WHERE id = ?", (left, row[0]))
            connection.execute("DELETE FROM stranger WHERE address = ?", (address,))

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
            *(device.root_name, device.root_fingerprint, device.note, device.key.info if device.key else None),
            _text(device.enrolled_at),
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

    def _append(
        self,
        connection: sqlite3.Connection,
        records: Iterable[CheckRecord],
        retention: Retention = DEFAULT_RETENTION,
    ) -> None:
        for record in records:
            row = connection.execute("SELECT id FROM device WHERE name = ?", (record.device,)).fetchone()
            if row is None:
                continue
            (number,) = row
            connection.execute(
                "INSERT INTO history (device, checked_at, outcome, reason, detail, news) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(number, _text(record.checked_at), record.outcome, record.reason, record.detail),
                    int(record.news),
                ),
            )
            trim_device(connection, number, retention)
            if record.memory is not None:
                _remember(connection, number, record.memory)
            if record.negotiated is not None:
                one = record.negotiated
                connection.execute(
                    "UPDATE device SET last_version = ?, last_asymmetric = ?, last_hash = ? WHERE id = ?",
                    (one.version, one.asymmetric, one.hash, number),
                )


def _public_key(octets: bytes) -> ProvisionedKey:
    return ProvisionedKey.parse(octets, "the public key of a device")


def _remember(connection: sqlite3.Connection, number: int, memory: Memory) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO memory"
        " (device, state, began, silent, passed_at, observed, changed_at, changes, silent_since)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number, memory.state, _text(memory.began), memory.silent, _optional(memory.passed_at), memory.observed),
            *(_optional(memory.changed_at), json.dumps(memory.changes), _optional(memory.silent_since)),
        ),
    )


def _text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat()


def _optional(when: datetime | None) -> str | None:
    return None if when is None else _text(when)
