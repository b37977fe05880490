"""Gives the guest roots, through the verbs that an admin would use."""

from __future__ import annotations

from cmakeys.roots.record import render_pem
from cmakeys.x509.certificate import Certificate
from tests.guest.machine import Guest


def trust(guest: Guest, name: str, certificate: Certificate) -> None:
    """Add a root to the guest's store; nothing is applied."""
    words = ("roots", "add", "-", "--name", name, "--fingerprint", certificate.fingerprint)
    guest.cmakeys(*words, data=render_pem(certificate)).check()
