"""Starts a guest and has things done in it: `with started(folder, ports) as guest: guest.cmakeys("keyring", "status")`.

The processor is emulated (named explicitly: a machine that has KVM need not be one on which it works), so everything
takes ten times as long as here, and the agent in the guest keeps a loaded Python at hand. The console is kept for the
message of a failure.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import py_compile
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.guest.agent import PORT
from tests.guest.disk import UUID
from tests.guest.prepare import kit, pack

CHECKOUT = Path(__file__).resolve().parents[2]
BOOT = 120.0
"""Seconds that a guest may take to start; it takes about seven on an idle machine."""

MEMORY = 1024
ROOT_SLOT = 3
FIRST_SLOT = 4
"""PCI device numbers: of the disk with the root file system, and of the first controller with a mailbox."""

_FROM_DISK = f"root=UUID={UUID} rootfstype=ext4 ro init=/init"
_KERNEL = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off audit=0 no_timer_check cryptomgr.notests=1"


@dataclass(frozen=True, slots=True)
class Done:
    """What a program in the guest left: exit code (None when it was ended after its time), stdout, stderr."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The stdout of a verb with --json."""
        return json.loads(self.out)

    def check(self) -> Done:
        """Insist on exit code 0."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


class Guest:
    """A running guest. `functions` are the addresses of the controllers with a mailbox, in the order of their ports."""

    def __init__(self, connection: socket.socket, functions: Sequence[str], console: Path) -> None:
        self._connection = connection
        self._file = connection.makefile("rwb")
        self.functions = tuple(functions)
        self.console = console
        self.kernel: str = self._answer(BOOT)["hello"]

    def call(
        self, function: Callable[..., Any], *arguments: object, user: int | None = None, timeout: float = 60
    ) -> Any:
        """What a function of a module that the guest has returns; arguments and result are JSON."""
        name = f"{function.__module__}.{function.__qualname__}"
        answer = self._ask({"function": name, "arguments": arguments, "user": user, "timeout": timeout})
        assert answer["code"] == 0, f"{name}: exit code {answer['code']}\n{answer['out']}{answer['err']}"
        return answer["value"]

    def run(self, *argv: str, user: int | None = None, data: bytes = b"", timeout: float = 60) -> Done:
        """Run a program; `cmakeys` is the command itself, in a process whose Python is loaded already."""
        answer = self._ask({"argv": argv, "user": user, "input": data.hex(), "timeout": timeout})
        return Done(answer["code"], answer["out"], answer["err"])

    def cmakeys(self, *words: str, user: int | None = None, data: bytes = b"", timeout: float = 60) -> Done:
        """Run a verb."""
        return self.run("cmakeys", *words, user=user, data=data, timeout=timeout)

    def end(self) -> None:
        """Have the guest switch itself off."""
        with contextlib.suppress(OSError):
            self._file.write(b'{"end":true}\n')
            self._file.flush()
        with contextlib.suppress(OSError):
            self._file.close()
        self._connection.close()

    def _ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        self._file.write(json.dumps(request).encode() + b"\n")
        self._file.flush()
        timeout = request["timeout"]
        assert isinstance(timeout, int | float)
        return self._answer(timeout + 30)

    def _answer(self, seconds: float) -> dict[str, Any]:
        self._connection.settimeout(seconds)
        line = self._file.readline()
        assert line, f"the guest went away:\n{self.console.read_text(errors='replace')[-4000:]}"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


@contextlib.contextmanager
def started(
    folder: Path,
    ports: Sequence[int],
    *,
    command_line: str = "lsm=capability",
    segments: Sequence[Path] = (),
    modular: bool = False,
    initrd: Path | None = None,
) -> Iterator[Guest]:
    """A guest with one NVMe controller for each port of the loopback, on which an SPDM responder must listen by now.

    `segments` are archives that its initramfs has besides, as an image builder adds them. A `modular` guest has a
    kernel whose drivers are modules, loaded when the segments have done their part. With an `initrd` of a distribution
    the guest has that kernel, no initramfs of ours, and the code to be tested in a second namespace of its disk.
    """
    root = ["-device", f"nvme,drive=root,serial=root,addr={ROOT_SLOT}"]
    kernel = kit().system_kernel if modular or initrd else kit().kernel
    if initrd is None:
        initrd = _initramfs(folder, [*([kit().system_modules] if modular else []), *segments])
    else:
        root = _disk_with_code(folder)
        command_line = f"{_FROM_DISK} {command_line}"
    command = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,tb-size=512", "-cpu", "Nehalem", "-smp", "2"),
        *("-m", str(MEMORY), "-display", "none", "-nodefaults", "-no-reboot", "-bios", "qboot.rom"),
        *(
            "-kernel",
            str(kernel),
            "-initrd",
            str(initrd),
            "-append",
            f"{_KERNEL} {command_line}",
        ),
        *("-serial", f"file:{folder / 'console'}"),
        *("-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=port,name={PORT}"),
        *("-chardev", f"socket,id=port,path={folder / 'port'}"),
        *("-drive", f"file={kit().disk},if=none,id=root,format=raw,readonly=on"),
        *root,
    ]
    functions = []
    for number, port in enumerate(ports):
        with (folder / f"disk{number}").open("wb") as disk:
            disk.truncate(1 << 20)
        slot = FIRST_SLOT + number
        functions.append(f"0000:00:{slot:02x}.0")
        command += ["-drive", f"file={folder / f'disk{number}'},if=none,id=disk{number},format=raw"]
        command += ["-device", f"nvme,drive=disk{number},serial=cmakeys{number},addr={slot},spdm_port={port}"]
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(folder / "port"))
        listener.listen(1)
        with (folder / "qemu.log").open("wb") as log:
            machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with contextlib.closing(_connected(listener, machine, folder)) as connection:
                guest = Guest(connection, functions, folder / "console")
                try:
                    yield guest
                finally:
                    guest.end()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        machine.wait(20)
        finally:
            machine.kill()
            machine.wait(20)


def _connected(listener: socket.socket, machine: subprocess.Popen[bytes], folder: Path) -> socket.socket:
    listener.settimeout(0.5)
    end = time.monotonic() + BOOT
    while time.monotonic() < end and machine.poll() is None:
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            return connection
    raise AssertionError((folder / "qemu.log").read_text(errors="replace") or "QEMU did not come up")


def _initramfs(folder: Path, segments: Sequence[Path]) -> Path:
    """The prepared archive followed by one with the code of this checkout: the kernel unpacks all of them."""
    archive = folder / "initramfs"
    parts = (kit().initramfs, _code(folder), *segments)
    archive.write_bytes(b"".join(part.read_bytes() for part in parts))
    return archive


def _disk_with_code(folder: Path) -> list[str]:
    """The options for a disk that has an archive with the code of this checkout as its second namespace."""
    code = _code(folder)
    with code.open("ab") as file:
        file.truncate(-(-code.stat().st_size // 4096) * 4096)
    return [
        *("-device", f"nvme,id=disk,serial=root,addr={ROOT_SLOT}"),
        *("-device", "nvme-ns,bus=disk,nsid=1,drive=root"),
        *("-drive", f"file={code},if=none,id=code,format=raw,readonly=on"),
        *("-device", "nvme-ns,bus=disk,nsid=2,drive=code"),
    ]


def _code(folder: Path) -> Path:
    """An archive with the code of this checkout, compiled."""
    tree = folder / "tree"
    code = tree / "code"
    for part in ("cmakeys", "roots", "tests"):
        leave_out = shutil.ignore_patterns("__pycache__", "golden", "schemas", "*.md", "test_*.py")
        shutil.copytree(CHECKOUT / part, code / part, ignore=leave_out)
    compileall.compile_dir(
        code,
        quiet=2,
        stripdir=str(code),
        prependdir="/run/code",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    pack(tree, folder / "code.cpio")
    shutil.rmtree(tree)
    return folder / "code.cpio"
