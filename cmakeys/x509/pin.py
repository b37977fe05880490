"""What a device is recognised by: one of five pins, four of them the SHA-256 of something in its certificate chain.

The choice matters because chains differ in what a firmware update changes. With alias certificates (DSP0274 §10.6.1)
the device signs a new leaf for every firmware, sometimes at every boot: a pin on the leaf then breaks at the next
update, and a pin on the certificate that signs those leaves, the device's own, lasts for its lifetime. Both enrolment
and verification step 10 compute pins here, so that they cannot disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cmakeys.errors import UsageProblem
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import has_dice_tcb_info
from cmakeys.x509.leaf import claims_hardware_identity


class PinKind(Enum):
    """What the SHA-256 of a pin is taken over.

    `root`: DER of the anchor. `device-cert`: SubjectPublicKeyInfo of the device's own certificate. `leaf`: DER of the
    leaf. `chain`: the DERs of all certificates, root first. `public-key`: SubjectPublicKeyInfo of a key that was handed
    over beforehand, for a device without certificates.
    """

    ROOT = "root"
    DEVICE_CERTIFICATE = "device-cert"
    LEAF = "leaf"
    CHAIN = "chain"
    PUBLIC_KEY = "public-key"


@dataclass(frozen=True, slots=True)
class Pin:
    """A kind and its value, 64 lower-case hex digits. Raises `UsageProblem` for a value that is not that."""

    kind: PinKind
    value: str

    def __post_init__(self) -> None:
        if len(self.value) != 64 or not set(self.value) <= set("0123456789abcdef"):
            raise UsageProblem(f"{self.value[:80]!r} is not a SHA-256", object=f"{self.kind.value} pin")


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """The certificate that stays the same while firmware changes: its place in the chain, and how it was told.

    `marked` says that the certificate itself claims to be the device's; without the mark its place is a conclusion.
    """

    index: int
    reason: str
    marked: bool = False


def device_certificate(chain: Sequence[Certificate]) -> DeviceCertificate:
    """Find the device's own certificate in a chain, root first.

    It is the last one with the hardware-identity mark. In chains without that mark, certificates that carry DICE
    TcbInfo are taken to change with firmware, and the one that issued them is the device's; never the first of the
    chain, which many devices share. Else it is the leaf. Raises `CertificateProblem` for an empty chain.
    """
    if not chain:
        raise CertificateProblem("the chain is empty", object="pin")
    last = len(chain) - 1
    for index in range(last, -1, -1):
        if claims_hardware_identity(chain[index]):
            return DeviceCertificate(index, "it carries the SPDM mark of a hardware identity", marked=True)
    index = last
    while index > 1 and has_dice_tcb_info(chain[index]):
        index -= 1
    if index < last:
        return DeviceCertificate(index, "it issued the certificates that carry DICE firmware measurements")
    return DeviceCertificate(last, "the leaf itself: nothing in the chain says that it depends on firmware")


def compute_pin(kind: PinKind, chain: Sequence[Certificate], anchor: Certificate | None = None) -> Pin:
    """The pin of a kind for a chain, root first.

    `anchor` is the trusted root in which the chain ends, where it is known; without one, the first certificate stands
    for it. Raises `CertificateProblem` for an empty chain or a device key that the library cannot read, and for the
    pin of a device without certificates, which no chain has.
    """
    if not chain:
        raise CertificateProblem("the chain is empty", object="pin")
    match kind:
        case PinKind.ROOT:
            return Pin(kind, (anchor or chain[0]).fingerprint)
        case PinKind.DEVICE_CERTIFICATE:
            return Pin(kind, chain[device_certificate(chain).index].spki_fingerprint)
        case PinKind.LEAF:
            return Pin(kind, chain[-1].fingerprint)
        case PinKind.CHAIN:
            return Pin(kind, hashlib.sha256(b"".join(certificate.der for certificate in chain)).hexdigest())
        case PinKind.PUBLIC_KEY:
            raise CertificateProblem("a certificate chain has no pin of a provisioned public key", object="pin")
