"""The roots in a folder, where an image builder has no machine to take them from: `image bake --roots DIR`.

A folder with a record in it (`<name>.yaml`) is laid out like one of the store's and read like it. Any other holds
certificates, PEM or DER, one in a file, and a root is named after its file. What is neither is an error that names it:
a certificate that was passed over would be missing from the image, and nobody would notice before a device fails.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from cmakeys.errors import NotFound, UsageProblem, from_oserror
from cmakeys.roots.catalogue import load_catalogue
from cmakeys.roots.directory import StoreReport, combine
from cmakeys.roots.root import MAX_NAME_LENGTH, Root, check_name
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.store import RootStore
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE

SUFFIXES = (".pem", ".crt", ".cer", ".der")
MAX_FILES = 4096
MAX_FILE_SIZE = 4 * MAX_CERTIFICATE_SIZE
_STRANGE = re.compile(r"[^a-z0-9_-]+")


def read_folder(folder: Path) -> StoreReport:
    """The roots in `folder`, and what in it has no effect.

    Raises `NotFound` for no folder, `UsageProblem` for a file that is no certificate, or holds several, and whatever
    the store raises for a folder that is laid out like it.
    """
    if not folder.is_dir():
        raise NotFound("no such folder", object=str(folder), hint="--roots takes a folder of certificates")
    names = _names(folder)
    if any(name.endswith(".yaml") for name in names):
        return RootStore.of_folder(folder).inspect()
    roots = tuple(_root(folder / name) for name in names)
    report = combine((), load_catalogue().known_bad)
    return StoreReport(
        RootSet(roots, report.root_set.deny),
        {root.name: (folder,) for root in roots},
        report.masks,
        report.duplicates,
        report.denials,
        report.findings,
    )


def _names(folder: Path) -> list[str]:
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.startswith("README"):
                    continue
                names.append(entry.name)
                if len(names) > MAX_FILES:
                    raise UsageProblem(f"more than {MAX_FILES} files", object=str(folder))
    except OSError as error:
        raise from_oserror(error, str(folder)) from error
    return sorted(names)


def _root(path: Path) -> Root:
    if not path.name.lower().endswith(SUFFIXES):
        raise UsageProblem(
            f"its name does not end in one of {' '.join(SUFFIXES)}",
            object=str(path),
            hint="take it out of the folder, or name it as what it is",
        )
    certificates = read_certificates(_bytes(path), str(path))
    if len(certificates) != 1:
        raise UsageProblem(
            f"holds {len(certificates)} certificates instead of one", object=str(path), hint="one in a file, please"
        )
    return Root(_root_name(path), certificates[0])


def _root_name(path: Path) -> str:
    name = _STRANGE.sub("-", path.name.rpartition(".")[0].lower()).strip("-_")[:MAX_NAME_LENGTH]
    try:
        return check_name(name)
    except UsageProblem as error:
        raise UsageProblem(
            f"no root can be named after it: {error.message}", object=str(path), hint=error.hint
        ) from None


def _bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageProblem("not a regular file", object=str(path))
            data = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
    if len(data) > MAX_FILE_SIZE:
        raise UsageProblem(f"more than {MAX_FILE_SIZE} bytes", object=str(path))
    return data
