"""CoRIM files: whose signature counts, when they are valid, and that hostile ones are nothing but an error."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import cast

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.corim.decoding import MAX_DEPTH, CorimProblem
from cmakeys.corim.manifest import Claim, read_manifest
from cmakeys.corim.matching import Identity, Subject, select
from cmakeys.corim.reading import take
from cmakeys.corim.signature import read_signer
from cmakeys.errors import UsageProblem
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.verify.comparison import Match, compare
from cmakeys.verify.measurement_rules import Rules
from cmakeys.verify.statement import Statement
from cmakeys.verify.tcb_statement import TcbStatement
from tests.corim.publisher import (
    EDDSA,
    ES256,
    ES384,
    ES512,
    PS256,
    PS384,
    PS512,
    Publisher,
    corim,
    digest,
    unsigned,
)

ONE, TWO = b"\x01" * 48, b"\x02" * 48
DOCUMENT = corim([(2, digest(ONE)), (16, {1: cbor2.CBORTag(553, 7)})])
PLAIN = unsigned(DOCUMENT)
ACME = Subject((Identity("the test", "Acme", "X1"),), ())
BYTES, MASKED = 560, 563
COMID = cast(bytes, cast(list[cbor2.CBORTag], DOCUMENT[1])[0].value)


@cache
def publisher() -> Publisher:
    return Publisher()


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def taken(data: bytes, pem: bytes, tmp_path: Path, now: datetime | None = None) -> str:
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "key").write_bytes(pem)
    return take(tmp_path / "file", tmp_path / "key", unsigned=False, now=now or datetime.now(UTC)).source


def stated(*values: dict[int, object], index: int = 2) -> tuple[Statement, ...]:
    (found,) = select(read_manifest(unsigned(corim([(index, one) for one in values])), "x"), ACME, "x").stated
    return found.alternatives


@pytest.mark.parametrize(
    ("algorithm", "curve"), [(ES256, ec.SECP256R1()), (ES384, ec.SECP384R1()), (ES512, ec.SECP521R1())]
)
def test_ecdsa_signatures_are_verified(algorithm: int, curve: ec.EllipticCurve, tmp_path: Path) -> None:
    signer = Publisher(ec.generate_private_key(curve), algorithm)
    assert "signed by Acme signing (key SHA-256 " in taken(signer.signed(DOCUMENT), signer.pem, tmp_path)


@pytest.mark.parametrize("algorithm", [PS256, PS384, PS512])
def test_pss_signatures_are_verified(algorithm: int, tmp_path: Path) -> None:
    signer = Publisher(rsa_key(), algorithm)
    assert "signed by" in taken(signer.signed(DOCUMENT), signer.pem, tmp_path)


def test_eddsa_signatures_are_verified(tmp_path: Path) -> None:
    signer = Publisher(ed25519.Ed25519PrivateKey.generate(), EDDSA)
    assert "signed by" in taken(signer.signed(DOCUMENT), signer.pem, tmp_path)


def test_the_wrappers_of_older_drafts_are_read(tmp_path: Path) -> None:
    data = publisher().signed(DOCUMENT, wrappers=(502, 500))
    assert "acme-fw-2" in taken(data, publisher().pem, tmp_path)


def test_another_key_than_the_named_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorimProblem, match="not one of the named signer"):
        taken(publisher().signed(DOCUMENT), Publisher().pem, tmp_path)
    with pytest.raises(CorimProblem, match="not one for the named signer's key"):
        taken(publisher().signed(DOCUMENT), Publisher(rsa_key(), PS256).pem, tmp_path)


def test_what_was_changed_after_signing_is_refused(tmp_path: Path) -> None:
    data = publisher().signed(DOCUMENT)
    assert data.count(ONE) == 1
    with pytest.raises(CorimProblem, match="not one of the named signer"):
        taken(data.replace(ONE, TWO), publisher().pem, tmp_path)


def test_validities_are_held_against_the_clock(tmp_path: Path) -> None:
    with pytest.raises(CorimProblem, match="validity of the file ended"):
        taken(publisher().signed(corim([(2, digest(ONE))], days=-1)), publisher().pem, tmp_path)
    past = cbor2.CBORTag(1, 1_600_000_000)
    late = Publisher(publisher().key, meta={0: {0: "Acme"}, 1: {1: past}})
    with pytest.raises(CorimProblem, match="validity of the signature ended"):
        taken(late.signed(DOCUMENT), late.pem, tmp_path)
    early = Publisher(publisher().key, meta={0: {0: "Acme"}, 1: {0: cbor2.CBORTag(1, 1 << 33), 1: past}})
    with pytest.raises(CorimProblem, match="begins only"):
        taken(early.signed(DOCUMENT), early.pem, tmp_path)


def test_one_way_to_trust_it_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(unsigned(DOCUMENT))
    now = datetime.now(UTC)
    with pytest.raises(UsageProblem):
        take(path, None, unsigned=False, now=now)
    with pytest.raises(CorimProblem, match="nobody signed"):
        taken(unsigned(DOCUMENT), publisher().pem, tmp_path)
    assert "nobody signed" in take(path, None, unsigned=True, now=now).warning
    path.write_bytes(publisher().signed(DOCUMENT))
    assert "not checked" in take(path, None, unsigned=True, now=now).warning


def test_only_an_environment_of_the_device_counts() -> None:
    for environment in (
        {0: {1: "Other"}},
        {0: {1: "Acme", 2: "X2"}},
        {0: {1: "Acme", 3: 0}},
        {2: cbor2.CBORTag(560, b"g")},
    ):
        manifest = read_manifest(unsigned(corim([(2, digest(ONE))], environment)), "x")
        with pytest.raises(CorimProblem, match="nothing in it is about this device"):
            select(manifest, ACME, "x")
    manifest = read_manifest(unsigned(corim([(2, digest(ONE))], {0: {1: "Acme", 2: "X1"}})), "x")
    assert select(manifest, ACME, "x").matched == ("vendor Acme, model X1",)


@pytest.mark.parametrize(
    ("values", "value_type", "value", "good"),
    [
        ([digest(ONE)], 1, ONE, True),
        ([digest(ONE)], 1, TWO, False),
        ([digest(ONE), digest(TWO)], 1, TWO, True),
        ([{2: [[1, b"\x01" * 32], [7, ONE]]}], 1, ONE, True),
        ([digest(ONE)], 0x81, ONE, False),
        ([{4: cbor2.CBORTag(BYTES, b"\x0f\x01")}], 0x83, b"\x0f\x01", True),
        ([{4: cbor2.CBORTag(MASKED, [b"\x0f\x01", b"\xff\x00"])}], 0x83, b"\x0f\x99", True),
        ([{4: cbor2.CBORTag(MASKED, [b"\x0f\x01", b"\xff\x00"])}], 0x83, b"\x0e\x01", False),
        ([{4: cbor2.CBORTag(MASKED, [b"\x0f\x01", b"\xff\x00"])}], 0x83, b"\x0f", False),
        ([{4: cbor2.CBORTag(BYTES, b"\x0f\x01"), 5: b"\xff\x00"}], 0x83, b"\x0f\x99", True),
        ([{1: cbor2.CBORTag(553, 7)}], 0x87, (9).to_bytes(8, "little"), True),
        ([{1: cbor2.CBORTag(553, 7)}], 0x87, (6).to_bytes(8, "little"), False),
        ([{1: cbor2.CBORTag(552, 7)}], 0x87, (9).to_bytes(8, "little"), False),
        ([{1: 7}], 0x87, (7).to_bytes(8, "little"), True),
        ([{1: 7}], 1, (7).to_bytes(48, "little"), False),
        ([{1: cbor2.CBORTag(553, 7)}], 0x85, (9).to_bytes(8, "little"), False),
        ([{1: 0}], 0x83, b"\x00", False),
    ],
)
def test_a_measurement_is_held_against_what_is_stated(
    values: list[dict[int, object]], value_type: int, value: bytes, good: bool
) -> None:
    found = select(read_manifest(unsigned(corim([(2, one) for one in values])), "x"), ACME, "x").stated
    (line,) = compare((), (MeasurementBlock(2, value_type, value),), Rules(), found)
    assert line.match.good is good
    assert bool(line.difference) is not good


def test_long_identifiers_that_differ_at_the_end_are_two() -> None:
    same = b"\x01" * 300
    environments = [
        read_manifest(unsigned(corim([(2, digest(ONE))], {1: cbor2.CBORTag(BYTES, same + end)})), "x")
        for end in (b"\x01", b"\x02", b"\x01")
    ]
    one, two, again = (manifest.triples[0].environment.instance for manifest in environments)
    assert one == again != two
    assert one is not None
    assert len(one) < 100


def test_a_stated_index_that_is_not_measured_is_missing() -> None:
    found = select(read_manifest(unsigned(DOCUMENT), "x"), ACME, "x").stated
    assert {line.match for line in compare((), (), Rules(), found)} == {Match.MISSING}


def test_what_no_block_can_be_held_against_is_told() -> None:
    document = corim([(2, {**digest(ONE), 0: {0: "1.2"}}), (None, digest(TWO)), ("text", digest(TWO))])
    manifest = read_manifest(unsigned(document), "x")
    assert manifest.triples[0].claims[0] == Claim(2, Statement((ONE,)), ("version",))
    assert select(manifest, ACME, "x").not_compared == (
        "index 2: version",
        "a measurement without an index: no certificate has a TcbInfo of vendor Acme",
        "a measurement without an index: its key is no index of SPDM",
    )


def test_what_a_measurement_without_a_key_says_of_certificates_is_read() -> None:
    flags = {0: True, 1: True, 3: False, 9: True}
    values = {0: {0: "1.2", 1: 1}, 1: cbor2.CBORTag(553, 7), **digest(ONE), 3: flags, 4: b"raw", 11: "name"}
    (claim,) = read_manifest(unsigned(corim([(None, values)])), "x").triples[0].claims
    assert claim.tcb == TcbStatement(
        "1.2",
        7,
        at_least=True,
        digests=(ONE,),
        flags=(("debug", False), ("not configured", False), ("not secure", False)),
    )
    assert claim.statement is None
    assert sorted(claim.not_compared) == ["a flag that TcbInfo does not have", "name", "raw value"]


@pytest.mark.parametrize("values", [{3: {0: 1}}, {3: "flags"}, {0: "1.2"}, {0: {1: 1}}, {0: {0: ""}}, {1: -1}])
def test_what_is_said_wrongly_of_certificates_is_refused(values: dict[int, object]) -> None:
    with pytest.raises(CorimProblem):
        read_manifest(unsigned(corim([(None, values)])), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\x81" * (MAX_DEPTH + 8) + b"\x00",
        PLAIN.replace(b"\xd9\x01\xf5\xa3", b"\xd9\x01\xf5\xbf", 1) + b"\xff",  # a map without a length
        PLAIN.replace(b"\xd9\x01\xf5\xa3", b"\xd9\x01\xf5\xa4", 1) + b"\x00\x61b",  # a key twice
        b"\xd8\x1c\x81\xd8\x1d\x00",  # an array that holds itself
        b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff",  # more members than there is memory
        unsigned(corim([(255, digest(ONE))])),
        unsigned(corim([(2, digest(ONE[:-1]))])),
        unsigned(corim([(2, digest(ONE, 99))])),
        unsigned(corim([(2, {4: cbor2.CBORTag(MASKED, [b"\x00", b"\x00"])})])),
        unsigned(corim([(2, {4: cbor2.CBORTag(MASKED, [b"\x00", b""])})])),
        unsigned(corim([(2, digest(ONE))], {})),
        unsigned(corim([(2, digest(ONE))], {0: {1: "\x1b[2J"}})),
        unsigned({**DOCUMENT, 4: {1: cbor2.CBORTag(1, 1 << 62)}}),
        cbor2.dumps(cbor2.CBORTag(18, [b"", {}, b"", b""])),
        PLAIN + b"\x00",
        unsigned({**DOCUMENT, 1: [cbor2.CBORTag(506, COMID + b"\x00")]}),
        PLAIN.replace(b"\xd9\x01\xf5\xa3\x00", b"\xd9\x01\xf5\xa3\xf4", 1),  # the id under false
        PLAIN.replace(b"\xd9\x01\xf5\xa3\x00", b"\xd9\x01\xf5\xa3\xf9\x00\x00", 1),  # and under 0.0
        PLAIN.replace(b"\xd9\x01\xf5\xa3", b"\xd9\x01\xf5\xa4", 1) + b"\xf9\x7e\x00\x00",  # not-a-number for a key
    ],
    ids=lambda _: "",  # the bytes hold the time, and every worker has to find the same names
)
def test_a_malformed_file_is_one_clean_error(data: bytes) -> None:
    with pytest.raises(CorimProblem):
        read_manifest(data, "x")


@given(st.data())
def test_a_mutated_file_is_read_or_is_a_clean_error(data: st.DataObject) -> None:
    original = data.draw(st.sampled_from([unsigned(DOCUMENT), publisher().signed(DOCUMENT)]))
    octets = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    octets = octets[: data.draw(st.integers(1, len(octets)))]
    try:
        manifest = read_manifest(bytes(octets), "x")
        if manifest.envelope is not None and bytes(octets) != original:
            signer = read_signer(publisher().pem, "key")
            manifest.hold(signer, datetime.now(UTC), "x")
            assert manifest.envelope.payload in original
        select(manifest, ACME, "x")
    except CorimProblem:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_a_clean_error(octets: bytes) -> None:
    with pytest.raises(CorimProblem):
        read_manifest(octets, "x")


def test_a_signer_is_a_key_or_a_certificate() -> None:
    with pytest.raises(UsageProblem):
        read_signer(b"nothing", "file")
    assert read_signer(publisher().pem, "file").validity is None
