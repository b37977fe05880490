"""`Evidence`: what one device said on one occasion, complete enough to be judged again anywhere.

Two kinds. A *conversation* is the list of SPDM exchanges, which `cmakeys.verify.review` runs through the protocol's
rules again. A *signed report* is what a vendor's driver hands out: the bytes of one GET_MEASUREMENTS exchange with the
certificate chain beside it. Both keep the bytes as they came: nothing here has been judged, and how a collection ended
is itself part of the evidence, not an exception.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property

from cmakeys.evidence.fields import time_text
from cmakeys.spdm.connection import Exchange
from cmakeys.x509.identity import PciIdentity

SCHEMA = 1

_JSON = json.JSONEncoder(separators=(",", ":"))


class EvidenceKind(Enum):
    """What the evidence consists of."""

    CONVERSATION = "conversation"
    SIGNED_REPORT = "signed-report"


class EndingKind(Enum):
    """How a collection ended.

    `complete`: all that was planned was asked and answered. `refused`: the device broke the protocol or answered a
    required request with ERROR. `unreachable`: it could not be found out what the device would say.
    """

    COMPLETE = "complete"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Ending:
    """How and why; `step` is the verification step that a refusal belongs to."""

    kind: EndingKind = EndingKind.COMPLETE
    message: str = ""
    step: int | None = None
    hint: str = ""

    def __post_init__(self) -> None:
        if (self.step is not None) != (self.kind is EndingKind.REFUSED):
            raise ValueError("exactly a refusal belongs to a verification step")
        if self.step is not None and not 1 <= self.step <= 14:
            raise ValueError(f"there is no verification step {self.step}")


@dataclass(frozen=True)
class Evidence:
    """One collection.

    `device` is the address it was asked under, `identity` the PCI function behind it where there is one.
    `exchanges` (conversation) are in their order. `chains` are certificate chain structures that were not read again
    because the device reported their digest, so that the evidence needs no cache to be judged. `report` and
    `certificates` (signed report) are the report's bytes and the DER of its chain in SPDM order, root first, unparsed.
    `expected_nonce` is the requester's nonce if the caller chose it, which makes the evidence prove its own freshness.
    `tool` names the program that collected it.
    """

    device: str
    kind: EvidenceKind
    collected_at: datetime
    exchanges: tuple[Exchange, ...] = ()
    chains: tuple[bytes, ...] = ()
    report: bytes = b""
    certificates: tuple[bytes, ...] = ()
    identity: PciIdentity | None = None
    expected_nonce: bytes | None = None
    ending: Ending = Ending()
    tool: str = ""

    def __post_init__(self) -> None:
        if self.collected_at.tzinfo is None:
            raise ValueError("the time of a collection needs a time zone")
        report_parts = bool(self.report or self.certificates)
        if report_parts if self.kind is EvidenceKind.CONVERSATION else bool(self.exchanges or self.chains):
            raise ValueError(f"{self.kind.value} evidence with the parts of the other kind")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything but the tool's name, lower-case hex: what a verdict says it is about."""
        identity = self.identity.san_string() if self.identity else None
        exchanges = ",".join(
            [
                f'["{one.request.hex()}","{one.response.hex()}"{"" if one.session is None else f",{one.session}"}]'
                for one in self.exchanges
            ]
        )
        before = (SCHEMA, self.device, self.kind.value, time_text(self.collected_at))
        after = (
            [chain.hex() for chain in self.chains],
            self.report.hex(),
            [certificate.hex() for certificate in self.certificates],
            identity,
            self.expected_nonce.hex() if self.expected_nonce is not None else None,
            [self.ending.kind.value, self.ending.message, self.ending.step, self.ending.hint],
        )
        # One JSON list of all of it; what is only hex, and most of it, needs no encoder.
        text = f"{_JSON.encode(before)[:-1]},[{exchanges}],{_JSON.encode(after)[1:]}"
        return hashlib.sha256(text.encode()).hexdigest()
