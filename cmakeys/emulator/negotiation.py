"""VERSION, CAPABILITIES and ALGORITHMS of the emulated responder (reference chapter 2)."""

from __future__ import annotations

from dataclasses import replace

from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.session_terms import settle_terms, supported_tables
from cmakeys.spdm.algorithms import (
    MEASUREMENT_SPECIFICATION_DMTF,
    MEL_SPECIFICATION_DMTF,
    MULTI_KEY_CONN,
    BaseAsym,
    BaseHash,
    MeasurementHash,
    OpaqueFormat,
    PqcAsym,
)
from cmakeys.spdm.codes import (
    MIN_DATA_TRANSFER_SIZE,
    RESPONDER_FLAGS,
    Capability,
    ErrorCode,
    Version,
)
from cmakeys.spdm.messages.capabilities import SUPPORTED_ALGORITHMS, Capabilities, GetCapabilities
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms
from cmakeys.spdm.messages.version import GetVersion, VersionResponse
from cmakeys.spdm.rules import MEAS, MULTI_KEY, PSK
from cmakeys.spdm.wire import Reader, le

_MAX_CT_EXPONENT = 31
_CLASSIC_BEFORE_12 = 0x1FF
"""BaseAsymAlgo bits that 1.0 and 1.1 define."""


def answer_version(talk: Conversation, reader: Reader) -> bytes:
    """VERSION."""
    GetVersion.pull(reader)
    entries = tuple(version << 8 for version in talk.hardware.settings.versions)
    octets = talk.encode(VersionResponse(entries))
    talk.transcript.add_vca(reader.consumed(), octets)
    return octets


def answer_capabilities(talk: Conversation, reader: Reader) -> bytes:
    """CAPABILITIES; settles version, flags and sizes."""
    request = GetCapabilities.pull(reader)
    version, settings = request.version, talk.hardware.settings
    # Also an ERROR to this request carries the version that it asks for.
    talk.version = version
    _check_requester(request)
    if talk.binding is None:
        settings = replace(settings, sessions=None)
    flags = settings.flags(alias=talk.hardware.alias) & Capability(RESPONDER_FLAGS[version])
    block = b""
    if request.param1 & SUPPORTED_ALGORITHMS:
        if not request.flags & Capability.CHUNK:
            raise Refusal(ErrorCode.INVALID_REQUEST)
        block = _supported_algorithms(talk, version)
    if version >= Version.V12:
        talk.limit, talk.max_message_size = request.data_transfer_size, request.max_message_size
    talk.transcript.version = version
    talk.flags, talk.requester_flags = flags, request.flags
    maximum = settings.max_message_size if settings.chunking else settings.data_transfer_size
    answer = Capabilities(
        version,
        flags,
        settings.ct_exponent,
        settings.data_transfer_size,
        max(maximum, settings.data_transfer_size),
        algorithms_block=block,
    )
    octets = talk.encode(answer)
    talk.transcript.add_vca(reader.consumed(), octets)
    return octets


def _check_requester(request: GetCapabilities) -> None:
    """The requester's half of the consistency rules (reference §2.2.2)."""
    flags, version = request.flags, request.version
    session = bool(flags & (Capability.KEY_EX | PSK))
    protection = bool(flags & (Capability.MAC | Capability.ENCRYPT))
    extras = Capability.MAC | Capability.ENCRYPT | Capability.HANDSHAKE_IN_THE_CLEAR
    extras |= Capability.HBEAT | Capability.KEY_UPD
    identity = bool(flags & (Capability.CERT | Capability.PUB_KEY_ID))
    proof = Capability.CHAL | Capability.KEY_EX
    if version >= Version.V13:
        extras |= Capability.EVENT
        proof |= Capability.EP_INFO_SIGNED
    bad = [
        request.ct_exponent > _MAX_CT_EXPONENT,
        bool(flags & Capability.PSK_WITH_CONTEXT),
        session and not protection,
        not session and bool(flags & extras),
        bool(flags & Capability.CERT) and bool(flags & Capability.PUB_KEY_ID),
        identity and not flags & proof,
        not identity and bool(flags & (Capability.CHAL | Capability.MUT_AUTH)),
        bool(flags & Capability.MUT_AUTH) and not flags & (Capability.CHAL | Capability.KEY_EX),
        flags & MULTI_KEY == MULTI_KEY,
        version == Version.V11 and bool(flags & Capability.MUT_AUTH) and not flags & Capability.ENCAP,
    ]
    if version >= Version.V12:
        transfer, maximum = request.data_transfer_size, request.max_message_size
        bad += [
            transfer < MIN_DATA_TRANSFER_SIZE,
            maximum < transfer,
            maximum != transfer and not flags & Capability.CHUNK,
        ]
    if any(bad):
        raise Refusal(ErrorCode.INVALID_REQUEST)


def _supported_algorithms(talk: Conversation, version: Version) -> bytes:
    """The block of reference §2.2.3: what NEGOTIATE_ALGORITHMS would offer, without its header and Length."""
    hardware = talk.hardware
    hashes = BaseHash(0)
    for base_hash in hardware.settings.hashes:
        hashes |= base_hash
    offer = NegotiateAlgorithms(
        version,
        hardware.base_asym,
        hashes,
        MEASUREMENT_SPECIFICATION_DMTF if hardware.settings.measurements.value else 0,
        OpaqueFormat.GENERAL.value,
        hardware.pqc_asym if version >= Version.V14 else PqcAsym(0),
        tables=supported_tables(talk, version),
    )
    body = offer.push()[6:]
    return bytes((0, 0)) + le(4 + len(body), 2) + body


def answer_algorithms(talk: Conversation, reader: Reader) -> bytes:
    """ALGORITHMS: of each category the device's most preferred algorithm that was offered."""
    offer = NegotiateAlgorithms.pull(reader)
    _check_tables(offer)
    talk.multi_key = _multi_key(talk, offer)
    talk.asym = _choose_asym(talk, offer)
    talk.base_hash = next((one for one in talk.hardware.settings.hashes if one & offer.base_hash), None)
    if talk.asym is None or talk.base_hash is None:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    specification, talk.measurement_hash = 0, None
    if talk.flags & MEAS and offer.measurement_specification & MEASUREMENT_SPECIFICATION_DMTF:
        specification = MEASUREMENT_SPECIFICATION_DMTF
        talk.measurement_hash = _measurement_hash(talk)
    general = offer.other_params & OpaqueFormat.GENERAL.value
    talk.opaque_format = OpaqueFormat.GENERAL if general else OpaqueFormat.NONE
    other = talk.opaque_format.value
    talk.requester_multi_key = bool(talk.requester_flags & Capability.MULTI_KEY_ONLY)
    if talk.requester_multi_key:
        other |= MULTI_KEY_CONN
    answer = Algorithms(
        offer.version,
        talk.asym.value if isinstance(talk.asym, BaseAsym) else 0,
        talk.base_hash.value,
        talk.measurement_hash.value if talk.measurement_hash else 0,
        specification,
        other,
        talk.asym.value if isinstance(talk.asym, PqcAsym) else 0,
        offer.mel_specification & MEL_SPECIFICATION_DMTF if talk.flags & Capability.MEL else 0,
        tables=settle_terms(talk, offer),
    )
    octets = talk.encode(answer)
    talk.transcript.add_vca(reader.consumed(), octets)
    return octets


def _check_tables(offer: NegotiateAlgorithms) -> None:
    types = [table.type for table in offer.tables]
    if types != sorted(set(types)) or any(table.mask == 0 for table in offer.tables):
        raise Refusal(ErrorCode.INVALID_REQUEST)


def _multi_key(talk: Conversation, offer: NegotiateAlgorithms) -> bool:
    asked = offer.version >= Version.V13 and bool(offer.other_params & MULTI_KEY_CONN)
    if talk.flags & Capability.MULTI_KEY_ONLY and not asked:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    if asked and not talk.flags & MULTI_KEY:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    return asked


def _choose_asym(talk: Conversation, offer: NegotiateAlgorithms) -> BaseAsym | PqcAsym | None:
    hardware = talk.hardware
    classic = offer.base_asym & hardware.base_asym
    if offer.version < Version.V12:
        classic &= BaseAsym(_CLASSIC_BEFORE_12)
    pqc = offer.pqc_asym & hardware.pqc_asym if offer.version >= Version.V14 else PqcAsym(0)
    for algorithm in hardware.settings.algorithms:
        if (isinstance(algorithm, BaseAsym) and algorithm & classic) or (
            isinstance(algorithm, PqcAsym) and algorithm & pqc
        ):
            return algorithm
    return None


def _measurement_hash(talk: Conversation) -> MeasurementHash:
    """The measurement hash of the same name as the base hash, where the settings have it, else the first."""
    preferred = talk.hardware.settings.measurement_hashes
    name = talk.base_hash.name if talk.base_hash else None
    return next((one for one in preferred if one.name == name), preferred[0])
