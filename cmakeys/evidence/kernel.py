"""Evidence from the kernel's own log of signatures, verified by us: the kernel logs them unverified.

A logged transcript is the whole conversation that a CHALLENGE_AUTH covers, from GET_VERSION on, with nothing between
the messages. So it is cut into exchanges again by the same `Connection` that judges a live conversation, the signature
put back at its end, and what comes out is ordinary conversation evidence: it is archived, read and judged like any
other, and needs no kind of its own.

What is checked of an entry, in this order: 1 it is whole · 2 its purpose is known · 3 the transcript is one valid
conversation that ends in the signed answer, and exactly what SPDM signs · 4 the nonces beside it are those in it · 5
hash and prefix beside it are those negotiated · 6 the slot it is linked to is the one challenged · 7 the signature
holds under the leaf of the chain in the conversation. Whether that chain deserves trust is for `cmakeys.verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cmakeys.devices.kernel import KernelSlot, SlotState
from cmakeys.devices.signatures import LoggedSignature
from cmakeys.errors import EvidenceProblem
from cmakeys.evidence.model import Evidence, EvidenceKind
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS
from cmakeys.spdm.codes import RequestCode, Version
from cmakeys.spdm.connection import Connection
from cmakeys.spdm.messages.capabilities import GetCapabilities
from cmakeys.spdm.messages.certificates import CHAIN_HEADER_LENGTH, GetCertificate, GetDigests
from cmakeys.spdm.messages.challenge import Challenge
from cmakeys.spdm.messages.measurements import GetMeasurements
from cmakeys.spdm.messages.negotiation import NegotiateAlgorithms
from cmakeys.spdm.messages.version import GetVersion
from cmakeys.spdm.signing import Context, Statement, combined_prefix, verify_statement
from cmakeys.spdm.slots import MAX_CHAIN_SIZE, MAX_LARGE_CHAIN_SIZE
from cmakeys.spdm.wire import Reader
from cmakeys.x509.bundle import SpdmChain, split_der
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import PciIdentity

TOOL = "kernel signature log"
MAX_EXCHANGES = 1 << 15

_WINDOW = MAX_CHAIN_SIZE + 0x1000
"""Bytes in which one message must end; the largest is CERTIFICATE with a whole chain."""

_REQUESTS = {
    RequestCode.GET_VERSION: GetVersion.pull,
    RequestCode.GET_CAPABILITIES: GetCapabilities.pull,
    RequestCode.NEGOTIATE_ALGORITHMS: NegotiateAlgorithms.pull,
    RequestCode.GET_DIGESTS: GetDigests.pull,
    RequestCode.GET_CERTIFICATE: GetCertificate.pull,
    RequestCode.CHALLENGE: Challenge.pull,
    RequestCode.GET_MEASUREMENTS: GetMeasurements.pull,
}
_PURPOSES = {
    Context.CHALLENGE_AUTH.value: (Context.CHALLENGE_AUTH, RequestCode.CHALLENGE),
    Context.MEASUREMENTS.value: (Context.MEASUREMENTS, RequestCode.GET_MEASUREMENTS),
}


class LogOutcome(Enum):
    """What our own verification of an entry found."""

    VERIFIED = "verified"
    REFUTED = "refuted"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class LogFinding:
    """One entry, verified.

    `faults` say what is wrong; `notes` what an auditor should know although nothing is. `leaf` is the certificate under
    which the signature was checked. `evidence` is the conversation, also of an entry that is refuted, and None when
    the transcript is no conversation, or one without a challenge.
    """

    entry: LoggedSignature
    outcome: LogOutcome
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    leaf: Certificate | None = None
    evidence: Evidence | None = None


class LogProblem(EvidenceProblem):
    """A transcript is no conversation that ends in the signed answer."""

    code = "signature-log"


def rebuild(transcript: bytes, signature: bytes, last: RequestCode) -> Connection:
    """Run the messages of a transcript, the signature put back at their end, through a connection.

    Raises `LogProblem`, or another `EvidenceProblem` for what breaks the protocol.
    """
    connection = Connection()
    data, position = transcript + signature, 0
    while position < len(data):
        if len(connection.exchanges) == MAX_EXCHANGES:
            raise LogProblem(f"more than {MAX_EXCHANGES} exchanges")
        request = _request(data[position : position + _WINDOW], position)
        start = position + len(request)
        connection.observe(request, data[start : start + _WINDOW])
        position = start + len(connection.exchanges[-1].response)
    if not connection.exchanges or connection.exchanges[-1].request[1] != last:
        raise LogProblem(f"it does not end in the answer to {last.name}")
    return connection


def _request(data: bytes, position: int) -> bytes:
    """The request that `data` begins with, at its true length."""
    reader = Reader(data, f"message at byte {position}")
    if len(data) < 2 or data[1] not in _REQUESTS:
        raise reader.fail("no request that belongs into a transcript")
    _REQUESTS[RequestCode(data[1])](reader)
    return reader.consumed()


def examine(
    entry: LoggedSignature,
    slots: tuple[KernelSlot, ...],
    *,
    device: str,
    identity: PciIdentity | None = None,
    expected_nonce: bytes | None = None,
) -> LogFinding:
    """Verify one entry of the log of `device`; never raises for what stands in it.

    `slots` are the kernel's cached chains, `expected_nonce` what it was told to use as its nonce.
    """
    if entry.problems:
        return LogFinding(entry, LogOutcome.UNREADABLE, entry.problems)
    purpose = _PURPOSES.get(entry.kind)
    if purpose is None:
        return LogFinding(entry, LogOutcome.UNREADABLE, (f"a signature of unknown kind {entry.kind!r}",))
    context, last = purpose
    try:
        connection = rebuild(entry.transcript, entry.signature, last)
    except EvidenceProblem as problem:
        return LogFinding(entry, LogOutcome.REFUTED, (f"the transcript is no conversation: {problem}",))
    statement = _statement(connection, context)
    if statement is None:
        return LogFinding(entry, LogOutcome.REFUTED, ("the last answer holds no signature",))
    examination = _Examination(entry, slots, connection, statement)
    examination.run(expected_nonce)
    evidence = None
    if context is Context.CHALLENGE_AUTH:
        evidence = Evidence(
            device=device,
            kind=EvidenceKind.CONVERSATION,
            collected_at=entry.received_at,
            exchanges=tuple(connection.exchanges),
            identity=identity,
            expected_nonce=expected_nonce,
            tool=TOOL,
        )
    outcome = LogOutcome.REFUTED if examination.faults else LogOutcome.VERIFIED
    return LogFinding(entry, outcome, tuple(examination.faults), tuple(examination.notes), examination.leaf, evidence)


def _statement(connection: Connection, context: Context) -> Statement | None:
    if context is Context.CHALLENGE_AUTH:
        return connection.challenge
    return connection.measurements.statement if connection.measurements else None


@dataclass
class _Examination:
    """The checks 3 to 7 on one entry whose transcript is a conversation."""

    entry: LoggedSignature
    slots: tuple[KernelSlot, ...]
    connection: Connection
    statement: Statement
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    leaf: Certificate | None = None

    def run(self, expected_nonce: bytes | None) -> None:
        """Everything that can be found, not only the first."""
        if self.statement.transcript != self.entry.transcript:
            self.faults.append("the transcript holds other messages than the signature covers")
        self._check_nonces(expected_nonce)
        self._check_algorithms()
        if self.entry.slot != self.statement.slot:
            self.faults.append(
                f"linked to the chain of slot {self.entry.slot}, but slot {self.statement.slot} was challenged"
            )
        self._check_signature()

    def _check_nonces(self, expected: bytes | None) -> None:
        for side, beside, inside in (
            ("requester", self.entry.requester_nonce, self.statement.requester_nonce),
            ("responder", self.entry.responder_nonce, self.statement.responder_nonce),
        ):
            if beside != inside:
                self.faults.append(f"the {side}'s nonce beside the transcript is not the one in it")
        if expected is not None and self.statement.requester_nonce != expected:
            self.faults.append("the conversation was not made with the nonce that the kernel was given")

    def _check_algorithms(self) -> None:
        name = BASE_HASH_FUNCTIONS[self.statement.base_hash].name
        if self.entry.hash_name.replace("-", "_") != name:
            self.faults.append(f"the log says hash {self.entry.hash_name!r}, {name} was negotiated")
        version = self.statement.version
        prefix = combined_prefix(version, self.statement.context) if version >= Version.V12 else b""
        if self.entry.prefix != prefix:
            self.faults.append(f"the prefix is not that of SPDM {version} for this purpose")

    def _check_signature(self) -> None:
        try:
            self.leaf = self._find_leaf()
            verify_statement(self.statement, self.leaf.public_key)
        except EvidenceProblem as problem:
            self.faults.append(str(problem))

    def _find_leaf(self) -> Certificate:
        """The leaf of the chain in the conversation, else of the cached slot. Raises `EvidenceProblem`."""
        number = self.statement.slot
        cached = next((slot for slot in self.slots if slot.number == number), None)
        chain = self.connection.chains.get(number) if number is not None else None
        if chain is None:
            if cached is None or cached.state is not SlotState.PROVISIONED:
                raise CertificateProblem("there is no chain to check the signature with", object=f"slot {number}")
            self.notes.append("the chain is not in the conversation; the kernel's cached one was taken")
            return split_der(cached.data, f"slot {number}")[-1]
        size = self.connection.hash.size if self.connection.hash else 0
        if cached is None or cached.data != chain[CHAIN_HEADER_LENGTH + size :]:
            self.notes.append(f"slot {number} holds another chain by now than the one that signed")
        limit = MAX_LARGE_CHAIN_SIZE if self.connection.large_chains() else MAX_CHAIN_SIZE
        return SpdmChain.parse(chain, size, f"slot {number}", max_size=limit).certificates[-1]
