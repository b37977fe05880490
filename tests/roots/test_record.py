"""A root as files: what is written is read back as the same, what is not right is named with file and line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import EnvironmentProblem
from cmakeys.roots.document import DocumentProblem, render_document
from cmakeys.roots.record import (
    MAX_PEM_SIZE,
    StoreProblem,
    read_deny,
    read_pem,
    read_root,
    render_deny,
    render_pem,
    render_root,
)
from cmakeys.roots.root import Constraints, LeafNameRule, LifeCycle, Provenance, Root, Rotation
from cmakeys.roots.rootset import DenyEntry, DenyKind
from tests.roots.trust import certificate, root

A = root("a")
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))
ids = st.frozensets(st.integers(0, 0xFFFF), max_size=4)
printable = st.text(st.characters(exclude_categories=("C", "Z")), max_size=30)
roots = st.builds(
    Root,
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True).filter(lambda name: name != "deny"),
    st.just(certificate("a")),
    st.sampled_from(LifeCycle),
    st.builds(
        Constraints,
        ids,
        ids,
        st.frozensets(st.sampled_from(["03", "0302", "030200"])),
        st.frozensets(st.integers(0, 7)),
        st.frozensets(st.sampled_from(["ECDSA-P384", "ML-DSA-65"])),
        st.frozensets(st.sampled_from(["1.0", "1.1", "1.4"])),
        st.sampled_from(LeafNameRule),
    ),
    st.builds(Provenance, printable, st.none() | times, printable, printable, printable),
    st.none() | times,
    st.none() | st.builds(Rotation, st.just("ab" * 32), times, times, st.none() | st.sampled_from(LifeCycle)),
)


def read(entry: Root, record: bytes | None = None, pem: bytes | None = None) -> Root:
    return read_root(
        entry.name,
        render_root(entry) if record is None else record,
        render_pem(entry.certificate) if pem is None else pem,
        record_source="r.yaml",
        pem_source="r.pem",
    )


@given(roots)
def test_a_written_root_is_read_back(entry: Root) -> None:
    assert read(entry) == entry


ROTATION = {
    "successor": "ab" * 32,
    "started": "2040-01-01T00:00:00Z",
    "overlap-until": "2040-02-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"successor": "ab"}, "not a SHA-256"),
        ({"successor": A.fingerprint}, "cannot replace itself"),
        ({"started": "2040-01-01"}, "not a time"),
        ({"overlap-until": ""}, "not a time"),
        ({"successor-was": "unknown"}, "not known here"),
        ({"finished": "2040-01-01T00:00:00Z"}, "unknown key 'finished'"),
    ],
)
def test_a_rotation_that_is_not_one_is_named(change: dict[str, str], complaint: str) -> None:
    record = render_root(A) + render_document({"rotation": ROTATION | change})
    with pytest.raises(DocumentProblem, match=complaint):
        read(A, record=record)


@pytest.mark.parametrize("key", ROTATION)
def test_a_rotation_is_not_half_there(key: str) -> None:
    rest = {name: text for name, text in ROTATION.items() if name != key}
    with pytest.raises(DocumentProblem, match=f"{key} missing"):
        read(A, record=render_root(A) + render_document({"rotation": rest}))


@given(st.text(max_size=50))
def test_a_source_with_any_characters_can_be_written_and_read(text: str) -> None:
    back = read(Root("a", certificate("a"), provenance=Provenance(source=text)))
    assert back.provenance.source.isprintable()


def test_a_file_name_that_is_not_utf8_can_be_a_source() -> None:
    name = b"caf\xe9.pem".decode("utf-8", "surrogateescape")
    assert read(Root("a", certificate("a"), provenance=Provenance(source=name))).provenance.source == "caf\\udce9.pem"


@given(st.binary(max_size=200))
def test_any_bytes_as_record_are_one_clean_error(data: bytes) -> None:
    with pytest.raises(DocumentProblem, match=r"."):
        read(A, record=data)


@given(st.binary(max_size=200))
def test_any_bytes_as_certificate_are_one_clean_error(data: bytes) -> None:
    with pytest.raises(StoreProblem):
        read(A, pem=b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n")


@given(st.integers(0, len(render_root(A)) - 1), st.integers(1, 255))
def test_a_flipped_byte_in_a_record_never_gives_another_certificate(position: int, flip: int) -> None:
    record = bytearray(render_root(A))
    record[position] ^= flip
    try:
        back = read(A, record=bytes(record))
    except EnvironmentProblem:
        return
    assert back.certificate == A.certificate


def test_a_pem_has_lines_that_openssl_reads() -> None:
    lines = render_pem(A.certificate).splitlines()
    assert lines[0] == b"-----BEGIN CERTIFICATE-----"
    assert max(len(line) for line in lines[1:-1]) == 64


def test_text_around_the_certificate_and_dos_line_ends_do_no_harm() -> None:
    pem = b"subject: a\n" + render_pem(A.certificate).replace(b"\n", b"\r\n") + b"bye\n"
    assert read_pem(pem, "x") == A.certificate


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        (b"", "no certificate"),
        (b"hello", "no certificate"),
        (render_pem(certificate("a")) * 2, "2 PEM blocks"),
        (render_pem(certificate("a")) + render_pem(certificate("b")), "2 PEM blocks"),
        (
            render_pem(certificate("a")) + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "2 PEM blocks",
        ),
        (render_pem(certificate("a"))[:-40], "no whole certificate"),
        (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "not a certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "not a certificate"),
        (b" " * (MAX_PEM_SIZE + 1), "more than"),
    ],
)
def test_a_pem_file_holds_exactly_one_certificate(pem: bytes, says: str) -> None:
    with pytest.raises(StoreProblem, match=says) as caught:
        read_pem(pem, "nvidia.pem")
    assert caught.value.object == "nvidia.pem"


def test_halves_of_different_pairs_are_noticed() -> None:
    with pytest.raises(StoreProblem, match="is about") as caught:
        read(A, pem=render_pem(certificate("b")))
    assert caught.value.object == "r.pem"


HEAD = f"schema: 1\ncertificate: {A.fingerprint}\nstate: trusted\n"


@pytest.mark.parametrize(
    ("record", "line", "says"),
    [
        (HEAD.replace("schema: 1", "schema: 2"), 1, "schema 2 is not known"),
        (HEAD + "only-for: gpus\n", 4, "unknown key 'only-for'"),
        (HEAD.replace("trusted", "loved"), 3, "'loved' is not known"),
        (HEAD.replace(A.fingerprint, A.fingerprint[:-1]), 2, "is not a SHA-256"),
        (HEAD + "distrust-after: tomorrow\n", 4, "is not a time"),
        (HEAD + "constraints:\n  pci-vendors: [10dg]\n", 5, "hex digits"),
        (HEAD + "constraints:\n  pci-vendors: [10de0]\n", 5, "not 16 bits"),
        (HEAD + "constraints:\n  pci-vendors: []\n", 5, "is empty"),
        (HEAD + "constraints:\n  pci-vendors: 10de\n", 5, "a list is expected"),
        (HEAD + "constraints:\n  slots: [8]\n", 5, "slot 8 does not exist"),
        (HEAD + "constraints:\n  only: x\n", 5, "unknown key 'only'"),
        (HEAD + "constraints:\n  leaf-name: any\n", 5, "'any' is not known"),
        (HEAD + "provenance:\n  whence: x\n", 5, "unknown key 'whence'"),
        ("schema: 1\nstate: trusted\n", 1, "certificate missing"),
    ],
)
def test_a_fault_in_a_record_names_its_line(record: str, line: int, says: str) -> None:
    with pytest.raises(DocumentProblem, match=says) as caught:
        read(A, record=record.encode())
    assert caught.value.object == f"r.yaml line {line}"


def test_a_record_of_three_lines_is_enough() -> None:
    assert read(A, record=HEAD.encode()) == A


DENIED = (
    DenyEntry(DenyKind.CERTIFICATE, "a" * 64, "stolen: 2026"),
    DenyEntry(DenyKind.KEY, "b" * 64),
)


def test_written_deny_entries_are_read_back() -> None:
    assert read_deny(render_deny(DENIED), "deny.yaml") == DENIED


@pytest.mark.parametrize(
    "entry",
    [
        "{}",
        "{reason: x}",
        f"{{certificate: {'a' * 64}, key: {'a' * 64}}}",
        "{certificate: abc}",
        f"{{name: nvidia, key: {'a' * 64}}}",
        "nvidia",
    ],
)
def test_a_deny_entry_that_denies_nothing_certain_is_refused(entry: str) -> None:
    with pytest.raises(DocumentProblem, match=r".") as caught:
        read_deny(f"schema: 1\ndeny:\n  - {entry}\n".encode(), "deny.yaml")
    assert caught.value.object == "deny.yaml line 3"
