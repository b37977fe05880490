"""A PCI function of this machine as a transport: its DOE mailbox, claimed for the time of one conversation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cmakeys.errors import Temporary, Unsupported
from cmakeys.transports.base import Deadline, TransportClosed
from cmakeys.transports.config_space import CONVENTIONAL_SIZE, ConfigSpace, SysfsConfig
from cmakeys.transports.doe import Mailbox, open_spdm_mailbox
from cmakeys.transports.framing import DOE_VENDOR_PCI_SIG, DoeObject, DoeType, Framing
from cmakeys.transports.pci_claim import claimed


@dataclass(frozen=True, slots=True)
class PciHost:
    """The machine whose functions are meant: where its sysfs is, and how a `config` file becomes registers.

    `open_config` gets the file's path and the function's name.
    """

    sysfs: Path = Path("/sys")
    open_config: Callable[[Path, str], ConfigSpace] = SysfsConfig.open


THIS_MACHINE = PciHost()


class DoeTransport:
    """A conversation through a mailbox; see `Transport`. `config` is the function's configuration space."""

    framing = Framing.PCI_DOE

    def __init__(self, config: ConfigSpace, mailbox: Mailbox, address: str, held: ExitStack | None = None) -> None:
        self.config = config
        self._mailbox = mailbox
        self._address = address
        self._held = held or ExitStack()
        self._usable = True

    @classmethod
    def open(
        cls, function: str, address: str, deadline: Deadline, *, force: bool = False, host: PciHost = THIS_MACHINE
    ) -> Self:
        """Claim a function and find the mailbox that speaks SPDM; `force` overrides what is a choice."""
        with ExitStack() as stack:
            folder = stack.enter_context(claimed(function, deadline, sysfs=host.sysfs, force=force))
            config = stack.enter_context(closing(host.open_config(folder / "config", function)))
            if config.size <= CONVENTIONAL_SIZE:
                raise Unsupported(
                    "it has no extended configuration space, so no DOE mailbox",
                    object=function,
                    hint="a conventional PCI function, or the kernel has no access to the extended registers",
                )
            mailbox = open_spdm_mailbox(config, deadline)
            return cls(config, mailbox, address, stack.pop_all())

    @property
    def address(self) -> str:
        """The URL of the function."""
        return self._address

    def exchange(self, message: bytes, deadline: Deadline, *, secured: bool = False) -> bytes:
        """Send one message through the mailbox and return the answer's payload; see `Transport`."""
        if not self._usable:
            raise TransportClosed("the mailbox was given up after an earlier failure", object=self._address)
        kind = DoeType.SECURED_SPDM if secured else DoeType.SPDM
        if (DOE_VENDOR_PCI_SIG, kind) not in self._mailbox.features:
            raise Unsupported("the mailbox carries no secured records", object=self._address)
        try:
            return self._mailbox.exchange(DoeObject(DOE_VENDOR_PCI_SIG, kind, message), deadline).payload
        except Temporary:
            self._usable = False
            raise

    def close(self) -> None:
        """Give the function back."""
        self._usable = False
        self._held.close()
