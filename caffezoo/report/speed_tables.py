"""Tables of ``speed.csv``: engines in turns on a machine that does nothing else, and what precisions gain there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from caffezoo.report.rows import SpeedRow
from caffezoo.report.table import Cell, Column, Span, Table, cell, sentence
from caffezoo.report.time_tables import three_digits
from caffezoo.report.zoo_data import ZooData

STEADY, COLD, CHECK = "steady", "cold", "caffezoo time"
"""What a row is of: steady calls, the first call of a block, and what ``caffezoo time`` says of the same."""
DEFAULT, CAFFE = "openvino", "caffe"
ENGINES = (DEFAULT, "onnxruntime", "torch", CAFFE)
NOTHING_YET = "Nothing measured yet; python benchmarks/{} --record measures it."

_Key = tuple[str, str, str]
"""What, engine and precision."""


def speed_table(data: ZooData) -> Table:
    """A line for each network of ``benchmarks/engines.py``: steady and cold calls, real Caffe, and the check."""
    found = _newest(data.speed, "engines")
    rows = []
    for (name, _), own in _in_order(data, found):
        steady = [own.get((STEADY, engine, "float32")) for engine in ENGINES]
        cold, check = own.get((COLD, DEFAULT, "float32")), own.get((CHECK, DEFAULT, "float32"))
        rows.append((cell(name), *map(_ms, steady), _times(steady[-1], steady[0]), _ms(cold), _ms(check)))
    columns = (*ENGINES[:-1], "real Caffe", f"{DEFAULT} is faster", f"{DEFAULT}, cold", CHECK)
    caption = "Forward time of one image in ms, float32, steady; cold: the first call after others ran."
    return _table("speed", caption, "engines.py", [_name(), *_numbers(columns)], rows, found)


def speed_all_table(data: ZooData) -> Table:
    """A line for each network: the default engine against the fastest of those that a plain install can have."""
    found = _newest(data.speed, "all")
    rows, worst = [], []
    for (name, _), own in _in_order(data, found):
        steady = [own.get((STEADY, engine, "float32")) for engine in ENGINES[:-1]]
        known = [row.milliseconds for row in steady if row is not None]
        slower: Cell = ()
        if steady[0] is not None and len(known) > 1:
            share = steady[0].milliseconds / min(known) - 1
            worst.append((share, name))
            slower = (Span(f"{share:+.1%}", measured=True),)
        rows.append((cell(name), *map(_ms, steady), slower))
    caption = (
        f"Forward time of one image in ms, float32, steady; the last column: {DEFAULT} against the fastest of a line."
    )
    notes = []
    if worst:
        share, name = max(worst)
        over = sum(s > 0.06 for s, _ in worst)
        notes = [
            sentence(
                [
                    f"{DEFAULT} is the fastest on {sum(s <= 0 for s, _ in worst)} of {len(worst)} networks, more than "
                    f"6 % slower than the fastest on {over}, and at most {share:.1%} slower ({name})."
                ]
            )
        ]
    columns = _numbers((*ENGINES[:-1], f"{DEFAULT} is slower"))
    return _table("speed-all", caption, "engines.py --all", [_name(), *columns], rows, found, notes)


def speed_precision_table(data: ZooData) -> Table:
    """A line for each network, batch, engine and precision of ``benchmarks/precision.py``, with ratios of one run."""
    found = _newest(data.speed, "precision")
    rows = []
    for (name, batch), own in _in_order(data, found):
        caffe, plain = (own.get((STEADY, engine, "float32")) for engine in (CAFFE, DEFAULT))
        for (what, engine, precision), row in own.items():
            ratios: tuple[Cell, ...] = ((), ())
            if what == STEADY:
                ratios = (_times(caffe, row), _times(plain, row))
            memory = None if row.memory_peak_bytes is None else row.memory_peak_bytes / 2**20
            title = precision if what == STEADY else f"{precision}, {what}"
            rows.append((cell(name), cell(batch), cell(engine), cell(title), _ms(row), *ratios, cell(memory, 0)))
    columns = [Column("engine"), Column("what"), *_numbers(("ms", "against real Caffe", "against own float32", "MiB"))]
    caption = "Time of a batch in ms, steady, and ratios of the same run."
    return _table("speed-precision", caption, "precision.py", [_name(), *_numbers(("batch",)), *columns], rows, found)


def _newest(rows: Iterable[SpeedRow], benchmark: str) -> dict[tuple[str, int], dict[_Key, SpeedRow]]:
    """By network and batch, the rows of the newest session that has it."""
    sessions: dict[tuple[str, int], str] = {}
    own = [row for row in rows if row.benchmark == benchmark]
    for row in own:
        place = row.network, row.batch_size
        sessions[place] = max(sessions.get(place, ""), row.session)
    found: dict[tuple[str, int], dict[_Key, SpeedRow]] = {}
    for row in own:
        place = row.network, row.batch_size
        if row.session == sessions[place]:
            found.setdefault(place, {})[row.what, row.engine, row.precision] = row
    return found


def _in_order(
    data: ZooData, found: Mapping[tuple[str, int], dict[_Key, SpeedRow]]
) -> list[tuple[tuple[str, int], dict[_Key, SpeedRow]]]:
    order = {name: i for i, name in enumerate(data.records)}
    return sorted(found.items(), key=lambda item: (order[item[0][0]], item[0][1]))


def _table(
    name: str,
    caption: str,
    script: str,
    columns: Sequence[Column],
    rows: Sequence[tuple[Cell, ...]],
    found: Mapping[tuple[str, int], Mapping[_Key, SpeedRow]],
    notes: Sequence[Cell] = (),
) -> Table:
    if not rows:
        return Table(name, NOTHING_YET.format(script), tuple(columns), ())
    said: dict[str, None] = {}
    for own in found.values():
        versions = {pair for row in own.values() for pair in row.versions.split()}
        said.setdefault(f"Measured on {machine(next(iter(own.values())))}, {_days(own.values())}; {_joined(versions)}.")
    machines = list(dict.fromkeys(said))
    return Table(name, caption, tuple(columns), tuple(rows), (*notes, *(sentence([text]) for text in machines)))


def machine(row: SpeedRow) -> str:
    """Return a machine in words: CPU, cores in use, and the instruction sets that decide."""
    sets = f" ({row.instructions})" if row.instructions else ""
    return f"{row.cores} core{'s' * (row.cores != 1)} of {row.cpu}{sets}"


def _days(rows: Iterable[SpeedRow]) -> str:
    return max(row.session for row in rows)[:10]


def _joined(versions: Iterable[str]) -> str:
    return " ".join(sorted(versions))


def _name() -> Column:
    return Column("network")


def _numbers(titles: Iterable[str]) -> list[Column]:
    return [Column(title, number=True) for title in titles]


def _ms(row: SpeedRow | None) -> Cell:
    return () if row is None else (Span(three_digits(row.milliseconds), measured=True),)


def _times(slow: SpeedRow | None, fast: SpeedRow | None) -> Cell:
    if slow is None or fast is None or slow is fast:
        return ()
    return (Span(f"{slow.milliseconds / fast.milliseconds:.1f}x", measured=True),)
