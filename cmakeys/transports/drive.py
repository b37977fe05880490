"""Runs a sans-I/O flow of `cmakeys.spdm` against a real device, within one deadline.

The flow says what to send, how long an answer may take, and when to wait; here the bytes go over a transport. Nothing
is judged: trouble on the way is raised as it comes (`TransportTimeout` and its kin), and so is what the flow finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from cmakeys.spdm.effects import Flow, Send, Wait
from cmakeys.transports.base import Deadline, Transport, TransportTimeout

T = TypeVar("T")


def drive(
    flow: Flow[T], transport: Transport, deadline: Deadline, *, sleep: Callable[[float], object] = time.sleep
) -> T:
    """Run `flow` to its end and return its result.

    Each message gets the time that the flow allows it, never more than is left until `deadline`; a wait that would
    reach the deadline is not begun. Raises what the transport and the flow raise.
    """
    answer: bytes | None = None
    try:
        while True:
            try:
                effect = next(flow) if answer is None else flow.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer = _perform(effect, transport, deadline, sleep)
    finally:
        flow.close()


def _perform(effect: Send | Wait, transport: Transport, deadline: Deadline, sleep: Callable[[float], object]) -> bytes:
    if isinstance(effect, Send):
        return transport.exchange(effect.message, deadline.within(effect.timeout), secured=effect.secured)
    left = deadline.require("to wait for the device", transport.address)
    if effect.seconds >= left:
        raise TransportTimeout(
            f"the device wants {effect.seconds:.3g} s more, {left:.3g} s are left",
            object=transport.address,
            hint="the device may be busy; try again, or allow more time",
        )
    sleep(effect.seconds)
    return b""
