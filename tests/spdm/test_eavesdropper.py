"""The listener: what it hears with the right secrets is in test_recorded_sessions; here is what it lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmakeys.spdm.eavesdropper import Eavesdropper, Heard, KeptSecrets
from cmakeys.spdm.secured import Binding
from tests.spdm.conversations import NORMAL
from tests.spdm.recorded_sessions import unframe

CLEAR_HANDSHAKE = "v13-mctp-p384-sha384-multikey-session"

Pair = tuple[bool, bytes, bytes]


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[Pair]:
    text = (shared_data / "captures" / f"{CLEAR_HANDSHAKE}.pcap.raw.jsonl").read_text()
    records = [record for record in map(json.loads, text.splitlines()) if record["cmd"] == NORMAL]
    messages = [unframe(record) for record in records]
    return [(bool(asked[0]), asked[1], answer[1]) for asked, answer in zip(messages[::2], messages[1::2], strict=True)]


@pytest.fixture(scope="module")
def secrets(shared_data: Path) -> list[bytes]:
    lines = (shared_data / "captures" / f"{CLEAR_HANDSHAKE}.secrets.txt").read_text().splitlines()
    return [bytes.fromhex(line.split("secret=")[1]) for line in lines if "secret=" in line]


def listen(pairs: list[Pair], kept: KeptSecrets, binding: Binding | None = Binding.MCTP) -> list[Heard]:
    listener = Eavesdropper(binding, kept)
    return [listener.hear(request, response, secured=secured) for secured, request, response in pairs]


def test_without_secrets_records_stay_shut_and_that_is_no_problem(pairs: list[Pair]) -> None:
    heard = listen(pairs, KeptSecrets())
    assert [one.request.shut for one in heard] == [secured for secured, _, _ in pairs]
    assert not any(one.problem for one in heard)
    assert all(one.session is not None for one in heard if one.request.shut)


def test_the_first_secret_alone_opens_the_first_session(pairs: list[Pair], secrets: list[bytes]) -> None:
    heard = listen(pairs, KeptSecrets(secrets[:1]))
    shut = [one.request.shut for one in heard if one.session is not None]
    assert shut == sorted(shut)
    assert set(shut) == {False, True}


def test_the_wrong_secret_is_named_at_the_first_record_and_listening_goes_on(
    pairs: list[Pair], secrets: list[bytes]
) -> None:
    heard = listen(pairs, KeptSecrets(secrets[::-1]))
    problems = [one.problem for one in heard if one.problem]
    assert problems
    assert all("MAC of a record does not verify" in problem or "is due" in problem for problem in problems)
    assert all(one.response is not None and one.response.shut for one in heard if one.session is not None)


def test_a_transport_without_records_says_so(pairs: list[Pair], secrets: list[bytes]) -> None:
    problems = [one.problem for one in listen(pairs, KeptSecrets(secrets), None) if one.problem]
    assert "recording: this transport carries no records" in problems


def test_a_question_without_an_answer_is_told(pairs: list[Pair]) -> None:
    listener = Eavesdropper(Binding.MCTP, KeptSecrets())
    heard = listener.hear(pairs[0][1], None, secured=False)
    assert (heard.response, heard.problem) == (None, "there is no answer to it")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_whatever_a_recording_holds_every_pair_is_heard(
    data: st.DataObject, pairs: list[Pair], secrets: list[bytes]
) -> None:
    changed = list(pairs)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        secured, request, response = changed[place]
        octets = bytearray(data.draw(st.sampled_from([request, response])))
        if octets:
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(octets[: data.draw(st.integers(0, len(octets)))])
        mutation = data.draw(st.sampled_from(["request", "response", "repeat", "drop", "kind"]))
        if mutation == "request":
            changed[place] = secured, cut, response
        elif mutation == "response":
            changed[place] = secured, request, cut
        elif mutation == "repeat":
            changed.insert(place, changed[data.draw(st.integers(0, len(changed) - 1))])
        elif mutation == "drop" and len(changed) > 1:
            del changed[place]
        else:
            changed[place] = not secured, request, response
    assert len(listen(changed, KeptSecrets(secrets))) == len(changed)
