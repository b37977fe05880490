"""What a CHALLENGE_AUTH answer may hold, given what was asked (reference §4.1)."""

from __future__ import annotations

from cmakeys.spdm.codes import KeyUsage, RequestCode, Version
from cmakeys.spdm.messages.certificates import SlotInfo
from cmakeys.spdm.messages.challenge import REQUESTS_AUTHENTICATION, Challenge, ChallengeAuth
from cmakeys.spdm.violation import violation

CODE = RequestCode.CHALLENGE
SLOT_PROVISIONED_KEY = 0xFF
"""Slot number of a public key that was provisioned out of band."""

SLOT_PROVISIONED_KEY_SHORT = 0x0F
"""The same where a slot number has four bits."""


def check_answer(
    asked: Challenge, answer: ChallengeAuth, *, mutual: bool, chain_hash: bytes | None, info: SlotInfo | None
) -> None:
    """The answer is to this challenge, by a key that may give it. Raises `ProtocolViolation`.

    `mutual` says whether a device may ask who we are, `chain_hash` what the chain read from the slot hashes to, or
    the public key provisioned in its place, and `info` what DIGESTS said of the slot; None where nothing is known.
    """
    if answer.version == Version.V10 or asked.slot == SLOT_PROVISIONED_KEY:
        answered, expected = answer.param1 & (0xFF if answer.version == Version.V10 else 0x0F), asked.slot & 0x0F
    else:
        answered, expected = answer.param1 & 0x0F, asked.slot
    if answered != expected:
        raise violation(CODE, f"slot {answered} answered where slot {expected} was challenged")
    if asked.slot == SLOT_PROVISIONED_KEY and answer.slot_mask:
        raise violation(CODE, f"the mask {answer.slot_mask:#04x} names slots, and a public key was challenged")
    if asked.slot != SLOT_PROVISIONED_KEY and not answer.slot_mask >> asked.slot & 1:
        raise violation(CODE, f"the mask {answer.slot_mask:#04x} lacks the challenged slot {asked.slot}")
    if answer.param1 & REQUESTS_AUTHENTICATION and not mutual:
        raise violation(CODE, "mutual authentication is requested though it was not negotiated")
    if chain_hash is not None and chain_hash != answer.chain_hash:
        if asked.slot == SLOT_PROVISIONED_KEY:
            hint = "another device answers here, or it was given another key: get its key from whoever provisioned it"
            raise violation(CODE, "CertChainHash is not the hash of the provisioned public key", hint)
        raise violation(CODE, f"CertChainHash is not the hash of the chain read from slot {asked.slot}")
    if info is not None and not info.key_usage & KeyUsage.CHALLENGE:
        raise violation(CODE, f"the key of slot {asked.slot} may not be used for CHALLENGE")
    if answer.context != asked.context:
        raise violation(CODE, "RequesterContext is not the one that was sent")
