from __future__ import annotations

import pytest

from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.algorithms import (
    PqcAsym,
)
from cmakeys.spdm.codes import (
    ErrorCode,
    ResponseCode,
    Version,
)
from tests.emulator.conftest import device_of
from tests.emulator.driver import Answered, Driver, error_of

SINCE_12 = [version for version in Version if version >= Version.V12]


@pytest.mark.parametrize("version", SINCE_12)
def test_everything_passes_through_transfers_of_42_bytes(version: Version) -> None:
    driver = Driver(device_of(settings=DeviceSettings(data_transfer_size=42)), version, transfer_size=42)
    driver.attest()
    assert driver.chunk_messages > 10


@pytest.mark.parametrize("key_type", [KeyType.ML_DSA_44, KeyType.ML_DSA_87])
def test_post_quantum_messages_pass_through_chunks(key_type: KeyType) -> None:
    driver = Driver(device_of(key_type), Version.V14, transfer_size=1024)
    driver.attest()
    assert isinstance(driver.asym, PqcAsym)


def test_chunk_requests_with_nothing_open_are_unexpected_and_unsupported_before_1_2() -> None:
    assert error_of(Driver(device_of(), Version.V12).connect().raw(bytes.fromhex("128600010000")))[1] == (
        ErrorCode.UNEXPECTED_REQUEST
    )
    assert error_of(Driver(device_of(), Version.V10).connect().raw(bytes.fromhex("108600010000")))[1] == (
        ErrorCode.UNSUPPORTED_REQUEST
    )


def test_an_open_transfer_survives_other_requests_and_not_get_version() -> None:
    driver = Driver(device_of(), Version.V12, transfer_size=42).connect()
    announced = driver.raw(bytes.fromhex("12810000"))
    assert error_of(announced)[1] == ErrorCode.LARGE_RESPONSE
    assert error_of(driver.raw(bytes.fromhex("12810000")))[1] == ErrorCode.UNEXPECTED_REQUEST
    handle = announced[4]
    assert error_of(driver.raw(bytes((0x12, 0x86, 0, handle ^ 1, 0, 0))))[1] == ErrorCode.INVALID_REQUEST
    assert error_of(driver.raw(bytes((0x12, 0x86, 0, handle, 1, 0))))[1] == ErrorCode.INVALID_REQUEST
    assert driver.raw(bytes((0x12, 0x86, 0, handle, 0, 0)))[1] == ResponseCode.CHUNK_RESPONSE
    driver.connect()
    assert error_of(driver.raw(bytes((0x12, 0x86, 0, handle, 1, 0))))[1] == ErrorCode.UNEXPECTED_REQUEST


def test_a_bad_chunk_is_an_early_error_and_ends_the_transfer() -> None:
    driver = Driver(device_of(settings=DeviceSettings(data_transfer_size=42)), Version.V13, transfer_size=42).connect()
    first = bytes.fromhex("1385000100000000") + (26).to_bytes(4, "little") + (45).to_bytes(4, "little") + bytes(26)
    assert driver.raw(first)[:4] == bytes.fromhex("13050001")
    skipped = bytes.fromhex("1385010102000000") + (19).to_bytes(4, "little") + bytes(19)
    ack = driver.raw(skipped)
    assert ack[:6] == bytes.fromhex("130501010200")
    assert error_of(ack[6:])[1] == ErrorCode.INVALID_REQUEST
    driver.digests()


def test_a_response_that_fits_nowhere_is_refused_with_its_size() -> None:
    driver = Driver(device_of(), Version.V12, chunking=False, transfer_size=42).connect()
    with pytest.raises(Answered) as caught:
        driver.digests()
    assert caught.value.error.code == ErrorCode.RESPONSE_TOO_LARGE
    assert int.from_bytes(caught.value.error.extended, "little") == 4 + 48


def test_a_request_larger_than_announced_is_refused() -> None:
    driver = Driver(device_of(settings=DeviceSettings(data_transfer_size=42)), Version.V12).connect()
    assert error_of(driver.raw(bytes.fromhex("12810000") + bytes(60)))[1] == ErrorCode.REQUEST_TOO_LARGE
