"""What has been found out about the bytes of certificates, so that a fleet's intermediates are not examined each time.

Only facts about bytes are kept, which are true whenever and for whomever they are asked: what a certificate says, and
that one was signed by the key of another. Whether it is trusted, in its time, or revoked is asked anew every time, for
that depends on the asker. What did not verify is not kept. Both memories are bounded; what was used last stays longest.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from threading import Lock

from cmakeys.x509.certificate import Certificate

MAX_CERTIFICATES = 256
MAX_PAIRS = 8192

_pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
_lock = Lock()


@lru_cache(maxsize=MAX_CERTIFICATES)
def issuing_certificate(der: bytes, source: str, offset: int) -> Certificate:
    """`Certificate.from_der` for one that issues others, and is therefore met again. Raises `CertificateProblem`."""
    return Certificate.from_der(der, source, offset)


def is_verified(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether `certificate` is known to be named and signed by `issuer`."""
    pair = (certificate.fingerprint, issuer.fingerprint)
    with _lock:
        if pair not in _pairs:
            return False
        _pairs.move_to_end(pair)
        return True


def remember_verified(certificate: Certificate, issuer: Certificate) -> None:
    """Keep that `certificate` is named and signed by `issuer`; both are known by all their bytes."""
    with _lock:
        _pairs[certificate.fingerprint, issuer.fingerprint] = None
        if len(_pairs) > MAX_PAIRS:
            _pairs.popitem(last=False)


def forget_all() -> None:
    """Know nothing, as at the start."""
    issuing_certificate.cache_clear()
    with _lock:
        _pairs.clear()
