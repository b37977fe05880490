"""What a full attestation costs on the bus: accesses to configuration space and exchanges, against the least possible.

The least is two accesses for a dword received, one for a dword sent, and the constant of an exchange. Nothing is timed:
these are counts, and the goal is that nothing is ever added to them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cmakeys.evidence.live import Question, collect
from cmakeys.spdm.requester import Plan
from cmakeys.transports.base import Deadline
from cmakeys.transports.config_space import CountedConfig
from cmakeys.transports.doe import OVERHEAD, open_spdm_mailbox
from cmakeys.transports.doe_transport import DoeTransport
from tests.bench.ratio import Ratio
from tests.transports.mailbox import MAILBOX, SimulatedFunction, SimulatedMailbox, answering
from tests.workbench import honest

LEAST_EXCHANGES = 7
"""Version, capabilities, algorithms, digests, one portion of the chain, challenge, signed measurements."""


def ratios() -> list[Ratio]:
    """Accesses and exchanges of one attestation of an emulated device."""
    config = CountedConfig(SimulatedFunction({MAILBOX: SimulatedMailbox(answering(honest("0001")))}))
    deadline = Deadline.after(60)
    transport = DoeTransport(config, open_spdm_mailbox(config, deadline), "pci:0000:01:00.0")
    before = config.accesses
    question = Question(plan=Plan(slots=frozenset()))
    evidence = collect(transport, deadline, now=datetime(2040, 1, 1, tzinfo=UTC), question=question)
    sent = sum(_dwords(exchange.request) for exchange in evidence.exchanges)
    received = sum(_dwords(exchange.response) for exchange in evidence.exchanges)
    count = len(evidence.exchanges)
    least = sent + 2 * received + count * OVERHEAD
    return [
        Ratio(
            "accesses to configuration space for an attestation against the least possible",
            config.accesses - before,
            least,
            1.0,
            "accesses",
        ),
        Ratio("exchanges of an attestation against the least possible", count, LEAST_EXCHANGES, 1.0, "exchanges"),
    ]


def _dwords(message: bytes) -> int:
    """Dwords of the object that carries a message, its header of two included."""
    return 2 + (len(message) + 3) // 4
