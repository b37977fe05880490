"""Asking a function's mailboxes which protocols they carry, for kernels that do not list them (before 6.15).

DOE discovery is not SPDM: it ends nobody's connection. It still uses the mailbox, so the function is claimed first by
the rules of `cmakeys.transports.pci_claim`, and never by force: a scan has no reason to disturb anybody.
"""

from __future__ import annotations

from contextlib import closing

from cmakeys.devices.functions import FunctionEntry
from cmakeys.devices.scan import Discovery
from cmakeys.errors import Temporary
from cmakeys.transports.base import Deadline
from cmakeys.transports.doe import SPDM, Feature, Mailbox, mailboxes
from cmakeys.transports.doe_transport import THIS_MACHINE, PciHost
from cmakeys.transports.pci_claim import claimed

DISCOVERY_SECONDS = 5.0
"""Time for one function; a mailbox has one second for each answer (PCIe r6.1 §6.30.2)."""


def mailbox_discovery(host: PciHost = THIS_MACHINE, seconds: float = DISCOVERY_SECONDS) -> Discovery:
    """A `Discovery` through the mailboxes of a machine's functions."""

    def discover(entry: FunctionEntry) -> frozenset[str]:
        name, deadline = str(entry.address), Deadline.after(seconds)
        with (
            claimed(name, deadline, sysfs=host.sysfs) as folder,
            closing(host.open_config(folder / "config", name)) as config,
        ):
            found: set[Feature] = set()
            trouble: Temporary | None = None
            for capability in mailboxes(config):
                mailbox = Mailbox(config, capability)
                try:
                    mailbox.prepare(deadline)
                    found |= mailbox.discover(deadline)
                except Temporary as problem:
                    trouble = trouble or problem
        if trouble is not None and SPDM not in found:
            raise trouble  # the mailbox that did not answer could have been the one
        return frozenset(f"{vendor:04x}:{kind:02x}" for vendor, kind in found)

    return discover
