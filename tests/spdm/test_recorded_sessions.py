"""Our requester has the recorded conversations, sessions included; and a session that was tampered with is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spdm.recorded_sessions import follow
from tests.spdm.replay import Replay

# The signatures that are verified on the way: CHALLENGE_AUTH and MEASUREMENTS outside sessions; then, for each session
# by KEY_EXCHANGE, KEY_EXCHANGE_RSP, FINISH with mutual authentication, and MEASUREMENTS inside.
SIGNATURES = {
    "qemu10-nvme-doe-v12-p384-session": 2,
    "v10-doe-rsassa3072-sha256": 2,
    "v11-mctp-p256-sha256-session-encrypted-handshake": 6,
    "v12-doe-p384-alias": 2,
    "v12-mctp-p384-chunk256": 2,
    "v12-mctp-p384-sha384": 2,
    "v12-mctp-psk-sha384": 0,
    "v12-none-p256-sha256": 2,
    "v12-tcp-p521-sha512": 2,
    "v13-doe-p384-full": 9,
    "v13-mctp-p384-sha384-multikey-session": 6,
    "v14-doe-p384-sha384-session": 6,
    "v14-mctp-mldsa65-mlkem768-session": 6,
}


@pytest.mark.parametrize(("name", "signatures"), SIGNATURES.items())
def test_our_requester_has_the_recorded_conversation(name: str, signatures: int, shared_data: Path) -> None:
    replay = Replay(follow(shared_data / "captures", name))
    replay.run()
    assert replay.verified == signatures
    assert replay.position == len(replay.recording.items)
    assert len(replay.sessions) == replay.recording.sessions


def test_every_capture_is_replayed(shared_data: Path) -> None:
    names = {path.name.removesuffix(".pcap.raw.jsonl") for path in (shared_data / "captures").glob("*.raw.jsonl")}
    assert names == set(SIGNATURES)
