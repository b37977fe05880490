"""QEMU's NVMe controller without a guest: a stopped machine whose configuration space is driven over the test socket.

The controller connects to a responder (`spdm_port`) when the machine starts, so that has to listen by then. Registers
are reached through the q35 board's memory window for configuration space.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PROGRAM = "qemu-system-x86_64"
SLOT = 4
PATIENCE = 20.0

_WINDOW = 0xB0000000
_WINDOW_REGISTER = 0x80000060
_ADDRESS_PORT = 0xCF8
_DATA_PORT = 0xCFC


class QtestConfig:
    """Configuration space of one function of a stopped machine; see `ConfigSpace`."""

    name = "QEMU's NVMe controller"
    size = 0x1000

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rw", encoding="ascii")
        self._base = _WINDOW + (SLOT << 15)
        for register, value in ((_WINDOW_REGISTER + 4, 0), (_WINDOW_REGISTER, _WINDOW | 1)):
            self._command(f"outl {_ADDRESS_PORT:#x} {register:#x}")
            self._command(f"outl {_DATA_PORT:#x} {value:#x}")

    def read32(self, offset: int) -> int:
        return int(self._command(f"readl {self._base + offset:#x}"), 16)

    def write32(self, offset: int, value: int) -> None:
        self._command(f"writel {self._base + offset:#x} {value:#x}")

    def close(self) -> None:
        """The connection is the machine's; it stays for the next conversation."""

    def end(self) -> None:
        self._file.close()
        self._connection.close()

    def _command(self, line: str) -> str:
        self._file.write(line + "\n")
        self._file.flush()
        answer = self._file.readline().split()
        assert answer, f"QEMU went away at: {line}"
        assert answer[0] == "OK", (line, answer)
        return answer[1] if len(answer) > 1 else ""


@cache
def why_not() -> str:
    """Why no machine can be started here; empty where it can."""
    program = shutil.which(PROGRAM)
    if program is None:
        return f"{PROGRAM} is not on PATH"
    said = subprocess.run([program, "-device", "nvme,help"], capture_output=True, text=True, check=False, timeout=60)
    return "" if "spdm_port" in said.stdout else f"this {PROGRAM} is older than 10.0: its NVMe has no spdm_port"


@contextlib.contextmanager
def nvme(responder: int, folder: Path) -> Iterator[QtestConfig]:
    """A stopped machine with an NVMe controller whose SPDM responder listens on this port of the loopback."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with (folder / "disk").open("wb") as disk:
        disk.truncate(1 << 20)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(folder / "qtest"))
        listener.listen(1)
        listener.settimeout(PATIENCE)
        command = [
            *(PROGRAM, "-machine", "q35", "-accel", "tcg", "-S", "-m", "64", "-display", "none", "-nodefaults"),
            *("-qtest", f"unix:{folder / 'qtest'}", "-qtest-log", "none"),
            *("-drive", f"file={folder / 'disk'},if=none,id=disk,format=raw"),
            *("-device", f"nvme,drive=disk,serial=cmakeys,addr={SLOT},spdm_port={responder}"),
        ]
        with (folder / "qemu.log").open("wb") as log:
            machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE)
            config = QtestConfig(connection)
            try:
                yield config
            finally:
                config.end()
        except TimeoutError as error:
            raise AssertionError((folder / "qemu.log").read_text(errors="replace")) from error
        finally:
            machine.terminate()
            machine.wait(PATIENCE)
