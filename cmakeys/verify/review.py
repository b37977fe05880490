"""From evidence to facts: a saved conversation is run through the same `Connection` as a live one.

Whatever the bytes are, the result is a `Facts` value; a broken rule is in its `violation`. The requests may come from a
file as well, so one that no requester would have sent is a violation like any other.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache

from cmakeys.evidence.model import EndingKind, Evidence, EvidenceKind
from cmakeys.spdm.algorithms import (
    BASE_HASH_FUNCTIONS,
    SUPPORTED_BASE_ASYM,
    SUPPORTED_BASE_HASH,
    SUPPORTED_PQC_ASYM,
    BaseAsym,
    BaseHash,
    PqcAsym,
    algorithm_name,
)
from cmakeys.spdm.challenging import SLOT_PROVISIONED_KEY, SLOT_PROVISIONED_KEY_SHORT
from cmakeys.spdm.codes import Capability, CertificateModel, ErrorCode, RequestCode
from cmakeys.spdm.connection import REQUESTS, Connection, Exchange
from cmakeys.spdm.handshake import exchange_statement
from cmakeys.spdm.measuring import SignedMeasurements
from cmakeys.spdm.messages.error import ErrorResponse
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.spdm.signing import Statement
from cmakeys.spdm.slots import MAX_CHAIN_SIZE, MAX_LARGE_CHAIN_SIZE
from cmakeys.spdm.states import State
from cmakeys.spdm.terms import Terms
from cmakeys.spdm.violation import STEP_NEGOTIATION, STEP_OF_REQUEST, ProtocolViolation
from cmakeys.verify.facts import Facts, Violation
from cmakeys.verify.negotiation import Negotiation
from cmakeys.verify.report import review_report
from cmakeys.x509.bundle import SpdmChain
from cmakeys.x509.certificate import CertificateProblem

_MEASURE = RequestCode.GET_MEASUREMENTS
_SET_UP = tuple(
    bytes((code,)) for code in (RequestCode.GET_VERSION, RequestCode.GET_CAPABILITIES, RequestCode.NEGOTIATE_ALGORITHMS)
)
_EMPTY = Evidence("", EvidenceKind.CONVERSATION, datetime(1970, 1, 1, tzinfo=UTC))
_NO_SUCH_REQUEST = frozenset({ErrorCode.UNSUPPORTED_REQUEST, ErrorCode.INVALID_REQUEST})

_BY_KEY = "the device is identified by a provisioned public key, which was not given, and shows no certificates"
_NO_CERTIFICATES = "no certificates, but a provisioned key"


def review(evidence: Evidence, key: ProvisionedKey | None = None) -> Facts:
    """The facts of any evidence; `key` is the public key of a device that shows no certificates, where it is known."""
    if evidence.kind is EvidenceKind.SIGNED_REPORT:
        return review_report(evidence)
    replay = _Replay(evidence, key)
    for exchange in replay.begin():
        if replay.violation is not None:
            break
        replay.take(exchange)
    return replay.facts()


@lru_cache(maxsize=256)
def _settled(exchanges: tuple[Exchange, ...]) -> tuple[Connection, str] | None:
    """A connection as the set-up in these exchanges leaves it, and why it is not CMA's; None for anything else.

    It is the same for every device that says the same, so a fleet's evidence asks for it once. What breaks a rule is
    not remembered, but run in its place.
    """
    if tuple(one.request[1:2] for one in exchanges) != _SET_UP or any(one.session is not None for one in exchanges):
        return None
    replay = _Replay(_EMPTY)
    for exchange in exchanges:
        replay.take(exchange)
        if replay.violation is not None or replay.errors:
            return None
    return replay.connection, replay.unsupported


class _Replay:
    """One conversation being run again; only the last connection in it counts."""

    def __init__(self, evidence: Evidence, key: ProvisionedKey | None = None) -> None:
        self.evidence = evidence
        self._key = key
        self._known = _known_chains(evidence.chains)
        self.connection = Connection(self._known)
        self.connection.provisioned = key
        self.violation: Violation | None = None
        self.unsupported = ""
        self.challenges: dict[int, Statement] = {}
        self.measurements: dict[int, list[SignedMeasurements]] = {}
        self.errors: dict[RequestCode, str] = {}
        self.inside: dict[int, Connection] = {}
        self.sessions: dict[int, Statement] = {}
        self.measured_inside: set[int] = set()
        self.key_hash = b""

    def begin(self) -> tuple[Exchange, ...]:
        """Take the set-up of the connection, which devices of one model have in common; the exchanges after it."""
        exchanges = self.evidence.exchanges
        settled = _settled(exchanges[: len(_SET_UP)])
        if settled is None:
            return exchanges
        connection, self.unsupported = settled
        self.connection = connection.again(self._known)
        self.connection.provisioned = self._key
        return exchanges[len(_SET_UP) :]

    def take(self, exchange: Exchange) -> None:
        """Run one exchange, on the connection or on the view that its session has of it."""
        try:
            connection = self.connection if exchange.session is None else self._view(exchange.session)
            answer = connection.observe(exchange.request, exchange.response)
            if exchange.request[1] == RequestCode.KEY_EXCHANGE and not isinstance(answer, ErrorResponse):
                self._take_key_exchange(connection.exchanges[-1])
        except ProtocolViolation as error:
            self.violation = Violation(error.step, str(error), error.hint)
            return
        if exchange.session is not None:
            self._take_inside(connection, exchange.session)
            return
        code = REQUESTS[exchange.request[1]]
        if code == RequestCode.GET_VERSION:
            self._forget()
        if isinstance(answer, ErrorResponse):
            self._take_error(code, answer)
        else:
            self._take_answer(code)

    def _view(self, session: int) -> Connection:
        """A session's view of the connection. Raises `ProtocolViolation` where no such session was opened."""
        if session not in self.sessions:
            raise ProtocolViolation(
                f"the evidence holds a message of session {session:#010x}, which no KEY_EXCHANGE of it opened",
                step=STEP_NEGOTIATION,
                object="session",
                hint="the file was changed, or put together from several",
            )
        if session not in self.inside:
            view = self.inside[session] = self.connection.in_session()
            if Terms.of(self.connection).clear_handshake:
                view.state = State.SESSION  # FINISH came in the clear
        return self.inside[session]

    def _take_key_exchange(self, exchange: Exchange) -> None:
        """What the device signed, under the number of the session that it opened."""
        request, response = exchange.request, exchange.response
        number = int.from_bytes(request[4:6] + response[4:6], "little")
        # A recording may hold a key exchange that says nothing here, as with a provisioned key: only what comes in
        # its session would need it.
        with suppress(ProtocolViolation):
            self.sessions[number] = exchange_statement(self.connection, exchange)

    def _take_inside(self, view: Connection, session: int) -> None:
        if view.measurements is not None:
            slot = _whole(view.measurements.statement.slot)
            series = self.measurements.setdefault(slot, [])
            if view.measurements not in series:
                series.append(view.measurements)
            self.measured_inside.add(session)

    def _forget(self) -> None:
        self.unsupported = ""
        self.inside.clear()
        self.sessions.clear()
        self.measured_inside.clear()
        self.challenges.clear()
        self.measurements.clear()
        self.errors.clear()
        self.key_hash = b""

    def _take_error(self, code: RequestCode, error: ErrorResponse) -> None:
        self.errors[code] = error.name
        if code == RequestCode.GET_VERSION and error.code in _NO_SUCH_REQUEST:
            self.unsupported = f"the device answers GET_VERSION with ERROR {error.name}: it does not speak SPDM"

    def _take_answer(self, code: RequestCode) -> None:
        connection = self.connection
        self.errors.pop(code, None)
        if code == RequestCode.GET_CAPABILITIES:
            if connection.has(Capability.PUB_KEY_ID):
                self.unsupported = _BY_KEY
                return
            missing = [flag.name or "" for flag in (Capability.CERT, Capability.CHAL) if not connection.has(flag)]
            if missing:
                self.unsupported = f"the device announces no {' and no '.join(missing)} capability, which CMA needs"
        elif code == RequestCode.NEGOTIATE_ALGORITHMS:
            self.violation = _beyond_this_program(connection)
        elif code == RequestCode.GET_DIGESTS and connection.digests is not None:
            for slot in connection.digests.slots:
                connection.slots.adopt(slot)
        elif code == RequestCode.CHALLENGE and connection.challenge is not None:
            self.challenges[connection.challenge.slot or 0] = connection.challenge
            if connection.challenge.slot == SLOT_PROVISIONED_KEY and connection.hash is not None:
                self.key_hash = connection.exchanges[-1].response[4 : 4 + connection.hash.size]
        elif code == RequestCode.GET_MEASUREMENTS and connection.measurements is not None:
            series = self.measurements.setdefault(_whole(connection.measurements.statement.slot), [])
            if connection.measurements not in series:
                series.append(connection.measurements)

    def facts(self) -> Facts:
        """What the conversation says."""
        connection = self.connection
        violation = self.violation or self._ended() or self._refused()
        slots = (*sorted(self.challenges), *sorted(self.measurements), *sorted(connection.chains))
        slot = slots[0] if slots else None
        by_key = connection.has(Capability.PUB_KEY_ID)
        chain = connection.chains.get(slot) if slot is not None and not by_key else None
        parsed, problem = self._parse(slot, chain) if chain is not None else (None, "")
        return Facts(
            violation=violation,
            unsupported=self.unsupported if self.violation is None and not (by_key and self._key) else "",
            negotiated=connection.asym is not None,
            negotiation=self._negotiation(),
            offered_versions=connection.offered_versions,
            slot=None if slot == SLOT_PROVISIONED_KEY else slot,
            other_slots=tuple(sorted(set(connection.chains) - {slot})),
            by_key=by_key,
            key=self._key if by_key else None,
            key_hash=self.key_hash if by_key else b"",
            provisioned=tuple(sorted(connection.digests.slots)) if connection.digests is not None else (),
            certificates=parsed.certificates if parsed else (),
            chain_problem=problem,
            no_chain=self._no_chain(slot),
            root_hash=parsed.root_hash if parsed else None,
            hash=connection.hash,
            alias=self._alias(slot),
            challenge=self.challenges.get(slot) if slot is not None else None,
            no_challenge="no CHALLENGE was asked",
            sessions=tuple(self.sessions[number] for number in sorted(self.measured_inside)),
            measured_in_clear=any(one.request[1] == _MEASURE for one in connection.exchanges),
            measurements=tuple(self.measurements.get(slot, ())) if slot is not None else (),
            no_measurements=self._no_measurements(slot),
        )

    def _ended(self) -> Violation | None:
        """The finding with which a live collection ended."""
        ending = self.evidence.ending
        if ending.kind is not EndingKind.REFUSED or ending.step is None:
            return None
        return Violation(ending.step, ending.message, ending.hint)

    def _refused(self) -> Violation | None:
        """An ERROR in place of something needed is the same finding in a recording as it is live."""
        for code, had in (
            (RequestCode.GET_DIGESTS, self.connection.chains),
            (RequestCode.GET_CERTIFICATE, self.connection.chains),
            (RequestCode.CHALLENGE, self.challenges),
            (RequestCode.GET_MEASUREMENTS, self.measurements),
        ):
            if code in self.errors and not had:
                return Violation(
                    STEP_OF_REQUEST[code], f"the device answered {code.name} with ERROR {self.errors[code]}"
                )
        return None

    def _negotiation(self) -> Negotiation | None:
        connection = self.connection
        if connection.version is None:
            return None
        return Negotiation(connection.version, connection.asym, connection.base_hash)

    def _parse(self, slot: int | None, chain: bytes) -> tuple[SpdmChain | None, str]:
        connection = self.connection
        limit = MAX_LARGE_CHAIN_SIZE if connection.large_chains() else MAX_CHAIN_SIZE
        size = connection.hash.size if connection.hash else 0
        try:
            return SpdmChain.parse(chain, size, f"slot {slot}", max_size=limit), ""
        except CertificateProblem as problem:
            return None, str(problem)

    def _no_chain(self, slot: int | None) -> str:
        if self.connection.has(Capability.PUB_KEY_ID):
            return _NO_CERTIFICATES
        if slot is not None:
            return f"the conversation does not contain the chain of slot {slot}"
        return "the conversation contains no certificate chain"

    def _alias(self, slot: int | None) -> bool:
        connection = self.connection
        model = connection.slots.models.get(slot, 0) if slot is not None else 0
        if model:
            return model == CertificateModel.ALIAS
        return connection.has(Capability.ALIAS_CERT)

    def _no_measurements(self, slot: int | None) -> str:
        connection = self.connection
        if not connection.has(Capability.MEAS_SIGNED):
            if connection.has(Capability.MEAS_UNSIGNED):
                return "the device has measurements but does not sign them"
            return "the device has no measurements"
        if self.measurements and slot not in self.measurements:
            others = ", ".join(map(str, sorted(self.measurements)))
            return f"the measurements were signed for slot {others}, the chain of slot {slot} is judged"
        return "no signed measurements were asked for"


def _whole(slot: int | None) -> int:
    """The number of a slot, where a provisioned key may have been named by four bits of it."""
    return SLOT_PROVISIONED_KEY if slot == SLOT_PROVISIONED_KEY_SHORT else slot or 0


def _beyond_this_program(connection: Connection) -> Violation | None:
    """Algorithms that a recorded requester had and this program has not: nothing after them could be checked."""
    asym, base_hash = connection.asym, connection.base_hash
    supported = SUPPORTED_BASE_ASYM if isinstance(asym, BaseAsym) else SUPPORTED_PQC_ASYM
    missing: list[BaseAsym | PqcAsym | BaseHash] = []
    if asym is not None and not asym.value & supported.value:
        missing.append(asym)
    if base_hash is not None and not base_hash & SUPPORTED_BASE_HASH:
        missing.append(base_hash)
    if not missing:
        return None
    names = " and ".join(algorithm_name(choice) for choice in missing)
    return Violation(
        STEP_NEGOTIATION,
        f"{names} was negotiated, which this installation cannot check",
        "Ed448 needs the package pycryptodome; SM2, SM3 and SLH-DSA are not supported",
    )


def _known_chains(chains: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """The chains under their digest by every hash function that could have been negotiated."""
    known: dict[bytes, bytes] = {}
    for chain in chains:
        for base_hash in SUPPORTED_BASE_HASH:
            known[BASE_HASH_FUNCTIONS[base_hash].digest(chain)] = chain
    return known
