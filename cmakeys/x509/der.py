"""The outermost layer of DER: one tag, one length, one value, with its place.

The library parses certificates; it does not say *where* in a file the second of three begins, or how many bytes of
rubbish follow the last. That is all this module is for. Only what DER allows is read: one-byte tags, definite lengths
of at most four bytes in their shortest form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SEQUENCE = 0x30
OBJECT_IDENTIFIER = 0x06


class DerError(ValueError):
    """The bytes at `offset` are not DER."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Element:
    """One DER element inside a larger buffer.

    `start` is where its tag is, `content` where its value begins, `end` the first byte after it.
    """

    tag: int
    start: int
    content: int
    end: int


def read_element(data: bytes, offset: int, end: int | None = None) -> Element:
    """Read the header of the element at `offset`; nothing at or after `end` belongs to it.

    Raises `DerError` for a header that DER forbids or an element that does not fit.
    """
    limit = len(data) if end is None else end
    if offset >= limit:
        raise DerError("nothing here where an element should begin", offset)
    tag = data[offset]
    if tag & 0x1F == 0x1F:
        raise DerError(f"tag 0x{tag:02x} of more than one byte", offset)
    if offset + 2 > limit:
        raise DerError("cut off before the length", offset)
    length = data[offset + 1]
    content = offset + 2
    if length == 0x80:
        raise DerError("indefinite length (BER), DER is needed", offset)
    if length > 0x80:
        size = length & 0x7F
        if size > 4:
            raise DerError(f"length field of {size} bytes", offset)
        if content + size > limit:
            raise DerError("cut off inside the length", offset)
        length = int.from_bytes(data[content : content + size], "big")
        if length < 0x80 or length >> (8 * (size - 1)) == 0:
            raise DerError("length is not in its shortest form", offset)
        content += size
    if content + length > limit:
        raise DerError(f"needs {content + length - offset} bytes, {limit - offset} are left", offset)
    return Element(tag, offset, content, content + length)


def elements(data: bytes, offset: int, end: int) -> Iterator[Element]:
    """Read the elements that lie one after the other from `offset` to exactly `end`.

    Raises `DerError` as soon as one of them is not DER.
    """
    while offset < end:
        element = read_element(data, offset, end)
        yield element
        offset = element.end
