"""What the running kernel says to a certificate before it is enrolled."""

from __future__ import annotations

import pytest

from cmakeys.errors import Unsupported
from cmakeys.keyring import trial
from cmakeys.keyring.trial import objections, try_certificate
from cmakeys.x509.lint import Severity
from tests.keyring.kernel import TestingKeyctl
from tests.x509.pki import issue

pytestmark = pytest.mark.system


@pytest.mark.usefixtures("rsa_loads")
def test_a_certificate_that_the_kernel_loads_is_said_to_be_verified_or_not(kernel: TestingKeyctl) -> None:
    root = issue("Root", kind="rsa2048")
    assert "has verified its signature" in try_certificate(root.certificate).message
    below = issue("Below", root, kind="rsa2048", number=1)
    finding = try_certificate(below.certificate)
    assert (finding.severity, finding.code) == (Severity.INFO, "this-kernel-loads")
    assert "without verifying anything" in finding.message


@pytest.mark.usefixtures("rsa_loads")
@pytest.mark.parametrize(
    "bad", [{"kind": "ed25519"}, {"kind": "rsa2048", "signing_key": issue("Forger", number=3).key}]
)
def test_one_that_it_refuses_is_a_warning_with_the_reason(bad: dict[str, object], kernel: TestingKeyctl) -> None:
    finding = try_certificate(issue("Bad", **bad).certificate)  # type: ignore[arg-type]
    assert (finding.severity, finding.code) == (Severity.WARNING, "this-kernel-refuses")
    assert finding.hint


def test_a_kernel_that_could_not_be_asked_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Unsupported("the library cannot be loaded", object="libkeyutils.so.1", hint="install it")

    monkeypatch.setattr(trial, "rehearse", refuse)
    finding = try_certificate(issue("Root").certificate)
    assert (finding.code, finding.hint) == ("kernel-not-asked", "install it")


@pytest.mark.usefixtures("rsa_loads")
def test_only_a_kernel_with_the_keyring_objects(kernel: TestingKeyctl) -> None:
    modern, sound = issue("Modern", kind="ed25519").certificate, issue("Root", kind="rsa2048").certificate
    assert [finding.code for finding in objections(modern, "@s", keyctl=kernel)] == ["this-kernel-refuses"]
    assert objections(sound, "@s", keyctl=kernel) == ()
    assert objections(modern, "no such keyring", keyctl=kernel) == ()
