"""What certificates say of firmware, held against what they said: by place and layer, and a version never goes down."""

from __future__ import annotations

import json

import pytest
from cryptography import x509

from cmakeys.verify.measurement_rules import RuleKind, Rules
from cmakeys.verify.reference import ReferenceValues
from cmakeys.verify.tcb_comparison import known_tcb, raised_tcb, tcb_differences, tcb_lower
from cmakeys.x509.certificate import Certificate
from cmakeys.x509.tcb import MULTI_TCB_INFO_OID
from tests.x509.pki import issue
from tests.x509.test_tcb import der, fwids


def tcb(svn: int = 7, *, layer: int = 1, firmware: bytes = b"\1", model: bytes = b"GPU", rest: bytes = b"") -> bytes:
    return der(
        0x30,
        der(0x80, b"Acme"),
        der(0x81, model),
        der(0x83, bytes((svn,))),
        der(0x84, bytes((layer,))),
        fwids(firmware * 48),
        rest,
    )


def chain(*infos: bytes) -> list[Certificate]:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(MULTI_TCB_INFO_OID), der(0x30, *infos))
    leaf = issue("leaf", number=1, extensions=[(extension, False)] if infos else [])
    return [issue("top", number=2).certificate, leaf.certificate]


BEFORE = known_tcb(chain(tcb(), tcb(layer=2)))


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (chain(tcb(), tcb(layer=2)), ()),
        (chain(tcb(layer=2), tcb()), ()),
        (chain(tcb(8), tcb(layer=2)), ("layer 1 in the leaf: svn is 8, it was 7",)),
        (chain(tcb(6), tcb(layer=2)), ("layer 1 in the leaf: svn went down to 6, it was 7",)),
        (chain(tcb(firmware=b"\2"), tcb(layer=2)), ("firmware digest is 0202020202020202…, it was 0101010101010101…",)),
        (chain(tcb(), tcb(layer=2, rest=der(0x87, b"\4\x10"))), ("flags are debug, they were none",)),
        (chain(tcb(), tcb(layer=2, rest=der(0x88, b"x"))), ("other fields are not as they were",)),
        (chain(tcb()), ("layer 2 in the leaf is missing",)),
        (
            chain(tcb(model=b"NIC"), tcb(layer=2)),
            ("GPU layer 1 in the leaf is missing", "NIC layer 1 in the leaf is new"),
        ),
        (chain(), ("layer 1 in the leaf is missing", "layer 2 in the leaf is missing")),
        (chain(b"\x31\0"), ("malformed",)),
    ],
)
def test_each_difference_is_named(now: list[Certificate], words: tuple[str, ...]) -> None:
    texts = tcb_differences(BEFORE, now, None)
    assert len(texts) == len(words)
    for text, word in zip(texts, words, strict=True):
        assert word in text
    assert tcb_differences(BEFORE, now, RuleKind.IGNORE) == ()


def test_a_version_number_may_rise_by_the_rule_and_is_remembered() -> None:
    risen = chain(tcb(9), tcb(layer=2))
    assert tcb_differences(BEFORE, risen, RuleKind.MONOTONE) == ()
    remembered = raised_tcb(BEFORE, known_tcb(risen), RuleKind.MONOTONE)
    assert [place.info.svn for place in remembered] == [9, 7]
    back = chain(tcb(8), tcb(layer=2))
    assert "went down to 8, it was 9" in tcb_differences(remembered, back, RuleKind.MONOTONE)[0]
    assert tcb_lower(remembered, known_tcb(back), RuleKind.MONOTONE)
    assert not tcb_lower(remembered, known_tcb(back), RuleKind.FIXED)
    assert raised_tcb(BEFORE, known_tcb(risen), RuleKind.FIXED) == BEFORE


def test_what_differs_otherwise_too_is_not_remembered() -> None:
    other = chain(tcb(9, firmware=b"\2"), tcb(layer=2))
    assert "firmware digest" in tcb_differences(BEFORE, other, RuleKind.MONOTONE)[0]
    assert raised_tcb(BEFORE, known_tcb(other), RuleKind.MONOTONE) == BEFORE


def test_two_of_the_same_name_are_two() -> None:
    before = known_tcb(chain(tcb(), tcb(firmware=b"\2")))
    assert tcb_differences(before, chain(tcb(), tcb(firmware=b"\2")), None) == ()
    assert len(tcb_differences(before, chain(tcb(), tcb()), None)) == 1


def test_reference_values_keep_them() -> None:
    values = ReferenceValues((), "here", BEFORE)
    assert ReferenceValues.from_json(json.loads(json.dumps(values.to_json()))) == values
    assert values.tcb_differences(chain(tcb(8), tcb(layer=2)), Rules())
    assert ReferenceValues(()).tcb_differences(chain(tcb()), Rules()) == ()
