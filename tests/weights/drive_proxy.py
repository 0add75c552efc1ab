"""Google's hosts on this machine: a proxy that answers HTTPS for every host from an unruly server's shelves.

The certificate (``drive/server.pem``, for Google's names) is of an authority whose key was thrown away at
once; ``REQUESTS_CA_BUNDLE`` names that authority where a test wants it trusted.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .unruly_server import Site, handler_of

FOLDER = Path(__file__).with_name("drive")
AUTHORITY = FOLDER / "authority.pem"


@contextmanager
def drive_proxy(site: Site) -> Iterator[str]:
    """Yield the proxy's URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "server.pem")
    answer = handler_of(site)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                with context.wrap_socket(self.connection, server_side=True) as tls:
                    answer(tls, self.client_address, self.server)
            except (ssl.SSLError, OSError):
                pass  # the client does not trust us, or is gone

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away in mid-body is what many tests are about."""

    server = Server(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        site.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
