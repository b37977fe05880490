"""Chains of the shapes that devices in the field have, for pins and the register."""

from __future__ import annotations

from functools import cache

from cryptography import x509

from cmakeys.x509.certificate import Certificate
from tests.x509.pki import LEAF_USAGE, Issued, certificates, device_chain, issue

TCB_INFO = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.23.133.5.4.1"), bytes.fromhex("3000"))
HARDWARE_IDENTITY = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.4.1.412.274.6"), bytes.fromhex("300e300c060a2b06010401831c821202")
)


def plain_chain() -> tuple[Certificate, ...]:
    """Root, intermediate, leaf; nothing says that anything changes with firmware."""
    return certificates(*device_chain())


@cache
def device_part(marked: bool) -> tuple[Issued, ...]:
    """What stays the same of a device with alias certificates: root, vendor CA, its own certificate."""
    root = issue("Vendor Root", number=10)
    vendor = issue("Vendor CA", root, number=11)
    extensions = ((HARDWARE_IDENTITY, False),) if marked else ()
    return root, vendor, issue("Device 0001", vendor, number=12, extensions=extensions)


def alias_chain(firmware: str, *, marked: bool, alias_levels: int = 1) -> tuple[Certificate, ...]:
    """Root, vendor CA, the device's own certificate, and below it certificates made anew for `firmware`."""
    chain = list(device_part(marked))
    below = chain[-1]
    for level in range(alias_levels):
        last = level == alias_levels - 1
        below = issue(
            f"Alias {level} {firmware}",
            below,
            number=13 + level + len(firmware) * 10,
            ca=not last,
            key_usage=LEAF_USAGE if last else None,
            extensions=() if marked else ((TCB_INFO, False),),
        )
        chain.append(below)
    return certificates(*chain)
