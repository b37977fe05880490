from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509

from cmakeys.emulator.certificates import DICE_TCB_INFO_OID
from cmakeys.emulator.flaws import ALIAS_FLAWS, FLAW_STEPS, Flaw
from cmakeys.emulator.keys import KeyType, pull_key, push_key, type_of_key
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseHash
from cmakeys.spdm.codes import CertificateModel
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import CertificateProblem
from cmakeys.x509.chain import check_leaf_profile, check_signatures, check_structure, check_validity, find_anchor
from cmakeys.x509.identity import all_match, has_dice_tcb_info, leaf_names
from tests.emulator.conftest import IDENTITY, credentials, vendor

TODAY = datetime(2026, 6, 1, tzinfo=UTC)
MODELS = (CertificateModel.DEVICE, CertificateModel.ALIAS)


def steps_that_fail(made: DeviceCredentials) -> set[int]:
    """The verification steps of the design, as far as they look at certificates alone."""
    failed = {
        2: bool(check_structure(made.chain)),
        3: bool(check_signatures(made.chain)),
        4: find_anchor(made.chain, [vendor().certificate]) is None,
        6: bool(check_validity(made.chain, TODAY)),
        8: bool(check_leaf_profile(made.leaf, spdm_minor=3, alias=made.model == CertificateModel.ALIAS)),
    }
    try:
        failed[9] = not all_match(IDENTITY, leaf_names(made.leaf))
    except CertificateProblem:
        failed[9] = True
    return {step for step, bad in failed.items() if bad}


@pytest.mark.parametrize("key_type", KeyType)
def test_a_chain_of_every_key_type_passes_every_step_that_looks_at_certificates(key_type: KeyType) -> None:
    made = credentials(key_type)
    assert steps_that_fail(made) == set()
    assert type_of_key(made.key) == key_type
    assert made.leaf.public_key == made.key.public_key()
    assert made.leaf.never_expires


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("include_root", [True, False])
def test_the_device_certificate_is_found_by_its_index(model: CertificateModel, include_root: bool) -> None:
    made = vendor().issue_device(DeviceRequest("7", IDENTITY, model=model, include_root=include_root))
    assert steps_that_fail(made) == set()
    assert made.device_certificate.public_key == made.device_key.public_key()
    assert (made.device_certificate == made.leaf) == (model == CertificateModel.DEVICE)
    assert (made.chain[0] == made.root) == include_root


def test_an_alias_leaf_changes_with_firmware_and_the_certificate_above_it_does_not() -> None:
    before = credentials(model=CertificateModel.ALIAS)
    after = before.with_firmware(b"firmware 2")
    assert after.chain[:-1] == before.chain[:-1]
    assert after.leaf.spki_fingerprint != before.leaf.spki_fingerprint
    assert steps_that_fail(after) == set()
    assert has_dice_tcb_info(after.leaf)
    tcb = after.leaf.parsed.extensions.get_extension_for_oid(x509.ObjectIdentifier(DICE_TCB_INFO_OID))
    assert hashlib.sha384(b"firmware 2").digest() in tcb.value.public_bytes()


def test_a_device_certificate_does_not_change_with_firmware() -> None:
    made = credentials()
    assert made.with_firmware(b"firmware 2").chain == made.chain


def test_the_chain_structure_is_what_the_certificate_reader_expects() -> None:
    made = credentials()
    for base_hash in (BaseHash.SHA_256, BaseHash.SHA3_512):
        function = BASE_HASH_FUNCTIONS[base_hash]
        chain = SpdmChain.parse(made.structure(function), function.size, "slot 0")
        assert chain.certificates == made.chain
        assert chain.root_hash == function.digest(made.root.der)


CASES = [(flaw, model) for flaw in Flaw for model in MODELS if flaw not in ALIAS_FLAWS or model == MODELS[1]]


@pytest.mark.parametrize(("flaw", "model"), CASES)
def test_each_flaw_fails_the_step_it_belongs_to_and_no_earlier_one(flaw: Flaw, model: CertificateModel) -> None:
    made = vendor().issue_device(DeviceRequest("7", IDENTITY, model=model, flaw=flaw))
    failed = steps_that_fail(made)
    assert failed, f"{flaw} goes unnoticed"
    assert min(failed) == FLAW_STEPS[flaw]


def test_every_flaw_has_its_step() -> None:
    assert set(FLAW_STEPS) == set(Flaw)


def test_another_vendor_of_the_same_name_is_not_an_anchor() -> None:
    impostor = type(vendor()).create(vendor().name)
    made = impostor.issue_device(DeviceRequest("0001", IDENTITY))
    assert made.leaf.subject == credentials().leaf.subject
    assert steps_that_fail(made) == {4}


def test_an_old_root_vouches_for_a_new_one() -> None:
    new = type(vendor()).create("Acme 2")
    bridge = vendor().cross_sign(new)
    bridge.parsed.verify_directly_issued_by(vendor().certificate.parsed)
    assert bridge.public_key == new.certificate.public_key


@pytest.mark.parametrize("key_type", KeyType)
def test_a_private_key_survives_being_written_and_read(key_type: KeyType) -> None:
    key = credentials(key_type).key
    assert type_of_key(pull_key(push_key(key))) == key_type
    assert pull_key(push_key(key)).public_key() == key.public_key()


def test_identity_can_be_left_out() -> None:
    made = vendor().issue_device(replace(credentials().request, identity=None))
    names = leaf_names(made.leaf)
    assert names.pcie == ()
    assert names.device_info == ("Acme:CMA-EMULATOR:0001",)
