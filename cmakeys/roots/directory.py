"""What the directories of the store say, put together: precedence, masks, duplicates and deny entries.

Pure rules over what `store.py` has read. In a directory a root is the pair `<name>.pem` and `<name>.yaml`; the YAML is
what makes it a root, so a lone `.pem`, as a killed writer leaves it, is no root and is reported, and a lone `.yaml` is
an error. /etc beats /run beats /usr by name, and what is beaten is not even parsed; a symlink to /dev/null in place of
either file masks the name there and below. A deny file counts wherever it stands and cannot be masked. Anything that
could mean less or more trust than an admin believes stops the load with the file's name; what merely has no effect
becomes a `StoreFinding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.errors import UsageProblem
from cmakeys.roots.record import StoreProblem, read_deny, read_root
from cmakeys.roots.root import LifeCycle, Root, check_name
from cmakeys.roots.rootset import DenyEntry, RootSet

DENY_FILE = "deny.yaml"
DENY_SUFFIX = ".deny.yaml"


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """Something in the store that has no effect, or less than its author may think."""

    path: Path
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class DirectoryContent:
    """One directory as read: `files` has the bytes of every file that counts, `masks` the names linked to /dev/null."""

    path: Path
    files: Mapping[str, bytes] = field(default_factory=dict)
    masks: frozenset[str] = frozenset()
    findings: tuple[StoreFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreReport:
    """Everything the store holds.

    `places` maps a root's name to the directories that hold a pair of this name, the one in effect first; `duplicates`
    maps it to the other names under which the same certificate lies below it, without effect.
    `denials` maps a deny entry to the files that hold it, or to the catalogue.
    """

    root_set: RootSet
    places: Mapping[str, tuple[Path, ...]]
    masks: Mapping[str, Path]
    duplicates: Mapping[str, tuple[str, ...]]
    denials: Mapping[DenyEntry, tuple[str, ...]]
    findings: tuple[StoreFinding, ...]


def is_deny_file(name: str) -> bool:
    """Whether a file of this name holds deny entries."""
    return name == DENY_FILE or name.endswith(DENY_SUFFIX)


def combine(contents: Sequence[DirectoryContent], known_bad: Sequence[DenyEntry] = ()) -> StoreReport:
    """Put the directories together; the first has the highest precedence. `known_bad` is denied whatever they say.

    Raises `DocumentProblem` or `StoreProblem`, naming the file.
    """
    findings = [finding for content in contents for finding in content.findings]
    denials: dict[DenyEntry, list[str]] = {}
    holders: dict[str, list[Path]] = {}
    masks: dict[str, Path] = {}
    chosen: dict[str, tuple[int, Root]] = {}
    for rank, content in enumerate(contents):
        for mask in sorted(content.masks):
            path = content.path / mask
            if is_deny_file(mask):
                findings.append(StoreFinding(path, "deny entries cannot be masked", "change the deny file itself"))
                continue
            name = _root_name(path)
            if name not in chosen:
                masks.setdefault(name, path)
        for file in sorted(content.files):
            path = content.path / file
            if is_deny_file(file):
                for entry in read_deny(content.files[file], str(path)):
                    denials.setdefault(entry, []).append(str(path))
                continue
            name = _root_name(path)
            if path.suffix == ".pem":
                if f"{name}.yaml" not in content.files and name not in masks:
                    findings.append(_orphan(path, name))
                continue
            holders.setdefault(name, []).append(content.path)
            if name not in masks and name not in chosen:
                chosen[name] = (rank, _read_pair(content, name))
    for entry in known_bad:
        denials.setdefault(entry, []).append(entry.source)
    roots, duplicates, shadowed = _without_duplicates(chosen, contents)
    return StoreReport(
        RootSet(tuple(roots), tuple(denials)),
        {name: tuple(paths) for name, paths in holders.items()},
        masks,
        duplicates,
        {entry: tuple(dict.fromkeys(files)) for entry, files in denials.items()},
        (*findings, *shadowed),
    )


def _root_name(path: Path) -> str:
    try:
        return check_name(path.name.removesuffix(path.suffix))
    except UsageProblem as error:
        raise StoreProblem(
            f"its name is not one of the store: {error.message}",
            object=str(path),
            hint=f"{error.hint}; or move the file out of the directory",
        ) from None


def _read_pair(content: DirectoryContent, name: str) -> Root:
    record = content.path / f"{name}.yaml"
    certificate = content.path / f"{name}.pem"
    if certificate.name not in content.files:
        raise StoreProblem(
            f"there is no {certificate.name} beside it",
            object=str(record),
            hint="remove the .yaml, or put the certificate back; to mask a root, link its .yaml to /dev/null",
        )
    return read_root(
        name,
        content.files[record.name],
        content.files[certificate.name],
        record_source=str(record),
        pem_source=str(certificate),
    )


def _orphan(path: Path, name: str) -> StoreFinding:
    return StoreFinding(
        path,
        f"not trusted: there is no {name}.yaml beside it that says where it came from",
        f"to trust it: cmakeys roots add {path} --name {name}; otherwise remove it",
    )


def _without_duplicates(
    chosen: Mapping[str, tuple[int, Root]], contents: Sequence[DirectoryContent]
) -> tuple[list[Root], dict[str, tuple[str, ...]], list[StoreFinding]]:
    """One root per certificate: a distrusted one first, else that of the higher directory."""
    groups: dict[str, list[tuple[bool, int, Root]]] = {}
    for rank, root in chosen.values():
        strict = root.state is not LifeCycle.DISTRUSTED
        groups.setdefault(root.fingerprint, []).append((strict, rank, root))
    roots: list[Root] = []
    duplicates: dict[str, tuple[str, ...]] = {}
    findings: list[StoreFinding] = []
    for group in groups.values():
        group.sort(key=lambda item: (item[0], item[1], item[2].name))
        first, *rest = group
        roots.append(first[2])
        for strict, rank, root in rest:
            path = contents[rank].path / f"{root.name}.yaml"
            if (strict, rank) == first[:2]:
                raise StoreProblem(
                    f"the same certificate is there twice, as {first[2].name!r} and {root.name!r}",
                    object=str(path),
                    hint="remove one of the two pairs",
                )
            findings.append(
                StoreFinding(path, f"without effect: {first[2].name!r} has the same certificate and goes before it")
            )
        if rest:
            duplicates[first[2].name] = tuple(root.name for _, _, root in rest)
    return roots, duplicates, findings
