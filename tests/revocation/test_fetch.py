"""Fetching: http and https only, within its bounds, and every failure named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmakeys.errors import CmakeysError, EnvironmentProblem, Refused, Temporary
from cmakeys.revocation.fetch import check_url, fetch
from tests.revocation.web import Answer, Web, serving


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as found:
        yield found


def test_what_is_there_is_fetched(web: Web) -> None:
    web.answers["/ca.crl"] = Answer(b"x" * 200_000)
    assert fetch(web.url("/ca.crl"), limit=200_000) == b"x" * 200_000
    assert web.asked == [("GET", "/ca.crl", b"")]


def test_a_question_is_posted(web: Web) -> None:
    web.answers["/ocsp"] = Answer(b"answer")
    assert fetch(web.url("/ocsp"), limit=10, question=b"question") == b"answer"
    assert web.asked == [("POST", "/ocsp", b"question")]


def test_one_byte_too_many_is_refused(web: Web) -> None:
    web.answers["/ca.crl"] = Answer(b"x" * 101)
    with pytest.raises(Refused, match="more than 100 bytes"):
        fetch(web.url("/ca.crl"), limit=100)


def test_a_server_that_trickles_is_given_up(web: Web) -> None:
    web.answers["/ca.crl"] = Answer(b"x" * 100, slow=0.05)
    with pytest.raises(Temporary, match="took too long"):
        fetch(web.url("/ca.crl"), limit=100, timeout=0.3)


def test_a_server_that_says_nothing_is_given_up(web: Web) -> None:
    web.answers["/ca.crl"] = Answer(b"x", slow=5)
    with pytest.raises(Temporary):
        fetch(web.url("/ca.crl"), limit=100, timeout=0.2)


@pytest.mark.parametrize(("status", "kind"), [(404, EnvironmentProblem), (403, EnvironmentProblem), (503, Temporary)])
def test_what_the_server_says_is_passed_on(web: Web, status: int, kind: type[CmakeysError]) -> None:
    web.answers["/ca.crl"] = Answer(status=status)
    with pytest.raises(kind, match=f"the server says {status}"):
        fetch(web.url("/ca.crl"), limit=100)


def test_nobody_there_may_pass() -> None:
    with serving() as web:
        url = web.url("/ca.crl")
    with pytest.raises(Temporary, match=r"cannot be reached|refused"):
        fetch(url, limit=100, timeout=2)


def test_a_redirect_is_followed(web: Web) -> None:
    web.answers["/old"] = Answer(status=302, location="/new")
    web.answers["/new"] = Answer(b"list")
    assert fetch(web.url("/old"), limit=100) == b"list"


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://user@127.0.0.1/"])
def test_a_redirect_to_another_scheme_is_not_followed(web: Web, location: str) -> None:
    web.answers["/old"] = Answer(status=302, location=location)
    with pytest.raises((Refused, EnvironmentProblem)) as caught:
        fetch(web.url("/old"), limit=100)
    assert caught.value.object in (location, web.url("/old"))


def test_redirects_in_a_circle_end(web: Web) -> None:
    web.answers["/a"] = Answer(status=302, location="/b")
    web.answers["/b"] = Answer(status=302, location="/a")
    with pytest.raises(EnvironmentProblem):
        fetch(web.url("/a"), limit=100)
    assert len(web.asked) < 10


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://vendor.example/x",
        "ldap://vendor.example/cn=x",
        "data:,x",
        "http://",
        "http:///path",
        "//vendor.example/x",
        "http://user:secret@vendor.example/",
        "http://vendor.example/a b",
        "http://vendor.example/\r\nX: y",
        "http://vendor.example:99999/",
        "http://[::1/",
        "",
    ],
)
def test_only_plain_web_addresses_are_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        check_url(url)
    with pytest.raises(Refused):
        fetch(url, limit=100)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        assert check_url(text) == text
    except Refused as refusal:
        assert refusal.object == text  # noqa: PT017 what is raised is the answer
