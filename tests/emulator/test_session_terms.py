from __future__ import annotations

from dataclasses import replace

import pytest

from cmakeys.emulator.session_settings import AGREEMENT_PRIORITY, KEM_FIRST, PskSupport, SessionSettings
from cmakeys.spdm.agreement import SUPPORTED_DHE, SUPPORTED_KEM
from cmakeys.spdm.algorithms import Aead, Dhe, Kem, OpaqueFormat
from cmakeys.spdm.codes import Capability, ErrorCode, MutualAuthentication, Version
from cmakeys.spdm.messages.capabilities import SUPPORTED_ALGORITHMS, Capabilities, GetCapabilities
from cmakeys.spdm.messages.negotiation import (
    TABLE_AEAD,
    TABLE_DHE,
    TABLE_KEM,
    TABLE_KEY_SCHEDULE,
    TABLE_REQ_BASE_ASYM,
    TABLE_REQ_PQC_ASYM,
    Algorithms,
)
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.rules import capabilities_fault
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.wire import Reader
from tests.emulator.session_driver import Line, as_requester, converse, session_device
from tests.emulator.test_sessions import VERSIONS


def selection(sessions: SessionSettings, offer: Offer, version: Version = Version.V14) -> Algorithms:
    requester = Requester(replace(offer, versions=frozenset({version})))
    Line(session_device(sessions)).run(requester.connect())
    assert requester.connection.algorithms is not None
    return requester.connection.algorithms


OFFER = with_sessions(Offer())


def test_one_way_to_agree_is_selected_and_the_other_table_is_empty() -> None:
    classic = selection(SessionSettings(), OFFER)
    assert (classic.selected(TABLE_DHE), classic.selected(TABLE_KEM)) == (Dhe.SECP384R1.value, 0)
    post_quantum = selection(SessionSettings(agreements=KEM_FIRST), OFFER)
    assert (post_quantum.selected(TABLE_DHE), post_quantum.selected(TABLE_KEM)) == (0, Kem.ML_KEM_1024.value)
    assert [table.type for table in post_quantum.tables] == [TABLE_DHE, TABLE_AEAD, TABLE_KEY_SCHEDULE, TABLE_KEM]


def test_a_post_quantum_agreement_is_not_selected_before_1_4() -> None:
    older = selection(SessionSettings(agreements=KEM_FIRST), OFFER, Version.V13)
    assert older.selected(TABLE_DHE) == Dhe.SECP384R1.value


def test_the_first_of_the_device_that_was_offered_is_selected() -> None:
    sessions = SessionSettings(
        agreements=(Dhe.FFDHE_2048, Dhe.SECP256R1), aeads=(Aead.CHACHA20_POLY1305, Aead.AES_128_GCM)
    )
    chosen = selection(sessions, OFFER)
    assert chosen.selected(TABLE_DHE) == Dhe.FFDHE_2048.value
    assert chosen.selected(TABLE_AEAD) == Aead.CHACHA20_POLY1305.value
    other = selection(sessions, with_sessions(Offer(), dhe=Dhe.SECP256R1, aead=Aead.AES_128_GCM))
    assert other.selected(TABLE_DHE) == Dhe.SECP256R1.value
    assert other.selected(TABLE_AEAD) == Aead.AES_128_GCM.value


def test_an_algorithm_for_the_requester_is_selected_where_it_is_to_be_asked() -> None:
    offer = as_requester(OFFER)
    assert not selection(SessionSettings(), offer).selected(TABLE_REQ_BASE_ASYM)
    asked = selection(SessionSettings(mutual=MutualAuthentication.ENCAPSULATED), offer)
    assert asked.selected(TABLE_REQ_BASE_ASYM)
    assert not asked.selected(TABLE_REQ_PQC_ASYM)


def test_without_a_common_group_there_is_no_session() -> None:
    device = session_device(SessionSettings(agreements=(Dhe.SECP256R1,)))
    talk = converse(device, with_sessions(Offer(), dhe=Dhe.SECP384R1))
    assert device.talk.terms is not None
    assert device.talk.terms.agreement is None
    assert not talk.requester.connection.algorithms.selected(TABLE_DHE)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        lambda offer: replace(offer, opaque_format=OpaqueFormat.NONE),
        lambda offer: replace(offer, tables=tuple(one for one in offer.tables if one.type != TABLE_KEY_SCHEDULE)),
        lambda offer: replace(offer, tables=tuple(one for one in offer.tables if one.type != TABLE_AEAD)),
        lambda offer: replace(offer, requester_flags=offer.requester_flags & ~Capability.MAC),
    ],
    ids=["no opaque format", "no key schedule", "no cipher", "no authentication"],
)
def test_terms_that_are_not_complete_make_no_session(change: object) -> None:
    assert callable(change)
    device = session_device()
    converse(device, change(OFFER))
    assert device.talk.terms is None
    message = bytes.fromhex("12e40000") + bytes(300)
    answer = device.respond(message)
    assert answer is not None
    assert answer[2] == ErrorCode.UNEXPECTED_REQUEST


@pytest.mark.parametrize("mutual", MutualAuthentication)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_announced_capabilities_of_sessions_are_consistent(version: Version, mutual: MutualAuthentication) -> None:
    for key_exchange in (True, False):
        for clear in (True, False):
            sessions = SessionSettings(
                key_exchange=key_exchange,
                psk=PskSupport.WITH_CONTEXT,
                clear_handshake=clear,
                heartbeat=3,
                mutual=mutual,
            )
            device = session_device(sessions)
            device.respond(GetVersion().push())
            octets = device.respond(Offer().get_capabilities(version).push())
            assert octets is not None
            answer = Capabilities.pull(Reader(octets, "CAPABILITIES"))
            assert capabilities_fault(answer) is None
            assert answer.flags & Capability.MAC


def test_the_block_of_supported_algorithms_has_the_tables_of_sessions() -> None:
    device = session_device(SessionSettings(mutual=MutualAuthentication.ENCAPSULATED))
    device.respond(GetVersion().push())
    ask = GetCapabilities(Version.V14, Capability.CHUNK, 20, 0x1000, 0x10000, SUPPORTED_ALGORITHMS)
    octets = device.respond(ask.push())
    assert octets is not None
    block = Capabilities.pull(Reader(octets, "CAPABILITIES")).algorithms_block
    tables = block[30:]
    found = {tables[at]: int.from_bytes(tables[at + 2 : at + 4], "little") for at in range(0, len(tables), 4)}
    assert set(found) == {2, 3, 4, 5, 6, 7}
    assert found[TABLE_DHE] == SUPPORTED_DHE.value
    assert found[TABLE_KEM] == SUPPORTED_KEM.value
    assert {one for one in AGREEMENT_PRIORITY if isinstance(one, Kem)} == {one for one in Kem if one & SUPPORTED_KEM}
