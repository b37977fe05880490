"""Would this very kernel take a certificate as a key? Tried out in a keyring of our own, before anybody enrols it."""

from __future__ import annotations

from cmakeys.errors import CmakeysError, EnvironmentProblem
from cmakeys.keyring.cma import CMA, open_keyring
from cmakeys.keyring.keyctl import Keyctl
from cmakeys.keyring.managed import RootsRefused, rehearse
from cmakeys.roots.enrolment import default_name
from cmakeys.roots.root import Root
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.issuing import claims_self_signature
from cmakeys.x509.lint import Finding, Severity

REFUSES = "this-kernel-refuses"


def try_certificate(certificate: Certificate, *, keyctl: Keyctl | None = None) -> Finding:
    """What the running kernel says to `certificate`; that it could not be asked is an answer too. Never raises.

    A refusal is a warning: the devices below such a root can be verified by us all the same.
    """
    try:
        rehearse([Root(default_name(certificate), certificate)], keyctl=keyctl)
    except RootsRefused as refused:
        problem = refused.problems[0]
        return Finding(Severity.WARNING, REFUSES, f"this kernel does not load it: {problem.message}", problem.hint)
    except EnvironmentProblem as problem:
        return Finding(Severity.WARNING, "kernel-not-asked", f"this kernel could not be asked: {problem}", problem.hint)
    verified = "and has verified its signature" if claims_self_signature(certificate) else "without verifying anything"
    return Finding(Severity.INFO, "this-kernel-loads", f"this kernel loads it, {verified}")


def objections(certificate: Certificate, keyring: str = CMA, *, keyctl: Keyctl | None = None) -> tuple[Finding, ...]:
    """The refusal of a kernel that has `keyring` for `certificate`; none by one that has no use for it. Never raises.

    One root that the kernel refuses keeps all others out of the keyring too, which whoever adds it should know before.
    """
    try:
        open_keyring(keyring, keyctl=keyctl)
    except CmakeysError:
        return ()
    finding = try_certificate(certificate, keyctl=keyctl)
    return (finding,) if finding.code == REFUSES else ()
