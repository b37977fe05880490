"""Runs in the guest: takes one request a line from a virtio port, does it in a child process, answers with one line.

A request calls a function of a module (`function`, `arguments`, answered with `value`) or a program (`argv`, answered
with `code`, `out`, `err`); `cmakeys` as a program is a fork of this process, which has its modules loaded, because
under emulation starting Python costs seconds. Every request has a child of its own: what it does to its session
keyring, its user or its memory ends with it.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

PORT = "cmakeys"
PRELOADED = (
    *("cmakeys.cli.app", "cmakeys.cli.roots", "cmakeys.cli.keyring", "cmakeys.cli.devices", "cmakeys.cli.check"),
    *("cmakeys.check", "cmakeys.roots.store", "cmakeys.roots.enrolment", "cmakeys.keyring.managed"),
    *("cmakeys.cli.conditions", "cmakeys.devices.register", "cmakeys.keyring.audit", "tests.guest.inside"),
)


def main() -> None:
    """Serve until the host closes the port or says so."""
    for module in PRELOADED:
        importlib.import_module(module)
    with _port().open("r+b", buffering=0) as port:
        port.write(_line({"hello": platform.release()}))
        pending = b""
        while data := port.read(65536):
            pending += data
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                request = json.loads(line)
                if request.get("end"):
                    return
                answer = _line(_serve(request))
                while answer:
                    answer = answer[port.write(answer) :]


def _port() -> Path:
    for place in Path("/sys/class/virtio-ports").iterdir():
        if (place / "name").read_text().strip() == PORT:
            return Path("/dev") / place.name
    raise SystemExit("there is no command port")


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    """Do one request in a child and collect what it leaves in three files."""
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        place = Path(folder)
        (place / "in").write_bytes(bytes.fromhex(request.get("input", "")))
        for name in ("out", "err", "value"):
            (place / name).touch()
            (place / name).chmod(0o666)
        place.chmod(0o755)
        child = os.fork()
        if not child:
            _child(request, place)
        code = _wait(child, float(request["timeout"]))
        value = (place / "value").read_text()
        return {
            "code": code,
            "out": (place / "out").read_text(errors="replace"),
            "err": (place / "err").read_text(errors="replace"),
            "value": json.loads(value) if value else None,
        }


def _wait(child: int, seconds: float) -> int | None:
    """The child's exit code; None when it had to be ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _child(request: dict[str, Any], place: Path) -> NoReturn:
    code = 70
    try:
        os.setpgid(0, 0)
        results = (place / "value").open("w")
        for number, (name, mode) in enumerate((("in", "rb"), ("out", "wb"), ("err", "wb"))):
            with (place / name).open(mode) as file:
                os.dup2(file.fileno(), number)
        if (user := request.get("user")) is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        code = _do(request, results)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _do(request: dict[str, Any], results: Any) -> int:
    if "function" in request:
        module, name = request["function"].rsplit(".", 1)
        function: Callable[..., object] = getattr(importlib.import_module(module), name)
        json.dump(function(*request["arguments"]), results)
        results.close()
        return 0
    argv: list[str] = request["argv"]
    if argv[0] != "cmakeys":
        return subprocess.run(argv, check=False).returncode
    from cmakeys.cli.app import main as cmakeys

    sys.argv = argv
    return cmakeys(argv[1:])


if __name__ == "__main__":
    main()
