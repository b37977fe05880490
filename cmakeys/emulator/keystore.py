"""A folder that keeps an emulated vendor and its devices, so that a restarted device is the same device.

==================================  ====  ====================================================================
file                                mode  content
==================================  ====  ====================================================================
`root.pem`                          0644  the vendor's root certificate: what an administrator enrols
`vendor.pem`                        0600  root and intermediate with their private keys
`NAME-DIGEST-FIRMWARE.pem`          0600  a device's chain, its leaf's private key and its device key
==================================  ====  ====================================================================

DIGEST stands for what the device's certificates shall say apart from firmware, so asking for another identity, key
type or slot makes another device. New firmware keeps the device key and certificate; its alias leaf gets a file of its
own. Everything here is test material: whoever reads the folder can be any of its devices.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmakeys.emulator.keys import KeyType, pull_key, push_key, type_of_key
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest, VendorAuthority
from cmakeys.errors import EnvironmentProblem, UsageProblem, from_oserror
from cmakeys.files import write_whole
from cmakeys.spdm.codes import CertificateModel
from cmakeys.spdm.signer import PrivateKey
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import Certificate, CertificateProblem

_KEY = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----", re.DOTALL)
_LIMIT = 1 << 20
_WARNING = b"Test keys of an emulated CMA device. Never trust these certificates on a machine that matters.\n"


@dataclass(frozen=True, slots=True)
class KeyStore:
    """The folder. It is made, for its owner only, when something is first kept in it."""

    directory: Path

    @property
    def root_path(self) -> Path:
        """Where the root certificate is."""
        return self.directory / "root.pem"

    def vendor(self, name: str, key_type: KeyType) -> VendorAuthority:
        """The vendor kept here; a new one when there is none.

        Raises `UsageProblem` when another vendor is kept here, `EnvironmentProblem` when the folder cannot be used.
        """
        path = self.directory / "vendor.pem"
        kept = self._read(path)
        if kept is None:
            vendor = VendorAuthority.create(name, key_type)
            certificates = (vendor.certificate, vendor.intermediate)
            self._write(path, _push(certificates, (vendor.key, vendor.intermediate_key)))
            self._write(self.root_path, _pem(vendor.certificate), mode=0o644)
            return vendor
        certificates_kept, keys = _pull(path, kept, certificates=2)
        root = certificates_kept[0]
        organization = root.parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        found = str(organization[0].value) if organization else ""
        if found != name:
            raise UsageProblem(
                f"this folder keeps the vendor {found!r}, not {name!r}",
                object=str(self.directory),
                hint="give each vendor a folder of its own",
            )
        return VendorAuthority(found, type_of_key(keys[0]), keys[0], root, keys[1], certificates_kept[1])

    def device(self, vendor: VendorAuthority, request: DeviceRequest, slot: int) -> DeviceCredentials:
        """The device that `request` describes, with the chain of `slot`; a new one when it is not kept here."""
        name = f"{_file_name(request.serial)}-{_digest(vendor, request, slot)}"
        path = self.directory / f"{name}-{_firmware_digest(request)}.pem"
        kept = self._read(path)
        if kept is not None:
            return _credentials(path, kept, vendor, request)
        credentials = self._with_other_firmware(name, vendor, request) or vendor.issue_device(request)
        self._write(path, _push(credentials.chain, (credentials.key, credentials.device_key)))
        return credentials

    def _with_other_firmware(
        self, name: str, vendor: VendorAuthority, request: DeviceRequest
    ) -> DeviceCredentials | None:
        """The same device as it was with other firmware, moved on to the firmware of `request`."""
        for path in sorted(self.directory.glob(f"{name}-*.pem")) if request.model == CertificateModel.ALIAS else ():
            kept = self._read(path)
            if kept is not None:
                return _credentials(path, kept, vendor, request).with_firmware(request.firmware, request.svn)
        return None

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                data = file.read(_LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        if len(data) > _LIMIT:
            raise EnvironmentProblem("this is no file of ours: more than 1 MiB", object=str(path))
        return data

    def _write(self, path: Path, data: bytes, *, mode: int = stat.S_IRUSR | stat.S_IWUSR) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, data, mode=mode)
        except OSError as error:
            raise from_oserror(error, str(path)) from error


def _credentials(path: Path, data: bytes, vendor: VendorAuthority, request: DeviceRequest) -> DeviceCredentials:
    chain, keys = _pull(path, data, certificates=2)
    index = len(chain) - (2 if request.model == CertificateModel.ALIAS else 1)
    return DeviceCredentials(request, vendor.name, vendor.certificate, chain, keys[0], keys[1], index)


def _pem(certificate: Certificate) -> bytes:
    return certificate.parsed.public_bytes(Encoding.PEM)


def _push(certificates: tuple[Certificate, ...], keys: tuple[PrivateKey, ...]) -> bytes:
    return b"".join((_WARNING, *map(_pem, certificates), *map(push_key, keys)))


def _pull(
    path: Path, data: bytes, *, certificates: int
) -> tuple[tuple[Certificate, ...], tuple[PrivateKey, PrivateKey]]:
    """At least so many certificates and exactly two keys."""
    try:
        found = read_certificates(_KEY.sub(b"", data), str(path))
        first, second = (pull_key(block) for block in _KEY.findall(data))
    except (ValueError, CertificateProblem) as error:
        raise _damaged(path) from error
    if len(found) < certificates:
        raise _damaged(path)
    return found, (first, second)


def _damaged(path: Path) -> EnvironmentProblem:
    return EnvironmentProblem(
        "this is not a file of the emulator's keys, or it is damaged",
        object=str(path),
        hint="remove it to make a new device (or, with vendor.pem, a new vendor)",
    )


def _file_name(serial: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", serial)[:32]


def _digest(vendor: VendorAuthority, request: DeviceRequest, slot: int) -> str:
    says = (
        vendor.certificate.fingerprint,
        request.serial,
        request.identity.san_string() if request.identity else "",
        request.key_type.value,
        request.model.name,
        request.product,
        str(request.include_root),
        str(slot),
    )
    return hashlib.sha256("\0".join(says).encode()).hexdigest()[:16]


def _firmware_digest(request: DeviceRequest) -> str:
    if request.model != CertificateModel.ALIAS:
        return "any"
    return hashlib.sha256(request.firmware + b"\0" + str(request.svn).encode()).hexdigest()[:16]
