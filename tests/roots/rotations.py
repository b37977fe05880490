"""The table of rotations: what is there, what is done, and what has to come of it for the kernel and every device.

A row reads from the top: these roots and these enrolled devices, then a step a line. A step that is refused names the
code of its first refusal, and changes nothing. `swap` is what the kernel gets (`+`) and loses (`-`), in one operation;
`roots` are those that are changed, with the state that they end in (`-` when one is gone); `verdicts` is what a check
of each device then says. Roots and devices are those of `succession.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from cmakeys.roots.root import Constraints, LeafNameRule

ACME = Constraints(pci_vendors=frozenset({0x1B36}))
NOT_ACME = Constraints(pci_vendors=frozenset({0x15B3}))


@dataclass(frozen=True)
class Step:
    """One command. `do` is `start`, `finish`, `early` (finish) or `abort`, with the two roots where they are others.

    `by` is what vouches: `fingerprint`, `wrong-fingerprint`, `list`, `nothing`, or `cross` and the name of a
    cross-certificate in `rotating.py`.
    """

    do: str
    day: int = 0
    swap: str = ""
    roots: str = ""
    verdicts: str = ""
    refused: str = ""
    names: str = ""
    by: str = "fingerprint"
    overlap: int | None = None
    clock_fault: str = ""
    moved: str = ""
    """Devices that answer with another chain by then: `on-old>on-new`."""


@dataclass(frozen=True)
class Row:
    """One story."""

    says: str
    steps: tuple[Step, ...]
    roots: str = "old new:staged"
    devices: str = "on-old"
    verdicts: str = "on-old:trusted"
    limits: MappingProxyType[str, Constraints] = field(default_factory=lambda: MappingProxyType({}))
    distrust_after: str = ""
    """Roots that are not believed for leaves after a day long past, or, as `old!`, after one still to come."""
    deny: str = ""


def limits(**each: Constraints) -> MappingProxyType[str, Constraints]:
    return MappingProxyType(each)


START = Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded")
MOVED = "on-old>on-new"

ROWS = (
    # --- the way it is meant ---
    Row(
        "a device that moves during the overlap never falls between the two",
        (
            START,
            Step("finish", 31, "-old", "old:retired", "on-old:trusted", moved=MOVED),
        ),
    ),
    Row(
        "a new root out of a file is staged and trusted in one step",
        (Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded"),),
        roots="old",
    ),
    Row(
        "a new root that is trusted already is not put there twice",
        (Step("start", roots="old:retiring", verdicts="on-old:degraded", by="nothing"),),
        roots="old new",
    ),
    Row(
        "a device on the new root is fine from the start of the overlap on",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded on-new:trusted"),
            Step("finish", 31, "-old", "old:retired", "on-old:trusted on-new:trusted", moved=MOVED),
        ),
        devices="on-old on-new",
        verdicts="on-old:trusted on-new:rejected",
    ),
    Row(
        "roots that are not named stay as they are",
        (
            Step(
                "start",
                swap="+new",
                roots="new:trusted old:retiring",
                verdicts="on-old:degraded on-third:trusted on-other:trusted",
            ),
            Step(
                "finish",
                31,
                "-old",
                "old:retired",
                "on-old:trusted on-third:trusted on-other:trusted",
                moved=MOVED,
            ),
        ),
        roots="old new:staged third other",
        devices="on-old on-third on-other",
        verdicts="on-old:trusted on-third:trusted on-other:trusted",
    ),
    Row(
        "roots in every other state stay as they are too",
        (Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-third:degraded on-other:rejected"),),
        roots="old new:staged third:retiring other:retired rekeyed:distrusted",
        devices="on-third on-other",
        verdicts="on-third:degraded on-other:rejected",
    ),
    Row(
        "a rotation without any device is a rotation",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring"),
            Step("finish", 31, "-old", "old:retired"),
        ),
        devices="",
        verdicts="",
    ),
    # --- the overlap ---
    Row(
        "nobody finishes before the overlap is over",
        (START, Step("finish", 29, refused="overlap", moved=MOVED)),
    ),
    Row(
        "who does not want to wait says so",
        (START, Step("early", 1, "-old", "old:retired", "on-old:trusted", moved=MOVED)),
    ),
    Row(
        "an overlap may be a day",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded", overlap=1),
            Step("finish", 2, "-old", "old:retired", "on-old:trusted", moved=MOVED),
        ),
    ),
    Row(
        "an overlap of nothing is over at once",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded", overlap=0),
            Step("finish", 0, "-old", "old:retired", "on-old:trusted", moved=MOVED),
        ),
    ),
    Row(
        "the same command again changes nothing",
        (START, Step("start", 3, verdicts="on-old:degraded", by="nothing")),
    ),
    Row(
        "the same command with another overlap moves the end",
        (
            START,
            Step("start", 3, roots="old:retiring", verdicts="on-old:degraded", by="nothing", overlap=90),
            Step("finish", 31, refused="overlap", moved=MOVED),
            Step("finish", 91, "-old", "old:retired", "on-old:trusted", moved=MOVED),
        ),
    ),
    Row(
        "a start that stopped half-way is continued",
        (
            START,
            Step("disturb new:staged", 1, "-new", verdicts="on-old:degraded"),
            Step("start", 2, "+new", "new:trusted", "on-old:degraded", by="nothing"),
        ),
    ),
    Row(
        "finishing twice is finishing once",
        (
            START,
            Step("finish", 31, "-old", "old:retired", "on-old:trusted", moved=MOVED),
            Step("finish", 32, verdicts="on-old:trusted", moved=MOVED),
        ),
    ),
    # --- devices that lag behind ---
    Row(
        "the device that lags behind is named and keeps its root",
        (START, Step("finish", 31, refused="still-needed", names="on-old")),
    ),
    Row(
        "not even early does a device lose its root",
        (START, Step("early", 31, refused="still-needed", names="on-old")),
    ),
    Row(
        "one of two lags behind",
        (
            Step(
                "start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded on-old-bare:degraded"
            ),
            Step("finish", 31, refused="still-needed", names="on-old-bare", moved=MOVED),
        ),
        devices="on-old on-old-bare",
        verdicts="on-old:trusted on-old-bare:trusted",
    ),
    Row(
        "a device that nothing vouched for before holds nobody up",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-other:rejected"),
            Step("finish", 31, "-old", "old:retired", "on-other:rejected"),
        ),
        devices="on-other",
        verdicts="on-other:rejected",
    ),
    Row(
        "a device that the old root may not vouch for holds nobody up",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:rejected"),
            Step("finish", 31, "-old", "old:retired", "on-old:rejected"),
        ),
        limits=limits(old=NOT_ACME),
        verdicts="on-old:rejected",
    ),
    # --- several roots ---
    Row(
        "a device with a third root to rest on does not need the old one",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:trusted"),
            Step("finish", 31, "-old", "old:retired", "on-old:trusted"),
        ),
        roots="old new:staged renewed",
    ),
    Row(
        "a third root that is too narrow is none to rest on",
        (
            START,
            Step("finish", 31, refused="still-needed", names="on-old"),
        ),
        roots="old new:staged renewed",
        limits=limits(renewed=NOT_ACME),
    ),
    Row(
        "two old roots become one",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded on-third:trusted"),
            Step("start third new", 5, roots="third:retiring", verdicts="on-old:degraded on-third:degraded"),
            Step("finish", 31, "-old", "old:retired", "on-old:trusted on-third:degraded", moved=MOVED),
            Step(
                "finish third",
                36,
                "-third",
                "third:retired",
                "on-old:trusted on-third:trusted",
                moved="on-old>on-new on-third>on-new",
            ),
        ),
        roots="old new:staged third",
        devices="on-old on-third",
        verdicts="on-old:trusted on-third:trusted",
    ),
    Row(
        "the root that two are replaced by stays when one of them goes back",
        (
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:degraded"),
            Step("start third new", 5, roots="third:retiring", verdicts="on-old:degraded"),
            Step("abort", 6, roots="old:trusted third:retiring", verdicts="on-old:trusted"),
            Step("abort third", 7, "-new", "new:staged third:trusted", "on-old:trusted"),
        ),
        roots="old new:staged third",
    ),
    Row(
        "the new root is replaced while it is replacing",
        (
            START,
            Step("start new third", 5, "+third", "new:retiring third:trusted", "on-old:degraded"),
            Step("finish new", 36, refused="chained"),
            Step("finish", 36, "-old", "old:retired", "on-old:degraded", moved=MOVED),
            Step("finish new", 36, "-new", "new:retired", "on-old:trusted", moved="on-old>on-third"),
        ),
        roots="old new:staged third:staged",
    ),
    Row(
        "a new root of the old one's name is another root all the same",
        (
            Step(
                "start old rekeyed", swap="+rekeyed", roots="old:retiring rekeyed:trusted", verdicts="on-old:degraded"
            ),
            Step("finish", 31, refused="still-needed", names="on-old"),
            Step("finish", 31, "-old", "old:retired", "on-old:trusted", moved="on-old>on-rekeyed"),
        ),
        roots="old rekeyed:staged",
    ),
    # --- renewal ---
    Row(
        "a renewed root takes over every device at once",
        (
            Step(
                "start old renewed",
                swap="+renewed",
                roots="old:retiring renewed:trusted",
                verdicts="on-old:trusted on-old-bare:trusted",
                by="nothing",
            ),
            Step("finish", 31, "-old", "old:retired", "on-old:trusted on-old-bare:trusted"),
        ),
        roots="old renewed:staged",
        devices="on-old on-old-bare",
        verdicts="on-old:trusted on-old-bare:trusted",
    ),
    Row(
        "a renewed root takes over before the old one ends",
        (
            Step(
                "start ending ending-again",
                swap="+ending-again",
                roots="ending:retiring ending-again:trusted",
                verdicts="on-ending:trusted",
                by="nothing",
            ),
            Step("finish ending", 31, "-ending", "ending:retired", "on-ending:trusted"),
        ),
        roots="ending ending-again:staged",
        devices="on-ending",
        verdicts="on-ending:degraded",
    ),
    Row(
        "the old key under another name is no renewal",
        (Step("start old twin", refused="same-key"),),
        roots="old twin:staged",
    ),
    Row(
        "a renewed root does not bring back a key that was lost",
        (Step("start old renewed", refused="lost-key"),),
        roots="old renewed:staged",
        distrust_after="old!",
    ),
    # --- who vouches ---
    Row("the old root's key vouches", (Step(**{**START.__dict__, "by": "cross"}),), roots="old"),
    Row(
        "the old root's key vouches by having signed the new one itself",
        (
            Step(
                "start old signed",
                swap="+signed",
                roots="old:retiring signed:trusted",
                verdicts="on-old:degraded",
                by="nothing",
            ),
        ),
        roots="old",
    ),
    Row("a signed list vouches", (Step(**{**START.__dict__, "by": "list"}),)),
    Row("somebody has to vouch", (Step("start", refused="not-vouched", by="nothing"),)),
    Row(
        "a wrong fingerprint is not outvoted",
        (Step("start", refused="not-vouched", by="wrong-fingerprint"),),
        "old new",
    ),
    Row("another root's key does not vouch", (Step("start", refused="not-vouched", by="cross by-other"),)),
    Row(
        "a cross-certificate of another key does not vouch",
        (Step("start", refused="not-vouched", by="cross of-third"),),
    ),
    Row("a cross-certificate that ended does not vouch", (Step("start", refused="not-vouched", by="cross ended"),)),
    Row("a cross-certificate that is no CA's does not vouch", (Step("start", refused="not-vouched", by="cross leaf"),)),
    Row("the new root does not vouch for itself", (Step("start", refused="not-vouched", by="cross itself"),)),
    Row(
        "a lost key does not vouch for what it signed later",
        (
            Step("start", refused="not-vouched", by="cross"),
            Step("start", swap="+new", roots="new:trusted old:retiring", verdicts="on-old:rejected"),
        ),
        distrust_after="old",
        verdicts="on-old:rejected",
    ),
    Row(
        "a key that is lost one day vouches for what it signed before",
        (Step(**{**START.__dict__, "by": "cross"}),),
        distrust_after="old!",
    ),
    # --- what is refused ---
    Row("a root does not replace itself", (Step("start old old", refused="same-root"),)),
    *(
        Row(
            f"a root that is {state} is not replaced",
            (Step("start", refused="old-not-trusted"),),
            f"old:{state} new:staged",
            verdicts=f"on-old:{verdict}",
        )
        for state, verdict in (
            ("staged", "rejected"),
            ("retiring", "degraded"),
            ("retired", "rejected"),
            ("distrusted", "rejected"),
        )
    ),
    *(
        Row(f"a root that is {state} replaces nothing", (Step("start", refused=code),), f"old new:{state}")
        for state, code in (("retiring", "new-leaving"), ("retired", "new-leaving"), ("distrusted", "new-distrusted"))
    ),
    Row(
        "a denied root is not replaced",
        (Step("start", refused="old-not-trusted"),),
        deny="old",
        verdicts="on-old:rejected",
    ),
    Row("a denied root replaces nothing", (Step("start", refused="new-denied"),), deny="new"),
    Row(
        "a root with the key of a distrusted one replaces nothing",
        (Step("start third renewed", refused="new-distrusted"),),
        "old:distrusted third",
        devices="on-third",
        verdicts="on-third:trusted",
    ),
    Row(
        "one rotation at a time",
        (START, Step("start old third", 1, refused="under-way")),
        "old new:staged third:staged",
    ),
    Row("a root that has ended replaces nothing", (Step("start old ended", refused="expired"),), "old"),
    Row(
        "a root that ends within the overlap replaces nothing", (Step("start old ending", refused="ends-first"),), "old"
    ),
    Row("a root that has not begun replaces nothing", (Step("start old later", refused="not-yet-valid"),), "old"),
    Row("a certificate that is no CA's replaces nothing", (Step("start old end-entity", refused="not-ca"),), "old"),
    Row("a root that no kernel loads replaces nothing", (Step("start old edwards", refused="kernel-refuses"),), "old"),
    Row("a well-known test root replaces nothing", (Step("start old known-test", refused="test-root"),), "old"),
    Row("a clock that is wrong starts nothing", (Step("start", refused="clock", clock_fault="it is 1970"),)),
    Row(
        "a clock that is wrong finishes nothing, but by word",
        (
            START,
            Step("finish", 31, refused="clock", clock_fault="it is 1970", moved=MOVED),
            Step("early", 31, "-old", "old:retired", "on-old:trusted", clock_fault="it is 1970", moved=MOVED),
        ),
    ),
    # --- constraints ---
    Row(
        "a new root that is too narrow for a device is refused before the device notices",
        (Step("start", refused="narrower", names="on-old"),),
        limits=limits(new=NOT_ACME),
    ),
    Row(
        "a new root that is too narrow for one of two devices names that one",
        (Step("start", refused="narrower", names="on-old"),),
        devices="on-new on-old",
        verdicts="on-new:rejected on-old:trusted",
        limits=limits(old=ACME, new=NOT_ACME),
    ),
    Row(
        "a new root for other slots is too narrow",
        (Step("start", refused="narrower", names="on-old"),),
        limits=limits(new=Constraints(slots=frozenset({1}))),
    ),
    Row(
        "a renewed root for another algorithm is too narrow",
        (Step("start old renewed", refused="narrower", names="on-old"),),
        "old renewed:staged",
        limits=limits(renewed=Constraints(algorithms=frozenset({"ML-DSA-65"}))),
    ),
    Row(
        "a new root may want another algorithm of the chains to come",
        (START,),
        limits=limits(new=Constraints(algorithms=frozenset({"ML-DSA-65"}))),
    ),
    Row(
        "a new root may want another kind of name in the leaves to come",
        (START,),
        limits=limits(new=Constraints(leaf_name=LeafNameRule.DEVICE_INFO)),
    ),
    Row(
        "constraints that fit are kept through everything",
        (START, Step("finish", 31, "-old", "old:retired", "on-old:trusted", moved=MOVED)),
        limits=limits(old=ACME, new=ACME),
    ),
    # --- going back ---
    Row(
        "an aborted rotation leaves nothing",
        (START, Step("abort", 5, "-new", "new:staged old:trusted", "on-old:trusted")),
    ),
    Row(
        "a root that came with the rotation goes with it",
        (START, Step("abort", 5, "-new", "new:- old:trusted", "on-old:trusted")),
        roots="old",
    ),
    Row(
        "a root that was trusted before stays trusted",
        (
            Step("start", roots="old:retiring", verdicts="on-old:degraded", by="nothing"),
            Step("abort", 5, roots="old:trusted", verdicts="on-old:trusted"),
        ),
        roots="old new",
    ),
    Row(
        "nobody goes back over a device that has moved on",
        (START, Step("abort", 5, refused="still-needed", names="on-old", moved=MOVED)),
    ),
    Row(
        "after going back one can start again",
        (
            START,
            Step("abort", 5, "-new", "new:staged old:trusted", "on-old:trusted"),
            Step(**{**START.__dict__, "day": 6}),
        ),
    ),
    Row(
        "what is finished is not aborted",
        (
            START,
            Step("finish", 31, "-old", "old:retired", "on-old:trusted", moved=MOVED),
            Step("abort", 32, refused="not-under-way", moved=MOVED),
        ),
    ),
    # --- what others do meanwhile ---
    Row(
        "a successor that is distrusted meanwhile stands in for nobody",
        (
            START,
            Step("disturb new:distrusted", 3, "-new", verdicts="on-old:degraded"),
            Step("finish", 31, refused="new-not-trusted"),
            Step("abort", 32, roots="old:trusted", verdicts="on-old:trusted"),
        ),
    ),
    Row(
        "a successor that is removed meanwhile stands in for nobody",
        (
            START,
            Step("disturb new:-", 3, "-new", verdicts="on-old:degraded"),
            Step("finish", 31, refused="new-not-trusted"),
            Step("abort", 32, roots="old:trusted", verdicts="on-old:trusted"),
        ),
    ),
    Row(
        "a successor that is denied meanwhile stands in for nobody",
        (
            START,
            Step("disturb new:denied", 3, "-new", verdicts="on-old:degraded"),
            Step("finish", 31, refused="new-not-trusted"),
            Step("abort", 32, roots="new:staged old:trusted", verdicts="on-old:trusted"),
        ),
    ),
    Row(
        "an old root that is denied meanwhile is retired, and not trusted again",
        (
            START,
            Step("disturb old:denied", 3, "-old", verdicts="on-old:rejected"),
            Step("abort", 4, refused="old-denied"),
            Step("finish", 31, roots="old:retired", verdicts="on-old:rejected"),
        ),
    ),
    Row(
        "a successor that ended meanwhile stands in for nobody",
        (
            Step(
                "start old ending",
                swap="+ending",
                roots="ending:trusted old:retiring",
                verdicts="on-old:degraded",
                overlap=1,
            ),
            Step("finish", 31, refused="expired"),
            Step("finish", 31, refused="clock", clock_fault="it is 1970"),
        ),
        roots="old",
    ),
    Row(
        "an old root that is distrusted meanwhile has no rotation any more",
        (
            START,
            Step("disturb old:distrusted", 3, "-old", verdicts="on-old:rejected"),
            Step("finish", 31, refused="not-under-way"),
            Step("abort", 31, refused="not-under-way"),
        ),
    ),
    Row(
        "an old root that is trusted again meanwhile can be rotated again",
        (
            START,
            Step("disturb old:trusted", 3, verdicts="on-old:trusted"),
            Step("start", 4, roots="old:retiring", verdicts="on-old:degraded", by="nothing"),
            Step("finish", 35, "-old", "old:retired", "on-old:trusted", moved=MOVED),
        ),
    ),
)
