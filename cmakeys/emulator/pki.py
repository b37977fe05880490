"""A vendor's PKI for emulated devices: one authority, and credentials for as many devices as a test needs.

Four nouns: a `VendorAuthority` has a self-signed root and one intermediate; it issues `DeviceCredentials`, a chain
with its leaf key, for a `DeviceRequest`; a `Flaw` makes one thing in them wrong on purpose. In the alias model the
device certificate is itself a CA and signs a leaf that names the firmware, so a firmware change gives a new leaf and
key under the same device certificate, as on real devices. Nothing here is fit for anything but tests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Self

from cryptography import x509

from cmakeys.emulator.certificates import (
    CERT_SIGN,
    DIGITAL_SIGNATURE,
    Issuer,
    Profile,
    TcbInfo,
    device_info_name,
    distinguished_name,
    issue,
    pcie_name,
)
from cmakeys.emulator.flaws import Flaw, flawed_intermediate, flawed_leaf
from cmakeys.emulator.keys import KeyType
from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.codes import CertificateModel
from cmakeys.spdm.messages.certificates import push_chain_structure
from cmakeys.spdm.signer import PrivateKey
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.leaf import RESPONDER_AUTH_OID


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """What a device's certificates shall say.

    `identity` gives the PCIe name of the leaf, None leaves it out; `product` and `serial` give DMTF's device-info.
    `firmware` and `svn` appear in alias leaves only.
    """

    serial: str
    identity: PciIdentity | None = None
    key_type: KeyType = KeyType.ECDSA_P384
    model: CertificateModel = CertificateModel.DEVICE
    product: str = "CMA-EMULATOR"
    firmware: bytes = b"firmware 1"
    svn: int = 7
    include_root: bool = True
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True)
class DeviceCredentials:
    """A chain as it stands in a slot, and the leaf's private key.

    `chain` runs from the top downwards, the leaf last; it begins with `root` unless the request left the root out.
    `device_index` is the place of the device certificate in it: the leaf itself in the device model, the certificate
    above it in the alias model. `device_key` is the long-lived key of that certificate.
    """

    request: DeviceRequest
    vendor: str
    root: Certificate
    chain: tuple[Certificate, ...]
    key: PrivateKey
    device_key: PrivateKey
    device_index: int

    @property
    def leaf(self) -> Certificate:
        """The certificate whose key signs."""
        return self.chain[-1]

    @property
    def device_certificate(self) -> Certificate:
        """The certificate that stays when firmware changes."""
        return self.chain[self.device_index]

    @property
    def key_type(self) -> KeyType:
        """Type of the leaf's key."""
        return self.request.key_type

    @property
    def model(self) -> CertificateModel:
        """Device or alias."""
        return self.request.model

    def structure(self, function: HashFunction) -> bytes:
        """The chain structure of reference §3.3 under a base hash."""
        return push_chain_structure(function.digest(self.root.der), b"".join(c.der for c in self.chain))

    def with_firmware(self, firmware: bytes, svn: int | None = None) -> Self:
        """The credentials after a firmware change: a new alias leaf and key, or the same in the device model."""
        request = replace(self.request, firmware=firmware, svn=self.request.svn if svn is None else svn)
        if self.model != CertificateModel.ALIAS:
            return replace(self, request=request)
        leaf, key = _issue_alias(request, self.vendor, self.device_certificate, self.device_key)
        return replace(self, request=request, chain=(*self.chain[:-1], leaf), key=key)


@dataclass(frozen=True, slots=True)
class VendorAuthority:
    """A vendor: a name, a self-signed root and an intermediate, with their keys."""

    name: str
    key_type: KeyType
    key: PrivateKey
    certificate: Certificate
    intermediate_key: PrivateKey
    intermediate: Certificate

    @classmethod
    def create(cls, name: str, key_type: KeyType = KeyType.ECDSA_P384) -> Self:
        """A new vendor with new keys, all of `key_type`."""
        key, intermediate_key = key_type.generate(), key_type.generate()
        subject = distinguished_name(name, f"{name} Test Root CA")
        root = issue(Profile(subject, True, CERT_SIGN), key, Issuer(subject, key))
        profile = _intermediate_profile(name)
        intermediate = issue(profile, intermediate_key, Issuer(subject, key))
        return cls(name, key_type, key, root, intermediate_key, intermediate)

    def issue_device(self, request: DeviceRequest) -> DeviceCredentials:
        """Make a device's keys and certificates as `request` says."""
        above, issuer = self._intermediate_for(request.flaw)
        device_key = request.key_type.generate()
        chain: tuple[Certificate, ...]
        if request.model == CertificateModel.ALIAS:
            profile = _device_ca_profile(request, self.name)
            device = issue(profile, device_key, issuer)
            leaf, key = _issue_alias(request, self.name, device, device_key)
            chain = (above, device, leaf)
        else:
            profile = flawed_leaf(_device_leaf_profile(request, self.name), request.flaw)
            chain, key = (above, issue(profile, device_key, _leaf_issuer(issuer, request.flaw))), device_key
        if request.include_root:
            chain = (self.certificate, *chain)
        index = len(chain) - (2 if request.model == CertificateModel.ALIAS else 1)
        return DeviceCredentials(request, self.name, self.certificate, chain, key, device_key, index)

    def cross_sign(self, other: VendorAuthority) -> Certificate:
        """The other authority's root key under this authority's root: how a new root is vouched for by an old one."""
        profile = Profile(other.certificate.parsed.subject, True, CERT_SIGN)
        return issue(profile, other.key, Issuer(self.certificate.parsed.subject, self.key))

    def _intermediate_for(self, flaw: Flaw | None) -> tuple[Certificate, Issuer]:
        issuer = Issuer(self.intermediate.parsed.subject, self.intermediate_key)
        profile = _intermediate_profile(self.name)
        spoiled = flawed_intermediate(profile, flaw)
        if spoiled == profile:
            return self.intermediate, issuer
        return issue(spoiled, self.intermediate_key, Issuer(self.certificate.parsed.subject, self.key)), issuer


def _intermediate_profile(vendor: str) -> Profile:
    return Profile(distinguished_name(vendor, f"{vendor} Test Device CA"), True, CERT_SIGN)


def _leaf_issuer(issuer: Issuer, flaw: Flaw | None) -> Issuer:
    """The issuer, or for a forged leaf somebody who only uses its name."""
    return Issuer(issuer.name, KeyType.ECDSA_P384.generate()) if flaw == Flaw.FORGED_LEAF else issuer


def _names(request: DeviceRequest, vendor: str) -> tuple[x509.OtherName, ...]:
    info = device_info_name(vendor, request.product, request.serial)
    return (pcie_name(request.identity.san_string()), info) if request.identity else (info,)


def _device_leaf_profile(request: DeviceRequest, vendor: str) -> Profile:
    return Profile(
        distinguished_name(vendor, f"{vendor} {request.product} Device", request.serial),
        False,
        DIGITAL_SIGNATURE,
        names=_names(request, vendor),
        purposes=(RESPONDER_AUTH_OID,),
        hardware_identity=True,
    )


def _device_ca_profile(request: DeviceRequest, vendor: str) -> Profile:
    return Profile(
        distinguished_name(vendor, f"{vendor} {request.product} Device", request.serial),
        True,
        CERT_SIGN,
        path_length=0,
        hardware_identity=True,
    )


def _issue_alias(
    request: DeviceRequest, vendor: str, device: Certificate, device_key: PrivateKey
) -> tuple[Certificate, PrivateKey]:
    key = request.key_type.generate()
    firmware_hash = hashlib.sha384(request.firmware).digest()
    profile = Profile(
        distinguished_name(vendor, f"{vendor} {request.product} Alias {firmware_hash.hex()[:8]}", request.serial),
        False,
        DIGITAL_SIGNATURE,
        names=_names(request, vendor),
        purposes=(RESPONDER_AUTH_OID,),
        tcb=TcbInfo(vendor, request.product, request.svn, firmware_hash),
    )
    issuer = _leaf_issuer(Issuer(device.parsed.subject, device_key), request.flaw)
    return issue(flawed_leaf(profile, request.flaw), key, issuer), key
