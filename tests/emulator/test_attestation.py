from __future__ import annotations

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.measurements import INDEX_FIRMWARE, Measurement, MeasurementSet, standard_measurements
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport, MultiKey
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    MEASUREMENT_HASH_FUNCTIONS,
    BaseHash,
    MeasurementHash,
)
from cmakeys.spdm.codes import (
    CertificateModel,
    MeasurementType,
    RequestCode,
    Version,
)
from cmakeys.spdm.messages.certificates import CertificateResponse, GetCertificate
from cmakeys.spdm.messages.measurements import RAW_REQUESTED
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.wire import Reader
from tests.emulator.conftest import IDENTITY, credentials, device_of, vendor
from tests.emulator.driver import NONCE, Answered, Driver

SINCE_12 = [version for version in Version if version >= Version.V12]


@pytest.mark.parametrize("version", Version)
def test_digests_are_the_hashes_of_the_chains(version: Version) -> None:
    driver = Driver(device_of(slots=3), version).connect()
    digests = driver.digests()
    assert digests.slots == (0, 1, 2)
    assert digests.digest_of(2) == BASE_HASH_FUNCTIONS[BaseHash.SHA_384].digest(driver.chain(2))


def test_a_certificate_request_of_no_bytes_tells_the_size() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    assert driver.portion(0, 0, 0).remainder == len(driver.chain())
    assert driver.portion(0, 0, 0).portion == b""


@pytest.mark.parametrize(("version", "portion"), [(Version.V12, 16), (Version.V13, 0)])
def test_the_size_of_a_slot_is_told_since_1_3(version: Version, portion: int) -> None:
    driver = Driver(device_of(), version).connect()
    request = GetCertificate(version, 0, 0, 16, param2=1).push()
    answer = CertificateResponse.pull(Reader(driver.send(request), "CERTIFICATE"))
    assert (len(answer.portion), answer.remainder) == (portion, len(driver.chain()) - portion)


def test_the_large_form_gives_the_same_chain() -> None:
    driver = Driver(device_of(KeyType.ML_DSA_65), Version.V14).connect()
    assert driver.chain(large=True, length=5000) == driver.chain(length=700)


@pytest.mark.parametrize(("slot", "offset"), [(1, 0), (9, 0), (0, 60000)])
def test_a_missing_slot_and_an_offset_past_the_end_are_invalid(slot: int, offset: int) -> None:
    driver = Driver(device_of(), Version.V12).connect()
    with pytest.raises(Answered, match="INVALID_REQUEST"):
        driver.portion(slot, offset, 10)


def test_portions_can_be_short() -> None:
    driver = Driver(device_of(settings=DeviceSettings(portion_limit=64)), Version.V11)
    driver.attest()
    assert len(driver.portion(0, 0, 1024).portion) == 64


def test_slots_hold_different_chains_and_keys() -> None:
    other = vendor().issue_device(credentials().request)
    driver = Driver(Device(Hardware({0: (credentials(),), 4: (other,)})), Version.V12).connect()
    assert driver.digests().slots == (0, 4)
    leaf = driver.leaf(4)
    assert leaf == other.leaf
    _, statement = driver.challenge(4)
    verify_statement(statement, leaf.public_key)


@pytest.mark.parametrize("version", Version)
def test_digests_start_the_certificate_transcript_anew(version: Version) -> None:
    driver = Driver(device_of(slots=2), version).connect()
    driver.digests()
    leaf = driver.leaf(0)
    driver.chain(1)
    driver.digests()
    _, statement = driver.challenge()
    verify_statement(statement, leaf.public_key)


@pytest.mark.parametrize("version", Version)
def test_a_second_challenge_covers_no_certificates(version: Version) -> None:
    driver = Driver(device_of(), version).connect()
    driver.digests()
    leaf = driver.leaf()
    driver.challenge()
    _, statement = driver.challenge()
    verify_statement(statement, leaf.public_key)


@pytest.mark.parametrize("version", Version)
def test_measurements_reset_certificates_before_authentication_and_not_after(version: Version) -> None:
    driver = Driver(device_of(), version).connect()
    leaf = driver.leaf()
    driver.measurements()
    _, statement = driver.challenge()
    verify_statement(statement, leaf.public_key)
    driver.chain()
    kept = list(driver.b)
    driver.measurements()
    driver.b = kept
    _, statement = driver.challenge()
    verify_statement(statement, leaf.public_key)


@pytest.mark.parametrize("version", Version)
def test_one_signature_covers_a_series_of_measurements(version: Version) -> None:
    driver = Driver(device_of(), version).connect()
    leaf = driver.leaf()
    for operation in (0, 1, 2):
        driver.measurements(operation, 0)
    _, signed = driver.measurements(3, 1)
    assert signed is not None
    verify_statement(signed, leaf.public_key)


@pytest.mark.parametrize("version", Version)
def test_an_error_starts_the_series_anew(version: Version) -> None:
    driver = Driver(device_of(), version).connect()
    leaf = driver.leaf()
    driver.measurements(1, 0)
    with pytest.raises(Answered):
        driver.measurements(77, 0)
    _, signed = driver.measurements(2, 1)
    assert signed is not None
    verify_statement(signed, leaf.public_key)


@pytest.mark.parametrize("version", Version)
def test_another_request_starts_the_series_anew(version: Version) -> None:
    driver = Driver(device_of(), version).connect()
    driver.measurements(1, 0)
    leaf = driver.leaf()
    _, signed = driver.measurements(2, 1)
    assert signed is not None
    verify_statement(signed, leaf.public_key)


def test_padding_of_a_request_is_not_hashed() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    leaf = driver.leaf()
    request = bytes.fromhex("12810000")
    driver.b = [request, driver.raw(request + bytes(3))]
    _, statement = driver.challenge()
    verify_statement(statement, leaf.public_key)


def test_count_tells_how_many_there_are() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    answer, _ = driver.measurements(0, 0)
    assert (answer.param1, answer.block_count, answer.record) == (7, 0, b"")


def test_one_index_gives_one_block_as_a_digest() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    block = driver.measurements(INDEX_FIRMWARE, 0)[0].blocks()[0]
    assert (block.index, block.kind, block.raw) == (INDEX_FIRMWARE, MeasurementType.MUTABLE_FIRMWARE, False)
    function = MEASUREMENT_HASH_FUNCTIONS[MeasurementHash.SHA_384]
    assert block.value == function.digest(b"firmware 1")


def test_raw_gives_the_octets_from_1_2_on() -> None:
    for version in Version:
        driver = Driver(device_of(), version).connect()
        block = driver.measurements(INDEX_FIRMWARE, RAW_REQUESTED)[0].blocks()[0]
        assert (block.raw, block.value == b"firmware 1") == ((version >= Version.V12,) * 2)


def test_each_version_sees_the_types_it_defines() -> None:
    counts = [len(Driver(device_of(), version).connect().measurements(0xFF, 0)[0].blocks()) for version in Version]
    assert counts == [5, 5, 7, 7, 7]


@pytest.mark.parametrize("version", [Version.V11, Version.V12, Version.V14])
def test_the_summary_of_all_is_the_hash_of_an_unsigned_record(version: Version) -> None:
    driver = Driver(device_of(), version).connect()
    record = driver.measurements(0xFF, 0)[0].record
    answer, _ = driver.challenge(summary=0xFF)
    assert answer.summary_hash == BASE_HASH_FUNCTIONS[BaseHash.SHA_384].digest(record)
    some, _ = driver.challenge(summary=1)
    assert len(some.summary_hash) == 48
    assert some.summary_hash != answer.summary_hash


def test_firmware_changes_what_is_measured_and_the_alias_leaf() -> None:
    device = Device(Hardware({0: (credentials(model=CertificateModel.ALIAS),)}))
    driver = Driver(device, Version.V12).connect()
    before, leaf = driver.measurements(0xFF, 0)[0].blocks(), driver.leaf()
    device.hardware.change_firmware(b"firmware 2", svn=8)
    driver.attest()
    after = driver.measurements(0xFF, 0)[0].blocks()
    assert [one.index for one, other in zip(before, after, strict=True) if one != other] == [INDEX_FIRMWARE, 0x10]
    assert driver.leaf() != leaf


def test_a_device_without_signed_measurements_refuses_to_sign_them() -> None:
    driver = Driver(device_of(settings=DeviceSettings(measurements=MeasurementSupport.UNSIGNED)), Version.V12).connect()
    driver.measurements(0xFF, 0)
    with pytest.raises(Answered, match="INVALID_REQUEST"):
        driver.measurements(0xFF, 1)


def test_a_device_without_a_capability_does_not_offer_the_service() -> None:
    bare = DeviceSettings(measurements=MeasurementSupport.NONE, chunking=False)
    driver = Driver(device_of(settings=bare), Version.V12).connect()
    with pytest.raises(Answered, match="UNSUPPORTED_REQUEST"):
        driver.measurements(0xFF, 0)


def test_measurement_indices_are_unique_and_in_range() -> None:
    same = Measurement(1, MeasurementType.IMMUTABLE_ROM, b"")
    for bad in ((same, same), (Measurement(0, MeasurementType.IMMUTABLE_ROM, b""),)):
        with pytest.raises(ValueError, match="indices"):
            MeasurementSet.of(bad)
    with pytest.raises(KeyError):
        standard_measurements().changed(99, b"")


def test_the_requester_context_and_nonces_are_where_they_belong() -> None:
    driver = Driver(device_of(), Version.V13).connect()
    first, _ = driver.challenge()
    second, _ = driver.challenge()
    assert first.context == b"context!"
    assert len({first.nonce, second.nonce, NONCE}) == 3


def test_the_identity_of_the_tests_is_the_one_in_the_leaf() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    assert IDENTITY.san_string().encode() in driver.leaf().der


@pytest.mark.parametrize("multi_key", [MultiKey.ONLY, MultiKey.NEGOTIABLE])
def test_multi_key_digests_name_key_model_and_usage_of_each_slot(multi_key: MultiKey) -> None:
    driver = Driver(device_of(settings=DeviceSettings(multi_key=multi_key), slots=2), Version.V13, multi_key=True)
    driver.connect()
    digests = driver.digests()
    assert digests.supported == digests.provisioned == 3
    assert [info.key_pair_id for info in digests.info] == [1, 2]
    assert {info.certificate_info for info in digests.info} == {CertificateModel.DEVICE}
    assert driver.portion(1, 0, 100).model == CertificateModel.DEVICE
    info = driver.send(bytes((0x13, RequestCode.GET_KEY_PAIR_INFO, 0, 0, 2)))
    assert (info[1], info[4], info[5]) == (0x7C, 2, 2)
