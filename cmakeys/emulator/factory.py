"""Puts an emulated device together: a vendor, a description of the device, and what shall be wrong with it.

The chains are made here, because some faults are in the chain. `Blueprint.credentials` may bring chains that were made
before, so that a device keeps its identity over restarts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cmakeys.emulator.device import Device
from cmakeys.emulator.disclosure_settings import INDEX_LOG
from cmakeys.emulator.faults import Fault, LineFault, Substitution
from cmakeys.emulator.flaws import ALIAS_FLAWS, Flaw
from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.lies.lie import Lies
from cmakeys.emulator.measurements import INDEX_FIRMWARE, Measurement, MeasurementSet, standard_measurements
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest, VendorAuthority
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.codes import CertificateModel, MeasurementType
from cmakeys.spdm.messages.extension_log import push_log
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import PciIdentity

DEFAULT_IDENTITY = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100)
"""QEMU's NVMe controller, the device that can be given an SPDM responder."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The device to build. `slots` are slot numbers; each gets a chain of its own for every key type.

    `psks`, `requester_roots` and `requester_chain` are those of `Hardware`.
    """

    serial: str = "0001"
    identity: PciIdentity | None = DEFAULT_IDENTITY
    key_types: tuple[KeyType, ...] = (KeyType.ECDSA_P384,)
    model: CertificateModel = CertificateModel.DEVICE
    slots: tuple[int, ...] = (0,)
    firmware: bytes = b"firmware 1"
    svn: int = 7
    include_root: bool = True
    settings: DeviceSettings = DeviceSettings()
    credentials: Mapping[int, tuple[DeviceCredentials, ...]] | None = None
    psks: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    requester_roots: tuple[Certificate, ...] = ()
    requester_chain: tuple[Certificate, ...] = ()


def build_device(vendor: VendorAuthority, blueprint: Blueprint, faults: Sequence[Fault] = ()) -> Device:
    """Build the device with all of `faults` in it; those of the line are the server's (see `line_fault`)."""
    settings = blueprint.settings
    measurements = standard_measurements(blueprint.firmware, blueprint.svn)
    if settings.disclosures is not None:
        log = Measurement(INDEX_LOG, MeasurementType.HASH_EXTENDED, push_log(settings.disclosures.log))
        measurements = MeasurementSet.of((*measurements.measurements, log))
    for fault in faults:
        if fault.transfer_size is not None:
            settings = replace(settings, data_transfer_size=fault.transfer_size)
        if fault.settings is not None:
            settings = fault.settings(settings)
        if fault.measured is not None:
            measurements = fault.measured(measurements)
    blueprint = _with_measured_firmware(blueprint, measurements)
    slots = _credentials(vendor, blueprint, faults)
    lies = Lies([lie for fault in faults for lie in fault.lies()])
    hardware = Hardware(slots, settings, measurements, lies)
    hardware.psks = blueprint.psks
    hardware.requester_roots, hardware.requester_chain = blueprint.requester_roots, blueprint.requester_chain
    return Device(hardware)


def line_fault(faults: Sequence[Fault]) -> LineFault | None:
    """The fault of the line among `faults`; the last one wins."""
    return next((fault.line for fault in reversed(faults) if fault.line is not None), None)


def _with_measured_firmware(blueprint: Blueprint, measurements: MeasurementSet) -> Blueprint:
    """A fault that changes firmware changes what the alias leaf says of it, too."""
    measured = next(one.value for one in measurements.measurements if one.index == INDEX_FIRMWARE)
    return replace(blueprint, firmware=measured)


def device_requests(blueprint: Blueprint, *, flaw: Flaw | None = None) -> dict[int, tuple[DeviceRequest, ...]]:
    """What the device's certificates shall say: for each slot a request for each key type."""
    requests = tuple(
        DeviceRequest(
            blueprint.serial,
            blueprint.identity,
            key_type,
            CertificateModel.ALIAS if flaw in ALIAS_FLAWS else blueprint.model,
            firmware=blueprint.firmware,
            svn=blueprint.svn,
            include_root=blueprint.include_root,
            flaw=flaw,
        )
        for key_type in blueprint.key_types
    )
    return dict.fromkeys(blueprint.slots, requests)


def _credentials(
    vendor: VendorAuthority, blueprint: Blueprint, faults: Sequence[Fault]
) -> dict[int, tuple[DeviceCredentials, ...]]:
    flaw = next((fault.flaw for fault in reversed(faults) if fault.flaw is not None), None)
    substitution = next((fault.substitution for fault in reversed(faults) if fault.substitution is not None), None)
    kept = blueprint.credentials or {}
    if substitution == Substitution.IMPOSTOR:
        vendor = VendorAuthority.create(vendor.name, vendor.key_type)
    if substitution == Substitution.TWIN:
        blueprint = replace(blueprint, serial=f"{blueprint.serial}-twin")
    if flaw is not None or substitution in (Substitution.IMPOSTOR, Substitution.TWIN):
        kept = {}
    slots = {}
    for slot, requests in device_requests(blueprint, flaw=flaw).items():
        made = kept.get(slot) or tuple(vendor.issue_device(request) for request in requests)
        slots[slot] = tuple(_as_shown(one, blueprint, substitution) for one in made)
    return slots


def _as_shown(
    credentials: DeviceCredentials, blueprint: Blueprint, substitution: Substitution | None
) -> DeviceCredentials:
    """The credentials under the device's present firmware, and without the key where the chain is stolen."""
    if credentials.request.firmware != blueprint.firmware:
        credentials = credentials.with_firmware(blueprint.firmware, blueprint.svn)
    if substitution == Substitution.STOLEN_CHAIN:
        return replace(credentials, key=credentials.key_type.generate())
    return credentials
