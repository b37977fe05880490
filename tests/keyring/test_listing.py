"""/proc/keys is text by anybody: no line of it is believed by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem, Unsupported
from cmakeys.keyring import listing as module
from cmakeys.keyring.keyctl import Serial, SpecialRing
from cmakeys.keyring.listing import ForgedListing, KeySummary, Listing, kernel_algorithms, read_listing
from tests.keyring.kernel import TestingKeyctl, root

GENUINE = b"""\
00492567 I------     1 perm 0f0b0000     0     0 keyring   .blacklist: empty
19e8b574 I--Q---     2 perm 1f3f0000     0     0 keyring   .cma: 1
13e33fb7 I--Q---     1 expd 3f010000     0    -1 user      expired: 3
14f07964 I--Q---     1 perm 39010000     0     0 asymmetri two
lines: X509.rsa []
2dce4ad7 I--Q---     1   2w 3f010000     0     0 user        led by spaces: 3
3568999e I--Q---     1 perm 39010000  1000     0 asymmetri cmakeys:a:b: X509.ecdsa-nist-p384 db0ee01d []
3568999f I--Q---     1 perm 39010000  1000     0 asymmetri no id: X509.rsa []
"""


@given(st.binary(max_size=2000))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    for line in Listing.parse(data).lines:
        assert line.serial >= 0


@given(st.lists(st.sampled_from(GENUINE.split(b"\n")), max_size=12), st.binary(max_size=50), st.integers(0, 400))
def test_lines_and_rubbish_in_any_order_are_never_more_than_candidates(
    lines: list[bytes], rubbish: bytes, cut: int
) -> None:
    data = b"\n".join(lines)
    listing = Listing.parse(data[:cut] + rubbish + data[cut:])
    assert set(listing.keyrings(".cma")) <= {line.serial for line in listing.lines}


def test_the_kernel_s_lines_are_read() -> None:
    listing = Listing.parse(GENUINE)
    assert listing.keyrings(".cma") == (Serial(0x19E8B574),)
    assert listing.keyrings(".blacklist") == (Serial(0x492567),)
    assert listing.keyrings("cma") == ()
    assert listing.summary(Serial(0x3568999E), "cmakeys:a:b") == KeySummary("ecdsa-nist-p384", "db0ee01d")
    assert listing.summary(Serial(0x3568999F), "no id") == KeySummary("rsa", "")
    assert listing.summary(Serial(0x1), "absent") is None
    assert listing.claimed_description(Serial(0x13E33FB7)) == "expired"
    assert listing.claimed_description(Serial(0x2DCE4AD7)) == "  led by spaces"
    assert listing.claimed_description(Serial(0x1)) == ""


def test_two_stories_about_one_key_are_a_forgery() -> None:
    forged = GENUINE + GENUINE.split(b"\n")[6].replace(b"db0ee01d", b"00000000") + b"\n"
    with pytest.raises(ForgedListing, match="2 different things"):
        Listing.parse(forged).summary(Serial(0x3568999E), "cmakeys:a:b")


def test_a_line_that_does_not_fit_the_description_is_a_forgery() -> None:
    with pytest.raises(ForgedListing, match="as the kernel does"):
        Listing.parse(GENUINE).summary(Serial(0x3568999E), "cmakeys:c:d")


def test_a_listing_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTING", 1000)
    path = tmp_path / "keys"
    path.write_bytes(GENUINE * 20)
    with pytest.raises(EnvironmentProblem, match="longer than 1000 bytes"):
        read_listing(path)


def test_a_kernel_without_keys_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="lists no keys"):
        read_listing(tmp_path / "none")


def test_names_of_algorithms_are_found(tmp_path: Path) -> None:
    path = tmp_path / "crypto"
    path.write_text("name         : rsa\ndriver       : rsa-generic\n\nname         : ecdsa-nist-p256\ntype : sig\n")
    assert kernel_algorithms(path) == frozenset({"rsa", "ecdsa-nist-p256"})
    assert kernel_algorithms(tmp_path / "none") is None


@pytest.mark.system
@pytest.mark.usefixtures("rsa_loads")
def test_the_kernel_prints_what_we_expect_of_it(kernel: TestingKeyctl) -> None:
    anchor = root("a")
    key = kernel.add_key("asymmetric", anchor.description, anchor.certificate.der, SpecialRing.SESSION)
    kernel.keyring("cmakeys test ring", SpecialRing.SESSION)
    summary = read_listing().summary(key, anchor.description)
    assert summary is not None
    assert (summary.algorithm, len(summary.key_id)) == ("rsa", 8)
    assert len(read_listing().keyrings("cmakeys test ring")) == 1
