"""A bundle is read back as it was written, byte for byte where it is signed, and nothing else is a bundle."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import UsageProblem
from cmakeys.roots.deny import DenyEntry, DenyKind
from cmakeys.roots.document import DocumentProblem
from cmakeys.roots.root import Constraints, LeafNameRule
from cmakeys.roots.signed_bundle import MAX_SIGNATURES, Bundle, pack, read_bundle, render_bundle, signed_message
from cmakeys.roots.signer import PrivateKey, SignerKey, Signers, check_key_id
from tests.roots.bundles import DAY, KINDS, NOW, bundle, pem, private, public, signed
from tests.roots.trust import root

FULL = replace(
    bundle(
        3,
        "2 of e p n",
        (
            replace(root("a"), distrust_after=NOW, constraints=Constraints(frozenset({0x10DE}), slots=frozenset({3}))),
            replace(root("b"), constraints=Constraints(leaf_name=LeafNameRule.EITHER)),
        ),
        (
            DenyEntry(DenyKind.KEY, "a" * 64, "leaked ü", after=NOW),
            DenyEntry(DenyKind.ISSUER_SERIAL, "b" * 64, serial=4711),
        ),
    )
)  # fmt: skip
FILE = render_bundle(signed(FULL, "e p"))


def changed(change: Callable[[dict[str, object]], object]) -> bytes:
    """The payload with something changed."""
    document = json.loads(pack(FULL).payload)
    change(document)
    outer = json.loads(FILE)
    outer["payload"] = base64.b64encode(json.dumps(document).encode()).decode()
    return json.dumps(outer).encode()


def test_what_is_written_reads_back() -> None:
    read = read_bundle(FILE, "acme.bundle")
    assert set(read.bundle.roots) == set(FULL.roots)
    assert set(read.bundle.deny) == set(FULL.deny)
    assert replace(read.bundle, roots=(), deny=()) == replace(FULL, roots=(), deny=())
    assert sorted(read.signatures) == sorted([public("e").id, public("p").id])
    assert render_bundle(read) == FILE


def test_the_order_of_keys_in_a_file_says_nothing() -> None:
    other = changed(lambda document: document["signers"]["keys"].reverse())  # type: ignore[index]
    assert read_bundle(other, "x").bundle.signers == FULL.signers


def test_the_signed_bytes_are_those_in_the_file_however_json_could_be_written() -> None:
    other = changed(lambda _: None)
    assert read_bundle(other, "x").bundle == read_bundle(FILE, "x").bundle
    assert read_bundle(other, "x").digest != read_bundle(FILE, "x").digest


def test_a_signature_is_over_the_lengths_too() -> None:
    assert signed_message(b"ab") == b"DSSEv1 35 application/vnd.cmakeys.bundle+json 2 ab"


def test_signing_again_replaces_and_changes_nothing_else() -> None:
    one = signed(FULL, "e")
    two = one.signed_by(private("e"), private("p"))
    assert sorted(two.signatures) == sorted([public("e").id, public("p").id])
    assert (two.payload, two.bundle) == (one.payload, one.bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=2), "schema 2 is not known"),
        (lambda d: d.update(extra=1), "unknown key 'extra'"),
        (lambda d: d.pop("expires"), "expires missing"),
        (lambda d: d.update(version=0), "0 is not a version"),
        (lambda d: d.update(version=-1), "'-1' is not a decimal number"),
        (lambda d: d.update(version=10**9), "not a decimal number"),
        (lambda d: d.update(name="../etc"), "cannot name a root"),
        (lambda d: d.update(expires=d["issued"]), "expires before it is issued"),
        (lambda d: d.update(issued="2030-01-01"), "is not a time"),
        (lambda d: d["signers"].update(threshold=0), "a threshold of 0"),
        (lambda d: d["signers"].update(threshold=4), "a threshold of 4 with 3 keys"),
        (lambda d: d["signers"].update(keys=[]), "0 keys"),
        (lambda d: d["signers"]["keys"].append(d["signers"]["keys"][0]), "a key occurs twice"),
        (lambda d: d["signers"].update(keys=["YQ=="] * 33), "33 keys, more than 32"),
        (lambda d: d["signers"]["keys"].append("YQ=="), "no public key"),
        (lambda d: d["roots"].append(d["roots"][0]), "the name of a root occurs twice"),
        (lambda d: d["roots"].append({**d["roots"][0], "name": "c"}), "the certificate of a root occurs twice"),
        (lambda d: d["roots"][0].update(certificate="YQ=="), "not a certificate"),
        (lambda d: d["roots"][0].update(state="trusted"), "unknown key 'state'"),
        (lambda d: d["roots"][0].update(constraints={"slots": []}), "slots is empty"),
        (lambda d: d["roots"][0].update(constraints={"voltage": ["5"]}), "unknown key 'voltage'"),
        (lambda d: d.update(roots=d["roots"] * 600), "1200 roots, more than 1024"),
        (lambda d: d["deny"].append({"reason": "none"}), "a deny entry names either"),
    ],
)
def test_a_payload_that_is_not_understood_is_refused(
    change: Callable[[dict[str, object]], object], message: str
) -> None:
    with pytest.raises(DocumentProblem, match=message) as caught:
        read_bundle(changed(change), "acme.bundle")
    assert caught.value.object.startswith("acme.bundle: payload")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=2), "schema 2 is not known"),
        (lambda d: d.update(note="x"), "unknown key 'note'"),
        (lambda d: d["signatures"].append(d["signatures"][0]), "the same key has signed twice"),
        (lambda d: d["signatures"][0].update(key=d["signatures"][0]["key"].upper()), "64 lower-case hex digits"),
        (lambda d: d["signatures"][0].update(key="abc"), "is not the SHA-256 of a key"),
        (lambda d: d["signatures"][0].update(signature="YQ"), "not base64"),
        (lambda d: d["signatures"][0].update(signature="YWFh" * 3000), "a signature of more than 8192 bytes"),
        (lambda d: d.update(signatures=[{}] * (MAX_SIGNATURES + 1)), "65 signatures, more than 64"),
        (lambda d: d.update(payload="bm8="), "not JSON"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(change: Callable[[dict[str, object]], object], message: str) -> None:
    document = json.loads(FILE)
    change(document)
    with pytest.raises(DocumentProblem, match=message):
        read_bundle(json.dumps(document).encode(), "acme.bundle")


@given(st.integers(0, len(FILE) - 1), st.integers(0, 7))
def test_a_changed_bit_is_refused_or_has_no_signature_the_less(position: int, bit: int) -> None:
    data = bytearray(FILE)
    data[position] ^= 1 << bit
    try:
        read = read_bundle(bytes(data), "x")
    except DocumentProblem:
        return
    good = read.bundle.signers.signed(read.message, read.signatures)
    assert len(good) < 2 or (read.payload == pack(FULL).payload and len(good) == 2)


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "algorithm"), KINDS.items())
def test_a_key_says_which_algorithm_it_has_and_signs_with_it(name: str, algorithm: str) -> None:
    key = private(name)
    assert key.public.algorithm == algorithm
    assert key.public.signed(b"m", key.sign(b"m"))
    assert not key.public.signed(b"n", key.sign(b"m"))
    assert not public("z").signed(b"m", key.sign(b"m"))


def test_a_key_in_another_encoding_is_not_a_second_key() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    usual = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = usual[:23] + b"\x03\x22\x00" + point
    compressed = b"\x30" + bytes([len(compressed) - 2]) + compressed[2:]
    assert SignerKey.from_der(usual).algorithm == "ECDSA-P256"
    with pytest.raises(UsageProblem, match="another encoding"):
        SignerKey.from_der(compressed)


def test_a_private_key_that_cannot_sign_bundles_is_said() -> None:
    strange = ed448.Ed448PrivateKey.generate()
    with pytest.raises(UsageProblem, match="not a kind of key for bundles"):
        PrivateKey(strange.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "x.pem")
    locked = ec.generate_private_key(ec.SECP256R1())
    data = locked.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(UsageProblem, match="the key is encrypted"):
        PrivateKey(data, "x.pem")
    with pytest.raises(UsageProblem, match="not a public key in PEM"):
        SignerKey.from_pem(pem("a"), "x.pem")
    with pytest.raises(UsageProblem, match="not a private key in PEM"):
        PrivateKey(b"nothing", "x.pem")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_the_clean_error(data: bytes) -> None:
    with suppress(UsageProblem):
        assert SignerKey.from_der(data).spki == data


@pytest.mark.parametrize("text", ["", "ab", "x" * 64, "a" * 65])
def test_a_part_of_a_key_id_names_no_key(text: str) -> None:
    with pytest.raises(UsageProblem, match="SHA-256 of a key"):
        check_key_id(text)
    assert check_key_id("SHA256:" + "AB:" * 31 + "AB") == "ab" * 32


def test_a_bundle_that_contradicts_itself_cannot_be_made() -> None:
    with pytest.raises(UsageProblem, match="a key occurs twice"):
        Signers(1, (public("a"), public("a")))
    with pytest.raises(UsageProblem, match="time zone"):
        Bundle("acme", 1, datetime(2030, 1, 1), datetime(2031, 1, 1, tzinfo=UTC), Signers(1, (public("a"),)))
    assert (bundle(expires=DAY).expires - NOW) == DAY
