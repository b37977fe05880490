from __future__ import annotations

import pytest

from cmakeys.emulator.flaws import Flaw
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceRequest
from cmakeys.emulator.requester_identity import RequesterIdentity, StrangeRequester
from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseHash
from tests.emulator.conftest import vendor
from tests.emulator.session_driver import requester_credentials, requester_vendor

FUNCTION = BASE_HASH_FUNCTIONS[BaseHash.SHA_384]
ROOT = requester_vendor().certificate


def test_a_chain_of_a_trusted_root_is_taken() -> None:
    credentials = requester_credentials(KeyType.ECDSA_P384)
    identity = RequesterIdentity.read(credentials.structure(FUNCTION), FUNCTION, [vendor().certificate, ROOT])
    assert identity.leaf == credentials.leaf
    assert RequesterIdentity.provisioned(credentials.chain, FUNCTION) == identity


def test_without_anchors_any_chain_is_taken_and_with_them_only_theirs() -> None:
    structure = requester_credentials(KeyType.ECDSA_P384).structure(FUNCTION)
    RequesterIdentity.read(structure, FUNCTION, [])
    with pytest.raises(StrangeRequester, match="leads to no root"):
        RequesterIdentity.read(structure, FUNCTION, [vendor().certificate])


@pytest.mark.parametrize("flaw", [Flaw.FORGED_LEAF, Flaw.INTERMEDIATE_NOT_CA, Flaw.CA_LEAF, Flaw.UNKNOWN_CRITICAL])
@pytest.mark.parametrize("anchored", [True, False])
def test_a_broken_chain_is_refused_by_whoever_reads_it(flaw: Flaw, *, anchored: bool) -> None:
    structure = requester_vendor().issue_device(DeviceRequest("host-1", flaw=flaw)).structure(FUNCTION)
    with pytest.raises(StrangeRequester):
        RequesterIdentity.read(structure, FUNCTION, [ROOT] if anchored else [])


def test_a_false_root_hash_is_refused() -> None:
    structure = bytearray(requester_credentials(KeyType.ECDSA_P384).structure(FUNCTION))
    structure[4] ^= 1
    with pytest.raises(StrangeRequester, match="root hash"):
        RequesterIdentity.read(bytes(structure), FUNCTION, [ROOT])


@pytest.mark.parametrize("structure", [b"", bytes(60), b"\x09\x00\x00\x00\x00"])
def test_what_is_no_chain_is_one_clean_error(structure: bytes) -> None:
    with pytest.raises(EvidenceProblem):
        RequesterIdentity.read(structure, FUNCTION, [])
