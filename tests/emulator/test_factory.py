from __future__ import annotations

from cmakeys.emulator.factory import Blueprint, build_device, device_requests, line_fault
from cmakeys.emulator.faults import FAULTS, LineFault, find_faults
from cmakeys.emulator.flaws import Flaw
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.measurements import INDEX_FIRMWARE
from cmakeys.spdm.codes import CertificateModel
from tests.emulator.conftest import vendor


def test_each_slot_has_a_chain_of_its_own_for_every_key_type() -> None:
    blueprint = Blueprint(slots=(0, 3), key_types=(KeyType.ECDSA_P256, KeyType.ML_DSA_44))
    slots = build_device(vendor(), blueprint).hardware.slots
    leaves = {one.leaf for chains in slots.values() for one in chains}
    assert set(slots) == {0, 3}
    assert len(leaves) == 4


def test_credentials_that_are_given_are_used() -> None:
    first = build_device(vendor(), Blueprint())
    second = build_device(vendor(), Blueprint(credentials=first.hardware.slots))
    assert second.hardware.slots[0][0].chain == first.hardware.slots[0][0].chain


def test_firmware_is_both_measured_and_named_in_the_alias_leaf() -> None:
    blueprint = Blueprint(model=CertificateModel.ALIAS, firmware=b"one")
    first = build_device(vendor(), blueprint)
    same = Blueprint(model=CertificateModel.ALIAS, firmware=b"two", credentials=first.hardware.slots)
    second = build_device(vendor(), same)
    measured = {one.index: one.value for one in second.hardware.measurements.measurements}
    assert measured[INDEX_FIRMWARE] == b"two"
    assert second.hardware.slots[0][0].leaf != first.hardware.slots[0][0].leaf
    assert second.hardware.slots[0][0].device_certificate == first.hardware.slots[0][0].device_certificate


def test_a_stolen_chain_is_the_device_s_own_with_another_key() -> None:
    own = build_device(vendor(), Blueprint()).hardware.slots
    stolen = build_device(vendor(), Blueprint(credentials=own), [FAULTS["stolen-chain"]]).hardware.slots[0][0]
    assert stolen.chain == own[0][0].chain
    assert stolen.key.public_key() != stolen.leaf.public_key


def test_an_impostor_has_nothing_of_the_vendor_but_the_name() -> None:
    impostor = build_device(vendor(), Blueprint(), [FAULTS["impostor"]]).hardware.slots[0][0]
    assert impostor.root.subject == vendor().certificate.subject
    assert impostor.root.spki_fingerprint != vendor().certificate.spki_fingerprint


def test_a_flaw_of_the_alias_model_brings_the_model() -> None:
    (request,) = device_requests(Blueprint(), flaw=Flaw.PATH_TOO_LONG)[0]
    assert request.model == CertificateModel.ALIAS


def test_the_last_fault_of_the_line_wins() -> None:
    assert line_fault(()) is None
    assert line_fault(find_faults(["disconnect", "bad-signature", "slow-dribble"])) == LineFault.DRIBBLE
