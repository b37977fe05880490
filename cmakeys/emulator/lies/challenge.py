"""Lies in CHALLENGE_AUTH and about its signature."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cmakeys.emulator.lies.fault import Fault, Outcome, Where, rejected
from cmakeys.emulator.lies.kinds import Amend, Encode, Sign, Spoil, cut_last_byte, flip_last_bit
from cmakeys.emulator.lies.lie import Lie, M
from cmakeys.spdm.codes import MAX_OPAQUE_LENGTH, NONCE_LENGTH, ResponseCode, Version
from cmakeys.spdm.messages.challenge import ChallengeAuth
from cmakeys.spdm.messages.measurements import Measurements
from cmakeys.spdm.messages.negotiation import Algorithms
from cmakeys.spdm.signing import Context, Statement

if TYPE_CHECKING:
    from cmakeys.emulator.conversation import Conversation

SAME_NONCE = bytes(range(NONCE_LENGTH))


class SameNonce(Lie):
    """The responder's nonce is always the same.

    Within one check this is found when the device signs twice, CHALLENGE_AUTH and MEASUREMENTS. A device that signs
    once in each check gets away with it: its own nonce protects the device, the requester's protects the verdict.
    """

    def amend(self, message: M, talk: Conversation) -> M:
        """Put the nonce in."""
        if isinstance(message, ChallengeAuth | Measurements):
            return replace(message, nonce=SAME_NONCE)
        return message


def other_version(statement: Statement) -> Statement:
    """The statement as a connection of another version would sign it."""
    return replace(statement, version=Version.V13 if statement.version == Version.V12 else Version.V12)


def other_nonce(statement: Statement) -> Statement:
    """The statement for another requester's nonce: what a recorded signature covers."""
    return replace(statement, transcript=statement.transcript.replace(statement.requester_nonce, bytes(NONCE_LENGTH)))


def _fault(name: str, description: str, *lies: Lie, since: Version = Version.V10) -> Fault:
    # These lies keep no state, so one instance serves every device.
    return rejected(Where.CHALLENGE, 11, name, description, *((lambda one=one: one) for one in lies), since=since)


_CONTEXT = Context.CHALLENGE_AUTH

FAULTS: tuple[Fault, ...] = (
    _fault(
        "challenge-wrong-slot",
        "CHALLENGE_AUTH names another slot than was challenged",
        Amend(ChallengeAuth, lambda m: replace(m, param1=m.param1 ^ 1)),
    ),
    _fault(
        "missing-slot-bit",
        "CHALLENGE_AUTH's mask lacks the challenged slot",
        Amend(ChallengeAuth, lambda m: replace(m, slot_mask=m.slot_mask & ~(1 << (m.param1 & 7)))),
    ),
    _fault(
        "chain-hash-mismatch",
        "CHALLENGE_AUTH's CertChainHash is not the hash of the chain",
        Amend(ChallengeAuth, lambda m: replace(m, chain_hash=flip_last_bit(m.chain_hash))),
    ),
    _fault(
        "mutual-authentication-asked",
        "CHALLENGE_AUTH asks for mutual authentication that was not negotiated",
        Amend(ChallengeAuth, lambda m: replace(m, param1=m.param1 | 0x80)),
    ),
    _fault(
        "wrong-context-echo",
        "CHALLENGE_AUTH echoes another RequesterContext",
        Amend(ChallengeAuth, lambda m: replace(m, context=flip_last_bit(m.context))),
        since=Version.V13,
    ),
    _fault(
        "oversize-opaque",
        "CHALLENGE_AUTH carries 1025 bytes of opaque data",
        Amend(ChallengeAuth, lambda m: replace(m, opaque=bytes(MAX_OPAQUE_LENGTH + 1))),
    ),
    _fault(
        "opaque-without-format",
        "CHALLENGE_AUTH carries opaque data though no format was selected",
        Amend(Algorithms, lambda m: replace(m, other_params=m.other_params & ~0x0F)),
        Amend(ChallengeAuth, lambda m: replace(m, opaque=bytes(8))),
        since=Version.V12,
    ),
    _fault(
        "truncated-challenge-auth",
        "CHALLENGE_AUTH ends one byte early",
        Encode(ResponseCode.CHALLENGE_AUTH, cut_last_byte),
    ),
    _fault("bad-signature", "CHALLENGE_AUTH's signature has a flipped bit", Spoil(_CONTEXT, flip_last_bit)),
    _fault("zero-signature", "CHALLENGE_AUTH's signature is all zero", Spoil(_CONTEXT, lambda s: bytes(len(s)))),
    _fault(
        "wrong-signature-context",
        "CHALLENGE_AUTH is signed as if it were MEASUREMENTS",
        Sign(_CONTEXT, lambda s: replace(s, context=Context.MEASUREMENTS)),
        since=Version.V12,
    ),
    _fault(
        "wrong-signature-version",
        "CHALLENGE_AUTH is signed for another SPDM version",
        Sign(_CONTEXT, other_version),
        since=Version.V12,
    ),
    _fault("replayed-signature", "CHALLENGE_AUTH is signed for another nonce", Sign(_CONTEXT, other_nonce)),
    Fault(
        "nonce-reuse",
        "the device uses one nonce for everything that it signs",
        Where.CHALLENGE,
        Outcome.REJECTED,
        12,
        lambda: (SameNonce(),),
    ),
)
