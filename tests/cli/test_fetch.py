"""The commands fetch and cache from flags to output, against a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffezoo.cli.main import main
from tests.cli.fetch_index import write_index
from tests.weights import tiny_network as tiny
from tests.weights import unruly_server
from tests.weights.drive_proxy import AUTHORITY, drive_proxy
from tests.weights.test_gdrive import COOKIES, QUOTA
from tests.weights.unruly_server import Site

ROOT = Path(__file__).resolve().parents[2]
# Networks whose only sources are of one kind, in the built-in index.
NEVER_PUBLISHED, ONLY_BY_HAND = "study-alexnet", "resnet18-priv"


@pytest.fixture
def site(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with unruly_server.serving(Site()) as running:
        yield running


@pytest.fixture
def model(tmp_path) -> bytes:
    return tiny.caffemodel(tmp_path)


@pytest.fixture
def index(tmp_path, site, model) -> Path:
    facts = {"scheme": "https", "url": site.put("/f", model), "sha256": hashlib.sha256(model).hexdigest()}
    gone = {"scheme": "https", "url": site.url("/gone")}
    return write_index(tmp_path, "tiny", tiny.PROTOTXT, gone, facts)


@pytest.fixture
def run(capsys, tmp_path, index):
    """Run the command with a cache and an index of its own; return status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        verb = arguments[0]
        flags = ["--cache", str(tmp_path / "cache")]
        flags += ["--index", str(index)] if verb == "fetch" else []
        try:
            main([*arguments, *flags])
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return int(status or 0), out, err

    return run


def test_fetch_and_then_from_the_cache(run, site, model):
    status, out, err = run("fetch", "tiny", "--attempts", "1")
    assert status == 0
    row = out.splitlines()[1].split()
    assert row[:3] == ["tiny", "fetched", f"{len(model):,}"]
    assert row[4:] == [hashlib.sha256(model).hexdigest()[:16], "published", site.url("/f")]
    assert f"note: tiny: source 1: {site.url('/gone')}: the server answers 404" in err
    asked = len(site.requests)
    status, out, _ = run("fetch", "tiny", "--offline")
    assert (status, out.splitlines()[1].split()[1], len(site.requests)) == (0, "cached", asked)


def test_a_second_call_is_quick_and_imports_nothing_heavy(run, tmp_path, index):
    assert run("fetch", "tiny")[0] == 0
    code = (
        "import sys, time; begun = time.process_time()\n"
        "from caffezoo.cli.main import main\n"
        f"try: main(['fetch', 'tiny', '--cache', {str(tmp_path / 'cache')!r}, '--index', {str(index)!r}])\n"
        "except SystemExit as stop: status = stop.code\n"
        "loaded = sorted({'requests', 'numpy', 'pydantic', 'rich.progress', 'socket'} & set(sys.modules))\n"
        "print(status, time.process_time() - begun, loaded)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    status, seconds, loaded = out.splitlines()[-1].split(" ", 2)
    assert status in ("0", "None")
    assert float(seconds) < 0.5
    assert not {"requests", "numpy", "pydantic", "rich.progress"} & set(json.loads(loaded.replace("'", '"')))


def test_json_events(run, site):
    site.shelves["/f"].statuses = [(503, {"Retry-After": "0"})]
    status, out, _ = run("fetch", "tiny", "--progress", "json")
    events = [json.loads(line) for line in out.splitlines()]
    names = ["source-failed", "attempt-failed", "source-opened", "progress", "done"]
    assert (status, [e["event"] for e in events]) == (0, names)
    assert {e["network"] for e in events} == {"tiny"}
    assert events[0]["kind"] == "gone"
    assert events[3]["done_bytes"] == events[3]["total_bytes"] == events[4]["bytes"]
    documented = (ROOT / "docs" / "weights.md").read_text("utf-8")
    for event in events:
        assert f"`{event['event']}`" in documented
        for key in event.keys() - {"event"}:
            assert f"`{key}`" in documented, key


def test_json_tells_failures(run, site):
    del site.shelves["/f"]
    status, out, err = run("fetch", "tiny", "--progress", "json", "--attempts", "1")
    last = json.loads(out.splitlines()[-1])
    assert (status, last["event"], last["kind"]) == (1, "failed", "no-source")
    assert [f["number"] for f in last["failures"]] == [1, 2]
    assert "what to do: " in err


def test_one_failure_does_not_stop_the_others(run, site):
    status, out, err = run("fetch", NEVER_PUBLISHED, "tiny", ONLY_BY_HAND, "--jobs", "3", "--progress", "none")
    assert status == 1
    assert [line.split()[:2] for line in out.splitlines()[1:4]] == [
        [NEVER_PUBLISHED, "failed"],
        ["tiny", "fetched"],
        [ONLY_BY_HAND, "failed"],
    ]
    assert "never published" in err
    assert "https://pan.baidu.com/s/" in err


def test_patterns(run):
    status, out, _ = run("fetch", "tin*", "--progress", "none")
    assert (status, out.splitlines()[1].split()[0]) == (0, "tiny")
    status, _, err = run("fetch", "nosuch*")
    assert status == 2
    assert "unknown network 'nosuch*'" in err


def test_dry_run_and_list_ask_nobody(run, site, tmp_path):
    status, out, _ = run("fetch", "tiny", "xception", "--dry-run")
    assert status == 0
    assert f"1   source 1: {site.url('/gone')}" in out
    assert "another training's" in out
    status, out, _ = run("fetch", "--list")
    assert status == 0
    for line in ("tiny", "dpn-92"):
        assert line in out.splitlines()
    assert site.requests == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["fetch"], "which networks"),
        (["fetch", "tiny", "--verify", "--no-verify"], "exclude each other"),
        (["fetch", "tiny", "dpn-92", "--from-file", "x"], "one network, not 2"),
        (["fetch", "tiny", "--source", "9"], "there is no source 9"),
        (["fetch", "tiny", "--source", "ftp"], "not 'ftp'"),
        (["fetch", "tiny", "--markdown"], "--list"),
        (["fetch", "tiny", "--cookies", os.devnull], "not a cookies.txt"),
        (["cache", "prune", "--files"], "need networks, or --all"),
    ],
)
def test_usage(run, arguments, shown):
    status, _, err = run(*arguments)
    assert status == 2
    assert shown in err
    assert "Traceback" not in err


def test_a_share_link_and_cookies(capsys, monkeypatch, tmp_path, model):
    """A used-up quota is said with its cure; with cookies of a signed-in browser the file comes."""
    link = "https://drive.google.com/file/d/abc/view?usp=sharing"
    facts = {"scheme": "gdrive", "id": link, "sha256": hashlib.sha256(model).hexdigest()}
    drive, cookies = Site(), tmp_path / "cookies.txt"
    cookies.write_text(COOKIES)
    command = ["fetch", "tiny", "--cache", str(tmp_path / "cache"), "--attempts", "1"]
    command += ["--index", str(write_index(tmp_path, "tiny", tiny.PROTOTXT, facts))]
    with drive_proxy(drive) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(AUTHORITY))
        drive.put("/uc", QUOTA.encode(), content_type="text/html")
        with pytest.raises(SystemExit):
            main(command)
        told = capsys.readouterr().err
        assert "gdrive abc: Google Drive's quota" in told
        assert "--cookies FILE" in told
        drive.put("/uc", model)
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--cookies", str(cookies)])
    assert [headers.get("Cookie") for _, headers in drive.requests] == [None, "SID=secret"]
    assert (tmp_path / "cache" / "weights" / "tiny" / "tiny.caffemodel").read_bytes() == model


def test_from_file_and_no_verify(run, tmp_path, model, site):
    (tmp_path / "mine").write_bytes(model)
    status, out, _ = run("fetch", "tiny", "--from-file", str(tmp_path / "mine"))
    assert (status, out.splitlines()[1].split()[1]) == (0, "adopted")
    status, _, err = run("fetch", "tiny", "--no-verify")
    assert status == 0
    site.put("/f", tiny.caffemodel(tmp_path, seed=1))
    run("cache", "prune", "tiny", "--files")
    assert run("fetch", "tiny", "--attempts", "1")[0] == 1
    status, out, err = run("fetch", "tiny", "--attempts", "1", "--no-verify")
    assert status == 0
    assert "warning: --no-verify" in err
    assert out.splitlines()[1].split()[5] == "skipped"
    assert "skipped" in run("cache", "list")[1]


def test_cache_commands(run, tmp_path, model, site):
    run("fetch", "tiny")
    path = tmp_path / "cache" / "weights" / "tiny" / "tiny.caffemodel"
    status, out, _ = run("cache", "list")
    assert "tiny" in out
    assert f"1 file, {len(model):,} bytes" in out
    assert json.loads(run("cache", "list", "--json")[1])[0]["sha256"] == hashlib.sha256(model).hexdigest()
    assert run("cache", "verify")[:2] == (0, f"good  {path}\n")
    assert run("cache", "path")[1].strip() == str(tmp_path / "cache")
    assert run("cache", "path", "dpn-92")[0] == 1
    rows = {line.split()[0]: line.split()[1] for line in run("cache", "size")[1].splitlines()}
    assert int(rows["weights"].replace(",", "")) >= len(model)
    state = path.stat()
    path.write_bytes(model[::-1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    status, out, _ = run("cache", "verify")
    assert status == 1
    assert out.startswith("wrong")
    path.write_bytes(b"short")
    status, out, _ = run("cache", "verify")
    assert status == 1
    assert "not as it was put there" in out
    assert run("cache", "prune", "--all")[0] == 0
    assert not path.exists()


def test_prune_leaves_whole_files_and_removes_parts(run, tmp_path, site):
    run("fetch", "tiny")
    site.shelves["/gone"] = site.shelves["/f"]
    site.shelves["/gone"].cut_at = [500]
    run("cache", "prune", "tiny", "--files")
    assert run("fetch", "tiny", "--attempts", "1", "--source", "1")[0] == 1
    parts = tmp_path / "cache" / "parts"
    assert list(parts.rglob("*.part"))
    assert run("cache", "prune")[0] == 0
    assert not list(parts.rglob("*.part"))


def test_the_table_of_the_documentation_is_what_the_index_says():
    command = [sys.executable, str(ROOT / "tools" / "weights_table.py"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_network_that_cannot_be_had_is_told_in_time(tmp_path):
    """Without a network, and with every name server silent: every source with its reason, in less than ten seconds."""
    code = (
        "import socket, sys, time\n"
        "socket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
        "sys.argv[0] = 'fetch.py'\n"
        "from caffezoo.cli.main import main\n"
        f"main(['fetch', 'dpn-92', '--attempts', '1', '--cache', {str(tmp_path)!r}])\n"
    )
    begun = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    seconds = time.monotonic() - begun
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    for number in range(1, 8):
        assert f"  source {number}: " in ran.stderr
    assert "caffezoo fetch dpn-92 --from-file FILE" in ran.stderr
    assert seconds < 20  # ten on an idle machine; this one runs other tests at the same time
