"""Keys and interfaces behind SPDM, asked in the octets of the PCI-SIG's and of CXL's protocols."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.emulator.cxl import CXL_CONSORTIUM
from cmakeys.emulator.functions import Functions
from cmakeys.emulator.interface import MAX_INTERFACES
from cmakeys.spdm.messages.vendor_defined import Vendor
from cmakeys.spdm.pci_sig import (
    PCI_SIG,
    IdeQuery,
    IdeQueryResponse,
    InterfaceState,
    TdispCapabilities,
    get_interface_state,
    get_tdisp_capabilities,
    get_tdisp_version,
    pull_interface_state,
    pull_tdisp_versions,
)
from cmakeys.spdm.wire import Reader, WireError, le

REGISTERS = (1, 2)
FUNCTION = 0xBEEF
NONCE = bytes(range(32))


def functions() -> Functions:
    return Functions(REGISTERS, lambda size: NONCE[:size])


# -- TDISP -------------------------------------------------------------------------------------------------------------

LOCK, REPORT, STATE, START, STOP = range(0x83, 0x88)
UNLOCKED, LOCKED, RUN = InterfaceState.CONFIG_UNLOCKED, InterfaceState.CONFIG_LOCKED, InterfaceState.RUN


def tdisp(kind: int, body: bytes = b"", function: int = FUNCTION, version: int = 0x10) -> bytes:
    return bytes((1, version, kind, 0, 0)) + le(function, 4) + bytes(8) + body


def lock(flags: int = 0, offset: int = 0, function: int = FUNCTION) -> bytes:
    return tdisp(LOCK, le(flags, 2) + bytes(2) + le(offset, 8) + bytes(8), function)


def error_of(answer: bytes) -> int:
    assert answer[2] == 0x7F
    return int.from_bytes(answer[17:21], "little")


def state_of(made: Functions, function: int = FUNCTION) -> InterfaceState:
    return pull_interface_state(made.answer(PCI_SIG, get_interface_state(function)))


def reach(made: Functions, state: InterfaceState) -> None:
    if state is not UNLOCKED:
        assert made.answer(PCI_SIG, lock())[17:] == NONCE
    if state is RUN:
        made.answer(PCI_SIG, tdisp(START, NONCE))
    assert state_of(made) is state


REQUESTS = {
    LOCK: (lock(), {UNLOCKED: LOCKED}),
    REPORT: (tdisp(REPORT, le(0, 2) + le(512, 2)), {LOCKED: LOCKED, RUN: RUN}),
    STATE: (tdisp(STATE), {UNLOCKED: UNLOCKED, LOCKED: LOCKED, RUN: RUN}),
    START: (tdisp(START, NONCE), {LOCKED: RUN}),
    STOP: (tdisp(STOP), {UNLOCKED: UNLOCKED, LOCKED: UNLOCKED, RUN: UNLOCKED}),
}


@pytest.mark.parametrize("before", [UNLOCKED, LOCKED, RUN])
@pytest.mark.parametrize("kind", REQUESTS)
def test_an_interface_goes_from_state_to_state_as_tdisp_says(kind: int, before: InterfaceState) -> None:
    made = functions()
    reach(made, before)
    request, table = REQUESTS[kind]
    answer = made.answer(PCI_SIG, request)
    if before in table:
        assert answer[2] == kind & 0x7F
    else:
        assert error_of(answer) == 0x04
    assert state_of(made) is table.get(before, before)


def test_the_version_and_the_capabilities_name_what_is_answered() -> None:
    made = functions()
    assert pull_tdisp_versions(made.answer(PCI_SIG, get_tdisp_version(FUNCTION))) == (0x10,)
    told = TdispCapabilities.pull(Reader(made.answer(PCI_SIG, get_tdisp_capabilities(FUNCTION)), "TDISP_CAPABILITIES"))
    assert told.requests == 0b11111110
    assert not told.lock_flags


def test_another_nonce_starts_nothing() -> None:
    made = functions()
    reach(made, LOCKED)
    assert error_of(made.answer(PCI_SIG, tdisp(START, bytes(32)))) == 0x102
    assert state_of(made) is LOCKED


def test_one_interface_is_not_another() -> None:
    made = functions()
    reach(made, LOCKED)
    assert state_of(made, FUNCTION + 1) is UNLOCKED


def test_a_report_comes_in_portions_and_gives_addresses_moved_by_the_offset() -> None:
    made = functions()
    made.answer(PCI_SIG, lock(offset=0xD0000000))
    report, rest = b"", 1
    while rest:
        answer = made.answer(PCI_SIG, tdisp(REPORT, le(len(report), 2) + le(16, 2)))
        size, rest = int.from_bytes(answer[17:19], "little"), int.from_bytes(answer[19:21], "little")
        assert len(answer) == 21 + size
        report += answer[21:]
    assert int.from_bytes(report[12:16], "little") == 1
    assert int.from_bytes(report[16:24], "little") == (0xFEBF0000 + 0xD0000000) >> 12
    assert error_of(made.answer(PCI_SIG, tdisp(REPORT, le(len(report), 2) + le(16, 2)))) == 0x01


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (lock(flags=1), 0x01),
        (tdisp(LOCK), 0x01),
        (tdisp(0x88, bytes(1)), 0x07),
        (tdisp(0x05), 0x07),
        (tdisp(STATE, version=0x20), 0x41),
    ],
    ids=["flag", "short", "stream", "response", "version"],
)
def test_what_tdisp_does_not_allow_is_refused_in_its_own_way(request_: bytes, code: int) -> None:
    made = functions()
    assert error_of(made.answer(PCI_SIG, request_)) == code
    assert state_of(made) is UNLOCKED


def test_no_more_interfaces_are_locked_than_there_is_room_for() -> None:
    made = functions()
    for function in range(MAX_INTERFACES):
        made.answer(PCI_SIG, lock(function=function))
    assert error_of(made.answer(PCI_SIG, lock(function=MAX_INTERFACES))) == 0x101
    made.answer(PCI_SIG, tdisp(STOP, function=0))
    assert made.answer(PCI_SIG, lock(function=MAX_INTERFACES))[2] == 0x03


# -- IDE ---------------------------------------------------------------------------------------------------------------

KEY_PROG, SET_GO, SET_STOP = 2, 4, 5


def ide(kind: int, selector: int = 0, port: int = 1, body: bytes = b"") -> bytes:
    return bytes((0, kind, 0, 0, 3, 0, selector, port)) + body


def test_every_port_has_the_same_registers() -> None:
    made = functions()
    for port in (0, 1):
        told = IdeQueryResponse.pull(Reader(made.answer(PCI_SIG, IdeQuery(port).push()), "QUERY_RESP"))
        assert (told.port, told.last_port, told.registers) == (port, 1, REGISTERS)
    with pytest.raises(WireError, match="no port 2"):
        made.answer(PCI_SIG, IdeQuery(2).push())


@pytest.mark.parametrize(
    ("vendor", "selector", "iv"), [(PCI_SIG, 0x22, 8), (CXL_CONSORTIUM, 0x82, 12)], ids=["PCIe", "CXL"]
)
def test_a_key_is_programmed_before_it_goes_and_is_gone_after_it_stops(vendor: Vendor, selector: int, iv: int) -> None:
    made = functions()
    with pytest.raises(WireError, match="no key"):
        made.answer(vendor, ide(SET_GO, selector))
    acknowledged = made.answer(vendor, ide(KEY_PROG, selector, body=bytes(32 + iv)))
    assert acknowledged == bytes((0, 3, 0, 0, 3, 0, selector, 1))
    port = made.cxl if vendor is CXL_CONSORTIUM else made.pcie
    assert not port.going
    assert made.answer(vendor, ide(SET_GO, selector)) == bytes((0, 6, 0, 0, 3, 0, selector, 1))
    assert len(port.going) == 1
    with pytest.raises(WireError, match="no key"):
        made.answer(vendor, ide(SET_GO, selector ^ 0x02))
    made.answer(vendor, ide(SET_STOP, selector))
    assert not port.going
    with pytest.raises(WireError, match="no key"):
        made.answer(vendor, ide(SET_GO, selector))


def test_how_a_key_of_cxl_is_used_does_not_say_which_one_it_is() -> None:
    made = functions()
    made.answer(CXL_CONSORTIUM, ide(KEY_PROG, 0x88, body=bytes(44)))
    assert made.answer(CXL_CONSORTIUM, ide(SET_GO, 0x80))[1] == 6


@pytest.mark.parametrize(
    ("vendor", "request_", "status"),
    [
        (PCI_SIG, ide(KEY_PROG, body=bytes(39)), 1),
        (PCI_SIG, ide(KEY_PROG, port=2, body=bytes(40)), 2),
        (PCI_SIG, ide(KEY_PROG, 0x30, body=bytes(40)), 3),
        (PCI_SIG, ide(KEY_PROG, 0x04, body=bytes(40)), 3),
        (CXL_CONSORTIUM, ide(KEY_PROG, 0x80, port=2, body=bytes(44)), 1),
        (CXL_CONSORTIUM, ide(KEY_PROG, 0x10, body=bytes(44)), 1),
    ],
    ids=["length", "port", "sub-stream", "reserved", "CXL port", "CXL sub-stream"],
)
def test_a_key_for_what_is_not_there_is_acknowledged_with_its_reason(
    vendor: Vendor, request_: bytes, status: int
) -> None:
    made = functions()
    assert made.answer(vendor, request_)[5] == status
    assert not made.pcie.programmed
    assert not made.cxl.programmed


# -- TSP ---------------------------------------------------------------------------------------------------------------

VERSION, CAPABILITIES, CONFIGURE, CONFIGURATION, CONFIGURATION_REPORT, LOCK_TARGET = range(0x81, 0x87)
TE_STATE = 0x8D


def tsp(code: int, body: bytes = bytes(2), version: int = 0x10) -> bytes:
    return bytes((1, version, code)) + body


def configuration(features: int = 1, algorithm: int = 2, te: int = 0x16, keys: int = 0) -> bytes:
    selected = le(features, 2) + le(algorithm, 4) + bytes(4) + le(te, 2) + bytes(10) + le(1, 2) + bytes(6) + le(keys, 4)
    entries = bytes(8) + b"\0" + bytes(7) + (bytes(8) + b"\xff" + bytes(7)) * 7
    return tsp(CONFIGURE, (selected + bytes(12) + entries).ljust(350, b"\0"))


def change(owner: int = 1, count: int = 1) -> bytes:
    return tsp(TE_STATE, bytes((owner, count)) + bytes(12) + bytes(16))


def tsp_error(answer: bytes) -> int:
    assert answer[2] == 0x7F
    return int.from_bytes(answer[5:9], "little")


def test_a_target_is_configured_locked_and_given_away() -> None:
    made = functions()

    def ask(request: bytes) -> bytes:
        return made.answer(CXL_CONSORTIUM, request)

    assert ask(tsp(VERSION))[3:] == bytes((0, 0, 1, 0x10))
    assert len(ask(tsp(CAPABILITIES))) == 1 + 52
    wanted = configuration()
    assert ask(wanted) == bytes((1, 0x10, 0x03, 0, 0))
    told = ask(tsp(CONFIGURATION))
    assert len(told) == 1 + 192
    assert told[3 : 3 + 34] == wanted[3 : 3 + 34]
    assert told[3 + 46 : 3 + 174] == wanted[3 + 46 : 3 + 174]
    assert told[37] == 0
    report = ask(tsp(CONFIGURATION_REPORT, bytes(2) + le(0, 2) + le(3, 2)))
    assert report[3:] == bytes(2) + le(3, 2) + le(1, 2) + bytes(3)
    assert tsp_error(ask(change())) == 0x0B
    assert ask(tsp(LOCK_TARGET)) == bytes((1, 0x10, 0x06, 0, 0))
    assert ask(tsp(CONFIGURATION))[37] == 1
    assert ask(change()) == bytes((1, 0x10, 0x0D, 0, 0))
    assert tsp_error(ask(change(owner=2))) == 0x01
    assert tsp_error(ask(change(count=2))) == 0x01
    assert tsp_error(ask(configuration())) == 0x0D
    assert tsp_error(ask(tsp(LOCK_TARGET))) == 0x0D


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (configuration(features=3), 0x0A),
        (configuration(algorithm=1), 0x0A),
        (configuration(te=0x08), 0x0A),
        (configuration(keys=1), 0x0A),
        (configuration()[:-1], 0x01),
        (tsp(LOCK_TARGET), 0x0A),
        (tsp(CONFIGURATION_REPORT, bytes(2) + le(4, 2) + le(1, 2)), 0x01),
        (tsp(0x87), 0x04),
        (tsp(VERSION, version=0x20), 0x05),
    ],
)
def test_what_a_target_cannot_do_is_refused_in_tsps_own_way(request_: bytes, code: int) -> None:
    made = functions()
    assert tsp_error(made.answer(CXL_CONSORTIUM, request_)) == code
    assert not made.target.locked


# -- anything ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.sampled_from([PCI_SIG, CXL_CONSORTIUM]),
            st.one_of(
                st.binary(max_size=64),
                st.builds(tdisp, st.integers(0, 255), st.binary(max_size=40)),
                st.builds(lambda kind, body: bytes((0, kind)) + body, st.integers(0, 9), st.binary(max_size=60)),
            ),
        ),
        max_size=12,
    )
)
def test_nothing_that_is_asked_ends_in_another_error(asked: list[tuple[Vendor, bytes]]) -> None:
    made = functions()
    for vendor, payload in asked:
        try:
            answer = made.answer(vendor, payload)
        except WireError:
            continue
        assert answer[0] == payload[0]
