"""The reference's worked vectors (chapter 12): prefixes, CHALLENGE_AUTH and MEASUREMENTS signatures."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cmakeys.spdm.algorithms import BaseAsym, BaseHash
from cmakeys.spdm.codes import Version
from cmakeys.spdm.signing import Context, SignatureProblem, Statement, combined_prefix, verify_statement

KEY = ec.EllipticCurvePublicKey.from_encoded_point(
    ec.SECP256R1(),
    b"\x04"
    + bytes.fromhex(
        "69bedfaa222db7bec20271b99f83d410897835a40bdc5c5d704057da24c2ccbc"
        "1f88e846af80c7e6b1b50ad83d418499b1a95a9236b30801c854e5f46461db4f"
    ),
)

# (version, VCA, CHALLENGE, CHALLENGE_AUTH without signature, signature, Hash(M1))
CHALLENGES = [
    (
        Version.V11,
        (
            "108400001004000000050010001100120013001411e1000000000000060000001161000000000000f7fb000011e304003000"
            "0100100000000100000000000000000000000000000000000000022008000320020004200f00052001001163040034000100"
            "0200000010000000010000000000000000000000000000000000000002200800032002000420080005200100"
        ),
        ("11830000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        (
            "11030003f59e14d3480dd2c8b39a33000894c5f79001b17dbd9652e72d19a3d83ebe6606125ed458a269c9ea01f457d6d6b4"
            "83425b2419ee9568399e52c97fedd36542010000"
        ),
        (
            "cb2d17789133b7cafceb97dabf96557d423de7cf594edd7a48b0375a462a922c6715740ea9a27153c633a0947ab0c32fac6a"
            "035d8ff789ff2d38b7dfc13f5add"
        ),
        ("807259c1b96bc18e7ba2347b24f3819dffa2908f6ecc1634e8a5da7d0f711f06"),
    ),
    (
        Version.V12,
        (
            "108400001004000000050010001100120013001412e10000000000000600000000120000001200001261000000000000f7fb"
            "1a00001200000080020012e30400300001021000000001000000000000000000000000000000000000000220080003200200"
            "04200f0005200100126304003400010202000000100000000100000000000000000000000000000000000000022008000320"
            "02000420080005200100"
        ),
        ("12830000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        (
            "12030003f59e14d3480dd2c8b39a33000894c5f79001b17dbd9652e72d19a3d83ebe660650127413060462495e4ab1547c63"
            "84b15785efc3d1c72c535cffb7d9db7cd06f0000"
        ),
        (
            "4aef0ed50e60d18db0bae2c09f70d72a4c3f204adff4823f234a2ea7d42b2a0f172f0a608de13fb3648985278a4fdf8ee115"
            "96d7e7b5f3714ffaf41f4b415910"
        ),
        ("6b829994efafc2744a64ff2fb7d5149fe9d8842a845cbf9637c6bfb96f78743e"),
    ),
    (
        Version.V13,
        (
            "108400001004000000050010001100120013001413e10000000000000600000000120000001200001361000000000000f7fb"
            "9a39001200000080020013e30400300001021000000001000000000000000000000000000000000000000220080003200200"
            "04200f0005200100136304003400010202000000100000000100000000000000000000000000000000000000022008000320"
            "02000420080005200100"
        ),
        ("13830000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fa0a1a2a3a4a5a6a7"),
        (
            "13030003f59e14d3480dd2c8b39a33000894c5f79001b17dbd9652e72d19a3d83ebe66062d3cff504206e2d7b77ca4da7a71"
            "5a51360686697306454c2921c40188596de60000a0a1a2a3a4a5a6a7"
        ),
        (
            "27d55a0032a66f04921f048abf6fea5ac43c225ac30a2fad9bab4d29c1ee7e27d362706e70ca65cb728a6734ed776dba0a64"
            "9b59437988672d39b630be38cc1c"
        ),
        ("e362032d2d0b8340454388e7945cabd09d32059e0071b5f8c6474b37bf5c3b08"),
    ),
]

MEASUREMENTS_VCA = (
    "108400001004000000050010001100120013001412e10000000000000600000000120000001200001261000000000000f7fb"
    "1a00001200000080020012e30400300001021000000001000000000000000000000000000000000000000220080003200200"
    "04200f0005200100126304003400010202000000100000000100000000000000000000000000000000000000022008000320"
    "02000420080005200100"
)
GET_MEASUREMENTS = "12e00110000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00"
MEASUREMENTS = (
    "12600020010f000010010b008708000700000000000000ff1142687c8487d53c84a72d65358566a2b617207e12b9bf9b58ca3834ae09980000"
)
MEASUREMENTS_SIGNATURE = (
    "28ae28d52e9c162c02d35912cdb478ac2d1e57af20a9954c63a35768850d06c8b540a7e9141ae23910144eae7fbc1a46aad6"
    "6d337c7b2d6a8581859b9cb13ea0"
)
MEASUREMENTS_L1_HASH = "6bbc4ff53b70d041a95d881085555142604bd4649130c64314035595868c5659"

PREFIX_MEASUREMENTS_12 = (
    "646d74662d7370646d2d76312e322e2a646d74662d7370646d2d76312e322e2a646d74662d7370646d2d76312e322e2a646d"
    "74662d7370646d2d76312e322e2a000000000000726573706f6e6465722d6d6561737572656d656e7473207369676e696e67"
)
PREFIX_FINISH_13 = (
    "646d74662d7370646d2d76312e332e2a646d74662d7370646d2d76312e332e2a646d74662d7370646d2d76312e332e2a646d"
    "74662d7370646d2d76312e332e2a0000000000000000000000007265717565737465722d66696e697368207369676e696e67"
)


def challenge_statement(row: tuple[Version, str, str, str, str, str]) -> Statement:
    version, vca, challenge, answer, signature, _ = row
    transcript = bytes.fromhex(vca + challenge + answer)
    return Statement(
        Context.CHALLENGE_AUTH,
        version,
        BaseAsym.ECDSA_P256,
        BaseHash.SHA_256,
        0,
        transcript,
        bytes.fromhex(signature),
        b"",
        b"",
    )


def measurements_statement() -> Statement:
    transcript = bytes.fromhex(MEASUREMENTS_VCA + GET_MEASUREMENTS + MEASUREMENTS)
    signature = bytes.fromhex(MEASUREMENTS_SIGNATURE)
    return replace(
        challenge_statement(CHALLENGES[1]), context=Context.MEASUREMENTS, transcript=transcript, signature=signature
    )


def test_the_combined_prefix_is_right_aligned_and_names_the_version() -> None:
    assert combined_prefix(Version.V12, Context.MEASUREMENTS).hex() == PREFIX_MEASUREMENTS_12
    assert combined_prefix(Version.V13, Context.FINISH).hex() == PREFIX_FINISH_13


@pytest.mark.parametrize("context", list(Context))
def test_every_prefix_has_100_bytes(context: Context) -> None:
    assert len(combined_prefix(Version.V14, context)) == 100


@pytest.mark.parametrize("row", CHALLENGES, ids=lambda row: str(row[0]))
def test_recorded_challenge_signatures_verify(row: tuple[Version, str, str, str, str, str]) -> None:
    statement = challenge_statement(row)
    assert hashlib.sha256(statement.transcript).hexdigest() == row[5]
    verify_statement(statement, KEY)


def test_the_recorded_measurements_signature_verifies() -> None:
    statement = measurements_statement()
    assert hashlib.sha256(statement.transcript).hexdigest() == MEASUREMENTS_L1_HASH
    verify_statement(statement, KEY)


@pytest.mark.parametrize("row", CHALLENGES[1:], ids=lambda row: str(row[0]))
def test_a_signature_for_one_purpose_is_none_for_another(row: tuple[Version, str, str, str, str, str]) -> None:
    with pytest.raises(SignatureProblem, match="does not verify"):
        verify_statement(replace(challenge_statement(row), context=Context.MEASUREMENTS), KEY)


def test_a_signature_of_one_version_is_none_of_another() -> None:
    with pytest.raises(SignatureProblem, match="does not verify"):
        verify_statement(replace(challenge_statement(CHALLENGES[1]), version=Version.V13), KEY)


def test_a_key_of_another_type_is_refused_by_name() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(SignatureProblem, match="cannot make the negotiated ECDSA-P256"):
        verify_statement(measurements_statement(), other)


def test_a_signature_of_another_length_is_refused() -> None:
    statement = measurements_statement()
    with pytest.raises(SignatureProblem, match="63 bytes"):
        verify_statement(replace(statement, signature=statement.signature[:-1]), KEY)
