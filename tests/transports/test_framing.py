"""Every frame unpacks to what was packed, and anything else is a clean framing error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.transports.base import TransportFramingError
from cmakeys.transports.framing import (
    DOE_MAXIMUM,
    TCP_PAYLOAD_MAXIMUM,
    DoeObject,
    Framing,
    Unwrapped,
    pack_tcp,
    unwrap,
    unwrap_answer,
    wrap,
)

GET_VERSION = bytes.fromhex("10840000")
VERSION = bytes.fromhex("1004000000010012")
MARKED = [Framing.MCTP, Framing.PCI_DOE, Framing.TCP]


@pytest.mark.parametrize(
    ("framing", "message", "frame"),
    [
        (Framing.NONE, GET_VERSION, "10840000"),
        (Framing.MCTP, GET_VERSION, "0510840000"),
        (Framing.PCI_DOE, GET_VERSION, "010001000300000010840000"),
        (Framing.TCP, GET_VERSION, "0600010510840000"),
        (Framing.TCP, VERSION, "0a0001051004000000010012"),
        (Framing.PCI_DOE, VERSION[:5], "01000100040000001004000000000000"),
    ],
)
def test_frames_are_what_the_reference_implementation_sends(framing: Framing, message: bytes, frame: str) -> None:
    assert wrap(framing, message).hex() == frame


@given(st.sampled_from(MARKED), st.binary(max_size=600), st.booleans())
def test_a_frame_gives_its_payload_back_with_at_most_three_bytes_of_padding(
    framing: Framing, payload: bytes, secured: bool
) -> None:
    answer = unwrap(framing, wrap(framing, payload, secured=secured))
    padding = -len(payload) % 4 if framing is Framing.PCI_DOE else 0
    assert answer == Unwrapped(payload + bytes(padding), secured)


@given(st.sampled_from(MARKED), st.binary(max_size=64))
def test_any_bytes_are_a_frame_or_a_framing_error(framing: Framing, data: bytes) -> None:
    try:
        answer = unwrap(framing, data, "dev")
    except TransportFramingError:
        return
    assert wrap(framing, answer.payload, secured=answer.secured) == data


@given(st.sampled_from([Framing.PCI_DOE, Framing.TCP]), st.binary(max_size=64), st.integers(1, 8), st.booleans())
def test_a_frame_cut_short_or_drawn_out_is_refused(framing: Framing, payload: bytes, change: int, longer: bool) -> None:
    frame = wrap(framing, payload)
    with pytest.raises(TransportFramingError):
        unwrap(framing, frame + bytes(change) if longer else frame[:-change])


@pytest.mark.parametrize(
    ("framing", "frame", "complaint"),
    [
        (Framing.MCTP, "", "without a type byte"),
        (Framing.MCTP, "8510840000", "type 0x85 is not SPDM"),
        (Framing.MCTP, "7e10840000", "type 0x7e is not SPDM"),
        (Framing.PCI_DOE, "010001", "too few"),
        (Framing.PCI_DOE, "010001010300000010840000", "reserved bits"),
        (Framing.PCI_DOE, "010001000300040010840000", "reserved bits"),
        (Framing.PCI_DOE, "010001000000000010840000", "1048576 bytes by its header arrived as 12"),
        (Framing.PCI_DOE, "010001000100000010840000", "4 bytes by its header arrived as 12"),
        (Framing.PCI_DOE, "010000000300000010840000", "type 0 is not SPDM"),
        (Framing.PCI_DOE, "ffff01000300000010840000", "vendor 0xffff"),
        (Framing.TCP, "0600", "too few"),
        (Framing.TCP, "0600020510840000", "version 2"),
        (Framing.TCP, "0600010710840000", "type 0x07"),
        (Framing.TCP, "01000105", "no room"),
        (Framing.TCP, "000001bf", "which role we play"),
        (Framing.TCP, "020001bf", "which role we play"),
        (Framing.TCP, "000001c0", "too large for it"),
        (Framing.TCP, "000001c1", "does not support"),
        (Framing.TCP, "000001c2", "cannot act as requester"),
        (Framing.TCP, "020001c3", "cannot act as responder"),
        (Framing.TCP, "000001c9", "error 0xc9"),
    ],
)
def test_a_wrong_frame_says_what_is_wrong(framing: Framing, frame: str, complaint: str) -> None:
    with pytest.raises(TransportFramingError, match=complaint):
        unwrap(framing, bytes.fromhex(frame))


def test_the_largest_objects_fit_and_one_byte_more_does_not() -> None:
    largest = DoeObject(1, 1, bytes(DOE_MAXIMUM - 8)).pack()
    assert largest[4:8] == bytes(4)
    assert len(DoeObject.unpack(largest).payload) == DOE_MAXIMUM - 8
    with pytest.raises(TransportFramingError, match="1 MiB"):
        DoeObject(1, 1, bytes(DOE_MAXIMUM - 7)).pack()
    assert len(pack_tcp(bytes(TCP_PAYLOAD_MAXIMUM))) == 4 + TCP_PAYLOAD_MAXIMUM
    with pytest.raises(TransportFramingError, match="65533"):
        pack_tcp(bytes(TCP_PAYLOAD_MAXIMUM + 1))


def test_without_framing_nothing_marks_a_secured_record() -> None:
    with pytest.raises(TransportFramingError, match="marks it"):
        wrap(Framing.NONE, b"x", secured=True)


@pytest.mark.parametrize("secured", [False, True])
def test_an_answer_must_be_as_secured_as_its_request(secured: bool) -> None:
    frame = wrap(Framing.MCTP, b"x", secured=not secured)
    with pytest.raises(TransportFramingError, match="was answered"):
        unwrap_answer(Framing.MCTP, frame, "dev", secured=secured)
