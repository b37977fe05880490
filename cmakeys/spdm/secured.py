"""Secured messages (DSP0277, reference §6): one record in, one message out, for each transport that carries them.

| field | bytes | |
| --- | --- | --- |
| SessionID | 4 | ReqSessionID, RspSessionID |
| SequenceNumber | 2 on MCTP, else 0 | low bits of the record counter |
| Length | 2 | everything that follows |
| ciphertext, or plain text in a MAC-only session | Length - 16 | |
| MAC | 16 | over the header, and over the text if it is plain |

The ciphertext is ApplicationDataLength u16, the application data, and padding of the sender's choice. The nonce is the
IV with the record counter XORed into its first eight bytes, little-endian; the counter begins at 0 with each key and
is never given back, whatever becomes of a record. A record that does not authenticate ends the session: the caller
drops the `Opener`, which refuses to go on.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm.algorithms import Aead
from cmakeys.spdm.schedule import TrafficKeys
from cmakeys.spdm.wire import Reader, le

SUPPORTED_AEAD = Aead.AES_128_GCM | Aead.AES_256_GCM | Aead.CHACHA20_POLY1305
MAC_LENGTH = 16
NONCE_LENGTH = 12
SESSION_ID_LENGTH = 4
MAX_LENGTH = 0xFFFF
"""The largest value of a record's Length."""
MAX_APPLICATION = MAX_LENGTH - 64
"""Bytes of the most application data that fits a record with all that is added to it."""

_DESCRIPTOR = struct.Struct("<B3xxBBxII4x")
"""NumDescriptors u8, reserved 3, then one descriptor: reserved, type, status, reserved, length, offset, reserved 4."""
_SPDM_DESCRIPTOR = 4
_DATA_OFFSET = 16 + _DESCRIPTOR.size
"""Counted from the four reserved bytes before the record: they, SessionID, SequenceNumber and two lengths precede."""

_MAX_COUNTER = (1 << 64) - 1
_CIPHERS: dict[Aead, Callable[[bytes], AESGCM | ChaCha20Poly1305]] = {
    Aead.AES_128_GCM: AESGCM,
    Aead.AES_256_GCM: AESGCM,
    Aead.CHACHA20_POLY1305: ChaCha20Poly1305,
}


class RecordProblem(EvidenceProblem):
    """A record that does not belong to the session or does not authenticate; the session is over."""

    code = "secured-message"


class KeyExhausted(RuntimeError):
    """As many records as the key allows were sent: the key should have been updated before."""


class RecordTooLarge(RuntimeError):
    """A message that does not fit a record: it should have been chunked."""


class SessionType(Enum):
    """What records are protected by: the intersection of both sides' ENCRYPT_CAP and MAC_CAP."""

    ENCRYPTED = "encrypted"
    MAC_ONLY = "MAC only"


class Binding(Enum):
    """The transports whose form of records this is."""

    MCTP = "MCTP"
    PCI_DOE = "PCI DOE"
    TCP = "TCP"
    STORAGE = "storage"

    @property
    def sequence_length(self) -> int:
        """Bytes of SequenceNumber."""
        return 2 if self in (Binding.MCTP, Binding.STORAGE) else 0

    @property
    def max_padding(self) -> int:
        """Most bytes of padding that we send; 32 as the reference implementation, where records have any."""
        return 32 if self is Binding.MCTP else 0

    def wrap(self, message: bytes) -> bytes:
        """The application data that carries an SPDM message."""
        if self is Binding.MCTP:
            return b"\x05" + message
        if self is Binding.TCP:
            return le(len(message) + 2, 2) + b"\x01\x05" + message
        if self is Binding.STORAGE:
            return _DESCRIPTOR.pack(1, _SPDM_DESCRIPTOR, 0, len(message), _DATA_OFFSET) + message
        return message

    def unwrap(self, application: bytes) -> bytes:
        """The SPDM message in the application data. Raises `WireError` where it is something else."""
        if self is Binding.PCI_DOE:
            return application
        reader = Reader(application, "application data")
        if self is Binding.STORAGE:
            return _unwrap_storage(reader)
        if self is Binding.TCP:
            length = reader.u16("PayloadLength")
            reader.take(1, "BindingVersion")
            if length != reader.remaining + 1:
                raise reader.fail(f"the inner TCP header counts {length} bytes, {reader.remaining + 1} follow")
        kind = reader.u8("message type")
        if kind != 0x05:
            raise reader.fail(f"message type {kind:#04x} where an SPDM message is expected")
        return reader.take(reader.remaining, "message")


def _unwrap_storage(reader: Reader) -> bytes:
    """The one descriptor that we and libspdm use, and the message it points at (DSP0286; reference §9.4)."""
    head = reader.take(_DESCRIPTOR.size, "descriptor")
    count, kind, status, length, offset = _DESCRIPTOR.unpack(head)
    if count != 1 or kind != _SPDM_DESCRIPTOR:
        raise reader.fail(f"{count} descriptors, the first of type {kind}, where one of SPDM is expected")
    if status:
        raise reader.fail(f"the device reports status {status:#04x} instead of an answer")
    if offset != _DATA_OFFSET:
        raise reader.fail(f"the message is said to begin at {offset}, not at {_DATA_OFFSET}")
    return reader.take(length, "message")


@dataclass(frozen=True, slots=True)
class Opened:
    """A record's content: the application data, and the padding that came with it."""

    application: bytes
    padding: bytes


@dataclass(frozen=True, slots=True)
class Channel:
    """What all records of a session have in common."""

    session_id: int
    binding: Binding
    aead: Aead
    kind: SessionType = SessionType.ENCRYPTED
    limit_exponent: int = 64

    @property
    def record_limit(self) -> int:
        """Records allowed for each key."""
        return min(1 << self.limit_exponent, _MAX_COUNTER)


class _Direction:
    """The cipher and the record counter of one direction under one key. What does not change is worked out once."""

    def __init__(self, channel: Channel, keys: TrafficKeys) -> None:
        self.channel = channel
        self.counter = 0
        self._cipher: AESGCM | ChaCha20Poly1305 | None = _CIPHERS[channel.aead](keys.key)
        self._iv = int.from_bytes(keys.iv, "little")
        """As a number, whose low 64 bits are where the counter belongs."""
        self._encrypts = channel.kind is SessionType.ENCRYPTED
        self._limit = channel.record_limit
        self._session_id = le(channel.session_id, SESSION_ID_LENGTH)
        self._sequence_length = channel.binding.sequence_length
        self._sequence_mask = (1 << 8 * self._sequence_length) - 1

    def close(self) -> None:
        """Forget the key."""
        self._cipher = None
        self._iv = 0

    def _start(self) -> bytes:
        """SessionID and SequenceNumber of the record that is due."""
        if not self._sequence_length:
            return self._session_id
        return self._session_id + (self.counter & self._sequence_mask).to_bytes(self._sequence_length, "little")


class Sealer(_Direction):
    """Makes records. `entropy(n)` gives n random bytes for padding; how much is drawn from it as well."""

    def __init__(
        self, channel: Channel, keys: TrafficKeys, entropy: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        super().__init__(channel, keys)
        self._entropy = entropy
        self._max_padding = channel.binding.max_padding

    def padding(self) -> bytes:
        """Random bytes of a random length, where the transport's binding has any: lengths then say less."""
        most = self._max_padding
        return self._entropy(1 + self._entropy(1)[0] % most) if most else b""

    def seal(self, application: bytes, padding: bytes | None = None) -> bytes:
        """The record of application data, see `Binding.wrap`; `padding` is drawn when it is not given.

        Raises `KeyExhausted` and `RecordTooLarge`, which are this program's own mistakes.
        """
        cipher, counter = self._cipher, self.counter
        if cipher is None or counter >= self._limit:
            raise KeyExhausted("the key is used up or forgotten")
        text = application
        size = len(text)
        if size > MAX_APPLICATION:
            raise RecordTooLarge(f"{size} bytes do not fit a record")
        if self._encrypts:
            if padding is None:
                padding = self.padding() if self._max_padding else b""
            text = size.to_bytes(2, "little") + text + padding
        header = self._start() + (len(text) + MAC_LENGTH).to_bytes(2, "little")
        self.counter = counter + 1
        nonce = (self._iv ^ counter).to_bytes(NONCE_LENGTH, "little")
        if self._encrypts:
            return header + cipher.encrypt(nonce, text, header)
        plain = header + text
        return plain + cipher.encrypt(nonce, b"", plain)


class Opener(_Direction):
    """Takes records apart; after the first one that fails it takes none."""

    def open(self, record: bytes) -> Opened:
        """What a record holds; a transport's padding after it is left alone.

        Raises `RecordProblem` for a record of another session, out of sequence, or that does not authenticate; in
        that order, and before anything of its content is looked at.
        """
        text, start, end = self._open(record)
        return Opened(text[start:end], text[end:])

    def application(self, record: bytes) -> bytes:
        """The application data alone. Raises as `open`."""
        text, start, end = self._open(record)
        return text[start:end]

    def _open(self, record: bytes) -> tuple[bytes, int, int]:
        """The text of a record, and from where to where in it the application data lies."""
        cipher, counter = self._cipher, self.counter
        if cipher is None:
            raise self._over("the session has ended")
        if counter >= self._limit:
            raise self._over("more records under one key than were agreed")
        start = self._start()
        body_at = len(start) + 2
        length = len(record) - body_at
        # Most records fill what they came in: their header is then known, and need not be read.
        header = start + (length & MAX_LENGTH).to_bytes(2, "little")
        if not MAC_LENGTH <= length <= MAX_LENGTH or not record.startswith(header):
            header, length = self._read_header(record, start)
        self.counter = counter + 1
        nonce = (self._iv ^ counter).to_bytes(NONCE_LENGTH, "little")
        body = record[body_at : body_at + length]
        try:
            if not self._encrypts:
                text = body[:-MAC_LENGTH]
                cipher.decrypt(nonce, body[-MAC_LENGTH:], header + text)
                return text, 0, len(text)
            text = cipher.decrypt(nonce, body, header)
        except InvalidTag as error:
            raise self._over(
                "the MAC of a record does not verify",
                "the record was changed on its way, or the two sides do not have the same keys",
            ) from error
        end = 2 + int.from_bytes(text[:2], "little")
        if len(text) < end:
            raise self._over(f"application data of {end - 2} bytes in a record that holds {len(text)}")
        return text, 2, end

    def _read_header(self, record: bytes, start: bytes) -> tuple[bytes, int]:
        """The header as it stands in a record, and the Length in it, of which there are as many bytes."""
        if not record.startswith(start):
            raise self._foreign(record, start)
        header = record[: len(start) + 2]
        length = int.from_bytes(header[len(start) :], "little")
        if len(header) < len(start) + 2 or len(record) < len(header) + length:
            raise self._over(f"a record of {len(record)} bytes is cut short")
        if length < MAC_LENGTH:
            raise self._over(f"Length {length} has no room for the MAC")
        return header, length

    def _foreign(self, record: bytes, start: bytes) -> RecordProblem:
        """Why a record that does not begin with `start` is not the one that is due."""
        if len(record) < len(start):
            return self._over(f"a record of {len(record)} bytes is cut short")
        if not record.startswith(self._session_id):
            return self._over(f"a record of session {record[3::-1].hex()}, not of {self._session_id[::-1].hex()}")
        return self._over(f"record {record[5:3:-1].hex()} where {start[5:3:-1].hex()} is due")

    def _over(self, message: str, hint: str = "") -> RecordProblem:
        """The problem that ends the session: the key is forgotten."""
        self.close()
        return RecordProblem(message, object="secured message", hint=hint)
