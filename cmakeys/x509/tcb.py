"""DICE TcbInfo: what a layer of a device says in a certificate about the firmware that runs above it.

The extension 2.23.133.5.4.1 holds one DiceTcbInfo, 2.23.133.5.4.5 a sequence of them (TCG DICE Attestation
Architecture 1.1, §6.1.1 and §6.1.2; every field is optional and implicitly tagged):

| tag | field | form |
| --- | --- | --- |
| 0, 1, 2 | vendor, model, version | UTF8String |
| 3, 4, 5 | svn, layer, index | INTEGER |
| 6 | fwids | SEQUENCE OF SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING } |
| 7, 10 | flags, flagsMask | BIT STRING |
| 8, 9 | vendorInfo, type | OCTET STRING |
| 11 | integrityRegisters | kept as it came |

GPUs of NVIDIA have an older form under the first of the two identifiers, the CompositeDeviceID of RIoT:
SEQUENCE { version INTEGER, deviceID SubjectPublicKeyInfo, fwid SEQUENCE { hashAlg, digest } }. It is read as a TcbInfo
with nothing but a digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.der import OBJECT_IDENTIFIER, SEQUENCE, DerError, Element, elements, read_element

TCB_INFO_OID = "2.23.133.5.4.1"
MULTI_TCB_INFO_OID = "2.23.133.5.4.5"

MAX_INFOS = 64
"""TcbInfos in one certificate."""

MAX_FWIDS = 64
MAX_TEXT = 256
"""Bytes of vendor, model or version."""

MAX_OCTETS = 4096
"""Bytes of any other field."""

MAX_INTEGER = 8
"""Bytes of svn, layer and index; a longer one is no number that anybody compares."""

INTEGER = 0x02
OCTET_STRING = 0x04
FLAGS = (
    "not configured",
    "not secure",
    "recovery",
    "debug",
    "not replay protected",
    "not integrity protected",
    "not runtime measured",
    "not immutable",
    "not TCB",
)
"""The bits of OperationalFlags, from bit 0 of the BIT STRING; bit 31 says only that the field has a fixed width."""

_FIXED_WIDTH_BIT = 31
_HASHES = {
    "2.16.840.1.101.3.4.2.1": "SHA-256",
    "2.16.840.1.101.3.4.2.2": "SHA-384",
    "2.16.840.1.101.3.4.2.3": "SHA-512",
    "2.16.840.1.101.3.4.2.8": "SHA3-256",
    "2.16.840.1.101.3.4.2.9": "SHA3-384",
    "2.16.840.1.101.3.4.2.10": "SHA3-512",
}


@dataclass(frozen=True, slots=True)
class FirmwareId:
    """A digest of firmware; `algorithm` is its object identifier."""

    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        return f"{_HASHES.get(self.algorithm, self.algorithm)} {self.digest.hex()}"


@dataclass(frozen=True, slots=True)
class TcbInfo:
    """One DiceTcbInfo; None is a field that is not there, and `flags` are the names of the bits that are set.

    `der` is the whole of it as it stands in the certificate, tag and length included.
    """

    der: bytes
    vendor: str | None = None
    model: str | None = None
    version: str | None = None
    svn: int | None = None
    layer: int | None = None
    index: int | None = None
    fwids: tuple[FirmwareId, ...] = ()
    flags: tuple[str, ...] | None = None
    flags_mask: tuple[str, ...] | None = None
    vendor_info: bytes | None = None
    type: bytes | None = None

    @classmethod
    def parse(cls, der: bytes, source: str = "TcbInfo") -> TcbInfo:
        """Read one. Raises `CertificateProblem`, naming `source`, for anything else."""
        try:
            outer = read_element(der, 0)
            if outer.end != len(der):
                raise DerError("bytes follow", outer.end)
            return _tcb_info(der, outer)
        except DerError as error:
            raise CertificateProblem(f"DICE TcbInfo is malformed: {error}", object=source) from None

    def words(self) -> tuple[str, ...]:
        """The fields that are there, in words."""
        numbers = (("layer", self.layer), ("index", self.index), ("svn", self.svn))
        texts = [text for text in (self.vendor, self.model, self.version) if text]
        texts += [f"{name} {number}" for name, number in numbers if number is not None]
        texts += [f"type {self.type.hex()}"] if self.type else []
        texts += [", ".join(self.flags)] if self.flags else []
        return (*texts, *map(str, self.fwids))


@dataclass(frozen=True, slots=True)
class ChainTcb:
    """A TcbInfo and where it stands: `depth` certificates above the leaf, which is at 0."""

    depth: int
    info: TcbInfo

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from others: its place, and what it describes."""
        info = self.info
        return (self.depth, info.vendor, info.model, info.layer, info.index, info.type)

    @property
    def name(self) -> str:
        """What it describes, for messages."""
        info = self.info
        texts = [text for text in (info.vendor, info.model) if text]
        texts += [f"layer {info.layer}"] if info.layer is not None else []
        texts += [f"index {info.index}"] if info.index is not None else []
        texts += [f"type {info.type.hex()[:16]}"] if info.type else []
        where = "the leaf" if self.depth == 0 else f"certificate {self.depth} above the leaf"
        return f"{' '.join(texts) or 'firmware'} in {where}"


def tcb_infos(certificate: Certificate) -> tuple[TcbInfo, ...]:
    """The TcbInfos of one certificate, in order. Raises `CertificateProblem` for an extension that is malformed."""
    found: list[TcbInfo] = []
    for extension in certificate.parsed.extensions:
        oid = extension.oid.dotted_string
        if oid not in (TCB_INFO_OID, MULTI_TCB_INFO_OID):
            continue
        value = extension.value.public_bytes()
        try:
            outer = read_element(value, 0)
            if outer.end != len(value):
                raise DerError("bytes follow", outer.end)
            if oid == TCB_INFO_OID:
                found.append(_tcb_info(value, outer))
            else:
                found += _multi(value, outer)
        except DerError as error:
            raise CertificateProblem(f"DICE TcbInfo {oid} is malformed: {error}", object=certificate.label) from None
    return tuple(found)


def chain_tcb(chain: Sequence[Certificate]) -> tuple[ChainTcb, ...]:
    """The TcbInfos of a chain in SPDM order, root first. Raises `CertificateProblem`."""
    last = len(chain) - 1
    return tuple(
        ChainTcb(last - place, info) for place, certificate in enumerate(chain) for info in tcb_infos(certificate)
    )


def _multi(data: bytes, outer: Element) -> list[TcbInfo]:
    if outer.tag != SEQUENCE:
        raise DerError("not a SEQUENCE", outer.start)
    found: list[TcbInfo] = []
    for element in elements(data, outer.content, outer.end):
        if len(found) >= MAX_INFOS:
            raise DerError(f"more than {MAX_INFOS} TcbInfos", element.start)
        found.append(_tcb_info(data, element))
    return found


def _tcb_info(data: bytes, outer: Element) -> TcbInfo:
    if outer.tag != SEQUENCE:
        raise DerError("not a SEQUENCE", outer.start)
    if outer.content < outer.end and data[outer.content] == INTEGER:
        return _composite_device_id(data, outer)
    fields: dict[str, object] = {}
    last = -1
    for element in elements(data, outer.content, outer.end):
        number = element.tag & 0x1F
        reader = _READERS.get(element.tag)
        if number <= last:
            raise DerError(f"field {number} after field {last}", element.start)
        last = number
        if reader is None:
            if element.tag & 0xC0 != 0x80 or number <= max(tag & 0x1F for tag in _READERS):
                raise DerError(f"tag 0x{element.tag:02x} has no place here", element.start)
            continue  # integrity registers and whatever comes later stand in `der`
        name, read = reader
        fields[name] = read(data, element)
    return TcbInfo(data[outer.start : outer.end], **fields)  # type: ignore[arg-type]  # each reader gives its field's type


def _composite_device_id(data: bytes, outer: Element) -> TcbInfo:
    parts = list(islice(elements(data, outer.content, outer.end), 4))
    if [part.tag for part in parts] != [INTEGER, SEQUENCE, SEQUENCE]:
        raise DerError("neither a TcbInfo nor a CompositeDeviceID", outer.start)
    return TcbInfo(data[outer.start : outer.end], fwids=(_fwid(data, parts[2]),))


def _text(data: bytes, element: Element) -> str:
    octets = _octets(data, element, MAX_TEXT)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise DerError("not UTF-8", element.start) from None


def _octets(data: bytes, element: Element, limit: int = MAX_OCTETS) -> bytes:
    if element.end - element.content > limit:
        raise DerError(f"longer than {limit} bytes", element.start)
    return data[element.content : element.end]


def _integer(data: bytes, element: Element) -> int:
    octets = _octets(data, element, MAX_INTEGER + 1)
    if not octets:
        raise DerError("an INTEGER without a value", element.start)
    if len(octets) > 1 and (octets[0] == 0) == (octets[1] < 0x80) and octets[0] in (0, 0xFF):
        raise DerError("an INTEGER that is not in its shortest form", element.start)
    number = int.from_bytes(octets, "big", signed=True)
    if number < 0:
        raise DerError("a negative number", element.start)
    return number


def _fwids(data: bytes, element: Element) -> tuple[FirmwareId, ...]:
    found: list[FirmwareId] = []
    for entry in elements(data, element.content, element.end):
        if len(found) >= MAX_FWIDS:
            raise DerError(f"more than {MAX_FWIDS} digests", entry.start)
        found.append(_fwid(data, entry))
    return tuple(found)


def _fwid(data: bytes, entry: Element) -> FirmwareId:
    parts = list(islice(elements(data, entry.content, entry.end), 3)) if entry.tag == SEQUENCE else []
    if [part.tag for part in parts] != [OBJECT_IDENTIFIER, OCTET_STRING]:
        raise DerError("a digest is not an algorithm and octets", entry.start)
    return FirmwareId(_oid(data, parts[0]), _octets(data, parts[1]))


def _oid(data: bytes, element: Element) -> str:
    octets = _octets(data, element, 64)
    if not octets or octets[-1] & 0x80:
        raise DerError("an object identifier that is cut off", element.start)
    arcs, value, begun = [], 0, False
    for octet in octets:
        if not begun and octet == 0x80:
            raise DerError("an object identifier that is not in its shortest form", element.start)
        begun, value = True, value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value, begun = 0, False
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _flags(data: bytes, element: Element) -> tuple[str, ...]:
    octets = _octets(data, element, 16)
    if not octets or octets[0] > 7 or (len(octets) == 1 and octets[0]):
        raise DerError("not a BIT STRING", element.start)
    bits = 8 * (len(octets) - 1) - octets[0]
    set_bits = [bit for bit in range(bits) if octets[1 + bit // 8] >> (7 - bit % 8) & 1]
    return tuple(FLAGS[bit] if bit < len(FLAGS) else f"bit {bit}" for bit in set_bits if bit != _FIXED_WIDTH_BIT)


_READERS: Mapping[int, tuple[str, Callable[[bytes, Element], object]]] = {
    0x80: ("vendor", _text),
    0x81: ("model", _text),
    0x82: ("version", _text),
    0x83: ("svn", _integer),
    0x84: ("layer", _integer),
    0x85: ("index", _integer),
    0xA6: ("fwids", _fwids),
    0x87: ("flags", _flags),
    0x88: ("vendor_info", _octets),
    0x89: ("type", _octets),
    0x8A: ("flags_mask", _flags),
}
