"""``caffezoo list``: the networks of the index, with their computed costs and published errors."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli.columns import COLUMNS, DEFAULT
from caffezoo.cli.console import say, shown
from caffezoo.cli.networks import complete_network
from caffezoo.cli.progress import COUNTING, counter
from caffezoo.errors import UnknownNameError, UsageError, ZooError
from caffezoo.formats.image_size import Size

if TYPE_CHECKING:
    from caffezoo.zoo.index import Index

Row = dict[str, Any]


def _complete_column(incomplete: str) -> list[str]:
    return [name for name in COLUMNS if name.startswith(incomplete)]


def _complete_family(incomplete: str) -> list[str]:
    from caffezoo.zoo.index import load_index

    return [name for name in load_index().families if name.startswith(incomplete)]


def list_networks(
    pattern: Annotated[
        str, typer.Argument(help="Names or aliases, with * and ?.", autocompletion=complete_network)
    ] = "*",
    family: Annotated[str | None, typer.Option(help="Only this family.", autocompletion=_complete_family)] = None,
    where: Annotated[
        str | None, typer.Option(help="Only rows that meet a condition, such as 'top1 < 20 and gmacs < 8'.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="Sort by this column; -COLUMN sorts downwards.", autocompletion=_complete_column)
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns, separated by commas; `all` for every one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    index: Annotated[Path | None, typer.Option(help="Your own index, merged over the built-in one.")] = None,
) -> None:
    """List networks: published errors (percent, one crop), parameters, multiply-accumulates, sizes, weights.

    Costs are computed from the prototxts at the small crop size, once, and then kept in the cache. Columns:
    name, family, task, aliases, top1, top5, top1_12, top5_12, top1_large, top5_large, params, gmacs, activations, size,
    base, crop, large_base, large_crop, mean, std, resize, labels, classes, weights, sources, forward_ms, backward_ms,
    origin, prototxt.

    Examples:

    `caffezoo list 'se-*'`

    `caffezoo list --where 'top1 < 20 and gmacs < 8' --sort gmacs`

    `caffezoo list --family dpn --columns name,top1,top1_12,forward_ms --csv`
    """
    from caffezoo.zoo.index import load_index
    from caffezoo.zoo.where import Where

    if as_json + as_csv + as_markdown > 1:
        raise UsageError("--json, --csv and --markdown exclude each other")
    chosen = _chosen(columns)
    key = sort.removeprefix("-") if sort else None
    if key is not None and key not in COLUMNS:
        raise UnknownNameError("column", key, COLUMNS, where="--sort")
    condition = Where(where, COLUMNS) if where is not None else None
    needed = [*chosen, *([key] if key else []), *(condition.columns if condition else ())]

    zoo = load_index(index)
    names = zoo.names(pattern, family)
    if not names and not any(c in pattern for c in "*?["):
        names = [zoo.resolve(pattern)] if family is None else []
    rows = _rows(zoo, names, list(dict.fromkeys(needed)))
    if condition:
        rows = [row for row in rows if condition(_comparable(row))]
    if key:
        present = sorted(
            (r for r in rows if r[key] is not None), key=lambda r: _comparable(r)[key], reverse=sort != key
        )
        rows = present + [r for r in rows if r[key] is None]
    rows = [{name: row[name] for name in chosen} for row in rows]
    if as_json:
        print(json.dumps(rows, indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, chosen, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif as_markdown:
        _print_markdown(chosen, rows)
    else:
        _print_table(chosen, rows)


SIZE_COLUMNS = ("base", "crop", "large_base", "large_crop")


def _comparable(row: Row) -> Row:
    """Return a row in which sizes that are not square (``112x96``) are their longer side."""
    return {
        name: max(Size.of(value)) if name in SIZE_COLUMNS and isinstance(value, str) else value
        for name, value in row.items()
    }


def _chosen(columns: str | None) -> list[str]:
    if columns is None:
        return list(DEFAULT)
    if columns == "all":
        return list(COLUMNS)
    chosen = [name.strip() for name in columns.split(",") if name.strip()]
    for name in chosen:
        if name not in COLUMNS:
            raise UnknownNameError("column", name, COLUMNS, where="--columns")
    if not chosen:
        raise UsageError("names no column", where="--columns")
    return chosen


def _rows(zoo: Index, names: Iterable[str], needed: list[str]) -> list[Row]:
    records = {name: zoo.record(name) for name in names}
    costs: dict[str, dict[str, int] | None] = dict.fromkeys(records)
    if any(COLUMNS[name].computed for name in needed):
        costs = _costs(records)
    return [{name: COLUMNS[name].value(net, record, costs[net]) for name in needed} for net, record in records.items()]


def _costs(records: dict[str, Any]) -> dict[str, dict[str, int] | None]:
    from caffezoo.report.costs import network_costs
    from caffezoo.zoo.resources import data_root

    root = data_root()
    wanted = {
        name: (root / record["prototxt"], record["preprocessing"]["small"]["crop_size"])
        for name, record in records.items()
    }
    found = network_costs(dict.fromkeys(wanted.values()), counter(COUNTING))
    faults = {name: cost for name, item in wanted.items() if isinstance(cost := found[item], ZooError)}
    if faults:
        name, error = next(iter(faults.items()))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        say("warning", f"no cost for network '{name}'{more}: {error}")
    return {name: None if isinstance(cost := found[item], ZooError) else cost for name, item in wanted.items()}


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    decimals = COLUMNS[name].decimals
    return f"{value:.{decimals}f}" if decimals is not None else shown(str(value))


def _is_number(name: str, rows: list[Row]) -> bool:
    return all(isinstance(row[name], int | float | None) for row in rows)


def _print_table(chosen: list[str], rows: list[Row]) -> None:
    from caffezoo.cli.text_table import print_table

    titles = [COLUMNS[name].title for name in chosen]
    numbers = [COLUMNS[name].title for name in chosen if _is_number(name, rows)]
    print_table(titles, [[_text(name, row[name]) for name in chosen] for row in rows], right=numbers)
    print(f"{len(rows)} network{'' if len(rows) == 1 else 's'}")


def _print_markdown(chosen: list[str], rows: list[Row]) -> None:
    print("| " + " | ".join(COLUMNS[name].title for name in chosen) + " |")
    print("|" + "|".join("---:" if _is_number(name, rows) else "---" for name in chosen) + "|")
    for row in rows:
        print("| " + " | ".join(_text(name, row[name]).replace("|", r"\|") for name in chosen) + " |")
