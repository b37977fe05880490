"""Certificates out of whatever they come in: PEM, DER, PKCS#7, an SPDM certificate chain, a kernel slot file.

The form is recognised by the bytes, never by the file's name, and once recognised nothing is skipped: bytes that
belong to no certificate are an error that says where they are. The one exception is PEM, where text between the blocks
is part of the format (RFC 7468 §2), and blocks of another kind are passed over.

Everything here comes from files and devices, so sizes are looked at before anything is parsed.
"""

from __future__ import annotations

import binascii
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import InvalidVersion

from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.der import OBJECT_IDENTIFIER, SEQUENCE, DerError, Element, read_element
from cmakeys.x509.known import issuing_certificate

MAX_INPUT_SIZE = 16 * 1024 * 1024
"""Bytes; no file, stream or blob larger than this is looked at."""

MAX_CHAIN_SIZE = 0xFFFF
"""Bytes of an SPDM certificate chain in its classic form, whose length field has 16 bits (DSP0274 1.0-1.3)."""

MAX_LARGE_CHAIN_SIZE = 1024 * 1024
"""Bytes we accept of the large form of SPDM 1.4, whose length field has 32 bits."""

MAX_CHAIN_CERTIFICATES = 64
"""Certificates in one chain."""

MAX_FILE_CERTIFICATES = 1024
"""Certificates in one file."""

ROOT_HASH_SIZES = (32, 48, 64)
"""Bytes; the output sizes of every base hash algorithm SPDM can negotiate."""

_CHAIN_HEADER_SIZE = 4
_PEM_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9#][A-Z0-9# ]{0,63})-----")
_PEM_CERTIFICATE = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})
_PEM_PKCS7 = frozenset({b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS"})
_BASE64_SPACE = b" \t\r\n\v\f"


@dataclass(frozen=True, slots=True)
class SpdmChain:
    """An SPDM certificate chain (DSP0274 §10.6.1, "Certificates and certificate chains").

    ======  ====  ========================================================
    offset  size  field
    ======  ====  ========================================================
    0       2     length of the whole structure, header included
    2       2     reserved, 0 (1.4, large form: upper half of the length)
    4       H     hash of the root certificate's DER, by the base hash
    4 + H   ...   DER certificates, root or its first child first, leaf last
    ======  ====  ========================================================
    """

    length: int
    root_hash: bytes
    certificates: tuple[Certificate, ...]

    @classmethod
    def parse(cls, data: bytes, hash_size: int, source: str, *, max_size: int = MAX_CHAIN_SIZE) -> Self:
        """Parse a whole chain as a device sends it, `hash_size` being that of the negotiated base hash in bytes.

        `max_size` is `MAX_CHAIN_SIZE` unless the large form was negotiated. Raises `CertificateProblem`, naming
        `source` and the byte, for a length that is not that of `data`, no certificate, more than
        `MAX_CHAIN_CERTIFICATES`, or bytes that are not exactly DER certificates.
        """
        header = _CHAIN_HEADER_SIZE + hash_size
        if len(data) > max_size:
            raise _problem(f"certificate chain of {len(data)} bytes, more than {max_size}", source, 0)
        if len(data) < header:
            raise _problem(f"certificate chain of {len(data)} bytes, its header alone has {header}", source, 0)
        length = int.from_bytes(data[:_CHAIN_HEADER_SIZE], "little")
        if length != len(data):
            message = f"certificate chain says it has {length} bytes, {len(data)} are here"
            if length > MAX_CHAIN_SIZE >= max_size:
                message = f"reserved field of the certificate chain is 0x{length >> 16:04x}, not 0"
            raise _problem(message, source, 0)
        certificates = split_der(data[header:], source, header)
        return cls(length, bytes(data[_CHAIN_HEADER_SIZE:header]), certificates)


def read_certificates(data: bytes, source: str) -> tuple[Certificate, ...]:
    """Read every certificate in `data`, whatever its form; duplicates are dropped, the first of each stays.

    Raises `CertificateProblem`, naming `source` and the byte, if there is none or any part cannot be read.
    """
    if len(data) > MAX_INPUT_SIZE:
        raise _problem(f"{len(data)} bytes, more than {MAX_INPUT_SIZE}", source, 0)
    if not data:
        raise _problem("empty, no certificate", source, 0)
    if _is_chain_blob(data):
        hash_size = _root_hash_size(data, source)
        certificates = SpdmChain.parse(data, hash_size, source, max_size=MAX_LARGE_CHAIN_SIZE).certificates
    elif _is_der(data):
        certificates = _read_der(data, source)
    elif _PEM_BEGIN.search(data):
        certificates = _read_pem(data, source)
    else:
        raise _unrecognised(data, source)
    return tuple(dict.fromkeys(certificates))


def split_der(
    data: bytes, source: str, offset: int = 0, *, limit: int = MAX_CHAIN_CERTIFICATES
) -> tuple[Certificate, ...]:
    """Split certificates that lie one after the other as bare DER: a kernel slot file, the tail of an SPDM chain.

    `offset` is where `data` begins in `source` and is added to every place that an error or a certificate names.
    Nothing is de-duplicated. Raises `CertificateProblem` if there is none, more than `limit`, or any other byte.
    """
    if not data:
        raise _problem("no certificate", source, offset)
    certificates: list[Certificate] = []
    position = 0
    while position < len(data):
        if len(certificates) == limit:
            raise _problem(f"more than {limit} certificates", source, offset + position)
        element = _certificate_element(data, position, source, offset, len(certificates))
        last = element.end == len(data)
        parse = Certificate.from_der if last else issuing_certificate
        certificates.append(parse(data[element.start : element.end], source, offset + position))
        position = element.end
    return tuple(certificates)


def _certificate_element(data: bytes, position: int, source: str, offset: int, found: int) -> Element:
    left = len(data) - position
    if data[position] != SEQUENCE:
        what = "not a certificate" if not found else f"{left} bytes after the last certificate that are not another one"
        raise _problem(f"{what} (0x{data[position]:02x} where 0x30 should be)", source, offset + position)
    try:
        return read_element(data, position)
    except DerError as error:
        raise _problem(f"certificate {found} is not DER: {error}", source, offset + position) from error


def _problem(message: str, source: str, offset: int, hint: str = "") -> CertificateProblem:
    return CertificateProblem(message, object=f"{source} at byte {offset}", hint=hint)


# --- which form is it ------------------------------------------------------------------------------------------------


def _is_chain_blob(data: bytes) -> bool:
    """Tell an SPDM chain by its length field.

    Read as the 32-bit length, the two reserved zero bytes of the classic form come for free. The first bytes of DER
    could by chance be such a length only in a file above 64 KiB, and then they are DER to the last byte as well.
    """
    return int.from_bytes(data[:_CHAIN_HEADER_SIZE], "little") == len(data) and not _all_sequences(data, 0)


def _is_der(data: bytes) -> bool:
    """A SEQUENCE too long for a one-byte length: no certificate is shorter, and no text has such a second byte."""
    return len(data) >= 2 and data[0] == SEQUENCE and data[1] >= 0x80


def _root_hash_size(data: bytes, source: str) -> int:
    """Find the size of the root hash: the one after which DER elements fill the blob to its last byte.

    The blob does not say which hash it uses. Where no size fits, the first one that is followed by a SEQUENCE is
    returned, so that parsing with it says what is wrong.
    """
    likely = [size for size in ROOT_HASH_SIZES if _is_der(data[_CHAIN_HEADER_SIZE + size :][:2])]
    if not likely:
        raise _problem(
            "looks like an SPDM certificate chain, but no certificate follows a root hash of 32, 48 or 64 bytes",
            source,
            _CHAIN_HEADER_SIZE,
        )
    for size in likely:
        if _all_sequences(data, _CHAIN_HEADER_SIZE + size):
            return size
    return likely[0]


def _all_sequences(data: bytes, position: int) -> bool:
    try:
        while position < len(data):
            element = read_element(data, position)
            if element.tag != SEQUENCE:
                return False
            position = element.end
    except DerError:
        return False
    return True


def _unrecognised(data: bytes, source: str) -> CertificateProblem:
    length = int.from_bytes(data[:2], "little")
    if data[2:4] == b"\0\0" and any(_is_der(data[_CHAIN_HEADER_SIZE + size :][:2]) for size in ROOT_HASH_SIZES):
        return _problem(
            f"looks like an SPDM certificate chain of {length} bytes, but {len(data)} are here",
            source,
            0,
            "the file is cut off or has something after its end; fetch it again",
        )
    return _problem(
        "no certificate found: neither PEM, DER, PKCS#7, nor an SPDM certificate chain",
        source,
        0,
        "PEM begins with -----BEGIN CERTIFICATE-----, DER with the byte 0x30",
    )


# --- DER and PKCS#7 --------------------------------------------------------------------------------------------------


def _read_der(data: bytes, source: str, offset: int = 0) -> tuple[Certificate, ...]:
    try:
        outer = read_element(data, 0)
    except DerError as error:
        raise _problem(f"not DER: {error}", source, offset) from error
    # ContentInfo begins with an OBJECT IDENTIFIER (RFC 5652 §3), a certificate with another SEQUENCE.
    if outer.end > outer.content and data[outer.content] == OBJECT_IDENTIFIER:
        if outer.end != len(data):
            raise _problem(f"{len(data) - outer.end} bytes after the PKCS#7 structure", source, offset + outer.end)
        return tuple(_read_pkcs7(data, source, offset))
    return split_der(data, source, offset, limit=MAX_FILE_CERTIFICATES)


def _read_pkcs7(data: bytes, source: str, offset: int) -> Iterator[Certificate]:
    with warnings.catch_warnings():
        # The library warns where it falls back to BER; each certificate in it must be DER all the same, see below.
        warnings.simplefilter("ignore")
        try:
            found = pkcs7.load_der_pkcs7_certificates(data)
        except (ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion) as error:
            raise _problem(f"PKCS#7 that cannot be read: {error}", source, offset) from error
    if not found:
        raise _problem("PKCS#7 without a certificate", source, offset)
    if len(found) > MAX_FILE_CERTIFICATES:
        raise _problem(f"PKCS#7 with {len(found)} certificates, more than {MAX_FILE_CERTIFICATES}", source, offset)
    for parsed in found:
        der = parsed.public_bytes(Encoding.DER)
        place = data.find(der)
        if place < 0:
            raise _problem("PKCS#7 with a certificate that is not DER", source, offset)
        yield Certificate.from_der(der, source, offset + place)


# --- PEM -------------------------------------------------------------------------------------------------------------


def _read_pem(data: bytes, source: str) -> tuple[Certificate, ...]:
    certificates: list[Certificate] = []
    passed_over: list[str] = []
    position = 0
    while begin := _PEM_BEGIN.search(data, position):
        label, start = begin[1], begin.start()
        end_line = b"-----END " + label + b"-----"
        end = data.find(end_line, begin.end())
        if end < 0:
            raise _problem(f"PEM block {label.decode()} without its END line", source, start)
        body = data[begin.end() : end]
        if label in _PEM_CERTIFICATE:
            certificates.append(_pem_certificate(_decode_base64(body, label, source, start), source, start))
        elif label in _PEM_PKCS7:
            certificates.extend(_pem_pkcs7(_decode_base64(body, label, source, start), source, start))
        elif label == b"TRUSTED CERTIFICATE":
            raise _problem(
                "OpenSSL's TRUSTED CERTIFICATE form carries trust settings that would be ignored",
                source,
                start,
                "write the plain form with: openssl x509 -in FILE -out FILE.pem",
            )
        else:
            passed_over.append(f"{label.decode()} at byte {start}")
        if len(certificates) > MAX_FILE_CERTIFICATES:
            raise _problem(f"more than {MAX_FILE_CERTIFICATES} certificates", source, start)
        position = end + len(end_line)
    if not certificates:
        raise _problem(f"no certificate, only {', '.join(passed_over[:4])}", source, 0)
    return tuple(certificates)


def _decode_base64(body: bytes, label: bytes, source: str, start: int) -> bytes:
    try:
        return binascii.a2b_base64(body.translate(None, _BASE64_SPACE), strict_mode=True)
    except binascii.Error as error:
        raise _problem(f"PEM block {label.decode()} is not base64: {error}", source, start) from error


def _pem_certificate(der: bytes, source: str, start: int) -> Certificate:
    try:
        element = read_element(der, 0)
    except DerError as error:
        raise _problem(f"PEM certificate is not DER: {error}", source, start) from error
    if element.end != len(der):
        extra = len(der) - element.end
        raise _problem(f"PEM certificate followed by {extra} bytes inside its block", source, start)
    return Certificate.from_der(der, source, start)


def _pem_pkcs7(der: bytes, source: str, start: int) -> Iterator[Certificate]:
    """The bytes inside have no place of their own in the file: every certificate of the block is where it begins."""
    for certificate in _read_der(der, f"{source}, PKCS#7 block", 0):
        yield Certificate(certificate.der, source, start)
