"""IDE_KM and TDISP payloads: the recorded ones, round trips, and nothing but clean errors."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.codes import RequestCode
from cmakeys.spdm.messages.vendor_defined import VendorDefinedRequest, VendorDefinedResponse
from cmakeys.spdm.pci_sig import (
    PCI_SIG,
    IdeQuery,
    IdeQueryResponse,
    InterfaceState,
    TdispCapabilities,
    TdispHeader,
    TdispMessage,
    get_interface_state,
    get_tdisp_capabilities,
    get_tdisp_version,
    name_of,
    pull_interface_state,
    pull_tdisp_versions,
)
from cmakeys.spdm.wire import Reader, WireError
from tests.spdm.recorded_sessions import follow

u8, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFFFFFF)


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> list[tuple[bytes, bytes]]:
    """Requests and answers of the PCI-SIG in one recorded session."""
    found = []
    for item in follow(shared_data / "captures", "v13-doe-p384-full").items:
        if item.session == 0 and not item.application and item.request[1] == RequestCode.VENDOR_DEFINED_REQUEST:
            asked = VendorDefinedRequest.pull(Reader(item.request, "request"))
            answer = VendorDefinedResponse.pull(Reader(item.response, "response"))
            if asked.vendor == PCI_SIG:
                found.append((asked.payload, answer.payload))
    return found


def answer_to(recorded: list[tuple[bytes, bytes]], name: str) -> tuple[bytes, bytes]:
    return next(pair for pair in recorded if name_of(pair[0]) == name)


def test_every_recorded_payload_has_a_name(recorded: list[tuple[bytes, bytes]]) -> None:
    names = Counter(name_of(payload) for pair in recorded for payload in pair)
    assert names["IDE_KM QUERY"] == names["IDE_KM QUERY_RESP"] > 0
    assert names["IDE_KM KEY_PROG"] == names["IDE_KM KP_ACK"] > 0
    assert names["TDISP GET_TDISP_VERSION"] == names["TDISP TDISP_VERSION"] > 0
    assert not [name for name in names if "0x" in name or "payload" in name]


def test_the_recorded_questions_are_the_ones_that_we_make(recorded: list[tuple[bytes, bytes]]) -> None:
    asked, answer = answer_to(recorded, "IDE_KM QUERY")
    assert IdeQuery(asked[3]).push() == asked
    assert IdeQuery.pull(Reader(asked, "QUERY")) == IdeQuery(asked[3])
    response = IdeQueryResponse.pull(Reader(answer, "QUERY_RESP"))
    assert response.push() == answer
    assert response.registers

    asked, answer = answer_to(recorded, "TDISP GET_TDISP_VERSION")
    function_id = TdispHeader.pull(Reader(asked, "TDISP")).function_id
    assert get_tdisp_version(function_id) == asked
    assert pull_tdisp_versions(answer) == (0x10,)

    asked, answer = answer_to(recorded, "TDISP GET_TDISP_CAPABILITIES")
    assert get_tdisp_capabilities(function_id) == asked
    capabilities = TdispCapabilities.pull(Reader(answer, "TDISP_CAPABILITIES"))
    assert capabilities.push(function_id) == answer
    assert capabilities.address_width > 0

    asked, answer = answer_to(recorded, "TDISP GET_DEVICE_INTERFACE_STATE")
    assert get_interface_state(function_id) == asked
    assert pull_interface_state(answer) in InterfaceState


def test_an_error_of_tdisp_and_an_unknown_state_are_named() -> None:
    error = TdispHeader(TdispMessage.TDISP_ERROR).push() + (4).to_bytes(4, "little") + bytes(4)
    with pytest.raises(WireError, match="TDISP error 0x4"):
        pull_tdisp_versions(error)
    with pytest.raises(WireError, match="unknown state 9"):
        pull_interface_state(TdispHeader(TdispMessage.DEVICE_INTERFACE_STATE).push() + b"\x09")
    with pytest.raises(WireError, match="DEVICE_INTERFACE_STATE is expected"):
        pull_interface_state(get_tdisp_version())


@given(st.builds(IdeQueryResponse, u8, u8, u8, u8, u8, st.lists(u32, max_size=40).map(tuple)))
def test_what_a_port_says_survives_the_wire(response: IdeQueryResponse) -> None:
    assert IdeQueryResponse.pull(Reader(response.push(), "QUERY_RESP")) == response


@given(st.binary(max_size=80))
def test_no_payload_brings_more_than_a_clean_error(payload: bytes) -> None:
    assert name_of(payload)
    for head in (b"", b"\x00\x01", TdispHeader(TdispMessage.TDISP_VERSION).push()):
        for pull in (
            pull_tdisp_versions,
            pull_interface_state,
            lambda octets: TdispCapabilities.pull(Reader(octets, "TDISP")),
            lambda octets: IdeQueryResponse.pull(Reader(octets, "IDE_KM")),
            lambda octets: IdeQuery.pull(Reader(octets, "IDE_KM")),
        ):
            with contextlib.suppress(WireError):
                pull(head + payload)
