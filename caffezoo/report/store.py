"""The results store: CSV files that only grow.

``accuracy.csv``, ``time.csv``, ``speed.csv``, ``precision.csv`` and ``training.csv`` hold a row a measurement;
``confusion.csv``, ``layer_time.csv`` and ``training_curve.csv`` the details of their runs. A row is one line, so that
a broken line spoils no other: reading gives the good rows and names the bad ones.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Generic, TypeVar

from caffezoo.errors import ResultsError, UnknownNameError
from caffezoo.report.details import ConfusionRow, CurveRow, Detail, LayerRow
from caffezoo.report.row import Row
from caffezoo.report.rows import AccuracyRow, PrecisionRow, SpeedRow, TimeRow, TrainingRow

if TYPE_CHECKING:
    import pandas as pd

MAX_FILE_BYTES = 256 * 2**20
TABLES: dict[str, type[Row]] = {
    "accuracy": AccuracyRow,
    "time": TimeRow,
    "speed": SpeedRow,
    "precision": PrecisionRow,
    "training": TrainingRow,
    "confusion": ConfusionRow,
    "layers": LayerRow,
    "curve": CurveRow,
}

AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True)
class Contents(Generic[AnyRow]):
    """What a file holds: its good rows, the line of each, and what is wrong with the others."""

    rows: tuple[AnyRow, ...]
    lines: tuple[int, ...]
    faults: tuple[ResultsError, ...]


class Store:
    """A folder with the results files; none of them needs to exist.

    Parameters
    ----------
    folder : path-like
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def accuracy(self) -> Contents[AccuracyRow]:
        """Evaluations, oldest line first."""
        return self.read(AccuracyRow)

    def time(self) -> Contents[TimeRow]:
        """Timed runs, oldest line first."""
        return self.read(TimeRow)

    def speed(self) -> Contents[SpeedRow]:
        """Figures of benchmarks, oldest line first."""
        return self.read(SpeedRow)

    def precision(self) -> Contents[PrecisionRow]:
        """Precisions compared, oldest line first."""
        return self.read(PrecisionRow)

    def training(self) -> Contents[TrainingRow]:
        """Trainings, oldest line first."""
        return self.read(TrainingRow)

    def layers(self) -> Contents[LayerRow]:
        """Layers of timed runs."""
        return self.read(LayerRow)

    def confusion(self) -> Contents[ConfusionRow]:
        """Which class was taken for which in evaluations."""
        return self.read(ConfusionRow)

    def curves(self) -> Contents[CurveRow]:
        """Losses and other values of trainings."""
        return self.read(CurveRow)

    def path(self, kind: type[Row]) -> Path:
        return self.folder / kind.file

    def read(self, kind: type[AnyRow]) -> Contents[AnyRow]:
        """Read a file, line by line.

        Raises
        ------
        ResultsError
            The file cannot be read at all, is too large, or has another header.
        """
        path = self.path(kind)
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return Contents((), (), ())
        except OSError as error:
            raise ResultsError(f"cannot be read: {error.strerror}", where=str(path)) from None
        if len(content) > MAX_FILE_BYTES:
            raise ResultsError(f"is larger than {MAX_FILE_BYTES >> 20} MiB", where=str(path))
        if not content:
            return Contents((), (), ())
        header, *lines = content.split(b"\n")
        columns = kind.columns(_header_schema(header, kind, path))
        rows: list[AnyRow] = []
        numbers: list[int] = []
        faults: list[ResultsError] = []
        for number, line in enumerate(lines, 2):
            if not line.strip():
                continue
            try:
                rows.append(kind.from_cells(_cells(line, columns, f"{path}:{number}"), f"{path}:{number}"))
                numbers.append(number)
            except ResultsError as error:
                faults.append(error)
        return Contents(tuple(rows), tuple(numbers), tuple(faults))

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows behind what is there, of which no cell is ever changed.

        A file whose columns are those of an earlier version is given the later ones, empty in the rows that it holds.

        Raises
        ------
        ResultsError
            A row is in the file already, or the file cannot be written.
        """
        for kind in dict.fromkeys(type(row) for row in rows):
            self._append(kind, [row for row in rows if type(row) is kind])

    def _append(self, kind: type[Row], rows: Iterable[Row]) -> None:
        path = self.path(kind)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path) as stream:
                present = self.read(kind)
                if not issubclass(kind, Detail):
                    line_of = {row.run: line for row, line in zip(present.rows, present.lines, strict=True)}
                    for row in rows:
                        if row.run in line_of:
                            raise ResultsError(f"holds run {row.run} already", where=f"{path}:{line_of[row.run]}")
                end = stream.seek(0, os.SEEK_END)
                cut = False
                if end:
                    stream.seek(end - 1)
                    cut = stream.read(1) != b"\n"
                text = "\n" if cut else ""  # a line that a crash has cut short stays a line of its own
                if not end:
                    text += ",".join(kind.columns()) + "\n"
                added = (text + "".join(_line(row) for row in rows)).encode()
                stream.seek(0)
                header = stream.readline().rstrip(b"\r\n")
                if header and header != ",".join(kind.columns()).encode():
                    _replace(path, _widened(header, stream.read(), kind) + added)
                else:
                    stream.write(added)
        except OSError as error:
            raise ResultsError(f"cannot be written: {error.strerror}", where=str(path)) from None

    def frame(self, table: str) -> pd.DataFrame:
        """Good rows of one of ``TABLES`` as a data frame; columns as in the file.

        Raises
        ------
        UnknownNameError
            No such table.
        ResultsError
            The file cannot be read at all.
        """
        import pandas as pd

        if table not in TABLES:
            raise UnknownNameError("results table", table, TABLES)
        kind = TABLES[table]
        return pd.DataFrame([row.model_dump() for row in self.read(kind).rows], columns=kind.columns()[1:])


def _header_schema(header: bytes, kind: type[Row], path: Path) -> int:
    """Return the version of the columns that a header names."""
    found = header.rstrip(b"\r").decode("utf-8", "replace")
    for schema in range(1, kind.newest_schema() + 1):
        if found == ",".join(kind.columns(schema)):
            return schema
    columns = kind.columns()
    raise ResultsError(
        "the header is not this version's",
        where=f"{path}:1",
        hint=f"it must be {','.join(columns[:4])},... ({len(columns)} columns)",
    )


def _widened(header: bytes, rest: bytes, kind: type[Row]) -> bytes:
    """Return a file's content with this version's header, and its rows with empty cells below the new columns."""
    columns = kind.columns()
    more = b"," * (len(columns) - header.count(b",") - 1)
    lines = [line.rstrip(b"\r") for line in rest.split(b"\n")]
    return b"\n".join([",".join(columns).encode(), *(line + more if line.strip() else line for line in lines)])


def _replace(path: Path, content: bytes) -> None:
    """Put a whole file in another one's place, so that a crash leaves the old one."""
    new = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with new.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading and appending, alone, also where another process has just put a new one in its place."""
    while True:
        with path.open("a+b") as stream:
            _lock(stream)
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                yield stream
                return


def _lock(stream: IO[bytes]) -> None:
    """Wait until no other process writes to the file; ends when it is closed. Windows has no such lock."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX)


def _cells(line: bytes, columns: list[str], where: str) -> dict[str, str]:
    try:
        cells = next(csv.reader([line.decode("utf-8").rstrip("\r")], strict=True))
    except UnicodeDecodeError:
        raise ResultsError("is not UTF-8 text", where=where) from None
    except csv.Error as error:
        raise ResultsError(f"is not a line of CSV: {error}", where=where) from None
    if len(cells) != len(columns):
        raise ResultsError(f"has {len(cells)} cells, not {len(columns)}", where=where)
    return dict(zip(columns, cells, strict=True))


def _line(row: Row) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row.cells())
    return text.getvalue()
