"""The common kinds of lie, each made from one function, so that most faults are one line of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from cmakeys.emulator.lies.lie import Lie, M, Message
from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.codes import ErrorCode, RequestCode, ResponseCode
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.signing import Context, Statement

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

K = TypeVar("K", bound=Message)


class Amend(Lie, Generic[K]):
    """Changes every response of one kind before it is signed."""

    def __init__(self, kind: type[K], change: Callable[[K], K]) -> None:
        self._kind = kind
        self._change = change

    def amend(self, message: M, talk: Conversation) -> M:
        """Change it if it is of our kind."""
        return cast(M, self._change(message)) if isinstance(message, self._kind) else message


class Encode(Lie):
    """Changes the octets of every response of one code; both sides hash the changed ones."""

    def __init__(self, code: ResponseCode, change: Callable[[bytes], bytes]) -> None:
        self._code = code
        self._change = change

    def encode(self, octets: bytes, talk: Conversation) -> bytes:
        """Change them if the code is ours."""
        return self._change(octets) if octets[1] == self._code else octets


class Transmit(Lie):
    """Changes the octets on their way: the device's transcript keeps the original."""

    def __init__(self, code: ResponseCode, change: Callable[[bytes], bytes]) -> None:
        self._code = code
        self._change = change

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """Change them if the code is ours."""
        return self._change(octets) if octets[1:2] == bytes((self._code,)) else octets


class Structure(Lie):
    """Changes the chain structure before its digest is computed."""

    def __init__(self, change: Callable[[bytes, HashFunction], bytes]) -> None:
        self._change = change

    def structure(self, structure: bytes, function: HashFunction) -> bytes:
        """Change it."""
        return self._change(structure, function)


class Sign(Lie):
    """Signs something else than it should, in one context."""

    def __init__(self, context: Context, change: Callable[[Statement], Statement]) -> None:
        self._context = context
        self._change = change

    def statement(self, statement: Statement) -> Statement:
        """Change what is signed."""
        return self._change(statement) if statement.context == self._context else statement


class Spoil(Lie):
    """Changes the finished signature, in one context."""

    def __init__(self, context: Context, change: Callable[[bytes], bytes]) -> None:
        self._context = context
        self._change = change

    def signature(self, signature: bytes, statement: Statement) -> bytes:
        """Change the signature."""
        return self._change(signature) if statement.context == self._context else signature


class Refuse(Lie):
    """Answers requests of some codes with an ERROR, `times` times in a connection (None: always)."""

    def __init__(
        self, error: ErrorCode, codes: frozenset[RequestCode], *, times: int | None = None, extended: bytes = b""
    ) -> None:
        self._error = error
        self._codes = codes
        self._times = times
        self._extended = extended
        self._told = 0

    def restarted(self) -> None:
        """Count anew in every connection."""
        self._told = 0

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """Answer with the ERROR."""
        if request[1] not in self._codes or (self._times is not None and self._told >= self._times):
            return None
        self._told += 1
        return ErrorResponse(talk.negotiated_version(), self._error, 0, self._extended).push()


def flip_last_bit(octets: bytes) -> bytes:
    """The same octets with the lowest bit of the last byte flipped."""
    return octets[:-1] + bytes((octets[-1] ^ 1,))


def flip_bit_at(offset: int) -> Callable[[bytes], bytes]:
    """A change that flips the lowest bit of the byte at `offset`, where there is one."""

    def flip(octets: bytes) -> bytes:
        if offset >= len(octets):
            return octets
        return octets[:offset] + bytes((octets[offset] ^ 1,)) + octets[offset + 1 :]

    return flip


def cut_last_byte(octets: bytes) -> bytes:
    """The same octets without the last one."""
    return octets[:-1]
