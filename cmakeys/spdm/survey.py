"""What a device speaks: versions, capabilities, algorithms, slots. Asked, not judged; nothing in a device is changed.

A device names one algorithm of each kind in ALGORITHMS, so the others are found by asking again without those that it
chose before. That includes algorithms that nobody here can compute: they are only negotiated, and then named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Flag
from typing import TypeVar

from cmakeys.errors import EvidenceProblem
from cmakeys.spdm import inquiry
from cmakeys.spdm.algorithms import (
    Aead,
    BaseAsym,
    BaseHash,
    Dhe,
    Kem,
    MeasurementHash,
    PqcAsym,
)
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY
from cmakeys.spdm.codes import Capability, Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.effects import DeviceRefused, Flow, Limits, Resynchronise
from cmakeys.spdm.inquiry import NotOffered
from cmakeys.spdm.messages.certificates import SlotInfo
from cmakeys.spdm.messages.endpoint_info import ClassIdentifier
from cmakeys.spdm.messages.extension_log import LogEntry
from cmakeys.spdm.messages.key_pairs import KeyPairInfo
from cmakeys.spdm.messages.negotiation import TABLE_AEAD, TABLE_DHE, TABLE_KEM, StructTable
from cmakeys.spdm.offer import Offer
from cmakeys.spdm.requester import Requester
from cmakeys.spdm.rules import MEAS
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import with_sessions
from cmakeys.spdm.violation import ProtocolViolation

F = TypeVar("F", bound=Flag)
T = TypeVar("T")

ALL_BASE_ASYM, ALL_PQC_ASYM, ALL_BASE_HASH = ~BaseAsym(0), ~PqcAsym(0), ~BaseHash(0)
ALL_DHE, ALL_AEAD, ALL_KEM = ~Dhe(0), ~Aead(0), ~Kem(0)


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """CAPABILITIES of one version, without the flags that it does not have. Sizes are bytes, 0 before 1.2."""

    flags: Capability
    ct_exponent: int
    data_transfer_size: int
    max_message_size: int


@dataclass(frozen=True, slots=True)
class Algorithms:
    """Every algorithm that a device chose once; an empty set also where it was not asked."""

    asym: BaseAsym = BaseAsym(0)
    pqc: PqcAsym = PqcAsym(0)
    hashes: BaseHash = BaseHash(0)
    measurement_hash: MeasurementHash | None = None
    dhe: Dhe = Dhe(0)
    kem: Kem = Kem(0)
    aead: Aead = Aead(0)


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One provisioned slot: its digest, its chain structure, and what multi-key connections tell."""

    slot: int
    digest: bytes
    structure: bytes
    info: SlotInfo | None


@dataclass(slots=True)
class Survey:
    """What was learnt. `chosen` is what the device chooses of everything that this program supports, at its highest
    version; `troubles` are questions it could not answer, each with its reason."""

    versions: tuple[Version, ...] = ()
    facts: dict[Version, VersionFacts] = field(default_factory=dict)
    algorithms: Algorithms = Algorithms()
    chosen: Algorithms = Algorithms()
    hash_size: int = 0
    multi_key: bool = False
    slots: list[SlotFacts] = field(default_factory=list)
    measurements: int | None = None
    log: tuple[LogEntry, ...] | None = None
    endpoint: tuple[ClassIdentifier, ...] | None = None
    key_pairs: tuple[KeyPairInfo, ...] | None = None
    troubles: dict[str, str] = field(default_factory=dict)


class Surveyor:
    """Asks one device. `quick` leaves out the questions for further versions and algorithms."""

    def __init__(self, limits: Limits | None = None, *, quick: bool = False) -> None:
        self.survey = Survey()
        self._limits = limits or Limits()
        self._quick = quick

    def run(self) -> Flow[Survey]:
        """The whole survey. Raises what connecting raises if not even that succeeds; trouble after it is noted."""
        survey = self.survey
        requester = yield from self._connected(with_sessions(Offer(multi_key=True, mel_specification=1), psk=True))
        connection = requester.connection
        survey.versions = tuple(sorted(connection.offered_versions))
        self._note_version(connection)
        version = connection.version  # a connection that has to be set up again forgets it, and may not come back
        survey.chosen = _selected(connection)
        survey.hash_size = connection.layout.hash_size
        survey.multi_key = connection.layout.multi_key
        yield from self._noting("slots", self._slots(requester), requester)
        if connection.has(MEAS):
            yield from self._noting("measurements", self._count(requester), requester)
        yield from self._extras(requester)
        if not self._quick:
            yield from self._other_versions(version)
            yield from self._algorithms(version or Version.V10)
        return survey

    def _connected(self, offer: Offer) -> Flow[Requester]:
        """A new connection. A device that asks to start again is obeyed once more each time, within the limits."""
        for _ in range(self._limits.resynchronisations + 1):
            requester = Requester(offer, limits=self._limits)
            try:
                yield from requester.connect()
            except Resynchronise:
                continue
            return requester
        raise ProtocolViolation("the device asks to start again and again", step=1, object="connection")

    def _noting(self, what: str, flow: Flow[T], requester: Requester | None = None) -> Flow[T | None]:
        """Run a question; a device that cannot answer it is no reason to ask no other.

        The connection of `requester` is set up again if the device has thrown it away over an earlier question.
        """
        try:
            if requester is not None and requester.connection.state is not State.NEGOTIATED:
                yield from requester.connect()
            return (yield from flow)
        except NotOffered:
            return None
        except Resynchronise:
            self.survey.troubles[what] = "the device asked to start the connection again"
        except EvidenceProblem as trouble:
            self.survey.troubles[what] = str(trouble)
        return None

    def _note_version(self, connection: Connection) -> None:
        capabilities, version = connection.capabilities, connection.version
        if capabilities is not None and version is not None:
            sizes = capabilities.data_transfer_size, capabilities.max_message_size
            self.survey.facts[version] = VersionFacts(capabilities.flags, capabilities.ct_exponent, *sizes)

    # -- what it has --------------------------------------------------------------------------------------------------

    def _slots(self, requester: Requester) -> Flow[None]:
        connection = requester.connection
        if not connection.has(Capability.CERT):
            return
        digests = yield from requester.digests()
        for slot in digests.slots:
            structure = yield from self._noting(f"slot {slot}", requester.certificate(slot), requester)
            digest = digests.digest_of(slot) or b""
            self.survey.slots.append(SlotFacts(slot, digest, structure or b"", digests.info_of(slot)))

    def _count(self, requester: Requester) -> Flow[None]:
        yield from requester.measurements(0, slot=0, raw=False, signed=False)
        self.survey.measurements = requester.connection.measurement_count

    def _extras(self, requester: Requester) -> Flow[None]:
        survey = self.survey
        signed = requester.connection.has(Capability.EP_INFO_SIGNED)
        slot = survey.slots[0].slot if survey.slots else 0
        if requester.connection.has(Capability.PUB_KEY_ID):
            slot = SLOT_PROVISIONED_KEY
        survey.log = yield from self._noting("measurement log", inquiry.extension_log(requester), requester)
        endpoint = inquiry.endpoint_info(requester, slot, signed=signed)
        survey.endpoint = yield from self._noting("endpoint information", endpoint, requester)
        survey.key_pairs = yield from self._noting("key pairs", inquiry.key_pairs(requester), requester)

    # -- what else it speaks ------------------------------------------------------------------------------------------

    def _other_versions(self, highest: Version | None) -> Flow[None]:
        for version in sorted(set(self.survey.versions) - {highest}, reverse=True):
            offer = with_sessions(Offer(versions=frozenset({version}), multi_key=True), psk=True)
            requester = yield from self._noting(f"version {version}", self._connected(offer))
            if requester is not None:
                self._note_version(requester.connection)

    def _algorithms(self, version: Version) -> Flow[None]:
        base = Offer(versions=frozenset({version}), multi_key=True)
        offer = with_sessions(base, psk=True)
        chosen = self.survey.chosen
        asym = yield from self._eliminate(
            BaseAsym, ALL_BASE_ASYM, lambda left: replace(offer, base_asym=left, pqc_asym=PqcAsym(0))
        )
        pqc = PqcAsym(0)
        dhe, kem, aead = Dhe(0), Kem(0), Aead(0)
        if version >= Version.V14:
            pqc = yield from self._eliminate(
                PqcAsym, ALL_PQC_ASYM, lambda left: replace(offer, base_asym=BaseAsym(0), pqc_asym=left)
            )
        hashes = yield from self._eliminate(BaseHash, ALL_BASE_HASH, lambda left: replace(offer, base_hash=left))
        if self.survey.facts[version].flags & Capability.KEY_EX:
            dhe = yield from self._eliminate(Dhe, ALL_DHE, lambda left: _with_table(offer, TABLE_DHE, left))
            aead = yield from self._eliminate(Aead, ALL_AEAD, lambda left: _with_table(offer, TABLE_AEAD, left))
            if version >= Version.V14:
                kem = yield from self._eliminate(Kem, ALL_KEM, lambda left: _with_table(offer, TABLE_KEM, left))
        self.survey.algorithms = Algorithms(asym, pqc, hashes, chosen.measurement_hash, dhe, kem, aead)

    def _eliminate(self, kind: type[F], everything: F, offer: Callable[[F], Offer]) -> Flow[F]:
        """Ask until the device chooses nothing more of this kind: at most one connection for each bit of it."""
        found, left = kind(0), everything
        while left:
            try:
                requester = yield from self._connected(offer(left))
            except (ProtocolViolation, DeviceRefused):
                break  # it supports none of what is left, and says so in its own way
            choice = _CHOICES[kind](requester.connection)
            if not choice or not choice & left.value:
                break
            found |= kind(choice)
            left &= ~kind(choice)
        return found


def _with_table(offer: Offer, kind: int, left: Flag) -> Offer:
    """Key agreement is chosen from DHE and KEM together, so that asking for one leaves out the other."""
    other = {TABLE_DHE: TABLE_KEM, TABLE_KEM: TABLE_DHE}.get(kind)
    tables = [table for table in offer.tables if table.type not in (kind, other)]
    return replace(offer, tables=tuple(sorted((*tables, StructTable(kind, left.value)), key=lambda one: one.type)))


def _selected(connection: Connection) -> Algorithms:
    answer = connection.algorithms
    if answer is None:
        return Algorithms()
    return Algorithms(
        BaseAsym(answer.base_asym),
        PqcAsym(answer.pqc_asym),
        BaseHash(answer.base_hash),
        connection.measurement_hash,
        Dhe(answer.selected(TABLE_DHE)),
        Kem(answer.selected(TABLE_KEM)),
        Aead(answer.selected(TABLE_AEAD)),
    )


_CHOICES: Mapping[type[Flag], Callable[[Connection], int]] = {
    BaseAsym: lambda connection: _selected(connection).asym.value,
    PqcAsym: lambda connection: _selected(connection).pqc.value,
    BaseHash: lambda connection: _selected(connection).hashes.value,
    Dhe: lambda connection: _selected(connection).dhe.value,
    Aead: lambda connection: _selected(connection).aead.value,
    Kem: lambda connection: _selected(connection).kem.value,
}
