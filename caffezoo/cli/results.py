"""``caffezoo results``: list, add, compare and check what was measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.errors import ResultsError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    import pandas

    from caffezoo.report.comparison import Difference
    from caffezoo.report.details import Detail
    from caffezoo.report.rows import Measured
    from caffezoo.report.store import Store

FolderOption = Annotated[
    Path | None, typer.Option("--results", metavar="DIR", help="Folder of the CSV files. Default: results/ of the zoo.")
]
IndexOption = Annotated[Path | None, typer.Option(help="Your own index, merged over the built-in one.")]

results = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""List, add, compare and check what was measured.

    Examples:

    `caffezoo evaluate --net efficientnet-lite0 --data sample --json | caffezoo results add -`

    `caffezoo results diff dpn-92 --tolerance 0.2`
    """,
)

RESULTS_HELP = "Folder of the results, for --record. Default: results/ of the checkout."
_SHOWN = {
    "accuracy": "run date network crops crop_size images top1_error top5_error engine precision data".split(),
    "time": "run date network crop_size batch_size forward_ms backward_ms engine precision threads device".split(),
    "speed": "run date benchmark network batch_size what engine precision milliseconds cpu".split(),
    "precision": "run date network precision top1_error top1_difference top1_p agreement weight_bytes data".split(),
    "training": "run date network iterations final_loss learning_rate engine precision device".split(),
    "confusion": "run label guess images".split(),
    "layers": "run position layer layer_type forward_ms backward_ms".split(),
    "curve": "run iteration phase kind output value".split(),
}


def open_store(folder: Path | None) -> Store:
    """Return the store in a folder, or the zoo's own."""
    from caffezoo.report.store import Store
    from caffezoo.zoo.resources import data_root

    if folder is not None and not folder.is_dir():
        raise UsageError("no such folder", where=str(folder))
    return Store(folder if folder is not None else data_root() / "results")


def writable_store(folder: Path | None) -> Store:
    """Return the store in a folder, or the checkout's.

    Raises
    ------
    UsageError
        No folder is named and the package is installed: its own results are not the user's to change.
    """
    store = open_store(folder)
    if folder is None and not (store.folder.parent / "setup.cfg").is_file():
        raise UsageError("caffezoo is installed, not a checkout", hint="name a folder: --results DIR")
    return store


def warn_of_faults(store: Store, *details: type[Detail]) -> None:
    """Say on stderr which measurements are left out, and which of their details of the given kinds."""
    from caffezoo.report.rows import MEASURED

    for kind in (*MEASURED, *details):
        for fault in store.read(kind).faults:
            print(f"caffezoo: warning: row left out: {fault}", file=sys.stderr)


@results.command("list")
def list_results(
    table: Annotated[
        str, typer.Argument(metavar="accuracy|time|speed|precision|training|confusion|layers|curve", help="Which rows.")
    ] = "accuracy",
    network: Annotated[str | None, typer.Option("--net", help="Only this network.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array with every column.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every column.")] = False,
    folder: FolderOption = None,
) -> None:
    """List measurements, or the details of their runs; errors in percent, times in ms."""
    from caffezoo.report.details import Detail
    from caffezoo.report.store import TABLES

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    store = open_store(folder)
    frame = store.frame(table)
    kind = TABLES[table]
    warn_of_faults(store, *([kind] if issubclass(kind, Detail) else []))
    if network is not None:
        from caffezoo.zoo.index import fold

        if issubclass(kind, Detail):
            runs = {row.run for row in store.read(kind.of).rows if fold(row.network) == fold(network)}
            frame = frame[frame["run"].isin(runs)]
        else:
            frame = frame[frame["network"].map(fold) == fold(network)]
    if as_json:
        print(frame.to_json(orient="records", indent=1))
    elif as_csv:
        print(frame.to_csv(index=False), end="")
    elif frame.empty:
        print("no results yet" if network is None else f"no results of {network} yet")
    else:
        _print_frame(frame[_SHOWN[table]])


def _print_frame(frame: pandas.DataFrame) -> None:
    from pandas.api.types import is_numeric_dtype

    from caffezoo.cli.text_table import print_table

    numbers = [name for name in frame if is_numeric_dtype(frame[name])]
    text = {name: frame[name].map(lambda v: "-" if v is None or v != v else f"{v:.10g}") for name in numbers}
    cells = frame.astype(object).where(frame.notna(), "-").assign(**text).astype(str)
    print_table(list(frame), cells.values.tolist(), right=numbers)


@results.command("add")
def add(
    records: Annotated[Path, typer.Argument(metavar="FILE|-", help="JSON lines or a log, or - for standard input.")],
    network: Annotated[
        str | None, typer.Option("--net", metavar="NET", help="Of which network a log of `caffe train` is.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What to remember of a log's training.")] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Add what `caffezoo evaluate --json` or `caffezoo time --json` printed, or what `caffe train` logged.

    Nothing is added if any record is bad.

    Examples:

    `caffezoo evaluate --net dpn-92 --json | caffezoo results add -`

    `caffezoo results add train.log --net resnet18-priv`
    """
    from caffezoo.report.records import parse_records, record_rows
    from caffezoo.report.rows import Measured
    from caffezoo.training.caffe_log import is_training_log, training_record
    from caffezoo.zoo.index import load_index

    name = "standard input" if str(records) == "-" else str(records)
    text, written = _read(records, name)
    zoo = load_index(index)
    if is_training_log(text):
        if network is None:
            raise UsageError("is a log of caffe train", where=name, hint="say of which network: --net NET")
        rows = record_rows(training_record(text, zoo.resolve(network), written, note), name)
    elif network is not None or note is not None:
        raise UsageError("--net and --note are for a log of caffe train", hint=f"{name} is none")
    else:
        rows = parse_records(text, name)
    for row in rows:
        if isinstance(row, Measured):
            zoo.resolve(row.network)
    store = writable_store(folder)
    store.append(rows)
    for row in rows:
        if isinstance(row, Measured):
            print(f"{store.path(type(row))}: added run {row.run} of {row.network}")


def _read(file: Path, name: str) -> tuple[str, datetime]:
    """Text of a file or of standard input, and when it was written."""
    from datetime import UTC, datetime

    from caffezoo.report.records import MAX_RECORD_BYTES

    written = datetime.now(UTC)
    try:
        if str(file) == "-":
            content = sys.stdin.buffer.read(MAX_RECORD_BYTES + 1)
        else:
            with file.open("rb") as stream:
                content = stream.read(MAX_RECORD_BYTES + 1)
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        if len(content) > MAX_RECORD_BYTES:
            raise ResultsError(f"is larger than {MAX_RECORD_BYTES >> 20} MiB", where=name)
        return content.decode("utf-8"), written
    except OSError as error:
        raise ResultsError(f"cannot be read: {error.strerror}", where=name) from None
    except UnicodeDecodeError:
        raise ResultsError("is not UTF-8 text", where=name) from None


@results.command("diff")
def diff(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN] [RUN]", help="Runs, as `results list` names them, or a network: its newest run."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, help="Allowed difference: percentage points of error (default 0.1), or percent of time (default 10)."
        ),
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Compare two runs, or one with what was published, or all with what was published.

    Exit status 1 if a difference is larger than the tolerance. Errors compare with published ones only if they were
    measured on the 50,000 validation images.
    """
    from caffezoo.report.comparison import compare_published, compare_rows, settings_that_differ
    from caffezoo.zoo.index import load_index

    store = open_store(folder)
    warn_of_faults(store)
    measured: list[Measured] = [*store.accuracy().rows, *store.time().rows]
    wanted = runs or []
    if len(wanted) > 2:
        raise UsageError(f"{len(wanted)} runs", hint="give none, one or two")
    named = [*measured, *store.speed().rows, *store.precision().rows]
    chosen = [_find(run, named, measured) for run in wanted]
    if len(chosen) == 2:
        differences = compare_rows(chosen[0], chosen[1], tolerance)
        for column, first, second in settings_that_differ(chosen[0], chosen[1]):
            print(f"{column}: {first} -> {second}")
    else:
        zoo = load_index(index)
        known = [row for row in chosen or measured if row.network in zoo]
        differences = [d for row in known for d in compare_published(row, zoo.record(row.network), tolerance)]
    if not (measured or chosen):
        print("no results yet")
    elif not differences:
        print("nothing comparable was published" if len(chosen) < 2 else "the runs have no quantity in common")
    for found in differences:
        _print_difference(found)
    raise typer.Exit(0 if all(found.within for found in differences) else 1)


@results.command("check")
def check(folder: FolderOption = None, index: IndexOption = None) -> None:
    """Read every row; name the bad ones by file and line, and exit 1 if there are any.

    Rows whose prototxt has changed since, or whose network is in no index, are named too, but are no fault.
    """
    from caffezoo.report.check import check_store
    from caffezoo.zoo.index import load_index

    found = check_store(open_store(folder), load_index(index))
    for fault in found.faults:
        print(fault)
    for note in found.notes:
        print(f"{note} (no fault)")
    print(f"{found.good} good rows, {len(found.faults)} bad" if found.good or found.faults else "no results yet")
    raise typer.Exit(1 if found.faults else 0)


def _find(run: str, named: Sequence[Measured], measured: Sequence[Measured]) -> Measured:
    """Return the row that a run's name is of, or the newest of a network's that published figures compare with."""
    from caffezoo.zoo.index import fold

    by_run = [row for row in named if row.run.startswith(run.casefold())] if len(run) >= 4 else []
    if len({row.run for row in by_run}) == 1:
        return by_run[0]
    by_network = [row for row in measured if fold(row.network) == fold(run)]
    if by_network:
        return max(by_network, key=lambda row: row.date)
    if by_run:
        raise UsageError(f"run '{run}' is not clear", hint=f"{len(by_run)} runs begin so; give more digits")
    raise UsageError(f"no run or network '{run}' in the store", hint="`caffezoo results list` names the runs")


def _print_difference(found: Difference) -> None:
    time = found.is_time
    unit, change = ("ms", "%") if time else ("%", "points")
    verdict = "within" if found.within else "BEYOND"
    print(
        f"{found.network}  {found.quantity}: {found.first_name} {found.first:.2f} {unit}, "
        f"{found.second_name} {found.second:.2f} {unit}: {found.difference:+.2f} {change}, "
        f"{verdict} {found.tolerance:g} {change}"
    )
