"""Public keys of devices without certificates, and which of them a piece of evidence is judged by.

The choice is one of convenience, not of trust: every key here was brought by whoever judges. A device names the hash of
its key in CHALLENGE_AUTH, and a key that does not go with that would fail it anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmakeys.evidence.model import Evidence
from cmakeys.spdm.provisioned import ProvisionedKey
from cmakeys.verify.facts import Facts
from cmakeys.verify.proofs import prove
from cmakeys.verify.review import review


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys. `named` says that they were given for the evidence at hand, so that it must be by one of them."""

    keys: tuple[ProvisionedKey, ...] = ()
    named: bool = False

    def review(self, evidence: Evidence) -> Facts:
        """The facts of evidence, by the key that it says it is of; without a key where none goes with it.

        Where the keys are `named`, evidence that none of them goes with is held against the first.
        """
        facts = review(evidence)
        if not facts.by_key:
            return facts
        for key in self.keys:
            found = self._by(key, evidence, facts)
            if found is not None:
                return found
        return review(evidence, self.keys[0]) if self.named and self.keys else facts

    def _by(self, key: ProvisionedKey, evidence: Evidence, facts: Facts) -> Facts | None:
        """The facts by this key, None where the evidence is not of it."""
        if facts.key_hash:
            same = facts.hash is not None and facts.hash.digest(key.info) == facts.key_hash
            return review(evidence, key) if same else None
        found = review(evidence, key)
        return found if prove(found).any_holds(found) else None
