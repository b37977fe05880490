"""The requester gets its answers from a device that chunks, postpones and forgets, and gives up within bounds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.measurements import Measurement, MeasurementSet
from cmakeys.emulator.pki import DeviceRequest, VendorAuthority
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport, MultiKey
from cmakeys.spdm import attesting
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import Capability, ErrorCode, MeasurementType, RequestCode, Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Flow, Send, Wait
from cmakeys.spdm.messages.error import ErrorResponse, NotReady
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import MeasurementMode, Plan, Requester
from cmakeys.spdm.signing import Statement, verify_statement
from cmakeys.spdm.states import TRANSITIONS, IllegalRequest, State, after
from cmakeys.spdm.violation import ProtocolViolation
from tests.spdm.conversations import leaf_key

T = TypeVar("T")
Responder = Callable[[bytes], bytes | None]

AUTHORITIES: dict[KeyType, VendorAuthority] = {}


def device(key_type: KeyType = KeyType.ECDSA_P256, settings: DeviceSettings | None = None, slots: int = 1) -> Device:
    """A device with `slots` chains of one key type; authorities are made once, keys cost time."""
    authority = AUTHORITIES.setdefault(key_type, VendorAuthority.create("Test Vendor", key_type))
    chains = {
        slot: (authority.issue_device(DeviceRequest(f"serial-{slot}", key_type=key_type)),) for slot in range(slots)
    }
    return Device(Hardware(chains, settings or DeviceSettings()))


class Driver:
    """Runs flows against a responder function, keeping count."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self.sent: list[bytes] = []
        self.waited = 0.0

    def run(self, flow: Flow[T]) -> T:
        answer = b""
        started = False
        while True:
            try:
                effect = flow.send(answer) if started else next(flow)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a generator's return value is untyped
            started = True
            if isinstance(effect, Wait):
                self.waited += effect.seconds
                answer = b""
                continue
            assert isinstance(effect, Send)
            self.sent.append(effect.message)
            response = self._responder(effect.message)
            assert response is not None
            answer = response


def statements(connection: Connection) -> list[Statement]:
    found = [connection.challenge] if connection.challenge else []
    return found + ([connection.measurements.statement] if connection.measurements else [])


def assert_proven(connection: Connection, count: int = 2) -> None:
    """The connection holds `count` signatures and each verifies under its slot's leaf."""
    proofs = statements(connection)
    assert len(proofs) == count
    for statement in proofs:
        assert statement.slot is not None
        verify_statement(statement, leaf_key(connection.chains[statement.slot], connection.layout.hash_size))


def attest(responder: Responder, offer: Offer | None = None, plan: Plan | None = None) -> tuple[Requester, Driver]:
    requester, driver = Requester(offer), Driver(responder)
    driver.run(attesting.attest(requester, plan or Plan()))
    return requester, driver


@pytest.mark.parametrize("version", list(Version), ids=str)
def test_every_version_is_spoken(version: Version) -> None:
    requester, driver = attest(device().respond, Offer(versions=frozenset({version})))
    assert requester.connection.version == version
    assert_proven(requester.connection)
    assert driver.waited == 0


@pytest.mark.parametrize("key_type", list(KeyType), ids=lambda key: key.value)
def test_every_key_type_proves_itself(key_type: KeyType) -> None:
    requester, _ = attest(device(key_type).respond)
    assert_proven(requester.connection)


@pytest.mark.parametrize("base_hash", list(BASE_HASH_FUNCTIONS)[:6], ids=lambda base_hash: str(base_hash.name))
def test_every_hash_is_spoken(base_hash: BaseHash) -> None:
    requester, _ = attest(device().respond, Offer(base_hash=base_hash))
    assert requester.connection.base_hash is base_hash
    assert_proven(requester.connection)


@pytest.mark.parametrize("asym", [BaseAsym.RSASSA_2048, BaseAsym.RSAPSS_2048], ids=["RSASSA", "RSAPSS"])
def test_both_rsa_paddings_are_spoken(asym: BaseAsym) -> None:
    requester, _ = attest(device(KeyType.RSA_2048).respond, Offer(base_asym=asym, pqc_asym=PqcAsym(0)))
    assert requester.connection.asym is asym
    assert_proven(requester.connection)


@pytest.mark.parametrize("version", [Version.V12, Version.V13, Version.V14], ids=str)
@pytest.mark.parametrize(("ours", "theirs"), [(42, 42), (42, 0x1200), (0x1200, 42), (128, 256)])
def test_everything_fits_through_the_smallest_transfers(version: Version, ours: int, theirs: int) -> None:
    responder = device(settings=DeviceSettings(data_transfer_size=theirs))
    offer = Offer(versions=frozenset({version}), data_transfer_size=ours)
    requester, driver = attest(responder.respond, offer)
    assert_proven(requester.connection)
    assert max(map(len, driver.sent)) <= max(theirs, 42)


def test_without_chunking_a_chain_comes_in_portions() -> None:
    responder = device(settings=DeviceSettings(chunking=False, data_transfer_size=512, max_message_size=512))
    requester, driver = attest(responder.respond)
    assert sum(message[1] == RequestCode.GET_CERTIFICATE for message in driver.sent) > 1
    assert_proven(requester.connection)


def test_all_slots_are_read_and_the_chosen_one_challenged() -> None:
    requester, driver = attest(device(slots=3).respond, plan=Plan(slot=1))
    assert sorted(requester.connection.chains) == [0, 1, 2]
    assert requester.connection.challenge is not None
    assert requester.connection.challenge.slot == 1
    challenged = [message[1] for message in driver.sent].index(RequestCode.CHALLENGE)
    assert driver.sent[challenged - 1][:3] == bytes((0x14, RequestCode.GET_CERTIFICATE, 0x81))
    assert_proven(requester.connection)


def test_a_slot_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ProtocolViolation, match="slot 5 is not provisioned") as caught:
        attest(device(slots=2).respond, plan=Plan(slot=5))
    assert "0, 1" in caught.value.hint


def test_a_chain_known_by_its_digest_is_not_read_again() -> None:
    responder = device(slots=2)
    first, _ = attest(responder.respond)
    function = first.connection.hash
    assert function is not None
    known = {function.digest(chain): chain for chain in first.connection.chains.values()}
    requester, driver = Requester(known_chains=known), Driver(responder.respond)
    driver.run(attesting.attest(requester, Plan()))
    assert not any(message[1] == RequestCode.GET_CERTIFICATE for message in driver.sent)
    assert requester.connection.slots.adopted == known
    assert_proven(requester.connection)


def test_a_false_cache_entry_is_not_believed() -> None:
    responder = device()
    first, _ = attest(responder.respond)
    assert first.connection.digests is not None
    forged = {first.connection.digests.digests[0]: b"another chain"}
    requester, driver = Requester(known_chains=forged), Driver(responder.respond)
    driver.run(attesting.attest(requester, Plan()))
    assert requester.connection.chains == first.connection.chains


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("version", [Version.V11, Version.V12, Version.V13], ids=str)
def test_measurements_read_one_by_one_are_covered_by_one_signature(version: Version, raw: bool) -> None:
    offer = Offer(versions=frozenset({version}))
    every, _ = attest(device().respond, offer, Plan(raw=raw))
    each, _ = attest(device().respond, offer, Plan(measurements=MeasurementMode.EACH, raw=raw))
    assert every.connection.measurements is not None
    assert each.connection.measurements is not None
    wanted = [(block.index, block.value) for block in every.connection.measurements.blocks]
    assert sorted((block.index, block.value) for block in each.connection.measurements.blocks) == wanted
    assert_proven(each.connection)


@pytest.mark.parametrize("indices", [(1,), (1, 2, 3), (2, 3), (7,), (1, 3), (1, 2, 0x10, 0xFD, 0xFE)], ids=str)
def test_each_index_is_signed_exactly_once_wherever_the_gaps_are(indices: tuple[int, ...]) -> None:
    measurements = [Measurement(index, MeasurementType.MUTABLE_FIRMWARE, bytes([index])) for index in indices]
    authority = AUTHORITIES.setdefault(KeyType.ECDSA_P256, VendorAuthority.create("Test Vendor", KeyType.ECDSA_P256))
    credentials = authority.issue_device(DeviceRequest("1", key_type=KeyType.ECDSA_P256))
    hardware = Hardware({0: (credentials,)}, DeviceSettings(), MeasurementSet.of(measurements))
    requester, driver = attest(Device(hardware).respond, plan=Plan(measurements=MeasurementMode.EACH))
    assert requester.connection.measurements is not None
    assert sorted(block.index for block in requester.connection.measurements.blocks) == list(indices)
    signed = [m for m in driver.sent if m[1] == RequestCode.GET_MEASUREMENTS and m[2] & 1 and m[3] in indices]
    assert len(signed) == 1
    assert_proven(requester.connection)


def test_unsigned_measurements_are_read_and_not_called_signed() -> None:
    requester, _ = attest(device(settings=DeviceSettings(measurements=MeasurementSupport.UNSIGNED)).respond)
    assert requester.connection.measurements is None
    assert_proven(requester.connection, 1)


@pytest.mark.parametrize("multi_key", [MultiKey.ONLY, MultiKey.NEGOTIABLE])
@pytest.mark.parametrize("asked", [False, True])
def test_multi_key_connections(multi_key: MultiKey, asked: bool) -> None:
    requester, _ = attest(device(settings=DeviceSettings(multi_key=multi_key)).respond, Offer(multi_key=asked))
    assert requester.connection.layout.multi_key is (asked or multi_key == MultiKey.ONLY)
    assert_proven(requester.connection)


def test_no_common_version_is_a_finding_of_step_1() -> None:
    responder = device(settings=DeviceSettings(versions=(Version.V10, Version.V11)))
    with pytest.raises(ProtocolViolation, match=r"offers 1\.0, 1\.1, policy allows 1\.2, 1\.3") as caught:
        attest(responder.respond, Offer(versions=frozenset({Version.V12, Version.V13})))
    assert caught.value.step == 1


# -- postponements ---------------------------------------------------------------------------------------------------


def answering(responder: Device, code: RequestCode, errors: Iterator[ErrorResponse]) -> Responder:
    """The device, but each request of `code` first gets the next of `errors`."""

    def respond(message: bytes) -> bytes | None:
        if message[1] == code:
            error = next(errors, None)
            if error is not None:
                return error.push()
        return responder.respond(message)

    return respond


def error(code: ErrorCode, extended: bytes = b"") -> ErrorResponse:
    return ErrorResponse(Version.V14, code, 0, extended)


@pytest.mark.parametrize(
    "code",
    [RequestCode.GET_DIGESTS, RequestCode.GET_CERTIFICATE, RequestCode.CHALLENGE, RequestCode.GET_MEASUREMENTS],
)
def test_busy_is_waited_out_with_a_fresh_request(code: RequestCode) -> None:
    responder = answering(device(), code, iter([error(ErrorCode.BUSY)] * 3))
    requester, driver = attest(responder)
    assert_proven(requester.connection)
    assert driver.waited == pytest.approx(0.05 + 0.1 + 0.2)
    signed = [message for message in driver.sent if message[1] == code]
    if code in (RequestCode.CHALLENGE, RequestCode.GET_MEASUREMENTS):
        assert len(set(signed)) == len(signed), "a nonce was used twice"


@pytest.mark.parametrize("code", [ErrorCode.REQUEST_IN_FLIGHT, ErrorCode.MESSAGE_LOST])
def test_a_lost_or_overlapping_request_is_sent_again(code: ErrorCode) -> None:
    requester, _ = attest(answering(device(), RequestCode.CHALLENGE, iter([error(code)])))
    assert_proven(requester.connection)


def test_busy_forever_ends_without_a_finding_about_the_device() -> None:
    forever = iter(lambda: error(ErrorCode.BUSY), None)
    with pytest.raises(DeviceUnavailable, match="still busy after 7 attempts"):
        attest(answering(device(), RequestCode.CHALLENGE, forever))


def not_ready(request: int, *, exponent: int = 10, token: int = 7, rdtm: int = 1) -> ErrorResponse:
    return error(ErrorCode.RESPONSE_NOT_READY, NotReady(exponent, request, token, rdtm).push())


class Postponing:
    """Answers a request of `code` only after `rounds` of RESPOND_IF_READY."""

    def __init__(self, responder: Device, code: RequestCode, rounds: int) -> None:
        self._responder, self._code, self._rounds = responder, code, rounds
        self._held = b""

    def __call__(self, message: bytes) -> bytes | None:
        if message[1] == self._code:
            self._held = message
            return not_ready(self._code).push()
        if message[1] == RequestCode.RESPOND_IF_READY:
            assert message[2:4] == bytes((self._code, 7))
            self._rounds -= 1
            if self._rounds > 0:
                return not_ready(self._code).push()
            message = self._held
        return self._responder.respond(message)


@pytest.mark.parametrize("code", [RequestCode.CHALLENGE, RequestCode.GET_MEASUREMENTS, RequestCode.GET_CERTIFICATE])
@pytest.mark.parametrize("rounds", [1, 3])
def test_a_postponed_answer_enters_the_transcript_as_if_at_once(code: RequestCode, rounds: int) -> None:
    requester, driver = attest(Postponing(device(), code, rounds))
    assert_proven(requester.connection)
    assert driver.waited >= rounds * 2**10 / 1e6


def test_an_answer_that_is_never_ready_ends_without_a_finding() -> None:
    with pytest.raises(DeviceUnavailable, match="not ready after 8 rounds"):
        attest(Postponing(device(), RequestCode.CHALLENGE, 1000))


@pytest.mark.parametrize(
    ("promise", "words"),
    [
        (not_ready(RequestCode.GET_DIGESTS), "names request 0x81"),
        (not_ready(RequestCode.CHALLENGE, exponent=32), "RDTExponent 32"),
        (not_ready(RequestCode.CHALLENGE, rdtm=0), "RDTM 0"),
    ],
)
def test_a_promise_that_makes_no_sense_is_a_violation(promise: ErrorResponse, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words) as caught:
        attest(answering(device(), RequestCode.CHALLENGE, iter([promise])))
    assert caught.value.step == 11


def test_a_promise_of_an_hour_is_not_waited_for() -> None:
    promise = not_ready(RequestCode.CHALLENGE, exponent=31)
    with pytest.raises(DeviceUnavailable, match="promised in 2147 s"):
        attest(answering(device(), RequestCode.CHALLENGE, iter([promise])))


def test_a_device_that_forgot_is_asked_again_from_the_start() -> None:
    responder = answering(device(), RequestCode.CHALLENGE, iter([error(ErrorCode.REQUEST_RESYNCH)]))
    requester, driver = attest(responder)
    assert sum(message[1] == RequestCode.GET_VERSION for message in driver.sent) == 2
    assert_proven(requester.connection)


def test_a_device_that_always_forgets_ends_without_a_finding() -> None:
    forever = iter(lambda: error(ErrorCode.REQUEST_RESYNCH), None)
    with pytest.raises(DeviceUnavailable, match="start again 3 times"):
        attest(answering(device(), RequestCode.CHALLENGE, forever))


def test_a_refused_challenge_is_a_finding_of_step_11() -> None:
    with pytest.raises(DeviceRefused, match="ERROR UNSPECIFIED") as caught:
        attest(answering(device(), RequestCode.CHALLENGE, iter([error(ErrorCode.UNSPECIFIED)])))
    assert caught.value.step == 11


@pytest.mark.parametrize("code", [ErrorCode.RESPONSE_TOO_LARGE, ErrorCode.UNSPECIFIED])
def test_measurements_too_large_at_once_are_read_one_by_one(code: ErrorCode) -> None:
    too_large = error(code, bytes(4) if code == ErrorCode.RESPONSE_TOO_LARGE else b"")
    requester, _ = attest(answering(device(), RequestCode.GET_MEASUREMENTS, iter([too_large])))
    assert_proven(requester.connection)


def test_measurements_refused_also_one_by_one_are_a_finding_of_step_12() -> None:
    refusals = itertools.repeat(error(ErrorCode.UNSPECIFIED))
    with pytest.raises(DeviceRefused, match="ERROR UNSPECIFIED") as caught:
        attest(answering(device(), RequestCode.GET_MEASUREMENTS, refusals))
    assert caught.value.step == 12


def test_a_large_response_without_chunking_is_a_violation() -> None:
    responder = answering(device(), RequestCode.CHALLENGE, iter([error(ErrorCode.LARGE_RESPONSE, b"\1")]))
    with pytest.raises(ProtocolViolation, match="chunking was not negotiated"):
        attest(responder, Offer(requester_flags=Capability(0)))


# -- the table of states ---------------------------------------------------------------------------------------------


def test_every_state_of_a_connection_can_start_again() -> None:
    connection = set(State) - {State.HANDSHAKE, State.SESSION, State.ENDED}
    assert all(after(state, RequestCode.GET_VERSION) is State.AFTER_VERSION for state in connection)


def test_a_session_is_never_left_but_by_its_end() -> None:
    """What sets up a connection, or proves possession outside, may not be asked in a session."""
    for state in (State.HANDSHAKE, State.SESSION, State.ENDED):
        for code in (RequestCode.GET_VERSION, RequestCode.CHALLENGE, RequestCode.KEY_EXCHANGE):
            with pytest.raises(IllegalRequest):
                after(state, code)
    assert after(State.SESSION, RequestCode.END_SESSION) is State.ENDED
    assert TRANSITIONS[State.ENDED] == {}


def test_nothing_is_asked_before_its_time() -> None:
    for state in (State.NOT_STARTED, State.AFTER_VERSION, State.AFTER_CAPABILITIES):
        with pytest.raises(IllegalRequest):
            after(state, RequestCode.CHALLENGE)
    with pytest.raises(IllegalRequest):
        after(State.NEGOTIATED, RequestCode.GET_CAPABILITIES)
    assert set(TRANSITIONS) == set(State)


def test_an_operation_out_of_order_never_reaches_the_device() -> None:
    requester, driver = Requester(), Driver(device().respond)
    with pytest.raises(IllegalRequest):
        driver.run(requester.digests())
    assert driver.sent == []
