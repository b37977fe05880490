"""What was negotiated, and whether it is weaker than what was negotiated last time.

A downgrade cannot be seen within one connection: every single choice can be within policy. It shows against memory, so
an enrolment keeps the last negotiation. Strengths are security bits of NIST SP 800-57 part 1 table 2 and, for ML-DSA,
of its security categories (FIPS 204 §4); they only order algorithms, they decide nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.evidence.fields import Fields
from cmakeys.spdm.algorithms import BASE_HASH_FUNCTIONS, BaseAsym, BaseHash, PqcAsym, algorithm_name
from cmakeys.spdm.codes import Version

_ASYM_STRENGTH: dict[BaseAsym | PqcAsym, int] = {
    BaseAsym.RSASSA_2048: 112,
    BaseAsym.RSAPSS_2048: 112,
    BaseAsym.RSASSA_3072: 128,
    BaseAsym.RSAPSS_3072: 128,
    BaseAsym.ECDSA_P256: 128,
    BaseAsym.RSASSA_4096: 140,
    BaseAsym.RSAPSS_4096: 140,
    BaseAsym.ECDSA_P384: 192,
    BaseAsym.ECDSA_P521: 256,
    BaseAsym.ED25519: 128,
    BaseAsym.ED448: 224,
    PqcAsym.ML_DSA_44: 128,
    PqcAsym.ML_DSA_65: 192,
    PqcAsym.ML_DSA_87: 256,
}


@dataclass(frozen=True, slots=True)
class Negotiation:
    """The version and the algorithms of one connection."""

    version: Version
    asym: BaseAsym | PqcAsym | None = None
    base_hash: BaseHash | None = None

    def __str__(self) -> str:
        parts = [f"SPDM {self.version}"]
        parts += [algorithm_name(choice) for choice in (self.asym, self.base_hash) if choice is not None]
        return ", ".join(parts)

    def weaker_than(self, before: Negotiation) -> tuple[str, ...]:
        """In what this is weaker than `before`, in words; empty when it is not."""
        faults = []
        if self.version < before.version:
            faults.append(f"SPDM {self.version} where it was {before.version}")
        if _asym_strength(self.asym) < _asym_strength(before.asym):
            faults.append(f"{_name(self.asym)} signatures where it was {_name(before.asym)}")
        if _hash_strength(self.base_hash) < _hash_strength(before.base_hash):
            faults.append(f"{_name(self.base_hash)} where it was {_name(before.base_hash)}")
        return tuple(faults)

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "version": str(self.version),
            "asym": algorithm_name(self.asym) if self.asym is not None else None,
            "hash": algorithm_name(self.base_hash) if self.base_hash is not None else None,
        }

    @classmethod
    def from_json(cls, document: object, source: str = "negotiation") -> Negotiation:
        """Read back what `to_json` wrote. Raises `FieldProblem` for anything else."""
        fields = Fields(document, source)
        versions = {str(version): version for version in Version}
        version, asym, base_hash = fields.text("version"), fields.optional_text("asym"), fields.optional_text("hash")
        fields.finish()
        asyms = {algorithm_name(member): member for member in _ASYM_STRENGTH}
        hashes = {algorithm_name(member): member for member in BASE_HASH_FUNCTIONS}
        for name, value, known in (("version", version, versions), ("asym", asym, asyms), ("hash", base_hash, hashes)):
            if value is not None and value not in known:
                raise fields.problem(name, f"{value[:40]!r} is not known here")
        return cls(
            versions[version],
            asyms[asym] if asym is not None else None,
            hashes[base_hash] if base_hash is not None else None,
        )


def _name(choice: BaseAsym | PqcAsym | BaseHash | None) -> str:
    return algorithm_name(choice) if choice is not None else "no algorithm"


def _asym_strength(asym: BaseAsym | PqcAsym | None) -> int:
    return _ASYM_STRENGTH.get(asym, 0) if asym is not None else 0


def _hash_strength(base_hash: BaseHash | None) -> int:
    return BASE_HASH_FUNCTIONS[base_hash].size if base_hash is not None else 0
