"""The mailbox's discipline: whatever a device does, an exchange ends in time, in an answer or in a temporary problem,
and leaves the mailbox clean for the next one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import Temporary, Unsupported
from cmakeys.transports import doe
from cmakeys.transports.base import Deadline, TransportClosed, TransportFramingError, TransportTimeout
from cmakeys.transports.config_space import CountedConfig, ExtendedCapability
from cmakeys.transports.doe import OVERHEAD, Mailbox, mailboxes, open_spdm_mailbox
from cmakeys.transports.framing import DoeObject
from tests.transports.mailbox import MAILBOX, MailboxFaults, SimulatedFunction, SimulatedMailbox, echo

REQUEST = DoeObject(1, 1, b"\x10\x84\0\0")


@pytest.fixture(autouse=True)
def short_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that needs its whole second is not waited for that long here."""
    monkeypatch.setattr(doe, "SECOND", 0.02)


def soon() -> Deadline:
    return Deadline.after(20)


def mailbox_of(faults: MailboxFaults | None = None, **options: object) -> tuple[Mailbox, SimulatedMailbox]:
    simulated = SimulatedMailbox(faults=faults or MailboxFaults(), **options)  # type: ignore[arg-type]  # its fields
    function = SimulatedFunction({MAILBOX: simulated})
    return Mailbox(function, ExtendedCapability(0x2E, 1, MAILBOX)), simulated


# -- what an exchange costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "received"), [(4, 4), (0, 0), (1, 3), (4096, 4), (37, 4600)])
def test_an_exchange_makes_two_accesses_per_dword_received_and_one_per_dword_sent(sent: int, received: int) -> None:
    simulated = SimulatedMailbox(respond=lambda kind, message: bytes(received))
    counted = CountedConfig(SimulatedFunction({MAILBOX: simulated}))
    mailbox = Mailbox(counted, ExtendedCapability(0x2E, 1, MAILBOX))
    answer = mailbox.exchange(DoeObject(1, 1, bytes(sent)), soon())
    out, back = 2 + (sent + 3) // 4, 2 + (received + 3) // 4
    assert len(answer.payload) == 4 * (back - 2)
    assert counted.accesses == out + 2 * back + OVERHEAD
    assert counted.writes == out + back + 1


def test_waiting_costs_one_read_for_each_look() -> None:
    costs = []
    for delay in (0, 3):
        simulated = SimulatedMailbox(delay=delay)
        counted = CountedConfig(SimulatedFunction({MAILBOX: simulated}))
        Mailbox(counted, ExtendedCapability(0x2E, 1, MAILBOX), sleep=lambda _: None).exchange(REQUEST, soon())
        costs.append(counted.accesses)
    assert costs[1] - costs[0] == 3


# -- what is sent and taken --------------------------------------------------------------------------------------------


@given(st.sampled_from([1, 2]), st.binary(max_size=300))
def test_what_is_sent_comes_back_padded(kind: int, message: bytes) -> None:
    mailbox, simulated = mailbox_of()
    padded = message + bytes(-len(message) % 4)
    assert mailbox.exchange(DoeObject(1, kind, message), soon()) == DoeObject(1, kind, padded)
    assert simulated.objects == [(kind, padded)]
    assert simulated.aborts == 0


def test_the_largest_object_has_the_length_zero() -> None:
    whole = bytes((1 << 20) - 8)
    mailbox, _ = mailbox_of(respond=lambda kind, message: whole)
    assert mailbox.exchange(REQUEST, Deadline.after(60)).payload == whole


def test_a_length_of_zero_is_no_empty_object() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(length=0))
    with pytest.raises(TransportClosed, match=r"withdrew|error"):
        mailbox.exchange(REQUEST, Deadline.after(60))
    assert simulated.aborts == 1


def test_an_object_beyond_the_limit_is_aborted_before_it_is_read() -> None:
    simulated = SimulatedMailbox(respond=lambda kind, message: bytes(5000))
    counted = CountedConfig(SimulatedFunction({MAILBOX: simulated}))
    with pytest.raises(TransportFramingError, match="at most 4096"):
        Mailbox(counted, ExtendedCapability(0x2E, 1, MAILBOX), limit=4096).exchange(REQUEST, soon())
    assert counted.accesses < 20
    assert simulated.aborts == 1


def test_dwords_beyond_the_length_are_thrown_away() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(excess=7))
    assert mailbox.exchange(REQUEST, soon()).payload == REQUEST.payload
    assert mailbox.exchange(REQUEST, soon()).payload == REQUEST.payload
    assert simulated.aborts == 0


# -- what can go wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "kind", "message"),
    [
        (MailboxFaults(silent=True), TransportTimeout, "no answer in the mailbox"),
        (MailboxFaults(refuses=True), TransportClosed, "error instead of an answer"),
        (MailboxFaults(drops_ready_after=1), TransportClosed, "withdrew"),
        (MailboxFaults(drops_ready_after=2), TransportClosed, "withdrew"),
        (MailboxFaults(error_after=True), TransportClosed, "error after its answer"),
        (MailboxFaults(vendor=0x1E98), TransportFramingError, "answered with vendor 0x1e98"),
        (MailboxFaults(type_offset=1), TransportFramingError, "type 2"),
        (MailboxFaults(length=1), TransportFramingError, "shorter than its own header"),
        (MailboxFaults(excess=500), TransportFramingError, "beyond the object's length"),
    ],
)
def test_a_failed_exchange_is_temporary_and_aborted(faults: MailboxFaults, kind: type[Temporary], message: str) -> None:
    mailbox, simulated = mailbox_of(faults)
    with pytest.raises(kind, match=message) as caught:
        mailbox.exchange(REQUEST, soon())
    assert "0000:01:00.0" in caught.value.object
    assert simulated.aborts == 1
    simulated.faults = MailboxFaults()
    assert mailbox.exchange(REQUEST, soon()).payload == REQUEST.payload


def test_a_busy_mailbox_is_waited_for() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(busy=3))
    assert mailbox.exchange(REQUEST, soon()).payload == REQUEST.payload
    assert simulated.aborts == 0


def test_a_mailbox_that_stays_busy_is_left_to_whom_it_serves() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(busy=1 << 30))
    with pytest.raises(TransportTimeout, match="stays busy") as caught:
        mailbox.exchange(REQUEST, soon())
    assert "another requester" in caught.value.hint
    assert (simulated.aborts, simulated.objects) == (0, [])


def test_an_object_that_nobody_asked_for_is_not_taken_for_the_answer() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(stale=bytes(16)))
    with pytest.raises(TransportFramingError, match="unasked"):
        mailbox.exchange(REQUEST, soon())
    assert simulated.objects == []


def test_an_error_from_before_is_cleared_and_reported() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(error_before=True))
    with pytest.raises(TransportClosed, match="before the request"):
        mailbox.exchange(REQUEST, soon())
    assert simulated.aborts == 1
    assert mailbox.exchange(REQUEST, soon()).payload == REQUEST.payload


def test_a_mailbox_that_ignores_an_abort_is_given_up() -> None:
    mailbox, simulated = mailbox_of(MailboxFaults(silent=True, ignores_abort=True))
    with pytest.raises(TransportTimeout) as caught:
        mailbox.exchange(REQUEST, soon())
    assert any("does not obey an abort" in note for note in caught.value.__notes__)
    asked = len(simulated.objects)
    with pytest.raises(TransportClosed, match="given up"):
        mailbox.exchange(REQUEST, soon())
    assert len(simulated.objects) == asked


@pytest.mark.parametrize("accesses", range(14))
def test_a_function_that_is_pulled_out_is_gone_and_no_answer(accesses: int) -> None:
    function = SimulatedFunction()
    function.unplugged_after = accesses
    mailbox = Mailbox(function, ExtendedCapability(0x2E, 1, MAILBOX))
    with pytest.raises((TransportClosed, TransportFramingError)):
        mailbox.exchange(REQUEST, soon())


def test_an_interrupted_exchange_is_aborted_too() -> None:
    def interrupt(kind: int, message: bytes) -> bytes:
        raise KeyboardInterrupt

    mailbox, simulated = mailbox_of(respond=interrupt)
    with pytest.raises(KeyboardInterrupt):
        mailbox.exchange(REQUEST, soon())
    assert simulated.aborts == 1


def test_no_time_left_is_a_timeout() -> None:
    mailbox, simulated = mailbox_of()
    with pytest.raises(TransportTimeout):
        mailbox.exchange(REQUEST, Deadline.after(0))
    assert simulated.objects == []


# -- which mailbox -----------------------------------------------------------------------------------------------------


def test_the_mailbox_that_offers_spdm_is_chosen() -> None:
    boxes = {
        0x150: SimulatedMailbox(features=((1, 0), (0x1E98, 2))),
        0x180: SimulatedMailbox(features=((1, 0), (1, 1))),
    }
    mailbox = open_spdm_mailbox(SimulatedFunction(boxes), soon())
    assert mailbox.features == {(1, 0), (1, 1)}
    assert "0x180" in mailbox.name


def test_a_broken_mailbox_does_not_hide_the_good_one() -> None:
    boxes = {0x150: SimulatedMailbox(faults=MailboxFaults(silent=True)), 0x180: SimulatedMailbox()}
    assert "0x180" in open_spdm_mailbox(SimulatedFunction(boxes), soon()).name


def test_without_spdm_the_function_is_unsupported_and_what_it_offers_is_named() -> None:
    boxes = {0x150: SimulatedMailbox(features=((1, 0), (0x1E98, 2)))}
    with pytest.raises(Unsupported, match="0001:00, 1e98:02"):
        open_spdm_mailbox(SimulatedFunction(boxes), soon())
    with pytest.raises(Unsupported, match="no DOE mailbox"):
        open_spdm_mailbox(SimulatedFunction({}), soon())


def test_a_mailbox_that_does_not_answer_is_never_unsupported() -> None:
    boxes = {
        0x150: SimulatedMailbox(faults=MailboxFaults(silent=True)),
        0x180: SimulatedMailbox(features=((1, 0), (0x1E98, 2))),
    }
    with pytest.raises(TransportTimeout):
        open_spdm_mailbox(SimulatedFunction(boxes), soon())


@pytest.mark.parametrize(
    "faults", [MailboxFaults(stale=bytes(16)), MailboxFaults(error_before=True), MailboxFaults(busy=1 << 30)]
)
def test_what_another_run_left_behind_is_cleared_when_a_mailbox_is_opened(faults: MailboxFaults) -> None:
    busy = bool(faults.busy)
    simulated = SimulatedMailbox(faults=faults)
    if busy:
        with pytest.raises(TransportClosed, match="abort"):
            open_spdm_mailbox(SimulatedFunction({MAILBOX: simulated}), soon())
    else:
        assert open_spdm_mailbox(SimulatedFunction({MAILBOX: simulated}), soon()).features
    assert simulated.aborts == 1


def test_an_idle_mailbox_is_not_disturbed_when_it_is_opened() -> None:
    simulated = SimulatedMailbox()
    open_spdm_mailbox(SimulatedFunction({MAILBOX: simulated}), soon())
    assert simulated.aborts == 0
    assert [kind for kind, _ in simulated.objects] == [0, 0, 0]


@pytest.mark.parametrize(("version", "asked"), [(1, 0), (2, 2), (3, 2)])
def test_discovery_says_which_revision_it_follows(version: int, asked: int) -> None:
    simulated = SimulatedMailbox(version=version)
    open_spdm_mailbox(SimulatedFunction({MAILBOX: simulated}), soon())
    assert simulated.versions_asked == {asked}


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (MailboxFaults(endless_discovery=True), "does not end within 256"),
        (MailboxFaults(long_discovery=True), "discovery answer of 8 bytes"),
    ],
)
def test_a_discovery_that_makes_no_sense_ends(faults: MailboxFaults, message: str) -> None:
    simulated = SimulatedMailbox(faults=faults)
    with pytest.raises(TransportFramingError, match=message):
        open_spdm_mailbox(SimulatedFunction({MAILBOX: simulated}), soon())
    assert len(simulated.objects) <= 256


def test_a_mailbox_that_reaches_out_of_configuration_space_is_none() -> None:
    function = SimulatedFunction({0xFF0: SimulatedMailbox()})
    assert list(mailboxes(function)) == []


@given(st.binary(min_size=1, max_size=400), st.data())
def test_whatever_dwords_a_mailbox_holds_the_exchange_ends_cleanly(raw: bytes, data: st.DataObject) -> None:
    """The answer's bytes, headers included, are the device's to choose."""
    frame = raw + bytes(-len(raw) % 4)
    if data.draw(st.booleans()):
        frame = struct.pack("<HBBI", 1, 1, 0, data.draw(st.integers(0, len(frame) // 4 + 4))) + frame
    mailbox, simulated = mailbox_of(MailboxFaults(verbatim=frame))
    try:
        answer = mailbox.exchange(REQUEST, soon())
    except Temporary:
        assert simulated.aborts == 1
    else:
        assert (answer.vendor, answer.type) == (1, 1)
        assert frame.startswith(struct.pack("<H", 1) + b"\x01")


def test_the_simulated_mailbox_punishes_a_requester_without_discipline() -> None:
    simulated = SimulatedMailbox(respond=echo)
    simulated.read(0x14)
    assert simulated.read(0x0C) & 4
    simulated.write(0x08, 1)
    simulated.write(0x10, 0x00010001)
    simulated.write(0x08, 1 << 31)
    assert simulated.read(0x0C) == 0
