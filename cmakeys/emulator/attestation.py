"""DIGESTS, CERTIFICATE, CHALLENGE_AUTH and MEASUREMENTS of the emulated responder (reference chapters 3 and 4)."""

from __future__ import annotations

from dataclasses import replace

from cmakeys.emulator.authentication import begin_basic_authentication
from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY_SHORT
from cmakeys.spdm.codes import (
    NONCE_LENGTH,
    Capability,
    ErrorCode,
    MeasurementOperation,
    SummaryHash,
    Version,
)
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests, GetCertificate, GetDigests, SlotInfo
from cmakeys.spdm.messages.challenge import REQUESTS_AUTHENTICATION, Challenge, ChallengeAuth
from cmakeys.spdm.messages.error import extended_u32
from cmakeys.spdm.messages.measurements import (
    RAW_REQUESTED,
    GetMeasurements,
    MeasurementBlock,
    Measurements,
)
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.signing import Context
from cmakeys.spdm.wire import Reader

CONTENT_UNCHANGED = 0x20
"""Param2 bits 5:4 of MEASUREMENTS, from 1.2: nothing changed while the measurements were taken."""

_MAX_PORTION = 0xFFFF
_CERTIFICATE_HEADER = 8
_LARGE_CERTIFICATE_HEADER = 16
_SLOT_SIZE_REQUESTED = 0x01


def answer_digests(talk: Conversation, reader: Reader) -> bytes:
    """DIGESTS of every slot that holds a chain under the negotiated algorithms."""
    request = GetDigests.pull(reader)
    slots = talk.slots()
    if not slots:
        raise Refusal(ErrorCode.UNSPECIFIED)
    info: tuple[SlotInfo, ...] = ()
    if talk.multi_key:
        usage = talk.key_usage()
        pairs = talk.key_pairs()
        info = tuple(SlotInfo(pairs[slot], chain.credentials.model, usage) for slot, chain in slots.items())
    answer = Digests(
        request.version,
        talk.slot_mask(),
        tuple(chain.digest for chain in slots.values()),
        talk.hardware.slot_mask if request.version >= Version.V13 else 0,
        info,
    )
    octets = talk.encode(answer)
    talk.check_size(len(octets))
    talk.transcript.add_b(reader.consumed(), octets)
    if talk.multi_key and talk.session is None:
        talk.first_digests = talk.first_digests or octets
    return octets


def answer_certificate(talk: Conversation, reader: Reader) -> bytes:
    """CERTIFICATE: the portion asked for, or as much of it as this connection can carry."""
    request = GetCertificate.pull(reader)
    if request.large and not talk.flags & Capability.LARGE_RESP:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    chain = talk.slot(request.slot)
    total = len(chain.structure)
    if request.version >= Version.V13 and request.param2 & _SLOT_SIZE_REQUESTED:
        # How much fits the slot: no more than is in it, as nothing can be written to it.
        request = replace(request, offset=0, length=0)
    if request.offset >= total:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    if not request.large and total > _MAX_PORTION:
        if request.version >= Version.V14:
            raise Refusal(ErrorCode.DATA_TOO_LARGE, extended=extended_u32(total))
        raise Refusal(ErrorCode.UNSPECIFIED)
    room = talk.room(_LARGE_CERTIFICATE_HEADER if request.large else _CERTIFICATE_HEADER)
    if talk.hardware.settings.portion_limit:
        room = min(room, talk.hardware.settings.portion_limit)
    portion = chain.structure[request.offset : request.offset + min(request.length, room)]
    answer = CertificateResponse(
        request.version,
        request.slot,
        portion,
        total - request.offset - len(portion),
        request.large,
        chain.credentials.model if talk.multi_key else 0,
    )
    octets = talk.encode(answer)
    talk.transcript.add_b(reader.consumed(), octets)
    return octets


def answer_challenge(talk: Conversation, reader: Reader) -> bytes:
    """CHALLENGE_AUTH, signed over M1."""
    request = Challenge.pull(reader)
    chain = talk.slot(request.slot)
    asks = begin_basic_authentication(talk)
    answer = ChallengeAuth(
        request.version,
        request.slot & SLOT_PROVISIONED_KEY_SHORT | (REQUESTS_AUTHENTICATION if asks else 0),
        talk.slot_mask(),
        chain.digest,
        talk.hardware.random(NONCE_LENGTH),
        measurement_summary(talk, request.summary_hash),
        talk.opaque(),
        request.context,
        b"",
    )
    answer = talk.amend(answer)
    unsigned = answer.push_unsigned()
    talk.check_size(len(unsigned) + talk.signature_size())
    transcript = talk.transcript.m1(reader.consumed(), unsigned)
    signature = talk.sign(Context.CHALLENGE_AUTH, request.slot, transcript, (request.nonce, answer.nonce))
    talk.transcript.challenged()
    return talk.hardware.lies.encode(replace(answer, signature=signature).push(), talk)


def measurement_summary(talk: Conversation, kind: int) -> bytes:
    """MeasurementSummaryHash of one kind; empty where the message has none."""
    if kind not in set(SummaryHash):
        raise Refusal(ErrorCode.INVALID_REQUEST)
    if kind == SummaryHash.NONE or not talk.flags & MEAS:
        return b""
    if talk.measurement_hash is None:
        raise Refusal(ErrorCode.UNSPECIFIED)
    version = talk.negotiated_version()
    return talk.hardware.measurements.summary(version, kind, talk.measurement_hash, talk.hash())


def answer_measurements(talk: Conversation, reader: Reader) -> bytes:
    """MEASUREMENTS, signed over L1 when asked."""
    request = GetMeasurements.pull(reader)
    if talk.measurement_hash is None:
        raise Refusal(ErrorCode.UNEXPECTED_REQUEST)
    if request.signed and not talk.flags & Capability.MEAS_SIGNED:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    slot = request.slot if request.signed else 0
    if request.signed:
        talk.slot(slot)
    blocks = _blocks(talk, request)
    count_only = request.operation == MeasurementOperation.COUNT
    changed = CONTENT_UNCHANGED if request.signed and request.version >= Version.V12 else 0
    answer = Measurements(
        request.version,
        len(talk.hardware.measurements.known_to(request.version)) if count_only else 0,
        slot | changed,
        len(blocks),
        b"".join(block.push() for block in blocks),
        talk.hardware.random(NONCE_LENGTH),
        talk.opaque(),
        request.context,
    )
    answer = talk.amend(answer)
    unsigned = answer.push_unsigned()
    talk.check_size(len(unsigned) + (talk.signature_size() if request.signed else 0))
    if not request.signed:
        octets = talk.hardware.lies.encode(unsigned, talk)
        talk.transcript.add_l1(reader.consumed(), octets)
        return octets
    talk.transcript.add_l1(reader.consumed(), unsigned)
    transcript = talk.transcript.l1()
    signature = talk.sign(Context.MEASUREMENTS, slot, transcript, (request.nonce, answer.nonce))
    talk.transcript.reset_l1()
    return talk.hardware.lies.encode(replace(answer, signature=signature).push(), talk)


def _blocks(talk: Conversation, request: GetMeasurements) -> tuple[MeasurementBlock, ...]:
    if request.operation == MeasurementOperation.COUNT or talk.measurement_hash is None:
        return ()
    raw = request.version >= Version.V12 and bool(request.attributes & RAW_REQUESTED)
    chosen = [
        one
        for one in talk.hardware.measurements.known_to(request.version)
        if request.operation in (MeasurementOperation.ALL, one.index)
    ]
    if not chosen:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    return tuple(one.block(talk.measurement_hash, raw=raw) for one in chosen)
