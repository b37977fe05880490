"""What verification needs to know about an enrolled device, as a value that knows nothing of the register.

The register keeps more (when, by whom, history); whoever conducts a check turns an entry into this.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.verify.negotiation import Negotiation
from cmakeys.x509.identity import PciIdentity
from cmakeys.x509.pin import Pin


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An enrolled device.

    `pin` is what it is recognised by. `negotiation` is that of the last good check, None where the evidence had none.
    `identity` is the PCI function it was enrolled as: of its configuration space, or, for an address without one, as
    its leaf named it then. `device_info` are the DMTF names of its leaf at enrolment. `key` is the public key of a
    device that was enrolled without certificates.
    """

    pin: Pin
    negotiation: Negotiation | None = None
    identity: PciIdentity | None = None
    device_info: tuple[str, ...] = ()
    key: ProvisionedKey | None = None
