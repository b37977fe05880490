"""Roots for the tests: each name a certificate of its own, made once per run, with fixed far dates."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

from cmakeys.roots.record import render_pem, render_root
from cmakeys.roots.root import LifeCycle, Root
from cmakeys.x509.certificate import Certificate
from tests.x509.pki import issue


@cache
def certificate(name: str) -> Certificate:
    return issue(f"{name} CA", number=zlib.crc32(name.encode())).certificate


def root(name: str, of: str = "", state: LifeCycle = LifeCycle.TRUSTED) -> Root:
    """A root called `name` with the certificate of `of`, its own by default."""
    return Root(name, certificate(of or name), state)


def put(directory: Path, entry: Root) -> None:
    """Write a pair as a package or an admin would, without the store."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{entry.name}.pem").write_bytes(render_pem(entry.certificate))
    (directory / f"{entry.name}.yaml").write_bytes(render_root(entry))
