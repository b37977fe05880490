"""Enrolled devices and checks to fill a register with, and registers as earlier versions wrote them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cmakeys.devices.enrolled import CheckRecord, EnrolledDevice, Negotiated
from cmakeys.devices.register import Register
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.pin import PinKind, compute_pin
from tests.devices.chains import alias_chain

ENROLLED_AT = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
REGISTER_DUMPS = Path(__file__).parent / "registers"
NEGOTIATED = Negotiated("1.2", "ECDSA-P384", "SHA-384")


def sample(name: str = "gpu0", **changes: object) -> EnrolledDevice:
    chain = alias_chain("v1", marked=True)
    device = EnrolledDevice(
        name=name,
        address=f"emu://{name}:2323?transport=doe",
        pin=compute_pin(PinKind.DEVICE_CERTIFICATE, chain),
        chain=chain,
        enrolled_at=ENROLLED_AT,
        identity=PciIdentity(0x10DE, 0x2336, 0x030200, 0xA1, 0x10DE, 0x16C1, 0x48B02D92494BADF4),
        slot=0,
        at_enrolment=NEGOTIATED,
        last=NEGOTIATED,
        measurements=(MeasurementBlock(1, 0, bytes(48)), MeasurementBlock(7, 0x83, b"raw")),
        root_name="vendor",
        root_fingerprint=chain[0].fingerprint,
        note="rack 3, slot 2",
    )
    return replace(device, **changes)  # type: ignore[arg-type]  # the caller names fields of EnrolledDevice


def checked(name: str = "gpu0", outcome: str = "trusted", minutes: int = 0, **changes: object) -> CheckRecord:
    record = CheckRecord(name, ENROLLED_AT + timedelta(minutes=minutes), outcome, f"it is {outcome}", "{}")
    return replace(record, **changes)  # type: ignore[arg-type]  # the caller names fields of CheckRecord


def older_register(directory: Path, schema: int) -> Register:
    """A register in the directory as the last program with that schema left it."""
    register = Register(directory)
    with closing(sqlite3.connect(register.path)) as connection:
        connection.executescript((REGISTER_DUMPS / f"schema-{schema}.sql").read_text())
    register.path.chmod(0o600)
    return register
