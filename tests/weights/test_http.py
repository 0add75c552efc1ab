"""TLS as the user set it: pip's certificate, REQUESTS_CA_BUNDLE, trusted hosts."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from caffezoo.errors import SourceError
from caffezoo.weights.http import open_session, open_url, without_secrets
from caffezoo.weights.pip_settings import PipSettings

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture
def url(certificate, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/f"
    server.shutdown()
    server.server_close()
    thread.join()


def _get(url: str, settings: PipSettings | None) -> bytes:
    with open_session(settings) as session:
        return b"".join(open_url(session, url, timeout_s=10).chunks)


def test_a_certificate_that_nobody_vouches_for(url):
    for settings in (None, PipSettings(()), PipSettings((), trusted_hosts=("other.example",))):
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+/f: TLS failed: .*self.signed.*; set pip's `cert`"):
            _get(url, settings)


def test_pips_cert(url, certificate):
    assert _get(url, PipSettings((), cert=str(certificate))) == b"ok"


def test_pips_cert_wins_over_the_variable(url, certificate, monkeypatch, tmp_path):
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert _get(url, PipSettings((), cert=str(certificate))) == b"ok"
    with pytest.raises(SourceError, match="TLS failed"):
        _get(url, PipSettings(()))


def test_the_variable_holds_without_pips_cert(url, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert _get(url, None) == b"ok"
    assert _get(url, PipSettings(())) == b"ok"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_trusted_hosts(url):
    port = url.split(":")[2].split("/")[0]
    for host in ("127.0.0.1", f"127.0.0.1:{port}"):
        assert _get(url, PipSettings((), trusted_hosts=(host,))) == b"ok"


def test_secrets_stay_out_of_messages():
    assert without_secrets("https://u:p@h.example:8443/a/b?token=1#f") == "https://h.example:8443/a/b"
    assert without_secrets("https://[broken/x") == "an unreadable URL"


def test_no_redirect_leads_from_https_to_http(url, certificate, site):
    settings = PipSettings((), cert=str(certificate))
    base = url.removesuffix("/f")
    assert _get(f"{base}/to//f", settings) == b"ok"
    secret = site.put("/f", b"changed on the way")
    with pytest.raises(SourceError, match=f"it leads from https to {secret}"):
        _get(f"{base}/to/{secret}", settings)
    assert site.requests == []


def test_what_requests_raises_for_tls_is_one_line(url):
    with pytest.raises(SourceError, match=r"^https://127\.0\.0\.1:\d+/f: TLS failed: .*; set pip's `cert`") as caught:
        _get(url, PipSettings(()))
    assert "\n" not in str(caught.value)
