"""A recording as a classic capture file (pcap 2.4, little-endian, microseconds), the form that Wireshark opens.

One record for each frame between requester and responder, hello and farewell left out. MCTP and PCI DOE have link types
of their own; the emulator's other framings go out as USER0. The format knows no direction: requests and answers
alternate, the requester's first.
"""

from __future__ import annotations

import struct

from cmakeys.transports.emulator_socket import Command
from cmakeys.transports.framing import DOE_MAXIMUM, Framing
from cmakeys.transports.recording import Recording, RecordingProblem

LINKTYPE_USER0 = 147
LINKTYPE_MCTP = 291
LINKTYPE_PCI_DOE = 292

# An MCTP packet header made up by the writer of the capture, as DMTF's emulator does in its own files.
MCTP_PACKET_HEADER = bytes.fromhex("000000c0")

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
