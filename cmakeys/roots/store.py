"""The roots on disk: three directories, read without a lock and written so that a kill at any point leaves old or new.

A root is committed by one rename, that of its `.yaml`, which carries the SHA-256 of the certificate: the `.pem` goes
first when a root is added and last when one is removed. Every file is written under a temporary name in its folder,
fsynced, renamed, and the folder fsynced. Writers exclude each other by one lock on /etc/cmakeys/roots; readers compare
the directories before and after and read again if a writer came between. What the files mean is decided in
`directory.py` and `record.py`; this module moves bytes.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cmakeys.errors import EnvironmentProblem, Temporary, from_oserror
from cmakeys.files import TEMPORARY_PREFIX, check_inside, sync_folder, temporary_beside, write_whole
from cmakeys.lock import WAIT, exclusive
from cmakeys.roots.catalogue import load_catalogue
from cmakeys.roots.directory import DENY_FILE, DirectoryContent, StoreFinding, StoreReport, combine, is_deny_file
from cmakeys.roots.document import MAX_DOCUMENT_SIZE, MAX_LIST_SIZE
from cmakeys.roots.record import MAX_PEM_SIZE, StoreProblem, read_deny, render_deny, render_pem, render_root
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import DenyEntry, RootSet
from cmakeys.roots.transaction import decision

ETC: Final = "etc/cmakeys/roots"
RUN: Final = "run/cmakeys/roots"
USR: Final = "usr/share/cmakeys/roots"

MAX_ENTRIES = 4096
"""Files in one directory of the store; more is not a set of vendor roots."""

PENDING: Final = ".pending.json"
MAX_PENDING = 64 << 20
"""A change that is being made, for whoever comes after a writer that was killed; readers pass over it."""

_ATTEMPTS = 20

_Snapshot = tuple[tuple[str, int, int, int, int], ...]


class RootStore:
    """The roots of one machine, or of the tree at `sysroot`.

    `wait` is how many seconds a writer waits for another one.
    """

    def __init__(self, sysroot: Path = Path("/"), *, wait: float = WAIT) -> None:
        self.sysroot = sysroot
        self.directories: tuple[Path, ...] = (sysroot / ETC, sysroot / RUN, sysroot / USR)
        self._wait = wait

    @classmethod
    def of_folder(cls, folder: Path) -> RootStore:
        """The roots in a single folder that is laid out like one of a machine's."""
        store = cls(folder)
        store.directories = (folder,)
        return store

    def load(self) -> RootSet:
        """All roots and deny entries in effect.

        Raises `StoreProblem` or `DocumentProblem` for a file that is not as it should be, other `EnvironmentProblem`s
        when a directory cannot be read. Missing directories are empty.
        """
        return self.inspect().root_set

    def inspect(self) -> StoreReport:
        """All roots with their places, and what in the store has no effect. Raises as `load` does."""
        for attempt in range(_ATTEMPTS):
            before = [self._snapshot(directory) for directory in self.directories]
            problem: EnvironmentProblem | None = None
            report: StoreReport | None = None
            try:
                report = combine(list(map(self._read, self.directories, before)), load_catalogue().known_bad)
            except EnvironmentProblem as error:
                problem = error
            if before == [self._snapshot(directory) for directory in self.directories]:
                if problem is not None:
                    raise problem
                if report is not None:
                    return report
            time.sleep(0.005 * attempt)
        raise Temporary("keeps being changed while it is read", object=str(self.directories[0]), hint="try again")

    def check_writable(self) -> None:
        """What a dry run can know about a write: raises `NotPermitted` where the first of it would be forbidden."""
        place = self.directories[0]
        while not place.exists() and place != place.parent:
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise from_oserror(PermissionError(13, "", str(place)), str(place))

    def add(self, root: Root) -> bool:
        """Write `root` to /etc, or change it there when its name and certificate are known.

        Returns false when the same root, in the same state and with the same constraints, is there already. Raises
        `Refused` as `RootSet.with_root` does.
        """
        with self._writing() as etc:
            known = self.load()
            known.with_root(root)
            same = known.holding(root.certificate)
            if same is not None and decision(same) == decision(root):
                return False
            self._put(etc, root)
            return True

    def remove(self, name: str) -> Root:
        """Take a root away and return what it was; one that a lower directory holds is masked in /etc.

        Raises `NotFound` when no root of that name is in effect.
        """
        with self._writing() as etc:
            report = self.inspect()
            report.root_set.without(name)
            self._take(etc, report, name)
            return next(root for root in report.root_set.roots if root.name == name)

    @contextmanager
    def writing(self) -> Iterator[StoreWriter]:
        """Be the only writer for a while, for changes of several files that belong together."""
        with self._writing() as etc:
            yield StoreWriter(self, etc, self.inspect())

    def deny(self, *entries: DenyEntry) -> bool:
        """Add deny entries to /etc's deny file; false when what they deny is denied already."""
        with self._writing() as etc:
            known = self.load()
            fresh = [entry for entry in dict.fromkeys(entries) if not known.denies(entry)]
            if not fresh:
                return False
            path = etc / DENY_FILE
            write_whole(path, render_deny((*self._deny_file(path), *fresh)))
            return True

    def own_denials(self) -> tuple[DenyEntry, ...]:
        """The entries of /etc's deny file, which are those that can be taken back."""
        return self._deny_file(self.directories[0] / DENY_FILE)

    def _put(self, etc: Path, root: Root) -> None:
        record = etc / f"{root.name}.yaml"
        pem = etc / f"{root.name}.pem"
        if self._is_mask(pem) and not self._is_mask(record):
            self._mask(record)  # renaming over the mask must not uncover a root below before the new one is whole
        write_whole(pem, render_pem(root.certificate))
        write_whole(record, render_root(root))

    def _take(self, etc: Path, report: StoreReport, name: str) -> None:
        for other in report.duplicates.get(name, ()):
            self._mask(etc / f"{other}.yaml")  # has no effect yet, and must not gain any by this removal
        place, *below = report.places.get(name, (etc,))
        if below or place == self.directories[2]:
            self._mask(etc / f"{name}.yaml")
            place = etc
        else:
            self._unlink(place / f"{name}.yaml")
        self._unlink(place / f"{name}.pem")

    def _deny_file(self, path: Path) -> tuple[DenyEntry, ...]:
        if not path.exists() or self._is_mask(path):
            return ()
        return read_deny(self._bytes(path, MAX_LIST_SIZE), str(path))

    def _snapshot(self, directory: Path) -> _Snapshot:
        """Names, inodes, sizes and times of a directory's files: equal before and after means nothing changed."""
        entries = []
        try:
            with os.scandir(directory) as listing:
                for entry in listing:
                    if entry.name.startswith("."):
                        continue  # a writer's temporary file, or none of ours
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        entries.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode))
                    if len(entries) > MAX_ENTRIES:
                        raise StoreProblem(f"more than {MAX_ENTRIES} files", object=str(directory))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise from_oserror(error, str(directory)) from error
        return tuple(sorted(entries))

    def _read(self, directory: Path, snapshot: _Snapshot) -> DirectoryContent:
        """The bytes of the files of one directory that count, with findings about the others.

        It reads what the snapshot lists and nothing else: a file that comes and goes between two equal snapshots was
        in neither.
        """
        files: dict[str, bytes] = {}
        masks: set[str] = set()
        findings: list[StoreFinding] = []
        if snapshot:
            self._check_inside(directory)
        for name, _, _, _, mode in snapshot:
            path = directory / name
            if name.startswith("README"):
                continue
            if path.suffix not in (".yaml", ".pem"):
                findings.append(StoreFinding(path, "not read: a root is <name>.pem beside <name>.yaml"))
                continue
            if self._is_mask(path):
                masks.add(name)
                continue
            if stat.S_ISLNK(mode):
                self._check_inside(path)
            elif mode & (stat.S_IWGRP | stat.S_IWOTH):
                findings.append(StoreFinding(path, "others than its owner may change it", f"chmod go-w {path}"))
            files[name] = self._bytes(path, _limit(name))
        return DirectoryContent(directory, files, frozenset(masks), tuple(findings))

    def _bytes(self, path: Path, limit: int) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise from_oserror(error, str(path)) from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise StoreProblem("not a regular file", object=str(path))
            data = file.read(limit + 1)
        if len(data) > limit:
            raise StoreProblem(f"more than {limit} bytes", object=str(path))
        return data

    def _is_mask(self, path: Path) -> bool:
        """Whether `path` is a symlink to /dev/null, in the machine's or the tree's own terms."""
        try:
            target = os.readlink(path)  # noqa: PTH115 the text as it is written, not a Path made of it
        except OSError:
            return False
        return target == os.devnull or path.resolve() in (Path(os.devnull), (self.sysroot / "dev/null").resolve())

    def _check_inside(self, path: Path) -> None:
        """In a tree, a symlink that leads out of it would mix the machine's own roots into an image, or write there."""
        check_inside(path, self.sysroot)

    @contextmanager
    def _writing(self) -> Iterator[Path]:
        """Make sure /etc/cmakeys/roots is there, hold its lock, and clear away what a killed writer left."""
        etc = self.directories[0]
        try:
            self._make(etc)
            self._check_inside(etc)
            descriptor = os.open(etc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with exclusive(descriptor, str(etc), wait=self._wait):
                    for name in os.listdir(etc):  # noqa: PTH208 names, to be matched as text
                        if name.startswith(TEMPORARY_PREFIX):
                            os.unlink(etc / name)  # noqa: PTH108 os calls throughout: the crash tests count them
                    yield etc
            finally:
                os.close(descriptor)
        except OSError as error:
            raise from_oserror(error, str(error.filename or etc)) from error

    def _make(self, directory: Path) -> None:
        if directory.is_dir():
            return
        if directory != directory.parent:
            self._make(directory.parent)
        with suppress(FileExistsError):
            os.mkdir(directory, 0o755)  # noqa: PTH102
        sync_folder(directory.parent)

    def _mask(self, path: Path) -> None:
        """Put a symlink to /dev/null in place of `path`, in one rename."""
        temporary = temporary_beside(path)
        os.symlink(os.devnull, temporary)  # noqa: PTH211
        os.replace(temporary, path)  # noqa: PTH105
        sync_folder(path.parent)

    def _unlink(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108
            sync_folder(path.parent)


def _limit(name: str) -> int:
    """The most bytes that a file of this name may have."""
    if name.endswith(".pem"):
        return MAX_PEM_SIZE
    return MAX_LIST_SIZE if is_deny_file(name) else MAX_DOCUMENT_SIZE


class StoreWriter:
    """The store in the hands of its only writer; `report` is what it held when that began.

    Nothing is judged here: what may become of the roots is decided before they are written.
    """

    def __init__(self, store: RootStore, etc: Path, report: StoreReport) -> None:
        self.report = report
        self.pending = etc / PENDING
        self._store = store
        self._etc = etc

    def put(self, root: Root) -> None:
        """Write a root to /etc, in the place of the one of its name."""
        self._store._put(self._etc, root)

    def take(self, name: str) -> None:
        """Take a root away, as `RootStore.remove` does."""
        self._store._take(self._etc, self.report, name)

    def deny(self, added: Sequence[DenyEntry], removed: Sequence[DenyEntry]) -> None:
        """Add entries to /etc's deny file, and take exactly those others out."""
        path = self._etc / DENY_FILE
        before = self._store._deny_file(path)
        gone = frozenset(removed)
        after = tuple(dict.fromkeys((*(entry for entry in before if entry not in gone), *added)))
        if after == before:
            return
        if after:
            write_whole(path, render_deny(after))
        else:
            self._store._unlink(path)

    def read_pending(self) -> bytes | None:
        """What a writer left who was killed in the middle of a change; None if nobody was."""
        if not os.path.lexists(self.pending):
            return None
        return self._store._bytes(self.pending, MAX_PENDING)

    def drop_pending(self) -> None:
        """The change is whole, or has been taken back."""
        self._store._unlink(self.pending)
