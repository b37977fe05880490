"""Step 8: a leaf that SPDM does not want for a responder is refused, and the field's real leaves are not."""

from __future__ import annotations

import contextlib

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509.certificate import Certificate
from cmakeys.x509.chain import LEAF, check_leaf_profile
from cmakeys.x509.der import DerError
from cmakeys.x509.leaf import spdm_extension_oids
from tests.x509.pki import Issued, device_chain, leaf_of, usage

_, INTERMEDIATE, _ = device_chain()


def eku(*oids: str) -> tuple[x509.ExtensionType, bool]:
    return (x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in oids]), True)


def spdm(value: str) -> tuple[x509.ExtensionType, bool]:
    return (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.412.274.6"), bytes.fromhex(value)), False)


RESPONDER, REQUESTER = "1.3.6.1.4.1.412.274.3", "1.3.6.1.4.1.412.274.4"
SERVER = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string
HARDWARE_IDENTITY = "300e300c060a2b06010401831c821202"
MUTABLE = "300e300c060a2b06010401831c821205"
HARDWARE_IDENTITY_WITH_VALUE = "3010300e060a2b06010401831c8212020500"


class TestLeafProfile:
    def problems(self, leaf: Issued, *, minor: int | None = 4, alias: bool = False) -> str:
        faults = check_leaf_profile(leaf.certificate, spdm_minor=minor, alias=alias)
        assert all(fault.index == LEAF for fault in faults)
        return "; ".join(fault.message for fault in faults)

    @pytest.mark.parametrize(("minor", "fault"), [(None, False), (0, False), (2, False), (3, True), (4, True)])
    def test_missing_basic_constraints_are_a_fault_since_1_3(self, minor: int | None, fault: bool) -> None:
        leaf = leaf_of(INTERMEDIATE, ca=None)
        assert ("no basicConstraints" in self.problems(leaf, minor=minor)) is fault
        assert bool(self.problems(leaf, minor=minor)) is fault

    @pytest.mark.parametrize("minor", [None, 0, 3])
    def test_a_leaf_that_is_a_ca_is_a_fault_in_every_version(self, minor: int | None) -> None:
        assert "a leaf must not be one" in self.problems(leaf_of(INTERMEDIATE, ca=True), minor=minor)

    def test_digital_signature_is_needed(self) -> None:
        assert "no keyUsage" in self.problems(leaf_of(INTERMEDIATE, key_usage=None))
        assert "lacks digitalSignature" in self.problems(leaf_of(INTERMEDIATE, key_usage=usage()))
        both = usage(digital_signature=True, key_cert_sign=True)
        assert "keyCertSign" in self.problems(leaf_of(INTERMEDIATE, key_usage=both))

    @pytest.mark.parametrize(
        ("purposes", "fault"),
        [
            ((SERVER,), False),
            ((RESPONDER,), False),
            ((RESPONDER, REQUESTER), False),
            ((SERVER, REQUESTER), True),
            ((REQUESTER,), True),
        ],
    )
    def test_a_leaf_for_requesters_only_is_a_fault(self, purposes: tuple[str, ...], fault: bool) -> None:
        found = self.problems(leaf_of(INTERMEDIATE, extensions=[eku(*purposes)]))
        assert ("SPDM requester only" in found) is fault

    @pytest.mark.parametrize("value", [HARDWARE_IDENTITY, HARDWARE_IDENTITY_WITH_VALUE])
    def test_the_hardware_identity_is_for_device_certificates(self, value: str) -> None:
        leaf = leaf_of(INTERMEDIATE, extensions=[spdm(value)])
        assert self.problems(leaf) == ""
        assert "claims the hardware identity" in self.problems(leaf, alias=True)

    def test_a_mutable_alias_leaf_is_fine(self) -> None:
        assert self.problems(leaf_of(INTERMEDIATE, extensions=[spdm(MUTABLE)]), alias=True) == ""

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "0500",
            "30003000",
            "300e300d060a2b06010401831c821202",
            "30023000",
            "300430020500",
            "300430020600" + "00",
            "30020500",
            "3014" + "3012" + "060a2b06010401831c821202" + "0500" * 3,
        ],
    )
    @pytest.mark.parametrize("alias", [True, False])
    def test_a_malformed_spdm_extension_is_a_fault(self, value: str, alias: bool) -> None:
        leaf = leaf_of(INTERMEDIATE, extensions=[spdm(value)])
        assert "SPDM extension 1.3.6.1.4.1.412.274.6 is malformed" in self.problems(leaf, alias=alias)

    def test_a_key_we_cannot_use_is_a_fault(self) -> None:
        der = leaf_of(INTERMEDIATE, kind="ed25519").certificate.der
        unknown = Certificate.from_der(der.replace(b"\x06\x03\x2b\x65\x70", b"\x06\x03\x2b\x65\x7f"))
        (fault,) = check_leaf_profile(unknown, spdm_minor=2, alias=False)
        assert "unsupported public key 1.3.101.127" in fault.message

    @given(st.binary(max_size=40))
    def test_any_bytes_as_spdm_extension_are_read_or_refused(self, value: bytes) -> None:
        with contextlib.suppress(DerError):
            assert all(oid[0] == 0x06 for oid in spdm_extension_oids(value))
