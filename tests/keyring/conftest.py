"""A session keyring of its own for every test that needs the kernel."""

from __future__ import annotations

import pytest

from cmakeys.keyring.cma import Keyring, open_keyring
from tests.keyring.kernel import TestingKeyctl, fresh_session, require_rsa


@pytest.fixture
def kernel() -> TestingKeyctl:
    """The real key service, in a fresh anonymous session."""
    return fresh_session()


@pytest.fixture
def ring(kernel: TestingKeyctl) -> Keyring:
    """The session keyring of the test, empty."""
    return open_keyring("@s", keyctl=kernel)


@pytest.fixture
def rsa_loads(kernel: TestingKeyctl, ring: Keyring) -> None:
    """For tests that need asymmetric keys in the kernel."""
    require_rsa(kernel, ring.serial)
