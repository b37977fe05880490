"""The part of an emulated device that outlives a connection: its slots, keys, measurements and settings.

A slot may hold a chain for each key type, as libspdm's responder does: which of them a connection sees follows from
the negotiated algorithm. Chain structures and their digests depend on the negotiated hash and are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_bytes
from time import monotonic

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.emulator.lies.lie import Lies
from cmakeys.emulator.measurements import INDEX_FIRMWARE, INDEX_SVN, MeasurementSet, standard_measurements
from cmakeys.emulator.pki import DeviceCredentials
from cmakeys.emulator.settings import DeviceSettings
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseAsym, BaseHash, PqcAsym
from cmakeys.spdm.codes import CertificateModel
from cmakeys.x509.certificate import Certificate

MAX_SLOTS = 8


@dataclass(frozen=True, slots=True)
class SlotChain:
    """What a slot holds under the negotiated algorithms: the chain structure, its digest and the credentials."""

    credentials: DeviceCredentials
    structure: bytes
    digest: bytes


@dataclass(slots=True)
class Hardware:
    """Slots by number, each with one set of credentials per key type.

    `psks` are pre-shared keys by their hints. `requester_roots` are the anchors for requesters, none for any requester;
    `requester_chain` is the chain of one that is known beforehand, root first. `clock` gives seconds for heartbeats.
    `updates` counts changes of firmware: sessions may end with them.
    """

    slots: Mapping[int, tuple[DeviceCredentials, ...]]
    settings: DeviceSettings = field(default_factory=DeviceSettings)
    measurements: MeasurementSet = field(default_factory=standard_measurements)
    lies: Lies = field(default_factory=Lies)
    random: Callable[[int], bytes] = token_bytes
    psks: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    requester_roots: tuple[Certificate, ...] = ()
    requester_chain: tuple[Certificate, ...] = ()
    clock: Callable[[], float] = monotonic
    updates: int = 0
    _chains: dict[tuple[int, BaseAsym | PqcAsym, BaseHash], SlotChain | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.slots or not all(0 <= slot < MAX_SLOTS for slot in self.slots):
            raise ValueError(f"slots {sorted(self.slots)}: at least one is needed, numbered 0 to {MAX_SLOTS - 1}")

    @property
    def alias(self) -> bool:
        """Some chain follows the alias certificate model."""
        return any(one.model == CertificateModel.ALIAS for slot in self.slots.values() for one in slot)

    @property
    def slot_mask(self) -> int:
        """The slots that exist, whatever the algorithm."""
        return sum(1 << slot for slot in self.slots)

    @property
    def base_asym(self) -> BaseAsym:
        """Classic algorithms that some slot's key serves and the settings allow."""
        served = BaseAsym(0)
        for algorithm in self.settings.algorithms:
            if isinstance(algorithm, BaseAsym) and self._serves(algorithm):
                served |= algorithm
        return served

    @property
    def pqc_asym(self) -> PqcAsym:
        """Post-quantum algorithms, likewise."""
        served = PqcAsym(0)
        for algorithm in self.settings.algorithms:
            if isinstance(algorithm, PqcAsym) and self._serves(algorithm):
                served |= algorithm
        return served

    def _serves(self, algorithm: BaseAsym | PqcAsym) -> bool:
        return any(_credentials_for(chains, algorithm) for chains in self.slots.values())

    def chain(self, slot: int, asym: BaseAsym | PqcAsym, base_hash: BaseHash) -> SlotChain | None:
        """What `slot` holds under these algorithms; None when it is empty."""
        place = (slot, asym, base_hash)
        if place not in self._chains:
            self._chains[place] = self._build(slot, asym, base_hash)
        return self._chains[place]

    def _build(self, slot: int, asym: BaseAsym | PqcAsym, base_hash: BaseHash) -> SlotChain | None:
        credentials = _credentials_for(self.slots.get(slot, ()), asym)
        if credentials is None:
            return None
        function = BASE_HASH_FUNCTIONS[base_hash]
        structure = self.lies.structure(credentials.structure(function), function)
        return SlotChain(credentials, structure, function.digest(structure))

    def provisioned_key(self, asym: BaseAsym | PqcAsym, base_hash: BaseHash) -> SlotChain | None:
        """The public key of the lowest slot in place of its chain, with the key to sign with; None for no such key."""
        credentials = _credentials_for(self.slots[min(self.slots)], asym)
        if credentials is None:
            return None
        key = credentials.chain[-1].public_key
        info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SlotChain(credentials, info, BASE_HASH_FUNCTIONS[base_hash].digest(info))

    def provisioned(self, asym: BaseAsym | PqcAsym, base_hash: BaseHash) -> dict[int, SlotChain]:
        """The filled slots under these algorithms, ascending."""
        found = {slot: self.chain(slot, asym, base_hash) for slot in sorted(self.slots)}
        return {slot: chain for slot, chain in found.items() if chain is not None}

    def install(self, slot: int, credentials: tuple[DeviceCredentials, ...]) -> None:
        """Put other chains into a slot, or none; a device keeps at least one slot."""
        slots = {number: chains for number, chains in self.slots.items() if number != slot}
        self.slots = {**slots, slot: credentials} if credentials or not slots else slots
        self._chains.clear()

    def change_firmware(self, firmware: bytes, svn: int | None = None) -> None:
        """Install other firmware: the measurements change, and with them every alias leaf and its key."""
        self.measurements = self.measurements.changed(INDEX_FIRMWARE, firmware)
        if svn is not None:
            self.measurements = self.measurements.changed(INDEX_SVN, svn.to_bytes(8, "little"))
        self.slots = {
            slot: tuple(one.with_firmware(firmware, svn) for one in chains) for slot, chains in self.slots.items()
        }
        self._chains.clear()
        self.updates += 1


def _credentials_for(chains: tuple[DeviceCredentials, ...], asym: BaseAsym | PqcAsym) -> DeviceCredentials | None:
    for one in chains:
        served = one.key_type.base_asym if isinstance(asym, BaseAsym) else one.key_type.pqc_asym
        if asym.value & served.value:
            return one
    return None
