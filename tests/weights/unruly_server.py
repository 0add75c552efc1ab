"""A file server on this machine that can do all that file servers on the net do wrong, and counts what it sends."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE_BYTES = 1 << 16


@dataclass
class Shelf:
    """One file and how it is served; every attribute may be changed between requests."""

    data: bytes
    etag: str | None = '"v1"'
    last_modified: str | None = None
    ranges: bool = True
    ignore_if_range: bool = False
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # taken from the front, then 200
    cut_at: list[int] = field(default_factory=list)  # bytes of a body after which the connection ends, one a request
    claimed_bytes: int | None = None
    content_range: str | None = None
    chunked: bool = False
    gzip: bool = False
    piece_pause_s: float = 0.0
    stall_after: int | None = None
    error_body: bytes = b""


class Site:
    """What is served, and what was asked for."""

    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent_bytes = 0
        self.port = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def put(self, path: str, data: bytes, **how: object) -> str:
        self.shelves[path] = Shelf(data, **how)  # type: ignore[arg-type]
        return self.url(path)

    def count(self, sent: int) -> None:
        with self._lock:
            self.sent_bytes += sent

    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        site, path = self.site, self.path.split("?")[0]
        site.requests.append((self.path, dict(self.headers.items())))
        for name in (self.path, path):
            if name in site.redirects:
                self._head(302, {"Location": site.redirects[name], "Content-Length": "0"})
                return
        shelf = site.shelves.get(self.path) or site.shelves.get(path)
        if shelf is None:
            self._head(404, {"Content-Length": "0"})
        elif shelf.statuses:
            status, headers = shelf.statuses.pop(0)
            self._head(status, {"Content-Type": shelf.content_type, **headers}, shelf.error_body)
        else:
            self._serve(shelf)

    def _serve(self, shelf: Shelf) -> None:
        body, headers = shelf.data, {"Content-Type": shelf.content_type, **shelf.headers}
        first = 0
        if shelf.etag:
            headers["ETag"] = shelf.etag
        if shelf.last_modified:
            headers["Last-Modified"] = shelf.last_modified
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        fresh = condition is None or condition in (shelf.etag, shelf.last_modified) or shelf.ignore_if_range
        status = 200
        if shelf.ranges and asked and fresh:
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(body):
                self._head(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
                return
            status = 206
            headers["Content-Range"] = shelf.content_range or f"bytes {first}-{len(body) - 1}/{len(body)}"
            body = body[first:]
        if shelf.gzip:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        if shelf.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body) if shelf.claimed_bytes is None else shelf.claimed_bytes)
        cut = shelf.cut_at.pop(0) if shelf.cut_at else None
        self._head(status, headers, body, cut, shelf)

    def _head(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes = b"",
        cut: int | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self.send_response(status)
        if body and "Transfer-Encoding" not in headers:
            headers = {"Content-Length": str(len(body)), **headers}
        elif "Transfer-Encoding" not in headers:
            headers = {"Content-Length": "0", **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        chunked = "Transfer-Encoding" in headers
        end = len(body) if cut is None else cut
        try:
            for at in range(0, end, PIECE_BYTES):
                piece = body[at : min(at + PIECE_BYTES, end)]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.wfile.flush()
                self.site.count(len(piece))
                if shelf is not None and shelf.piece_pause_s:
                    time.sleep(shelf.piece_pause_s)
                if shelf is not None and shelf.stall_after is not None and at + PIECE_BYTES >= shelf.stall_after:
                    self.site.stopping.wait(30)
                    break
            if chunked and cut is None:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the client is gone
        short = shelf is not None and shelf.claimed_bytes is not None and shelf.claimed_bytes != len(body)
        if cut is not None or short or (shelf is not None and shelf.stall_after is not None):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def handler_of(site: Site) -> type[BaseHTTPRequestHandler]:
    """What answers a connection from a site's shelves."""
    return type("Handler", (_Handler,), {"site": site})


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    handler = handler_of(site)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away in mid-body is what many tests are about."""

    server = Server(("127.0.0.1", 0), handler)
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
