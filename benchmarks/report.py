"""How long the tables, the figures and the page take, against what is allowed: 2 s, 5 s, 20 s, and 1 s to open.

    python benchmarks/report.py

Each command runs as a user runs it, in a process of its own, three times after one that does not count; medians. The
page is opened in Chromium from ``file://``, each time with a new profile (where nothing is compiled yet) and a second
time in the same one. `usable`: table, filters and links work; `drawn`: the chart is there too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

CAFFEZOO = [sys.executable, "-m", "caffezoo"]
RUNS = 3
PAGES = 5


def seconds(command: list[str]) -> float:
    """Median wall time of a command."""
    taken = []
    for run in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if run:
            taken.append(time.perf_counter() - start)
    return median(taken)


def opened(page: Path) -> dict[str, float] | None:
    """Median seconds from navigation until the page is usable and drawn, new profile and again; None: no Chromium."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        return None
    from selenium import webdriver

    found: dict[str, list[float]] = {}
    for _ in range(PAGES):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = webdriver.ChromeOptions()
            options.binary_location = program
            for (
                flag
            ) in f"--headless --no-sandbox --disable-gpu --window-size=1400,1000 --user-data-dir={profile}".split():
                options.add_argument(flag)
            browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
            try:
                time.sleep(2)  # the browser's own start is over
                for which in ("new profile", "again"):
                    browser.get("about:blank")
                    browser.get(page.as_uri())
                    while not (stages := browser.execute_script("return {...document.documentElement.dataset}")).get(
                        "ready"
                    ):
                        time.sleep(0.05)
                    for stage, name in (("usable", "usable"), ("ready", "drawn")):
                        found.setdefault(f"{name}, {which}", []).append(float(stages[stage]) / 1000)
            finally:
                browser.quit()
    return {name: median(values) for name, values in found.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        site, picture = Path(folder, "site"), str(Path(folder, "picture.svg"))
        allowed = {
            "tables --check": (2.0, seconds([*CAFFEZOO, "tables", "--check"])),
            "plot cost": (5.0, seconds([*CAFFEZOO, "plot", "cost", "-o", picture])),
            "plot crops, all networks": (5.0, seconds([*CAFFEZOO, "plot", "crops", "-o", picture])),
            "plot layers": (5.0, seconds([*CAFFEZOO, "plot", "layers", "dpn-92", "-o", picture])),
            "plot confusion": (5.0, seconds([*CAFFEZOO, "plot", "confusion", "efficientnet-lite0", "-o", picture])),
            "report": (20.0, seconds([*CAFFEZOO, "report", "--html", str(site)])),
        }
        loaded = opened(site / "index.html")
    for stage, taken in (loaded or {}).items():
        allowed[f"page {stage}"] = (1.0, taken)
    print("| | seconds | allowed |\n|---|---:|---:|")
    for name, (limit, taken) in allowed.items():
        print(f"| {name} | {taken:.2f} | {limit:.0f} |")
    if loaded is None:
        print("no Chromium with its driver (sh tools/make_chromium.sh): the page was not opened")
    return int(any(taken > limit for limit, taken in allowed.values()))


if __name__ == "__main__":
    sys.exit(main())
