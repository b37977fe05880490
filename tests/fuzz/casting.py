"""Who plays: the emulated devices of every case, with keys that were made once, and who we are when a device asks.

The keys lie beside this file, so that a certificate has the same length in every run and damage the same effect.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cmakeys.emulator.disclosure_settings import INDEX_LOG, Disclosures
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.keystore import KeyStore
from cmakeys.emulator.measurements import Measurement, MeasurementSet, standard_measurements
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest, VendorAuthority
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import MeasurementType
from cmakeys.spdm.handshake import PreSharedKey
from cmakeys.spdm.messages.extension_log import push_log
from cmakeys.spdm.own_identity import Credentials
from cmakeys.x509.identity import PciIdentity

FOLDER = Path(__file__).parent / "keys"
IDENTITY = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100, 0x0123456789ABCDEF)
PSK = PreSharedKey(b"hint of the key", b"thirty-two bytes of pre-shared key")
KEY_TYPE = KeyType.ECDSA_P256


@cache
def vendor() -> VendorAuthority:
    """Whoever made the devices: the root that is trusted."""
    return KeyStore(FOLDER).vendor("Fuzzed Vendor", KEY_TYPE)


@cache
def credentials(slot: int = 0) -> DeviceCredentials:
    """What a device has in a slot."""
    return KeyStore(FOLDER).device(vendor(), DeviceRequest(f"fuzz-{slot}", IDENTITY, KEY_TYPE), slot)


@cache
def own_credentials() -> Credentials:
    """Who we are."""
    return Credentials(tuple(certificate.der for certificate in _own().chain), _own().key)


def hardware(settings: DeviceSettings, slots: tuple[int, ...] = (0,)) -> Hardware:
    """A device with these settings."""
    measurements = standard_measurements()
    disclosures = settings.disclosures
    if disclosures is not None:
        log = Measurement(INDEX_LOG, MeasurementType.HASH_EXTENDED, push_log(disclosures.log))
        measurements = MeasurementSet.of((*measurements.measurements, log))
    return Hardware(
        {slot: (credentials(slot),) for slot in slots},
        settings,
        measurements,
        psks={PSK.hint: PSK.key},
        requester_chain=_own().chain,
        clock=lambda: 0.0,
    )


@cache
def _own() -> DeviceCredentials:
    return KeyStore(FOLDER).device(vendor(), DeviceRequest("host", None, KEY_TYPE), 0)


def disclosures(*, trusted_place: bool = False) -> Disclosures:
    """A device that tells everything."""
    return Disclosures(trusted_place=trusted_place)
