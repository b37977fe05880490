from __future__ import annotations

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.settings import PQC_FIRST, DeviceSettings, MultiKey
from cmakeys.spdm.algorithms import (
    BaseAsym,
    BaseHash,
    PqcAsym,
)
from cmakeys.spdm.codes import (
    Capability,
    CertificateModel,
    ErrorCode,
    ResponseCode,
    Version,
)
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms, StructTable
from cmakeys.spdm.messages.version import GetVersion, VersionResponse
from cmakeys.spdm.rules import capabilities_fault, check_selection
from cmakeys.spdm.wire import Reader
from tests.emulator.conftest import credentials, device_of
from tests.emulator.driver import Answered, Driver, error_of

SINCE_12 = [version for version in Version if version >= Version.V12]


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


def test_what_was_asked_in_vain_settles_nothing_but_the_version_of_its_error() -> None:
    device = device_of()
    device.respond(GetVersion().push())
    bad = GetCapabilities(Version.V12, Capability.KEY_EX, 20, 0x1000, 0x1000)
    assert error_of(device.respond(bad.push())) == (0x12, ErrorCode.INVALID_REQUEST, 0)
    good = device.respond(GetCapabilities(Version.V13, Capability(0), 20, 0x1000, 0x1000).push())
    assert good is not None
    assert good[:2] == bytes.fromhex("1361")


@pytest.mark.parametrize(("version", "refused"), [(Version.V11, True), (Version.V12, False)])
def test_mutual_authentication_needs_encapsulation_in_1_1_only(version: Version, *, refused: bool) -> None:
    device = device_of()
    device.respond(GetVersion().push())
    ask = GetCapabilities(version, Capability.CERT | Capability.CHAL | Capability.MUT_AUTH, 20, 0x1000, 0x1000)
    answer = device.respond(ask.push())
    assert answer is not None
    assert (answer[1] == ResponseCode.ERROR) is refused


def test_version_lists_every_version_the_device_speaks() -> None:
    device = device_of(settings=DeviceSettings(versions=(Version.V11, Version.V12)))
    answer = VersionResponse.pull(Reader(device.respond(GetVersion().push()) or b"", "VERSION"))
    assert answer.versions == {Version.V11, Version.V12}
    device.respond(GetVersion().push())
    ask = GetCapabilities(Version.V13, Capability(0), 20, 0x1000, 0x1000)
    assert error_of(device.respond(ask.push())) == (0x10, ErrorCode.VERSION_MISMATCH, 0)
