"""Which pin to choose for a device, in words that an admin can weigh; the arithmetic is in `cmakeys.x509.pin`."""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.pin import PinKind, device_certificate

_MEANING = {
    PinKind.ROOT: "any device of the vendor passes, so a swapped device goes unnoticed; only a new root breaks it",
    PinKind.DEVICE_CERTIFICATE: "this one device passes, before and after a firmware update",
    PinKind.LEAF: "a leaf changes with firmware in many devices: the next update may need a new enrolment",
    PinKind.CHAIN: "every certificate must stay the same: an update of the firmware or of the vendor's chain breaks it",
    PinKind.PUBLIC_KEY: "whoever has the private key passes: no root vouches for it, only cmakeys deny takes it back",
}


def meaning(kind: PinKind) -> str:
    """What choosing this kind of pin means for whoever looks after the device."""
    return _MEANING[kind]


def recommend(chain: Sequence[Certificate]) -> tuple[PinKind, str]:
    """The pin to use when nobody asked for one, and why; `chain` has the root first.

    It is always the device's own certificate; the reason says which one that is here and how it was told. Raises
    `CertificateProblem` for an empty chain.
    """
    found = device_certificate(chain)
    certificate = chain[found.index]
    place = "the leaf" if found.index == len(chain) - 1 else f"certificate {found.index + 1} of {len(chain)}"
    reason = f"the key of {place}, {certificate.label}, identifies the device: {found.reason}; "
    if not found.marked and found.index < len(chain) - 1:
        reason += "if several devices share that certificate, choose the leaf instead; "
    return PinKind.DEVICE_CERTIFICATE, reason + _MEANING[PinKind.DEVICE_CERTIFICATE]


def explain(kind: PinKind, chain: Sequence[Certificate]) -> str:
    """One sentence on what this pin fixes in this chain and what will break it."""
    if kind is PinKind.PUBLIC_KEY:
        return f"the public key that was given is fixed; {_MEANING[kind]}"
    if kind is PinKind.DEVICE_CERTIFICATE:
        return recommend(chain)[1]
    subject = {
        PinKind.ROOT: f"the root {chain[0].label} is fixed",
        PinKind.LEAF: f"the leaf {chain[-1].label} is fixed",
        PinKind.CHAIN: f"all {len(chain)} certificates are fixed",
    }[kind]
    return f"{subject}; {_MEANING[kind]}"
