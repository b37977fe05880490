"""The fuzz targets run: what was ever found stays found out, a short run finds nothing, and a broken product is found.

The inputs are numbered and not timed, so that a slow machine tries the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmakeys.spdm.chunks import ChunkAssembler
from cmakeys.spdm.messages.error import NotReady
from cmakeys.spdm.messages.session_control import HeartbeatAck
from cmakeys.spdm.secured import Opener
from cmakeys.spdm.session import Session
from cmakeys.spdm.states import State
from cmakeys.spdm.wire import Reader
from cmakeys.verify import proofs
from tests.fuzz import campaign, fuzz_bundle, mutation
from tests.fuzz.campaign import CORPUS, Coverage, Input
from tests.fuzz.damage import CHANGES, Damage
from tests.fuzz.stage import watched

NEW_INPUTS = 3000
SEED = 20400101
LARGEST_CORPUS = 300 << 10

GOOD_ENDS = ("accepted: nothing was changed", "no problem", "payload", "trusted")


@pytest.fixture(autouse=True)
def every_session_is_watched() -> Iterator[None]:
    with watched():
        yield


def names(*prefixes: str) -> list[str]:
    return [name for name in campaign.targets() if name.startswith(prefixes)]


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_short_run_on_certificates_finds_nothing() -> None:
    tried, finding = mutation.fuzz(fuzz_bundle.corpus(), fuzz_bundle.try_one, 1.0, seed=2)
    assert finding is None
    assert tried > 0


def test_the_target_can_find_something() -> None:
    def broken(data: bytes) -> None:
        raise IndexError(len(data))

    finding = fuzz_bundle.try_one(b"x", (broken,))
    assert finding is not None
    assert isinstance(finding.error, IndexError)


# -- conversations, recordings, transports -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", names("attest/", "session/", "questions/", "survey/", "recording/", "verdict/"))
def test_nothing_ends_badly_that_nobody_damages(name: str) -> None:
    played = campaign.targets()[name].play(())
    assert played.finding == ""
    assert played.ended[1] in GOOD_ENDS


@pytest.mark.parametrize("name", names("channel/", "framing/"))
def test_an_honest_answer_comes_through_every_transport(name: str) -> None:
    assert campaign.targets()[name].play(()).ended[1] == "payload"


def test_the_captures_of_the_reference_pair_are_told_without_a_problem(shared_data: Path) -> None:
    found = {name: campaign.targets()[name].play(()) for name in names("capture/")}
    assert len(found) > 10
    assert {name: played.ended for name, played in found.items() if played.ended[1] not in GOOD_ENDS} == {}


def test_the_corpus_and_a_run_after_it_find_nothing_and_leave_no_step_out() -> None:
    coverage = Coverage()
    for tried in campaign.read_corpus():
        if tried.target in campaign.targets():
            coverage.take(tried, campaign.play(tried))
    chosen = [target for name, target in campaign.targets().items() if not name.startswith("capture/")]
    for _ in campaign.run(NEW_INPUTS, SEED, coverage, chosen):
        pass
    assert [f"{finding.input.line()}: {finding.what}" for finding in coverage.findings] == []
    assert coverage.missing(chosen) == {}
    assert coverage.inputs > NEW_INPUTS


def test_the_corpus_is_small_and_of_inputs_that_differ() -> None:
    assert sum(path.stat().st_size for path in CORPUS.glob("*.jsonl")) < LARGEST_CORPUS
    lines = [tried.line() for tried in campaign.read_corpus()]
    assert len(lines) == len(set(lines)) > 1000
    assert {tried.target.split("/")[0] for tried in campaign.read_corpus()} >= {
        *("attest", "session", "questions", "survey"),
        *("recording", "verdict", "channel", "framing"),
    }


@pytest.mark.parametrize("line", ['["attest/1.2/plain",[3,"wire","error",3,0,""]]', '["framing/mctp"]'])
def test_a_line_of_a_corpus_is_read_as_it_is_written(line: str) -> None:
    assert Input.of(line).line() == line


def test_the_same_seed_gives_the_same_inputs() -> None:
    chosen = [campaign.targets()["attest/1.2/plain"]]
    first, second = ([one.line() for one in campaign.inputs(50, 7, Coverage(), chosen)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 40


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_fits_every_message(kind: str) -> None:
    arguments: dict[str, tuple[int | str, ...]] = {
        **dict.fromkeys(("flip", "set", "grow", "delete"), (9, 3)),
        **dict.fromkeys(("cut", "shorten", "version", "code", "param1", "param2"), (9,)),
        **dict.fromkeys(("append", "be"), ("ff",)),
        **dict.fromkeys(("insert", "put"), (9, "ff")),
        **dict.fromkeys(("number", "swap", "repeat"), (9, 3, 2)),
        "empty": (),
    }
    for octets in (b"", b"a", bytes(100)):
        assert isinstance(CHANGES[kind](octets, *arguments[kind]), bytes)


# -- a product that is broken ------------------------------------------------------------------------------------------


def inputs_until_found(limit: int, *prefixes: str) -> int:
    """How many inputs of these targets it takes to find something; fails after `limit`."""
    coverage = Coverage()
    chosen = [campaign.targets()[name] for name in names(*prefixes)]
    for finding in campaign.run(limit, 1, coverage, chosen):
        if finding is not None:
            return coverage.inputs
    raise AssertionError(f"nothing found in {limit} inputs")


def test_a_verifier_that_checks_no_signature_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "verify_statement", lambda *_: None)
    assert inputs_until_found(2000, "verdict/")


def test_a_reader_without_bounds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(reader: Reader, count: int, _: str) -> bytes:
        octets = bytes(reader._data[reader.offset + index] for index in range(count))
        reader.offset += count
        return octets

    monkeypatch.setattr(Reader, "take", take)
    assert inputs_until_found(2000, "attest/1.2/")


def test_a_session_that_keeps_its_keys_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(one: Session) -> None:
        one.requester.connection.state = State.ENDED

    monkeypatch.setattr(Session, "close", close)
    assert inputs_until_found(200, "session/1.2/")


def test_a_record_that_is_believed_without_its_mac_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def believing(opener: Opener, record: bytes) -> tuple[bytes, int, int]:
        text = record[8 if opener._sequence_length else 6 : -16]
        return text, 0, len(text)

    monkeypatch.setattr(Opener, "_open", believing)
    assert inputs_until_found(3000, "session/1.2/mac-only")


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (ChunkAssembler, "_fail", lambda *_: IndexError("chunk")),
        (NotReady, "pull", lambda *_: 1 // 0),
        (HeartbeatAck, "pull", lambda reader: reader.take(1 << 20, "more")),
    ],
    ids=["chunks", "not-ready", "heartbeat"],
)
def test_anything_but_the_clean_errors_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, broken: Callable[..., object]
) -> None:
    monkeypatch.setattr(owner, name, broken)
    assert inputs_until_found(4000, "attest/1.2/chunks", "session/1.2/encrypted")


def test_damage_is_one_line() -> None:
    damage = Damage(3, "wire", "put", (4, "00ff"))
    assert Damage.of(damage.line()) == damage
    with pytest.raises(ValueError, match="no damage"):
        Damage.of(["x", "wire", "flip"])
