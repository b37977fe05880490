"""The log of signatures that the kernel keeps of a device: files of one number each, read and bounded.

The kernel logs what it received before it has verified it, and also when nothing could be verified, so that an entry is
there proves nothing; `cmakeys.evidence.kernel` is where it is proven. The log is pruned while it is read, its counter
wraps, and its link to a slot may point anywhere: an entry that is not whole says so (kernel-abi 4.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmakeys.devices.kernel import error_words
from cmakeys.devices.sysfs import Sysfs
from cmakeys.spdm.codes import NONCE_LENGTH
from cmakeys.spdm.signing import PREFIX_LENGTH

FOLDER = "signatures"
MAX_TRANSCRIPT = 2 * 1024 * 1024
"""Bytes: eight chains of 64 KiB, each read in portions of the smallest size, and room to spare."""

MAX_SIGNATURE = 0x10000
MAX_TEXT = 64

_NUMBERED = re.compile(r"(0|[1-9][0-9]{0,9})_signature", re.ASCII)
_COUNTER = 1 << 32
_LINK = re.compile(r"\.\./certificates/slot([0-7])", re.ASCII)
_PARTS = (
    ("signature", MAX_SIGNATURE),
    ("transcript", MAX_TRANSCRIPT),
    ("requester_nonce", NONCE_LENGTH),
    ("responder_nonce", NONCE_LENGTH),
    ("hash_algorithm", MAX_TEXT),
    ("combined_spdm_prefix", PREFIX_LENGTH),
    ("type", MAX_TEXT),
)


@dataclass(frozen=True, slots=True)
class LoggedSignature:
    """One entry as it stands in the log; nothing of it has been checked.

    `kind` and `hash_name` are the kernel's text for purpose and hash; `transcript` lacks the signature; `prefix` is
    empty before SPDM 1.2. `slot` is where the link to the chain points. `problems` say what is missing or too large.
    """

    number: int
    received_at: datetime
    signature: bytes = b""
    transcript: bytes = b""
    requester_nonce: bytes = b""
    responder_nonce: bytes = b""
    hash_name: str = ""
    prefix: bytes = b""
    kind: str = ""
    slot: int | None = None
    problems: tuple[str, ...] = ()


def read_log(sysfs: Sysfs, folder: Path, newest: int = 16) -> tuple[LoggedSignature, ...]:
    """The newest entries of the log of the function at `folder`, newest first; never raises for what is there.

    The number is a counter that wraps, so the order is that of the files' times, and by number only among equals.
    """
    log = folder / FOLDER
    try:
        names = sysfs.names(log)
    except OSError:
        return ()
    numbers = [int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match]
    dated = [(sysfs.changed_at(log / f"{number}_signature"), number) for number in numbers if number < _COUNTER]
    ordered = sorted(((when, number) for when, number in dated if when is not None), reverse=True)
    return tuple(_entry(sysfs, log, number, when) for when, number in ordered[:newest])


def _entry(sysfs: Sysfs, log: Path, number: int, when: float) -> LoggedSignature:
    found: dict[str, bytes] = {}
    problems: list[str] = []
    for part, limit in _PARTS:
        found[part] = b""
        try:
            data = sysfs.read(log / f"{number}_{part}", limit)
        except OSError as error:
            problems.append(f"{number}_{part} cannot be read: {error_words(error)}")
            continue
        if len(data) > limit:
            problems.append(f"{number}_{part} has more than {limit} bytes")
            continue
        found[part] = data
    link = _LINK.fullmatch(sysfs.link(log / f"{number}_certificate_chain") or "")
    if link is None:
        problems.append(f"{number}_certificate_chain is no link to a slot of this device")
    return LoggedSignature(
        number,
        datetime.fromtimestamp(when, UTC),
        found["signature"],
        found["transcript"],
        found["requester_nonce"],
        found["responder_nonce"],
        _text(found["hash_algorithm"]),
        found["combined_spdm_prefix"],
        _text(found["type"]),
        int(link[1]) if link else None,
        tuple(problems),
    )


def _text(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace").removesuffix("\n")
