"""What our requester does with a device, case by case, and what it then believes.

A case is one way through the protocol: an attestation, a session's whole life, questions, a survey; with one version,
one transport's records and one device. `Facts` is what came out of it, apart from what both sides draw at random:

    signed  what a signature or a MAC covers that only the device itself can make
    sealed  what came in the records of a session: as good as signed against everybody but the device itself

What nobody signs, such as an answer to GET_CSR in the clear, is no fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from cmakeys.emulator.hardware import Hardware
from cmakeys.emulator.session_settings import PskSupport, SessionSettings
from cmakeys.emulator.settings import DeviceSettings, MeasurementSupport, MultiKey
from cmakeys.spdm import attesting, inquiry
from cmakeys.spdm.algorithms import MEL_SPECIFICATION_DMTF, Aead, Dhe, Kem
from cmakeys.spdm.attesting import SessionWish
from cmakeys.spdm.codes import (
    Capability,
    KeyOperation,
    MutualAuthentication,
    RequestCode,
    ResponseCode,
    SummaryHash,
    Version,
)
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.effects import DeviceRefused, DeviceUnavailable, Flow, Limits, Resynchronise
from cmakeys.spdm.handshake import Established, SessionPlan, key_exchange, psk_exchange
from cmakeys.spdm.inquiry import NotOffered
from cmakeys.spdm.messages.measurements import MeasurementBlock
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.own_identity import OwnIdentity
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.requester import MeasurementMode, Plan, Requester
from cmakeys.spdm.secured import Binding
from cmakeys.spdm.session import Session
from cmakeys.spdm.signing import SignatureProblem, Statement, verify_statement
from cmakeys.spdm.survey import Surveyor
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.violation import ProtocolViolation
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import CertificateProblem
from tests.fuzz.casting import PSK, credentials, disclosures, hardware, own_credentials
from tests.fuzz.stage import NoAnswer, Stage, channel_name

LIMITS = Limits(busy_retries=3, chunks=600, portions=300)

EXPECTED: tuple[type[Exception], ...] = (ProtocolViolation, DeviceRefused, DeviceUnavailable, NoAnswer)
"""How a flow may end badly; what asks beyond attestation may also say `NotOffered`."""

_SESSION_VERSIONS = (Version.V11, Version.V12, Version.V13, Version.V14)
CLEAR = Capability.HANDSHAKE_IN_THE_CLEAR
NONE = Capability(0)
_SIGNATURE = 64
"""Bytes of an ECDSA signature with P-256: it has another each time."""


class Untrusted(Exception):
    """The requester's part went well, and what it learnt does not hold: a verdict of mistrust."""


@dataclass(slots=True)
class Facts:
    """What somebody believes at the end."""

    signed: dict[str, object] = field(default_factory=dict)
    sealed: dict[str, object] = field(default_factory=dict)
    blocks: frozenset[tuple[int, bytes]] = frozenset()
    """Measurements under a signature: a subset of what the device has, since an ERROR for one of them is unsigned."""


Scenario = Callable[[Stage], Flow[Facts]]


@dataclass(frozen=True, slots=True)
class Case:
    """One way through the protocol. `weight` says how often it is drawn; `expected` how it may end."""

    name: str
    hardware: Hardware
    binding: Binding
    scenario: Scenario
    weight: int = 4
    expected: tuple[type[Exception], ...] = EXPECTED


# -- what is believed --------------------------------------------------------------------------------------------------


def _trusted_key(connection: Connection, slot: int) -> CertificatePublicKeyTypes:
    """The leaf's key of a slot, if the chain shown is the one that the vendor gave it, or the key that was brought."""
    if connection.provisioned is not None:
        return connection.provisioned.public_key
    structure = connection.chains.get(slot)
    function = connection.hash
    if structure is None or function is None or structure != credentials(slot).structure(function):
        raise Untrusted("the chain is not the device's")
    return credentials(slot).leaf.public_key


def _verified(stage: Stage, connection: Connection, statement: Statement) -> bytes:
    """The transcript of a statement whose signature holds, without what was drawn at random."""
    try:
        verify_statement(statement, _trusted_key(connection, statement.slot or 0))
    except SignatureProblem as problem:
        raise Untrusted(problem.message) from problem
    return stage.settled(statement.transcript)


def _negotiated(connection: Connection) -> tuple[object, ...]:
    capabilities = connection.capabilities
    return (
        connection.version,
        capabilities.flags if capabilities else None,
        connection.asym,
        connection.base_hash,
        connection.measurement_hash,
        connection.transcript.vca,
    )


def _blocks(found: tuple[MeasurementBlock, ...]) -> frozenset[tuple[int, bytes]]:
    return frozenset((block.index, block.push()) for block in found)


def _attested(stage: Stage, connection: Connection, facts: Facts, *, inside: Connection | None = None) -> None:
    """Add what an attestation proved: CHALLENGE's statement in the clear, the measurements where they were made."""
    if connection.challenge is not None:
        facts.signed["M1"] = _verified(stage, connection, connection.challenge)
        facts.signed["VCA"] = _negotiated(connection)
        facts.signed["chains"] = dict(connection.chains)
    measured = (inside or connection).measurements
    if measured is not None:
        _verified(stage, inside or connection, measured.statement)
        facts.signed["measured VCA"] = _negotiated(connection) if _covers_vca(measured.statement) else None
        facts.blocks |= _blocks(measured.blocks)


def _covers_vca(statement: Statement) -> bool:
    return statement.version >= Version.V12


def _session_facts(stage: Stage, established: Established, connection: Connection, facts: Facts) -> None:
    session = established.session
    if established.statement is not None:
        said = bytes((established.statement.version, ResponseCode.KEY_EXCHANGE_RSP, session.heartbeat_period, 0))
        number = (session.channel.session_id >> 16).to_bytes(2, "little")
        # The device counts its sessions, and somebody in the middle can make it begin one for nobody.
        facts.signed["TH"] = _verified(stage, connection, established.statement).replace(said + number, said)
    facts.signed["terms"] = (session.terms, channel_name(session.channel), session.heartbeat_period)
    facts.signed["session VCA"] = _negotiated(connection)
    facts.signed["summary"] = established.summary_hash


# -- attestations ------------------------------------------------------------------------------------------------------


def _attestation(offer: Offer, plan: Plan, *, wish: bool = False, identified: bool = False) -> Scenario:
    def scenario(stage: Stage) -> Flow[Facts]:
        ours = own_credentials().offered(offer) if identified else offer
        requester = Requester(ours, limits=LIMITS, entropy=stage.entropy)
        identity = OwnIdentity(requester, own_credentials()) if identified else None
        session = SessionWish(stage.binding, _leaf_key, stage.begin) if wish else None
        inside = yield from attesting.attest(requester, plan, wish=session, identity=identity)
        facts = Facts()
        connection = requester.connection
        if connection.challenge is None:
            raise Untrusted("no proof of possession")
        _attested(stage, connection, facts)
        if inside:
            # END_SESSION is a courtesy, whose refusal changes nothing.
            said = [exchange.response for exchange in inside if exchange.request[1] != RequestCode.END_SESSION]
            facts.sealed["answers"] = [answer[1] for answer in said]
            measured = [one for one in said if one[1] == ResponseCode.MEASUREMENTS]
            facts.sealed["measured"] = [stage.settled(one)[:-_SIGNATURE] for one in measured]
        return facts

    return scenario


def _leaf_key(structure: bytes, hash_size: int) -> CertificatePublicKeyTypes | None:
    try:
        return SpdmChain.parse(structure, hash_size, "slot").certificates[-1].public_key
    except CertificateProblem:
        return None


def _for(version: Version, offer: Offer) -> Offer:
    return replace(offer, versions=frozenset({version}))


def _attestations() -> Iterator[Case]:
    doe, each = Binding.PCI_DOE, Plan(measurements=MeasurementMode.EACH)
    plain, two = hardware(DeviceSettings()), hardware(DeviceSettings(opaque=b"opaque data!"), (0, 1))
    for version in Version:
        offer = _for(version, Offer())
        yield Case(f"attest/{version}/plain", plain, doe, _attestation(offer, Plan()), 12)
        summary = Plan(summary=SummaryHash.ALL, raw=True, slot=1)
        yield Case(f"attest/{version}/two-slots", two, Binding.MCTP, _attestation(offer, summary), 6)
        yield Case(f"attest/{version}/each", plain, Binding.TCP, _attestation(offer, each), 1)
        small = hardware(DeviceSettings(chunking=False, data_transfer_size=600, max_message_size=600))
        yield Case(f"attest/{version}/small", small, doe, _attestation(offer, Plan()), 4)
        unsigned = hardware(DeviceSettings(measurements=MeasurementSupport.UNSIGNED))
        yield Case(f"attest/{version}/unsigned", unsigned, doe, _attestation(offer, Plan()), 2)
    everything = Offer()
    yield Case("attest/any/plain", plain, doe, _attestation(everything, Plan()), 8)
    for version in (Version.V12, Version.V13, Version.V14):
        offer = replace(_for(version, Offer()), data_transfer_size=300)
        chunked = hardware(DeviceSettings(data_transfer_size=100))
        yield Case(f"attest/{version}/chunks", chunked, doe, _attestation(offer, Plan()), 6)
    for version in (Version.V13, Version.V14):
        multi = hardware(DeviceSettings(multi_key=MultiKey.ONLY), (0, 1))
        yield Case(f"attest/{version}/multi-key", multi, doe, _attestation(_for(version, Offer()), Plan()), 4)
    key = ProvisionedKey.of(credentials(0).leaf.public_key, "device")
    for version in _SESSION_VERSIONS:
        keyed = DeviceSettings(versions=(version,), provisioned_key=True)
        offer = _for(version, key.offered(Offer()))
        yield Case(f"attest/{version}/provisioned", hardware(keyed), doe, _attestation(offer, Plan(key=key)), 5)
        asks = hardware(DeviceSettings(sessions=SessionSettings(basic_mutual=True, key_update=False)))
        offer = _for(version, Offer())
        yield Case(f"attest/{version}/mutual", asks, doe, _attestation(offer, Plan(), identified=True), 5)
        settings = DeviceSettings(sessions=SessionSettings(agreements=(Dhe.SECP256R1,)))
        offer = _for(version, with_sessions(Offer()))
        inside = _attestation(offer, Plan(), wish=True)
        yield Case(f"attest/{version}/in-session", hardware(settings), Binding.MCTP, inside, 5)


# -- sessions ----------------------------------------------------------------------------------------------------------

Part = Callable[[Stage, Session, Facts], Flow[None]]


def _life(stage: Stage, established: Established, connection: Connection, parts: tuple[Part, ...]) -> Flow[Facts]:
    """What is done in a session, and its end. A question that the device refuses ends nothing."""
    facts = Facts()
    session = established.session
    _session_facts(stage, established, connection, facts)
    for part in parts:
        try:
            yield from part(stage, session, facts)
        except (DeviceRefused, DeviceUnavailable, NotOffered) as refusal:
            facts.sealed[part.__name__] = type(refusal).__name__
            if session.requester.connection.state.value != "in a session":
                raise
    _attested(stage, connection, facts, inside=session.requester.connection)
    yield from session.end()
    return facts


def _heartbeat(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    if session.heartbeat_period:
        yield from session.heartbeat()


def _digests(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    digests = yield from session.protect(session.requester.digests())
    facts.sealed["digests"] = digests
    facts.sealed["chain"] = yield from session.protect(session.requester.certificate(digests.slots[0]))


def _measure(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    inner = session.requester
    yield from session.protect(inner.measurements(0xFF, slot=0, raw=False, signed=True))
    yield from session.protect(inner.measurements(0, slot=0, raw=False, signed=False))
    facts.sealed["count"] = inner.connection.measurement_count


def _update(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    if session.terms.key_update:
        yield from session.update_keys(KeyOperation.UPDATE_ALL_KEYS)
        yield from session.update_keys(KeyOperation.UPDATE_KEY)


def _serve(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    stage.device.request_key_update()
    yield from session.serve()


def _tell(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    inner = session.requester
    facts.sealed["endpoint"] = yield from session.protect(inquiry.endpoint_info(inner))
    facts.sealed["log"] = yield from session.protect(inquiry.extension_log(inner))
    facts.sealed["pairs"] = yield from session.protect(inquiry.key_pairs(inner))


def _events(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    inner = session.requester
    facts.sealed["events"] = yield from session.protect(inquiry.supported_events(inner))
    yield from session.protect(inquiry.certificate_request(inner))


def _vendor(stage: Stage, session: Session, facts: Facts) -> Flow[None]:
    inner = session.requester
    facts.sealed["tdisp"] = yield from session.protect(inquiry.tdisp_versions(inner))
    facts.sealed["ide"] = yield from session.protect(inquiry.ide_port(inner))


KEYS: tuple[Part, ...] = (_heartbeat, _measure, _update, _serve, _digests)
QUESTIONS: tuple[Part, ...] = (_tell, _events, _vendor, _measure)


def _session(offer: Offer, parts: tuple[Part, ...], *, identified: bool = False) -> Scenario:
    def scenario(stage: Stage) -> Flow[Facts]:
        ours = own_credentials().offered(offer) if identified else offer
        requester = Requester(ours, limits=LIMITS, entropy=stage.entropy)
        yield from requester.connect()
        yield from requester.digests()
        yield from requester.certificate(0)
        connection = requester.connection
        key = _trusted_key(connection, 0)
        identity = OwnIdentity(requester, own_credentials()) if identified else None
        plan = SessionPlan(stage.binding, 0, SummaryHash.ALL)
        made = yield from key_exchange(requester, plan, key, identity=identity, begin=stage.begin)
        return (yield from _life(stage, made, connection, parts))

    return scenario


def _pre_shared(offer: Offer, parts: tuple[Part, ...]) -> Scenario:
    def scenario(stage: Stage) -> Flow[Facts]:
        requester = Requester(offer, limits=LIMITS, entropy=stage.entropy)
        yield from requester.connect()
        plan = SessionPlan(stage.binding, 0, SummaryHash.ALL)
        made = yield from psk_exchange(requester, plan, PSK)
        return (yield from _life(stage, made, requester.connection, parts))

    return scenario


def _sessions() -> Iterator[Case]:
    p256 = (Dhe.SECP256R1,)
    base = replace(with_sessions(Offer()), requester_flags=with_sessions(Offer()).requester_flags | Capability.ENCAP)
    bindings = dict(zip(_SESSION_VERSIONS, (Binding.MCTP, Binding.PCI_DOE, Binding.STORAGE, Binding.TCP), strict=True))
    allowed = (*EXPECTED, NotOffered, Resynchronise)

    def case(name: str, version: Version, settings: SessionSettings, scenario: Scenario, weight: int = 4) -> Case:
        device = hardware(DeviceSettings(sessions=settings, disclosures=disclosures()))
        return Case(f"session/{version}/{name}", device, bindings[version], scenario, weight, allowed)

    for version in _SESSION_VERSIONS:
        offer = _for(version, replace(base, mel_specification=MEL_SPECIFICATION_DMTF))
        clear = replace(offer, requester_flags=offer.requester_flags | CLEAR)
        mac = replace(offer, requester_flags=offer.requester_flags & ~Capability.ENCRYPT)
        plain = SessionSettings(agreements=p256, heartbeat=30)
        yield case("encrypted", version, plain, _session(offer, KEYS), 6)
        yield case("mac-only", version, replace(plain, aeads=(Aead.CHACHA20_POLY1305,)), _session(mac, KEYS), 3)
        cleared = replace(plain, clear_handshake=True)
        yield case("clear-handshake", version, cleared, _session(clear, KEYS))
        for mode in MutualAuthentication:
            if mode is not MutualAuthentication.NONE:
                asks = SessionSettings(agreements=p256, mutual=mode)
                scenario = _session(offer, (_measure,), identified=True)
                yield case(f"mutual-{mode.name.lower()}", version, asks, scenario, 3)
        asks = SessionSettings(agreements=p256, mutual=MutualAuthentication.ENCAPSULATED, clear_handshake=True)
        yield case("mutual-clear", version, asks, _session(clear, (_measure,), identified=True), 2)
        psk = replace(_for(version, with_sessions(Offer(), psk=True)), mel_specification=MEL_SPECIFICATION_DMTF)
        with_context = SessionSettings(psk=PskSupport.WITH_CONTEXT, heartbeat=30)
        yield case("psk", version, with_context, _pre_shared(psk, (_heartbeat, _update)), 6)
        without = SessionSettings(psk=PskSupport.WITHOUT_CONTEXT, heartbeat=30)
        yield case("psk-without-context", version, without, _pre_shared(psk, (_heartbeat,)), 4)
        if version >= Version.V13:
            yield case("questions", version, plain, _session(offer, QUESTIONS), 6)
    finite = SessionSettings(agreements=(Dhe.FFDHE_2048,))
    offer = _for(Version.V12, base)
    yield case("ffdhe", Version.V12, finite, _session(offer, (_measure,)), 1)
    lattice = SessionSettings(agreements=(Kem.ML_KEM_768,))
    yield case("ml-kem", Version.V14, lattice, _session(_for(Version.V14, base), (_measure,)), 2)


# -- questions and surveys ---------------------------------------------------------------------------------------------


def _questions(offer: Offer) -> Scenario:
    def scenario(stage: Stage) -> Flow[Facts]:
        requester = Requester(offer, limits=LIMITS, entropy=stage.entropy)
        yield from requester.connect()
        yield from requester.digests()
        yield from requester.certificate(0)
        facts = Facts()
        connection = requester.connection
        told = yield from inquiry.endpoint_info(requester)
        if connection.endpoint_info is not None:
            facts.signed["endpoint"] = _verified(stage, connection, connection.endpoint_info)
            facts.signed["identifiers"] = told
            facts.signed["VCA"] = _negotiated(connection)
        yield from inquiry.extension_log(requester)
        yield from inquiry.key_pairs(requester)
        yield from inquiry.certificate_request(requester)
        return facts

    return scenario


def _survey(*, quick: bool) -> Scenario:
    def scenario(stage: Stage) -> Flow[Facts]:
        yield from Surveyor(LIMITS, quick=quick).run()
        return Facts()

    return scenario


def _others() -> Iterator[Case]:
    here = disclosures(trusted_place=True)
    settings = DeviceSettings(sessions=SessionSettings(agreements=(Dhe.SECP256R1,)), disclosures=here)
    told = (*EXPECTED, NotOffered, Resynchronise)
    for version in (Version.V13, Version.V14):
        offer = replace(_for(version, with_sessions(Offer())), mel_specification=MEL_SPECIFICATION_DMTF)
        yield Case(f"questions/{version}", hardware(settings), Binding.PCI_DOE, _questions(offer), 8, told)
    yield Case("survey/quick", hardware(settings), Binding.PCI_DOE, _survey(quick=True), 4, told)
    yield Case("survey/whole", hardware(settings), Binding.MCTP, _survey(quick=False), 1, told)


@cache
def cases() -> dict[str, Case]:
    """Every case by its name."""
    return {case.name: case for case in (*_attestations(), *_sessions(), *_others())}
