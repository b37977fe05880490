from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.keystore import KeyStore
from cmakeys.emulator.pki import DeviceRequest
from cmakeys.errors import EnvironmentProblem, UsageProblem
from cmakeys.spdm.codes import CertificateModel
from cmakeys.x509.bundle import read_certificates
from tests.emulator.conftest import IDENTITY

REQUEST = DeviceRequest("0001", IDENTITY)
ALIAS = replace(REQUEST, model=CertificateModel.ALIAS)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "pki")


def again(store: KeyStore) -> KeyStore:
    return KeyStore(store.directory)


@pytest.mark.parametrize("key_type", [KeyType.ECDSA_P384, KeyType.ED25519, KeyType.ML_DSA_65])
@pytest.mark.parametrize("model", [CertificateModel.DEVICE, CertificateModel.ALIAS])
def test_a_restarted_device_is_the_same(store: KeyStore, key_type: KeyType, model: CertificateModel) -> None:
    request = replace(REQUEST, key_type=key_type, model=model)
    first = store.device(store.vendor("Acme", key_type), request, 0)
    second = again(store).device(again(store).vendor("Acme", key_type), request, 0)
    assert second.chain == first.chain
    assert second.device_certificate == first.device_certificate
    assert second.key.public_key() == first.leaf.public_key
    assert second.device_key.public_key() == first.device_certificate.public_key


def test_new_firmware_keeps_the_device_and_old_firmware_brings_its_leaf_back(store: KeyStore) -> None:
    vendor = store.vendor("Acme", KeyType.ECDSA_P384)
    before = store.device(vendor, ALIAS, 0)
    after = again(store).device(vendor, replace(ALIAS, firmware=b"firmware 2"), 0)
    assert after.leaf != before.leaf
    assert after.chain[:-1] == before.chain[:-1]
    assert again(store).device(vendor, ALIAS, 0).chain == before.chain


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, serial="0002"),
        replace(REQUEST, identity=None),
        replace(REQUEST, key_type=KeyType.ECDSA_P256),
        replace(REQUEST, model=CertificateModel.ALIAS),
    ],
)
def test_another_request_is_another_device(store: KeyStore, other: DeviceRequest) -> None:
    vendor = store.vendor("Acme", KeyType.ECDSA_P384)
    assert store.device(vendor, REQUEST, 0).leaf != store.device(vendor, other, 0).leaf
    assert store.device(vendor, REQUEST, 0).leaf != store.device(vendor, REQUEST, 1).leaf


def test_the_root_is_public_and_nothing_else_is(store: KeyStore) -> None:
    earlier = os.umask(0)
    try:
        vendor = store.vendor("Acme", KeyType.ECDSA_P384)
        store.device(vendor, REQUEST, 0)
    finally:
        os.umask(earlier)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert modes.pop("root.pem") == 0o644
    assert len(modes) == 2
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert b"PRIVATE" not in store.root_path.read_bytes()
    assert read_certificates(store.root_path.read_bytes(), "root.pem") == (vendor.certificate,)


def test_a_folder_belongs_to_one_vendor(store: KeyStore) -> None:
    store.vendor("Acme", KeyType.ECDSA_P384)
    with pytest.raises(UsageProblem, match="keeps the vendor 'Acme'"):
        store.vendor("Other", KeyType.ECDSA_P384)


@pytest.mark.parametrize(
    "damage",
    [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" * 2, bytes(2 << 20)],
)
def test_a_damaged_file_is_named(store: KeyStore, damage: bytes) -> None:
    store.vendor("Acme", KeyType.ECDSA_P384)
    (store.directory / "vendor.pem").write_bytes(damage)
    with pytest.raises(EnvironmentProblem, match=r"vendor\.pem"):
        store.vendor("Acme", KeyType.ECDSA_P384)


def test_a_cut_file_never_gives_a_device(store: KeyStore) -> None:
    vendor = store.vendor("Acme", KeyType.ECDSA_P384)
    store.device(vendor, REQUEST, 0)
    (path,) = (one for one in store.directory.iterdir() if one.name not in ("root.pem", "vendor.pem"))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 30, 97):
        path.write_bytes(whole[:size])
        with pytest.raises(EnvironmentProblem):
            store.device(vendor, REQUEST, 0)


def test_a_serial_number_cannot_leave_the_folder(store: KeyStore) -> None:
    vendor = store.vendor("Acme", KeyType.ECDSA_P384)
    store.device(vendor, replace(REQUEST, serial="../../etc/passwd"), 0)
    assert {path.parent for path in store.directory.parent.rglob("*.pem")} == {store.directory}


def test_a_folder_that_cannot_be_made_is_an_environment_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem):
        KeyStore(tmp_path / "file" / "pki").vendor("Acme", KeyType.ECDSA_P384)
