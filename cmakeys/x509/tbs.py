"""The parts of a certificate as the bytes that were signed: names and key, not a library's re-encoding of them.

Two names may mean the same and differ in their bytes. Where bytes decide, because a hash is taken over them, they have
to be those of the certificate itself.
"""

from __future__ import annotations

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.der import Element, elements, read_element

_VERSION = 0xA0


def issuer_der(certificate: Certificate) -> bytes:
    """The issuer's name as DER."""
    return _part(certificate, 2)


def subject_der(certificate: Certificate) -> bytes:
    """The subject's name as DER."""
    return _part(certificate, 4)


def key_bits(certificate: Certificate) -> bytes:
    """The subjectPublicKey without the BIT STRING around it: what OCSP takes for the hash of a key."""
    info = _part(certificate, 5)
    outer = read_element(info, 0)
    _, bits = elements(info, outer.content, outer.end)
    return info[bits.content + 1 : bits.end]


def _part(certificate: Certificate, index: int) -> bytes:
    """Field `index` of TBSCertificate, counted from the serial number (0), as RFC 5280 §4.1 orders them.

    The library has parsed all of this, so its form is right.
    """
    tbs = certificate.parsed.tbs_certificate_bytes
    outer = read_element(tbs, 0)
    fields: list[Element] = [one for one in elements(tbs, outer.content, outer.end) if one.tag != _VERSION]
    return tbs[fields[index].start : fields[index].end]
