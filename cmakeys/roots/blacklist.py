"""Deny entries as the kernel's `.blacklist` keyring knows them: one hash for each certificate, and nothing else.

The kernel refuses a certificate whose to-be-signed part has a hash listed as `tbs:<hash>`. It knows no keys, no issuers
with serial numbers and no dates, so an entry becomes lines only for certificates that are at hand: those of the store,
of enrolled devices, and of files that somebody names. Which hash is meant depends on the kernel: the one that the
certificate's own signature is made over, and since ML-DSA signatures, which are made over no hash, SHA-256; both are
written. Adding a line to a running kernel needs `CONFIG_SYSTEM_BLACKLIST_AUTH_UPDATE` and a PKCS#7 signature over it by
a key built into that kernel; building a kernel with the list needs none (`CONFIG_SYSTEM_BLACKLIST_HASH_LIST`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm

from cmakeys.roots.deny import DenyEntry, Target
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Blacklist:
    """The lines, sorted and each once, and the entries that no certificate at hand gives a line for."""

    lines: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    unexpressed: tuple[DenyEntry, ...]


def blacklist(rootset: RootSet, certificates: Iterable[Certificate]) -> Blacklist:
    """What of the set's deny entries the kernel can be told, given the certificates at hand.

    An entry with a date counts for certificates that begin after it; what it means for a chain only cmakeys applies.
    """
    denied: dict[Certificate, None] = {}
    expressed: set[Target] = set()
    for certificate in certificates:
        entry = rootset.denied(certificate)
        if entry is not None:
            denied[certificate] = None
            expressed.update(each.target for each in rootset.denials(certificate))
    lines = {line for certificate in denied for line in tbs_lines(certificate)}
    rest = tuple(entry for entry in rootset.deny if entry.target not in expressed)
    return Blacklist(tuple(sorted(lines)), tuple(denied), rest)


def tbs_lines(certificate: Certificate) -> tuple[str, ...]:
    """`tbs:<hash>` of a certificate, by its own hash and by SHA-256."""
    tbs = certificate.parsed.tbs_certificate_bytes
    names = ["sha256"]
    try:
        function = certificate.parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        function = None
    if function is not None and function.name in hashlib.algorithms_available:
        names.append(function.name)
    return tuple(dict.fromkeys(f"tbs:{hashlib.new(name, tbs, usedforsecurity=False).hexdigest()}" for name in names))


def hash_list(lines: Sequence[str]) -> str:
    """The lines in the form of the file that `CONFIG_SYSTEM_BLACKLIST_HASH_LIST` names (C strings)."""
    return "".join(f'"{line}",\n' for line in lines)
