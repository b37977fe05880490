"""`cmakeys emulate --provisioned-key`: a device without certificates, and the file with its public key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmakeys.emulator.factory import Blueprint
    from cmakeys.emulator.line import Seat


def without_certificates(blueprint: Blueprint, count: int) -> Blueprint:
    """The device as one that is known by its public key alone, which SPDM 1.0 has no word for."""
    from dataclasses import replace

    from cmakeys.emulator.settings import MultiKey
    from cmakeys.errors import UsageProblem
    from cmakeys.spdm.codes import CertificateModel, Version

    settings = blueprint.settings
    versions = tuple(version for version in settings.versions if version >= Version.V11)
    alias = blueprint.model is CertificateModel.ALIAS
    several = count > 1 or len(blueprint.slots) > 1 or len(blueprint.key_types) > 1
    if several or alias or settings.multi_key is not MultiKey.NONE or not versions:
        raise UsageProblem(
            "a provisioned key is one key of one device, since SPDM 1.1",
            object="--provisioned-key",
            hint="leave out --count, --slots, --multi-key, --alias, a second --key, and a --version of 1.0",
        )
    return replace(blueprint, settings=replace(settings, versions=versions, provisioned_key=True))


def write_public_key(path: Path, seat: Seat) -> None:
    """What whoever asks the device has to know beforehand."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from cmakeys.errors import from_oserror
    from cmakeys.files import write_whole

    slots = seat.device.hardware.slots
    key = slots[min(slots)][0].chain[-1].public_key
    try:
        write_whole(path, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except OSError as error:
        raise from_oserror(error, str(path)) from error
