"""Every codec pair gives back what it was given, and no bytes at all bring anything but a clean error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.spdm.algorithms import BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import REQUESTER_FLAGS, RESPONDER_FLAGS, Capability, Version
from cmakeys.spdm.messages.capabilities import Capabilities, GetCapabilities
from cmakeys.spdm.messages.certificates import (
    CertificateResponse,
    Digests,
    GetCertificate,
    GetDigests,
    SlotInfo,
    push_chain_structure,
)
from cmakeys.spdm.messages.challenge import Challenge, ChallengeAuth
from cmakeys.spdm.messages.chunking import ChunkGet, ChunkResponse, ChunkSend, ChunkSendAck
from cmakeys.spdm.messages.error import ErrorResponse, NotReady, RespondIfReady
from cmakeys.spdm.messages.header import Layout
from cmakeys.spdm.messages.measurements import GetMeasurements, MeasurementBlock, Measurements
from cmakeys.spdm.messages.negotiation import Algorithms, NegotiateAlgorithms, StructTable
from cmakeys.spdm.messages.version import GetVersion, VersionResponse
from cmakeys.spdm.wire import Reader, WireError

HASH_SIZE, SIGNATURE_SIZE = 48, 96

versions = st.sampled_from(Version)
u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
tables = st.lists(st.builds(StructTable, st.integers(2, 7), u16), max_size=6).map(tuple)


def sized(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=count, max_size=count)


def layout(version: Version, *, multi_key: bool = False) -> Layout:
    return Layout(version, HASH_SIZE, SIGNATURE_SIZE, multi_key)


@st.composite
def get_capabilities(draw: st.DrawFn) -> GetCapabilities:
    version = draw(versions)
    if version == Version.V10:
        return GetCapabilities(version)
    flags = Capability(draw(u32) & REQUESTER_FLAGS[version])
    if version < Version.V12:
        return GetCapabilities(version, flags, draw(u8))
    param1 = draw(u8) if version >= Version.V13 else 0
    return GetCapabilities(version, flags, draw(u8), draw(u32), draw(u32), param1)


@st.composite
def capabilities(draw: st.DrawFn) -> Capabilities:
    version = draw(versions)
    flags = Capability(draw(u32) & RESPONDER_FLAGS[version])
    if version < Version.V12:
        return Capabilities(version, flags, draw(u8))
    body = draw(st.binary(max_size=40))
    block = bytes(2) + (30 + len(body)).to_bytes(2, "little") + bytes(26) + body
    return Capabilities(
        version,
        flags,
        draw(u8),
        draw(u32),
        draw(u32),
        draw(u16) if version >= Version.V14 else 0,
        block if version >= Version.V13 and draw(st.booleans()) else b"",
    )


@st.composite
def negotiate(draw: st.DrawFn) -> NegotiateAlgorithms:
    version = draw(versions)
    return NegotiateAlgorithms(
        version,
        BaseAsym(draw(u32) & 0xFFF),
        BaseHash(draw(u32) & 0x7F),
        draw(u8),
        draw(u8) if version >= Version.V12 else 0,
        PqcAsym(draw(u32) & 0x7FFF) if version >= Version.V14 else PqcAsym(0),
        draw(u8) if version >= Version.V13 else 0,
        draw(tables) if version > Version.V10 else (),
    )


@st.composite
def algorithms(draw: st.DrawFn) -> Algorithms:
    version = draw(versions)
    return Algorithms(
        version,
        draw(u32),
        draw(u32),
        draw(u32),
        draw(u8),
        draw(u8) if version >= Version.V12 else 0,
        draw(u32) if version >= Version.V14 else 0,
        draw(u8) if version >= Version.V13 else 0,
        draw(st.integers(0, 20)),
        draw(st.integers(0, 20)),
        draw(tables) if version > Version.V10 else (),
    )


@st.composite
def digests(draw: st.DrawFn, *, multi_key: bool) -> Digests:
    version = draw(st.sampled_from([Version.V13, Version.V14])) if multi_key else draw(versions)
    provisioned = draw(u8)
    count = provisioned.bit_count()
    info = tuple(SlotInfo(draw(u8), draw(u8), draw(u16)) for _ in range(count)) if multi_key else ()
    supported = draw(u8) if version >= Version.V13 else 0
    return Digests(version, provisioned, tuple(draw(sized(HASH_SIZE)) for _ in range(count)), supported, info)


@st.composite
def get_certificate(draw: st.DrawFn) -> GetCertificate:
    version = draw(versions)
    large = version >= Version.V14 and draw(st.booleans())
    field = u32 if large else u16
    return GetCertificate(version, draw(st.integers(0, 15)), draw(field), draw(field), large, draw(u8))


@st.composite
def certificate(draw: st.DrawFn) -> CertificateResponse:
    version = draw(versions)
    large = version >= Version.V14 and draw(st.booleans())
    portion, remainder = draw(st.binary(max_size=300)), draw(u32 if large else u16)
    return CertificateResponse(version, draw(st.integers(0, 15)), portion, remainder, large, draw(u8))


def context(draw: st.DrawFn, version: Version) -> bytes:
    return draw(sized(8)) if version >= Version.V13 else b""


@st.composite
def challenge(draw: st.DrawFn) -> Challenge:
    version = draw(versions)
    return Challenge(version, draw(u8), draw(sized(32)), draw(u8), context(draw, version))


@st.composite
def challenge_auth(draw: st.DrawFn, *, has_summary: bool) -> ChallengeAuth:
    version = draw(versions)
    summary = draw(sized(HASH_SIZE)) if has_summary else b""
    opaque = draw(st.binary(max_size=64))
    tail = (context(draw, version), draw(sized(SIGNATURE_SIZE)))
    return ChallengeAuth(version, draw(u8), draw(u8), draw(sized(HASH_SIZE)), draw(sized(32)), summary, opaque, *tail)


@st.composite
def get_measurements(draw: st.DrawFn) -> GetMeasurements:
    version, attributes, operation = draw(versions), draw(u8), draw(u8)
    nonce = draw(sized(32)) if attributes & 1 else b""
    slot = draw(st.integers(0, 15)) if attributes & 1 and version >= Version.V11 else 0
    return GetMeasurements(version, attributes, operation, nonce, slot, context(draw, version))


blocks = st.builds(MeasurementBlock, u8, u8, st.binary(max_size=70), u8)


@st.composite
def measurements(draw: st.DrawFn, *, signed: bool) -> Measurements:
    version = draw(versions)
    record = draw(st.lists(blocks, max_size=4))
    signature = draw(sized(SIGNATURE_SIZE)) if signed else b""
    return Measurements(
        version,
        draw(u8),
        draw(u8),
        len(record),
        b"".join(block.push() for block in record),
        draw(sized(32)),
        draw(st.binary(max_size=64)),
        context(draw, version),
        signature,
    )


chunk_versions = st.sampled_from([Version.V12, Version.V13, Version.V14])


def chunks(kind: Any) -> st.SearchStrategy[Any]:
    first = st.builds(kind, chunk_versions, u8, st.just(0), st.binary(max_size=90), st.booleans(), u32)
    later = st.builds(kind, chunk_versions, u8, st.integers(1, 0xFFFF), st.binary(max_size=90), st.booleans())
    return first | later


errors = st.builds(ErrorResponse, versions, st.sampled_from([1, 3, 5, 7, 0x41, 0x43, 0xAA]), u8) | st.builds(
    ErrorResponse, versions, st.just(0x42), u8, sized(4)
)

# (strategy, arguments of pull)
CODECS: dict[str, tuple[st.SearchStrategy[Any], Any, dict[str, Any]]] = {
    "GET_VERSION": (st.just(GetVersion()), GetVersion.pull, {}),
    "VERSION": (st.builds(VersionResponse, st.lists(u16, max_size=255).map(tuple)), VersionResponse.pull, {}),
    "GET_CAPABILITIES": (get_capabilities(), GetCapabilities.pull, {}),
    "CAPABILITIES": (capabilities(), Capabilities.pull, {}),
    "NEGOTIATE_ALGORITHMS": (negotiate(), NegotiateAlgorithms.pull, {}),
    "ALGORITHMS": (algorithms(), Algorithms.pull, {}),
    "GET_DIGESTS": (st.builds(GetDigests, versions), GetDigests.pull, {}),
    "DIGESTS": (digests(multi_key=False), Digests.pull, {"layout": layout(Version.V12)}),
    "DIGESTS multi-key": (digests(multi_key=True), Digests.pull, {"layout": layout(Version.V13, multi_key=True)}),
    "GET_CERTIFICATE": (get_certificate(), GetCertificate.pull, {}),
    "CERTIFICATE": (certificate(), CertificateResponse.pull, {}),
    "CHALLENGE": (challenge(), Challenge.pull, {}),
    "CHALLENGE_AUTH": (
        challenge_auth(has_summary=False),
        ChallengeAuth.pull,
        {"layout": layout(Version.V12), "has_summary": False},
    ),
    "CHALLENGE_AUTH with summary": (
        challenge_auth(has_summary=True),
        ChallengeAuth.pull,
        {"layout": layout(Version.V12), "has_summary": True},
    ),
    "GET_MEASUREMENTS": (get_measurements(), GetMeasurements.pull, {}),
    "MEASUREMENTS": (measurements(signed=False), Measurements.pull, {"layout": layout(Version.V12), "signed": False}),
    "MEASUREMENTS signed": (
        measurements(signed=True),
        Measurements.pull,
        {"layout": layout(Version.V12), "signed": True},
    ),
    "CHUNK_SEND": (chunks(ChunkSend), ChunkSend.pull, {}),
    "CHUNK_RESPONSE": (chunks(ChunkResponse), ChunkResponse.pull, {}),
    "CHUNK_SEND_ACK": (
        st.builds(ChunkSendAck, chunk_versions, u8, u16, st.booleans(), st.binary(max_size=60)),
        ChunkSendAck.pull,
        {},
    ),
    "CHUNK_GET": (st.builds(ChunkGet, chunk_versions, u8, u16), ChunkGet.pull, {}),
    "ERROR": (errors, ErrorResponse.pull, {}),
    "RESPOND_IF_READY": (st.builds(RespondIfReady, versions, u8, u8), RespondIfReady.pull, {}),
}
TAKES_EVERYTHING = {"CHUNK_SEND_ACK"}


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_pull_gives_back_what_push_was_given(name: str, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    message = data.draw(strategy)
    reader = Reader(message.push(), name)
    assert pull(reader, **arguments) == message
    assert reader.remaining == 0


@pytest.mark.parametrize("name", [name for name in CODECS if name not in TAKES_EVERYTHING])
@given(data=st.data())
def test_padding_is_left_out_of_the_true_length(name: str, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    pushed = data.draw(strategy).push()
    reader = Reader(pushed + bytes(data.draw(st.integers(0, 3))), name)
    pull(reader, **arguments)
    assert reader.consumed() == pushed


@pytest.mark.parametrize("name", [name for name in CODECS if name not in TAKES_EVERYTHING])
@given(data=st.data())
def test_a_truncated_message_is_one_clean_error_with_its_offset(name: str, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    pushed = data.draw(strategy).push()
    cut = data.draw(st.integers(0, len(pushed) - 1))
    with pytest.raises(WireError, match="at byte") as caught:
        pull(Reader(pushed[:cut], name), **arguments)
    assert caught.value.object == name


@pytest.mark.parametrize("name", CODECS)
@given(noise=st.binary(max_size=400), data=st.data())
def test_noise_brings_nothing_but_a_clean_error(name: str, noise: bytes, data: st.DataObject) -> None:
    strategy, pull, arguments = CODECS[name]
    start = data.draw(strategy).push()[:4]
    for message in (noise, start + noise):
        reader = Reader(message, name)
        try:
            pull(reader, **arguments)
        except WireError:
            continue
        assert reader.offset <= len(message)


@given(st.binary(max_size=4))
def test_not_ready_data_has_exactly_four_bytes(extended: bytes) -> None:
    if len(extended) < 4:
        with pytest.raises(WireError):
            NotReady.pull(extended)
    else:
        assert NotReady.pull(extended).push() == extended


def test_a_chain_structure_begins_with_its_own_length() -> None:
    structure = push_chain_structure(b"h" * 48, b"c" * 1000)
    assert structure[:4] == (4 + 48 + 1000).to_bytes(2, "little") + b"\0\0"


def test_a_block_whose_sizes_disagree_is_refused_by_its_index() -> None:
    block = bytearray(MeasurementBlock(7, 1, b"v" * 48).push())
    block[2] += 1
    with pytest.raises(WireError, match="block 7"):
        MeasurementBlock.pull(Reader(bytes(block), "MEASUREMENTS"))


def test_an_unknown_version_byte_is_named() -> None:
    with pytest.raises(WireError, match="0x15"):
        GetDigests.pull(Reader(b"\x15\x81\0\0", "GET_DIGESTS"))
