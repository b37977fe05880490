"""Reading and writing message bytes: the one place where a short read becomes an error.

All SPDM integers are little-endian. A `Reader` never allocates more than it was given and remembers the name of the
message, so that every decoding error says which message, which field and at which offset.
"""

from __future__ import annotations

from cmakeys.errors import EvidenceProblem


class WireError(EvidenceProblem):
    """A message that is too short, too long or whose fields contradict each other."""

    code = "wire"


class Reader:
    """A cursor over one message."""

    __slots__ = ("_data", "name", "offset")

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self.name = name
        self.offset = 0

    def fail(self, message: str) -> WireError:
        """An error of this message; the caller raises it."""
        return WireError(f"{message} (at byte {self.offset})", object=self.name)

    def take(self, count: int, field: str) -> bytes:
        """The next `count` bytes. Raises `WireError` when fewer remain."""
        end = self.offset + count
        if end > len(self._data):
            raise self.fail(f"{field} needs {count} bytes, {len(self._data) - self.offset} remain")
        chunk = self._data[self.offset : end]
        self.offset = end
        return chunk

    def uint(self, size: int, field: str) -> int:
        """The next `size` bytes as an unsigned little-endian integer."""
        return int.from_bytes(self.take(size, field), "little")

    def u8(self, field: str) -> int:
        """One byte."""
        return self.take(1, field)[0]

    def u16(self, field: str) -> int:
        """Two bytes, little-endian."""
        return self.uint(2, field)

    def u32(self, field: str) -> int:
        """Four bytes, little-endian."""
        return self.uint(4, field)

    @property
    def whole(self) -> bytes:
        """All bytes, wherever the cursor is."""
        return self._data

    def consumed(self) -> bytes:
        """Everything read so far: the message at its true length once its codec is done."""
        return self._data[: self.offset]

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.offset


def le(value: int, size: int) -> bytes:
    """`value` as `size` little-endian bytes."""
    return value.to_bytes(size, "little")
