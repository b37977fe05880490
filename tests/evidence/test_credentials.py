"""Our own chain and key from files: put in order, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cmakeys.emulator.keys import KeyType, push_key
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest
from cmakeys.errors import CmakeysError, Refused, UsageProblem
from cmakeys.evidence.credentials import CredentialFiles, load_credentials
from cmakeys.spdm.algorithms import BaseAsym
from cmakeys.spdm.provisioned import MAX_KEY_SIZE
from cmakeys.x509.certificate import Certificate, CertificateProblem
from tests.evidence.loopback import vendor


@pytest.fixture(scope="module")
def made() -> DeviceCredentials:
    return vendor("Host").issue_device(DeviceRequest("host-1", None, KeyType.ECDSA_P384))


def pem(*certificates: Certificate) -> bytes:
    return b"".join(one.parsed.public_bytes(Encoding.PEM) for one in certificates)


def files(folder: Path, chain: bytes, key: bytes, mode: int = 0o600) -> CredentialFiles:
    found = CredentialFiles(folder / "chain.pem", folder / "key.pem")
    found.chain.write_bytes(chain)
    found.key.write_bytes(key)
    found.key.chmod(mode)
    return found


def test_without_files_there_is_nobody() -> None:
    assert load_credentials(None) is None


def test_certificates_in_any_order_become_a_chain(made: DeviceCredentials, tmp_path: Path) -> None:
    found = load_credentials(files(tmp_path, pem(*made.chain[::-1], vendor("Other").certificate), push_key(made.key)))
    assert found is not None
    assert found.certificates == tuple(one.der for one in made.chain)
    assert found.algorithms() == (BaseAsym.ECDSA_P384,)
    assert "PRIVATE" not in repr(found)
    assert str(made.key) not in repr(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(made: DeviceCredentials, tmp_path: Path, mode: int) -> None:
    with pytest.raises(Refused, match="others than its owner"):
        load_credentials(files(tmp_path, pem(*made.chain), push_key(made.key), mode))


def test_a_chain_without_its_root_is_refused(made: DeviceCredentials, tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match="the issuer of"):
        load_credentials(files(tmp_path, pem(*made.chain[1:]), push_key(made.key)))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (b"", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", "no private key"),
        (bytes(MAX_KEY_SIZE + 1), "larger than"),
        (push_key(KeyType.ECDSA_P384.generate()), "no certificate here belongs"),
        (
            KeyType.ECDSA_P384.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
            ),
            "encrypted",
        ),
        (
            x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "no algorithm for a key",
        ),
    ],
    ids=["nothing", "garbage", "too large", "another's", "encrypted", "of another kind"],
)
def test_a_key_that_cannot_be_used_is_refused(
    made: DeviceCredentials, tmp_path: Path, key: bytes, message: str
) -> None:
    with pytest.raises(UsageProblem, match=message):
        load_credentials(files(tmp_path, pem(*made.chain), key))


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CmakeysError) as caught:
        load_credentials(CredentialFiles(tmp_path / "chain.pem", tmp_path / "key.pem"))
    assert "key.pem" in caught.value.object
