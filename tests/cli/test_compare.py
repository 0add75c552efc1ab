"""The commands compare and runs, and figures of runs, on runs that are really there."""

import json

import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.evaluation.outcomes import Outcome
from caffezoo.evaluation.runs.folder import Run
from caffezoo.evaluation.statistics import mcnemar_p, paired_difference

IMAGES = 60


def write_run(path, network, wrong, *, names="a", crop=224, real=None):
    """A run of which images ``wrong`` are not right at top-1; the first is unreadable."""
    sets = ["labels", *(["real"] if real is not None else [])]
    protocol = {"name": f"1 crop 256/{crop}", "crops": 1, "crop_size": crop}
    identity = {"network": network, "image_names_sha256": names, "label_sets": sets, "protocol": protocol}
    run = Run.open(path, identity, IMAGES, 16)
    for shard in run.pending():
        outcomes = []
        for i in run.indices(shard):
            ranks = (int(i in wrong), *([int(i in real) if i > 9 else None] if real is not None else []))
            outcomes.append(Outcome(ranks, 1 + ranks[0], (1, 2), (0.8, 0.1)) if i else Outcome(reason="gone"))
        run.write(shard, outcomes, 0.1)
    errors = 100 * len(wrong) / (IMAGES - 1)
    rates = {"name": "labels", "images": IMAGES - 1, "top1_error": errors, "top1_interval": [1, 99], "top5_error": 0.0}
    confusion = [[3, 3, IMAGES - 1 - len(wrong)], [3, 4, len(wrong)], [2, 2, 1]]
    summary = {"network": network, "protocol": protocol, "data": "d", "classes": 5, "label_order": "other"}
    run.finish({**summary, **rates, "label_sets": [rates], "calibration_error": 0.1, "confusion": confusion})
    run.close()
    return path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def test_pairs_with_their_p(capsys, tmp_path):
    wrong = [set(range(1, 13)), set(range(9, 13)), {50}]
    runs = [write_run(tmp_path / f"r{k}", f"net{k}", set(w)) for k, w in enumerate(wrong)]
    status, out, err = run(capsys, "compare", *runs, "--json")
    assert (status, err) == (0, "")
    pairs = json.loads(out)["pairs"]
    assert [(p["first"], p["second"]) for p in pairs] == [("net0", "net1"), ("net0", "net2"), ("net1", "net2")]
    first = pairs[0]
    assert (first["images"], first["only_first_wrong"], first["only_second_wrong"]) == (59, 8, 0)
    expected = paired_difference(*([i in w for i in range(1, IMAGES)] for w in wrong[:2]))
    assert first["difference"] == pytest.approx(expected.difference_points)
    assert first["interval"] == pytest.approx(expected.interval_points)
    p_values = [mcnemar_p(8, 0), mcnemar_p(12, 1), mcnemar_p(4, 1)]
    assert [p["p"] for p in pairs] == pytest.approx(p_values)
    order = np.argsort(p_values)
    assert pairs[order[0]]["corrected_p"] == pytest.approx(3 * min(p_values))
    status, out, _ = run(capsys, "compare", *runs)
    assert "top-1 errors in percent on 59 images" in out
    assert "20.34" in out
    assert "-13.56" in out


def test_a_folder_of_runs_and_places_by_label_set(capsys, tmp_path):
    write_run(tmp_path / "all/a", "one", set(range(20, 30)), real={20})
    write_run(tmp_path / "all/b", "two", {40}, real={40, 41})
    status, out, _ = run(capsys, "compare", tmp_path / "all")
    assert status == 0
    assert "place of one: 2 by labels, 1 by real" in out
    assert "place of two: 1 by labels, 2 by real" in out


def test_what_is_no_pair(capsys, tmp_path):
    one = write_run(tmp_path / "one", "one", {1})
    status, _, err = run(capsys, "compare", one)
    assert (status, "1 run is no pair" in err) == (2, True)
    status, _, err = run(capsys, "compare", one, write_run(tmp_path / "two", "two", {1}, names="b"))
    assert (status, "it is of other images than" in err) == (1, True)
    status, _, err = run(capsys, "compare", one, tmp_path)
    assert status == 1
    status, _, err = run(capsys, "compare", one, tmp_path / "none")
    assert (status, "none: no run; `caffezoo evaluate --run DIR` makes one" in err) == (1, True)
    (one / "shards/000001.json").unlink()
    status, _, err = run(capsys, "compare", one, tmp_path / "two")
    assert (status, "16 of its 60 images are not scored yet" in err, err.count("\n")) == (1, True, 1)


def test_runs_show(capsys, tmp_path):
    path = write_run(tmp_path / "one", "one", set(range(1, 13)))
    status, out, _ = run(capsys, "runs", "show", path)
    assert status == 0
    assert "by labels: top-1 error 20.34 % [1.00, 99.00], top-5 0.00 %, 59 images" in out
    assert "expected calibration error 10.00 points" in out
    assert [line.split() for line in out.splitlines() if line.startswith("3 class 3")] == [
        ["3", "class", "3", "20.3", "[12.0,", "32.3]", "59"],
        ["3", "class", "3", "4", "class", "4", "12"],
    ]
    assert json.loads(run(capsys, "runs", "show", path, "--json")[1])["network"] == "one"
    (path / "summary.json").write_text("{")
    status, _, err = run(capsys, "runs", "show", path)
    assert (status, "summary.json: the summary is damaged" in err) == (1, True)


def test_figures_of_runs(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    for crop in (192, 224, 256):
        write_run(tmp_path / f"sweep/{crop}", "one", set(range(crop // 16)), crop=crop)
    for verb in (["crops", "--run"], ["reliability"]):
        status, _, err = run(capsys, "plot", *verb, tmp_path / "sweep", "-o", tmp_path / f"{verb[0]}.svg")
        assert (status, err) == (0, "")
        assert (tmp_path / f"{verb[0]}.svg").read_text().startswith("<?xml")
    status, _, err = run(capsys, "plot", "crops", "dpn-92", "--run", tmp_path / "sweep", "-o", tmp_path / "a.svg")
    assert (status, "networks are named by --run already" in err) == (2, True)
