"""The other side of the walk-through in cmakeys-rotation(7): a vendor with two roots, its two devices, and a thief."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from cmakeys.emulator.certificates import CERT_SIGN, Issuer, Profile, issue
from cmakeys.emulator.device import Device
from cmakeys.emulator.factory import Blueprint, build_device, device_requests
from cmakeys.emulator.pki import DeviceCredentials, VendorAuthority
from cmakeys.x509.certificate import Certificate


@dataclass(frozen=True, slots=True)
class RollingVendor:
    """A vendor that has an old root and a new one; devices are known by their serial numbers."""

    old: VendorAuthority = field(default_factory=lambda: VendorAuthority.create("Acme 2024"))
    new: VendorAuthority = field(default_factory=lambda: VendorAuthority.create("Acme 2027"))

    def cross(self, issued: datetime) -> Certificate:
        """The new root's key, vouched for by the old one on that day."""
        profile = Profile(self.new.certificate.parsed.subject, True, CERT_SIGN, not_before=issued)
        return issue(profile, self.new.key, Issuer(self.old.certificate.parsed.subject, self.old.key))

    def copy(self) -> Certificate:
        """Another certificate of the old root's key."""
        subject = self.old.certificate.parsed.subject
        return issue(Profile(subject, True, CERT_SIGN), self.old.key, Issuer(subject, self.old.key))

    def credentials(self, serial: str) -> DeviceCredentials:
        """A device's first chain, below the old root."""
        (request,) = device_requests(Blueprint(serial=serial))[0]
        return self.old.issue_device(request)

    def renewed(self, credentials: DeviceCredentials, issued: datetime) -> DeviceCredentials:
        """The same device, with its key, below the new root."""
        return reissued(credentials, self.new, issued)

    def stolen(self, serial: str, issued: datetime) -> DeviceCredentials:
        """What whoever has the old key can make: a device with a key of its own, under the name of another."""
        return reissued(self.credentials(serial), self.old, issued)


def device(credentials: DeviceCredentials) -> Device:
    """A device that shows this chain, and runs what all of them run."""
    blueprint = Blueprint(serial=credentials.request.serial, credentials={0: (credentials,)})
    return build_device(VendorAuthority.create("nobody"), blueprint)


def reissued(credentials: DeviceCredentials, authority: VendorAuthority, issued: datetime) -> DeviceCredentials:
    """The leaf with another issuer and another notBefore, and the chain above it."""
    former = credentials.leaf.parsed
    above = authority.intermediate_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(former.subject)
        .issuer_name(authority.intermediate.parsed.subject)
        .public_key(credentials.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issued)
        .not_valid_after(former.not_valid_after_utc)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    )
    for extension in former.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    der = builder.sign(authority.intermediate_key, hashes.SHA384()).public_bytes(Encoding.DER)
    chain = (authority.certificate, authority.intermediate, Certificate.from_der(der, "emulator"))
    return replace(credentials, root=authority.certificate, chain=chain)
