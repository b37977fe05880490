"""CBOR from a file that anybody may have written: bounded, without the tags that nothing here needs, and never guessed.

cbor2 decodes; this module says within which bounds, and turns every one of its complaints into one clean error. The
size bounds the number of items, the depth the recursion. Indefinite lengths are refused, as the draft's examples have
none and a signed document needs none; so is a map in which a key occurs twice, which two readers would read otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import NoReturn

from cmakeys.errors import EvidenceProblem, Unsupported

MAX_SIZE = 4 * 1024 * 1024
MAX_DEPTH = 24
MAX_ITEMS = 4096
"""Members of one array or map."""

MAX_TEXT = 1024

_REFUSED_TAGS = (0, 4, 5, 25, 28, 29, 30, 35, 36, 100, 256, 258, 260, 261, 1004, 43000)
"""Tags that cbor2 would act on (shared references, regular expressions, addresses…); a CoRIM has no use for them."""


class CorimProblem(EvidenceProblem):
    """A CoRIM that cannot be read, or whose signature or validity does not hold."""

    code = "corim"


def decode(data: bytes, source: str) -> object:
    """One CBOR item that is the whole of `data`. Raises `CorimProblem`, or `Unsupported` without cbor2."""
    try:
        import cbor2
    except ImportError:
        raise Unsupported(
            "reading a CoRIM needs the Python package cbor2", object=source, hint="pip install 'cmakeys[corim]'"
        ) from None
    if not data or len(data) > MAX_SIZE:
        raise CorimProblem(f"{len(data)} bytes; 1 to {MAX_SIZE} are read", object=source)
    octets_left = BytesIO(data)
    try:
        value: object = cbor2.load(
            octets_left,
            semantic_decoders=dict.fromkeys(_REFUSED_TAGS, _refuse),
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise CorimProblem(f"not CBOR as a CoRIM has it: {_told(error)}", object=source) from None
    rest = len(data) - octets_left.tell()
    if rest:
        raise CorimProblem(f"{rest} bytes follow its end", object=source)
    return value


def _refuse(*_: object) -> NoReturn:
    raise ValueError("a tag that no CoRIM needs")


def _told(error: BaseException) -> str:
    text = str(error.__cause__ or error)
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:160]


def tagged(value: object) -> tuple[int, object] | None:
    """Tag and content; None for anything without a tag that was left as it was."""
    tag, content = getattr(value, "tag", None), getattr(value, "value", None)
    return (tag, content) if isinstance(tag, int) and type(value).__name__ == "CBORTag" else None


def mapping(value: object, source: str) -> Mapping[object, object]:
    """A map with whole numbers and text for keys. Raises `CorimProblem`, as all below.

    Python takes true and 1.0 for the key 1, and not-a-number for another key each time.
    """
    if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
        raise CorimProblem(f"a map of at most {MAX_ITEMS} members is expected", object=source)
    if any(isinstance(key, bool) or not isinstance(key, int | str) for key in value):
        raise CorimProblem("a map has a key that is neither a whole number nor text", object=source)
    return value


def array(value: object, source: str) -> Sequence[object]:
    """An array that is not empty."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_ITEMS:
        raise CorimProblem(f"an array of 1 to {MAX_ITEMS} members is expected", object=source)
    return value


def octets(value: object, source: str) -> bytes:
    """A byte string."""
    if not isinstance(value, bytes):
        raise CorimProblem("a byte string is expected", object=source)
    return value


def text(value: object, source: str) -> str:
    """Printable text."""
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT or not value.isprintable():
        raise CorimProblem(f"printable text of 1 to {MAX_TEXT} characters is expected", object=source)
    return value


def number(value: object, source: str, maximum: int = (1 << 64) - 1) -> int:
    """A number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise CorimProblem("a number from 0 that fits its field is expected", object=source)
    return value


def moment(value: object, source: str) -> datetime:
    """A time: tag 1, or a plain number of seconds as in CWT."""
    try:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise CorimProblem("a time is expected", object=source)
