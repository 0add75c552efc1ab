"""Chromium without a window, driven through selenium, for tests of the page."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1400,1000"
).split()


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile; skips the test where there is none."""
    pytest.importorskip("selenium", reason="no selenium: pip install 'caffezoo[test]'")
    from selenium import webdriver

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium with its driver: sh tools/make_chromium.sh")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(running)
    finally:
        running.quit()


class Browser:
    """What the tests do with a running browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, file: Path, anchor: str = "") -> None:
        """Open a file and wait until its scripts have said that all is drawn."""
        self.driver.get("about:blank")
        self.driver.get(file.as_uri() + anchor)
        self.wait("document.documentElement.dataset.ready")

    def js(self, expression: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {expression};", *arguments)

    def wait(self, expression: str, seconds: float = 200) -> Any:
        """Return the first true value of an expression."""
        end = time.monotonic() + seconds
        while not (value := self.js(expression)):
            assert time.monotonic() < end, f"never true: {expression}; console: {self.complaints()}"
            time.sleep(0.05)
        return value

    def becomes(self, read: Callable[[], Any], wanted: Any, seconds: float = 200) -> None:
        """Wait until what is read of the page is what it must be: after an action, a page may answer when it likes."""
        end = time.monotonic() + seconds
        while (found := read()) != wanted:
            assert time.monotonic() < end, f"{found!r} never became {wanted!r}; console: {self.complaints()}"
            time.sleep(0.05)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Visible texts of the elements that match."""
        found: list[str] = self.js(
            "[...document.querySelectorAll(arguments[0])].filter((e) => e.offsetParent).map((e) => e.innerText.trim())",
            selector,
        )
        return found

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the last call."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
