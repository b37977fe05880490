"""The file hierarchy for the verification of OS artifacts (UAPI.11): roots for `.cma` as distributions lay them out.

A hierarchy has `<os>/<purpose>/<context>/<technology>/` below each of four load paths; for the roots of devices that is
`<os>/kernel-keyring/cma/x509/`. The specification has no rules for X.509 yet, so those of OpenPGP hold here: one
certificate in a file named by its SHA-256, which is looked at, and the same certificate in two places counts once. A
symlink to /dev/null masks a certificate in every load path; other symlinks count only within the load paths, never in
/run, and under the same name. What does not count is said, and nothing that is found here is trusted by being found.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.errors import CmakeysError, NotFound, Refused, UsageProblem, from_oserror
from cmakeys.files import write_whole
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Root
from cmakeys.x509.bundle import read_certificates
from cmakeys.x509.certificate import MAX_CERTIFICATE_SIZE, Certificate

LOAD_PATHS = ("etc/voa", "run/voa", "usr/local/share/voa", "usr/share/voa")
"""Below the system's root, the first has the highest precedence."""

EPHEMERAL = "run/voa"
PLACE = Path("kernel-keyring/cma/x509")
SUFFIXES = (".pem", ".crt", ".cer", ".der")
MAX_ENTRIES = 4096
MAX_FILE_SIZE = 2 * MAX_CERTIFICATE_SIZE
MAX_LINKS = 8

_OS = re.compile(r"[a-z0-9._-]+(?::[a-z0-9._-]*){0,4}")
_RELEASE = re.compile(r"""^([A-Z_]+)=(["']?)([a-z0-9._-]*)\2\s*$""", re.MULTILINE)
_PARTS = ("ID", "VERSION_ID", "VARIANT_ID", "IMAGE_ID", "IMAGE_VERSION")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TreeFinding:
    """Something in a hierarchy that does not count, and why."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class VerifierTree:
    """What a hierarchy holds for `.cma`: certificates, each with the file it is in, and masks by file name."""

    certificates: tuple[Certificate, ...] = ()
    masks: Mapping[str, Path] = field(default_factory=dict)
    findings: tuple[TreeFinding, ...] = ()

    def masked(self, fingerprint: str) -> Path | None:
        """The mask of the certificate with this fingerprint, if any."""
        return next((path for name, path in self.masks.items() if _stem(name) == fingerprint), None)


def check_os(text: str) -> str:
    """An os identifier, `ID[:VERSION_ID[:VARIANT_ID[:IMAGE_ID[:IMAGE_VERSION]]]]`; `UsageProblem` for anything else."""
    if not _is_os(text):
        raise UsageProblem(f"{text[:80]!r} is no os identifier", object="--os", hint="as debian or fedora:43:server")
    return text


def os_identifiers(release: str) -> tuple[str, ...]:
    """The identifiers that os-release gives, from `ID` alone to all of it; `linux` where it has no ID."""
    values = {match[1]: match[3] for match in _RELEASE.finditer(release)}
    parts = [values.get(part, "") for part in _PARTS]
    parts[0] = parts[0] if _is_os(parts[0]) else "linux"
    found = (":".join(parts[:number]).rstrip(":") for number in range(1, len(parts) + 1))
    return tuple(dict.fromkeys(found))


def _is_os(text: str) -> bool:
    return bool(_OS.fullmatch(text)) and not text.endswith(":") and text not in (".", "..")


def system_identifiers(sysroot: Path) -> tuple[str, ...]:
    """The identifiers of the system in the tree at `sysroot`."""
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            with (sysroot / name).open("rb") as file:
                return os_identifiers(file.read(64 * 1024).decode("utf-8", "replace"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise from_oserror(error, str(sysroot / name)) from error
    return os_identifiers("")


# -- reading -----------------------------------------------------------------------------------------------------------


def read_hierarchy(load_paths: Sequence[Path], systems: Sequence[str], *, root: Path = Path("/")) -> VerifierTree:
    """What the load paths, the first of the highest precedence, hold for the systems named.

    `root` is where an absolute symlink begins. Raises `EnvironmentProblem` for a folder that cannot be read, and
    `Refused` for one with more than `MAX_ENTRIES` entries: half a list of masks is none.
    """
    reader = _Reader(load_paths, root)
    for rank in range(len(load_paths)):
        for system in systems:
            reader.read(rank, check_os(system))
    return reader.result()


class _Reader:
    def __init__(self, load_paths: Sequence[Path], root: Path) -> None:
        self.load_paths = [Path(os.path.abspath(path)) for path in load_paths]  # noqa: PTH100 links must stay visible
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 the same
        self.files: list[Path] = []
        self.masks: dict[str, Path] = {}
        self.findings: list[TreeFinding] = []

    def read(self, rank: int, system: str) -> None:
        """Note the files and masks below one load path for one system."""
        folder = self.load_paths[rank]
        for part in (system, *PLACE.parts):
            folder /= part
            if not folder.is_symlink():
                continue
            target = self._target(folder, rank)
            if isinstance(target, str):
                self._skip(folder, target)
                return
            if not target.is_dir():
                self._skip(folder, "a link to something else than a folder")
                return
            folder = target
        try:
            names = _names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise from_oserror(error, str(folder)) from error
        for name in names:
            self._entry(folder / name, rank)

    def _entry(self, path: Path, rank: int) -> None:
        if not path.name.endswith(SUFFIXES):
            self._skip(path, f"its name does not end in one of {' '.join(SUFFIXES)}")
            return
        if path.is_symlink():
            if os.readlink(path) == "/dev/null":  # noqa: PTH115 the text itself, not a path
                self.masks.setdefault(path.name, path)
                return
            target = self._target(path, rank)
            if isinstance(target, str):
                self._skip(path, target)
            else:
                self.files.append(target)
            return
        self.files.append(path)

    def _target(self, link: Path, rank: int) -> Path | str:
        """Where a symlink leads, or why it does not count."""
        if self.load_paths[rank] == self.root / EPHEMERAL:
            return "a link in an ephemeral load path"
        path = link
        for _ in range(MAX_LINKS):
            if not path.is_symlink():
                break
            target = os.readlink(path)  # noqa: PTH115 the text itself, not a path
            start = self.root / target.lstrip("/") if target.startswith("/") else path.parent / target
            path = Path(os.path.normpath(start))
            if path.name != link.name:
                return f"a link to another name, {target}"
        else:
            return f"more than {MAX_LINKS} links"
        if not path.exists():
            return "a link to nothing"
        real = path.resolve()
        if not any(real.is_relative_to(place.resolve()) for place in self.load_paths[rank:]):
            return "a link out of the load paths"
        return real

    def result(self) -> VerifierTree:
        """All that counts: nothing that is masked anywhere, and each certificate once."""
        found: dict[str, Certificate] = {}
        masked = {_stem(name) for name in self.masks}
        for path in self.files:
            if path.name in self.masks:
                continue
            certificate = self._certificate(path)
            if certificate is not None and certificate.fingerprint not in masked:
                found.setdefault(certificate.fingerprint, certificate)
        return VerifierTree(tuple(found.values()), dict(self.masks), tuple(self.findings))

    def _certificate(self, path: Path) -> Certificate | None:
        """The one certificate in a file; what is not one is noted."""
        try:
            certificates = read_certificates(_bytes(path), str(path))
        except CmakeysError as error:
            self._skip(path, error.message)
            return None
        if len(certificates) != 1:
            self._skip(path, f"holds {len(certificates)} certificates instead of one")
            return None
        stem = _stem(path.name)
        if _SHA256.fullmatch(stem) and stem != certificates[0].fingerprint:
            self._skip(path, f"named by a fingerprint, but its certificate has {certificates[0].fingerprint}")
            return None
        return certificates[0]

    def _skip(self, path: Path, message: str) -> None:
        self.findings.append(TreeFinding(path, message))


def _names(folder: Path) -> list[str]:
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > MAX_ENTRIES:
                raise Refused(f"more than {MAX_ENTRIES} entries", object=str(folder))
    return sorted(names)


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


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


# -- writing -----------------------------------------------------------------------------------------------------------


def write_hierarchy(folder: Path, system: str, roots: Sequence[Root], masked: Sequence[str] = ()) -> Iterator[Path]:
    """Write roots, and masks for the fingerprints that are denied, as a load path at `folder`; gives each file.

    Raises `Refused` for a folder that holds something already: what else is in it would be taken for a root.
    """
    place = folder / check_os(system) / PLACE
    if folder.exists() and not folder.is_dir():
        raise NotFound("not a folder", object=str(folder))
    if folder.is_dir() and any(folder.iterdir()):
        raise Refused(
            "the folder is not empty, and what else is in it would be taken for a trusted root",
            object=str(folder),
            hint="give an empty or new one",
        )
    place.mkdir(parents=True, exist_ok=True)
    for fingerprint in sorted(set(masked)):
        path = place / f"{fingerprint}.pem"
        path.symlink_to("/dev/null")
        yield path
    for root in roots:
        path = place / f"{root.fingerprint}.pem"
        write_whole(path, render_pem(root.certificate))
        yield path
