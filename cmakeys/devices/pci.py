"""What a PCI function says it is: the registers that PCIe r6.1 §6.31.3 puts into a leaf certificate's name.

Read from configuration space itself, as Linux does for the same purpose, and never from what a driver or a file says.
"""

from __future__ import annotations

from cmakeys.transports.base import Transport
from cmakeys.transports.config_space import ConfigSpace, extended_capabilities, require_presence
from cmakeys.transports.doe_transport import DoeTransport
from cmakeys.transports.recording import RecordingTransport
from cmakeys.x509.identity import PciIdentity

SERIAL_NUMBER_CAPABILITY = 0x0003

_CLASS_AND_REVISION = 0x08
_HEADER_TYPE = 0x0C
_SUBSYSTEM = 0x2C


def read_identity(config: ConfigSpace) -> PciIdentity:
    """The identity of a function; `TransportClosed` when it does not answer."""
    first = require_presence(config)
    class_and_revision = config.read32(_CLASS_AND_REVISION)
    endpoint = config.read32(_HEADER_TYPE) >> 16 & 0x7F == 0
    subsystem = config.read32(_SUBSYSTEM) if endpoint else None
    return PciIdentity(
        vendor=first & 0xFFFF,
        device=first >> 16,
        class_code=class_and_revision >> 8,
        revision=class_and_revision & 0xFF,
        subsystem_vendor=None if subsystem is None else subsystem & 0xFFFF,
        subsystem_device=None if subsystem is None else subsystem >> 16,
        serial=_serial_number(config),
    )


def identity_behind(transport: Transport) -> PciIdentity | None:
    """The identity of the function behind a transport; None where there is no configuration space to look into."""
    if isinstance(transport, RecordingTransport):
        transport = transport.inner
    return read_identity(transport.config) if isinstance(transport, DoeTransport) else None


def _serial_number(config: ConfigSpace) -> int | None:
    for capability in extended_capabilities(config):
        if capability.id == SERIAL_NUMBER_CAPABILITY and capability.offset + 12 <= config.size:
            return config.read32(capability.offset + 8) << 32 | config.read32(capability.offset + 4)
    return None
