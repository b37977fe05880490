from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmakeys.emulator.device import Device
from cmakeys.emulator.keys import KeyType
from cmakeys.spdm.algorithms import (
    BaseAsym,
    BaseHash,
)
from cmakeys.spdm.codes import (
    Capability,
    ErrorCode,
    RequestCode,
    Version,
)
from cmakeys.spdm.messages.capabilities import GetCapabilities
from tests.emulator.conftest import device_of
from tests.emulator.driver import Driver, error_of

SINCE_12 = [version for version in Version if version >= Version.V12]


@pytest.mark.parametrize("version", Version)
def test_a_whole_attestation_verifies_in_every_version(version: Version) -> None:
    Driver(device_of(slots=2), version).attest(slot=1)


@pytest.mark.parametrize("key_type", KeyType)
def test_a_whole_attestation_verifies_with_every_key_type(key_type: KeyType) -> None:
    Driver(device_of(key_type), Version.V14).attest()


@pytest.mark.parametrize("algorithm", [BaseAsym.RSASSA_2048, BaseAsym.RSAPSS_2048])
@pytest.mark.parametrize("version", [Version.V11, Version.V12])
def test_an_rsa_key_serves_both_paddings(algorithm: BaseAsym, version: Version) -> None:
    driver = Driver(device_of(KeyType.RSA_2048), version, base_asym=algorithm)
    driver.attest()
    assert driver.asym == algorithm


@pytest.mark.parametrize("base_hash", list(BaseHash(0x3F)))
def test_a_whole_attestation_verifies_with_every_hash(base_hash: BaseHash) -> None:
    Driver(device_of(), Version.V12, base_hash=base_hash).attest()


def test_a_get_version_of_another_version_is_a_mismatch(device: Device) -> None:
    assert device.respond(bytes.fromhex("11840000")) == bytes.fromhex("107f4100")


def test_the_wrong_version_byte_is_a_mismatch_in_the_negotiated_version() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    assert driver.raw(bytes.fromhex("11810000")) == bytes.fromhex("127f4100")


def test_nothing_but_get_version_starts_a_connection(device: Device) -> None:
    for code in set(RequestCode) - {RequestCode.GET_VERSION}:
        assert error_of(device.respond(bytes((0x12, code, 0, 0)) + bytes(60)))[1] == ErrorCode.UNEXPECTED_REQUEST


def test_set_up_is_not_repeated() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    for request in (GetCapabilities(Version.V12, Capability(0), 20, 0x1000, 0x1000).push(), driver.vca[4]):
        assert error_of(driver.raw(request))[1] == ErrorCode.UNEXPECTED_REQUEST


def test_an_unknown_code_is_invalid_and_a_known_one_of_a_missing_service_unsupported() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    assert error_of(driver.raw(bytes.fromhex("12aa0000"))) == (0x12, ErrorCode.INVALID_REQUEST, 0)
    for code in (RequestCode.KEY_EXCHANGE, RequestCode.GET_CSR, RequestCode.HEARTBEAT, RequestCode.SLOT_MANAGEMENT):
        assert error_of(driver.raw(bytes((0x12, code, 0, 0)))) == (0x12, ErrorCode.UNSUPPORTED_REQUEST, code)


@pytest.mark.parametrize("message", [b"", b"\x10", b"\x10\x84\x00"])
def test_less_than_a_header_is_not_answered(device: Device, message: bytes) -> None:
    assert device.respond(message) is None


def test_respond_if_ready_with_nothing_pending_is_invalid() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    assert error_of(driver.raw(bytes.fromhex("12ff8101")))[1] == ErrorCode.INVALID_REQUEST


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([Version.V10, Version.V11, Version.V12, Version.V13, Version.V14]),
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda version, code, rest: bytes((version, code)) + rest,
                st.sampled_from(list(Version)),
                st.sampled_from(list(RequestCode)),
                st.binary(min_size=2, max_size=60),
            ),
        ),
        max_size=6,
    ),
)
def test_no_request_whatever_makes_the_device_fail(version: Version, requests: list[bytes]) -> None:
    driver = Driver(device_of(), version).connect()
    for request in requests:
        answer = driver.device.respond(request)
        assert (answer is None) == (len(request) < 4)
        assert answer is None or answer[0] in set(Version)
