"""What the emulated device tells beyond attestation: log, endpoint information, requests for certificates, events,
and what it answers to the PCI-SIG's questions about IDE and TDISP (reference §7.2 to 7.5, §10.3).

Nothing here is measured or locked for real; the values are made up, and hold together: the log is the one that the
hash-extended measurement covers, and a certificate request is signed with the key that it asks a certificate for.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cmakeys.emulator.certificates import distinguished_name
from cmakeys.emulator.conversation import Conversation, Refusal
from cmakeys.emulator.cxl import CXL_CONSORTIUM
from cmakeys.emulator.disclosure_settings import Disclosures
from cmakeys.emulator.functions import Functions
from cmakeys.emulator.hardware import MAX_SLOTS
from cmakeys.emulator.questions import Interview, Questionnaire
from cmakeys.emulator.sessions import OpenSession
from cmakeys.spdm.codes import NONCE_LENGTH, CertificateModel, ErrorCode, RequestCode, ResponseCode
from cmakeys.spdm.messages.endpoint_info import (
    DEVICE_CLASS_IDENTIFIER,
    EndpointInfo,
    GetEndpointInfo,
    push_class_identifiers,
)
from cmakeys.spdm.messages.events import (
    Event,
    EventAck,
    EventType,
    GetSupportedEventTypes,
    SendEvent,
    SubscribeEventTypes,
    SubscribeEventTypesAck,
    SupportedEventTypes,
)
from cmakeys.spdm.messages.extension_log import (
    GetMeasurementExtensionLog,
    MeasurementExtensionLog,
    push_log,
)
from cmakeys.spdm.messages.provisioning import Csr, GetCsr, SetCertificate, SetCertificateResponse
from cmakeys.spdm.messages.vendor_defined import VendorDefinedRequest, VendorDefinedResponse
from cmakeys.spdm.pci_sig import PCI_SIG
from cmakeys.spdm.signing import Context
from cmakeys.spdm.wire import Reader, le
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import CertificateProblem, same_key

EVENT_GROUPS = b"\x00\x00" + bytes(14)
"""One group of DMTF's events. What such a list looks like inside is not settled here, and nobody reads it."""

_LOG_HEADER = 12
_MEASUREMENT_MASK = 32


def _disclosed(talk: Conversation) -> Disclosures:
    disclosures = talk.hardware.settings.disclosures
    if disclosures is None:
        raise Refusal(ErrorCode.UNSUPPORTED_REQUEST)
    return disclosures


def answer_extension_log(talk: Conversation, reader: Reader) -> bytes:
    """MEASUREMENT_EXTENSION_LOG: the portion asked for, or as much of it as this connection can carry."""
    request = GetMeasurementExtensionLog.pull(reader)
    log = push_log(_disclosed(talk).log)
    if request.offset >= len(log) or not request.length:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    size = min(request.length, talk.room(_LOG_HEADER))
    portion = log[request.offset : request.offset + size]
    return talk.encode(MeasurementExtensionLog(request.version, portion, len(log) - request.offset - len(portion)))


def answer_endpoint_info(talk: Conversation, reader: Reader) -> bytes:
    """ENDPOINT_INFO, signed over IL1 when asked."""
    request = GetEndpointInfo.pull(reader)
    information = push_class_identifiers(_disclosed(talk).identifiers)
    if request.subcode != DEVICE_CLASS_IDENTIFIER or (not request.signed and request.slot):
        raise Refusal(ErrorCode.INVALID_REQUEST)
    if not request.signed:
        return talk.encode(EndpointInfo(request.version, 0, information))
    talk.slot(request.slot)
    answer = EndpointInfo(request.version, request.slot, information, talk.hardware.random(NONCE_LENGTH))
    answer = talk.amend(answer)
    unsigned = answer.push_unsigned()
    talk.check_size(len(unsigned) + talk.signature_size())
    transcript = talk.transcript.vca + reader.consumed() + unsigned
    signature = talk.sign(Context.ENDPOINT_INFO, request.slot, transcript, (request.nonce, answer.nonce))
    return talk.hardware.lies.encode(replace(answer, signature=signature).push(), talk)


def answer_csr(talk: Conversation, reader: Reader) -> bytes:
    """CSR for the key of the lowest slot, or of the key pair that is named on a multi-key connection."""
    request = GetCsr.pull(reader)
    slots = talk.slots()
    if request.model not in set(CertificateModel):
        raise Refusal(ErrorCode.INVALID_REQUEST)
    of_pair = {number: slots[slot] for slot, number in talk.key_pairs().items()}
    chain = of_pair.get(request.key_pair) if talk.multi_key else slots[min(slots)]
    if chain is None:
        raise Refusal(ErrorCode.INVALID_REQUEST)
    credentials = chain.credentials
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        distinguished_name(credentials.vendor, f"{credentials.vendor} {credentials.request.product} Device")
    )
    # The types that an emulated device's keys have can all sign a request; Ed448 and the others without a hash.
    made = builder.sign(credentials.key, credentials.key_type.certificate_hash)
    return talk.encode(Csr(request.version, made.public_bytes(Encoding.DER)))


def answer_set_certificate(talk: Conversation, reader: Reader) -> bytes:
    """SET_CERTIFICATE_RSP: a chain for the key of the lowest slot may be put into a slot, or taken out of it.

    That takes a session, and leaves slot 0 alone, unless the device is still in a trusted place.
    """
    request = SetCertificate.pull(reader)
    if not _disclosed(talk).trusted_place:
        _session_of(talk)
        if not request.slot:
            raise Refusal(ErrorCode.INVALID_REQUEST)
    if request.slot >= MAX_SLOTS or (request.erase and not request.slot):
        raise Refusal(ErrorCode.INVALID_REQUEST)
    if request.erase:
        talk.hardware.install(request.slot, ())
        return talk.encode(SetCertificateResponse(request.version, request.slot))
    slots = talk.slots()
    donor = slots[min(slots)].credentials
    try:
        chain = SpdmChain.parse(request.chain, talk.hash().size, "requester").certificates
    except CertificateProblem as problem:
        raise Refusal(ErrorCode.INVALID_REQUEST) from problem
    if not same_key(chain[-1], donor.leaf):
        raise Refusal(ErrorCode.INVALID_REQUEST)
    installed = replace(donor, chain=chain, root=chain[0], device_index=len(chain) - 1)
    talk.hardware.install(request.slot, (installed,))
    return talk.encode(SetCertificateResponse(request.version, request.slot))


# -- events ----------------------------------------------------------------------------------------------------------


def _session_of(talk: Conversation) -> OpenSession:
    """Events belong into a session. Raises `Refusal` outside."""
    if talk.session is None:
        raise Refusal(ErrorCode.SESSION_REQUIRED)
    return talk.session


def answer_supported_events(talk: Conversation, reader: Reader) -> bytes:
    """SUPPORTED_EVENT_TYPES."""
    request = GetSupportedEventTypes.pull(reader)
    _session_of(talk)
    return talk.encode(SupportedEventTypes(request.version, 1, EVENT_GROUPS))


def answer_subscribe_events(talk: Conversation, reader: Reader) -> bytes:
    """SUBSCRIBE_EVENT_TYPES_ACK; the event that tells of a firmware update is what there is to subscribe to."""
    request = SubscribeEventTypes.pull(reader)
    _session_of(talk).subscribed = bool(request.group_count) or bool(request.attributes & 1)
    return talk.encode(SubscribeEventTypesAck(request.version))


def ask_about_event(session: OpenSession, indices: tuple[int, ...]) -> bool:
    """Lay a MeasurementChanged of these indices ready for a requester that subscribed; whether it was."""
    if not session.subscribed or session.talk.interview is not None:
        return False
    session.talk.interview = Interview(_send_event(session, indices))
    return True


def _send_event(session: OpenSession, indices: tuple[int, ...]) -> Questionnaire:
    mask = sum(1 << index for index in indices)
    event = Event(1, 0, b"", EventType.MEASUREMENT_CHANGED, le(mask, _MEASUREMENT_MASK))
    answer = yield SendEvent(session.talk.negotiated_version(), (event,)).push()
    if answer[1:2] != bytes((ResponseCode.ERROR,)):
        EventAck.pull(Reader(answer, "EVENT_ACK of the requester"))
    return 0


# -- vendor-defined --------------------------------------------------------------------------------------------------


def answer_vendor_defined(talk: Conversation, reader: Reader) -> bytes:
    """VENDOR_DEFINED_RESPONSE of the protocols of the PCI-SIG and of CXL, which belong into a session."""
    request = VendorDefinedRequest.pull(reader)
    if request.vendor not in (PCI_SIG, CXL_CONSORTIUM) or talk.hardware.settings.disclosures is None:
        raise Refusal(ErrorCode.UNSUPPORTED_REQUEST, RequestCode.VENDOR_DEFINED_REQUEST)
    session = _session_of(talk)
    if session.functions is None:
        session.functions = Functions(_disclosed(talk).ide_registers, talk.hardware.random)
    payload = session.functions.answer(request.vendor, request.payload)
    return talk.encode(VendorDefinedResponse(request.version, request.vendor, payload, request.large))
