"""A session keyring of its own for every test that needs the kernel."""

from __future__ import annotations

import pytest

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.cma import Keyring, open_keyring
from cmakeys.keyring.keyctl import KeyctlError, SpecialRing
from tests.keyring.kernel import TestingKeyctl, root
from tests.rings import cannot


@pytest.fixture
def kernel() -> TestingKeyctl:
    """The real key service, in a fresh anonymous session."""
    try:
        keyctl = TestingKeyctl()
    except EnvironmentProblem as problem:
        pytest.skip(f"{problem}; {problem.hint}")
    try:
        keyctl.join_session()
        key = keyctl.add_key("user", "probe", b"x", SpecialRing.SESSION)
        keyctl.unlink(key, SpecialRing.SESSION)
    except KeyctlError as error:
        cannot(f"keys cannot be used here: {error}")
    return keyctl


@pytest.fixture
def ring(kernel: TestingKeyctl) -> Keyring:
    """The session keyring of the test, empty."""
    return open_keyring("@s", keyctl=kernel)


@pytest.fixture
def rsa_loads(kernel: TestingKeyctl, ring: Keyring) -> None:
    """For tests that need asymmetric keys in the kernel."""
    try:
        key = kernel.add_key("asymmetric", "probe", root("probe").certificate.der, ring.serial)
    except KeyctlError as error:
        cannot(f"this kernel loads no RSA certificate: {error}")
    kernel.unlink(key, ring.serial)
