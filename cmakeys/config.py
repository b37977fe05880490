"""The configuration of this machine: /etc/cmakeys/cmakeys.yaml, then /etc/cmakeys/cmakeys.d/*.yaml by name.

A later file wins, setting by setting, and every setting remembers where it came from. Reading is strict: a key that is
not known, or occurs twice, refuses the whole configuration with file and line, because a policy with a typo in it
would otherwise be a weaker policy without a word.

    policy:                  # see cmakeys.verify.policy
      clock: now
    check:
      timeout: 30            # seconds for one device
    history:
      checks: 500            # of each device
      days: 400              # and none that is older; 0, no limit by age
      evidence: news         # what devices said: none, news or all of it
      evidence-size: 256     # MiB for all of that
    initrd:                  # what the roots are baked into; found out where it is not said
      images: ["/boot/initrd.img-{release}"]
      rebuild: [update-initramfs, -u]
    requester:               # who we are, for devices that ask; without it they are told nothing
      chain: /etc/cmakeys/requester.pem
      key: /etc/cmakeys/requester.key
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cmakeys.devices.retention import Retention
from cmakeys.errors import UsageProblem, from_oserror
from cmakeys.evidence.credentials import CredentialFiles
from cmakeys.evidence.keeping import DEFAULT_LIMIT, Keep
from cmakeys.images.current import InitrdSettings
from cmakeys.roots.document import MAX_DOCUMENT_SIZE, Node, read_document
from cmakeys.verify.policy import Policy, apply_settings

MAIN_FILE = "etc/cmakeys/cmakeys.yaml"
DIRECTORY = "etc/cmakeys/cmakeys.d"
DEFAULT = "default"
MAX_TIMEOUT = 3600
MAX_FILES = 256

MAX_CHECKS = 100_000
MAX_DAYS = 36_500
MAX_EVIDENCE = 1 << 20
MAX_INITRDS = 8
MAX_WORDS = 32

_SECTIONS = frozenset({"policy", "check", "history", "initrd", "requester"})
_HISTORY = frozenset({"checks", "days", "evidence", "evidence-size"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its key (`policy.clock`), its value as JSON has it, and where it came from."""

    key: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class History:
    """How much of the past is kept: of the verdicts, and of what the devices said, `evidence_limit` bytes."""

    retention: Retention = Retention()
    evidence: Keep = Keep.NEWS
    evidence_limit: int = DEFAULT_LIMIT

    def settings(self) -> dict[str, object]:
        """The settings by their keys, as JSON has them."""
        return {
            "checks": self.retention.checks,
            "days": self.retention.days or 0,
            "evidence": self.evidence.value,
            "evidence-size": self.evidence_limit >> 20,
        }


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration in effect. `timeout` is the seconds that one device may take in all.

    `requester` are the files with our own chain and key, None for none.
    """

    policy: Policy = field(default_factory=Policy)
    timeout: float = 30.0
    history: History = field(default_factory=History)
    initrd: InitrdSettings = field(default_factory=InitrdSettings)
    requester: CredentialFiles | None = None
    origins: tuple[tuple[str, str], ...] = ()

    def settings(self) -> tuple[Setting, ...]:
        """Every setting with its value and origin, in the order of the documentation."""
        values = {f"policy.{key}": value for key, value in self.policy.settings().items()}
        values["check.timeout"] = self.timeout
        values |= {f"history.{key}": value for key, value in self.history.settings().items()}
        files = self.requester
        values |= {
            "initrd.images": list(self.initrd.places) or None,
            "initrd.rebuild": list(self.initrd.rebuild) or None,
            "requester.chain": str(files.chain) if files else None,
            "requester.key": str(files.key) if files else None,
        }
        origins = dict(self.origins)
        return tuple(Setting(key, value, origins.get(key, DEFAULT)) for key, value in values.items())


def load_config(sysroot: Path = Path("/")) -> Config:
    """Read the configuration of the machine, or of the tree at `sysroot`; without any file it is the defaults.

    Raises `DocumentProblem` for a file that is not understood, other `EnvironmentProblem`s when one cannot be read.
    """
    config = Config()
    for path in _files(sysroot):
        config = apply(config, _read(path), str(path))
    return config


def apply(config: Config, data: bytes, source: str) -> Config:
    """`config` with the settings of one file over it; a file of comments only changes nothing."""
    if not any(line.strip() and not line.lstrip().startswith(b"#") for line in data.splitlines()):
        return config
    sections = read_document(data, source).mapping(frozenset(), _SECTIONS)
    policy, timeout, history, origins = config.policy, config.timeout, config.history, dict(config.origins)
    initrd, requester = config.initrd, config.requester
    for section, node in sections.items():
        if section == "policy":
            policy = apply_settings(policy, node)
        elif section == "check":
            timeout = _timeout(node, timeout)
        elif section == "requester":
            requester = _requester(node)
        elif section == "initrd":
            initrd = _initrd(node, initrd)
        else:
            history = _history(node, history)
        if isinstance(node.value, dict):
            origins |= {f"{section}.{key}": f"{source} line {item.line}" for key, item in node.value.items()}
    return Config(policy, timeout, history, initrd, requester, tuple(origins.items()))


def _timeout(section: Node, current: float) -> float:
    node = section.mapping(frozenset(), frozenset({"timeout"})).get("timeout")
    if node is None:
        return current
    seconds = node.number()
    if not 1 <= seconds <= MAX_TIMEOUT:
        raise node.problem(f"a timeout of 1 to {MAX_TIMEOUT} seconds is expected")
    return float(seconds)


def _history(section: Node, current: History) -> History:
    nodes = section.mapping(frozenset(), _HISTORY)
    checks, days, kept, size = (nodes.get(key) for key in ("checks", "days", "evidence", "evidence-size"))
    retention = Retention(
        _within(checks, 1, MAX_CHECKS) if checks else current.retention.checks,
        (_within(days, 0, MAX_DAYS) or None) if days else current.retention.days,
    )
    limit = _within(size, 1, MAX_EVIDENCE) << 20 if size else current.evidence_limit
    return History(retention, kept.member(Keep) if kept else current.evidence, limit)


def _initrd(section: Node, current: InitrdSettings) -> InitrdSettings:
    nodes = section.mapping(frozenset(), frozenset({"images", "rebuild"}))
    images, rebuild = nodes.get("images"), nodes.get("rebuild")
    places = current.places
    if images is not None:
        places = images.texts()
        if len(places) > MAX_INITRDS or not all(place.startswith("/") and "\0" not in place for place in places):
            raise images.problem(f"at most {MAX_INITRDS} whole paths are expected, from /, perhaps with {{release}}")
    words = current.rebuild
    if rebuild is not None:
        words = rebuild.texts()
        if len(words) > MAX_WORDS or not all(words) or any("\0" in word for word in words):
            raise rebuild.problem("a command as a list of its words is expected", "[dracut, --force]")
    return InitrdSettings(places, words)


def _requester(section: Node) -> CredentialFiles:
    nodes = section.mapping(frozenset({"chain", "key"}), frozenset())
    paths = {name: Path(node.text()) for name, node in nodes.items()}
    for name, path in paths.items():
        if not path.is_absolute():
            raise nodes[name].problem("a whole path is expected, from /")
    return CredentialFiles(paths["chain"], paths["key"])


def _within(node: Node, least: int, most: int) -> int:
    number = node.number()
    if not least <= number <= most:
        raise node.problem(f"a number from {least} to {most} is expected")
    return number


def _files(sysroot: Path) -> Iterator[Path]:
    main, directory = sysroot / MAIN_FILE, sysroot / DIRECTORY
    try:
        if main.exists():
            yield main
        names = sorted(path for path in directory.iterdir() if _is_setting_file(path)) if directory.is_dir() else []
    except OSError as error:
        raise from_oserror(error, str(error.filename or directory)) from error
    if len(names) > MAX_FILES:
        raise UsageProblem(
            f"{len(names)} files, more than {MAX_FILES}", object=str(directory), hint="merge some; none was read"
        )
    yield from names


def _is_setting_file(path: Path) -> bool:
    return path.suffix == ".yaml" and not path.name.startswith(".")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_SIZE + 1)
    except OSError as error:
        raise from_oserror(error, str(path)) from error
