"""A pin on the device's own certificate survives a firmware update, and nothing else passes for the device."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cmakeys.errors import UsageProblem
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import CertificateProblem
from cmakeys.x509.pin import Pin, PinKind, compute_pin, device_certificate
from tests.devices.chains import alias_chain, plain_chain
from tests.x509.pki import issue


@pytest.mark.parametrize("marked", [True, False], ids=["hardware identity marked", "DICE TcbInfo only"])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_firmware_update_changes_leaf_and_chain_but_not_the_device(marked: bool, levels: int) -> None:
    before = alias_chain("v1", marked=marked, alias_levels=levels)
    after = alias_chain("v2.0", marked=marked, alias_levels=levels)
    for kind, same in (
        (PinKind.ROOT, True),
        (PinKind.DEVICE_CERTIFICATE, True),
        (PinKind.LEAF, False),
        (PinKind.CHAIN, False),
    ):
        assert (compute_pin(kind, before) == compute_pin(kind, after)) is same, kind
    assert before[device_certificate(before).index].subject == "CN=Device 0001"
    assert device_certificate(before).marked is marked


def test_values_are_the_hashes_that_the_design_names() -> None:
    chain = plain_chain()
    root, _, leaf = chain
    assert compute_pin(PinKind.ROOT, chain).value == root.fingerprint
    assert compute_pin(PinKind.LEAF, chain).value == leaf.fingerprint
    assert compute_pin(PinKind.DEVICE_CERTIFICATE, chain).value == leaf.spki_fingerprint
    everything = hashlib.sha256(b"".join(certificate.der for certificate in chain)).hexdigest()
    assert compute_pin(PinKind.CHAIN, chain).value == everything


def test_a_root_pin_names_the_anchor_where_the_chain_does_not_contain_it() -> None:
    root, *rest = plain_chain()
    assert compute_pin(PinKind.ROOT, rest, root).value == root.fingerprint


def test_the_shared_first_certificate_is_never_taken_for_the_device_s() -> None:
    chain = alias_chain("v1", marked=False, alias_levels=2)
    everything_below_the_root_is_dice = (chain[0], *chain[3:])
    assert device_certificate(everything_below_the_root_is_dice).index == 1


def test_a_real_gpu_is_known_by_the_certificate_above_its_firmware_dependent_leaf(shared_data: Path) -> None:
    chain = read_certificates((shared_data / "nvidia-hopper" / "hopperCertChain.txt").read_bytes(), "hopper")[::-1]
    assert "GSP BROM" in chain[device_certificate(chain).index].label


@pytest.mark.parametrize("kind", PinKind)
def test_an_empty_chain_has_no_pin(kind: PinKind) -> None:
    with pytest.raises(CertificateProblem, match="empty"):
        compute_pin(kind, ())


@pytest.mark.parametrize("value", ["", "ab", "G" * 64, "A" * 64])
def test_a_pin_that_is_no_hash_is_refused(value: str) -> None:
    with pytest.raises(UsageProblem):
        Pin(PinKind.LEAF, value)


def test_a_single_certificate_is_its_own_device_certificate() -> None:
    only = issue("Only").certificate
    assert device_certificate((only,)).index == 0
