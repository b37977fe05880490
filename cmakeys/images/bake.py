"""Which roots may be baked into an image, and the image made of them.

An image outlives the machine's knowledge: nobody is asked when it boots, and what it lacks nobody notices. So a set
that would not do what its maker expects is refused as a whole: a root that is about to expire, that no kernel loads,
that is not trusted yet, or whose private key everybody has. Each of these has its own permission, by name.

The files of an image depend on the roots and on nothing else: no clock, no user, no folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cmakeys import __version__
from cmakeys.errors import NotFound, Refused
from cmakeys.images.cpio import Entry, render
from cmakeys.images.manifest import BakedRoot, Manifest
from cmakeys.images.tree import Keyctl, callers, tree
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.x509.kernel import kernel_refusal

HORIZON = timedelta(days=90)
"""An image is in use for a while: a root that ends sooner would leave devices out before the next image."""


class Permission(Enum):
    """What the maker of an image may allow by name."""

    EXPIRED = "--allow-expired"
    UNLOADABLE = "--allow-unloadable"
    TEST_ROOT = "--allow-test-root"


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a root must not go into an image. `permission` is what would allow it, None if nothing does."""

    name: str
    reason: str
    permission: Permission | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What goes into an image: the roots of `names`, or all that anchor a chain, which must last for `horizon`."""

    names: Sequence[str] = ()
    allowed: Collection[Permission] = ()
    required: bool = False
    horizon: timedelta = HORIZON


def choose(root_set: RootSet, request: Request) -> tuple[Root, ...]:
    """The roots that are meant, sorted by name.

    Raises `NotFound` for a name that is none, or when no root is trusted.
    """
    chosen = {root.name: root for root in map(root_set.find, request.names)}
    if not request.names:
        chosen = {root.name: root for root in root_set.anchors()}
    if not chosen:
        raise NotFound(
            "there is no trusted root, and an image without any would do nothing",
            object="image",
            hint="cmakeys roots add FILE, or --roots DIR for a folder of certificates",
        )
    return tuple(chosen[name] for name in sorted(chosen))


def objections(
    roots: Sequence[Root],
    root_set: RootSet,
    *,
    now: datetime,
    horizon: timedelta = HORIZON,
    test_roots: Mapping[str, str],
) -> Iterator[Objection]:
    """Everything that speaks against baking these roots; `test_roots` are names by fingerprint."""
    for root in roots:
        entry = root_set.denied(root.certificate)
        if entry is not None:
            yield Objection(root.name, f"denied by its {entry.kind.value} {entry.sha256[:16]}…")
        elif not root.state.anchors:
            yield Objection(root.name, f"{root.state.value}, so no chain may end in it")
        certificate = root.certificate
        if certificate.not_before > now:
            yield Objection(root.name, f"not valid before {certificate.not_before:%Y-%m-%d}", Permission.EXPIRED)
        elif not certificate.never_expires and certificate.not_after - now <= horizon:
            expires = "expired" if certificate.not_after < now else "expires"
            reason = f"{expires} on {certificate.not_after:%Y-%m-%d}"
            yield Objection(root.name, reason, Permission.EXPIRED)
        refusal = kernel_refusal(certificate)
        if refusal is not None:
            yield Objection(root.name, f"no kernel loads it: {refusal}", Permission.UNLOADABLE)
        test = test_roots.get(root.fingerprint)
        if test is not None:
            yield Objection(root.name, f"a test root, {test}: everybody has its private key", Permission.TEST_ROOT)


def check(found: Sequence[Objection], allowed: Collection[Permission]) -> tuple[Objection, ...]:
    """The objections that were overruled.

    Raises `Refused` naming every root with one that was not.
    """
    standing = [one for one in found if one.permission not in allowed]
    if standing:
        permissions = sorted({one.permission.value for one in standing if one.permission})
        final = any(one.permission is None for one in standing)
        hint = "leave the root out, or mend it" + ("" if final else f"; {' '.join(permissions)} bakes it all the same")
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in standing)
        raise Refused(f"nothing was baked: {reasons}", object="image", hint=hint)
    return tuple(one for one in found if one.permission in allowed)


@dataclass(frozen=True, slots=True)
class Image:
    """What is baked, before it takes a form. `keyctl` is brought along where the image is not to rely on having it."""

    roots: tuple[Root, ...]
    digest: str
    required: bool = False
    keyctl: Keyctl | None = None

    @property
    def manifest(self) -> Manifest:
        """The list of what is in it."""
        baked = tuple(BakedRoot(root.name, root.fingerprint, root.state.value) for root in self.roots)
        return Manifest(baked, self.digest, __version__, self.required)

    def entries(self) -> tuple[Entry, ...]:
        """Its files: loader, certificates, lists, and what calls the loader."""
        certificates = {root.name: root.certificate.der for root in self.roots}
        return (*tree(self.manifest, certificates, self.keyctl), *callers(required=self.required))

    def cpio(self, *, mtime: int = 0) -> bytes:
        """A segment to put in front of an initrd or behind it."""
        return render(self.entries(), mtime=mtime)


def image(root_set: RootSet, request: Request, *, keyctl: Keyctl | None = None) -> Image:
    """The image of the roots that `request` means. Raises as `choose` does; nothing is judged here."""
    chosen = choose(root_set, request)
    baked = RootSet(chosen, root_set.deny)
    return Image(chosen, baked.digest, request.required, keyctl)
