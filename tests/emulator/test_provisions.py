from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.provisions import MAX_KEYS, PskFileProblem, parse_psks, read_anchors, read_chain, read_psks
from cmakeys.errors import EnvironmentProblem, EvidenceProblem
from tests.emulator.session_driver import requester_credentials


def test_a_file_has_keys_by_their_hints() -> None:
    text = b"# for tests\n\n  0a0B   616263 \n- 00\n".replace(b"- ", b"ff ")
    assert parse_psks(text, "file") == {b"\x0a\x0b": b"abc", b"\xff": b"\0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no key"),
        (b"# 00 00", "no key"),
        (b"00", "line 1 has 1 words"),
        (b"\n00 00 00", "line 2 has 3 words"),
        (b"00 0", "line 1 is not hexadecimal"),
        (b"secret key", "line 1 is not hexadecimal"),
        ("00 é".encode(), "line 1 is not hexadecimal"),
        (b"aa 00\nAA 01", "line 2 has the hint of an earlier line"),
        (b"".join(b"%04x 00\n" % number for number in range(MAX_KEYS + 1)), "more than"),
    ],
)
def test_a_file_that_cannot_be_understood_is_said_by_line_and_never_quoted(text: bytes, words: str) -> None:
    with pytest.raises(PskFileProblem, match=words) as caught:
        parse_psks(text, "the file")
    assert caught.value.object == "the file"
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=200))
def test_noise_brings_nothing_but_a_clean_error(noise: bytes) -> None:
    try:
        assert parse_psks(noise, "noise")
    except PskFileProblem:
        return


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40), min_size=1, max_size=9))
def test_what_is_written_is_read_back(keys: dict[bytes, bytes]) -> None:
    text = "\n".join(f"{hint.hex()} {key.hex()}" for hint, key in keys.items())
    assert parse_psks(text.encode(), "file") == keys


def test_certificates_are_read_and_put_into_order(tmp_path: Path) -> None:
    chain = requester_credentials(KeyType.ECDSA_P384).chain
    path = tmp_path / "chain.pem"
    path.write_bytes(b"".join(one.parsed.public_bytes(Encoding.PEM) for one in reversed(chain)))
    assert read_chain(path) == chain
    assert set(read_anchors([path, path])) == set(chain)


def test_a_file_that_is_not_there_or_too_large_is_said(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        read_psks(tmp_path / "none")
    large = tmp_path / "large"
    large.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(EvidenceProblem, match="1 MiB"):
        read_psks(large)
