"""Whatever is wrong with data, labels, runs and clusters is one line, and what is there stays there."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.formats.datum import write_datum
from tests.cli.test_evaluate import files, network_flags  # noqa: F401


def tar_of(folder: Path, members: dict[str, bytes]) -> Path:
    place = folder / "data.tar"
    with tarfile.open(place, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return place


def images_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "images").iterdir())}


def database(folder: Path, records: dict[str, bytes]) -> Path:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(folder / "db"), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, record in records.items():
            transaction.put(key.encode(), record)
    return folder / "db"


def parquet_of(folder: Path, rows: list[dict[str, object]]) -> Path:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "data.parquet")
    return folder / "data.parquet"


def written(place: Path, content: bytes) -> Path:
    place.write_bytes(content)
    return place


def cut(place: Path, share: float = 0.5) -> Path:
    content = place.read_bytes()
    return written(place, content[: int(len(content) * share)])


def listed(folder: Path, text: str) -> Path:
    (folder / "val.txt").write_text(text)
    return folder / "images"


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for name, data in images_of(folder).items():
            archive.writestr(name, data)
    return folder / "data.zip"


def pickled(folder: Path) -> Path:
    content = {"data": list(images_of(folder).values()), "target": list(range(6))}
    return written(folder / "data.pkl", pickle.dumps(content))


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def shard_without_labels(folder: Path) -> Path:
    return tar_of(folder, {f"{k:04}.jpg": data for k, data in enumerate(images_of(folder).values())})


LIST = "".join(f"{k}.jpg {k}\n" for k in range(6))
TEXT = {f"{k}.jpg": b"no image at all" for k in range(6)}

# name: what makes the data, whether val.txt labels it, what the line says
CASES: dict[str, tuple[Callable[[Path], Path], bool, str]] = {
    "empty tar file": (lambda f: written(f / "data.tar", b""), True, "data.tar: an empty file"),
    "tar of no members": (lambda f: written(f / "data.tar", bytes(10240)), True, "data.tar: the archive holds nothing"),
    "half a tar": (lambda f: cut(tar_of(f, images_of(f))), True, "data.tar: "),
    "tar of texts": (lambda f: tar_of(f, {"a.txt": b"x", "b.md": b"y"}), True, "it holds no images"),
    "tar of what are no images": (lambda f: tar_of(f, TEXT), True, "none of the 6 images can be read; this one: "),
    "tar without labels": (shard_without_labels, False, "data.tar: "),
    "half a zip": (lambda f: cut(zipped(f)), True, "data.zip: "),
    "empty zip file": (lambda f: written(f / "data.zip", b""), True, "data.zip: "),
    "database of no records": (lambda f: database(f, {}), False, "holds no record"),
    "database that lacks the keys": (
        lambda f: database(f, {f"00{k}": write_datum(b"x", k) for k in range(6)}) and listed_database(f),
        True,
        "none of the 6 listed images is there",
    ),
    "database of what is no Datum": (
        lambda f: database(f, {str(k): b"\xff" * 30 for k in range(6)}),
        False,
        "the record is no Datum",
    ),
    "database that is none": (lambda f: no_database(f), False, "not an LMDB database"),
    "empty Parquet file": (lambda f: written(f / "data.parquet", b""), False, "data.parquet: "),
    "half a Parquet file": (
        lambda f: cut(parquet_of(f, [{"image": b"x", "label": 0}])),
        False,
        "not a Parquet file, or one that was cut off",
    ),
    "Parquet of another column": (
        lambda f: parquet_of(f, [{"picture": b"x", "truth": 0}]),
        False,
        "none of its columns (picture, truth) is known to hold the image",
    ),
    "half a pickle": (lambda f: cut(pickled(f)), False, "data.pkl: "),
    "pickle that would run": (
        lambda f: written(f / "data.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."),
        False,
        "refused, nothing was run",
    ),
    "empty folder": (empty_folder, False, "it holds no images"),
    "list that names each image twice": (lambda f: listed(f, LIST + LIST), True, "val.txt:7: '0.jpg' is listed twice"),
    "list of other images": (
        lambda f: listed(f, "x.jpg 0\ny.jpg 1\n"),
        True,
        "none of the 2 listed images is there, not even 'x.jpg'",
    ),
    "list of no lines": (lambda f: listed(f, ""), True, "val.txt: "),
    "list of names alone": (lambda f: listed(f, "0.jpg\n1.jpg\n"), True, "val.txt:1: "),
    "list of labels above": (lambda f: listed(f, LIST.replace(" 5", " 6")), True, "val.txt:6: label 6 is out of range"),
}


def listed_database(folder: Path) -> Path:
    listed(folder, LIST)
    return folder / "db"


def no_database(folder: Path) -> Path:
    (folder / "db").mkdir()
    (folder / "db" / "data.mdb").write_bytes(b"no database" * 999)
    return folder / "db"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, which has to end with one line on stderr and nothing on stdout; return the line."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert caught.value.code in (1, 2)
    assert out == ""
    lines = err.splitlines()
    errors = [line for line in lines if line.startswith("caffezoo: error: ")]
    assert len(errors) == 1, err
    assert errors[0] == lines[-1]
    assert all(line.startswith("caffezoo: ") for line in lines), err
    return errors[0]


@pytest.mark.parametrize("case", list(CASES))
def test_bad_data_is_one_line(
    files: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    make, uses_list, message = CASES[case]
    place = make(files)
    flags = ["--data", place, *(["--val-file", files / "val.txt"] if uses_list else [])]
    assert message in refused(capsys, "evaluate", *network_flags(files), *flags)


def test_a_run_that_cannot_be_gone_on_with_is_left_as_it_is(
    files: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["evaluate", *network_flags(files), "--data", files / "images", "--val-file", files / "val.txt"]
    with pytest.raises(SystemExit):
        main([str(a) for a in (*given, "--run", files / "run")])
    capsys.readouterr()
    head, shard = files / "run/run.json", files / "run/shards/000000.json"
    good, before = json.loads(head.read_text()), shard.read_bytes()

    def left(text: str, message: str, *more: str) -> None:
        head.write_text(text)
        assert message in refused(capsys, *given, "--run", files / "run", *more)
        assert head.read_text() == text
        assert shard.read_bytes() == before

    left(json.dumps({**good, "form": 99}), "run.json: a run in form 99, and this version reads form 1")
    left(json.dumps({**good, "images": 7}), "it is a run of other inputs: images was 7 and is 6")
    left(json.dumps(good), "it is a run of other inputs: protocol.crops was 1 and is 12", "--crops", "12")
    left(json.dumps(good)[:40], "run.json: not a run's head")
    left("", "run.json: not a run's head")
    (files / "notes").mkdir()
    (files / "notes/thesis.tex").write_text("x")
    assert "the directory holds other files and no run" in refused(capsys, *given, "--run", files / "notes")
    assert "the run cannot be kept" in refused(capsys, *given, "--run", files / "val.txt")
    assert (files / "notes/thesis.tex").read_text() == "x"


def test_what_is_wrong_only_for_a_part_is_told_and_counted(
    files: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    members = images_of(files)
    members["1.jpg"] = b"<html>"
    members["4.jpg"] = b""
    del members["5.jpg"]
    place = tar_of(files, members)
    with pytest.raises(SystemExit) as caught:
        main(
            [
                str(a)
                for a in (
                    *("evaluate", *network_flags(files), "--json"),
                    *("--data", place, "--val-file", files / "val.txt"),
                )
            ]
        )
    out, err = capsys.readouterr()
    assert not caught.value.code
    record = json.loads(out)
    assert (record["images"], record["total"]) == (3, 6)
    reasons = {Path(one["image"]).name: one["reason"] for one in record["unreadable"]}
    assert sorted(reasons) == ["1.jpg", "4.jpg", "5.jpg"]
    assert "3 of 6 images are unreadable and not in the error rates" in err
    assert np.isclose(record["top1_error"], 0)
