"""The commands noise and evaluate --expect, on a small real network of an index of its own."""

import json

import numpy as np
import pytest

from caffezoo.cli import expecting
from caffezoo.cli.main import main
from caffezoo.evaluation.expectation import Verdict, deviations, verdict
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.result import EvaluationResult, SetRates
from caffezoo.formats.preprocessing import Preprocessing
from tests.cli.test_evaluate import data_flags, files, network_flags  # noqa: F401


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_every_variant_is_a_row_with_its_p(files, capsys):  # noqa: F811
    pytest.importorskip("PIL")
    flags = [f for f in network_flags(files) if f not in ("--base-size", "36")]
    status, out, err = run(capsys, "noise", *flags, *data_flags(files), "--json", "--factors", "decoder,resizer,colour")
    assert status == 0, err
    rows = json.loads(out)
    assert [row["variant"] for row in rows if "error" in row][-4:] == [
        "cv2-area",
        "pillow-bilinear",
        "pillow-bicubic",
        "yuv420",
    ]
    for row in rows:
        assert (row["images"], row["published_protocol_error"], row["error"], row["p"]) == (6, 0, 0, 1)
    status, out, err = run(capsys, "noise", *flags, *data_flags(files), "--factors", "pooling,resizer")
    assert "pooling other rounding does not run" in err
    assert "top-1 errors in percent on 6 images" in out
    status, _, err = run(capsys, "noise", *flags, *data_flags(files), "--factors", "weather")
    assert (status, "factor 'weather' is unknown; choose decoder, resizer, colour" in err) == (2, True)


def test_the_figure_of_noise(files, capsys):  # noqa: F811
    pytest.importorskip("matplotlib")
    flags = [f for f in network_flags(files) if f not in ("--base-size", "36")]
    picture = files / "noise.svg"
    status, _, err = run(capsys, "noise", *flags, *data_flags(files), "--factors", "resizer", "-o", picture)
    assert status == 0, err
    assert picture.read_text().startswith("<?xml")


def result(errors, **protocol):
    protocol = Protocol(256, 224, **protocol)
    values = dict.fromkeys(
        "output prototxt_sha256 weights_sha256 engine device precision data label_list label_list_sha256".split(), ""
    )
    return EvaluationResult(
        (SetRates("labels", ErrorRate(errors, 50_000), None),),
        **values,
        seconds=1.0,
        unreadable=(),
        interrupted=False,
        total=50_000,
        network="n",
        classes=1000,
        label_order="2012",
        drop_background=False,
        images_sha256="",
        versions={},
        threads=1,
        batch_size=1,
        protocol=protocol,
    )


PUBLISHED = (
    {"crops": 12, "base_size": 256, "crop_size": 224, "top1_error": 19.0, "source": "s"},
    {"crops": 1, "base_size": 320, "crop_size": 320, "top1_error": 19.5, "source": "s"},
    {"crops": 1, "base_size": 256, "crop_size": 224, "top1_accuracy": 80.0, "source": "s"},
)


@pytest.mark.parametrize(("errors", "tolerance", "holds"), [(10_000, 0, True), (10_400, 0.1, False), (10_400, 1, True)])
def test_a_verdict_names_interval_and_tolerance(errors, tolerance, holds):
    found = verdict(result(errors), PUBLISHED, tolerance)
    assert (found.published, found.holds) == (20.0, holds)
    low, high = found.interval
    assert f"[{low:.2f}, {high:.2f}]" in str(found)
    assert f"tolerance {tolerance:g} points" in str(found)


def test_a_figure_by_other_preprocessing_is_not_reproduced():
    known = Preprocessing((104.0, 117.0, 124.0))
    recipe = type("Recipe", (), {"preprocessing": Preprocessing((0.0, 0.0, 0.0), channel_order="RGB")})()
    others = deviations(recipe, known)
    assert others == ("mean is 0 0 0, published is 104 117 124", "channel order is RGB, published is BGR")
    found = verdict(result(10_000), PUBLISHED, 0.1, others)
    assert not found.holds
    assert "mean is 0 0 0, published is 104 117 124" in str(found)
    assert verdict(result(10_000, crops=10), PUBLISHED) is None
    assert np.isclose(Verdict("n", "p", "s", 20.1, 20.0, (19.9, 20.1), 0).measured, 20)


def test_what_cannot_be_expected(files, capsys):  # noqa: F811
    flags = [*network_flags(files), *data_flags(files)]
    status, _, err = run(capsys, "evaluate", *flags, "--expect", "published")
    assert (status, "--expect published is for networks of the zoo" in err) == (2, True)
    status, _, err = run(capsys, "evaluate", *flags, "--expect", "miracles")
    assert (status, "--expect miracles is unknown" in err) == (2, True)
    assert expecting.check_expectation(None, []) is None
