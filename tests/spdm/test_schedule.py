"""The key schedule gives the values of the reference's vectors and of every recorded session."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmakeys.spdm.algorithms import Aead, BaseHash
from cmakeys.spdm.codes import Version
from cmakeys.spdm.messages.finish import Finish
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.key_exchange import KeyExchangeResponse
from cmakeys.spdm.schedule import KeySchedule, Secrets, TrafficSecret, bin_concat
from cmakeys.spdm.wire import Reader
from tests.spdm import worked_session as worked
from tests.spdm.recorded_sessions import follow

WITH_SECRETS = [
    "v11-mctp-p256-sha256-session-encrypted-handshake",
    "v12-mctp-psk-sha384",
    "v13-doe-p384-full",
    "v13-mctp-p384-sha384-multikey-session",
    "v14-doe-p384-sha384-session",
    "v14-mctp-mldsa65-mlkem768-session",
]


@pytest.mark.parametrize(("label", "expected"), worked.LABELS.items())
def test_labels_are_those_of_the_reference(label: str, expected: str) -> None:
    length = int.from_bytes(bytes.fromhex(expected)[:2], "little")
    assert bin_concat(Version.V12, length, label).hex() == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (Version.V11, "abd68a8258d81226097430e0fe4197f63594240d588ea3496c713ec41852fe0c"),
        (Version.V12, "abd68a8258d81226097430e0fe4197f63594240d588ea3496c713ec41852fe0c"),
        (Version.V13, "508be04163ecb50a38170e637c8f630c562d896e76953e1f91549b399f1d8995"),
        (Version.V14, "508be04163ecb50a38170e637c8f630c562d896e76953e1f91549b399f1d8995"),
    ],
)
def test_a_pre_shared_key_is_salted_with_ones_since_1_3(version: Version, expected: str) -> None:
    schedule = KeySchedule.of_psk(version, BaseHash.SHA_256, b"TestPskData\0")
    assert schedule.handshake_secret.value.hex() == expected


# -- the worked session of §12.8 -------------------------------------------------------------------------------------


def transcript_1() -> bytes:
    reader = Reader(bytes.fromhex(worked.KEY_EXCHANGE_RSP), "KEY_EXCHANGE_RSP")
    layout = Layout(Version.V12, 32, 64)
    answer = KeyExchangeResponse.pull(reader, layout, exchange_size=64, has_summary=False, has_verify_data=True)
    start = bytes.fromhex(worked.VCA + worked.CHAIN_HASH + worked.KEY_EXCHANGE)
    return start + answer.push_unsigned() + answer.signature


def verify_data_1() -> bytes:
    message = bytes.fromhex(worked.KEY_EXCHANGE_RSP)
    return message[len(transcript_1()) - len(bytes.fromhex(worked.VCA + worked.CHAIN_HASH + worked.KEY_EXCHANGE)) :][
        :32
    ]


def schedule() -> KeySchedule:
    secret = bytes.fromhex(worked.VALUES["shared secret"])
    return KeySchedule.of_exchange(Version.V12, BaseHash.SHA_256, secret)


def transcript_2() -> bytes:
    return transcript_1() + verify_data_1() + bytes.fromhex(worked.FINISH) + b"\x12\x65\0\0"


def check(secrets: Secrets, request: str, response: str, names: str) -> None:
    for direction, secret in ((request, secrets.request), (response, secrets.response)):
        assert secret.value.hex() == worked.VALUES[direction]
        keys = secret.keys(Aead.AES_256_GCM)
        word = "request" if secret is secrets.request else "response"
        assert keys.key.hex() == worked.VALUES[f"{names} {word} key"]
        assert keys.iv.hex() == worked.VALUES[f"{names} {word} IV"]


def test_the_handshake_of_the_worked_session_is_derived() -> None:
    assert schedule().handshake_secret.value.hex() == worked.VALUES["Handshake-Secret"]
    secrets = schedule().handshake(transcript_1())
    check(secrets, "req-hs", "rsp-hs", "handshake")
    assert secrets.request.expand("finished", 32).hex() == worked.VALUES["request finished key"]
    assert secrets.response.expand("finished", 32).hex() == worked.VALUES["response finished key"]


def test_both_sides_of_the_worked_session_prove_their_keys() -> None:
    secrets = schedule().handshake(transcript_1())
    assert secrets.response.verifies(verify_data_1(), transcript_1())
    finish = Finish.pull(Reader(bytes.fromhex(worked.FINISH), "FINISH"), Layout(Version.V12, 32, 64), 0)
    covered = transcript_1() + verify_data_1() + b"\x12\xe5\0\0"
    assert secrets.request.verifies(finish.verify_data, covered)
    assert not secrets.request.verifies(finish.verify_data, covered + b"\0")
    assert not secrets.response.verifies(finish.verify_data, covered)


def test_the_data_phase_of_the_worked_session_is_derived() -> None:
    secrets = schedule().data(transcript_2())
    check(secrets, "req-app", "rsp-app", "app")
    assert secrets.exporter is not None
    assert secrets.exporter.value.hex() == worked.VALUES["export master"]


# -- recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_SECRETS)
def test_every_recorded_expansion_is_computed_from_its_label(name: str, shared_data: Path) -> None:
    version = Version(0x10 | int(name[2]))
    base_hash = BaseHash.SHA_256 if "sha256" in name else BaseHash.SHA_384
    checked = 0
    for line in (shared_data / "captures" / f"{name}.secrets.txt").read_text().splitlines():
        if not line.startswith("HKDF expand"):
            continue
        fields = {part.split("=")[0]: bytes.fromhex(part.split("=")[1]) for part in line.split()[2:]}
        info = fields["info"][10:]
        label = next(label for label in sorted(worked.LABELS, key=len, reverse=True) if info.startswith(label.encode()))
        context = info[len(label) :]
        assert len(context) == (len(fields["key"]) if label in WITH_TRANSCRIPT else 0)
        secret = TrafficSecret(version, base_hash, fields["key"])
        assert secret.expand(label, len(fields["out"]), context) == fields["out"]
        checked += 1
    assert checked >= 20


WITH_TRANSCRIPT = {"req hs data", "rsp hs data", "req app data", "rsp app data", "exp master"}


@pytest.mark.parametrize(
    ("name", "sessions", "records"),
    list(zip(WITH_SECRETS, [2, 1, 4, 2, 3, 2], [36, 10, 364, 32, 220, 48], strict=True)),
)
def test_a_recorded_session_is_followed_from_its_shared_secret_alone(
    name: str, sessions: int, records: int, shared_data: Path
) -> None:
    """Every secret the reference implementation derived is derived, and every record opens and is sealed again."""
    recording = follow(shared_data / "captures", name)
    assert recording.sessions == sessions
    assert recording.recorded <= recording.derived
    assert 2 * sum(item.session is not None for item in recording.items) == records


# -- secrecy ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_printed() -> None:
    secrets = schedule().handshake(transcript_1())
    for value in (schedule(), secrets, secrets.request, secrets.request.keys(Aead.AES_256_GCM)):
        text = repr(value)
        for name, secret in worked.VALUES.items():
            assert secret not in text, name
            assert repr(bytes.fromhex(secret)) not in text, name


def test_an_update_changes_every_key() -> None:
    secret = schedule().data(transcript_2()).request
    updated = secret.updated()
    assert updated.value != secret.value
    assert updated.keys(Aead.AES_256_GCM) != secret.keys(Aead.AES_256_GCM)
