"""What a responder's CAPABILITIES and ALGORITHMS may not say: the consistency rules of reference §2.2.2 and §2.3.4.

They are kept as rows of a table, each with the versions it applies to and the sentence a person reads when it is
broken, because they are the part of the protocol that a vendor bringing up a device looks up most often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cmakeys.spdm.algorithms import (
    MEASUREMENT_SPECIFICATION_DMTF,
    BaseAsym,
    BaseHash,
    MeasurementHash,
    OpaqueFormat,
    PqcAsym,
    algorithm_name,
    is_single_bit,
)
from cmakeys.spdm.codes import MIN_DATA_TRANSFER_SIZE, Capability, Version
from cmakeys.spdm.messages.capabilities import Capabilities
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms

MEAS = Capability.MEAS_UNSIGNED | Capability.MEAS_SIGNED
PSK = Capability.PSK | Capability.PSK_WITH_CONTEXT
EP_INFO = Capability.EP_INFO_UNSIGNED | Capability.EP_INFO_SIGNED
MULTI_KEY = Capability.MULTI_KEY_ONLY | Capability.MULTI_KEY_NEGOTIABLE
_SESSION_EXTRAS = (
    Capability.MAC | Capability.ENCRYPT | Capability.HANDSHAKE_IN_THE_CLEAR | Capability.HBEAT | Capability.KEY_UPD
)
_MAX_CT_EXPONENT = 31


@dataclass(frozen=True, slots=True)
class FlagRule:
    """One row: `broken` holds for flags that contradict `text`, in versions `since` to `until`."""

    since: Version
    until: Version
    text: str
    broken: Callable[[Capability], bool]


def _has_identity(flags: Capability) -> bool:
    return bool(flags & (Capability.CERT | Capability.PUB_KEY_ID))


def _can_prove(flags: Capability, *, endpoint_info: bool) -> bool:
    proofs = Capability.CHAL | Capability.KEY_EX | Capability.MEAS_SIGNED
    return bool(flags & (proofs | (Capability.EP_INFO_SIGNED if endpoint_info else Capability(0))))


def _no_session_but(flags: Capability, extras: Capability) -> bool:
    return not flags & (Capability.KEY_EX | PSK) and bool(flags & extras)


V10, V11, V12, V13, V14 = Version.V10, Version.V11, Version.V12, Version.V13, Version.V14

FLAG_RULES: tuple[FlagRule, ...] = (
    FlagRule(V10, V14, "MEAS_CAP has the reserved value 3", lambda f: f & MEAS == MEAS),
    FlagRule(V10, V14, "MEAS_FRESH_CAP without MEAS_CAP", lambda f: bool(f & Capability.MEAS_FRESH) and not f & MEAS),
    FlagRule(
        V10,
        V10,
        "CERT_CAP and CHAL_CAP differ without signed measurements",
        lambda f: not f & Capability.MEAS_SIGNED and bool(f & Capability.CERT) != bool(f & Capability.CHAL),
    ),
    FlagRule(
        V10,
        V10,
        "signed measurements without CERT_CAP",
        lambda f: bool(f & Capability.MEAS_SIGNED) and not f & Capability.CERT,
    ),
    FlagRule(V11, V14, "PSK_CAP has the reserved value 3", lambda f: f & PSK == PSK),
    FlagRule(
        V11,
        V14,
        "key exchange without MAC_CAP or ENCRYPT_CAP",
        lambda f: bool(f & (Capability.KEY_EX | PSK)) and not f & (Capability.MAC | Capability.ENCRYPT),
    ),
    FlagRule(V11, V12, "session capabilities without a key exchange", lambda f: _no_session_but(f, _SESSION_EXTRAS)),
    FlagRule(
        V13,
        V14,
        "session capabilities without a key exchange",
        lambda f: _no_session_but(f, _SESSION_EXTRAS | Capability.EVENT),
    ),
    FlagRule(
        V11,
        V14,
        "HANDSHAKE_IN_THE_CLEAR_CAP with PSK only",
        lambda f: bool(f & PSK) and not f & Capability.KEY_EX and bool(f & Capability.HANDSHAKE_IN_THE_CLEAR),
    ),
    FlagRule(
        V11,
        V14,
        "CERT_CAP together with PUB_KEY_ID_CAP",
        lambda f: bool(f & Capability.CERT) and bool(f & Capability.PUB_KEY_ID),
    ),
    FlagRule(
        V11,
        V12,
        "an identity that nothing proves: no CHAL_CAP, KEY_EX_CAP or signed measurements",
        lambda f: _has_identity(f) and not _can_prove(f, endpoint_info=False),
    ),
    FlagRule(
        V13,
        V14,
        "an identity that nothing proves: no CHAL_CAP, KEY_EX_CAP, signed measurements or endpoint info",
        lambda f: _has_identity(f) and not _can_prove(f, endpoint_info=True),
    ),
    FlagRule(
        V11,
        V12,
        "proofs without CERT_CAP or PUB_KEY_ID_CAP",
        lambda f: not _has_identity(f) and (_can_prove(f, endpoint_info=False) or bool(f & Capability.MUT_AUTH)),
    ),
    FlagRule(
        V13,
        V14,
        "proofs without CERT_CAP or PUB_KEY_ID_CAP",
        lambda f: not _has_identity(f) and (_can_prove(f, endpoint_info=True) or bool(f & Capability.MUT_AUTH)),
    ),
    FlagRule(
        V11,
        V14,
        "MUT_AUTH_CAP without KEY_EX_CAP or CHAL_CAP",
        lambda f: bool(f & Capability.MUT_AUTH) and not f & (Capability.KEY_EX | Capability.CHAL),
    ),
    FlagRule(
        V11,
        V11,
        "MUT_AUTH_CAP without ENCAP_CAP",
        lambda f: bool(f & Capability.MUT_AUTH) and not f & Capability.ENCAP,
    ),
    FlagRule(
        V12,
        V14,
        "ALIAS_CERT_CAP or SET_CERT_CAP without CERT_CAP",
        lambda f: not f & Capability.CERT and bool(f & (Capability.ALIAS_CERT | Capability.SET_CERT)),
    ),
    FlagRule(
        V12,
        V14,
        "CSR_CAP without SET_CERT_CAP",
        lambda f: bool(f & Capability.CSR) and not f & Capability.SET_CERT,
    ),
    FlagRule(
        V12,
        V14,
        "CERT_INSTALL_RESET_CAP without CSR_CAP or SET_CERT_CAP",
        lambda f: bool(f & Capability.CERT_INSTALL_RESET) and not f & (Capability.CSR | Capability.SET_CERT),
    ),
    FlagRule(V13, V14, "EP_INFO_CAP has the reserved value 3", lambda f: f & EP_INFO == EP_INFO),
    FlagRule(V13, V14, "MULTI_KEY_CAP has the reserved value 3", lambda f: f & MULTI_KEY == MULTI_KEY),
    FlagRule(
        V13,
        V14,
        "MULTI_KEY_CAP without GET_KEY_PAIR_INFO_CAP and CERT_CAP",
        lambda f: bool(f & MULTI_KEY) and not (f & Capability.GET_KEY_PAIR_INFO and f & Capability.CERT),
    ),
    FlagRule(
        V13,
        V14,
        "PUB_KEY_ID_CAP with multi-key capabilities",
        lambda f: (
            bool(f & Capability.PUB_KEY_ID)
            and bool(f & (MULTI_KEY | Capability.GET_KEY_PAIR_INFO | Capability.SET_KEY_PAIR_INFO))
        ),
    ),
    FlagRule(
        V14,
        V14,
        "SET_KEY_PAIR_RESET_CAP without SET_KEY_PAIR_INFO_CAP",
        lambda f: bool(f & Capability.SET_KEY_PAIR_RESET) and not f & Capability.SET_KEY_PAIR_INFO,
    ),
)


@lru_cache(maxsize=64)
def capabilities_fault(message: Capabilities) -> str | None:
    """The first rule that CAPABILITIES breaks, in words; None when it is sound."""
    version = message.version
    if message.ct_exponent > _MAX_CT_EXPONENT:
        return f"CTExponent {message.ct_exponent} is more than {_MAX_CT_EXPONENT}"
    for rule in FLAG_RULES:
        if rule.since <= version <= rule.until and rule.broken(message.flags):
            return f"capabilities contradict each other: {rule.text}"
    if version < Version.V12:
        return None
    transfer, maximum = message.data_transfer_size, message.max_message_size
    if transfer < MIN_DATA_TRANSFER_SIZE:
        return f"DataTransferSize {transfer} is below the minimum of {MIN_DATA_TRANSFER_SIZE}"
    if maximum < transfer:
        return f"MaxSPDMmsgSize {maximum} is below DataTransferSize {transfer}"
    if not message.flags & Capability.CHUNK and maximum != transfer:
        return f"MaxSPDMmsgSize {maximum} differs from DataTransferSize {transfer} without CHUNK_CAP"
    return None


@dataclass(frozen=True, slots=True)
class Selection:
    """ALGORITHMS, decoded and found to be a proper choice from the offer; None where nothing was selected."""

    asym: BaseAsym | PqcAsym | None
    base_hash: BaseHash | None
    measurement_hash: MeasurementHash | None
    opaque_format: OpaqueFormat


class BadSelection(ValueError):
    """ALGORITHMS breaks a rule; the message says which."""


@lru_cache(maxsize=64)
def check_selection(offer: NegotiateAlgorithms, answer: Algorithms, capabilities: Capability) -> Selection:
    """Check ALGORITHMS against what was offered and the responder's own capabilities.

    Raises `BadSelection` with the sentence for the report.
    """
    if answer.ext_asym_count or answer.ext_hash_count:
        raise BadSelection("external algorithms are selected though none were offered")
    _check_tables(offer, answer)
    base_asym = _choice("BaseAsymSel", answer.base_asym, offer.base_asym.value)
    pqc_asym = _choice("PqcAsymSel", answer.pqc_asym, offer.pqc_asym.value)
    base_hash = _choice("BaseHashSel", answer.base_hash, offer.base_hash.value)
    opaque = _choice("opaque data format", answer.other_params & 0x0F, offer.other_params & 0x0F)
    proves = capabilities & (Capability.CERT | Capability.CHAL | Capability.MEAS_SIGNED | Capability.KEY_EX)
    if base_asym and pqc_asym:
        raise BadSelection("BaseAsymSel and PqcAsymSel are both set")
    if proves and not (base_asym or pqc_asym):
        raise BadSelection(
            "no signature algorithm is selected: the device supports none of "
            + ", ".join(filter(None, (algorithm_name(offer.base_asym), _pqc_text(offer.pqc_asym))))
        )
    if (proves or capabilities & PSK) and not base_hash:
        raise BadSelection(f"no hash is selected: the device supports none of {algorithm_name(offer.base_hash)}")
    measured = bool(capabilities & MEAS) and bool(offer.measurement_specification & MEASUREMENT_SPECIFICATION_DMTF)
    if answer.measurement_specification != (MEASUREMENT_SPECIFICATION_DMTF if measured else 0):
        raise BadSelection(f"MeasurementSpecificationSel is {answer.measurement_specification:#x}")
    measurement_hash = None
    if measured:
        if not is_single_bit(answer.measurement_hash) or answer.measurement_hash > MeasurementHash.SM3_256.value:
            raise BadSelection(f"MeasurementHashAlgo {answer.measurement_hash:#x} is not one known algorithm")
        measurement_hash = MeasurementHash(answer.measurement_hash)
    if answer.mel_specification & ~offer.mel_specification:
        raise BadSelection(f"MELspecificationSel {answer.mel_specification:#x} was not offered")
    asym: BaseAsym | PqcAsym | None = None
    if base_asym:
        asym = BaseAsym(base_asym)
    elif pqc_asym:
        asym = PqcAsym(pqc_asym)
    return Selection(asym, BaseHash(base_hash) if base_hash else None, measurement_hash, OpaqueFormat(opaque))


def _pqc_text(offered: PqcAsym) -> str:
    return algorithm_name(offered) if offered else ""


def _choice(field: str, selected: int, offered: int) -> int:
    if selected and not is_single_bit(selected):
        raise BadSelection(f"{field} {selected:#x} selects more than one algorithm")
    if selected & ~offered:
        raise BadSelection(f"{field} {selected:#x} was not offered ({offered:#x})")
    return selected


def _check_tables(offer: NegotiateAlgorithms, answer: Algorithms) -> None:
    offered = {table.type: table.mask for table in offer.tables}
    previous = 0
    for table in answer.tables:
        if table.type <= previous:
            raise BadSelection(f"struct table {table.type} is out of order or repeated")
        previous = table.type
        if table.count != 0x20:
            raise BadSelection(f"struct table {table.type} selects external algorithms")
        if table.type not in offered:
            raise BadSelection(f"struct table {table.type} was not offered")
        _choice(f"struct table {table.type}", table.mask, offered[table.type])
