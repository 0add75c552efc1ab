"""The npm source: an npm of the test's own for what it says, and the real one with a registry of this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from caffezoo.errors import SourceError, VerificationError, ZooError
from caffezoo.weights.failures import BusyError, ByHandError, GoneError, OfflineError, SignInError
from caffezoo.weights.npm import RELEASE, open_package
from caffezoo.weights.sources import Request
from tests.scripts import python_script

ARCHIVE = b"\x1f\x8bnot looked into here" * 1000
FakeNpm = Callable[[str], Path]


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    """Make a program ``npm`` of lines of Python, the only thing on PATH; it notes its arguments and folder."""

    def make(body: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        noted = tmp_path / "noted.json"
        python_script(
            folder / "npm",
            "import json, os, pathlib, sys\n"
            "here = pathlib.Path.cwd()\n"
            f"pathlib.Path({str(noted)!r}).write_text(json.dumps([str(here), sys.argv[1:]]))\n"
            f"{body}\n",
        )
        monkeypatch.setenv("PATH", str(folder))
        return noted

    return make


def fails(told: str, out: str) -> str:
    return f"print({out!r})\nprint({told!r}, file=sys.stderr)\nsys.exit(1)"


def test_the_archive_comes_and_its_folder_goes(fake_npm: FakeNpm) -> None:
    noted = fake_npm(f"(here / 'tiny-1.0.0.tgz').write_bytes({ARCHIVE!r})")
    with open_package("tiny@1.0.0", Request(offset_bytes=7, validator="x", timeout_s=3)) as stream:
        assert (stream.offset_bytes, stream.total_bytes) == (0, len(ARCHIVE))
        assert b"".join(stream.chunks) == ARCHIVE
        folder, arguments = json.loads(noted.read_text())
        assert Path(folder).is_dir()
    assert not Path(folder).exists()
    assert arguments[0] == "pack"
    assert arguments[-2:] == ["--", "tiny@1.0.0"]
    assert {"--ignore-scripts", "--fetch-timeout=3000", "--fetch-retries=0"} <= set(arguments)
    assert "--offline" not in arguments


def test_offline_npm_is_told_so(fake_npm: FakeNpm) -> None:
    error = json.dumps({"error": {"code": "ENOTCACHED", "summary": "request failed", "detail": ""}})
    noted = fake_npm(fails("", error))
    with pytest.raises(OfflineError, match="ENOTCACHED request failed"):
        open_package("tiny@1.0.0", Request(offline=True))
    assert "--offline" in json.loads(noted.read_text())[1]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("E404", GoneError),
        ("ETARGET", GoneError),
        ("E401", SignInError),
        ("ECONNREFUSED", BusyError),
        ("E503", BusyError),
        ("EAI_AGAIN", BusyError),
        ("EINTEGRITY", VerificationError),
        ("EWHATEVER", SourceError),
    ],
)
@pytest.mark.parametrize("form", ["json", "error", "ERR!"])
def test_what_npm_says(fake_npm: FakeNpm, code: str, kind: type[ZooError], form: str) -> None:
    summary = "GET http://me:secret@127.0.0.1:9/tiny?token=hush failed"
    lines = f"npm {form} code {code}\nnpm {form} errno {code}\nnpm {form} {summary}\n"
    fake_npm(fails(lines, json.dumps({"error": {"code": code, "summary": summary}}) if form == "json" else ""))
    with pytest.raises(kind) as caught:
        open_package("tiny@1.0.0", Request())
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.startswith(f"npm tiny@1.0.0: npm: {code} GET http")
    assert "secret" not in text
    assert "hush" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(3)", "npm failed without a word"),
        ("", "left no archives"),
        ("[(here / f'{i}.tgz').write_bytes(b'') for i in (1, 2)]", "left 2 archives"),
    ],
)
def test_an_npm_that_does_not_do_its_work(fake_npm: FakeNpm, body: str, said: str) -> None:
    fake_npm(body)
    with pytest.raises(SourceError, match=said):
        open_package("tiny@1.0.0", Request())


def test_without_npm_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ByHandError, match=r"`npm pack tiny@1\.0\.0` on a machine that has it, and give it as --from"):
        open_package("tiny@1.0.0", Request())


@pytest.mark.parametrize(
    "release", ["tiny", "tiny@latest", "tiny@^1.0.0", "../tiny@1.0.0", "-x@1.0.0 --y", "a/b@1.0.0"]
)
def test_only_a_release_is_asked_for(release: str) -> None:
    with pytest.raises(SourceError, match=r"is not PACKAGE@VERSION"):
        open_package(release, Request())
    assert RELEASE.fullmatch("@scope/tiny-x@1.0.0-rc.1")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, bytes]]:
    """A registry that npm is configured with: what it serves, by path."""
    pages: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    for name in [n for n in os.environ if n.lower().startswith("npm_config_") or n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    url = f"http://127.0.0.1:{server.server_port}/"
    (tmp_path / "npmrc").write_text(f"registry={url}\ncache={tmp_path / 'npm-cache'}\naudit=false\n")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(tmp_path / "npmrc"))
    pages["url"] = url.encode()
    yield pages
    server.shutdown()
    server.server_close()


def publish(pages: dict[str, bytes], archive: bytes, integrity: bytes | None = None) -> None:
    digest = base64.b64encode(hashlib.sha512(integrity or archive).digest()).decode()
    dist = {"tarball": f"{pages['url'].decode()}tiny-1.0.0.tgz", "integrity": f"sha512-{digest}"}
    manifest = {"name": "tiny", "version": "1.0.0", "dist": dist, "scripts": {"prepare": "exit 7", "prepack": "exit 7"}}
    page = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": manifest}}
    pages["/tiny"], pages["/tiny-1.0.0.tgz"] = json.dumps(page).encode(), archive


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
def test_the_real_npm(registry: dict[str, bytes]) -> None:
    from tests.weights.tfjs_writer import package

    archive = package({"a.txt": b"content"})
    publish(registry, archive)
    with open_package("tiny@1.0.0", Request()) as stream:
        assert b"".join(stream.chunks) == archive
    with pytest.raises(GoneError):
        open_package("tiny@2.0.0", Request())
    with pytest.raises(GoneError):
        open_package("other@1.0.0", Request())
    publish(registry, package({"a.txt": b"another"}), archive)
    registry["/tiny-1.0.0.tgz"] += b" "
    with open_package("tiny@1.0.0", Request(offline=True)) as stream:
        assert b"".join(stream.chunks) == archive  # from npm's cache, by its hash
    with pytest.raises(OfflineError):
        open_package("absent@1.0.0", Request(offline=True))
