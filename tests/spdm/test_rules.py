"""CAPABILITIES and ALGORITHMS that contradict themselves or the offer are refused with the sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cmakeys.spdm.algorithms import BaseAsym, BaseHash, MeasurementHash, OpaqueFormat, PqcAsym
from cmakeys.spdm.codes import Capability, Version
from cmakeys.spdm.messages.capabilities import Capabilities
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms, StructTable
from cmakeys.spdm.rules import FLAG_RULES, BadSelection, Selection, capabilities_fault, check_selection

C = Capability
CMA = C.CERT | C.CHAL

# (version, flags, words of the fault); the first is the Linux kernel's minimum
FLAGS = [
    (Version.V10, CMA, None),
    (Version.V14, CMA, None),
    (Version.V10, C.MEAS_SIGNED | C.MEAS_UNSIGNED | CMA, "MEAS_CAP has the reserved value 3"),
    (Version.V12, CMA | C.MEAS_FRESH, "MEAS_FRESH_CAP without MEAS_CAP"),
    (Version.V10, C.CERT, "CERT_CAP and CHAL_CAP differ"),
    (Version.V10, C.MEAS_SIGNED, "signed measurements without CERT_CAP"),
    (Version.V11, CMA | C.PSK | C.PSK_WITH_CONTEXT | C.MAC, "PSK_CAP has the reserved value 3"),
    (Version.V11, CMA | C.KEY_EX, "key exchange without MAC_CAP"),
    (Version.V12, CMA | C.HBEAT, "without a key exchange"),
    (Version.V12, CMA | C.EVENT, None),
    (Version.V13, CMA | C.EVENT, "without a key exchange"),
    (Version.V12, CMA | C.PSK | C.MAC | C.HANDSHAKE_IN_THE_CLEAR, "with PSK only"),
    (Version.V12, CMA | C.PUB_KEY_ID, "together with PUB_KEY_ID_CAP"),
    (Version.V12, C.CERT, "an identity that nothing proves"),
    (Version.V13, C.CERT, "an identity that nothing proves"),
    (Version.V13, C.CERT | C.EP_INFO_SIGNED, None),
    (Version.V12, C.CHAL, "proofs without CERT_CAP"),
    (Version.V13, C.EP_INFO_SIGNED, "proofs without CERT_CAP"),
    (Version.V12, C.CERT | C.MEAS_SIGNED | C.MUT_AUTH, "MUT_AUTH_CAP without"),
    (Version.V11, CMA | C.MUT_AUTH, "MUT_AUTH_CAP without ENCAP_CAP"),
    (Version.V12, C.ALIAS_CERT, "without CERT_CAP"),
    (Version.V12, CMA | C.CSR, "CSR_CAP without SET_CERT_CAP"),
    (Version.V12, CMA | C.CERT_INSTALL_RESET, "CERT_INSTALL_RESET_CAP without"),
    (Version.V13, CMA | C.EP_INFO_SIGNED | C.EP_INFO_UNSIGNED, "EP_INFO_CAP has the reserved value 3"),
    (Version.V13, CMA | C.MULTI_KEY_ONLY | C.MULTI_KEY_NEGOTIABLE | C.GET_KEY_PAIR_INFO, "MULTI_KEY_CAP has the"),
    (Version.V13, CMA | C.MULTI_KEY_ONLY, "MULTI_KEY_CAP without GET_KEY_PAIR_INFO_CAP"),
    (Version.V13, C.PUB_KEY_ID | C.CHAL | C.GET_KEY_PAIR_INFO, "PUB_KEY_ID_CAP with multi-key"),
    (Version.V14, CMA | C.SET_KEY_PAIR_RESET, "SET_KEY_PAIR_RESET_CAP without"),
]


def capabilities(version: Version, flags: C) -> Capabilities:
    size = 0x1200 if version >= Version.V12 else 0
    return Capabilities(version, flags, 0, size, size)


@pytest.mark.parametrize(("version", "flags", "words"), FLAGS)
def test_contradicting_flags_are_named(version: Version, flags: C, words: str | None) -> None:
    fault = capabilities_fault(capabilities(version, flags))
    if words is None:
        assert fault is None
    else:
        assert fault is not None
        assert words in fault


def test_every_flag_rule_has_a_case_that_breaks_it() -> None:
    broken = {
        rule.text
        for rule in FLAG_RULES
        for version, flags, _ in FLAGS
        if rule.since <= version <= rule.until and rule.broken(flags)
    }
    assert broken == {rule.text for rule in FLAG_RULES}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ct_exponent": 32}, "CTExponent 32"),
        ({"data_transfer_size": 41}, "below the minimum of 42"),
        ({"max_message_size": 0x1000}, "below DataTransferSize"),
        ({"max_message_size": 0x2000}, "without CHUNK_CAP"),
    ],
)
def test_sizes_out_of_range_are_named(change: dict[str, Any], words: str) -> None:
    fault = capabilities_fault(replace(capabilities(Version.V12, CMA), **change))
    assert fault is not None
    assert words in fault


OFFER = NegotiateAlgorithms(
    Version.V14,
    BaseAsym.ECDSA_P256 | BaseAsym.ECDSA_P384,
    BaseHash.SHA_256 | BaseHash.SHA_384,
    measurement_specification=1,
    other_params=OpaqueFormat.GENERAL.value,
    pqc_asym=PqcAsym.ML_DSA_65,
    tables=(StructTable(2, 0x18), StructTable(3, 0x3)),
)
ANSWER = Algorithms(
    Version.V14,
    BaseAsym.ECDSA_P384.value,
    BaseHash.SHA_384.value,
    MeasurementHash.SHA_384.value,
    1,
    OpaqueFormat.GENERAL.value,
    tables=(StructTable(2, 0x10), StructTable(3, 0x2)),
)
MEASURED = CMA | C.MEAS_SIGNED


def test_a_proper_selection_is_taken() -> None:
    expected = Selection(BaseAsym.ECDSA_P384, BaseHash.SHA_384, MeasurementHash.SHA_384, OpaqueFormat.GENERAL)
    assert check_selection(OFFER, ANSWER, MEASURED) == expected


def test_a_post_quantum_selection_is_never_taken_for_a_classic_one() -> None:
    selection = check_selection(OFFER, replace(ANSWER, base_asym=0, pqc_asym=PqcAsym.ML_DSA_65.value), MEASURED)
    assert selection.asym is PqcAsym.ML_DSA_65


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_asym": 0x90}, "BaseAsymSel 0x90 selects more than one"),
        ({"base_asym": 0x100}, "BaseAsymSel 0x100 was not offered"),
        ({"base_asym": 0}, "no signature algorithm"),
        ({"pqc_asym": 2}, "BaseAsymSel and PqcAsymSel are both set"),
        ({"base_asym": 0, "pqc_asym": 1}, "PqcAsymSel 0x1 was not offered"),
        ({"base_hash": 3}, "BaseHashSel 0x3 selects more than one"),
        ({"base_hash": 4}, "BaseHashSel 0x4 was not offered"),
        ({"base_hash": 0}, "no hash"),
        ({"measurement_specification": 0}, "MeasurementSpecificationSel"),
        ({"measurement_specification": 3}, "MeasurementSpecificationSel"),
        ({"measurement_hash": 0}, "MeasurementHashAlgo"),
        ({"measurement_hash": 6}, "MeasurementHashAlgo"),
        ({"measurement_hash": 0x100}, "MeasurementHashAlgo"),
        ({"other_params": 1}, "opaque data format 0x1 was not offered"),
        ({"mel_specification": 1}, "MELspecificationSel"),
        ({"ext_asym_count": 1}, "external algorithms"),
        ({"ext_hash_count": 1}, "external algorithms"),
        ({"tables": (StructTable(3, 2), StructTable(2, 0x10))}, "struct table 2 is out of order"),
        ({"tables": (StructTable(2, 0x18),)}, "struct table 2 0x18 selects more than one"),
        ({"tables": (StructTable(2, 0x20),)}, "struct table 2 0x20 was not offered"),
        ({"tables": (StructTable(4, 1),)}, "struct table 4 was not offered"),
        ({"tables": (StructTable(2, 0x10, 0x21),)}, "external"),
    ],
)
def test_a_selection_beyond_the_offer_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSelection, match=words):
        check_selection(OFFER, replace(ANSWER, **change), MEASURED)


def test_measurements_that_the_device_does_not_have_may_not_be_selected() -> None:
    with pytest.raises(BadSelection, match="MeasurementSpecificationSel"):
        check_selection(OFFER, ANSWER, CMA)
