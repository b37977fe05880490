"""DICE TcbInfo: every field by its tag, both extensions, NVIDIA's older form, and one clean error for anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import CertificateProblem
from cmakeys.x509.tcb import MULTI_TCB_INFO_OID, TCB_INFO_OID, FirmwareId, TcbInfo, chain_tcb, tcb_infos
from tests.x509.pki import issue

SHA384 = bytes.fromhex("0609608648016503040202")


def der(tag: int, *values: bytes) -> bytes:
    value = b"".join(values)
    size = len(value)
    length = (
        bytes((size,)) if size < 0x80 else bytes((0x82, size >> 8, size & 0xFF)) if size > 0xFF else bytes((0x81, size))
    )
    return bytes((tag,)) + length + value


def fwids(*digests: bytes) -> bytes:
    return der(0xA6, *(der(0x30, SHA384, der(4, digest)) for digest in digests))


WHOLE = der(
    0x30,
    der(0x80, b"Acme"),
    der(0x81, b"GPU"),
    der(0x82, b"1.2"),
    der(0x83, b"\7"),
    der(0x84, b"\1"),
    der(0x85, b"\0"),
    fwids(bytes(48), b"\1" * 48),
    der(0x87, b"\0\x50\0\0\1"),
    der(0x88, b"vendor"),
    der(0x89, b"\xaa"),
    der(0x8A, b"\0\xf0"),
    der(0xAB, der(0x30)),
)


def test_every_field_is_read() -> None:
    info = TcbInfo.parse(WHOLE)
    assert info == TcbInfo(
        WHOLE, "Acme", "GPU", "1.2", 7, 1, 0,
        tuple(FirmwareId("2.16.840.1.101.3.4.2.2", digest) for digest in (bytes(48), b"\1" * 48)),
        ("not secure", "debug"),
        ("not configured", "not secure", "recovery", "debug"),
        b"vendor",
        b"\xaa",
    )  # fmt: skip
    words = info.words()
    assert words[:6] == ("Acme", "GPU", "1.2", "layer 1", "index 0", "svn 7")
    assert f"SHA-384 {'01' * 48}" in words


def test_what_is_not_there_is_none() -> None:
    assert TcbInfo.parse(b"\x30\0") == TcbInfo(b"\x30\0")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "nothing here"),
        (b"\x31\0", "not a SEQUENCE"),
        (WHOLE + b"\0", "bytes follow"),
        (der(0x30, der(0x81, b"a"), der(0x80, b"b")), "field 0 after field 1"),
        (der(0x30, der(0x83, b"\1"), der(0x83, b"\1")), "field 3 after field 3"),
        (der(0x30, der(0xA0, b"")), "tag 0xa0 has no place here"),
        (der(0x30, der(0x04, b"")), "tag 0x04 has no place here"),
        (der(0x30, der(0x80, b"\xff")), "not UTF-8"),
        (der(0x30, der(0x80, b"a" * 257)), "longer than 256"),
        (der(0x30, der(0x83, b"")), "without a value"),
        (der(0x30, der(0x83, b"\0\1")), "shortest form"),
        (der(0x30, der(0x83, b"\xff")), "negative"),
        (der(0x30, der(0x83, b"\1" * 10)), "longer than 9"),
        (der(0x30, der(0xA6, der(0x30, SHA384))), "not an algorithm and octets"),
        (der(0x30, fwids(*([b"x"] * 65))), "more than 64 digests"),
        (der(0x30, der(0xA6, der(0x30, der(6, b"\x80\1"), der(4, b"")))), "shortest form"),
        (der(0x30, der(0x87, b"")), "not a BIT STRING"),
        (der(0x30, der(0x02, b"\1")), "neither a TcbInfo nor a CompositeDeviceID"),
    ],
)
def test_anything_else_is_one_clean_error(data: bytes, words: str) -> None:
    with pytest.raises(CertificateProblem, match=words):
        TcbInfo.parse(data)


@given(st.binary(max_size=200), st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_no_bytes_do_anything_but_parse_or_be_refused(data: bytes, place: int, octet: int) -> None:
    for candidate in (data, WHOLE[:place], WHOLE[:place] + bytes((octet,)) + WHOLE[place + 1 :]):
        try:
            assert TcbInfo.parse(candidate).der == candidate
        except CertificateProblem as problem:
            assert "malformed" in problem.message  # noqa: PT017 the problem is what is tested


def extension(oid: str, value: bytes) -> tuple[x509.ExtensionType, bool]:
    return (x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False)


def test_a_certificate_has_one_or_many() -> None:
    one = issue("one", number=1, extensions=[extension(TCB_INFO_OID, WHOLE)]).certificate
    many = issue("many", number=2, extensions=[extension(MULTI_TCB_INFO_OID, der(0x30, WHOLE, b"\x30\0"))]).certificate
    assert tcb_infos(one) == (TcbInfo.parse(WHOLE),)
    assert [(place.depth, place.info.svn) for place in chain_tcb([one, many])] == [(1, 7), (0, 7), (0, None)]
    assert chain_tcb([one])[0].name == "Acme GPU layer 1 index 0 type aa in the leaf"


def test_too_many_are_refused() -> None:
    value = der(0x30, b"\x30\0" * 65)
    with pytest.raises(CertificateProblem, match="more than 64 TcbInfos"):
        tcb_infos(issue("x", number=1, extensions=[extension(MULTI_TCB_INFO_OID, value)]).certificate)


def test_a_gpu_of_nvidia_says_the_hash_of_its_firmware(shared_data: Path) -> None:
    path = shared_data / "nvidia-hopper" / "hopperCertChain.txt"
    leaf_first = read_certificates(path.read_bytes(), str(path))
    (place,) = chain_tcb(tuple(reversed(leaf_first)))
    assert place.depth == 0
    (fwid,) = place.info.fwids
    assert str(fwid).startswith("SHA-384 f5c384aebb579217")
