"""What the tests need of the real kernel beside what cmakeys uses: sessions of their own, and ways to spoil keys."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

import pytest

from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.keyctl import Keyctl, KeyctlError, Permission, Serial, SpecialRing
from cmakeys.roots.root import Root
from cmakeys.x509.certificate import Certificate
from tests.rings import cannot
from tests.x509.pki import issue

NOBODY = 65534
CMA_LIKE = Permission(0x1F0F0000)


class TestingKeyctl(Keyctl):
    """The binding with the operations that only tests have a use for."""

    __test__ = False

    def revoke(self, key: Serial) -> None:
        self._call("keyctl_revoke", key, key)

    def invalidate(self, key: Serial) -> None:
        self._call("keyctl_invalidate", key, key)

    def expire(self, key: Serial) -> None:
        """Let a key expire; the kernel counts in seconds."""
        self._call("keyctl_set_timeout", key, key, 1)

    def freeze(self, ring: Serial) -> None:
        """Let a keyring take nothing more."""
        self._call("keyctl_restrict_keyring", ring, ring, None, None)

    def search(self, ring: Serial, key_type: str, description: str) -> Serial:
        return Serial(self._call("keyctl_search", ring, ring, key_type.encode(), description.encode(), 0))

    def keyring(self, name: str, parent: Serial | SpecialRing, permission: Permission | None = None) -> Serial:
        made = self.add_key("keyring", name, None, parent)
        if permission is not None:
            self.set_permission(made, permission)
        return made


@dataclass(frozen=True, slots=True)
class Anchor:
    """An anchor whose description can be chosen wrongly, unlike that of a `Root`."""

    name: str
    certificate: Certificate
    description: str


def root(name: str, *, number: int = 0, kind: str = "rsa2048", subject_key_id: bool = True) -> Root:
    """A self-signed root of that name."""
    return Root(name, issue(f"Vendor {name}", kind=kind, number=number, subject_key_id=subject_key_id).certificate)


def fresh_session() -> TestingKeyctl:
    """The real key service, in a fresh anonymous session; skips where keys cannot be used."""
    try:
        keyctl = TestingKeyctl()
    except EnvironmentProblem as problem:
        pytest.skip(f"{problem}; {problem.hint}")
    try:
        session = keyctl.join_session()
        keyctl.unlink(keyctl.add_key("user", "probe", b"x", session), session)
    except KeyctlError as error:
        cannot(f"keys cannot be used here: {error}")
    return keyctl


def require_rsa(keyctl: TestingKeyctl, ring: Serial) -> None:
    """Skip where the kernel has no asymmetric keys."""
    try:
        key = keyctl.add_key("asymmetric", "probe", root("probe").certificate.der, ring)
    except KeyctlError as error:
        cannot(f"this kernel loads no RSA certificate: {error}")
    keyctl.unlink(key, ring)


def in_child(body: Callable[[], None]) -> int:
    """Run `body` in a fork; 0 when it returned, 1 after an exception (which is printed), -9 when it was killed."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _leave_with(body)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _leave_with(body: Callable[[], None]) -> Never:
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def become_nobody(user: int = NOBODY) -> None:
    """Drop root's identity and its capabilities for good; only in a child."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
