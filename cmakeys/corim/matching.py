"""Which claims of a CoRIM are about a device: the environments held against what the device's certificates say.

Every field that an environment names has to be what one and the same source says: a DICE TcbInfo, the device-info
name of the leaf (`manufacturer:product:serial`), or the words of the administrator. What nobody says does not match;
each environment that does not is told with the reason. No field is taken for given.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cmakeys.corim.decoding import CorimProblem
from cmakeys.corim.manifest import Environment, Manifest
from cmakeys.verify.statement import MAX_ALTERNATIVES, Stated, Statement
from cmakeys.verify.tcb_statement import StatedTcb, TcbStatement
from cmakeys.x509.certificate import Certificate, CertificateProblem
from cmakeys.x509.identity import leaf_names
from cmakeys.x509.tcb import chain_tcb

_HASHES = {
    1: "sha256",
    7: "sha384",
    8: "sha512",
    10: "sha3_256",
    11: "sha3_384",
    12: "sha3_512",
    -16: "sha256",
    -43: "sha384",
    -44: "sha512",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What one source says that a device is; `instances` holds for all sources of it."""

    source: str
    vendor: str | None = None
    model: str | None = None
    class_id: str | None = None
    layer: int | None = None
    index: int | None = None

    def mismatch(self, environment: Environment) -> str:
        """The first field that is another; empty where all match."""
        pairs = (
            ("vendor", environment.vendor, self.vendor),
            ("model", environment.model, self.model),
            ("class", environment.class_id, self.class_id),
            ("layer", environment.layer, self.layer),
            ("index", environment.index, self.index),
        )
        for name, wanted, actual in pairs:
            if wanted is not None and wanted != actual:
                says = f"says {actual!r}" if actual is not None else "does not say it"
                return f"{name} {wanted!r}: {self.source} {says}"
        return ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A device as its certificates, and perhaps a person, describe it."""

    identities: tuple[Identity, ...]
    chain: tuple[Certificate, ...]
    instances: frozenset[str] = frozenset()

    def mismatch(self, environment: Environment) -> str:
        """Why an environment is not this device; empty where it is."""
        if environment.group:
            return "it is about a group, which no certificate names"
        if environment.instance is not None and not self._instance(environment.instance):
            return f"instance {environment.instance[:80]}: no certificate says so"
        if all(part is None for name, part in environment.fields() if name != "instance"):
            return ""
        reasons = [identity.mismatch(environment) for identity in self.identities]
        if "" in reasons:
            return ""
        return reasons[0] if reasons else "the certificates say neither vendor nor model"

    def described(self, environment: Environment) -> StatedTcb | None:
        """The description of the TcbInfos that an environment is about; None where no certificate has any such."""
        kind, _, digits = (environment.class_id or "").partition(":")
        if environment.class_id is not None and kind != "bytes":
            return None
        try:
            place = StatedTcb(
                environment.vendor,
                environment.model,
                bytes.fromhex(digits) if environment.class_id is not None else None,
                environment.layer,
                environment.index,
                (),
            )
            return place if any(place.about(one.info) for one in chain_tcb(self.chain)) else None
        except (ValueError, CertificateProblem):
            return None

    def _instance(self, wanted: str) -> bool:
        kind, _, rest = wanted.partition(":")
        if kind not in ("key-thumbprint", "cert-thumbprint"):
            return wanted in self.instances
        algorithm, _, digest = rest.partition(":")
        name = _HASHES[int(algorithm)]
        for certificate in self.chain:
            if kind == "cert-thumbprint":
                data = certificate.der
            else:
                data = certificate.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            if hashlib.new(name, data).hexdigest() == digest:
                return True
        return False


def subject_of(chain: Sequence[Certificate], vendor: str = "", model: str = "") -> Subject:
    """What a chain, root first, says of its device; `vendor` and `model` are the words of a person.

    A certificate that cannot be read says nothing.
    """
    found: list[Identity] = []
    if vendor or model:
        found.append(Identity("the command line", vendor or None, model or None))
    instances: set[str] = set()
    try:
        for place in chain_tcb(chain):
            info = place.info
            kind = f"bytes:{info.type.hex()}" if info.type else None
            found.append(Identity(f"TcbInfo of {place.name}", info.vendor, info.model, kind, info.layer, info.index))
        names = leaf_names(chain[-1]).device_info if chain else ()
    except CertificateProblem:
        return Subject(tuple(found), tuple(chain))
    for name in names:
        maker, _, rest = name.partition(":")
        product, _, serial = rest.partition(":")
        found.append(Identity("the leaf's device name", maker or None, product or None))
        instances |= {f"bytes:{serial.encode().hex()}"} if serial else set()
    return Subject(tuple(dict.fromkeys(found)), tuple(chain), frozenset(instances))


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a CoRIM is about a device: `stated` by index, ascending, `stated_tcb` of its certificates; the rest in
    words."""

    stated: tuple[Stated, ...]
    stated_tcb: tuple[StatedTcb, ...]
    matched: tuple[str, ...]
    not_matched: tuple[str, ...]
    not_compared: tuple[str, ...]


def select(manifest: Manifest, subject: Subject, source: str) -> Selection:
    """The statements for a device. Raises `CorimProblem` where none of the environments is the device."""
    matched, not_matched, not_compared = [], [], []
    by_index: defaultdict[int, dict[Statement, None]] = defaultdict(dict)
    by_place: defaultdict[StatedTcb, dict[TcbStatement, None]] = defaultdict(dict)
    for triple in manifest.triples:
        reason = subject.mismatch(triple.environment)
        if reason:
            not_matched.append(reason)
            continue
        matched.append(triple.environment.words)
        for claim in triple.claims:
            where = f"index {claim.index}" if claim.index is not None else "a measurement without an index"
            not_compared += [f"{where}: {what}" for what in claim.not_compared]
            if claim.tcb is not None:
                place = subject.described(triple.environment)
                if place is None:
                    not_compared.append(f"{where}: no certificate has a TcbInfo of {triple.environment.words}")
                else:
                    by_place[place][claim.tcb] = None
            elif claim.index is None:
                not_compared += [f"{where}: its key is no index of SPDM"] if claim.statement is not None else []
            elif claim.statement is not None:
                by_index[claim.index][claim.statement] = None
    if not matched:
        first = not_matched[0] if not_matched else "it has no reference triples"
        raise CorimProblem(
            f"nothing in it is about this device: {first}",
            object=source,
            hint="if you know that it is: --vendor and --model say what the device is, in the words of the file",
        )
    if not by_index and not by_place:
        raise CorimProblem(
            "what it says of this device is no measurement by index, and of no TcbInfo of its certificates",
            object=source,
        )
    if max((*map(len, by_index.values()), *map(len, by_place.values()))) > MAX_ALTERNATIVES:
        raise CorimProblem(f"more than {MAX_ALTERNATIVES} alternatives for one thing", object=source)
    stated = tuple(Stated(index, tuple(by_index[index])) for index in sorted(by_index))
    stated_tcb = tuple(replace(place, alternatives=tuple(said)) for place, said in by_place.items())
    unique = (tuple(dict.fromkeys(texts)) for texts in (matched, not_matched, not_compared))
    return Selection(stated, stated_tcb, *unique)
