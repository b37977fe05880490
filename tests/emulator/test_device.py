from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.measurements import INDEX_FIRMWARE, Measurement, MeasurementSet, standard_measurements
from cmakeys.emulator.settings import PQC_FIRST, DeviceSettings, MeasurementSupport, MultiKey
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    MEASUREMENT_HASH_FUNCTIONS,
    BaseAsym,
    BaseHash,
    MeasurementHash,
    PqcAsym,
)
from cmakeys.spdm.codes import (
    Capability,
    CertificateModel,
    ErrorCode,
    MeasurementType,
    RequestCode,
    ResponseCode,
    Version,
)
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.measurements import RAW_REQUESTED
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms, StructTable
from cmakeys.spdm.messages.version import GetVersion, VersionResponse
from cmakeys.spdm.rules import capabilities_fault, check_selection
from cmakeys.spdm.signing import verify_statement
from cmakeys.spdm.wire import Reader
from tests.emulator.conftest import IDENTITY, credentials, device_of, vendor
from tests.emulator.driver import NONCE, Answered, Driver

SINCE_12 = [version for version in Version if version >= Version.V12]


def error_of(octets: bytes | None) -> tuple[int, int, int]:
    """Version, code and data of an ERROR."""
    assert octets is not None
    assert octets[1] == ResponseCode.ERROR
    return octets[0], octets[2], octets[3]


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


@pytest.mark.parametrize("first", [False, True])
def test_classic_is_preferred_unless_the_device_is_told_otherwise(first: bool) -> None:
    chains = (credentials(KeyType.ECDSA_P256), credentials(KeyType.ML_DSA_65))
    device_settings = DeviceSettings(algorithms=PQC_FIRST) if first else DeviceSettings()
    driver = Driver(Device(Hardware({0: chains}, device_settings)), Version.V14)
    driver.attest()
    assert isinstance(driver.asym, PqcAsym) == first


def test_a_post_quantum_key_is_never_chosen_before_1_4() -> None:
    chains = (credentials(KeyType.ECDSA_P256), credentials(KeyType.ML_DSA_65))
    driver = Driver(Device(Hardware({0: chains}, DeviceSettings(algorithms=PQC_FIRST))), Version.V13)
    driver.attest()
    assert driver.asym == BaseAsym.ECDSA_P256


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


def test_a_multi_key_device_insists_on_multi_key() -> None:
    with pytest.raises(Answered, match="INVALID_REQUEST"):
        Driver(device_of(settings=DeviceSettings(multi_key=MultiKey.ONLY)), Version.V13).connect()


@pytest.mark.parametrize("version", Version)
def test_the_announced_capabilities_are_consistent(version: Version) -> None:
    alias = Device(Hardware({0: (credentials(model=CertificateModel.ALIAS),)}))
    for device in (device_of(), alias, device_of(settings=DeviceSettings(multi_key=MultiKey.NEGOTIABLE))):
        driver = Driver(device, version).connect()
        assert driver.peer is not None
        assert capabilities_fault(driver.peer) is None
    driver = Driver(alias, version).connect()
    assert driver.peer is not None
    assert bool(driver.peer.flags & Capability.ALIAS_CERT) == (version >= Version.V12)


def test_the_supported_algorithms_block_is_given_when_asked_for() -> None:
    device = device_of()
    device.respond(GetVersion().push())
    ask = GetCapabilities(Version.V13, Capability.CHUNK, 20, 0x1000, 0x1000, param1=1).push()
    answer = Capabilities.pull(Reader(device.respond(ask) or b"", "CAPABILITIES"))
    assert len(answer.algorithms_block) == 30
    assert int.from_bytes(answer.algorithms_block[6:10], "little") == BaseAsym.ECDSA_P384.value


def test_struct_tables_are_mirrored_with_nothing_selected() -> None:
    device = device_of()
    device.respond(GetVersion().push())
    device.respond(GetCapabilities(Version.V12, Capability(0), 20, 0x1000, 0x1000).push())
    tables = (StructTable(2, 0x18), StructTable(3, 2), StructTable(5, 1))
    offer = NegotiateAlgorithms(Version.V12, BaseAsym.ECDSA_P384, BaseHash.SHA_384, 1, 2, tables=tables)
    algorithms = Algorithms.pull(Reader(device.respond(offer.push()) or b"", "ALGORITHMS"))
    assert [(table.type, table.mask) for table in algorithms.tables] == [(2, 0), (3, 0), (5, 0)]
    check_selection(offer, algorithms, Capability.CERT | Capability.CHAL | Capability.MEAS_SIGNED)


@pytest.mark.parametrize(
    "tables", [(StructTable(2, 0),), (StructTable(3, 1), StructTable(2, 1)), (StructTable(2, 1), StructTable(2, 1))]
)
def test_bad_struct_tables_are_refused(tables: tuple[StructTable, ...]) -> None:
    device = device_of()
    device.respond(GetVersion().push())
    device.respond(GetCapabilities(Version.V12, Capability(0), 20, 0x1000, 0x1000).push())
    offer = NegotiateAlgorithms(Version.V12, BaseAsym.ECDSA_P384, BaseHash.SHA_384, 1, 2, tables=tables)
    assert error_of(device.respond(offer.push()))[1] == ErrorCode.INVALID_REQUEST


# -- what is answered when a request is out of place (reference §1.3) ------------------------------------------------


def test_a_get_version_of_another_version_is_a_mismatch(device: Device) -> None:
    assert device.respond(bytes.fromhex("11840000")) == bytes.fromhex("107f4100")


def test_version_lists_every_version_the_device_speaks() -> None:
    device = device_of(settings=DeviceSettings(versions=(Version.V11, Version.V12)))
    answer = VersionResponse.pull(Reader(device.respond(GetVersion().push()) or b"", "VERSION"))
    assert answer.versions == {Version.V11, Version.V12}
    device.respond(GetVersion().push())
    ask = GetCapabilities(Version.V13, Capability(0), 20, 0x1000, 0x1000)
    assert error_of(device.respond(ask.push())) == (0x10, ErrorCode.VERSION_MISMATCH, 0)


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


@pytest.mark.parametrize(
    ("flags", "transfer", "maximum"),
    [
        (Capability.PSK_WITH_CONTEXT | Capability.MAC, 0x1000, 0x1000),
        (Capability.KEY_EX, 0x1000, 0x1000),
        (Capability.MAC, 0x1000, 0x1000),
        (Capability.CERT | Capability.PUB_KEY_ID | Capability.CHAL, 0x1000, 0x1000),
        (Capability.CERT, 0x1000, 0x1000),
        (Capability.CHAL, 0x1000, 0x1000),
        (Capability(0), 41, 41),
        (Capability(0), 0x1000, 0x2000),
        (Capability.CHUNK, 0x1000, 0x800),
    ],
)
def test_a_requester_that_contradicts_itself_is_refused(flags: Capability, transfer: int, maximum: int) -> None:
    device = device_of()
    device.respond(GetVersion().push())
    ask = GetCapabilities(Version.V12, flags, 20, transfer, maximum)
    assert error_of(device.respond(ask.push()))[1] == ErrorCode.INVALID_REQUEST


# -- certificates ----------------------------------------------------------------------------------------------------


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


# -- transcripts: the resets of reference §4.4 and §4.5 ----------------------------------------------------------------


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


# -- measurements ----------------------------------------------------------------------------------------------------


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


# -- hostile requests ------------------------------------------------------------------------------------------------


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


def test_the_identity_of_the_tests_is_the_one_in_the_leaf() -> None:
    driver = Driver(device_of(), Version.V12).connect()
    assert IDENTITY.san_string().encode() in driver.leaf().der
