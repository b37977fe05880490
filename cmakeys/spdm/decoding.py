"""Any message as its codec sees it, for showing what was said; nothing here judges."""

from __future__ import annotations

from collections.abc import Callable

from cmakeys.spdm.agreement import EXCHANGE_SIZES, ExchangeSize
from cmakeys.spdm.codes import RequestCode, ResponseCode
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.messages.capabilities import Capabilities
from cmakeys.spdm.messages.certificates import CertificateResponse, Digests
from cmakeys.spdm.messages.challenge import ChallengeAuth
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck
from cmakeys.spdm.messages.encapsulated import (
    DeliverEncapsulatedResponse,
    EncapsulatedRequest,
    EncapsulatedResponseAck,
    GetEncapsulatedRequest,
)
from cmakeys.spdm.messages.endpoint_info import EndpointInfo
from cmakeys.spdm.messages.error import ErrorResponse, RespondIfReady
from cmakeys.spdm.messages.events import EventAck, SubscribeEventTypesAck, SupportedEventTypes
from cmakeys.spdm.messages.extension_log import MeasurementExtensionLog
from cmakeys.spdm.messages.finish import Finish, FinishResponse
from cmakeys.spdm.messages.key_exchange import KeyExchange, KeyExchangeResponse
from cmakeys.spdm.messages.key_pairs import KeyPairInfo, SetKeyPairInfoAck
from cmakeys.spdm.messages.measurements import Measurements
from cmakeys.spdm.messages.negotiation import Algorithms
from cmakeys.spdm.messages.provisioning import Csr, SetCertificateResponse
from cmakeys.spdm.messages.psk import PskExchange, PskExchangeResponse, PskFinish, PskFinishResponse
from cmakeys.spdm.messages.session_control import EndSessionAck, HeartbeatAck, KeyUpdateAck
from cmakeys.spdm.messages.vendor_defined import VendorDefinedResponse
from cmakeys.spdm.messages.version import VersionResponse
from cmakeys.spdm.requests import REQUEST_CODECS
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.spdm.wire import Reader, WireError

_Pull = Callable[[Reader], object]

_WRAPPERS: dict[int, _Pull] = {
    RequestCode.CHUNK_SEND: ChunkSend.pull,
    RequestCode.CHUNK_GET: ChunkGet.pull,
    RequestCode.RESPOND_IF_READY: RespondIfReady.pull,
    RequestCode.GET_ENCAPSULATED_REQUEST: GetEncapsulatedRequest.pull,
    RequestCode.DELIVER_ENCAPSULATED_RESPONSE: DeliverEncapsulatedResponse.pull,
    RequestCode.PSK_EXCHANGE: PskExchange.pull,
}
_PLAIN_ANSWERS: dict[int, _Pull] = {
    ResponseCode.VERSION: VersionResponse.pull,
    ResponseCode.CAPABILITIES: Capabilities.pull,
    ResponseCode.ALGORITHMS: Algorithms.pull,
    ResponseCode.CERTIFICATE: CertificateResponse.pull,
    ResponseCode.CHUNK_SEND_ACK: ChunkSendAck.pull,
    ResponseCode.CHUNK_RESPONSE: ChunkResponse.pull,
    ResponseCode.MEASUREMENT_EXTENSION_LOG: MeasurementExtensionLog.pull,
    ResponseCode.KEY_PAIR_INFO: KeyPairInfo.pull,
    ResponseCode.SET_KEY_PAIR_INFO_ACK: SetKeyPairInfoAck.pull,
    ResponseCode.CSR: Csr.pull,
    ResponseCode.SET_CERTIFICATE_RSP: SetCertificateResponse.pull,
    ResponseCode.SUPPORTED_EVENT_TYPES: SupportedEventTypes.pull,
    ResponseCode.SUBSCRIBE_EVENT_TYPES_ACK: SubscribeEventTypesAck.pull,
    ResponseCode.EVENT_ACK: EventAck.pull,
    ResponseCode.VENDOR_DEFINED_RESPONSE: VendorDefinedResponse.pull,
    ResponseCode.PSK_FINISH_RSP: PskFinishResponse.pull,
    ResponseCode.HEARTBEAT_ACK: HeartbeatAck.pull,
    ResponseCode.KEY_UPDATE_ACK: KeyUpdateAck.pull,
    ResponseCode.END_SESSION_ACK: EndSessionAck.pull,
    ResponseCode.ENCAPSULATED_REQUEST: EncapsulatedRequest.pull,
    ResponseCode.ENCAPSULATED_RESPONSE_ACK: EncapsulatedResponseAck.pull,
    ResponseCode.ERROR: ErrorResponse.pull,
}


def decode_request(message: bytes, connection: Connection) -> object:
    """The request as its codec sees it. Raises `WireError`, also for a code that has none."""
    code = message[1] if len(message) > 1 else 0
    pull = _WRAPPERS.get(code)
    if pull is None and code in set(RequestCode):
        pull = REQUEST_CODECS.get(RequestCode(code)) or _request_of_a_session(code, connection)
    return _pulled(message, pull)


def decode_response(message: bytes, asked: object, connection: Connection) -> object:
    """The answer to `asked`, which is what `decode_request` gave, or None. Raises as that does."""
    code = message[1] if len(message) > 1 else 0
    return _pulled(message, _PLAIN_ANSWERS.get(code) or _answer_by_what_was_asked(code, asked, connection))


def name_of(message: bytes) -> str:
    """The name of a message's code, or its number."""
    if len(message) < 2:
        return f"{len(message)} bytes"
    known: type[RequestCode | ResponseCode] = RequestCode if message[1] & 0x80 else ResponseCode
    return known(message[1]).name if message[1] in set(known) else f"code {message[1]:#04x}"


def _pulled(message: bytes, pull: _Pull | None) -> object:
    reader = Reader(message, name_of(message))
    if pull is None:
        raise reader.fail("there is no codec for this message here")
    return pull(reader)


def _terms(connection: Connection) -> Terms:
    try:
        return Terms.of(connection)
    except ProtocolViolation as error:
        raise WireError(error.message, object=error.object) from error


def _exchange_size(terms: Terms) -> ExchangeSize:
    return EXCHANGE_SIZES[terms.agreement] if terms.agreement else ExchangeSize(0, 0)


def _request_of_a_session(code: int, connection: Connection) -> _Pull | None:
    if code not in (RequestCode.KEY_EXCHANGE, RequestCode.FINISH, RequestCode.PSK_FINISH):
        return None
    terms = _terms(connection)
    if code == RequestCode.KEY_EXCHANGE:
        return lambda reader: KeyExchange.pull(reader, _exchange_size(terms).request)
    if code == RequestCode.FINISH:
        return lambda reader: Finish.pull(reader, terms.layout, terms.requester_signature_size)
    return lambda reader: PskFinish.pull(reader, terms.layout)


def _answer_by_what_was_asked(code: int, asked: object, connection: Connection) -> _Pull | None:
    layout = connection.layout
    signed = bool(getattr(asked, "signed", False))
    summary = bool(getattr(asked, "summary_hash", 0)) and connection.has(MEAS)
    match code:
        case ResponseCode.DIGESTS:
            return lambda reader: Digests.pull(reader, layout)
        case ResponseCode.CHALLENGE_AUTH:
            return lambda reader: ChallengeAuth.pull(reader, layout, has_summary=summary)
        case ResponseCode.MEASUREMENTS:
            return lambda reader: Measurements.pull(reader, layout, signed=signed)
        case ResponseCode.ENDPOINT_INFO:
            return lambda reader: EndpointInfo.pull(reader, layout, signed=signed)
        case ResponseCode.PSK_EXCHANGE_RSP:
            return lambda reader: PskExchangeResponse.pull(reader, layout, has_summary=summary)
        case ResponseCode.FINISH_RSP:
            clear = _terms(connection).clear_handshake
            return lambda reader: FinishResponse.pull(reader, layout, has_verify_data=clear)
        case ResponseCode.KEY_EXCHANGE_RSP:
            terms = _terms(connection)
            return lambda reader: KeyExchangeResponse.pull(
                reader,
                layout,
                exchange_size=_exchange_size(terms).response,
                has_summary=summary,
                has_verify_data=not terms.clear_handshake,
            )
    return None
