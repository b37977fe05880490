"""What an image that was baked holds, whether that is what its manifest says, and how it differs from a set of roots.

An image is looked at as a whole: the certificates that the loader would load are those of `roots.list`, so a
certificate that only lies there, or a list that names another one than the manifest, is a fault of the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from cmakeys.images.initrd import Contents, Part
from cmakeys.images.manifest import Manifest
from cmakeys.images.tree import data_file
from cmakeys.roots.lifecycle import LifeCycle
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.certificate import Certificate, CertificateProblem


@dataclass(frozen=True, slots=True)
class FoundRoot:
    """A certificate in an image: its name there, and what it is, or why it is none."""

    name: str
    sha256: str
    certificate: Certificate | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `faults` are what is wrong with the image itself; without a manifest nothing was baked in."""

    parts: tuple[Part, ...]
    roots: tuple[FoundRoot, ...]
    manifest: Manifest | None
    loader: str | None
    same_loader: bool
    keyctl: bool
    callers: tuple[str, ...]
    faults: tuple[str, ...]


class Difference(Enum):
    """How an image differs from the roots of a machine."""

    MISSING = "missing"
    EXTRA = "extra"
    RETIRED = "retired"
    DISTRUSTED = "distrusted"


@dataclass(frozen=True, slots=True)
class Deviation:
    """One root that should be in the image and is not, or is and should not be."""

    kind: Difference
    name: str
    sha256: str
    reason: str


def inspect(contents: Contents, source: str) -> Inspection:
    """What the files of an image say. Raises `ManifestProblem` for a manifest that cannot be read."""
    data = contents.files.get("manifest.json")
    manifest = Manifest.parse(data, f"{source}: manifest.json") if data is not None else None
    roots = tuple(_roots(contents, source))
    loader = contents.files.get("load")
    return Inspection(
        tuple(contents.parts),
        roots,
        manifest,
        hashlib.sha256(loader).hexdigest() if loader is not None else None,
        loader == data_file("load"),
        "keyctl" in contents.sizes,
        tuple(sorted(contents.others)),
        tuple(_faults(contents, manifest, roots)),
    )


def _roots(contents: Contents, source: str) -> Iterator[FoundRoot]:
    for path in sorted(contents.files):
        if not path.startswith("roots/"):
            continue
        data = contents.files[path]
        name = path.removeprefix("roots/").removesuffix(".der")
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            certificate = Certificate.from_der(data, f"{source}: {path}")
            yield FoundRoot(name, sha256, certificate)
        except CertificateProblem as problem:
            yield FoundRoot(name, sha256, None, problem.message)


def _faults(contents: Contents, manifest: Manifest | None, roots: tuple[FoundRoot, ...]) -> Iterator[str]:
    """What would not do what the manifest says, in words."""
    yield from (f"{root.name} is no certificate: {root.problem}" for root in roots if root.certificate is None)
    if manifest is None:
        if contents.files:
            yield "there are files of cmakeys in it, and no manifest"
        return
    found = {root.name: root.sha256 for root in roots}
    for root in manifest.roots:
        there = found.pop(root.name, None)
        if there is None:
            yield f"{root.name} is in the manifest and not in the image"
        elif there != root.sha256:
            yield f"{root.name} is another certificate than the manifest says, {there}"
    yield from (f"{name} is in the image and not in the manifest" for name in sorted(found))
    if "load" not in contents.files:
        yield "there is no loader in it"
    if contents.files.get("roots.list") != manifest.render_list():
        yield "the loader's list is not that of the manifest"
    if contents.files.get("digest") != manifest.digest.encode() + b"\n":
        yield "the digest is not that of the manifest"
    if ("required" in contents.files) != manifest.required:
        yield "the manifest and the loader disagree on whether the roots are required"
    if not contents.others:
        yield "nothing in it calls the loader"


def deviations(found: Inspection, configured: RootSet) -> Iterator[Deviation]:
    """How the image differs from the roots in which a chain may end on this machine."""
    inside = {root.sha256: root.name for root in found.roots if root.certificate is not None}
    for root in configured.anchors():
        if root.fingerprint not in inside:
            yield Deviation(
                Difference.MISSING, root.name, root.fingerprint, f"{root.state.value}, and not in the image"
            )
    for one in found.roots:
        if one.certificate is None:
            continue
        entry = configured.denied(one.certificate)
        known = configured.holding(one.certificate)
        if entry is not None:
            yield Deviation(Difference.DISTRUSTED, one.name, one.sha256, f"denied by its {entry.words}")
        elif known is None:
            yield Deviation(Difference.EXTRA, one.name, one.sha256, "in the image, and no root of this machine")
        elif known.state is LifeCycle.DISTRUSTED:
            yield Deviation(Difference.DISTRUSTED, one.name, one.sha256, "distrusted, and in the image")
        elif not known.state.anchors:
            kind = Difference.RETIRED if known.state is LifeCycle.RETIRED else Difference.EXTRA
            yield Deviation(kind, one.name, one.sha256, f"{known.state.value}, and in the image")
