"""The names by which a leaf certificate says which device it belongs to.

Two kinds are in use, both an otherName of subjectAltName holding a UTF8String. PCIe r6.1 §6.31.3 binds the leaf to one
function's configuration space (OID 2.23.147); Linux compares that string byte for byte with one it builds itself, so
we build the same. DMTF's device-info (1.3.6.1.4.1.412.274.1, `manufacturer:product:serial`) names a product and no
function. Which of them a root's devices must carry is policy and decided elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.asn1 import decode_der

from cmakeys.x509.certificate import Certificate, CertificateProblem

CMA_OID = "2.23.147"
"""otherName of PCIe r6.1 §6.31.3: the function's identity from configuration space."""

DMTF_OID = "1.3.6.1.4.1.412.274.1"
"""otherName of DSP0274: `manufacturer:product:serial`."""

DICE_TCB_INFO_OIDS = frozenset({"2.23.133.5.4.1", "2.23.133.5.4.5"})
"""TCG DICE attestation: TcbInfo and MultiTcbInfo."""

_SAN = re.compile(
    r"Vendor=(?P<vendor>[0-9a-f]{4}):Device=(?P<device>[0-9a-f]{4}):CC=(?P<class_code>[0-9a-f]{6}):REV=(?P<revision>[0-9a-f]{2})"
    r"(?::SSVID=(?P<subsystem_vendor>[0-9a-f]{4}):SSID=(?P<subsystem_device>[0-9a-f]{4}))?"
    r"(?::(?P<serial>[0-9a-f]{16}))?"
)


@dataclass(frozen=True, slots=True)
class PciIdentity:
    """What configuration space says a PCI function is.

    `vendor`, `device`, `subsystem_vendor` and `subsystem_device` have 16 bits, `class_code` 24, `revision` 8, and
    `serial`, the Device Serial Number capability, 64. The subsystem pair is None but for header type 0; `serial` is
    None without the capability or where it reads zero (the kernel leaves both out of the name).
    """

    vendor: int
    device: int
    class_code: int
    revision: int
    subsystem_vendor: int | None = None
    subsystem_device: int | None = None
    serial: int | None = None

    def __post_init__(self) -> None:
        for value, bits, name in (
            (self.vendor, 16, "vendor"),
            (self.device, 16, "device"),
            (self.class_code, 24, "class code"),
            (self.revision, 8, "revision"),
            (self.subsystem_vendor, 16, "subsystem vendor"),
            (self.subsystem_device, 16, "subsystem device"),
            (self.serial, 64, "serial number"),
        ):
            if value is not None and not 0 <= value < 1 << bits:
                raise ValueError(f"PCI {name} {value:#x} does not fit {bits} bits")
        if (self.subsystem_vendor is None) != (self.subsystem_device is None):
            raise ValueError("a PCI subsystem has both a vendor and a device, or neither")
        if self.serial == 0:
            object.__setattr__(self, "serial", None)

    def san_string(self) -> str:
        """Build the name as Linux builds it: lower-case hex, fixed width, no terminator."""
        text = f"Vendor={self.vendor:04x}:Device={self.device:04x}:CC={self.class_code:06x}:REV={self.revision:02x}"
        if self.subsystem_vendor is not None and self.subsystem_device is not None:
            text += f":SSVID={self.subsystem_vendor:04x}:SSID={self.subsystem_device:04x}"
        if self.serial is not None:
            text += f":{self.serial:016x}"
        return text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back exactly what `san_string` can write.

        Raises `CertificateProblem` for anything else, upper-case digits included.
        """
        match = _SAN.fullmatch(text)
        numbers = {key: int(value, 16) for key, value in match.groupdict().items() if value} if match else {}
        if not match or numbers.get("serial") == 0:
            raise CertificateProblem(
                f"not a PCIe identity: {text[:120]!r}",
                hint="Vendor=1b36:Device=0010:CC=010802:REV=02[:SSVID=1af4:SSID=1100][:0123456789abcdef], lower case",
            )
        return cls(**numbers)


@dataclass(frozen=True, slots=True)
class LeafNames:
    """The device names of a leaf, in the order of the certificate, verbatim."""

    pcie: tuple[str, ...]
    device_info: tuple[str, ...]


def leaf_names(certificate: Certificate) -> LeafNames:
    """Read the PCIe and the DMTF names of a certificate; one without subjectAltName has none.

    Raises `CertificateProblem` if one of them is not exactly one UTF8String: the kernel refuses the same, and a name
    we cannot read must not count as no name.
    """
    names: dict[str, list[str]] = {CMA_OID: [], DMTF_OID: []}
    alternatives = certificate.extension(x509.SubjectAlternativeName)
    if alternatives is None:
        return LeafNames((), ())
    for name in alternatives:
        if isinstance(name, x509.OtherName) and name.type_id.dotted_string in names:
            oid = name.type_id.dotted_string
            try:
                names[oid].append(decode_der(str, name.value))
            except ValueError as error:
                raise CertificateProblem(
                    f"subjectAltName {oid} is not one UTF8String: {error}", object=certificate.label
                ) from error
    return LeafNames(tuple(names[CMA_OID]), tuple(names[DMTF_OID]))


def matches(identity: PciIdentity, name: str) -> bool:
    """Whether `name` is the name of this function, byte for byte as the kernel compares."""
    return name == identity.san_string()


def differs_only_in_case(identity: PciIdentity, name: str) -> bool:
    """Whether `name` would match if case did not count: refused all the same, but worth saying."""
    return not matches(identity, name) and name.isascii() and name.lower() == identity.san_string().lower()


def all_match(identity: PciIdentity, names: LeafNames) -> bool:
    """Whether a PCIe name is there and every one matches: Linux stops at the first that does not."""
    return bool(names.pcie) and all(matches(identity, name) for name in names.pcie)


def has_dice_tcb_info(certificate: Certificate) -> bool:
    """Whether the certificate carries DICE TcbInfo or MultiTcbInfo, so that it changes with the device's firmware."""
    return any(extension.oid.dotted_string in DICE_TCB_INFO_OIDS for extension in certificate.parsed.extensions)
