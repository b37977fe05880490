"""Leaf names are read strictly, and a PCIe name matches byte for byte or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.x509.bundle import read_certificates, split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import (
    CMA_OID,
    DMTF_OID,
    LeafNames,
    PciIdentity,
    all_match,
    differs_only_in_case,
    has_dice_tcb_info,
    leaf_names,
    matches,
)
from tests.x509.pki import LEAF_USAGE, issue, other_name, subject_alt_name, utf8_string

NVME = PciIdentity(0x1B36, 0x0010, 0x010802, 0x02, 0x1AF4, 0x1100, 0x0123456789ABCDEF)
NVME_NAME = "Vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100:0123456789abcdef"


def bits(number: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << number) - 1)


@st.composite
def identities(draw: st.DrawFn) -> PciIdentity:
    vendor, device = draw(st.none() | st.tuples(bits(16), bits(16))) or (None, None)
    numbers = (draw(bits(16)), draw(bits(16)), draw(bits(24)), draw(bits(8)))
    return PciIdentity(*numbers, subsystem_vendor=vendor, subsystem_device=device, serial=draw(st.none() | bits(64)))


def leaf_with(*names: x509.GeneralName) -> Certificate:
    return issue("Leaf", ca=False, key_usage=LEAF_USAGE, extensions=[(subject_alt_name(*names), False)]).certificate


class TestPciIdentity:
    def test_the_name_is_the_one_linux_builds(self) -> None:
        assert NVME.san_string() == NVME_NAME

    def test_a_bridge_has_no_subsystem_and_most_devices_no_serial_number(self) -> None:
        assert PciIdentity(0x8086, 0x9A, 0x060400, 0).san_string() == "Vendor=8086:Device=009a:CC=060400:REV=00"

    def test_a_serial_number_of_zero_is_none(self) -> None:
        assert PciIdentity(1, 2, 3, 4, serial=0) == PciIdentity(1, 2, 3, 4)

    @given(identities())
    def test_what_is_written_is_read_back(self, identity: PciIdentity) -> None:
        assert PciIdentity.parse(identity.san_string()) == identity
        assert PciIdentity.parse(identity.san_string()).san_string() == identity.san_string()

    @given(st.text(max_size=100) | st.from_regex(r"Vendor=.{4}:Device=.{4}:CC=.{6}:REV=.{2}", fullmatch=True))
    def test_what_is_read_would_be_written_the_same_and_all_else_is_the_clean_error(self, text: str) -> None:
        with contextlib.suppress(CertificateProblem):
            assert PciIdentity.parse(text).san_string() == text

    @pytest.mark.parametrize(
        "text",
        [
            NVME_NAME.upper(),
            NVME_NAME.replace("1b36", "1B36"),
            NVME_NAME + "\n",
            NVME_NAME + "\0",
            " " + NVME_NAME,
            NVME_NAME.replace("0123456789abcdef", "0000000000000000"),
            NVME_NAME.replace(":SSID=1100", ""),
            NVME_NAME.replace("010802", "10802"),
            NVME_NAME.replace("1b36", "１b36"),  # a full-width digit is a digit to int()
            "",
        ],
    )
    def test_near_misses_are_refused(self, text: str) -> None:
        with pytest.raises(CertificateProblem, match="not a PCIe identity"):
            PciIdentity.parse(text)

    @pytest.mark.parametrize(
        "values",
        [(0x10000, 0, 0, 0), (0, -1, 0, 0), (0, 0, 1 << 24, 0), (0, 0, 0, 256), (0, 0, 0, 0, 1), (0, 0, 0, 0, None, 1)],
    )
    def test_values_that_configuration_space_cannot_hold_are_refused(self, values: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="PCI"):
            PciIdentity(*values)


class TestMatching:
    def test_only_the_very_bytes_match(self) -> None:
        assert matches(NVME, NVME_NAME)
        for other in (NVME_NAME + "\0", NVME_NAME.upper(), NVME_NAME[:-17], ""):
            assert not matches(NVME, other)

    def test_a_difference_in_case_is_told_apart_and_still_no_match(self) -> None:
        shouting = NVME_NAME.replace("1b36", "1B36")
        assert differs_only_in_case(NVME, shouting)
        assert not matches(NVME, shouting)
        assert not differs_only_in_case(NVME, NVME_NAME)
        assert not differs_only_in_case(NVME, NVME_NAME.replace("1b36", "1B37"))

    def test_letters_that_only_become_ascii_in_lower_case_do_not_count(self) -> None:
        assert not differs_only_in_case(NVME, NVME_NAME.replace("SSVID", "SSV\u0130D"))

    def test_every_pcie_name_must_match_and_one_must_be_there(self) -> None:
        assert all_match(NVME, LeafNames((NVME_NAME, NVME_NAME), ()))
        assert not all_match(NVME, LeafNames((NVME_NAME, NVME_NAME.upper()), ()))
        assert not all_match(NVME, LeafNames((), (NVME_NAME,)))


class TestLeafNames:
    def test_both_kinds_are_read_in_order_and_others_ignored(self) -> None:
        leaf = leaf_with(
            x509.DNSName("example.org"),
            other_name(DMTF_OID, utf8_string("ACME:WIDGET:1")),
            other_name(CMA_OID, utf8_string(NVME_NAME)),
            other_name("1.2.3.4", b"\x05\x00"),
            other_name(CMA_OID, utf8_string("second")),
        )
        assert leaf_names(leaf) == LeafNames((NVME_NAME, "second"), ("ACME:WIDGET:1",))

    def test_a_leaf_without_alternative_names_has_none(self) -> None:
        assert leaf_names(issue("Plain").certificate) == LeafNames((), ())

    @pytest.mark.parametrize("oid", [CMA_OID, DMTF_OID])
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(b"\x13\x03abc", id="PrintableString"),
            pytest.param(b"\x16\x03abc", id="IA5String"),
            pytest.param(b"\x0c\x02\xc3\x28", id="not UTF-8"),
            pytest.param(b"\x30\x05\x0c\x03abc", id="wrapped"),
        ],
    )
    def test_a_name_that_is_not_one_utf8_string_is_an_error_not_no_name(self, oid: str, value: bytes) -> None:
        leaf = leaf_with(other_name(CMA_OID, utf8_string(NVME_NAME)), other_name(oid, value))
        with pytest.raises(CertificateProblem, match=f"CN=Leaf: subjectAltName {oid} is not one UTF8String"):
            leaf_names(leaf)

    @given(st.text(st.characters(codec="utf-8"), max_size=30))
    def test_a_name_is_carried_verbatim(self, text: str) -> None:
        assert leaf_names(leaf_with(other_name(DMTF_OID, utf8_string(text)))).device_info == (text,)

    def test_nvidia_s_leaf_has_the_dmtf_name_and_no_pcie_name(self, shared_data: Path) -> None:
        leaf = read_certificates((shared_data / "nvidia-hopper/hopperCertChain.txt").read_bytes(), "hopper")[0]
        assert leaf_names(leaf) == LeafNames((), ("NVIDIA:GH100:48B02D92494BADF4",))
        assert has_dice_tcb_info(leaf)

    def test_dmtf_s_sample_leaves_have_the_dmtf_name(self, shared_data: Path) -> None:
        for file in sorted(shared_data.glob("captures/roots/*/end_responder.cert.der")):
            (leaf,) = split_der(file.read_bytes(), file.name)
            assert leaf_names(leaf) == LeafNames((), ("ACME:WIDGET:1234567890",))
            assert not has_dice_tcb_info(leaf)


@pytest.mark.parametrize("oid", ["2.23.133.5.4.1", "2.23.133.5.4.5"])
def test_dice_tcb_info_is_seen_critical_or_not(oid: str) -> None:
    for critical in (True, False):
        dice = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x00")
        assert has_dice_tcb_info(issue("DICE", extensions=[(dice, critical)]).certificate)
    assert not has_dice_tcb_info(issue("Plain").certificate)
