"""One vendor for all tests of the emulated device, and RSA keys made once: their making is the slow part."""

from __future__ import annotations

from functools import cache

import pytest

from cmakeys.emulator.device import Device
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest, VendorAuthority
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import CertificateModel
from cmakeys.x509.identity import PciIdentity

IDENTITY = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100, 0x0123456789ABCDEF)


@cache
def vendor() -> VendorAuthority:
    return VendorAuthority.create("Acme")


def credentials(
    key_type: KeyType = KeyType.ECDSA_P384, model: CertificateModel = CertificateModel.DEVICE
) -> DeviceCredentials:
    return _credentials(key_type, model)


@cache
def _credentials(key_type: KeyType, model: CertificateModel) -> DeviceCredentials:
    return vendor().issue_device(DeviceRequest("0001", IDENTITY, key_type, model))


def device_of(
    key_type: KeyType = KeyType.ECDSA_P384, settings: DeviceSettings | None = None, *, slots: int = 1
) -> Device:
    chains = credentials(key_type)
    return Device(Hardware(dict.fromkeys(range(slots), (chains,)), settings or DeviceSettings()))


@pytest.fixture
def device() -> Device:
    return device_of()
