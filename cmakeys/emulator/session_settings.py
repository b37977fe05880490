"""What an emulated device offers for sessions, apart from its keys, and whom it wants to know at the other end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cmakeys.spdm.algorithms import Aead, Dhe, Kem
from cmakeys.spdm.codes import Capability, MutualAuthentication
from cmakeys.spdm.messages.opaque import SecuredVersion


class PskSupport(Enum):
    """PSK_CAP: with context of its own, the device wants a PSK_FINISH."""

    NONE = Capability(0)
    WITHOUT_CONTEXT = Capability.PSK
    WITH_CONTEXT = Capability.PSK_WITH_CONTEXT


AGREEMENT_PRIORITY: tuple[Dhe | Kem, ...] = (
    Dhe.SECP384R1,
    Dhe.SECP521R1,
    Dhe.SECP256R1,
    Dhe.FFDHE_4096,
    Dhe.FFDHE_3072,
    Dhe.FFDHE_2048,
    Kem.ML_KEM_1024,
    Kem.ML_KEM_768,
)
KEM_FIRST: tuple[Dhe | Kem, ...] = tuple(sorted(AGREEMENT_PRIORITY, key=lambda algorithm: isinstance(algorithm, Dhe)))
AEAD_PRIORITY: tuple[Aead, ...] = (Aead.AES_256_GCM, Aead.AES_128_GCM, Aead.CHACHA20_POLY1305)

SECURED_VERSIONS: tuple[SecuredVersion, ...] = (SecuredVersion.V10, SecuredVersion.V11, SecuredVersion.V12)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Sessions as the device makes them.

    `agreements` and `aeads` are supported sets in order of preference; what this machine cannot compute is left out
    of them when they are offered. `heartbeat` is the period in seconds, 0 for none; a session that is silent for
    twice as long is over. `mutual` is how the device asks in KEY_EXCHANGE_RSP who is there, `basic_mutual` whether it
    asks in CHALLENGE_AUTH; `insists` refuses a requester that cannot tell. `requester_slot` is the slot it names when
    it asks for no encapsulated requests. `limit` is how many sessions can be open.
    """

    key_exchange: bool = True
    encrypt: bool = True
    clear_handshake: bool = False
    psk: PskSupport = PskSupport.NONE
    agreements: tuple[Dhe | Kem, ...] = AGREEMENT_PRIORITY
    aeads: tuple[Aead, ...] = AEAD_PRIORITY
    heartbeat: int = 0
    key_update: bool = True
    mutual: MutualAuthentication = MutualAuthentication.NONE
    basic_mutual: bool = False
    insists: bool = False
    requester_slot: int = 0
    secured_versions: tuple[SecuredVersion, ...] = SECURED_VERSIONS
    limit: int = 4

    def flags(self) -> Capability:
        """The flags of CAPABILITIES that these settings stand for, not yet masked for a version."""
        flags = Capability.MAC | self.psk.value
        if self.key_exchange:
            flags |= Capability.KEY_EX
        if self.encrypt:
            flags |= Capability.ENCRYPT
        if self.clear_handshake and self.key_exchange:
            flags |= Capability.HANDSHAKE_IN_THE_CLEAR
        if self.heartbeat:
            flags |= Capability.HBEAT
        if self.key_update:
            flags |= Capability.KEY_UPD | Capability.ENCAP
        if self.mutual is not MutualAuthentication.NONE or self.basic_mutual:
            flags |= Capability.MUT_AUTH | Capability.ENCAP
        return flags
