"""What lies in an image: the loader, the certificates, and the files by which each kind of initrd calls the loader.

Everything of ours is in /usr/lib/cmakeys, a folder of our own: an entry that named a folder which the main archive has
as a symbolic link (/lib, /bin) would take that link away when the kernel unpacks both. The callers are small files in
the places where the first process of an initrd looks; those for another kind of initrd lie there without effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from cmakeys.images.cpio import Entry
from cmakeys.images.manifest import Manifest

PLACE = "usr/lib/cmakeys"
MANIFEST = f"{PLACE}/manifest.json"
LOADER = f"{PLACE}/load"

_UNIT = "usr/lib/systemd/system"
_DRACUT = ("usr/lib/dracut/hooks/pre-udev", "var/lib/dracut/hooks/pre-udev")
"""dracut's folder of hooks, which newer versions moved."""


@dataclass(frozen=True, slots=True)
class Keyctl:
    """keyctl out of a system, to be brought along: the program, what loads it, and its libraries by name.

    A program that is linked statically has no `loader` and no libraries.
    """

    program: bytes
    loader: bytes | None
    libraries: Mapping[str, bytes]


def data_file(name: str) -> bytes:
    """One of the files that are installed beside this module."""
    return (resources.files("cmakeys.images") / "data" / name).read_bytes()


def tree(manifest: Manifest, certificates: Mapping[str, bytes], keyctl: Keyctl | None = None) -> Iterator[Entry]:
    """The entries of an image; `certificates` are the DER of the manifest's roots by name."""
    yield Entry.file(LOADER, data_file("load"), executable=True)
    yield Entry.file(MANIFEST, manifest.render())
    yield Entry.file(f"{PLACE}/roots.list", manifest.render_list())
    yield Entry.file(f"{PLACE}/digest", manifest.digest.encode() + b"\n")
    if manifest.required:
        yield Entry.file(f"{PLACE}/required", b"")
    for root in manifest.roots:
        yield Entry.file(f"{PLACE}/{root.file}", certificates[root.name])
    if keyctl is not None:
        yield Entry.file(f"{PLACE}/keyctl", keyctl.program, executable=True)
        if keyctl.loader is not None:
            yield Entry.file(f"{PLACE}/ld.so", keyctl.loader, executable=True)
        for name, data in keyctl.libraries.items():
            yield Entry.file(f"{PLACE}/lib/{name}", data)


def callers(*, required: bool = False) -> Iterator[Entry]:
    """What makes an initrd that knows nothing of us call the loader: systemd, dracut without it, initramfs-tools.

    Only where the roots are `required` does systemd take a failure of the loader, or its silence, for one of the boot.
    """
    yield Entry.file(f"{_UNIT}/cmakeys-load.service", data_file("cmakeys-load.service"))
    yield Entry.link(f"{_UNIT}/sysinit.target.wants/cmakeys-load.service", "../cmakeys-load.service")
    if required:
        yield Entry.file(f"{_UNIT}/cmakeys-load.service.d/required.conf", data_file("required.conf"))
    for folder in _DRACUT:
        yield Entry.file(f"{folder}/05-cmakeys.sh", data_file("dracut-hook"))
    yield Entry.file("conf/conf.d/cmakeys", data_file("initramfs-conf"))
