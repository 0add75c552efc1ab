"""Which tests run: oracle tests where real Caffe is, slow ones only when asked for."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

from tests.opencv_oracle import opencv_python
from tests.oracle import oracle_python
from tests.parts import closing_lines, mark_parts

# How long an example takes says more of the machine than of the code.
settings.register_profile("caffezoo", deadline=None)
settings.load_profile("caffezoo")


PROXIES = {name: os.environ[name] for name in os.environ if name.lower().endswith("_proxy")}
"""What this machine reaches the network by."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Let no bytes name a test: they may hold a clock's time, or differ by the version of what encoded them."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)  # marks that are given here can be asked for with -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mark_parts(items)
    asked = config.getoption("markexpr", "")
    no_caffe = pytest.mark.skip(reason="no real Caffe: `make oracle`, or set CAFFE_PYTHON")
    no_opencv = pytest.mark.skip(reason="no OpenCV 4.12: `make oracle`, or set OPENCV_PYTHON")
    slow = pytest.mark.skip(reason="slow: run with -m slow")
    for item in items:
        if "oracle" in item.keywords and oracle_python() is None:
            item.add_marker(no_caffe)
        if "opencv_oracle" in item.keywords and opencv_python() is None:
            item.add_marker(no_opencv)
        if "slow" in item.keywords and "slow" not in asked:
            item.add_marker(slow)


@pytest.hookimpl(tryfirst=True)  # before the fixtures, which start servers and browsers
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Keep a proxy of this machine from the servers that tests start: only tests of the package index have it."""
    if "registry" in item.keywords:
        os.environ.update(PROXIES)
    else:
        for name in PROXIES:
            os.environ.pop(name, None)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after pytest's own summary: these are the last lines
def pytest_terminal_summary(terminalreporter: Any) -> Generator[None]:
    """Close the run with a line a part: tested, or what would bring it."""
    yield
    terminalreporter.section("parts")
    for line in closing_lines(terminalreporter.stats):
        terminalreporter.write_line(line)
