"""Recorded conversations in which anything may have been changed: the listener, its reports, and the verdict on them.

The recordings are made by the honest cases of `scenarios`, over the framing of each transport, with the secrets of
their sessions. Where the captures of the reference pair are there, they are damaged as well.

* Whatever a file holds, it is a recording or gives the one clean error; and every frame of a recording is told.
* A verdict of trust needs the signed facts of the honest conversation.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.evidence.recording import evidence_of
from cmakeys.evidence.trace import Spoken, read_secrets, trace
from cmakeys.reports.trace import trace_data, trace_lines
from cmakeys.roots.root import Constraints, LifeCycle, Root
from cmakeys.roots.rootset import RootSet
from cmakeys.spdm.codes import Version
from cmakeys.spdm.connection import Exchange
from cmakeys.spdm.eavesdropper import KeptSecrets
from cmakeys.spdm.reassembly import logical_exchanges
from cmakeys.spdm.wire import WireError
from cmakeys.transports.emulator_socket import Command
from cmakeys.transports.framing import wrap
from cmakeys.transports.pcap import from_pcap, to_pcap
from cmakeys.transports.recording import Entry, Recording, RecordingProblem
from cmakeys.verify.policy import Policy
from cmakeys.verify.review import review
from cmakeys.verify.verifier import verify
from tests.conftest import SHARED_DATA
from tests.fuzz.casting import IDENTITY, PSK, vendor
from tests.fuzz.damage import CHANGES, Damage, change, draw_change
from tests.fuzz.scenarios import cases
from tests.fuzz.stage import FRAMINGS, Stage, WatchedSession
from tests.fuzz.target import Played, described, several, simplified, template

NOW = datetime(2040, 1, 1, tzinfo=UTC)
Signed = tuple[tuple[object, ...], frozenset[tuple[int, bytes]]]

FOLLOWED = 30
"""Frames of a long recording that are heard after the last damaged one."""

CAPTURES = SHARED_DATA / "captures"
_TEST_PSK = {b"TestPskHint\0": b"TestPskData\0"}
_ORDER = ("drop", "double", "swap", "turn", "transport", "command", "move")
_TRANSPORTS = (0, 1, 2, 3, 4, 5, 0xFFFFFFFF)
_RECORDED = (
    "attest/1.0/plain",
    "attest/1.2/chunks",
    "attest/1.3/multi-key",
    "attest/1.4/mutual",
    "session/1.1/encrypted",
    "session/1.2/clear-handshake",
    "session/1.2/mutual-encapsulated",
    "session/1.3/questions",
    "session/1.3/psk",
    "session/1.4/psk-without-context",
    "session/1.4/ml-kem",
    "session/1.4/mutual-clear",
)
_JUDGED = (
    "attest/1.0/plain",
    "attest/1.1/two-slots",
    "attest/1.2/plain",
    "attest/1.3/multi-key",
    "attest/1.4/two-slots",
)


@dataclass(frozen=True, slots=True)
class Taped:
    """A recording and what opens its sessions."""

    entries: tuple[Entry, ...]
    secrets: KeptSecrets
    pairs: tuple[tuple[bytes, bytes], ...]


@cache
def taped(name: str) -> Taped:
    """The recording of an honest case."""
    case = cases()[name]
    entries: list[Entry] = []
    pairs: list[tuple[bytes, bytes]] = []
    framing = FRAMINGS[case.binding]

    def hear(request: bytes, response: bytes, secured: bool) -> None:
        sides: tuple[tuple[Literal["req", "rsp"], bytes], ...] = (("req", request), ("rsp", response))
        for direction, octets in sides:
            frame = wrap(framing, octets, secured=secured)
            entries.append(Entry(1.0 + len(entries) / 8, direction, Command.NORMAL, framing, frame))
        if not secured:
            pairs.append((request, response))

    stage = Stage(case.hardware, case.binding, listener=hear)
    stage.run(case.scenario(stage))
    stage.forget()
    WatchedSession.made.clear()
    return Taped(tuple(entries), KeptSecrets(tuple(stage.secrets), {PSK.hint: PSK.key}), tuple(pairs))


@cache
def captured(name: str) -> Taped:
    """A capture of the reference pair."""
    path = CAPTURES / f"{name}.pcap.raw.jsonl"
    recording = Recording.read(path)
    kept = CAPTURES / f"{name}.secrets.txt"
    secrets = read_secrets(kept) if kept.exists() else KeptSecrets()
    psks = {**_TEST_PSK, **secrets.psks}
    return Taped(recording.conversation(), KeptSecrets(secrets.exchanges, psks), ())


# -- the listener ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordingTarget:
    """A recording that is damaged, written to a file, read again, followed and told."""

    name: str
    tape: str
    weight: int

    @property
    def taped(self) -> Taped:
        """What is damaged."""
        return captured(self.tape) if self.name.startswith("capture/") else taped(self.tape)

    def draw(self, rng: random.Random) -> tuple[Damage, ...]:
        """Damage to frames, to their order, or to the file."""
        return several(rng, lambda: self._draw(rng))

    def _draw(self, rng: random.Random) -> Damage:
        entries = self.taped.entries
        at = rng.randrange(len(entries))
        choice = rng.random()
        if choice < 0.2:
            kind = rng.choice(_ORDER)
            return Damage(at, "order", kind, (rng.randrange(64),))
        if choice < 0.3:
            form = rng.choice((0, 1))
            kind, arguments = draw_change(rng, 300)
            return Damage(rng.randrange(8), "file", kind, (form, *arguments))
        return Damage(at, "frame", *draw_change(rng, min(len(entries[at].frame), 300)))

    def play(self, damages: tuple[Damage, ...]) -> Played:
        """Hear a damaged recording."""
        tape = self.taped
        spoken: list[Spoken] = []
        try:
            recording = Recording(_damaged(tape.entries, damages), "fuzz", "emu://127.0.0.1:2323?transport=doe")
            recording = _through_file(recording, damages)
            for one in trace(recording, tape.secrets):
                spoken.append(one)
                _tell(one)
            ended = _problems(spoken)
        except RecordingProblem as error:
            ended = ("the file", template(error))
        except Exception as error:
            return Played(("listener", template(error)), type(error).__name__, finding=described(error))
        reached = Counter(f"heard {'in session ' if one.session is not None else ''}{one.name}" for one in spoken)
        damaged: Counter[str] = Counter()
        if not any(one.layer == "file" for one in damages):
            damaged.update(reached)
        received = sum(len(entry.frame) for entry in tape.entries)
        missing = ended[0] != "the file" and len({one.number for one in spoken}) != len(recording.conversation())
        finding = "a frame was not told" if missing else self._as_evidence(recording) if ended[0] != "the file" else ""
        return Played(ended, f"recording: {ended[1].split(':')[0]}", reached, damaged, received, finding)

    def _as_evidence(self, recording: Recording) -> str:
        """What a damaged recording is as evidence: facts, or the one clean error."""
        try:
            review(evidence_of(recording))
        except RecordingProblem:
            return ""
        except Exception as error:
            return described(error)
        return ""


def _tell(spoken: Spoken) -> None:
    for line in trace_lines(spoken, 1.0, details=True):
        str(line)
    json.dumps(trace_data(spoken, octets=False), default=bytes.hex)


def _problems(spoken: list[Spoken]) -> tuple[str, str]:
    first = next((one for one in spoken if one.problem), None)
    if first is None:
        return "listener", "no problem"
    where = "in session " if first.session is not None else ""
    return f"heard {where}{first.name}", f"problem: {simplified(first.problem)}"


def _damaged(entries: tuple[Entry, ...], damages: tuple[Damage, ...]) -> tuple[Entry, ...]:
    last = max((one.at for one in damages if one.layer in ("frame", "order")), default=0)
    found = list(entries[: last + FOLLOWED])
    for damage in damages:
        if damage.layer == "frame" and damage.kind in CHANGES and damage.at < len(found):
            entry = found[damage.at]
            found[damage.at] = replace(entry, frame=change(entry.frame, damage))
    for damage in reversed(damages):
        if damage.layer == "order" and damage.at < len(found):
            _reorder(found, damage.at, damage.kind, int(damage.arguments[0]))
    return tuple(found)


def _reorder(entries: list[Entry], at: int, kind: str, number: int) -> None:
    entry = entries[at]
    other = number % len(entries)
    match kind:
        case "drop":
            del entries[at : at + 1 + number % 3]
        case "double":
            entries[other:other] = [entry]
        case "swap":
            entries[at], entries[other] = entries[other], entry
        case "turn":
            entries[at] = replace(entry, direction="rsp" if entry.direction == "req" else "req")
        case "transport":
            entries[at] = replace(entry, transport=_TRANSPORTS[number % len(_TRANSPORTS)])
        case "command":
            entries[at] = replace(entry, command=number)
        case _:
            entries.insert(other, entries.pop(at))


def _through_file(recording: Recording, damages: tuple[Damage, ...]) -> Recording:
    """Written and read again, where the file is to be damaged; a capture file says less than our own form."""
    due = [one for one in damages if one.layer == "file" and one.kind in CHANGES]
    for damage in due:
        form, *arguments = damage.arguments
        inner = Damage(damage.at, "file", damage.kind, tuple(arguments))
        if form == 0:
            lines = [entry.line().encode() for entry in recording.entries]
            place = damage.at % len(lines) if lines else 0
            lines[place : place + 1] = [change(line, inner) for line in lines[place : place + 1]]
            recording = Recording.parse(b"\n".join(lines), "fuzz")
        else:
            octets = to_pcap(recording)
            recording = from_pcap(octets[: damage.at * 3] + change(octets[damage.at * 3 :], inner), "fuzz")
    return recording


# -- verdicts ----------------------------------------------------------------------------------------------------------


@cache
def _roots() -> RootSet:
    return RootSet((Root("fuzz", vendor().certificate, LifeCycle.TRUSTED, Constraints()),), ())


@cache
def _trusted_facts(name: str) -> Signed:
    evidence = _evidence(taped(name).pairs)
    assert verify(evidence, _roots(), _policy(name), now=NOW).outcome.healthy
    return _signed_facts(evidence)


@cache
def _policy(name: str) -> Policy:
    """A policy that wants the version of a case, which is not the highest of the device."""
    (version,) = (one for one in Version if f"/{one}/" in name)
    return Policy(versions=frozenset({version}))


def _evidence(pairs: tuple[tuple[bytes, bytes], ...]) -> Evidence:
    exchanges: tuple[Exchange, ...] = tuple(logical_exchanges(pairs))
    return Evidence("fuzz", EvidenceKind.CONVERSATION, NOW, exchanges, identity=IDENTITY)


def _signed_facts(evidence: Evidence) -> Signed:
    """Whoever keeps evidence may leave measurements out; he can add none."""
    facts = review(evidence)
    blocks = frozenset((block.index, block.push()) for block in facts.blocks)
    return (facts.negotiation, facts.slot, facts.certificates), blocks


@dataclass(frozen=True, slots=True)
class VerdictTarget:
    """A saved conversation that somebody changed, put before the verifier with the root that it leads to."""

    name: str
    tape: str
    weight: int

    def draw(self, rng: random.Random) -> tuple[Damage, ...]:
        """Damage to messages of either side, and to their order."""
        pairs = taped(self.tape).pairs
        return several(rng, lambda: self._draw(rng, pairs))

    def _draw(self, rng: random.Random, pairs: tuple[tuple[bytes, bytes], ...]) -> Damage:
        at = rng.randrange(len(pairs))
        if rng.random() < 0.15:
            return Damage(at, "order", rng.choice(("drop", "double", "swap", "move")), (rng.randrange(64),))
        layer = rng.choice(("wire", "wire", "wire", "request"))
        return Damage(at, layer, *draw_change(rng, min(len(pairs[at][layer == "wire"]), 400)))

    def play(self, damages: tuple[Damage, ...]) -> Played:
        """Judge a damaged conversation."""
        pairs = list(taped(self.tape).pairs)
        for damage in damages:
            if damage.at >= len(pairs):
                continue
            request, answer = pairs[damage.at]
            if damage.layer == "request" and damage.kind in CHANGES:
                pairs[damage.at] = change(request, damage), answer
            elif damage.layer == "wire" and damage.kind in CHANGES:
                pairs[damage.at] = request, change(answer, damage)
        for damage in reversed(damages):
            if damage.layer == "order" and damage.at < len(pairs):
                _reorder_pairs(pairs, damage.at, damage.kind, int(damage.arguments[0]))
        received = sum(len(answer) for _, answer in pairs)
        reached = Counter(("judged",))
        try:
            evidence = _evidence(tuple(pairs))
        except WireError as error:
            return Played(("judged", template(error)), "verdict: no evidence", reached, reached, received)
        except Exception as error:
            return Played(("judged", template(error)), type(error).__name__, finding=described(error))
        try:
            verdict = verify(evidence, _roots(), _policy(self.tape), now=NOW)
            finding = ""
            if verdict.outcome.healthy:
                believed, expected = _signed_facts(evidence), _trusted_facts(self.tape)
                same = believed[0] == expected[0] and believed[1] <= expected[1]
                finding = "" if same else f"trusted other facts: {believed!r} for {expected!r}"[:600]
        except Exception as error:
            return Played(("judged", template(error)), type(error).__name__, finding=described(error))
        failed = next((step for step in verdict.steps if step.outcome.value == "failed"), None)
        how = f"step {failed.number}: {simplified(failed.reason)}" if failed else verdict.outcome.value
        return Played(("judged", how), f"verdict: {verdict.outcome.value}", reached, reached, received, finding)


def _reorder_pairs(pairs: list[tuple[bytes, bytes]], at: int, kind: str, number: int) -> None:
    other = number % len(pairs)
    match kind:
        case "drop":
            del pairs[at]
        case "double":
            pairs.insert(other, pairs[at])
        case "swap":
            pairs[at], pairs[other] = pairs[other], pairs[at]
        case _:
            pairs.insert(other, pairs.pop(at))


def targets() -> Iterator[RecordingTarget | VerdictTarget]:
    """The recordings that there are."""
    for name in _RECORDED:
        yield RecordingTarget(f"recording/{name}", name, 2)
    for name in _JUDGED:
        yield VerdictTarget(f"verdict/{name}", name, 4)
    for path in sorted(CAPTURES.glob("*.pcap.raw.jsonl")):
        name = path.name.removesuffix(".pcap.raw.jsonl")
        yield RecordingTarget(f"capture/{name}", name, 1)
