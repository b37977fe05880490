"""Many roots in one file, for programs that know nothing of cmakeys.

The same set of roots gives the same bytes, whatever order they were added in and wherever they lie.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Root


def pem_bundle(roots: Sequence[Root]) -> bytes:
    """PEM certificates sorted by name, each under a comment with its name, state and whole fingerprint."""
    return b"".join(
        f"# {root.name} {root.state.value} sha256 {root.fingerprint}\n".encode() + render_pem(root.certificate)
        for root in sorted(roots, key=lambda root: root.name)
    )
