"""A network, a list and one mistake, drawn: the right value, an error, or a printed warning; never silence.

Each draw first evaluates without the mistake, which has to give 0 % error and no warning; then with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.zoo.synsets import label_permutation, synsets
from tests.drawn_networks import TAILS, Drawn, draw, picture

IMAGES = 12
MARGIN = 1e-3
QUICK, ALL = 100, 500


@dataclass(frozen=True, eq=False)
class Scene:
    """What is evaluated: files in a folder, the flags, and the labels as the network counts them."""

    net: Drawn
    folder: Path
    names: tuple[str, ...]
    labels: tuple[int, ...]
    weights: dict[str, list[np.ndarray]]
    listed: tuple[int, ...]
    flags: dict[str, tuple[Any, ...]]

    def run(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, float, str]:
        """Return exit status, top-1 error in percent (NaN where there is none) and what stands on stderr."""
        prototxt, weights = self.net.write(self.folder, self.weights)
        lines = "".join(f"{name} {label}\n" for name, label in zip(self.names, self.listed, strict=True))
        (self.folder / "val.txt").write_text(lines)
        flags = [text for name, values in self.flags.items() for text in (name, *values)]
        with pytest.raises(SystemExit) as caught:
            main(
                [
                    *("evaluate", "--prototxt", str(prototxt), "--weights", str(weights)),
                    *("--data", str(self.folder / "images"), "--val-file", str(self.folder / "val.txt")),
                    *("--engine", "onnxruntime", "--no-resume", *map(str, flags)),
                ]
            )
        out, err = capsys.readouterr()
        rate = re.search(r"top-1 error +([\d.]+) %", out)
        return int(caught.value.code or 0), float(rate[1]) if rate else math.nan, err


def make_scene(seed: int, folder: Path, *, proving: bool = False, background: bool = False, **drawn: Any) -> Scene:
    """Draw a network and images; labels are the network's own answers, found without the mistake.

    With ``proving`` the network has ImageNet's classes in the order of 2012 and file names tell the class; with
    ``background`` its first output never wins.
    """
    import onnxruntime

    from caffezoo.net.graph import Network
    from caffezoo.net.onnx_graph import to_onnx

    rng = np.random.default_rng(seed)
    net = draw(seed, classes=1000 if proving else int(rng.integers(4, 12)), **drawn)
    if background:
        net.weights["fc"][1][0] -= 200
    network = Network.from_text(net.text).with_weights({k: tuple(v) for k, v in net.weights.items()})
    model = to_onnx(network, outputs=[net.output]).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (folder / "images").mkdir(exist_ok=True)
    labels, names = [], []
    for k in range(8 * IMAGES):
        image = picture(seed * 100 + k, net.size, net.channels)
        scores = net.scores(session.run(None, {"data": net.blob(image)})[0])
        second, first = np.sort(scores)[-2:]
        if len(names) == IMAGES or first - second < MARGIN:
            continue  # an answer that rounding could turn, or a tie of saturated sigmoids
        labels.append(int(scores.argmax()))
        names.append(f"{synsets()[labels[-1]].wnid}_{k}.png" if proving else f"{k}.png")
        cv2.imwrite(str(folder / "images" / names[-1]), image)
    if len(names) < IMAGES:  # it answers too seldom with one class alone: another one
        given = {"proving": proving, "background": background, **drawn}
        return make_scene(seed + 100_000, folder, **given)
    flags = {"--mean": net.mean, "--std": net.std}
    return Scene(net, folder, tuple(names), tuple(labels), net.weights, tuple(labels), flags)


def flagged(scene: Scene, **flags: tuple[Any, ...]) -> Scene:
    given = {f"--{name.replace('_', '-')}": values for name, values in flags.items()}
    return replace(scene, flags={**scene.flags, **given})


# Each mistake: what draws its scene, what makes it, and the words that betray it.


def transposed(scene: Scene, rng: np.random.Generator) -> Scene:
    weights = dict(scene.weights)
    name = str(rng.choice(["conv", "fc"]))
    blob = weights[name][0]
    other = blob.transpose(2, 3, 1, 0) if blob.ndim == 4 else blob.T
    return replace(scene, weights={**weights, name: [np.ascontiguousarray(other), *weights[name][1:]]})


def counted_from_one(scene: Scene, rng: np.random.Generator) -> Scene:
    return replace(scene, listed=tuple(label + 1 for label in scene.labels))


def said_from_one(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, labels_from=(1,))


def permuted(scene: Scene, rng: np.random.Generator) -> Scene:
    shift = int(rng.integers(2, scene.net.classes - 1))
    order = (np.arange(scene.net.classes) + shift) % scene.net.classes
    return replace(scene, listed=tuple(int(order[label]) for label in scene.labels))


def in_the_other_order(scene: Scene, rng: np.random.Generator) -> Scene:
    to = label_permutation("2012", "2015")
    return replace(scene, listed=tuple(to[label] for label in scene.labels))


def said_in_the_other_order(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, label_order=("2015",))


def another_crop(scene: Scene, rng: np.random.Generator) -> Scene:
    height, width = scene.net.size
    larger = (height + int(rng.integers(1, 9)), width + int(rng.integers(0, 9)))
    return flagged(scene, crop_size=(f"{larger[0]}x{larger[1]}",))


def turned_crop(scene: Scene, rng: np.random.Generator) -> Scene:
    height, width = scene.net.size
    return flagged(scene, crop_size=(f"{width}x{height}",))


def large_base(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, base_size=(int(rng.integers(64, 257)),))


def small_mean_and_std(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, mean=[v / 255 for v in scene.net.mean], std=[v / 255 for v in scene.net.std])


def small_mean(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, mean=[v / 255 for v in scene.net.mean])


def scale_as_std(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, std=(1 / scene.net.std[0],))


def std_as_scale(scene: Scene, rng: np.random.Generator) -> Scene:
    flags = {name: values for name, values in scene.flags.items() if name != "--std"}
    return flagged(replace(scene, flags=flags), scale=(scene.net.std[0],))


def red_green_blue(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, mean=(123.68, 116.779, 103.939))


def auxiliary_asked_for(scene: Scene, rng: np.random.Generator) -> Scene:
    return flagged(scene, output=("aux",))


def background_dropped(scene: Scene, rng: np.random.Generator) -> Scene:
    return replace(scene, flags={**scene.flags, "--drop-background": ()})


def background_kept(scene: Scene, rng: np.random.Generator) -> Scene:
    """The network counts a background first, and the list does not."""
    return replace(scene, listed=tuple(label - 1 for label in scene.labels))


def same(scene: Scene, rng: np.random.Generator) -> Scene:
    return scene


Change = Callable[[Scene, np.random.Generator], Scene]

GUESSING = r"no better than guessing|it looks like|counts from 1"
RANGE = r"out of range|contradict"
MISTAKES: dict[str, tuple[dict[str, Any], Change, str]] = {
    "layout": ({}, transposed, r"blob 0 has shape"),
    "offset of a list": ({}, counted_from_one, f"{RANGE}|{GUESSING}"),
    "offset of a list, names prove": ({"proving": True}, counted_from_one, r"--labels-from 1"),
    "offset said": ({}, said_from_one, rf"{RANGE}|{GUESSING}|is below [01]"),
    "offset said, names prove": ({"proving": True}, said_from_one, r"contradict|is below [01]"),
    "order": ({}, permuted, GUESSING),
    "order, names prove": ({"proving": True}, in_the_other_order, r"2015"),
    "order said, names prove": ({"proving": True}, said_in_the_other_order, r"agree in the order of 2012"),
    "size": ({}, another_crop, r"is asked for|has shape"),
    "size turned": ({}, turned_crop, r"is asked for|has shape"),
    "base size": ({}, large_base, r"% of an image|no better than guessing"),
    "mean and std of 0..1": ({}, small_mean_and_std, r"probably meant"),
    "mean of 0..1": ({}, small_mean, r"probably meant"),
    "scale as std": ({}, scale_as_std, r"is it a scale|probably meant"),
    "std as scale": ({}, std_as_scale, r"is it a standard deviation"),
    "mean in red, green, blue": ({"channels": 3}, red_green_blue, r"in the order red, green, blue"),
    "head that stands last": ({"tail": "auxiliary last"}, same, r"scores are taken from 'prob'"),
    "auxiliary head": ({"tail": "auxiliary last"}, auxiliary_asked_for, r"scores are taken from 'aux'"),
    "head normalised before": ({"heads": ("flatten", "reshape", "dropout", "sigmoid", "average")}, same, r"(?!)"),
    "background dropped": ({}, background_dropped, f"{RANGE}|{GUESSING}|classes"),
    "background kept": ({"background": True}, background_kept, f"{RANGE}|{GUESSING}|--drop-background"),
}


def check(number: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Draw and judge one mistake."""
    kind = list(MISTAKES)[number % len(MISTAKES)]
    needs, change, words = MISTAKES[kind]
    rng = np.random.default_rng(number)
    needs = dict(needs)
    heads = needs.pop("heads", TAILS)
    if needs.get("proving"):
        heads = ("softmax", "flatten", "logits", "auxiliary last")  # a thousand sigmoids saturate
    needs.setdefault("tail", str(rng.choice(heads)))
    scene = make_scene(number, folder, **needs)
    status, error, told = scene.run(capsys)
    assert (status, error) == (0, 0.0), f"{kind}: without the mistake: {told}"
    assert "caffezoo: warning" not in told, f"{kind}: a false alarm: {told}"
    wrong = change(scene, rng)
    status, error, told = wrong.run(capsys)
    betrayed = re.search(words, told) is not None
    if status:
        assert betrayed, f"{kind}: another error: {told}"
    assert error == 0.0 or betrayed, f"{kind}: silent, {error} % error, exit {status}, told: {told}"


@pytest.mark.parametrize("number", range(QUICK))
def test_no_mistake_is_silent(number, tmp_path, capsys):
    check(number, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(QUICK, ALL))
def test_no_mistake_of_many_is_silent(number, tmp_path, capsys):
    check(number, tmp_path, capsys)
