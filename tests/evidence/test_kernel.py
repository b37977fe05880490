"""Entries of the kernel's signature log are verified by us, every bit of them, and become evidence like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmakeys.devices.kernel import read_slots
from cmakeys.devices.signatures import LoggedSignature, read_log
from cmakeys.emulator.keys import KeyType
from cmakeys.emulator.pki import DeviceCredentials, DeviceRequest
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.evidence import archive
from cmakeys.evidence.kernel import LogFinding, LogOutcome, examine
from cmakeys.roots.root import Root
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.codes import Version
from cmakeys.verify.policy import Policy
from cmakeys.verify.verdict import StepOutcome
from cmakeys.verify.verifier import verify
from tests.devices.kernel_log import KERNEL_VERSIONS, entry_of, kernel_conversation
from tests.devices.sysfs import Tree
from tests.evidence.loopback import IDENTITY, NOW, credentials, device, vendor

URL = "pci:0000:01:00.0"
NONCE = bytes(range(32))
SIGNATURE_SIZES = {KeyType.ECDSA_P256: 64, KeyType.ECDSA_P384: 96, KeyType.ECDSA_P521: 132, KeyType.RSA_3072: 384}


@cache
def parts(version: Version = Version.V12, key: KeyType = KeyType.ECDSA_P384) -> dict[str, bytes]:
    versions = DeviceSettings(versions=KERNEL_VERSIONS[: KERNEL_VERSIONS.index(version) + 1])
    emulated = device(credentials(DeviceRequest("0001", IDENTITY, key)), settings=versions)
    return entry_of(kernel_conversation(emulated, version, NONCE), SIGNATURE_SIZES[key])


def chain() -> DeviceCredentials:
    return credentials(DeviceRequest("0001", IDENTITY, KeyType.ECDSA_P384))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.add()
    return tree


def finding(tree: Tree, nonce: bytes | None = None) -> LogFinding:
    (entry,) = read_log(tree.sysfs, tree.folder())
    slots = read_slots(tree.sysfs, tree.folder())
    return examine(entry, slots, device=URL, identity=IDENTITY, expected_nonce=nonce)


def logged(**changes: bytes | str | int | None) -> LoggedSignature:
    found = parts()
    entry = LoggedSignature(
        7,
        NOW,
        found["signature"],
        found["transcript"],
        found["requester_nonce"],
        found["responder_nonce"],
        "sha384",
        found["combined_spdm_prefix"],
        "responder-challenge_auth signing",
        0,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]  # the caller names fields of LoggedSignature


def outcome(entry: LoggedSignature) -> LogOutcome:
    return examine(entry, (), device=URL).outcome


@pytest.mark.parametrize("version", KERNEL_VERSIONS, ids=str)
@pytest.mark.parametrize("key", [KeyType.ECDSA_P384, KeyType.RSA_3072], ids=lambda key: key.name)
def test_a_true_entry_of_every_version_is_verified(tree: Tree, version: Version, key: KeyType) -> None:
    tree.log(0, parts(version, key))
    found = finding(tree, NONCE)
    assert (found.outcome, found.faults) == (LogOutcome.VERIFIED, ())
    assert found.evidence is not None
    assert found.evidence.expected_nonce == NONCE


def test_the_cached_slot_is_compared_with_the_chain_that_signed(tree: Tree) -> None:
    tree.log(0, parts())
    assert "another chain by now" in finding(tree).notes[0]
    tree.slot(0, b"".join(one.der for one in chain().chain))
    found = finding(tree)
    assert (found.outcome, found.notes) == (LogOutcome.VERIFIED, ())
    assert found.leaf is not None
    assert found.leaf.der == chain().chain[-1].der


def test_the_evidence_is_archived_and_judged_like_any_other(tree: Tree) -> None:
    tree.log(0, parts())
    evidence = finding(tree, NONCE).evidence
    assert evidence is not None
    again = archive.decode(archive.encode(evidence), "file")
    assert again == evidence
    rootset = RootSet((Root("acme", vendor().certificate),))
    verdict = verify(again, rootset, policy=Policy(), now=NOW)
    by_number = {step.number: step.outcome for step in verdict.steps}
    assert {number: by_number[number] for number in (1, 2, 3, 4, 9, 11)} == dict.fromkeys(
        (1, 2, 3, 4, 9, 11), StepOutcome.PASSED
    )
    assert by_number[12] is StepOutcome.NOT_CHECKED


def test_another_nonce_than_the_one_given_is_a_fault(tree: Tree) -> None:
    tree.log(0, parts())
    found = finding(tree, bytes(32))
    assert found.outcome is LogOutcome.REFUTED
    assert "nonce that the kernel was given" in found.faults[0]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"requester_nonce": bytes(32)}, "requester's nonce"),
        ({"responder_nonce": bytes(32)}, "responder's nonce"),
        ({"hash_name": "sha256"}, "the log says hash 'sha256', sha384 was negotiated"),
        ({"hash_name": "\x1b[2J"}, "the log says hash"),
        ({"prefix": b""}, "the prefix"),
        ({"slot": 1}, "linked to the chain of slot 1, but slot 0 was challenged"),
        ({"signature": bytes(96)}, "does not verify"),
        ({"signature": bytes(95)}, "no conversation"),
        ({"signature": bytes(97)}, "no conversation"),
        ({"transcript": b""}, "no conversation"),
        ({"transcript": b"\x10\x84"}, "no conversation"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_false_entry_is_refuted_with_what_is_wrong(change: dict[str, bytes | str | int | None], fault: str) -> None:
    found = examine(logged(**change), (), device=URL)
    assert found.outcome is LogOutcome.REFUTED
    assert any(fault in one for one in found.faults)


def test_a_signature_of_unknown_kind_is_not_judged() -> None:
    assert outcome(logged(kind="requester-finish signing")) is LogOutcome.UNREADABLE
    assert outcome(logged(kind="")) is LogOutcome.UNREADABLE


def test_a_signature_over_measurements_is_not_taken_for_a_challenge() -> None:
    found = examine(logged(kind="responder-measurements signing"), (), device=URL)
    assert found.outcome is LogOutcome.REFUTED
    assert found.evidence is None


@settings(max_examples=150, deadline=None)
@given(
    part=st.sampled_from(["transcript", "signature", "requester_nonce", "responder_nonce", "prefix"]), data=st.data()
)
def test_no_flipped_bit_survives(part: str, data: st.DataObject) -> None:
    original: bytes = getattr(logged(), part)
    position = data.draw(st.integers(0, 8 * len(original) - 1))
    flipped = bytearray(original)
    flipped[position // 8] ^= 1 << position % 8
    assert outcome(logged(**{part: bytes(flipped)})) is LogOutcome.REFUTED


_PIECES: tuple[Callable[[bytes], st.SearchStrategy[bytes]], ...] = (
    lambda transcript: st.integers(0, len(transcript)).map(lambda end: transcript[:end]),
    lambda transcript: st.integers(0, len(transcript)).map(lambda begin: transcript[begin:]),
    lambda transcript: st.binary(max_size=60).map(lambda tail: transcript + tail),
    lambda transcript: st.integers(0, 8).map(lambda count: transcript[:4] * count + transcript),
)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=100), *(piece(parts()["transcript"]) for piece in _PIECES)))
def test_any_other_transcript_is_refuted_and_nothing_is_raised(transcript: bytes) -> None:
    expected = LogOutcome.VERIFIED if transcript == parts()["transcript"] else LogOutcome.REFUTED
    assert outcome(logged(transcript=transcript)) is expected


def test_a_transcript_of_endless_exchanges_comes_to_an_end() -> None:
    version = bytes.fromhex("10840000") + bytes.fromhex("1004000000010012")
    found = examine(logged(transcript=version * 60_000), (), device=URL)
    assert found.outcome is LogOutcome.REFUTED
    assert "more than" in found.faults[0]
