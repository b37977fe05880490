"""Every verb says as JSON what its schema promises, when it succeeds and when it fails, and no verb is without one.

The schemas in `cmakeys/schemas/` are closed: a key that is not in them is a fault. `conftest.py` holds whatever any
other test of the command line makes a verb say against them too.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cmakeys.cli.app import main
from cmakeys.emulator.pki import VendorAuthority
from cmakeys.images.bake import Request, image
from cmakeys.images.generators import Generator
from cmakeys.images.hooks import install
from cmakeys.keyring.cma import open_keyring
from cmakeys.roots.deny import DenyEntry, DenyKind, entry_about
from cmakeys.roots.record import render_pem
from cmakeys.roots.root import Constraints, LifeCycle, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.roots.signed_bundle import render_bundle
from cmakeys.roots.store import RootStore
from cmakeys.roots.voa import write_hierarchy
from cmakeys.transports.base import Deadline
from tests.cli.envelopes import FOLDER, SHARED, USAGE, faults, schemas
from tests.cli.machine import Machine
from tests.cli.tree import verbs
from tests.corim.publisher import corim, digest, unsigned
from tests.devices.sysfs import FUNCTION, Tree
from tests.keyring.kernel import fresh_session, require_rsa, root
from tests.roots import trust
from tests.roots.bundles import bundle, pem, public, signed
from tests.workbench import seat, serving, vendor
from tests.x509.pki import NOT_BEFORE, Issued, issue
from tests.x509.revocations import crl, published_at, response

WITH_JSON = [words for words, verb in verbs().items() if "--json" in verb.spellings]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(seat()) as (address,):
        yield address


@dataclass(frozen=True)
class Stage:
    """A machine that trusts nobody yet, a device that answers at `url`, and a /sys without functions."""

    machine: Machine
    url: str
    tree: Tree

    @property
    def folder(self) -> Path:
        return self.machine.sysroot

    @property
    def store(self) -> RootStore:
        return RootStore(self.folder)

    @property
    def sysroot(self) -> tuple[str, str]:
        return "--sysroot", str(self.folder)

    @property
    def pem(self) -> str:
        return str(self.file("root.pem", render_pem(vendor().certificate)))

    def file(self, name: str, data: bytes = b"") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def trusting(self) -> Sequence[str]:
        self.machine.trust(vendor())
        return self.sysroot

    def enrolled(self) -> Sequence[str]:
        self.trusting()
        assert self.machine.run("devices", "enroll", self.url, "--name", "gpu0").code == 0
        return self.sysroot

    def recorded(self) -> tuple[str, str]:
        saved, recording = str(self.folder / "saved.json"), str(self.folder / "recording.jsonl")
        assert self.machine.run("evidence", "save", self.url, "-o", saved, "--record", recording).code == 0
        return saved, recording

    def sysfs(self) -> Sequence[str]:
        self.tree.root.mkdir(exist_ok=True)
        return "--sysfs", str(self.tree.root)

    def with_function(self) -> Sequence[str]:
        self.tree.add()
        self.tree.authenticated(b"0\n")
        self.tree.on_recheck(b"1\n")
        return self.sysfs()

    def session(self) -> Sequence[str]:
        """A keyring of the session that holds one of two roots, and a foreign key."""
        keyctl = fresh_session()
        require_rsa(keyctl, ring := open_keyring("@s", keyctl=keyctl).serial)
        self.store.add(root("first"))
        assert self.machine.run("keyring", "apply", "--keyring", "@s").code == 0
        self.store.add(root("second", number=1))
        keyctl.add_key("user", "foreign", b"x", ring)
        return "--keyring", "@s", *self.sysroot


@pytest.fixture
def stage(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stage:
    tree = Tree(tmp_path / "sys")
    monkeypatch.setattr("cmakeys.devices.sysfs.Sysfs", lambda _root: tree.sysfs)
    return Stage(Machine(tmp_path, capsys), url, tree)


Arguments = Callable[[Stage], Sequence[str]]


def denied_and_masked(stage: Stage) -> Sequence[str]:
    stage.trusting()
    stage.store.deny(DenyEntry(DenyKind.CERTIFICATE, vendor().certificate.fingerprint, "stolen"))
    (stage.folder / "etc/cmakeys/roots/old.yaml").symlink_to("/dev/null")
    stage.file("etc/cmakeys/roots/notes.txt")
    return stage.sysroot


def denied(stage: Stage) -> Sequence[str]:
    """Entries of every kind, two of them from one list."""
    certificate = vendor().certificate
    entries = [entry_about(certificate, kind, "stolen", NOT_BEFORE) for kind in DenyKind]
    entries += [DenyEntry(DenyKind.ISSUER_SERIAL, "a" * 64, serial=number, source="vendor.crl") for number in (1, 2)]
    stage.store.deny(*entries)
    return stage.sysroot


def revocations(stage: Stage) -> tuple[str, str]:
    """A list and a response as files, in the place where they are looked for."""
    root = Issued(vendor().key, vendor().certificate)
    answer = response(root, root).der
    folder = "etc/cmakeys/revocation"
    return str(stage.file(f"{folder}/a.crl", crl(root, {1: None}).der)), str(stage.file(f"{folder}/a.ocsp", answer))


def broken_revocations(stage: Stage) -> Sequence[str]:
    stage.file("etc/cmakeys/revocation/a.crl", b"no list")
    return stage.sysroot


def naming_a_place(stage: Stage) -> Sequence[str]:
    """A root that names a list, from which nothing is fetched."""
    root = issue("Lister", number=9, extensions=[published_at("http://vendor.example/root.crl")])
    stage.store.add(Root("lister", root.certificate))
    return "--dry-run", *stage.sysroot


def scheduled(stage: Stage) -> Sequence[str]:
    assert stage.machine.run("schedule", "install").code == 0
    return stage.sysroot


def edited_schedule(stage: Stage) -> Sequence[str]:
    stage.file("etc/cron.d/cmakeys", b"# mine\n")
    return stage.sysroot


def unreadable_schedule(stage: Stage) -> Sequence[str]:
    (stage.folder / "etc/cron.d/cmakeys").mkdir(parents=True)
    return stage.sysroot


def set_up(stage: Stage) -> Sequence[str]:
    assert stage.machine.run("setup", "install").code == 0
    return stage.sysroot


def misconfigured(stage: Stage) -> Sequence[str]:
    stage.file("etc/cmakeys/cmakeys.yaml", b"policy: {clok: now}\n")
    return stage.sysroot


def behind_its_records(stage: Stage) -> Sequence[str]:
    believed = b'{"schema": 1, "believed": "2999-01-01T00:00:00Z", "disbelieved": null, "told": "plausible"}'
    stage.file("var/lib/cmakeys/clock.json", believed)
    return stage.sysroot


def broken_store(stage: Stage) -> Sequence[str]:
    stage.file("etc/cmakeys/roots/acme.yaml", b"schema: 1\n")
    return stage.sysroot


def damaged_register(stage: Stage) -> Sequence[str]:
    stage.file("var/lib/cmakeys/devices.db", b"no database, and longer than the header of one " * 4)
    return stage.sysroot


def no_such_keyring(stage: Stage) -> Sequence[str]:
    return "--keyring", "cmakeys-test-none", *stage.sysroot


def rotated(stage: Stage) -> tuple[str, ...]:
    """A rotation, with a vendor's next root in a file."""
    other = VendorAuthority.create("Acme").certificate
    path = stage.file("next.pem", render_pem(other))
    return "acme", str(path), "--fingerprint", other.fingerprint, *stage.enrolled()


def declared(stage: Stage) -> Sequence[str]:
    """One root comes, one goes, and something is denied."""
    stage.store.add(root("old"))
    text = f"schema: 1\nprune: true\nroots: [{{name: acme, fingerprint: {vendor().certificate.fingerprint},"
    text += f" certificate: {stage.pem}}}]\ndeny: [{{key: {'ab' * 32}, after: 2030-01-01T00:00:00Z}}]\n"
    return "-f", str(stage.file("roots.yaml", text.encode())), *stage.sysroot


def in_state(stage: Stage, state: LifeCycle) -> Sequence[str]:
    stage.store.add(Root("acme", vendor().certificate, state))
    return stage.sysroot


def removed(stage: Stage) -> Sequence[str]:
    """A change that is in the journal, and can be taken back."""
    stage.trusting()
    assert stage.machine.run("roots", "remove", "acme", "--yes").code == 0
    return stage.sysroot


def snapshot_taken(stage: Stage) -> Sequence[str]:
    """A device whose reference is another one than that of its enrolment."""
    arguments = ("gpu0", *stage.enrolled())
    assert stage.machine.run("measure", "snapshot", "gpu0").code == 0
    return arguments


def corim_published(stage: Stage) -> Sequence[str]:
    """A vendor's word for an enrolled device, unsigned."""
    path = stage.folder / "acme.corim"
    path.write_bytes(unsigned(corim([(2, digest(bytes(48)))])))
    return (str(path), "--for", "gpu0", "--vendor", "Acme", "--unsigned", *stage.enrolled())


def no_journal(stage: Stage) -> Sequence[str]:
    """A journal whose place something else has taken."""
    (stage.folder / "var/lib/cmakeys/journal.jsonl").mkdir(parents=True)
    return stage.sysroot


def tampered(stage: Stage) -> Sequence[str]:
    """A journal that was changed, cut off after a torn line, and whose note is none."""
    arguments = removed(stage)
    state = stage.folder / "var/lib/cmakeys"
    journal = state / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"acme", b"acne") + b"{")
    (state / "journal.head").write_bytes(b"{}")
    return arguments


DENIED = (DenyEntry(DenyKind.KEY, "ab" * 32, "leaked"),)


def signed_bundle(stage: Stage, *names: str) -> tuple[str, ...]:
    """A bundle on its way to this machine, and the option that names its key."""
    content = bundle(2, "2 of a b", tuple(map(trust.root, names)), DENIED, when=datetime.now(UTC))
    file = stage.file("acme.bundle", render_bundle(signed(content, "a b z")))
    return str(file), "--fingerprint", public("a").id, *stage.sysroot


def pruned(stage: Stage) -> Sequence[str]:
    """One root comes, one is dropped, one is denied, and one is there from elsewhere."""
    stage.store.add(replace(trust.root("here"), constraints=Constraints(slots=frozenset({3}))))
    file, *options = signed_bundle(stage, "old")
    assert stage.machine.run("roots", "bundle", "import", file, "--yes", *options[:2]).code == 0
    entries = (entry_about(trust.root("here").certificate, DenyKind.CERTIFICATE),)
    content = bundle(3, "1 of a", (trust.root("new"), trust.root("here")), entries, when=datetime.now(UTC))
    stage.file("acme.bundle", render_bundle(signed(content, "a b")))
    return file, "--prune", "--yes", *stage.sysroot


def hierarchy(stage: Stage) -> tuple[str, ...]:
    """A tree with a root, a mask and a file that does not count."""
    for _ in write_hierarchy(stage.folder / "voa", "linux", [trust.root("new")], ["c" * 64]):
        pass
    stage.file("voa/linux/kernel-keyring/cma/x509/notes.txt")
    return str(stage.folder / "voa"), *stage.sysroot


def signer(stage: Stage) -> str:
    return str(stage.file("signer.pem", pem("a")))


def creating(stage: Stage) -> Sequence[str]:
    stage.store.deny(*DENIED)
    place = str(stage.folder / "new.bundle")
    return "-o", place, "--name", "acme", "--version", "1", "--key", signer(stage), *stage.sysroot


def garbage(stage: Stage) -> str:
    return str(stage.file("garbage", b"\0nothing"))


def baked(stage: Stage) -> tuple[str, ...]:
    return "-o", str(stage.folder / "cma.cpio"), "--keyctl-sysroot", "/"


def initrd(stage: Stage) -> str:
    """One with the root that the machine trusts."""
    made = image(RootSet((Root("acme", vendor().certificate),)), Request())
    return str(stage.file("initrd", made.cpio()))


def hooked(stage: Stage) -> Sequence[str]:
    """A tree where dracut has its hook."""
    install(stage.folder, Generator.DRACUT, (), force=False, dry_run=False)
    return "--for", "dracut"


def rehooked(stage: Stage) -> Sequence[str]:
    """One where somebody has edited it since."""
    words = hooked(stage)
    with (stage.folder / "usr/lib/dracut/modules.d/70cmakeys/cmakeys.sh").open("a") as file:
        file.write("# mine\n")
    return words


def unhooked(stage: Stage) -> Sequence[str]:
    """One where something else is in its place."""
    stage.folder.joinpath("usr/lib/dracut/modules.d/70cmakeys/cmakeys.sh").mkdir(parents=True)
    return "--for", "dracut"


SUCCESSES: Mapping[str, Arguments] = {
    "status": Stage.session,
    "doctor": lambda stage: (*stage.sysfs(), *stage.sysroot),
    "roots-add": lambda stage: (stage.pem, "--fingerprint", vendor().certificate.fingerprint, *stage.sysroot),
    "roots-list": denied_and_masked,
    "roots-show": lambda stage: ("acme", *stage.trusting()),
    "roots-remove": lambda stage: ("acme", "--yes", *stage.trusting()),
    "roots-export": lambda stage: ("-o", str(stage.folder / "out.pem"), *stage.trusting()),
    "roots-lint": lambda stage: stage.trusting(),
    "roots-apply": declared,
    "roots-bundle-create": lambda stage: (*creating(stage), *stage.trusting()),
    "roots-bundle-sign": lambda stage: (signed_bundle(stage, "new")[0], "--key", signer(stage)),
    "roots-bundle-verify": lambda stage: signed_bundle(stage, "new"),
    "roots-bundle-import": pruned,
    "roots-import-tree": lambda stage: (*hierarchy(stage), "--fingerprint", trust.root("new").fingerprint),
    "roots-rotate": rotated,
    "roots-stage": lambda stage: (stage.pem, "--fingerprint", vendor().certificate.fingerprint, *stage.sysroot),
    "roots-trust": lambda stage: ("acme", *in_state(stage, LifeCycle.STAGED)),
    "roots-retire": lambda stage: ("acme", *stage.enrolled()),
    "roots-distrust": lambda stage: ("acme", "--yes", *stage.enrolled()),
    "roots-restore": lambda stage: ("acme", *in_state(stage, LifeCycle.RETIRED)),
    "roots-history": removed,
    "roots-undo": lambda stage: ("--yes", *removed(stage)),
    "roots-constrain": lambda stage: ("acme", "--pci-vendor", "15b3", "--slot", "7", "--yes", *stage.enrolled()),
    "deny-add": lambda stage: (stage.pem, "--after", "2027-01-31", *stage.enrolled()),
    "deny-list": denied,
    "deny-remove": lambda stage: ("--source", "vendor.crl", "--yes", *denied(stage)),
    "deny-export": lambda stage: (stage.pem, *denied(stage)),
    "revocation-list": lambda stage: (*revocations(stage), *stage.sysroot)[2:],
    "revocation-import": lambda stage: (*revocations(stage), "--issuer", stage.pem, *stage.sysroot),
    "revocation-fetch": naming_a_place,
    "journal-show": removed,
    "journal-verify": removed,
    "keyring-status": Stage.session,
    "keyring-diff": Stage.session,
    "keyring-apply": Stage.session,
    "keyring-audit": Stage.session,
    "devices-scan": lambda stage: (*stage.with_function(), "--state-dir", str(stage.folder)),
    "devices-kernel": lambda stage: (FUNCTION, *stage.with_function()),
    "devices-recheck": lambda stage: ("--all", *stage.with_function()),
    "devices-enroll": lambda stage: (stage.url, *stage.trusting()),
    "devices-list": Stage.enrolled,
    "devices-show": lambda stage: ("gpu0", *stage.enrolled()),
    "devices-forget": lambda stage: ("gpu0", "--yes", *stage.enrolled()),
    "devices-move": lambda stage: ("gpu0", stage.url, *stage.enrolled()),
    "measure-get": lambda stage: (stage.url, *stage.trusting()),
    "measure-compare": lambda stage: ("gpu0", *stage.enrolled()),
    "measure-show": lambda stage: ("gpu0", *stage.enrolled()),
    "measure-snapshot": lambda stage: ("gpu0", *stage.enrolled()),
    "measure-accept": lambda stage: ("gpu0", "--all", "--reason", "x", *stage.enrolled()),
    "measure-import": corim_published,
    "measure-undo": snapshot_taken,
    "history-show": lambda stage: ("gpu0", "--news", *stage.enrolled()),
    "history-runs": Stage.enrolled,
    "history-clock": Stage.enrolled,
    "history-vacuum": Stage.enrolled,
    "check": lambda stage: ("--all", *stage.enrolled()),
    "evidence-save": lambda stage: (stage.url, "-o", str(stage.folder / "new.json"), *stage.sysroot),
    "evidence-show": lambda stage: stage.recorded()[:1],
    "evidence-pcap": lambda stage: (stage.recorded()[1], "-o", str(stage.folder / "out.pcap")),
    "evidence-verify": lambda stage: (*stage.recorded(), "--root", stage.pem, *stage.sysroot),
    "spdm-probe": lambda stage: (stage.url, *stage.sysroot),
    "spdm-slots": lambda stage: (stage.url, "--dump", str(stage.folder / "dump"), *stage.sysroot),
    "spdm-trace": lambda stage: (stage.recorded()[1], "--octets"),
    "policy-bind-guard": lambda stage: ("install", "--class", "0108", *stage.sysroot),
    "image-bake": lambda stage: ("--with-keyctl", *baked(stage), *stage.trusting()),
    "image-inspect": lambda stage: (initrd(stage), "--against", *stage.trusting()),
    "image-hooks-install": lambda stage: ("--for", "dracut", "--for", "systemd", *stage.sysroot),
    "image-hooks-status": lambda stage: (*hooked(stage), *stage.sysroot),
    "image-hooks-remove": lambda stage: (*hooked(stage), *stage.sysroot),
    "emulate": lambda _stage: ("--list-faults",),
    "config-show": lambda stage: stage.sysroot,
    "schedule-install": lambda stage: stage.sysroot,
    "schedule-remove": scheduled,
    "schedule-status": scheduled,
    "setup-install": lambda stage: stage.sysroot,
    "setup-remove": set_up,
    "setup-status": set_up,
    "schema": lambda _stage: ("roots", "add"),
    "completion": lambda _stage: ("bash", "roots", "s"),
}
"""Arguments with which each verb succeeds, by the name of its schema."""

FAILURES: Mapping[str, tuple[int, Arguments]] = {
    "status": (1, broken_store),
    "doctor": (1, broken_store),
    "roots-add": (8, lambda stage: (stage.pem, *stage.sysroot)),
    "roots-list": (2, broken_store),
    "roots-show": (3, lambda stage: ("nobody", *stage.sysroot)),
    "roots-remove": (8, lambda stage: ("acme", *stage.trusting())),
    "roots-export": (3, lambda stage: stage.sysroot),
    "roots-lint": (1, lambda stage: (garbage(stage), *stage.sysroot)),
    "roots-apply": (2, lambda stage: ("-f", garbage(stage), *stage.sysroot)),
    "roots-bundle-create": (3, creating),
    "roots-bundle-sign": (2, lambda stage: (garbage(stage), "--key", signer(stage))),
    "roots-bundle-verify": (8, lambda stage: (signed_bundle(stage)[0], *stage.sysroot)),
    "roots-bundle-import": (8, signed_bundle),
    "roots-import-tree": (8, hierarchy),
    "roots-rotate": (8, lambda stage: ("acme", "acme", *stage.enrolled())),
    "roots-stage": (8, lambda stage: (stage.pem, *stage.sysroot)),
    "roots-trust": (8, lambda stage: ("acme", *in_state(stage, LifeCycle.RETIRED))),
    "roots-retire": (8, lambda stage: ("acme", *in_state(stage, LifeCycle.DISTRUSTED))),
    "roots-distrust": (8, lambda stage: ("acme", *stage.trusting())),
    "roots-restore": (8, lambda stage: ("acme", *in_state(stage, LifeCycle.DISTRUSTED))),
    "roots-history": (1, no_journal),
    "roots-undo": (3, lambda stage: ("--yes", *stage.sysroot)),
    "roots-constrain": (8, lambda stage: ("acme", "--slot", "7", *stage.enrolled())),
    "deny-add": (2, lambda stage: stage.sysroot),
    "deny-list": (2, broken_store),
    "deny-remove": (3, lambda stage: ("abcd", *stage.sysroot)),
    "deny-export": (2, lambda stage: ("--format", "pem", *stage.sysroot)),
    "revocation-list": (2, broken_revocations),
    "revocation-import": (1, lambda stage: (garbage(stage), *stage.sysroot)),
    "revocation-fetch": (3, lambda stage: stage.trusting()),
    "journal-show": (1, no_journal),
    "journal-verify": (1, tampered),
    "keyring-status": (3, no_such_keyring),
    "keyring-diff": (3, no_such_keyring),
    "keyring-apply": (3, no_such_keyring),
    "keyring-audit": (3, no_such_keyring),
    "devices-scan": (3, lambda stage: (*stage.sysfs(), "--state-dir", str(stage.folder))),
    "devices-kernel": (3, lambda stage: (FUNCTION, *stage.sysfs())),
    "devices-recheck": (2, lambda stage: stage.sysfs()),
    "devices-enroll": (1, lambda stage: (stage.url, *stage.sysroot)),
    "devices-list": (1, damaged_register),
    "devices-show": (3, lambda stage: ("gpu1", *stage.enrolled())),
    "devices-forget": (8, lambda stage: ("gpu0", *stage.enrolled())),
    "devices-move": (3, lambda stage: ("gpu1", stage.url, *stage.enrolled())),
    "measure-get": (3, lambda stage: (str(stage.folder / "none"), *stage.sysroot)),
    "measure-compare": (2, lambda stage: (stage.url, *stage.trusting())),
    "measure-show": (3, lambda stage: ("gpu1", *stage.enrolled())),
    "measure-snapshot": (3, lambda stage: ("gpu1", *stage.enrolled())),
    "measure-accept": (2, lambda stage: ("gpu0", "--reason", "x", *stage.enrolled())),
    "measure-import": (2, lambda stage: (*corim_published(stage), "--signer", "acme.pem")),
    "measure-undo": (3, lambda stage: ("gpu0", *stage.enrolled())),
    "history-show": (3, lambda stage: ("gpu1", *stage.enrolled())),
    "history-runs": (2, lambda stage: ("--outcome", "odd", *stage.enrolled())),
    "history-clock": (1, behind_its_records),
    "history-vacuum": (2, misconfigured),
    "check": (1, lambda stage: (stage.url, *stage.sysroot)),
    "evidence-save": (8, lambda stage: (stage.url, "-o", garbage(stage), *stage.sysroot)),
    "evidence-show": (1, lambda stage: (garbage(stage),)),
    "evidence-pcap": (1, lambda stage: (garbage(stage), "-o", str(stage.folder / "out.pcap"))),
    "evidence-verify": (1, lambda stage: (garbage(stage), *stage.recorded(), *stage.sysroot)),
    "spdm-probe": (6, lambda stage: ("tcp://127.0.0.1:1", "--timeout", "1", *stage.sysroot)),
    "spdm-slots": (6, lambda stage: ("tcp://127.0.0.1:1", "--timeout", "1", *stage.sysroot)),
    "spdm-trace": (1, lambda stage: (garbage(stage),)),
    "policy-bind-guard": (3, lambda stage: ("run", *stage.sysroot, *stage.sysfs())),
    "image-bake": (3, lambda stage: ("--with-keyctl", *baked(stage), *stage.sysroot)),
    "image-inspect": (1, lambda stage: (garbage(stage), *stage.sysroot)),
    "image-hooks-install": (8, lambda stage: (*rehooked(stage), *stage.sysroot)),
    "image-hooks-status": (8, lambda stage: (*unhooked(stage), *stage.sysroot)),
    "image-hooks-remove": (8, lambda stage: (*rehooked(stage), *stage.sysroot)),
    "emulate": (3, lambda _stage: ("--fault", "none-such")),
    "config-show": (2, misconfigured),
    "schedule-install": (2, lambda stage: ("--when", "%h", *stage.sysroot)),
    "schedule-remove": (8, edited_schedule),
    "schedule-status": (8, unreadable_schedule),
    "setup-install": (2, lambda stage: ("--prefix", "usr", *stage.sysroot)),
    "setup-remove": (3, lambda stage: stage.sysroot),
    "setup-status": (2, lambda stage: ("--prefix", "/usr/../etc", *stage.sysroot)),
    "schema": (3, lambda _stage: ("roots", "nonsense")),
    "completion": (2, lambda _stage: ("csh",)),
}
"""The same for a failure, with the exit code."""


def said(stage: Stage, name: str, arguments: Sequence[str]) -> tuple[int, Mapping[str, object]]:
    """Run a verb; its exit code and what it said, which has the form of its schema."""
    stage.machine.capture.readouterr()
    words = next(verb.words for verb in verbs().values() if verb.schema == name)
    code = main([*words, *arguments, "--json"])
    envelope = json.loads(stage.machine.capture.readouterr().out)
    assert isinstance(envelope, dict)
    assert envelope["schema"] == f"cmakeys/{name}/1"
    assert faults(envelope) == []
    return code, envelope


@pytest.mark.system
@pytest.mark.parametrize("name", SUCCESSES)
def test_a_verb_that_succeeds_says_what_its_schema_promises(stage: Stage, name: str) -> None:
    code, envelope = said(stage, name, SUCCESSES[name](stage))
    assert (code, envelope["ok"], envelope["errors"]) == (0, True, [])
    assert envelope["data"]


@pytest.mark.system
@pytest.mark.parametrize("name", FAILURES)
def test_a_verb_that_fails_says_what_its_schema_promises(stage: Stage, name: str) -> None:
    expected, arguments = FAILURES[name]
    code, envelope = said(stage, name, arguments(stage))
    assert (code, envelope["ok"], envelope["changed"]) == (expected, False, False)
    assert envelope["errors"] or envelope["data"]


@pytest.mark.system
@pytest.mark.usefixtures("capsys")
def test_an_emulated_device_says_what_its_schema_promises_when_it_leaves(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = ["emulate", "--listen", "127.0.0.1:0", "--count", "2", "--ready-file", str(ready), "--json"]
    with subprocess.Popen([sys.executable, "-m", "cmakeys", *command], stdout=-1, stderr=-1) as process:
        deadline = Deadline.after(20)
        while not ready.exists() and process.poll() is None and not deadline.expired:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    envelope = json.loads(out)
    assert faults(envelope) == []
    assert envelope["data"]["addresses"] == ready.read_text().split()


@pytest.mark.parametrize("words", [("nonsense",), ("roots",), ("roots", "nonsense"), ("roots", "add", "--nonsense")])
def test_a_command_line_that_is_not_understood_has_a_schema_too(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--json"]) == 2
    envelope = json.loads(capsys.readouterr().out)
    assert faults(envelope) == []
    assert envelope["errors"][0]["code"] == "usage"


# -- the schemas themselves --------------------------------------------------------------------------------------------


def test_every_verb_with_json_has_a_schema_and_every_schema_a_verb() -> None:
    assert sorted(schemas()) == sorted([*("-".join(words) for words in WITH_JSON), SHARED, USAGE])


def test_every_verb_with_json_is_made_to_succeed_and_to_fail() -> None:
    names = ["-".join(words) for words in WITH_JSON]
    assert sorted(SUCCESSES) == sorted(names)
    assert sorted(FAILURES) == sorted(names)


def test_every_verb_has_json() -> None:
    assert list(verbs()) == WITH_JSON


def objects(part: object, path: str = "$") -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every part of a schema that describes an object of known keys."""
    if isinstance(part, dict):
        if part.get("type") == "object":
            yield path, part
        for key, value in part.items():
            yield from objects(value, f"{path}.{key}")
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from objects(value, f"{path}[{number}]")


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_a_schema_is_one_and_is_closed(path: Path) -> None:
    schema = schemas()[path.stem]
    Draft202012Validator.check_schema(schema)
    for where, part in objects(schema):
        assert "additionalProperties" in part, where
        properties = part.get("properties", {})
        assert isinstance(properties, dict)
        assert part["additionalProperties"] is False or not properties, where


def test_a_key_too_many_or_too_few_is_a_fault() -> None:
    finding = {"code": "usage", "message": "no", "object": "", "hint": ""}
    envelope = {"schema": "cmakeys/usage/1", "ok": False, "changed": False, "data": None, "errors": [finding]}
    assert faults(envelope) == []
    assert faults({**envelope, "odd": 1}) != []
    assert faults({**envelope, "errors": [{**finding, "odd": 1}]}) != []
    assert faults({**envelope, "errors": [{"code": "usage", "message": "no"}]}) != []
    assert faults({**envelope, "schema": "cmakeys/roots-nonsense/1"}) != []
