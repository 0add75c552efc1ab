"""The zoo's own files, in the checkout and in an installed wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from caffezoo.errors import IndexFileError
from caffezoo.zoo.resources import cache_dir, data_path, data_root

ROOT = Path(__file__).parents[2]


def test_a_checkout_reads_its_root() -> None:
    assert data_root() == ROOT
    assert data_path("zoo_index.yaml") == ROOT / "zoo_index.yaml"


def test_paths_that_are_not_there() -> None:
    with pytest.raises(IndexFileError, match="network 'x': no such file"):
        data_path("prototxt/x.prototxt", wanted_by="network 'x'")
    with pytest.raises(IndexFileError, match="leaves the zoo"):
        data_path("prototxt/../../etc/passwd")


def test_cache_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFEZOO_CACHE", "~/somewhere")
    assert cache_dir() == Path.home() / "somewhere"
    monkeypatch.delenv("CAFFEZOO_CACHE")
    assert cache_dir() == Path.home() / ".cache" / "caffezoo"


def build_wheel(tree: Path, folder: Path) -> Path:
    """Build through the project's own build backend, in this environment and without fetching anything."""
    code = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=tree, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def checkout_files() -> list[Path]:
    paths = [
        "caffezoo",
        "prototxt",
        "cls",
        "results",
        "zoo_index.yaml",
        "setup.*",
        "pyproject.toml",
        "MANIFEST.in",
        "*.md",
        "LICENSE",
    ]
    command = ["git", "ls-files", "-co", "--exclude-standard", *paths]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the checkout's list of files")
def test_a_wheel_built_from_the_sdist_carries_the_files_and_works_elsewhere(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for file in checkout_files():
        target = tree / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    code = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
    sdists = tmp_path / "sdist"
    sdists.mkdir()
    subprocess.run([sys.executable, "-c", code, str(sdists)], cwd=tree, check=True, capture_output=True)
    (sdist,) = sdists.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(tmp_path)], check=True)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = build_wheel(unpacked, wheels)
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(site)
    for pattern in ("prototxt/**/*.prototxt", "cls/*.txt", "results/*.csv", "zoo_index.yaml"):
        expected = {f"caffezoo/_data/{f.relative_to(ROOT).as_posix()}" for f in ROOT.glob(pattern)} & {
            f"caffezoo/_data/{f.relative_to(ROOT).as_posix()}" for f in checkout_files()
        }
        assert expected <= names, pattern
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)
    assert "caffezoo/formats/caffe_pb2.py" in names
    # Python -S with this path first: the editable install of the checkout must not answer.
    script = "import caffezoo; n = caffezoo.network('dpn92'); print(caffezoo.__file__); print(n.prototxt_path)"
    paths = [str(site), *(p for p in sys.path if p.endswith("site-packages"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CAFFEZOO_CACHE": str(tmp_path / "cache")}
    run = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    module, prototxt = run.stdout.split()
    assert Path(module).is_relative_to(site)
    assert prototxt == str(site / "caffezoo" / "_data" / "prototxt" / "dpn" / "deploy_dpn-92.prototxt")
    assert Path(prototxt).read_bytes() == (ROOT / "prototxt" / "dpn" / "deploy_dpn-92.prototxt").read_bytes()
