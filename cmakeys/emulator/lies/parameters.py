"""Lies in the opaque data of KEY_EXCHANGE_RSP, in which the version of secured messages is settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cmakeys.emulator.lies.fault import Fault
from cmakeys.emulator.lies.kinds import Amend
from cmakeys.emulator.lies.sessions import session_fault
from cmakeys.spdm.codes import MAX_OPAQUE_LENGTH
from cmakeys.spdm.messages.key_exchange import KeyExchangeResponse
from cmakeys.spdm.messages.opaque import (
    LAST_REGISTRY,
    REGISTRY_DMTF,
    OpaqueElement,
    SecuredVersion,
    push_elements,
    version_selection,
)

_CHOSEN = version_selection(SecuredVersion.V11)
_LIMIT_OF_RECORDS = OpaqueElement(REGISTRY_DMTF, bytes((1, 2, 65)))
_UNKNOWN = OpaqueElement(REGISTRY_DMTF, bytes((1, 9)))
_NOBODYS = OpaqueElement(LAST_REGISTRY + 1, b"data")


def _selecting(*versions: int) -> Callable[[KeyExchangeResponse], KeyExchangeResponse]:
    def change(message: KeyExchangeResponse) -> KeyExchangeResponse:
        elements = [replace(version_selection(SecuredVersion.V10), data=_selection(one)) for one in versions]
        return replace(message, opaque=push_elements(elements, message.version))

    return change


def _selection(version: int) -> bytes:
    return version_selection(SecuredVersion.V10).data[:-2] + bytes((0, version))


def _with_elements(*elements: OpaqueElement) -> Callable[[KeyExchangeResponse], KeyExchangeResponse]:
    return lambda message: replace(message, opaque=push_elements(elements, message.version))


def _parameters(name: str, description: str, change: Callable[[KeyExchangeResponse], KeyExchangeResponse]) -> Fault:
    return session_fault(11, name, description, lambda: Amend(KeyExchangeResponse, change))


FAULTS: tuple[Fault, ...] = (
    _parameters(
        "secured-version-unknown", "a version of secured messages is selected that there is not", _selecting(0x40)
    ),
    _parameters("secured-version-old", "the version selected was not offered", _selecting(0x0F)),
    _parameters("secured-version-twice", "two versions of secured messages are selected", _selecting(0x10, 0x11)),
    _parameters("secured-version-none", "no version of secured messages is selected", _selecting()),
    _parameters("exchange-without-opaque", "KEY_EXCHANGE_RSP has no opaque data", lambda m: replace(m, opaque=b"")),
    _parameters(
        "exchange-spoiled-opaque",
        "the opaque data does not hold what it counts",
        lambda m: replace(m, opaque=m.opaque + bytes(4)),
    ),
    _parameters(
        "exchange-oversize-opaque",
        "KEY_EXCHANGE_RSP carries 1025 bytes of opaque data",
        lambda m: replace(m, opaque=bytes(MAX_OPAQUE_LENGTH + 1)),
    ),
    _parameters(
        "opaque-of-nobody",
        "an element of the opaque data belongs to a registry that there is not",
        _with_elements(_CHOSEN, _NOBODYS),
    ),
    _parameters(
        "secured-element-unknown",
        "an element about secured messages is of an unknown kind",
        _with_elements(_CHOSEN, _UNKNOWN),
    ),
    _parameters(
        "record-limit-too-large",
        "the device takes more records under one key than can be counted",
        _with_elements(_CHOSEN, _LIMIT_OF_RECORDS),
    ),
)
