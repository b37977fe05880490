"""Application data in a session: what a device does behind SPDM, as far as a requester needs it to try a session out.

Over MCTP a record may hold a message of another type than SPDM. The device knows one: PLDM (DSP0240), whose base
command GetTID is what DMTF's requester asks for.

| off | size | field of a PLDM message, behind its MCTP type 0x01 |
| --- | --- | --- |
| 0 | 1 | bit 7 request, bits 4:0 instance |
| 1 | 1 | bits 5:0 PLDM type, 0 is the base |
| 2 | 1 | command, 2 is GetTID |
| 3 | 1 | completion code of a response, then its data |
"""

from __future__ import annotations

from cmakeys.spdm.secured import Binding

MCTP_TYPE_PLDM = 0x01
TERMINUS = 0x01
_REQUEST = 0x80
_GET_TID = (0x00, 0x02)
_SUCCESS = 0x00
_UNSUPPORTED_COMMAND = 0x05
_HEADER_LENGTH = 4


def answer_application(binding: Binding, data: bytes) -> bytes | None:
    """The answer to application data that is no SPDM message; None where the device has nothing to say."""
    if binding is not Binding.MCTP or len(data) < _HEADER_LENGTH or data[0] != MCTP_TYPE_PLDM or not data[1] & _REQUEST:
        return None
    header = bytes((MCTP_TYPE_PLDM, data[1] & ~_REQUEST, data[2], data[3]))
    if (data[2] & 0x3F, data[3]) == _GET_TID:
        return header + bytes((_SUCCESS, TERMINUS))
    return header + bytes((_UNSUPPORTED_COMMAND,))
