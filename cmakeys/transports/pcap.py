"""A recording as a classic capture file (pcap 2.4, little-endian, microseconds), the form that Wireshark opens.

One record for each frame between requester and responder, hello and farewell left out. MCTP and PCI DOE have link types
of their own; the emulator's other framings go out as USER0. The format knows no direction: requests and answers
alternate, the requester's first.

Reading takes both byte orders and both resolutions, and the files of DMTF's emulator.
"""

from __future__ import annotations

import struct
from itertools import cycle

from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.emulator_socket import Command
from cmakeys.transports.framing import DOE_MAXIMUM, Framing, TcpType, unpack_tcp
from cmakeys.transports.recording import ENTRIES_MAXIMUM, Direction, Entry, Recording, RecordingProblem

LINKTYPE_USER0 = 147
LINKTYPE_MCTP = 291
LINKTYPE_PCI_DOE = 292

# An MCTP packet header made up by the writer of the capture, as DMTF's emulator does in its own files.
MCTP_PACKET_HEADER = bytes.fromhex("000000c0")

_GLOBAL_HEADER = 24
_RECORD_HEADER = 16
_MAGICS: dict[bytes, tuple[str, int]] = {
    bytes.fromhex("d4c3b2a1"): ("<", 1_000_000),
    bytes.fromhex("a1b2c3d4"): (">", 1_000_000),
    bytes.fromhex("4d3cb2a1"): ("<", 1_000_000_000),
    bytes.fromhex("a1b23c4d"): (">", 1_000_000_000),
}
"""Byte order, and parts of a second in a time stamp."""

_LINKTYPES: dict[int, int] = {Framing.MCTP: LINKTYPE_MCTP, Framing.PCI_DOE: LINKTYPE_PCI_DOE}


def to_pcap(recording: Recording) -> bytes:
    """Pack a recording; `RecordingProblem` if it mixes transports, since a file has one link type."""
    entries = [entry for entry in recording.entries if entry.command == Command.NORMAL]
    transports = {entry.transport for entry in entries}
    if len(transports) > 1:
        raise RecordingProblem("frames of several transports do not fit one capture file", object=recording.source)
    linktype = _LINKTYPES.get(transports.pop(), LINKTYPE_USER0) if transports else LINKTYPE_USER0
    prefix = MCTP_PACKET_HEADER if linktype == LINKTYPE_MCTP else b""
    largest = DOE_MAXIMUM + len(MCTP_PACKET_HEADER)
    pieces = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, largest, linktype)]
    for entry in entries:
        frame = prefix + entry.frame
        seconds, microseconds = divmod(round(entry.time * 1_000_000), 1_000_000)
        pieces.append(struct.pack("<IIII", seconds & 0xFFFFFFFF, microseconds, len(frame), len(frame)) + frame)
    return b"".join(pieces)


def is_pcap(data: bytes) -> bool:
    """The file begins as a classic capture file does."""
    return data[:4] in _MAGICS


def from_pcap(data: bytes, source: str) -> Recording:
    """Read a capture file. Raises `RecordingProblem`, which names the record that is cut or of another kind."""
    if not is_pcap(data) or len(data) < _GLOBAL_HEADER:
        raise RecordingProblem(
            "this is no classic capture file", object=source, hint="save it as pcap, not as pcapng: editcap -F pcap"
        )
    order, resolution = _MAGICS[data[:4]]
    linktype = struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF
    if linktype not in (*_LINKTYPES.values(), LINKTYPE_USER0):
        raise RecordingProblem(f"link type {linktype} carries no SPDM", object=source)
    entries: list[Entry] = []
    offset = _GLOBAL_HEADER
    directions: cycle[Direction] = cycle(("req", "rsp"))
    while offset < len(data):
        where = f"{source}, record {len(entries) + 1}"
        if len(entries) == ENTRIES_MAXIMUM:
            raise RecordingProblem(f"more than {ENTRIES_MAXIMUM} records", object=source)
        if len(data) - offset < _RECORD_HEADER:
            raise RecordingProblem("the file ends inside a record", object=where)
        seconds, parts, kept, _ = struct.unpack_from(f"{order}IIII", data, offset)
        offset += _RECORD_HEADER
        if kept > DOE_MAXIMUM + len(MCTP_PACKET_HEADER) or kept > len(data) - offset:
            raise RecordingProblem(f"a record of {kept} bytes does not fit the file", object=where)
        transport, frame = _frame(linktype, data[offset : offset + kept], where)
        offset += kept
        moment = seconds + parts / resolution
        entries.append(Entry(moment, next(directions), Command.NORMAL, transport, frame))
    if not entries:
        raise RecordingProblem("there is no message in it", object=source)
    return Recording(tuple(entries), source)


def _frame(linktype: int, packet: bytes, where: str) -> tuple[Framing, bytes]:
    if linktype == LINKTYPE_MCTP:
        if len(packet) <= len(MCTP_PACKET_HEADER):
            raise RecordingProblem(f"{len(packet)} bytes are no MCTP packet", object=where)
        return Framing.MCTP, packet[len(MCTP_PACKET_HEADER) :]
    if linktype == LINKTYPE_PCI_DOE:
        return Framing.PCI_DOE, packet
    return _user_framing(packet), packet


def _user_framing(packet: bytes) -> Framing:
    """USER0 says nothing of what is in it; the binding's own header tells TCP from bare messages."""
    if packet[3:4] not in (bytes((TcpType.SPDM,)), bytes((TcpType.SECURED_SPDM,))):
        return Framing.NONE
    try:
        unpack_tcp(packet)
    except TransportFramingError:
        return Framing.NONE
    return Framing.TCP
