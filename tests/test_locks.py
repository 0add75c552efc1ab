"""The lock files hold what setup.cfg asks for, in exact versions with hashes, and name no index and no place."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.oracle import ROOT

PYTHONS = ("3.11", "3.12", "3.13")
LAYERS = ("run", "test", "lint")
LOCKS = [f"{what}-{python}.txt" for python in PYTHONS for what in LAYERS]
RUN = ("opencv",)
"""Extras that ``make demo`` installs."""
REMEDY = "run `make lock`"


def wanted(what: str) -> list[Requirement]:
    """What setup.cfg asks for, with the extras that an extra names."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = dict(config["options.extras_require"])
    left = [*config["options"]["install_requires"].splitlines()]
    left += [f"caffezoo[{extra}]" for extra in {"run": RUN, "test": ("test",), "lint": ("test", "lint")}[what]]
    found = []
    while left:
        line = left.pop().partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.name == "caffezoo":
            left += [text for extra in requirement.extras for text in extras[extra].splitlines()]
        else:
            found.append(requirement)
    return found


def pins(name: str) -> dict[str, list[str]]:
    """Versions by package, of a lock file and of those that it begins with; several where markers tell them apart."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for base in re.findall(r"^-r (\S+)$", text, re.MULTILINE):
        found |= pins(base)
    for package, version, marker in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)( ;)?", text, re.MULTILINE):
        assert marker or package not in found, f"{name}: {package} stands there twice"
        found.setdefault(package, []).append(version)
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_what_is_asked_for_is_locked(name: str) -> None:
    what, python = Path(name).stem.split("-")
    found = pins(name)
    for requirement in wanted(what):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            versions = found.get(normal(requirement.name), [])
            assert versions, f"{name}: no {requirement.name}; {REMEDY}"
            assert all(requirement.specifier.contains(v, prereleases=True) for v in versions), (
                f"{requirement}; {REMEDY}"
            )
    assert not [package for package in found if package == "torch" or package.startswith("nvidia-")]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_a_pin_or_a_hash(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    shapes = r"# Python 3\.\d+: written by `make lock`, do not edit\.|-r (run|test)-3\.\d+\.txt"
    shapes += r"|[a-z0-9._-]+==[\w.!+]+( ; [\w .'\"<>=!()-]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"
    assert [line for line in lines if not re.fullmatch(shapes, line)] == []
    bare = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if "==" in line and "--hash" not in after]
    assert bare == []
