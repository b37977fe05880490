"""What a vendor states of the firmware that a certificate names (DICE TcbInfo), for a description of it.

Every TcbInfo that fits the description has to be as one of the alternatives says, in all that it says: version, secure
version number, digests, flags. What an alternative says and a TcbInfo leaves out is a difference, and a TcbInfo that is
not there any more is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmakeys.evidence.fields import FieldProblem, Fields, hex_octets
from cmakeys.verify.statement import MAX_ALTERNATIVES, MAX_DIGESTS
from cmakeys.x509.tcb import FLAGS, MAX_OCTETS, MAX_TEXT, ChainTcb, TcbInfo

MAX_DESCRIPTIONS = 1024
_MAX_NUMBER = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class TcbStatement:
    """One alternative; None and nothing are not said. `at_least`: `svn` may rise.

    `flags` has names of `x509.tcb.FLAGS`, and whether each has to be set.
    """

    version: str | None = None
    svn: int | None = None
    at_least: bool = False
    digests: tuple[bytes, ...] = ()
    flags: tuple[tuple[str, bool], ...] = ()

    @property
    def says_nothing(self) -> bool:
        """Whether every TcbInfo would be as it says."""
        return self.version is None and self.svn is None and not self.digests and not self.flags

    def mismatch(self, info: TcbInfo) -> str:
        """The first field that is another, in words; empty where all are as stated."""
        if self.version is not None and info.version != self.version:
            return f"version is {info.version}, stated is {self.version}"
        if self.svn is not None and not self._enough(info.svn):
            return f"svn is {info.svn}, stated is {'at least ' if self.at_least else ''}{self.svn}"
        if self.digests and not any(fwid.digest in self.digests for fwid in info.fwids):
            shown = f"{info.fwids[0].digest.hex()[:16]}…" if info.fwids else "none"
            return f"firmware digest is {shown}, stated is {self.digests[0].hex()[:16]}…"
        for name, wanted in self.flags:
            if info.flags is None or (info.flags_mask is not None and name not in info.flags_mask):
                return f"nothing is said about {name!r}, stated is {'yes' if wanted else 'no'}"
            if (name in info.flags) is not wanted:
                return f"{name!r} is {'no' if wanted else 'yes'}, stated is {'yes' if wanted else 'no'}"
        return ""

    def _enough(self, svn: int | None) -> bool:
        if svn is None or self.svn is None:
            return False
        return svn >= self.svn if self.at_least else svn == self.svn

    @property
    def words(self) -> str:
        """For messages."""
        parts = [f"version {self.version}"] if self.version is not None else []
        parts += [f"svn {'≥ ' if self.at_least else ''}{self.svn}"] if self.svn is not None else []
        parts += [f"{digest[:5].hex()}…" for digest in self.digests]
        return ", ".join([*parts, *(name if wanted else f"not {name!r}" for name, wanted in self.flags)])


@dataclass(frozen=True, slots=True)
class StatedTcb:
    """A description, of which None is anything, and all alternatives for what fits it."""

    vendor: str | None
    model: str | None
    type: bytes | None
    layer: int | None
    index: int | None
    alternatives: tuple[TcbStatement, ...]

    def about(self, info: TcbInfo) -> bool:
        """Whether a TcbInfo fits the description."""
        pairs = (
            (self.vendor, info.vendor),
            (self.model, info.model),
            (self.type, info.type),
            (self.layer, info.layer),
            (self.index, info.index),
        )
        return all(wanted is None or wanted == actual for wanted, actual in pairs)

    def difference(self, info: TcbInfo) -> str:
        """How a TcbInfo that fits differs from the first alternative, empty where it is as one of them says."""
        reasons = [one.mismatch(info) for one in self.alternatives]
        more = f" (and {len(reasons) - 1} alternatives do not hold either)" if len(reasons) > 1 else ""
        return "" if "" in reasons else f"{reasons[0]}{more}"

    @property
    def name(self) -> str:
        """The description, for messages."""
        texts = [text for text in (self.vendor, self.model) if text]
        texts += [f"layer {self.layer}"] if self.layer is not None else []
        texts += [f"index {self.index}"] if self.index is not None else []
        texts += [f"type {self.type.hex()[:16]}"] if self.type is not None else []
        return " ".join(texts) or "any firmware"

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "vendor": self.vendor,
            "model": self.model,
            "type": None if self.type is None else self.type.hex(),
            "layer": self.layer,
            "index": self.index,
            "alternatives": [
                {
                    "version": one.version,
                    "svn": one.svn,
                    "at_least": one.at_least,
                    "digests": [digest.hex() for digest in one.digests],
                    "flags": [{"flag": name, "set": wanted} for name, wanted in one.flags],
                }
                for one in self.alternatives
            ],
        }


def read_stated_tcb(fields: Fields) -> StatedTcb:
    """Read back what `to_json` wrote. Raises `FieldProblem`."""
    alternatives = tuple(map(_statement, fields.objects("alternatives", MAX_ALTERNATIVES)))
    found = StatedTcb(
        fields.optional_text("vendor", MAX_TEXT),
        fields.optional_text("model", MAX_TEXT),
        fields.optional_octets("type", MAX_OCTETS),
        fields.optional_integer("layer", 0, _MAX_NUMBER),
        fields.optional_integer("index", 0, _MAX_NUMBER),
        alternatives,
    )
    fields.finish()
    if not alternatives:
        raise FieldProblem("no alternative", object=fields.source)
    return found


def _statement(fields: Fields) -> TcbStatement:
    flags = []
    for item in fields.objects("flags", len(FLAGS)):
        name, wanted = item.text("flag"), item.take("set")
        item.finish()
        if name not in FLAGS or not isinstance(wanted, bool):
            raise FieldProblem("a flag of TcbInfo is expected, and whether it is set", object=item.source)
        flags.append((name, wanted))
    at_least = fields.take("at_least")
    statement = TcbStatement(
        fields.optional_text("version", MAX_TEXT),
        fields.optional_integer("svn", 0, _MAX_NUMBER),
        at_least is True,
        tuple(hex_octets(one, fields.source, 64, "digests") for one in fields.items("digests", MAX_DIGESTS)),
        tuple(flags),
    )
    fields.finish()
    if not isinstance(at_least, bool) or statement.says_nothing:
        raise FieldProblem("a statement that says nothing", object=fields.source)
    return statement


def stated_differences(stated: Sequence[StatedTcb], actual: Sequence[ChainTcb]) -> tuple[str, ...]:
    """Every difference of what a chain says from what is stated, as text."""
    texts = []
    for one in stated:
        fitting = [place for place in actual if one.about(place.info)]
        if not fitting:
            texts.append(f"TcbInfo of {one.name} is missing")
        texts += [f"TcbInfo of {place.name}: {words}" for place in fitting if (words := one.difference(place.info))]
    return tuple(texts)
