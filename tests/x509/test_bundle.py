"""Every form of certificates is read, nothing is skipped, and every complaint says where."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st

from cmakeys.x509 import bundle
from cmakeys.x509.bundle import SpdmChain, read_certificates, split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
from tests.fuzz import fuzz_bundle, mutation
from tests.x509.pki import certificates, device_chain, issue, make_key, pem, spdm_chain

ROOT, INTERMEDIATE, LEAF = CHAIN = certificates(*device_chain())
PARSED = [certificate.parsed for certificate in CHAIN]
DERS = tuple(certificate.der for certificate in CHAIN)
CONCATENATED = b"".join(DERS)


def refused(data: bytes) -> str:
    """The complaint of `read_certificates`, object first."""
    with pytest.raises(CertificateProblem) as caught:
        read_certificates(data, "vendor.bin")
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(CONCATENATED, id="concatenated DER, as in a kernel slot file"),
        pytest.param(b"".join(map(pem, CHAIN)), id="PEM"),
        pytest.param(b"0 s:/CN=x\n" + b"\n# text between\n".join(map(pem, CHAIN)) + b"\ntail", id="PEM between text"),
        pytest.param(b"".join(map(pem, CHAIN)).replace(b"\n", b"\r\n"), id="PEM with CRLF"),
        pytest.param(b"\xef\xbb\xbf" + b"".join(pem(c).rstrip(b"\n") for c in CHAIN), id="PEM glued, with BOM"),
        pytest.param(b"".join(map(pem, CHAIN)).replace(b" CERT", b" X509 CERT"), id="PEM of old OpenSSL"),
        pytest.param(spdm_chain(32, *CHAIN), id="SPDM chain, 32-byte hash"),
        pytest.param(spdm_chain(48, *CHAIN), id="SPDM chain, 48-byte hash"),
        pytest.param(spdm_chain(64, *CHAIN), id="SPDM chain, 64-byte hash"),
        pytest.param(CONCATENATED + DERS[1] + DERS[0], id="duplicates"),
    ],
)
def test_every_form_gives_the_same_certificates_in_order(data: bytes) -> None:
    assert read_certificates(data, "vendor.bin") == CHAIN


@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_pkcs7_gives_its_certificates_byte_for_byte(encoding: Encoding) -> None:
    # PKCS#7 holds a SET, so the order is the encoder's.
    found = read_certificates(pkcs7.serialize_certificates(PARSED, encoding), "vendor.p7b")
    assert {certificate.der for certificate in found} == set(DERS)


def test_one_der_certificate_is_read() -> None:
    assert read_certificates(ROOT.der, "root.der") == (ROOT,)


def test_an_ml_dsa_certificate_is_read() -> None:
    root = issue("Post-quantum", kind="mldsa65").certificate
    assert read_certificates(pem(root), "root.pem") == (root,)
    assert root.key_description == "ML-DSA-65"


def test_each_certificate_knows_where_it_came_from() -> None:
    offsets = [0, len(DERS[0]), len(DERS[0]) + len(DERS[1])]
    assert [(c.source, c.offset) for c in read_certificates(CONCATENATED, "slot0")] == [("slot0", o) for o in offsets]
    assert [c.offset for c in read_certificates(spdm_chain(48, *CHAIN), "blob")] == [52 + offset for offset in offsets]
    text = b"first\n" + pem(ROOT) + b"second\n" + pem(LEAF)
    assert [c.offset for c in read_certificates(text, "file")] == [6, text.index(b"-----BEGIN", 10)]
    packed = pkcs7.serialize_certificates(PARSED, Encoding.DER)
    assert all(packed[c.offset :].startswith(c.der) for c in read_certificates(packed, "file.p7b"))


def test_a_private_key_beside_the_certificate_is_passed_over() -> None:
    key = make_key("p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert read_certificates(key + pem(ROOT), "both.pem") == (ROOT,)
    assert refused(b"\n" + key) == "vendor.bin at byte 0: no certificate, only PRIVATE KEY at byte 1"


DAMAGED_PEM = pem(ROOT).replace(b"MII", b"M!I", 1)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param(b"", "at byte 0: empty", id="empty"),
        pytest.param(b"hello", "at byte 0: no certificate found: neither PEM, DER", id="text"),
        pytest.param(CONCATENATED + b"\0\0", f"at byte {len(CONCATENATED)}: 2 bytes after the last cert", id="padding"),
        pytest.param(CONCATENATED[:-1], f"at byte {len(DERS[0] + DERS[1])}: certificate 2 is not DER", id="cut off"),
        pytest.param(ROOT.der + b"\x30", f"at byte {len(ROOT.der)}: certificate 1 is not DER: cut", id="lone tag"),
        pytest.param(ROOT.der + b"\x30\x00", f"at byte {len(ROOT.der)}: not a valid X.509", id="empty SEQUENCE"),
        pytest.param(b"\x30\x80" + ROOT.der, "at byte 0: not DER: indefinite length", id="BER"),
        pytest.param(
            pem(ROOT) + DAMAGED_PEM, f"at byte {len(pem(ROOT))}: PEM block CERTIFICATE is not bas", id="base64"
        ),
        pytest.param(b"x" + pem(ROOT)[:-4], "at byte 1: PEM block CERTIFICATE without its END line", id="no END"),
        pytest.param(pem(ROOT).replace(b"CERT", b"TRUSTED CERT"), "at byte 0: OpenSSL's TRUSTED CERTIF", id="trusted"),
        pytest.param(
            spdm_chain(48, *CHAIN)[:-1], "at byte 0: looks like an SPDM certificate chain of", id="short blob"
        ),
        pytest.param(spdm_chain(48, *CHAIN) + b"\0", "at byte 0: looks like an SPDM certificate chain", id="long blob"),
        pytest.param(spdm_chain(40, *CHAIN), "at byte 4: looks like an SPDM certificate chain, but no", id="odd hash"),
        pytest.param(
            pkcs7.serialize_certificates(PARSED, Encoding.DER) + b"junk", "4 bytes after the PKCS#7", id="PKCS#7 junk"
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_name_and_byte(data: bytes, complaint: str) -> None:
    assert re.search(re.escape("vendor.bin at byte"), refused(data))
    assert complaint in refused(data)


def test_a_wrong_blob_is_read_with_the_likeliest_hash_so_that_the_error_has_a_place() -> None:
    data = bytearray(spdm_chain(48, *CHAIN))
    data[52 + len(ROOT.der)] = 0x31
    assert f"at byte {52 + len(ROOT.der)}" in refused(bytes(data))


def test_a_root_hash_that_looks_like_der_does_not_mislead() -> None:
    body = bytes(32) + b"\x30\x82\x01\x00" + bytes(12) + CONCATENATED
    assert read_certificates((4 + len(body)).to_bytes(4, "little") + body, "blob") == CHAIN


def test_a_file_of_certificates_is_not_taken_for_a_chain_by_its_length() -> None:
    """DER whose first four bytes happen to be the size of the file: 0x00018230 needs the third byte to be 1."""
    big = b"\x30\x82\x01\x00" + bytes(256)
    rest = 0x18230 - len(big)
    data = big + b"\x30\x83" + (rest - 5).to_bytes(3, "big") + bytes(rest - 5)
    assert int.from_bytes(data[:4], "little") == len(data)
    assert refused(data).startswith("vendor.bin at byte 0: not a valid X.509 certificate")


class TestSizes:
    def test_an_oversized_input_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bundle, "MAX_INPUT_SIZE", 1000)
        assert refused(CONCATENATED) == f"vendor.bin at byte 0: {len(CONCATENATED)} bytes, more than 1000"

    @pytest.mark.parametrize("one", [ROOT.der, pem(ROOT)], ids=["DER", "PEM"])
    def test_a_file_has_at_most_1024_certificates(self, one: bytes) -> None:
        assert read_certificates(one * 1024, "file") == (ROOT,)
        assert "more than 1024 certificates" in refused(one * 1025)

    def test_a_chain_has_at_most_64_certificates(self) -> None:
        assert len(split_der(ROOT.der * 64, "slot0")) == 64
        with pytest.raises(CertificateProblem, match=f"slot0 at byte {64 * len(ROOT.der)}: more than 64 certificates"):
            split_der(ROOT.der * 65, "slot0")

    def test_a_chain_of_the_classic_form_has_at_most_64_kib(self) -> None:
        large = issue("Post-quantum", kind="mldsa65").certificate
        data = spdm_chain(48, *[large] * 20)
        assert len(data) > bundle.MAX_CHAIN_SIZE
        with pytest.raises(CertificateProblem, match=f"certificate chain of {len(data)} bytes, more than 65535"):
            SpdmChain.parse(data, 48, "slot 0")
        chain = SpdmChain.parse(data, 48, "slot 0", max_size=bundle.MAX_LARGE_CHAIN_SIZE)
        assert len(chain.certificates) == 20
        assert chain.length == len(data)
        assert read_certificates(data, "large.bin") == (large,)


class TestSpdmChain:
    @pytest.mark.parametrize("hash_size", [32, 48, 64])
    def test_header_and_certificates_are_taken_apart(self, hash_size: int) -> None:
        data = spdm_chain(hash_size, *CHAIN)
        assert SpdmChain.parse(data, hash_size, "slot 0") == SpdmChain(len(data), bytes(range(hash_size)), CHAIN)

    def test_certificates_are_not_deduplicated(self) -> None:
        assert SpdmChain.parse(spdm_chain(32, ROOT, ROOT), 32, "slot 0").certificates == (ROOT, ROOT)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "0 bytes, its header alone has 52"),
            (spdm_chain(48)[:40], "40 bytes, its header alone has 52"),
            (spdm_chain(48), "byte 52: no certificate"),
            (spdm_chain(48, *CHAIN)[:-9], "says it has"),
            (spdm_chain(48, *CHAIN) + b"\0", "says it has"),
            (b"\0\0\1\0" + spdm_chain(48, *CHAIN)[4:], "reserved field of the certificate chain is 0x0001"),
            (spdm_chain(32, *CHAIN), "byte 52: not a certificate"),
        ],
    )
    def test_a_malformed_chain_is_refused(self, data: bytes, words: str) -> None:
        with pytest.raises(CertificateProblem, match=words):
            SpdmChain.parse(data, 48, "slot 0")


class TestSplitDer:
    def test_offsets_count_from_the_start_of_the_source(self) -> None:
        assert [c.offset for c in split_der(ROOT.der + LEAF.der, "blob", 52)] == [52, 52 + len(ROOT.der)]
        with pytest.raises(CertificateProblem, match=f"blob at byte {52 + len(ROOT.der)}: 1 bytes after"):
            split_der(ROOT.der + b"\0", "blob", 52)

    def test_nothing_is_no_chain(self) -> None:
        with pytest.raises(CertificateProblem, match="slot3 at byte 0: no certificate"):
            split_der(b"", "slot3")


@given(st.binary(max_size=400))
def test_random_bytes_give_the_clean_error_or_nothing(data: bytes) -> None:
    assert fuzz_bundle.try_one(data) is None


@settings(max_examples=150)
@given(st.sampled_from(fuzz_bundle.corpus()), st.randoms(use_true_random=False))
def test_damaged_input_of_every_form_gives_the_clean_error_or_nothing(data: bytes, rng: Random) -> None:
    assert fuzz_bundle.try_one(mutation.mutate(data, rng)) is None


def test_dmtf_sample_chains_are_read_whole(shared_data: Path) -> None:
    files = sorted(shared_data.glob("captures/roots/*/bundle_responder.certchain*.der"))
    assert len(files) >= 12
    for file in files:
        data = file.read_bytes()
        found: tuple[Certificate, ...] = read_certificates(data, file.name)
        assert b"".join(certificate.der for certificate in found) == data
        assert len(found) == (4 if "alias" in file.name else 3)


def test_the_hopper_chain_is_read(shared_data: Path) -> None:
    found = read_certificates((shared_data / "nvidia-hopper/hopperCertChain.txt").read_bytes(), "hopper")
    assert len(found) == 5
    assert found[-1].fingerprint == "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
