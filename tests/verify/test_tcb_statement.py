"""What a vendor states of a TcbInfo: every field that is stated counts, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.evidence.fields import FieldProblem, Fields
from cmakeys.verify.tcb_statement import StatedTcb, TcbStatement, read_stated_tcb, stated_differences
from cmakeys.x509.tcb import FLAGS, ChainTcb, FirmwareId, TcbInfo

SHA384 = "2.16.840.1.101.3.4.2.2"
ONE, TWO = b"\x01" * 48, b"\x02" * 48
INFO = TcbInfo(
    b"", "Acme", "X1", "1.2", 7, 1, 0, (FirmwareId(SHA384, ONE),), ("debug",), ("debug", "recovery", "not secure")
)
PLACE = ChainTcb(0, INFO)


def stated(*alternatives: TcbStatement, **description: object) -> StatedTcb:
    about = StatedTcb("Acme", None, None, None, None, alternatives)
    return replace(about, **description)  # type: ignore[arg-type]  # the caller names fields of StatedTcb


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (TcbStatement(version="1.2"), ""),
        (TcbStatement(version="1.3"), "version is 1.2, stated is 1.3"),
        (TcbStatement(svn=7), ""),
        (TcbStatement(svn=6), "svn is 7, stated is 6"),
        (TcbStatement(svn=6, at_least=True), ""),
        (TcbStatement(svn=8, at_least=True), "svn is 7, stated is at least 8"),
        (TcbStatement(digests=(TWO, ONE)), ""),
        (TcbStatement(digests=(TWO,)), "firmware digest is 0101010101010101…, stated is 0202020202020202…"),
        (TcbStatement(flags=(("debug", True), ("recovery", False))), ""),
        (TcbStatement(flags=(("debug", False),)), "'debug' is yes, stated is no"),
        (TcbStatement(flags=(("not secure", True),)), "'not secure' is no, stated is yes"),
        (TcbStatement(flags=(("not TCB", False),)), "nothing is said about 'not TCB', stated is no"),
        (TcbStatement(version="1.2", svn=9), "svn is 7, stated is 9"),
    ],
)
def test_each_field_that_is_stated_counts(statement: TcbStatement, words: str) -> None:
    assert stated_differences([stated(statement)], [PLACE]) == (
        (f"TcbInfo of Acme X1 layer 1 index 0 in the leaf: {words}",) if words else ()
    )


def test_what_a_certificate_leaves_out_is_not_as_stated() -> None:
    silent = ChainTcb(0, TcbInfo(b"", "Acme"))
    for statement in (
        TcbStatement(version="1.2"),
        TcbStatement(svn=0, at_least=True),
        TcbStatement(digests=(ONE,)),
        TcbStatement(flags=(("debug", False),)),
    ):
        assert len(stated_differences([stated(statement)], [silent])) == 1


def test_one_alternative_is_enough_and_every_tcb_info_that_fits_is_held_against_them() -> None:
    both = stated(TcbStatement(svn=6), TcbStatement(svn=7))
    older = ChainTcb(1, replace(INFO, svn=5, layer=0))
    assert stated_differences([both], [PLACE]) == ()
    (difference,) = stated_differences([both], [PLACE, older])
    assert difference.startswith("TcbInfo of Acme X1 layer 0 index 0 in certificate 1 above the leaf: svn is 5")
    assert "and 1 alternatives" in difference


@pytest.mark.parametrize(
    "description", [{"vendor": "Other"}, {"layer": 2}, {"type": b"t"}, {"model": "X2"}, {"index": 1}]
)
def test_what_fits_no_more_is_missing(description: dict[str, object]) -> None:
    (difference,) = stated_differences([stated(TcbStatement(svn=7), **description)], [PLACE])
    assert difference.endswith("is missing")


_statements = st.builds(
    TcbStatement,
    st.none() | st.text(max_size=9),
    st.none() | st.integers(0, (1 << 64) - 1),
    st.booleans(),
    st.lists(st.binary(min_size=32, max_size=64), max_size=3).map(tuple),
    st.lists(st.tuples(st.sampled_from(FLAGS), st.booleans()), max_size=3).map(tuple),
).filter(lambda one: not one.says_nothing)
_descriptions = st.builds(
    StatedTcb,
    st.none() | st.text(max_size=9),
    st.none() | st.text(max_size=9),
    st.none() | st.binary(max_size=9),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.lists(_statements, min_size=1, max_size=3).map(tuple),
)


@given(_descriptions)
def test_it_is_read_back_as_it_was_written(one: StatedTcb) -> None:
    assert read_stated_tcb(Fields(json.loads(json.dumps(one.to_json())), "file")) == one


@given(_descriptions, st.data())
def test_anything_else_is_one_clean_error(one: StatedTcb, data: st.DataObject) -> None:
    document = one.to_json()
    junk = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.none() | st.text(), max_size=2)
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(junk | st.just([{}]))
    try:
        read_stated_tcb(Fields(document, "file"))
    except FieldProblem as problem:
        assert problem.object.startswith("file")  # noqa: PT017 the problem is what is tested
