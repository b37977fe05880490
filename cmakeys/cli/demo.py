"""`make demo`: the whole story on this machine, with emulated devices and a real kernel keyring.

It needs no privileges and no hardware, and touches nothing outside a temporary folder: every command works in the
tree `machine` there, and the keyring is that of a session which ends with the demo. What is printed after `$` is the
command that was really run, in that folder, so each line can be typed again on a machine of one's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from cmakeys.emulator.factory import Blueprint, build_device
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.line import Seat
from cmakeys.emulator.pki import DeviceCredentials, VendorAuthority
from cmakeys.emulator.server import Server
from cmakeys.errors import EnvironmentProblem
from cmakeys.keyring.keyctl import Keyctl, KeyctlError
from cmakeys.reports.terminal import Terminal
from cmakeys.spdm.codes import CertificateModel
from cmakeys.x509.identity import PciIdentity

TREE = "machine"
NVME = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100)
GPU = PciIdentity(0x1B36, 0x0013, 0x030200, 0xA1, 0x1AF4, 0x1100)


class DemoFailure(RuntimeError):
    """A command of the story ended otherwise than the story says."""


@dataclass(slots=True)
class EmulatedDevice:
    """A device of the story: the vendor it comes from, its description and the seat it answers at."""

    name: str
    vendor: VendorAuthority
    blueprint: Blueprint
    seat: Seat
    credentials: tuple[DeviceCredentials, ...]
    url: str = ""

    @classmethod
    def build(cls, name: str, vendor: VendorAuthority, identity: PciIdentity) -> EmulatedDevice:
        """Make the device, keys and chain included, in the alias model: its leaf changes with its firmware."""
        blueprint = Blueprint(serial=name, identity=identity, model=CertificateModel.ALIAS)
        device = build_device(vendor, blueprint)
        return cls(name, vendor, blueprint, Seat(device), tuple(device.hardware.slots[0]))

    def update_firmware(self) -> None:
        """Give the same device another firmware."""
        self.seat.device.hardware.change_firmware(b"firmware 2, not from the vendor")

    def swap_for_impostor(self) -> None:
        """Put another device in its place that claims all the same names, certified by a made-up authority."""
        forger = VendorAuthority.create(self.vendor.name, self.vendor.key_type)
        self.seat.device = build_device(forger, replace(self.blueprint, credentials=None))


class Story:
    """Tells and runs the demo in a folder."""

    def __init__(self, folder: Path, terminal: Terminal) -> None:
        self._folder = folder
        self._terminal = terminal

    def heading(self, number: int, text: str) -> None:
        """Begin a part."""
        self._line()
        self._line(self._bold(f"{number}. {text}"))

    def tell(self, text: str) -> None:
        """A paragraph of explanation."""
        for line in textwrap.wrap(text, 78):
            self._line(line)

    def run(self, *arguments: str, expect: int = 0) -> None:
        """Show a command, run it in the folder, show what it says; it must leave with `expect`."""
        shown = " ".join(f"'{one}'" if " " in one or "?" in one else one for one in arguments)
        self._line()
        self._line(self._bold(f"$ cmakeys {shown}"))
        result = subprocess.run(
            (sys.executable, "-m", "cmakeys", *arguments),
            cwd=self._folder,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in result.stdout.rstrip("\n").splitlines():
            self._line(f"  {line}")
        if result.returncode != expect:
            raise DemoFailure(f"cmakeys {shown}: exit code {result.returncode}, the story expects {expect}")
        if expect:
            self._line(f"  (exit code {expect})")

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._terminal.colour else text

    def _line(self, text: str = "") -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def tell_story(story: Story, folder: Path, *, keyring: bool) -> None:
    """The seven parts of the demo."""
    tree = ("--sysroot", TREE)
    ring = ("--keyring", "@s", *tree)

    story.heading(1, "Two vendors, three devices")
    aurora, borealis = (VendorAuthority.create(name, KeyType.RSA_3072) for name in ("Aurora", "Borealis"))
    for vendor in (aurora, borealis):
        (folder / f"{vendor.name.lower()}.pem").write_bytes(vendor.certificate.parsed.public_bytes(Encoding.PEM))
    devices = {
        name: EmulatedDevice.build(name, vendor, identity)
        for name, vendor, identity in (("nvme0", aurora, NVME), ("nvme1", aurora, NVME), ("gpu0", borealis, GPU))
    }
    with Server([device.seat for device in devices.values()]) as server:
        for device, place in zip(devices.values(), server.places, strict=True):
            device.url = place.url
        story.tell(
            "Aurora makes storage (nvme0, nvme1), Borealis makes a GPU (gpu0). The devices are emulated and speak SPDM"
            " behind sockets of this machine; each vendor publishes its root certificate: aurora.pem, borealis.pem."
        )

        story.heading(2, "Trust the vendors: a root is enrolled by its fingerprint, never by its name")
        for vendor in (aurora, borealis):
            name = vendor.name.lower()
            fingerprint = vendor.certificate.fingerprint
            story.run("roots", "add", f"{name}.pem", "--name", name, "--fingerprint", fingerprint, *tree)
        story.run("roots", "list", *tree)

        story.heading(3, "Put them into a keyring of the running kernel, by one atomic swap")
        if keyring:
            story.tell("On a kernel that has one, leave --keyring out: the keyring is then .cma. Here, the session's.")
            story.run("keyring", "apply", *ring)
            story.run("keyring", "status", *ring)
        else:
            story.tell("This environment forbids kernel keyrings (a container, perhaps), so this part is left out.")

        story.heading(4, "Enrol the devices")
        for device in devices.values():
            story.run("devices", "enroll", device.url, "--name", device.name, "--identity", _identity(device), *tree)

        story.heading(5, "What cron runs every night")
        story.run("check", "--all", *tree)

        story.heading(6, "One night, three things go wrong")
        story.tell(
            "nvme0 runs another firmware. nvme1 was exchanged for an impostor, certified under the same names by"
            " somebody else. And an admin removes Borealis' root."
        )
        devices["nvme0"].update_firmware()
        devices["nvme1"].swap_for_impostor()
        story.run("roots", "remove", "borealis", "--yes", *tree)
        if keyring:
            story.run("keyring", "apply", *ring)
        story.run("check", "--all", *tree, expect=1)

        story.heading(7, "And in full, for the one to look at first")
        story.run("check", "nvme1", *tree, expect=1)
    _farewell(story)


def _identity(device: EmulatedDevice) -> str:
    identity = device.blueprint.identity
    return identity.san_string() if identity else ""


def _farewell(story: Story) -> None:
    story.heading(8, "What to type next, on a real machine")
    for line in (
        "cmakeys roots add VENDOR.pem               # shows the fingerprint and asks",
        "cmakeys keyring apply                      # fills .cma, where the kernel has it",
        "cmakeys evidence verify REPORT --chain PEM # a GPU's attestation report, offline",
        "cmakeys emulate --help                     # a device to try things on",
        "cmakeys check --all                        # the nightly check",
    ):
        sys.stdout.write(f"  {line}\n")


@contextmanager
def _own_session() -> Iterator[bool]:
    """A session keyring of the demo's own, where the environment allows one."""
    try:
        Keyctl().join_session()
    except (KeyctlError, EnvironmentProblem):
        yield False
    else:
        yield True


def main() -> int:
    """Run the demo; 1 when a command did not do what the story says."""
    started = time.monotonic()
    terminal = Terminal.of(sys.stdout, os.environ)
    os.environ.setdefault("COLUMNS", "100")
    with tempfile.TemporaryDirectory(prefix="cmakeys-demo-") as name, _own_session() as keyring:
        folder = Path(name)
        sys.stdout.write("cmakeys demo. It works in a temporary folder; nothing of this machine is changed.\n")
        try:
            tell_story(Story(folder, terminal), folder, keyring=keyring)
        except DemoFailure as failure:
            sys.stderr.write(f"\nThe demo went wrong. {failure}\n")
            return 1
    sys.stdout.write(f"\nThat took {time.monotonic() - started:.0f} s. The keyring and the folder are gone again.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
