"""The requests whose length follows from themselves: a recorded one loses its transport's padding by being decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cmakeys.spdm.codes import RequestCode
from cmakeys.spdm.messages.capabilities import GetCapabilities
from cmakeys.spdm.messages.certificates import GetCertificate, GetDigests
from cmakeys.spdm.messages.challenge import Challenge
from cmakeys.spdm.messages.endpoint_info import GetEndpointInfo
from cmakeys.spdm.messages.events import GetSupportedEventTypes, SendEvent, SubscribeEventTypes
from cmakeys.spdm.messages.extension_log import GetMeasurementExtensionLog
from cmakeys.spdm.messages.key_pairs import GetKeyPairInfo, SetKeyPairInfo
from cmakeys.spdm.messages.measurements import GetMeasurements
from cmakeys.spdm.messages.negotiation import NegotiateAlgorithms
from cmakeys.spdm.messages.provisioning import GetCsr, SetCertificate
from cmakeys.spdm.messages.session_control import EndSession, Heartbeat, KeyUpdate
from cmakeys.spdm.messages.vendor_defined import VendorDefinedRequest
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.wire import Reader

REQUEST_CODECS: Mapping[RequestCode, Callable[[Reader], object]] = {
    RequestCode.GET_VERSION: GetVersion.pull,
    RequestCode.GET_CAPABILITIES: GetCapabilities.pull,
    RequestCode.NEGOTIATE_ALGORITHMS: NegotiateAlgorithms.pull,
    RequestCode.GET_DIGESTS: GetDigests.pull,
    RequestCode.GET_CERTIFICATE: GetCertificate.pull,
    RequestCode.CHALLENGE: Challenge.pull,
    RequestCode.GET_MEASUREMENTS: GetMeasurements.pull,
    RequestCode.GET_MEASUREMENT_EXTENSION_LOG: GetMeasurementExtensionLog.pull,
    RequestCode.GET_ENDPOINT_INFO: GetEndpointInfo.pull,
    RequestCode.GET_KEY_PAIR_INFO: GetKeyPairInfo.pull,
    RequestCode.SET_KEY_PAIR_INFO: SetKeyPairInfo.pull,
    RequestCode.GET_CSR: GetCsr.pull,
    RequestCode.SET_CERTIFICATE: SetCertificate.pull,
    RequestCode.GET_SUPPORTED_EVENT_TYPES: GetSupportedEventTypes.pull,
    RequestCode.SUBSCRIBE_EVENT_TYPES: SubscribeEventTypes.pull,
    RequestCode.SEND_EVENT: SendEvent.pull,
    RequestCode.VENDOR_DEFINED_REQUEST: VendorDefinedRequest.pull,
    RequestCode.HEARTBEAT: Heartbeat.pull,
    RequestCode.KEY_UPDATE: KeyUpdate.pull,
    RequestCode.END_SESSION: EndSession.pull,
}
"""Every other request needs the negotiated facts to be decoded (`cmakeys.spdm.handshake`), or is never hashed."""
