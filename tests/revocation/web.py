"""A web server on the loopback for the tests of fetching: paths with answers, and what it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What a path answers: `slow` seconds before every byte of the body."""

    body: bytes = b""
    status: int = 200
    location: str = ""
    slow: float = 0.0


@dataclass
class Web:
    """The server's paths; `asked` are the requests that came, each with its body."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def serving() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            web.asked.append((self.command, self.path, self.rfile.read(length)))
            found = web.answers.get(self.path, Answer(status=404))
            self.send_response(found.status)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            try:
                for start in range(0, len(found.body), 1 if found.slow else max(1, len(found.body))):
                    time.sleep(found.slow)
                    self.wfile.write(found.body[start:] if not found.slow else found.body[start : start + 1])
            except OSError:
                self.close_connection = True  # the other side has heard enough

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name that the base class gives it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        web.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
