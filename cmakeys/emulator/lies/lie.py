"""The places at which a lie can act, in the order a response passes them.

`intercept` takes a request over entirely · `defer` puts it off with ResponseNotReady · `structure` changes a chain
before its digest is computed · `amend` changes a response value before it is signed and enters the transcript ·
`statement` and `signature` change what is signed and how · `encode` changes the octets before the transcript takes
them · `verify_data` changes the proof of the keys in a handshake · `transmit` changes what leaves, after the
transcript: what somebody in the middle would do · `record` changes the secured record that it leaves in.

So a lie told by `amend` is covered by a valid signature, and only a check of the field itself finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.messages.error import NotReady
from cmakeys.spdm.signing import Statement

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation


class Message(Protocol):
    """A response value of `cmakeys.spdm.messages`."""

    def push(self) -> bytes:
        """Encode."""
        ...


M = TypeVar("M", bound=Message)


class Lie:
    """An honest lie: every hook gives back what it was given. Subclasses override the ones they need."""

    def restarted(self) -> None:
        """A GET_VERSION began a new connection."""

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """The whole answer to `request`, empty for silence; None to let the device answer."""
        return None

    def defer(self, request: bytes, talk: Conversation) -> NotReady | None:
        """Put `request` off; asked again when RESPOND_IF_READY comes for it."""
        return None

    def structure(self, structure: bytes, function: HashFunction) -> bytes:
        """The chain structure as the slot holds it."""
        return structure

    def amend(self, message: M, talk: Conversation) -> M:
        """The response before it is signed."""
        return message

    def statement(self, statement: Statement) -> Statement:
        """What is signed."""
        return statement

    def signature(self, signature: bytes, statement: Statement) -> bytes:
        """The signature of `statement` as it is put into the message."""
        return signature

    def encode(self, octets: bytes, talk: Conversation) -> bytes:
        """The octets of a whole response before the transcript takes them."""
        return octets

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """The octets of one transport message as they leave; empty for silence."""
        return octets

    def verify_data(self, verify_data: bytes, talk: Conversation) -> bytes:
        """The responder's verify data of a handshake."""
        return verify_data

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """The record of one message of a session as it leaves."""
        return record


class Lies:
    """Any number of lies, told one after the other."""

    def __init__(self, lies: Sequence[Lie] = ()) -> None:
        self._lies = tuple(lies)

    def restarted(self) -> None:
        """Pass `Lie.restarted` on."""
        for lie in self._lies:
            lie.restarted()

    def intercept(self, request: bytes, talk: Conversation) -> bytes | None:
        """The first lie that wants the request answers it."""
        return next((answer for lie in self._lies if (answer := lie.intercept(request, talk)) is not None), None)

    def defer(self, request: bytes, talk: Conversation) -> NotReady | None:
        """The first lie that wants the request defers it."""
        return next((later for lie in self._lies if (later := lie.defer(request, talk)) is not None), None)

    def structure(self, structure: bytes, function: HashFunction) -> bytes:
        """Fold `Lie.structure`."""
        for lie in self._lies:
            structure = lie.structure(structure, function)
        return structure

    def amend(self, message: M, talk: Conversation) -> M:
        """Fold `Lie.amend`."""
        for lie in self._lies:
            message = lie.amend(message, talk)
        return message

    def statement(self, statement: Statement) -> Statement:
        """Fold `Lie.statement`."""
        for lie in self._lies:
            statement = lie.statement(statement)
        return statement

    def signature(self, signature: bytes, statement: Statement) -> bytes:
        """Fold `Lie.signature`."""
        for lie in self._lies:
            signature = lie.signature(signature, statement)
        return signature

    def encode(self, octets: bytes, talk: Conversation) -> bytes:
        """Fold `Lie.encode`."""
        for lie in self._lies:
            octets = lie.encode(octets, talk)
        return octets

    def transmit(self, octets: bytes, talk: Conversation) -> bytes:
        """Fold `Lie.transmit`."""
        for lie in self._lies:
            octets = lie.transmit(octets, talk)
        return octets

    def verify_data(self, verify_data: bytes, talk: Conversation) -> bytes:
        """Fold `Lie.verify_data`."""
        for lie in self._lies:
            verify_data = lie.verify_data(verify_data, talk)
        return verify_data

    def record(self, record: bytes, talk: Conversation) -> bytes:
        """Fold `Lie.record`."""
        for lie in self._lies:
            record = lie.record(record, talk)
        return record
