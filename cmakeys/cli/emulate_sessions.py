"""The options of `cmakeys emulate` that are about sessions, and what they make of a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from cmakeys.emulator.factory import Blueprint
    from cmakeys.emulator.session_settings import SessionSettings
    from cmakeys.spdm.codes import MutualAuthentication

Choice = TypeVar("Choice")

_MAX_HEARTBEAT = 0xFF


class SessionsName(Enum):
    """Whether the device makes sessions, and how they are protected."""

    NO = "no"
    ENCRYPTED = "encrypted"
    MAC = "mac"


class MutualName(Enum):
    """How the device asks in a session who its requester is."""

    NO = "no"
    REQUESTED = "requested"
    ENCAPSULATED = "encapsulated"
    DIGESTS = "digests"


SessionsOption = Annotated[SessionsName, typer.Option("--sessions", help="Sessions: none, encrypted, or MAC only.")]
ClearOption = Annotated[
    bool, typer.Option("--clear-handshake", help="Do handshakes in the clear with requesters that can.")
]
GroupOption = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="NAME", help="Key agreement, as p384 or ml-kem-768. Repeatable; default: all."),
]
AeadOption = Annotated[
    list[str] | None,
    typer.Option("--aead", metavar="NAME", help="Cipher, as aes-256-gcm. Repeatable; default: all."),
]
PskOption = Annotated[
    Path | None, typer.Option("--psk-file", metavar="FILE", help="Make sessions from the pre-shared keys in FILE.")
]
PskContextOption = Annotated[
    bool, typer.Option("--psk-without-context", help="Want no PSK_FINISH: the first message makes the session.")
]
HeartbeatOption = Annotated[
    int,
    typer.Option(
        "--heartbeat", min=0, max=_MAX_HEARTBEAT, metavar="SECONDS", help="End a session silent for twice as long."
    ),
]
KeyUpdateOption = Annotated[bool, typer.Option("--no-key-update", help="Update no keys.")]
LimitOption = Annotated[int, typer.Option("--session-limit", min=1, max=256, help="Sessions open at once.")]
MutualOption = Annotated[MutualName, typer.Option("--mutual", help="How to ask in a session who the requester is.")]
BasicOption = Annotated[bool, typer.Option("--basic-mutual", help="Challenge whoever sends a CHALLENGE.")]
RequiredOption = Annotated[
    bool, typer.Option("--mutual-required", help="Refuse a requester that cannot say who it is.")
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option("--requester-root", metavar="FILE", help="Take requesters of this root only. Repeatable."),
]
ChainOption = Annotated[
    Path | None,
    typer.Option("--requester-chain", metavar="FILE", help="Know the requester with this chain beforehand."),
]


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """These options as they were given."""

    sessions: SessionsName
    clear: bool
    groups: list[str] | None
    aeads: list[str] | None
    psk_file: Path | None
    psk_without_context: bool
    heartbeat: int
    no_key_update: bool
    limit: int
    mutual: MutualName
    basic: bool
    required: bool
    roots: list[Path] | None
    chain: Path | None
    kem_first: bool

    def settings(self, *, records: bool) -> SessionSettings | None:
        """What the device offers; None for a device without sessions, or whose transport carries no `records`.

        Raises `UsageProblem`.
        """
        from cmakeys.emulator.session_settings import (
            AEAD_PRIORITY,
            AGREEMENT_PRIORITY,
            KEM_FIRST,
            PskSupport,
            SessionSettings,
        )
        from cmakeys.errors import UsageProblem

        if self.sessions is SessionsName.NO or not records:
            self._refuse_without_sessions("--transport none" if not records else "--sessions no")
            return None
        if self.mutual is MutualName.REQUESTED and self.chain is None and not self.basic:
            raise UsageProblem(
                "nothing is known of the requester that shall not be asked",
                object="--mutual requested",
                hint="give its chain by --requester-chain, or let it be asked by --mutual encapsulated",
            )
        with_context = PskSupport.WITHOUT_CONTEXT if self.psk_without_context else PskSupport.WITH_CONTEXT
        return SessionSettings(
            encrypt=self.sessions is SessionsName.ENCRYPTED,
            clear_handshake=self.clear,
            psk=with_context if self.psk_file else PskSupport.NONE,
            agreements=pick("--group", self.groups, {_group_name(one.name or ""): one for one in AGREEMENT_PRIORITY})
            or (KEM_FIRST if self.kem_first else AGREEMENT_PRIORITY),
            aeads=pick("--aead", self.aeads, {_dashed(one.name or ""): one for one in AEAD_PRIORITY}) or AEAD_PRIORITY,
            heartbeat=self.heartbeat,
            key_update=not self.no_key_update,
            mutual=_mode(self.mutual),
            basic_mutual=self.basic,
            insists=self.required,
            limit=self.limit,
        )

    def _refuse_without_sessions(self, because: str) -> None:
        from cmakeys.errors import UsageProblem

        given: Mapping[str, object] = {
            "--psk-file": self.psk_file,
            "--heartbeat": self.heartbeat,
            "--clear-handshake": self.clear,
            "--mutual": self.mutual is not MutualName.NO,
            "--basic-mutual": self.basic,
        }
        for option, value in given.items():
            if value:
                raise UsageProblem(f"{option} needs sessions", object=because, hint="leave one of them out")

    def provision(self, blueprint: Blueprint) -> Blueprint:
        """The device with what its files hold. Raises what reading them raises."""
        from dataclasses import replace

        from cmakeys.emulator.provisions import read_anchors, read_chain, read_psks

        return replace(
            blueprint,
            psks=read_psks(self.psk_file) if self.psk_file else {},
            requester_roots=read_anchors(self.roots or []),
            requester_chain=read_chain(self.chain) if self.chain else (),
        )


def pick(option: str, names: list[str] | None, known: Mapping[str, Choice]) -> tuple[Choice, ...]:
    """What the names given to a repeatable option mean, in their order. Raises `UsageProblem` for an unknown one."""
    from cmakeys.errors import UsageProblem

    for name in names or ():
        if name not in known:
            raise UsageProblem(f"{name} is not known", object=option, hint=f"one of {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names or ()))


def _dashed(name: str) -> str:
    return name.lower().replace("_", "-")


def _group_name(name: str) -> str:
    """SECP384R1 is p384, FFDHE_2048 ffdhe2048 and ML_KEM_768 ml-kem-768."""
    if name.startswith("SECP"):
        return f"p{name[4:7]}"
    return name.lower().replace("ffdhe_", "ffdhe").replace("_", "-")


def _mode(name: MutualName) -> MutualAuthentication:
    from cmakeys.spdm.codes import MutualAuthentication

    return {
        MutualName.NO: MutualAuthentication.NONE,
        MutualName.REQUESTED: MutualAuthentication.REQUESTED,
        MutualName.ENCAPSULATED: MutualAuthentication.ENCAPSULATED,
        MutualName.DIGESTS: MutualAuthentication.IMPLICIT_DIGESTS,
    }[name]
