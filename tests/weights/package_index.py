"""A package index on this machine: a simple index (HTML) over HTTP, and archives to put on it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def wheel(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def sdist(members: Mapping[str, bytes], *, links: Mapping[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return gzip.compress(out.getvalue(), 1)


def page(files: Mapping[str, bytes], base: str = "../../files/") -> str:
    """The HTML page of one project, with hashes."""
    links = (f'<a href="{base}{n}#sha256={hashlib.sha256(d).hexdigest()}">{n}</a>' for n, d in files.items())
    return "<!DOCTYPE html><html><body>" + "<br>".join(links) + "</body></html>"


class Index:
    """What is served, and what was asked for."""

    def __init__(self) -> None:
        self.projects: dict[str, dict[str, bytes]] = {}
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self.cut_bodies_at: int | None = None
        self.status = 200
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        parts = path.strip("/").split("/")
        if len(parts) == 2 and parts[0] == "simple" and parts[1] in self.projects:
            return "text/html", page(self.projects[parts[1]]).encode()
        if len(parts) == 2 and parts[0] == "files":
            for files in self.projects.values():
                if parts[1] in files:
                    return "application/octet-stream", files[parts[1]]
        return None


@contextmanager
def serving(index: Index) -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.requests.append(self.path)
            index.authorizations.append(self.headers["Authorization"])
            found = index.answer(self.path)
            if found is None or index.status != 200:
                self.send_error(404 if found is None else index.status)
                return
            kind, body = found
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            is_file = self.path.startswith("/files/")
            self.wfile.write(body[: index.cut_bodies_at] if is_file else body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
