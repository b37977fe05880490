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
        self._iv_low, self._iv_high = int.from_bytes(keys.iv[:8], "little"), keys.iv[8:]
        self._encrypts = channel.kind is SessionType.ENCRYPTED
        self._limit = channel.record_limit
        self._session_id = le(channel.session_id, SESSION_ID_LENGTH)
        self._sequence_length = channel.binding.sequence_length
        self._sequence_mask = (1 << 8 * self._sequence_length) - 1

    def close(self) -> None:
        """Forget the key."""
        self._cipher = None
        self._iv_low, self._iv_high = 0, b""

    def _nonce(self) -> bytes:
        return (self._iv_low ^ self.counter).to_bytes(8, "little") + self._iv_high

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
        if self._cipher is None or self.counter >= self._limit:
            raise KeyExhausted("the key is used up or forgotten")
        if len(application) > MAX_APPLICATION:
            raise RecordTooLarge(f"{len(application)} bytes do not fit a record")
        text = application
        if self._encrypts:
            text = len(text).to_bytes(2, "little") + text + (self.padding() if padding is None else padding)
        header = self._start() + (len(text) + MAC_LENGTH).to_bytes(2, "little")
        nonce = self._nonce()
        self.counter += 1
        if self._encrypts:
            return header + self._cipher.encrypt(nonce, text, header)
        return header + text + self._cipher.encrypt(nonce, b"", header + text)


class Opener(_Direction):
    """Takes records apart; after the first one that fails it takes none."""

    def open(self, record: bytes) -> Opened:
        """What a record holds; a transport's padding after it is left alone.

        Raises `RecordProblem` for a record of another session, out of sequence, or that does not authenticate; in
        that order, and before anything of its content is looked at.
        """
        try:
            return self._open(record)
        except RecordProblem:
            self.close()
            raise

    def _open(self, record: bytes) -> Opened:
        if self._cipher is None:
            raise _problem("the session has ended")
        if self.counter >= self._limit:
            raise _problem("more records under one key than were agreed")
        start = self._start()
        size = len(start)
        if not record.startswith(start):
            raise self._foreign(record)
        body_at = size + 2
        header = record[:body_at]
        length = int.from_bytes(header[size:], "little")
        body = record[body_at : body_at + length]
        if len(header) < body_at or len(body) < length:
            raise _problem(f"a record of {len(record)} bytes is cut short")
        if length < MAC_LENGTH:
            raise _problem(f"Length {length} has no room for the MAC")
        nonce = self._nonce()
        self.counter += 1
        text = self._authenticate(self._cipher, nonce, header, body)
        if not self._encrypts:
            return Opened(text, b"")
        end = 2 + int.from_bytes(text[:2], "little")
        if len(text) < end:
            raise _problem(f"application data of {end - 2} bytes in a record that holds {len(text)}")
        return Opened(text[2:end], text[end:])

    def _foreign(self, record: bytes) -> RecordProblem:
        """Why a record that begins otherwise is not the one that is due."""
        start = self._start()
        if len(record) < len(start):
            return _problem(f"a record of {len(record)} bytes is cut short")
        if not record.startswith(self._session_id):
            return _problem(f"a record of session {record[3::-1].hex()}, not of {self._session_id[::-1].hex()}")
        return _problem(f"record {record[5:3:-1].hex()} where {start[5:3:-1].hex()} is due")

    def _authenticate(self, cipher: AESGCM | ChaCha20Poly1305, nonce: bytes, header: bytes, body: bytes) -> bytes:
        """The text of a record; the library compares the MAC in constant time."""
        try:
            if self._encrypts:
                return cipher.decrypt(nonce, body, header)
            text = body[:-MAC_LENGTH]
            cipher.decrypt(nonce, body[-MAC_LENGTH:], header + text)
        except InvalidTag as error:
            raise _problem(
                "the MAC of a record does not verify",
                "the record was changed on its way, or the two sides do not have the same keys",
            ) from error
        return text


def _problem(message: str, hint: str = "") -> RecordProblem:
    return RecordProblem(message, object="secured message", hint=hint)
