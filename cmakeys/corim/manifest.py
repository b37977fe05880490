"""What a CoRIM claims: its name, its validity, and the reference triples of the CoMIDs in it.

    500(…)                   older files wrap all of it
    501({0: id, 1: [tags], 3: profile, 4: rim-validity})
    502(18([…])) or 18([protected, unprotected, payload, signature]); the payload is the 501
    506(bytes)               a CoMID: {1: tag-identity, 4: {0: [[environment, [measurement]]]}}

Of a measurement the key says which it is: for SPDM a number, the index of the measurement block (TCG DICE Endorsement
Architecture for Devices). Whatever else stands in a file (endorsements, keys, other tags, extensions of a profile) is
no reference value; it is counted and told, never taken for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cmakeys.corim.decoding import CorimProblem, array, decode, mapping, number, octets, tagged, text
from cmakeys.corim.signature import Envelope, Signer, Validity, read_envelope, read_validity, verify_signature
from cmakeys.verify.statement import MAX_DIGESTS, Statement
from cmakeys.verify.tcb_statement import TcbStatement
from cmakeys.x509.tcb import FLAGS

CORIM, UNSIGNED, SIGNED, COSE_SIGN1, COMID = 500, 501, 502, 18, 506
OID, UUID_TAG, SVN, MIN_SVN, BYTES, MASKED = 111, 37, 552, 553, 560, 563
MAX_TRIPLES = 1024
MAX_MEASUREMENTS = 16384
"""Of a whole file."""

MAX_VALUE_SIZE = 0xFFFF
MAX_SHOWN_IDENTIFIER = 64
"""Bytes; a UEID has at most 33."""

DIGEST_SIZES = {1: 32, 7: 48, 8: 64, 10: 32, 11: 48, 12: 64, -16: 32, -43: 48, -44: 64}
"""Bytes by algorithm: SHA-2 and SHA-3 of IANA's Named Information registry, SHA-2 of COSE (negative)."""

DIGEST_NAMES = {"sha-256": 1, "sha-384": 7, "sha-512": 8, "sha3-256": 10, "sha3-384": 11, "sha3-512": 12}

_VALUES = {
    0: "version",
    3: "flags",
    4: "raw value",
    5: "raw value mask",
    6: "mac-addr",
    7: "ip-addr",
    8: "serial-number",
    9: "ueid",
    10: "uuid",
    11: "name",
    13: "cryptokeys",
    14: "integrity-registers",
    15: "int-range",
}


_SAME_SENSE = (2, 3)
"""is-recovery and is-debug; TcbInfo has bits for what is *not* configured, *not* secure, and so on."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a triple is about; None is not said. `class_id` and `instance` are shown as `kind:hex` or as their text."""

    class_id: str | None = None
    vendor: str | None = None
    model: str | None = None
    layer: int | None = None
    index: int | None = None
    instance: str | None = None
    group: bool = False

    @property
    def words(self) -> str:
        """For messages."""
        parts = [f"{name} {part}" for name, part in self.fields() if part is not None]
        return ", ".join(parts) + (", of a group" if self.group else "")

    def fields(self) -> tuple[tuple[str, str | int | None], ...]:
        """Its fields by name, but for the group."""
        return (
            ("vendor", self.vendor),
            ("model", self.model),
            ("class", self.class_id),
            ("layer", self.layer),
            ("index", self.index),
            ("instance", self.instance),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """One measurement-map: the index (None: its key is none), what is stated (None: nothing comparable), and the rest.

    `not_compared` names the values that no measurement block can be held against. One without any key states `tcb` of
    what a certificate says of the environment, and `not_compared` is what no TcbInfo can be held against.
    """

    index: int | None
    statement: Statement | None
    not_compared: tuple[str, ...] = ()
    tcb: TcbStatement | None = None


@dataclass(frozen=True, slots=True)
class Triple:
    """One reference triple."""

    environment: Environment
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A CoRIM. `envelope` is None for one that nobody signed; `others` counts the tags that are no CoMID."""

    identity: str
    profile: str
    triples: tuple[Triple, ...]
    validity: Validity | None
    envelope: Envelope | None
    others: int = 0

    def hold(self, signer: Signer | None, now: datetime, source: str) -> None:
        """Raise `CorimProblem` where the signature or any validity does not hold.

        Without a signer only the validity is looked at, of a signed file too: the caller says that nobody vouches.
        """
        if signer is not None:
            if self.envelope is None:
                raise CorimProblem("nobody signed it", object=source, hint="--unsigned takes it all the same")
            if signer.validity is not None:
                signer.validity.hold(now, "the validity of the signer's certificate", source)
            verify_signature(self.envelope, signer, source)
        for one in self.envelope.validities if self.envelope else ():
            one.hold(now, "the validity of the signature", source)
        if self.validity is not None:
            self.validity.hold(now, "the validity of the file", source)


def read_manifest(data: bytes, source: str) -> Manifest:
    """Read a CoRIM; its signature is not looked at here. Raises `CorimProblem` for anything else."""
    value = decode(data, source)
    for wrapper in (CORIM, SIGNED):
        tag = tagged(value)
        if tag is not None and tag[0] == wrapper:
            value = tag[1]
    tag = tagged(value)
    if tag is not None and tag[0] == COSE_SIGN1:
        envelope = read_envelope(tag[1], source)
        inner = decode(envelope.payload, f"{source}, payload")
        tag = tagged(inner)
        return _manifest(tag[1] if tag and tag[0] == UNSIGNED else inner, envelope, source)
    if tag is not None and tag[0] == UNSIGNED:
        return _manifest(tag[1], None, source)
    raise CorimProblem("no CoRIM: neither tag 501 nor a signature (tag 18) comes first", object=source)


def _manifest(value: object, envelope: Envelope | None, source: str) -> Manifest:
    members = mapping(value, source)
    profiles = _profiles(members.get(3), f"{source}, profile")
    validity = read_validity(members[4], f"{source}, rim-validity") if 4 in members else None
    triples: list[Triple] = []
    others = 0
    for place, one in enumerate(array(members.get(1), f"{source}, tags")):
        tag = tagged(one)
        if tag is None or tag[0] != COMID:
            others += 1
            continue
        where = f"{source}, tag {place}"
        content = decode(octets(tag[1], where), where) if isinstance(tag[1], bytes) else tag[1]
        triples += _comid(content, where)
        if len(triples) > MAX_TRIPLES or sum(len(one.claims) for one in triples) > MAX_MEASUREMENTS:
            raise CorimProblem(f"more than {MAX_TRIPLES} triples or {MAX_MEASUREMENTS} measurements", object=source)
    return Manifest(_name(members.get(0), f"{source}, id"), profiles, tuple(triples), validity, envelope, others)


def _name(value: object, source: str) -> str:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes) and len(value) == 16:
        return str(UUID(bytes=value))
    return text(value, source)


def _profiles(value: object, source: str) -> str:
    """The profile in words; older files have an array of them."""
    if value is None:
        return ""
    several = array(value, source) if isinstance(value, list | tuple) else (value,)
    return ", ".join(_profile(one, source) for one in several)


def _profile(value: object, source: str) -> str:
    tag = tagged(value)
    if tag is not None and tag[0] == 32:
        return text(tag[1], source)
    return _oid(tag[1], source) if tag is not None and tag[0] == OID else text(value, source)


def _comid(value: object, source: str) -> Iterator[Triple]:
    members = mapping(value, source)
    triples = mapping(members.get(4), f"{source}, triples")
    if 0 not in triples:
        return
    for place, one in enumerate(array(triples[0], f"{source}, reference-triples")):
        where = f"{source}, triple {place}"
        parts = array(one, where)
        if len(parts) != 2:
            raise CorimProblem("an environment and its measurements are expected", object=where)
        claims = parts[1] if isinstance(parts[1], list | tuple) else (parts[1],)
        environment = _environment(parts[0], f"{where}, environment")
        yield Triple(environment, tuple(_claim(item, where) for item in array(claims, where)))


def _environment(value: object, source: str) -> Environment:
    members = mapping(value, source)
    if not members or any(key not in (0, 1, 2) for key in members):
        raise CorimProblem("a class, an instance or a group is expected", object=source)
    known = mapping(members.get(0, {}), f"{source}, class")
    if any(key not in (0, 1, 2, 3, 4) for key in known) or (0 in members and not known):
        raise CorimProblem("the class says nothing, or more than is understood", object=source)
    return Environment(
        _identifier(known[0], f"{source}, class-id") if 0 in known else None,
        text(known[1], f"{source}, vendor") if 1 in known else None,
        text(known[2], f"{source}, model") if 2 in known else None,
        number(known[3], f"{source}, layer") if 3 in known else None,
        number(known[4], f"{source}, index") if 4 in known else None,
        _identifier(members[1], f"{source}, instance") if 1 in members else None,
        2 in members,
    )


_KINDS = {550: "ueid", BYTES: "bytes"}
_THUMBPRINTS = {557: "key-thumbprint", 559: "cert-thumbprint"}


def _identifier(value: object, source: str) -> str:
    """A class-id or an instance as text that two equal ones have in common."""
    if isinstance(value, UUID):
        return f"uuid:{value}"
    if isinstance(value, bytes):
        return f"bytes:{_whole(value)}"
    tag = tagged(value)
    if tag is None:
        raise CorimProblem("an identifier with its tag is expected", object=source)
    if tag[0] == OID:
        return f"oid:{_oid(tag[1], source)}"
    if tag[0] in _THUMBPRINTS:
        algorithm, digest = _digest(tag[1], source)
        return f"{_THUMBPRINTS[tag[0]]}:{algorithm}:{digest.hex()}"
    if tag[0] in _KINDS:
        return f"{_KINDS[tag[0]]}:{_whole(octets(tag[1], source))}"
    return f"tag-{tag[0]}"


def _whole(identifier: bytes) -> str:
    """An identifier as text that no other one has; a long one by its digest, because it goes into messages."""
    if len(identifier) <= MAX_SHOWN_IDENTIFIER:
        return identifier.hex()
    return f"sha256:{hashlib.sha256(identifier).hexdigest()}"


def _oid(value: object, source: str) -> str:
    """An object identifier from the content of its DER (RFC 9090)."""
    data = octets(value, source)
    if not 1 <= len(data) <= 64 or data[-1] & 0x80:
        raise CorimProblem("no object identifier", object=source)
    arcs, arc = [], 0
    for octet in data:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _claim(value: object, source: str) -> Claim:
    members = mapping(value, source)
    if any(key not in (0, 1, 2) for key in members):
        raise CorimProblem("a measurement has members that are not understood", object=source)
    if 0 not in members:
        return _of_certificates(mapping(members.get(1), f"{source}, measurement"), f"{source}, measurement")
    index = _index(members[0], source)
    where = f"{source}, index {index}" if index is not None else f"{source}, measurement"
    values = mapping(members.get(1), where)
    rest = tuple(_value_name(key) for key in values if key not in (1, 2, 4, 5))
    digests = tuple(digest for _, digest in (_digest(one, where) for one in _digests(values.get(2), where)))
    content, mask = _raw(values.get(4), values.get(5), where)
    svn, at_least = _svn(values.get(1), where)
    if not digests and content is None and svn is None:
        return Claim(index, None, rest)
    return Claim(index, Statement(digests, content, mask, svn, at_least), rest)


def _value_name(key: object) -> str:
    return _VALUES.get(key, "an extension") if isinstance(key, int) else "an extension"


def _of_certificates(values: Mapping[object, object], source: str) -> Claim:
    """A measurement without a key is about the environment itself: what a layer says of it in a certificate."""
    digests = tuple(digest for _, digest in (_digest(one, source) for one in _digests(values.get(2), source)))
    svn, at_least = _svn(values.get(1), source)
    flags, others = _flags(values.get(3), source)
    said = TcbStatement(_version(values.get(0), source), svn, at_least, digests, flags)
    rest = tuple(_value_name(key) for key in values if key not in (0, 1, 2, 3))
    return Claim(None, None, rest + others, None if said.says_nothing else said)


def _version(value: object, source: str) -> str | None:
    """The text of a version-map; its scheme says how versions are ordered, and here they are the same or not."""
    return None if value is None else text(mapping(value, f"{source}, version").get(0), f"{source}, version")


def _flags(value: object, source: str) -> tuple[tuple[tuple[str, bool], ...], tuple[str, ...]]:
    """A flags-map as bits of TcbInfo, which says most of them the other way round, and what has no bit there."""
    if value is None:
        return (), ()
    found, others = [], []
    for key, wanted in mapping(value, f"{source}, flags").items():
        if not isinstance(wanted, bool):
            raise CorimProblem("a flag that is neither true nor false", object=f"{source}, flags")
        if isinstance(key, int) and 0 <= key < len(FLAGS):
            found.append((FLAGS[key], wanted if key in _SAME_SENSE else not wanted))
        else:
            others.append("a flag that TcbInfo does not have")
    return tuple(sorted(found)), tuple(others)


def _index(key: object, source: str) -> int | None:
    """The index of a measurement block; None where the key is another thing, or is not there."""
    if not isinstance(key, int) or isinstance(key, bool):
        return None
    if not 1 <= key <= 254:
        raise CorimProblem("SPDM has the measurement indices 1 to 254", object=source)
    return key


def _digests(value: object, source: str) -> Sequence[object]:
    found = array(value, f"{source}, digests") if value is not None else ()
    if len(found) > MAX_DIGESTS:
        raise CorimProblem(f"more than {MAX_DIGESTS} digests", object=source)
    return found


def _digest(value: object, source: str) -> tuple[int, bytes]:
    parts = array(value, f"{source}, digest")
    if len(parts) != 2:
        raise CorimProblem("a digest has an algorithm and a value", object=source)
    name, digest = parts[0], octets(parts[1], f"{source}, digest")
    algorithm = DIGEST_NAMES.get(name) if isinstance(name, str) else name
    if not isinstance(algorithm, int) or isinstance(algorithm, bool) or algorithm not in DIGEST_SIZES:
        raise CorimProblem("a digest of an algorithm that is not known here", object=source)
    if len(digest) != DIGEST_SIZES[algorithm]:
        raise CorimProblem(
            f"a digest of {len(digest)} bytes, its algorithm has {DIGEST_SIZES[algorithm]}", object=source
        )
    return algorithm, digest


def _raw(value: object, mask: object, source: str) -> tuple[bytes | None, bytes]:
    if value is None:
        if mask is not None:
            raise CorimProblem("a mask without a value", object=source)
        return None, b""
    tag = tagged(value)
    if tag is not None and tag[0] == MASKED:
        parts = array(tag[1], f"{source}, raw value")
        if len(parts) != 2 or mask is not None:
            raise CorimProblem("one value and one mask are expected", object=source)
        value, mask = parts
    elif tag is not None and tag[0] == BYTES:
        value = tag[1]
    content = octets(value, f"{source}, raw value")
    bits = octets(mask, f"{source}, mask") if mask is not None else b""
    if len(content) > MAX_VALUE_SIZE or (mask is not None and len(bits) != len(content)):
        raise CorimProblem("a mask of another length than its value, or a value too long", object=source)
    if mask is not None and not any(bits):
        raise CorimProblem("a mask under which every value is right", object=source)
    return content, bits


def _svn(value: object, source: str) -> tuple[int | None, bool]:
    """A secure version number, and whether a higher one is as good: a plain number and tag 552 are exact."""
    if value is None:
        return None, False
    tag = tagged(value)
    if tag is None:
        return number(value, f"{source}, svn"), False
    if tag[0] not in (SVN, MIN_SVN):
        raise CorimProblem("a secure version number is tagged 552 or 553", object=source)
    return number(tag[1], f"{source}, svn"), tag[0] == MIN_SVN
