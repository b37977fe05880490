"""The closed sets of SPDM: versions, message codes, error codes and capability flags, with the specification's names.

Numbers are those of DSP0274; the reference's chapter is given at each set. Nothing here computes.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Version(IntEnum):
    """The version byte of a message: high nibble major, low nibble minor."""

    V10 = 0x10
    V11 = 0x11
    V12 = 0x12
    V13 = 0x13
    V14 = 0x14

    @property
    def minor(self) -> int:
        """The minor number, 0 to 4."""
        return self.value & 0x0F

    def __str__(self) -> str:
        return f"1.{self.minor}"


class RequestCode(IntEnum):
    """Request codes; bit 7 is set in each."""

    GET_DIGESTS = 0x81
    GET_CERTIFICATE = 0x82
    CHALLENGE = 0x83
    GET_VERSION = 0x84
    CHUNK_SEND = 0x85
    CHUNK_GET = 0x86
    GET_ENDPOINT_INFO = 0x87
    SLOT_MANAGEMENT = 0x88
    GET_MEASUREMENTS = 0xE0
    GET_CAPABILITIES = 0xE1
    GET_SUPPORTED_EVENT_TYPES = 0xE2
    NEGOTIATE_ALGORITHMS = 0xE3
    KEY_EXCHANGE = 0xE4
    FINISH = 0xE5
    PSK_EXCHANGE = 0xE6
    PSK_FINISH = 0xE7
    HEARTBEAT = 0xE8
    KEY_UPDATE = 0xE9
    GET_ENCAPSULATED_REQUEST = 0xEA
    DELIVER_ENCAPSULATED_RESPONSE = 0xEB
    END_SESSION = 0xEC
    GET_CSR = 0xED
    SET_CERTIFICATE = 0xEE
    GET_MEASUREMENT_EXTENSION_LOG = 0xEF
    SUBSCRIBE_EVENT_TYPES = 0xF0
    SEND_EVENT = 0xF1
    GET_KEY_PAIR_INFO = 0xFC
    SET_KEY_PAIR_INFO = 0xFD
    VENDOR_DEFINED_REQUEST = 0xFE
    RESPOND_IF_READY = 0xFF


class ResponseCode(IntEnum):
    """Response codes: the request's code with bit 7 cleared, and ERROR."""

    DIGESTS = 0x01
    CERTIFICATE = 0x02
    CHALLENGE_AUTH = 0x03
    VERSION = 0x04
    CHUNK_SEND_ACK = 0x05
    CHUNK_RESPONSE = 0x06
    ENDPOINT_INFO = 0x07
    MEASUREMENTS = 0x60
    CAPABILITIES = 0x61
    SUPPORTED_EVENT_TYPES = 0x62
    ALGORITHMS = 0x63
    KEY_EXCHANGE_RSP = 0x64
    FINISH_RSP = 0x65
    PSK_EXCHANGE_RSP = 0x66
    PSK_FINISH_RSP = 0x67
    HEARTBEAT_ACK = 0x68
    KEY_UPDATE_ACK = 0x69
    ENCAPSULATED_REQUEST = 0x6A
    ENCAPSULATED_RESPONSE_ACK = 0x6B
    END_SESSION_ACK = 0x6C
    CSR = 0x6D
    SET_CERTIFICATE_RSP = 0x6E
    MEASUREMENT_EXTENSION_LOG = 0x6F
    SUBSCRIBE_EVENT_TYPES_ACK = 0x70
    EVENT_ACK = 0x71
    KEY_PAIR_INFO = 0x7C
    SET_KEY_PAIR_INFO_ACK = 0x7D
    VENDOR_DEFINED_RESPONSE = 0x7E
    ERROR = 0x7F


class ErrorCode(IntEnum):
    """Param1 of an ERROR message (reference §1.3)."""

    INVALID_REQUEST = 0x01
    BUSY = 0x03
    UNEXPECTED_REQUEST = 0x04
    UNSPECIFIED = 0x05
    DECRYPT_ERROR = 0x06
    UNSUPPORTED_REQUEST = 0x07
    REQUEST_IN_FLIGHT = 0x08
    INVALID_RESPONSE_CODE = 0x09
    SESSION_LIMIT_EXCEEDED = 0x0A
    SESSION_REQUIRED = 0x0B
    RESET_REQUIRED = 0x0C
    RESPONSE_TOO_LARGE = 0x0D
    REQUEST_TOO_LARGE = 0x0E
    LARGE_RESPONSE = 0x0F
    MESSAGE_LOST = 0x10
    INVALID_POLICY = 0x11
    DATA_TOO_LARGE = 0x12
    VERSION_MISMATCH = 0x41
    RESPONSE_NOT_READY = 0x42
    REQUEST_RESYNCH = 0x43
    OPERATION_FAILED = 0x44
    NO_PENDING_REQUESTS = 0x45
    REQUEST_SESSION_TERMINATED = 0x46
    INVALID_STATE = 0x47
    VENDOR_DEFINED_ERROR = 0xFF


class Capability(IntFlag):
    """Flags of GET_CAPABILITIES and CAPABILITIES (§2.2.1); two-bit fields are given by each of their values."""

    CACHE = 0x00000001
    CERT = 0x00000002
    CHAL = 0x00000004
    MEAS_UNSIGNED = 0x00000008
    MEAS_SIGNED = 0x00000010
    MEAS_FRESH = 0x00000020
    ENCRYPT = 0x00000040
    MAC = 0x00000080
    MUT_AUTH = 0x00000100
    KEY_EX = 0x00000200
    PSK = 0x00000400
    PSK_WITH_CONTEXT = 0x00000800
    ENCAP = 0x00001000
    HBEAT = 0x00002000
    KEY_UPD = 0x00004000
    HANDSHAKE_IN_THE_CLEAR = 0x00008000
    PUB_KEY_ID = 0x00010000
    CHUNK = 0x00020000
    ALIAS_CERT = 0x00040000
    SET_CERT = 0x00080000
    CSR = 0x00100000
    CERT_INSTALL_RESET = 0x00200000
    EP_INFO_UNSIGNED = 0x00400000
    EP_INFO_SIGNED = 0x00800000
    MEL = 0x01000000
    EVENT = 0x02000000
    MULTI_KEY_ONLY = 0x04000000
    MULTI_KEY_NEGOTIABLE = 0x08000000
    GET_KEY_PAIR_INFO = 0x10000000
    SET_KEY_PAIR_INFO = 0x20000000
    SET_KEY_PAIR_RESET = 0x40000000
    LARGE_RESP = 0x80000000


REQUESTER_FLAGS: dict[Version, int] = {
    Version.V10: 0,
    Version.V11: 0x0001FFC6,
    Version.V12: 0x0003FFC6,
    Version.V13: 0x0EC3FFC6,
    Version.V14: 0x8EC3FFC6,
}
"""The flags that a requester may set in each version; anything else is masked out before it is interpreted."""

RESPONDER_FLAGS: dict[Version, int] = {
    Version.V10: 0x0000003F,
    Version.V11: 0x0001FFFF,
    Version.V12: 0x003FFFFF,
    Version.V13: 0x3FFFFFFF,
    Version.V14: 0xFFFFFFFF,
}
"""The flags that have a meaning in a responder's CAPABILITIES of each version."""


class MeasurementOperation(IntEnum):
    """Param2 of GET_MEASUREMENTS when it is not an index."""

    COUNT = 0x00
    ALL = 0xFF


class SummaryHash(IntEnum):
    """Measurement summary hash type asked for in CHALLENGE."""

    NONE = 0x00
    TCB = 0x01
    ALL = 0xFF


class MutualAuthentication(IntEnum):
    """MutAuthRequested of KEY_EXCHANGE_RSP; any other value is illegal (reference §5.1)."""

    NONE = 0
    REQUESTED = 1
    ENCAPSULATED = 2
    IMPLICIT_DIGESTS = 4


class KeyOperation(IntEnum):
    """Param1 of KEY_UPDATE (reference §5.8)."""

    UPDATE_KEY = 1
    UPDATE_ALL_KEYS = 2
    VERIFY_NEW_KEY = 3


class CertificateModel(IntEnum):
    """CertificateInfo of a slot, since 1.3 on multi-key connections (reference §3.1)."""

    NONE = 0
    DEVICE = 1
    ALIAS = 2
    GENERIC = 3


class KeyUsage(IntFlag):
    """KeyUsageMask of a slot, since 1.3 on multi-key connections."""

    KEY_EXCHANGE = 0x0001
    CHALLENGE = 0x0002
    MEASUREMENTS = 0x0004
    ENDPOINT_INFO = 0x0008
    STANDARDS_DEFINED = 0x4000
    VENDOR_DEFINED = 0x8000


class MeasurementType(IntEnum):
    """DMTFSpecMeasurementValueType bits 6:0 (reference §4.2)."""

    IMMUTABLE_ROM = 0
    MUTABLE_FIRMWARE = 1
    HARDWARE_CONFIGURATION = 2
    FIRMWARE_CONFIGURATION = 3
    MEASUREMENT_MANIFEST = 4
    DEVICE_MODE = 5
    VERSION = 6
    SECURE_VERSION_NUMBER = 7
    HASH_EXTENDED = 8
    INFORMATIONAL = 9
    STRUCTURED_MANIFEST = 10


MIN_DATA_TRANSFER_SIZE = 42
"""Bytes; the smallest DataTransferSize that an endpoint may announce (DSP0274 1.2, CAPABILITIES)."""

MAX_OPAQUE_LENGTH = 1024
"""Bytes; the largest OpaqueData field."""

NONCE_LENGTH = 32
"""Bytes of every nonce, and of RandomData in a key exchange."""

CONTEXT_LENGTH = 8
"""Bytes of RequesterContext, since 1.3."""
