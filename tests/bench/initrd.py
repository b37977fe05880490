"""What looking into an initrd of 100 MB costs, against listing its names with the programs made for that."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cmakeys.images.cpio import Entry, render
from tests.bench.ratio import Ratio, command, interleaved
from tests.images.initrds import baked

SIZE = 100 << 20
"""Bytes of the packed initrd, about."""

FILES = 3000
ROUNDS = 7
LIMIT = 1.5
_TREE = Path("~/.cache/cmakeys-guest/system").expanduser()


def filling(files: int, size: int) -> bytes:
    """An archive of so many files that is packed to about `size` bytes, and to half of its own size as modules are."""
    chance = random.Random(1)
    share = size // files
    words = [chance.randbytes(16) for _ in range(64)]
    # As in earnest, most files are small and some are large.
    shares = [share // 2 if number % 10 else share * 11 // 2 for number in range(files)]
    return render(
        Entry.file(
            f"usr/lib/modules/6.12/kernel/drivers/d{number % 40}/module{number}.ko",
            chance.randbytes(each) + b"".join(chance.choices(words, k=each // 16)),
        )
        for number, each in enumerate(shares)
    )


def listing(initrd: Path) -> Mapping[str, Callable[[], object]]:
    """Every way to list the names in an initrd that this machine has, by what it is called."""
    found = {"zstd -dc | cpio -t": command("sh", "-c", f"zstd -dc {initrd} | cpio -t --quiet")}
    lister = shutil.which("lsinitramfs")
    if lister is not None:
        found["lsinitramfs"] = command(lister, str(initrd))
    elif (_TREE / "usr/bin/lsinitramfs").exists():  # of the system in which the tests make initrds
        path = f"{_TREE / 'usr/bin'}:{os.environ.get('PATH', os.defpath)}"
        found["lsinitramfs"] = command("env", f"PATH={path}", "lsinitramfs", str(initrd))
    return found


def ratios() -> list[Ratio]:
    """`cmakeys image inspect` of a whole process against the fastest of them; none where zstd or cpio is missing."""
    if shutil.which("zstd") is None or shutil.which("cpio") is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        initrd = Path(folder) / "initrd"
        with initrd.open("wb") as file:
            data = filling(FILES, SIZE) + baked()
            subprocess.run(["zstd", "-q", "-c", "-3", "-T0"], input=data, stdout=file, check=True, timeout=300)
        del data
        others = listing(initrd)
        inspect = (sys.executable, "-m", "cmakeys", "image", "inspect", str(initrd))
        subprocess.run(inspect, check=True, capture_output=True, timeout=60)
        *times, ours = interleaved([*others.values(), command(*inspect)], ROUNDS)
        size = initrd.stat().st_size >> 20
    best = min(times)
    name = list(others)[times.index(best)]
    return [
        Ratio(f"cmakeys image inspect of {size} MiB against `{name}`, the faster of {len(times)}", ours, best, LIMIT)
    ]
