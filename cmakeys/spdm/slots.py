"""The certificate slots of a device: digests, and chains put together from portions (reference §3.1 to 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmakeys.spdm.algorithms import HashFunction
from cmakeys.spdm.codes import CertificateModel, RequestCode, Version
from cmakeys.spdm.messages.certificates import CHAIN_HEADER_LENGTH, CertificateResponse, Digests, GetCertificate
from cmakeys.spdm.violation import violation

MAX_CHAIN_SIZE = 0xFFFF
"""Bytes of a chain structure in the classic form."""

MAX_LARGE_CHAIN_SIZE = 0x100000
"""Bytes of a chain structure in the 1.4 large form that this program accepts; the format allows 4 GiB."""


@dataclass(slots=True)
class _PartialChain:
    data: bytearray = field(default_factory=bytearray)
    total: int = 0


class Slots:
    """What a connection knows of the slots. Every method raises `ProtocolViolation` for an answer that lies."""

    def __init__(self, known_chains: Mapping[bytes, bytes]) -> None:
        self.hash: HashFunction | None = None
        self.digests: Digests | None = None
        self.chains: dict[int, bytes] = {}
        self.models: dict[int, int] = {}
        self.adopted: dict[bytes, bytes] = {}
        self._known_chains = known_chains
        self._partial: dict[int, _PartialChain] = {}

    def adopt(self, slot: int) -> bytes | None:
        """Take a chain known from before when the device reports its digest for `slot`, instead of reading it."""
        digest = self.digests.digest_of(slot) if self.digests else None
        chain = self._known_chains.get(digest) if digest else None
        if chain is None or digest is None or self.hash is None or self.hash.digest(chain) != digest:
            return None
        self.chains[slot] = self.adopted[digest] = chain
        return chain

    def take_digests(self, answer: Digests) -> None:
        """Judge DIGESTS."""
        code = RequestCode.GET_DIGESTS
        if not answer.provisioned:
            raise violation(
                code,
                "no slot holds a certificate chain",
                hint="provision the device with its vendor's tool; there is nothing to authenticate yet",
            )
        if answer.version >= Version.V13 and answer.provisioned & ~answer.supported:
            raise violation(
                code, f"slots {answer.provisioned:#04x} are provisioned, only {answer.supported:#04x} supported"
            )
        for slot in answer.slots:
            info = answer.info_of(slot)
            if info is not None:
                self._check_slot_info(slot, info.certificate_info & 7, info.key_usage, answer.digest_of(slot) or b"")
        self.digests = answer

    def _check_slot_info(self, slot: int, model: int, usage: int, digest: bytes) -> None:
        code = RequestCode.GET_DIGESTS
        if model > CertificateModel.GENERIC:
            raise violation(code, f"slot {slot} has the undefined certificate model {model}")
        if model == CertificateModel.NONE and any(digest):
            raise violation(code, f"slot {slot} has a digest but no certificate model")
        if slot == 0 and model == CertificateModel.GENERIC:
            raise violation(code, "slot 0 may not hold a generic certificate")
        if slot == 0 and not usage & 0x000F:
            raise violation(code, "the key of slot 0 may be used for nothing")

    def take_portion(self, asked: GetCertificate, answer: CertificateResponse, *, multi_key: bool) -> None:
        """Judge CERTIFICATE and keep its portion."""
        code = RequestCode.GET_CERTIFICATE
        if answer.slot != asked.slot:
            raise violation(code, f"slot {answer.slot} answered where slot {asked.slot} was asked")
        if answer.large != asked.large:
            raise violation(code, "the large form is used on one side only")
        if asked.param2 & 1 or asked.length == 0:
            return  # a question for the size only
        if not multi_key and answer.model:
            raise violation(code, f"certificate model {answer.model} outside a multi-key connection")
        self._append(asked, answer)

    def _append(self, asked: GetCertificate, answer: CertificateResponse) -> None:
        code = RequestCode.GET_CERTIFICATE
        portion = len(answer.portion)
        if portion == 0:
            raise violation(code, f"an empty portion of slot {asked.slot} at offset {asked.offset}")
        if portion > asked.length:
            raise violation(code, f"a portion of {portion} bytes where {asked.length} were asked")
        total = asked.offset + portion + answer.remainder
        limit = MAX_LARGE_CHAIN_SIZE if asked.large else MAX_CHAIN_SIZE
        if total > limit:
            raise violation(code, f"the chain of slot {asked.slot} is {total} bytes, more than {limit}")
        if asked.offset == 0:
            self._partial[asked.slot] = _PartialChain(total=total)
            self.models[asked.slot] = answer.model & 7
        partial = self._partial.get(asked.slot)
        if partial is None or asked.offset != len(partial.data):
            return  # a portion out of order, read on purpose: part of the transcript, not of a chain
        if total != partial.total:
            raise violation(
                code, f"slot {asked.slot} was {partial.total} bytes long and is now {total} at offset {asked.offset}"
            )
        if answer.model & 7 != self.models[asked.slot]:
            raise violation(code, f"the certificate model of slot {asked.slot} changes between portions")
        partial.data += answer.portion
        if len(partial.data) == partial.total:
            self._complete_chain(asked.slot, bytes(self._partial.pop(asked.slot).data))

    def _complete_chain(self, slot: int, chain: bytes) -> None:
        code = RequestCode.GET_CERTIFICATE
        if len(chain) <= CHAIN_HEADER_LENGTH + (self.hash.size if self.hash else 0):
            raise violation(code, f"the chain of slot {slot} is {len(chain)} bytes: there is no certificate in it")
        length = int.from_bytes(chain[:2] if len(chain) <= MAX_CHAIN_SIZE else chain[:4], "little")
        if length != len(chain):
            raise violation(code, f"the chain of slot {slot} says {length} bytes and has {len(chain)}")
        digest = self.digests.digest_of(slot) if self.digests else None
        if digest is not None and self.hash is not None and self.hash.digest(chain) != digest:
            raise violation(code, f"the chain of slot {slot} does not have the digest that DIGESTS gave for it")
        self.chains[slot] = chain
