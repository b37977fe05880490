"""Fetch one thing from one URL: the only place in cmakeys that opens a connection to the network.

It is called when somebody has seen the URLs and said yes. Only http and https are spoken, also after a redirect, which
may not leave https again; there is a limit on the bytes and on the whole time. What comes back is bytes of unknown
origin: whether they are signed by whom they should be is for the caller.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit

from cmakeys import __version__
from cmakeys.errors import EnvironmentProblem, Refused, Temporary

SCHEMES = ("http", "https")
MAX_REDIRECTS = 3
DEFAULT_TIMEOUT = 30.0
_CHUNK = 64 * 1024


def check_url(url: str) -> str:
    """Return `url` if it is one to fetch from.

    Raises `Refused` for another scheme than http and https, a URL without a host, or one with a password in it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Refused(f"not a URL: {error}", object=url) from None
    if parts.scheme not in SCHEMES or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise Refused("only http and https URLs with a host are fetched", object=url)
    if parts.username is not None:
        raise Refused("a URL with a user name in it is not fetched", object=url)
    return url


def fetch(url: str, *, limit: int, timeout: float = DEFAULT_TIMEOUT, question: bytes | None = None) -> bytes:
    """What `url` answers, at most `limit` bytes within `timeout` seconds in all; `question` is an OCSP request.

    Raises `Refused` for a URL or redirect that is not followed, or too many bytes; `Temporary` for what may pass;
    `EnvironmentProblem` for what the server refuses.
    """
    deadline = time.monotonic() + timeout
    headers = {"User-Agent": f"cmakeys/{__version__}", "Accept-Encoding": "identity"}
    if question is not None:
        headers["Content-Type"] = "application/ocsp-request"
    request = urllib.request.Request(check_url(url), question, headers)  # noqa: S310 its scheme has been checked
    try:
        with _opener().open(request, timeout=timeout) as answer:
            return _read(answer, url, limit, deadline)
    except urllib.error.HTTPError as error:
        with error:
            kind = Temporary if error.code >= 500 or error.code == 429 else EnvironmentProblem
            raise kind(f"the server says {error.code} {error.reason}", object=url) from None
    except urllib.error.URLError as error:
        raise Temporary(f"cannot be reached: {error.reason}", object=url, hint="try again later") from None
    except (OSError, HTTPException) as error:
        raise Temporary(f"the connection broke: {str(error) or type(error).__name__}", object=url) from None


def _read(answer: HTTPResponse, url: str, limit: int, deadline: float) -> bytes:
    data = bytearray()
    while chunk := answer.read1(min(_CHUNK, limit + 1 - len(data))):
        data += chunk
        if len(data) > limit:
            raise Refused(f"more than {limit} bytes", object=url)
        if time.monotonic() > deadline:
            raise Temporary(f"took too long, {len(data)} bytes came", object=url, hint="give it more --timeout")
    return bytes(data)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to http and https only, and never from https to http."""

    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            check_url(newurl)
        except Refused as refusal:
            fp.close()
            raise Refused(f"redirected, and not followed: {refusal.message}", object=newurl) from None
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            fp.close()
            raise Refused("redirected from https to http, and not followed", object=newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Only what is needed: no handler for file:, ftp: or data:. Proxies are those of the environment."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener
