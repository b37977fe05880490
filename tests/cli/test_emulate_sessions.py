"""`cmakeys emulate` and its sessions: what the options make of the device, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from cmakeys.cli.app import main
from cmakeys.emulator.keys import KeyType
from cmakeys.spdm.algorithms import Aead, Dhe
from cmakeys.spdm.codes import Capability
from cmakeys.spdm.effects import DeviceRefused, Flow
from cmakeys.spdm.encapsulated import Identity
from cmakeys.spdm.handshake import PreSharedKey, SessionPlan, key_exchange, psk_exchange
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.secured import Binding, SessionType
from cmakeys.spdm.session import Session
from cmakeys.spdm.terms import with_sessions
from cmakeys.transports.base import Deadline
from cmakeys.transports.connect import open_transport
from cmakeys.transports.drive import drive
from tests.cli.test_emulate import emulated
from tests.emulator.session_driver import Host, as_requester, requester_credentials, requester_vendor
from tests.spdm.conversations import leaf_key

T = TypeVar("T")


def pem(folder: Path, name: str, *ders: object) -> str:
    path = folder / name
    path.write_bytes(b"".join(one.parsed.public_bytes(Encoding.PEM) for one in ders))  # type: ignore[attr-defined]
    return str(path)


def session_with(
    url: str, offer: Offer, *, psk: PreSharedKey | None = None, identified: bool = False
) -> tuple[Session, Requester]:
    deadline = Deadline.after(10)
    transport = open_transport(url, deadline)

    def run(flow: Flow[T]) -> T:
        return drive(flow, transport, deadline)

    requester = Requester(offer)
    try:
        run(requester.connect())
        plan = SessionPlan(Binding.PCI_DOE)
        if psk is not None:
            session = run(psk_exchange(requester, plan, psk)).session
        else:
            run(requester.digests())
            chain = run(requester.certificate(0))
            key = leaf_key(chain, requester.connection.layout.hash_size)
            host: Identity | None = Host(requester) if identified else None
            session = run(key_exchange(requester, plan, key, identity=host)).session
        run(session.protect(session.requester.digests()))
        return session, requester
    finally:
        transport.close()


@pytest.mark.system
def test_sessions_are_there_unless_they_are_declined(tmp_path: Path) -> None:
    with emulated(tmp_path) as (_, (url,)):
        session, _ = session_with(url, with_sessions(Offer()))
        assert session.terms.kind is SessionType.ENCRYPTED
    with emulated(tmp_path, "--sessions", "no") as (_, (url,)):
        transport = open_transport(url, Deadline.after(5))
        requester = Requester(with_sessions(Offer()))
        drive(requester.connect(), transport, Deadline.after(5))
        transport.close()
        assert not requester.connection.has(Capability.KEY_EX, Capability.MAC)


@pytest.mark.system
def test_a_session_is_as_the_options_say(tmp_path: Path) -> None:
    options = ("--sessions", "mac", "--group", "ffdhe2048", "--aead", "chacha20-poly1305", "--heartbeat", "7")
    with emulated(tmp_path, *options, "--clear-handshake", "--no-key-update") as (process, (url,)):
        offer = with_sessions(Offer())
        flags = offer.requester_flags | Capability.HANDSHAKE_IN_THE_CLEAR
        session, _ = session_with(url, replace(offer, requester_flags=flags))
        process.terminate()
        output, _ = process.communicate(timeout=10)
    terms = session.terms
    assert (terms.kind, terms.agreement, terms.aead) == (
        SessionType.MAC_ONLY,
        Dhe.FFDHE_2048,
        Aead.CHACHA20_POLY1305,
    )
    assert (terms.clear_handshake, terms.key_update, session.heartbeat_period) == (True, False, 7)
    assert "sessions     MAC only, heartbeat 7 s" in output


@pytest.mark.system
@pytest.mark.parametrize("options", [(), ("--psk-without-context",)])
def test_a_pre_shared_key_comes_from_a_file(tmp_path: Path, options: tuple[str, ...]) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# of this test\n{b'hint'.hex()} {b'the key itself'.hex()}\n")
    with emulated(tmp_path, "--psk-file", str(keys), *options) as (process, (url,)):
        session_with(url, with_sessions(Offer(), psk=True), psk=PreSharedKey(b"hint", b"the key itself"))
        process.terminate()
        output, errors = process.communicate(timeout=10)
    assert "1 pre-shared key" in output
    assert b"the key itself".hex() not in output + errors


@pytest.mark.system
@pytest.mark.parametrize("mode", ["requested", "encapsulated", "digests"])
def test_the_requester_is_asked_and_its_root_is_looked_for(tmp_path: Path, mode: str) -> None:
    own = pem(tmp_path, "own.pem", requester_vendor().certificate)
    chain = pem(tmp_path, "chain.pem", *requester_credentials(KeyType.ECDSA_P384).chain)
    offer = as_requester(with_sessions(Offer()))
    given = ("--requester-chain", chain) if mode == "requested" else ("--requester-root", own)
    with emulated(tmp_path, "--mutual", mode, "--mutual-required", *given) as (_, (url,)):
        session_with(url, offer, identified=True)
        with pytest.raises(DeviceRefused):
            session_with(url, with_sessions(Offer()))
    if mode == "requested":
        return
    stranger = pem(tmp_path, "other.pem", requester_credentials(KeyType.ECDSA_P256).leaf)
    with (
        emulated(tmp_path, "--mutual", mode, "--requester-root", stranger) as (_, (url,)),
        pytest.raises(DeviceRefused),
    ):
        session_with(url, offer, identified=True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--group", "p224"], 2, "ffdhe4096"),
        (["--aead", "des"], 2, "aes-256-gcm"),
        (["--heartbeat", "256"], 2, "255"),
        (["--session-limit", "0"], 2, "session-limit"),
        (["--mutual", "requested"], 2, "--requester-chain"),
        (["--sessions", "no", "--heartbeat", "1"], 2, "--heartbeat needs sessions"),
        (["--sessions", "no", "--mutual", "digests"], 2, "--mutual needs sessions"),
        (["--transport", "none", "--heartbeat", "1"], 2, "--transport none"),
        (["--psk-file", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["--requester-root", "/dev/null"], 1, "no certificate"),
    ],
)
def test_a_wrong_option_of_sessions_is_answered_with_what_would_be_right(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["emulate", *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_key_given_as_a_file_is_never_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys"
    keys.write_text("68696e74 not-hexadecimal-secret\n")
    assert main(["emulate", "--psk-file", str(keys)]) == 1
    error = capsys.readouterr().err
    assert "line 1" in error
    assert "HINT KEY" in error
    assert "secret" not in error
