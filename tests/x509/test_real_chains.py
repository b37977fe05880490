"""Chains of real and of reference devices pass every step, and one flipped byte in them does not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cmakeys.x509.bundle import read_certificates, split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.chain import (
    ChainFault,
    check_leaf_profile,
    check_signatures,
    check_structure,
    check_validity,
    find_anchor,
    order_root_first,
)
from tests.x509.pki import issue


def only(faults: Sequence[ChainFault]) -> ChainFault:
    (fault,) = faults
    return fault


@pytest.fixture
def hopper(shared_data: Path) -> tuple[Certificate, ...]:
    """NVIDIA's real chain, in SPDM order."""
    return order_root_first(
        read_certificates((shared_data / "nvidia-hopper/hopperCertChain.txt").read_bytes(), "hopper")
    )


class TestRealChains:
    AT = datetime(2026, 11, 1, tzinfo=UTC)

    def test_nvidia_s_chain_passes_every_step(self, hopper: tuple[Certificate, ...], shared_data: Path) -> None:
        (root,) = read_certificates((shared_data / "nvidia-hopper/nvidia_device_root.pem").read_bytes(), "root")
        assert hopper[0] == root
        assert check_structure(hopper) == check_signatures(hopper) == check_validity(hopper, self.AT) == ()
        assert find_anchor(hopper, [root]) == find_anchor(hopper[1:], [root]) == root
        assert find_anchor(hopper, [issue("Other").certificate]) is None

    def test_nvidia_s_leaf_would_break_the_rules_of_1_3_only(self, hopper: tuple[Certificate, ...]) -> None:
        assert check_leaf_profile(hopper[-1], spdm_minor=1, alias=True) == ()
        fault = only(check_leaf_profile(hopper[-1], spdm_minor=3, alias=True))
        assert "no basicConstraints, SPDM 1.3 wants them" in fault.message

    def test_dmtf_s_sample_chains_pass_every_step(self, shared_data: Path) -> None:
        files = sorted(shared_data.glob("captures/roots/*/bundle_responder.certchain*.der"))
        assert len(files) >= 12
        for file in files:
            certs = split_der(file.read_bytes(), file.name)
            (root,) = split_der((file.parent / "ca.cert.der").read_bytes(), "ca.cert.der")
            (other,) = split_der((file.parent / "ca1.cert.der").read_bytes(), "ca1.cert.der")
            assert check_structure(certs) == check_signatures(certs) == check_validity(certs, self.AT) == ()
            assert check_leaf_profile(certs[-1], spdm_minor=4, alias="alias" in file.name) == ()
            assert find_anchor(certs, [other, root]) == find_anchor(certs[1:], [other, root]) == root
            assert find_anchor(certs, [other]) is None
            assert order_root_first(certs[::-1]) == certs

    def test_a_device_leaf_is_refused_in_the_alias_model(self, shared_data: Path) -> None:
        certs = split_der((shared_data / "captures/roots/ecp384/bundle_responder.certchain.der").read_bytes(), "ecp384")
        assert "claims the hardware identity" in only(check_leaf_profile(certs[-1], spdm_minor=2, alias=True)).message

    def test_every_flipped_byte_of_the_hopper_leaf_is_found(self, hopper: tuple[Certificate, ...]) -> None:
        *above, leaf = hopper
        for place in range(len(leaf.der)):
            damaged = bytearray(leaf.der)
            damaged[place] ^= 0x01
            try:
                forged = Certificate.from_der(bytes(damaged))
            except CertificateProblem:
                continue
            assert check_signatures((*above, forged)) != (), f"byte {place}"
