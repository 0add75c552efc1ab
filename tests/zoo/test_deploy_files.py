"""Prototxts on disk against their generators."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from caffezoo.errors import UnknownNameError, UsageError
from caffezoo.formats.prototxt import read_prototxt
from caffezoo.zoo.deploy_files import Comparison, compare, select, stray_files, write

LITE = ("resnet10-1x32d", "air14-1x8d")
PATHS = ["prototxt/air/deploy_air14-1x8d.prototxt", "prototxt/resnet/deploy_resnet10-1x32d.prototxt"]


def test_select_without_patterns_is_everything() -> None:
    names = [a.name for a in select()]
    assert len(names) == len(set(names))
    assert {*LITE, "dpn-92", "senet"} <= set(names)


def test_select_takes_patterns_together() -> None:
    assert [a.name for a in select(["dpn-9?", "air14-1x8d"])] == ["air14-1x8d", "dpn-92", "dpn-98"]


@pytest.mark.parametrize(
    ("alias", "name"), [("dpn92", "dpn-92"), ("senet-154", "senet"), ("SE_ResNet50", "se-resnet50")]
)
def test_select_takes_the_spellings_of_the_index(alias: str, name: str) -> None:
    assert [a.name for a in select([alias])] == [name]


def test_select_refuses_a_pattern_that_matches_nothing() -> None:
    with pytest.raises(UnknownNameError, match=r"'dpn93'.*dpn-92") as caught:
        select(["resnet50", "dpn93"])
    assert caught.value.exit_status == 2


def test_write_then_compare(tmp_path: Path) -> None:
    wanted = select(LITE)
    assert write(tmp_path, wanted) == PATHS
    assert write(tmp_path, wanted) == []
    assert compare(tmp_path, wanted, stray=True) == Comparison((), (), (), same=2)
    net = read_prototxt(tmp_path / PATHS[1]).net
    assert net == wanted[1].build().net


def test_compare_names_every_fault(tmp_path: Path) -> None:
    wanted = select([*LITE, "dpn-92"])
    write(tmp_path, select(LITE))
    with (tmp_path / PATHS[0]).open("a") as file:
        file.write("# edited by hand\n")
    (tmp_path / "prototxt/air/deploy_air1.prototxt").write_text("")
    found = compare(tmp_path, wanted, stray=True)
    assert found.differing == (PATHS[0],)
    assert found.missing == ("prototxt/dpn/deploy_dpn-92.prototxt",)
    assert found.stray == ("prototxt/air/deploy_air1.prototxt",)
    assert (found.same, found.faults) == (1, 3)
    assert compare(tmp_path, wanted).stray == ()


def test_write_mends_a_file_and_leaves_others_alone(tmp_path: Path) -> None:
    wanted = select(LITE)
    write(tmp_path, wanted)
    kept = (tmp_path / PATHS[1]).stat().st_mtime_ns
    (tmp_path / PATHS[0]).write_bytes(b"\xff\r\n")
    assert write(tmp_path, wanted) == [PATHS[0]]
    assert (tmp_path / PATHS[1]).stat().st_mtime_ns == kept
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [Path(p).name for p in PATHS]


def test_write_says_where_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "prototxt").write_text("a file where the folder should be")
    with pytest.raises(UsageError, match=r"deploy_air14-1x8d\.prototxt: cannot write"):
        write(tmp_path, select(LITE))


def test_stray_files_of_an_empty_folder(tmp_path: Path) -> None:
    assert stray_files(tmp_path) == []


def test_written_files_are_readable_by_all(tmp_path: Path) -> None:
    write(tmp_path, select(LITE[:1]))
    assert (tmp_path / PATHS[1]).stat().st_mode & stat.S_IRGRP
