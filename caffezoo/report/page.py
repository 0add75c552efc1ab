"""The page to choose a network by: a folder of static files that a browser opens without any server.

``index.html`` has the table and the chart of all networks, ``compare.html`` sets two to four side by side, and
``networks/`` holds a page for each. Nothing is asked of another host: a policy in every page forbids it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffezoo.errors import DataError, UsageError
from caffezoo.report.costs import keep_costs
from caffezoo.report.depth import DEFINITION
from caffezoo.report.page_anatomy import Anatomy, read_all
from caffezoo.report.page_charts import cost_axes, cost_chart, crop_chart, family_styles, layer_chart
from caffezoo.report.page_libraries import library_files, require_libraries
from caffezoo.report.page_network import NetworkPages
from caffezoo.report.page_snippet import preprocessing_code
from caffezoo.report.page_summary import WEIGHTS_STATES, Summary, shown_series, summaries
from caffezoo.report.time_series import TimeSeries
from caffezoo.report.zoo_data import ZooData
from caffezoo.version import __version__
from caffezoo.zoo.resources import data_root

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS = Path(__file__).parent / "assets"
MARK = '<meta name="generator" content="caffezoo report">'
"""What tells a report's index.html from anybody else's."""


@dataclass(frozen=True)
class Report:
    """What was written: the page to open, how many networks, and bytes of all files."""

    index: Path
    networks: int
    bytes: int


class Pages:
    """The pages' texts; nothing is written.

    Parameters
    ----------
    data : ZooData

    Raises
    ------
    UsageError
        The libraries of the extra ``report`` are not installed.
    """

    def __init__(self, data: ZooData) -> None:
        require_libraries()
        self.data = data
        self._networks = NetworkPages(data)

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        found = Environment(
            loader=FileSystemLoader(ASSETS),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        found.filters["data"] = _data_block
        found.globals.update(version=__version__, mark=MARK)
        return found

    @cached_property
    def series(self) -> list[TimeSeries]:
        """Times of several networks that compare."""
        return shown_series(self.data)

    @cached_property
    def summaries(self) -> list[Summary]:
        """A summary of every network."""
        return summaries(self.data, self.series)

    @cached_property
    def _charts(self) -> dict[str, Any]:
        return {"crops": crop_chart(), "layers": layer_chart()}

    def index(self) -> str:
        """``index.html``: filters, chart and table of all networks."""
        rows = self.summaries
        styles = family_styles(rows)
        axes = cost_axes(self.series)
        points = [
            {**_flat(row), "style": row.family if row.family in styles else ""}
            for row in rows
            if row.top1_error is not None or row.top5_error is not None
        ]
        return self._page(
            "index.html",
            "",
            rows=rows,
            aliases={row.network: list(self.data.records[row.network].get("aliases") or ()) for row in rows},
            families=list(dict.fromkeys(row.family for row in rows)),
            states=WEIGHTS_STATES,
            styles=[style for key, style in styles.items() if any(point["style"] == key for point in points)],
            axes=axes,
            series=self.series,
            depth=DEFINITION,
            results=len(self.data.accuracy) + len(self.data.time),
            unclear=any(row.top1_error is not None and not row.stated for row in rows),
            chart=cost_chart(),
            page_data={
                "points": points,
                "axes": axes,
                "styles": {key: asdict(style) for key, style in styles.items()},
            },
        )

    def compare(self) -> str:
        """``compare.html``: two to four networks side by side."""
        known = []
        for row in self.summaries:
            record = self.data.records[row.network]
            p = record["preprocessing"]
            labels = record["labels"]
            sizes = [f"{s['base_size']}/{s['crop_size']}" for k in ("small", "large") if (s := p.get(k))]
            known.append(
                {
                    **_flat(row),
                    "weights": WEIGHTS_STATES[row.weights],
                    "sizes": ", ".join(sizes),
                    "mean": " ".join(f"{v:.10g}" for v in p["mean"]),
                    "std": " ".join(f"{v:.10g}" for v in p["std"]),
                    "labels": f"{labels['classes']} classes, order {labels['order']}",
                    "origin": record["origin"]["project"],
                }
            )
        return self._page(
            "compare.html",
            "",
            networks=[row.network for row in self.summaries],
            page_data={"networks": known, "times": {s.key: cost_axes([s])[s.key] for s in self.series}},
        )

    def network(self, summary: Summary, anatomy: Anatomy) -> str:
        """``networks/NAME.html``."""
        name = summary.network
        record = self.data.records[name]
        times = self._networks.layer_times(name)
        charts = self._networks.chart_data(name, times)
        return self._page(
            "network.html",
            "../",
            net=summary,
            entry=self.data.index.network(name),
            anatomy=anatomy,
            state=WEIGHTS_STATES[summary.weights],
            family=self.data.index.families[summary.family],
            code=preprocessing_code(name, record),
            preprocessing_source=self.data.index.sources[record["preprocessing"]["source"]],
            sources=self._networks.sources(name),
            published=self._networks.published(name),
            measured=self._networks.measured(name),
            times=times,
            charts={key: self._charts[key] for key in charts},
            page_data=charts,
        )

    def _page(self, template: str, root: str, **values: Any) -> str:
        return self._environment.get_template(template).render(root=root, **values)


def write_report(
    data: ZooData, folder: Path, jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> Report:
    """Write the whole page into a folder; a report that is there is replaced.

    Parameters
    ----------
    data : ZooData
    folder : Path
        Created where it does not exist.
    jobs : int
        Processes that read and draw networks.
    progress : callable, optional
        Called with (done, all) after each network that was read and drawn.

    Raises
    ------
    UsageError
        The libraries are not installed, or the folder holds something else than a report.
    DataError
        It cannot be written.
    ZooError
        A prototxt or a results file that cannot be.
    """
    pages = Pages(data)
    _check_folder(folder)
    own = {name: (ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "compare.js")}
    files = {f"assets/{name}": text for name, text in {**own, **library_files()}.items()}
    root = data_root()
    wanted = [(root / r["prototxt"], r["preprocessing"]["small"]["crop_size"]) for r in data.records.values()]
    anatomies = []
    for anatomy in read_all(wanted, jobs):
        anatomies.append(anatomy)
        if progress:
            progress(len(anatomies), len(wanted))
    keep_costs({item: anatomy.cost for item, anatomy in zip(wanted, anatomies, strict=True)})
    rows = pages.summaries
    written = _write(folder / "index.html", pages.index())  # first: it makes the folder known as a report's
    written += _write(folder / "compare.html", pages.compare())
    for row, anatomy in zip(rows, anatomies, strict=True):
        written += _write(folder / row.page, pages.network(row, anatomy))
    written += sum(_write(folder / name, text) for name, text in files.items())
    _remove_others(folder / "networks", {Path(row.page).name for row in rows})
    return Report(folder / "index.html", len(rows), written)


def _flat(summary: Summary) -> dict[str, Any]:
    """A summary for the scripts: times beside the other figures."""
    values = asdict(summary)
    return {**values, **values.pop("times")}


def _data_block(value: Mapping[str, Any]) -> Any:
    """JSON for a ``script`` element that is data: nothing in it can end the element."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _check_folder(folder: Path) -> None:
    """Refuse a file, and a folder in which something else than a report would be overwritten."""
    try:
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        with (folder / "index.html").open(encoding="utf-8", errors="replace") as stream:
            ours = MARK in stream.read(4096)
    except FileNotFoundError:
        ours = False
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(folder)) from None
    if not ours:
        raise UsageError("is neither empty nor a report", where=str(folder), hint="name another folder")


def _write(file: Path, text: str) -> int:
    content = text.encode("utf-8", "replace")
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=str(file)) from None
    return len(content)


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Remove pages of networks that the index no longer has."""
    for file in folder.glob("*.html"):
        if file.name not in kept:
            file.unlink(missing_ok=True)
