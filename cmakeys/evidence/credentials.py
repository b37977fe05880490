"""Keys from files: our own chain and key for devices that ask who we are, and public keys of devices without chains."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from cmakeys.errors import Refused, UsageProblem, from_oserror
from cmakeys.spdm.own_identity import Credentials
from cmakeys.spdm.provisioned import MAX_KEY_SIZE, ProvisionedKey
from cmakeys.spdm.signer import PrivateKey
from cmakeys.x509.bundle import MAX_INPUT_SIZE, read_certificates
from cmakeys.x509.certificate import Certificate, CertificateProblem

_SEED = "one of ML-DSA is kept as its seed: openssl pkey -in OLD -provparam ml-dsa.output_formats=seed-only -out NEW"


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where they are: certificates in PEM, in any order, and an unencrypted private key in PEM."""

    chain: Path
    key: Path


def load_public_key(path: Path | None) -> ProvisionedKey | None:
    """The public key of a device that shows no certificates, PEM or DER; None without a file.

    Raises `UsageProblem` for what is no public key of SPDM's, and others for a file that cannot be read.
    """
    return ProvisionedKey.parse(_read(path, MAX_KEY_SIZE), str(path)) if path is not None else None


def load_credentials(files: CredentialFiles | None) -> Credentials | None:
    """What the files hold, in the order of SPDM; None without any.

    Raises `Refused` for a key that others may read, `UsageProblem` for a key that SPDM cannot use or that is not the
    chain's, `CertificateProblem` for certificates that are no chain, and others for files that cannot be read.
    """
    if files is None:
        return None
    key = _key(files.key)
    chain = _in_order(read_certificates(_read(files.chain, MAX_INPUT_SIZE), str(files.chain)), key, str(files.chain))
    credentials = Credentials(tuple(one.der for one in chain), key)
    if not credentials.algorithms():
        raise UsageProblem("SPDM knows no algorithm for a key of this kind", object=str(files.key))
    return credentials


def _key(path: Path) -> PrivateKey:
    data = _read(path, MAX_KEY_SIZE, secret=True)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise UsageProblem(
            "the key is encrypted", object=str(path), hint="keep it in the clear, readable by root alone: openssl pkey"
        ) from None
    except ValueError:
        raise UsageProblem(
            "there is no private key in PEM here that can be read", object=str(path), hint=_SEED
        ) from None
    if not isinstance(key, PrivateKey):
        raise UsageProblem("SPDM knows no algorithm for a key of this kind", object=str(path))
    return key


def _read(path: Path, most: int, *, secret: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise Refused("others than its owner may read this key", object=str(path), hint=f"chmod 600 {path}")
            data = file.read(most + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > most:
        raise UsageProblem(f"larger than {most >> 10} KiB", object=str(path))
    return data


def _in_order(certificates: tuple[Certificate, ...], key: PrivateKey, source: str) -> tuple[Certificate, ...]:
    """From the root down to the certificate of `key`, each issued by the one before."""
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    own = key.public_key().public_bytes(*form)
    chain = [one for one in certificates if one.public_key.public_bytes(*form) == own and not one.self_issued][:1]
    chain = chain or [one for one in certificates if one.public_key.public_bytes(*form) == own][:1]
    if not chain:
        raise UsageProblem("no certificate here belongs to the key", object=source)
    left = [one for one in certificates if one not in chain]
    while not chain[0].self_issued:
        above = next((one for one in left if one.subject == chain[0].issuer), None)
        if above is None:
            raise CertificateProblem(
                f"the issuer of {chain[0].label} is missing",
                object=source,
                hint="put the whole chain into the file, the root included: its hash is part of what a device is shown",
            )
        left.remove(above)
        chain.insert(0, above)
    return tuple(chain)
