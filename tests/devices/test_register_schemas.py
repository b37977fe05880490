"""Registers as earlier versions wrote them: what was in them is there, is written on, and the old file is kept.

`registers/schema-N.sql` are dumps of what the last program with that schema made of one and the same short life.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.devices.database import MIGRATIONS
from cmakeys.devices.enrolled import EnrolledDevice, Memory, Negotiated
from cmakeys.devices.register import Register
from cmakeys.x509.pin import compute_pin
from tests.devices.samples import ENROLLED_AT, NEGOTIATED, REGISTER_DUMPS, checked, older_register, sample

SCHEMAS = sorted(int(path.stem.removeprefix("schema-")) for path in REGISTER_DUMPS.glob("schema-*.sql"))
SINCE_MEMORY, SINCE_NEWS = 2, 3

EVERYTHING = [
    (0, "trusted", True),
    (1, "trusted", False),
    (2, "rejected", True),
    (3, "rejected", False),
    (4, "trusted", True),
]
"""Minutes after the enrolment, what was found, and whether it was another outcome than before."""


def at(minutes: int) -> datetime:
    return ENROLLED_AT.replace(minute=ENROLLED_AT.minute + minutes, tzinfo=UTC)


@pytest.fixture(params=SCHEMAS, ids=lambda schema: f"schema-{schema}")
def older(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[int, Register]:
    return request.param, older_register(tmp_path, request.param)


def facts(device: EnrolledDevice) -> tuple[object, ...]:
    """What an enrolment says; its certificates have other keys in each run of the tests."""
    return (
        *(device.name, device.address, device.slot, device.identity, device.at_enrolment, device.last),
        *(device.measurements, device.root_name, device.note, device.enrolled_at, len(device.chain)),
    )


def check_content(schema: int, register: Register) -> None:
    gpu, nic = register.devices()
    last = Negotiated("1.3", "ECDSA-P384", "SHA-384")
    assert facts(gpu) == facts(sample(last=last))
    assert facts(nic) == facts(sample("nic0", identity=None, slot=None, measurements=(), note="", last=NEGOTIATED))
    for device in (gpu, nic):
        assert device.pin == compute_pin(device.pin.kind, device.chain)
        assert device.root_fingerprint == device.chain[0].fingerprint
    found = [(each.checked_at, each.outcome) for each in reversed(register.history("gpu0"))]
    assert found == [(at(minutes), outcome) for minutes, outcome, _news in EVERYTHING]
    memories = register.memories()
    if schema < SINCE_MEMORY:
        assert memories == {}
    else:
        assert memories == {"gpu0": Memory("trusted", at(4), 0, ENROLLED_AT, '{"a": 1}')}


def test_there_is_a_register_of_every_older_schema() -> None:
    assert set(range(1, len(MIGRATIONS))) <= set(SCHEMAS)


def test_an_older_register_is_read_as_it_is(older: tuple[int, Register]) -> None:
    schema, register = older
    before = register.path.read_bytes()
    check_content(schema, register)
    assert register.path.read_bytes() == before


def test_an_older_register_is_written_on_and_kept(older: tuple[int, Register]) -> None:
    schema, register = older
    register.record([checked(minutes=5, news=False)])
    assert register.history("gpu0", 1)[0].checked_at == at(5)
    with closing(sqlite3.connect(register.path)) as connection:
        connection.execute("DELETE FROM history WHERE checked_at = ?", (at(5).isoformat(),))
        connection.commit()
    check_content(schema, register)
    kept = sorted(path.name for path in register.path.parent.iterdir() if ".schema-" in path.name)
    assert kept == ([] if schema == len(MIGRATIONS) else [f"devices.db.schema-{schema}"])


def test_what_was_news_is_found_out_for_checks_that_did_not_say(older: tuple[int, Register]) -> None:
    schema, register = older
    if schema >= SINCE_NEWS:  # from there on each check says so itself, and those of the dump said no
        assert not any(each.news for each in register.history("gpu0"))
        return
    found = [each.news for each in reversed(register.history("gpu0"))]
    assert found == [news for _minutes, _outcome, news in EVERYTHING]
