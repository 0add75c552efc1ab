"""``caffezoo detect``: objects in images, as JSON and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli import recipes
from caffezoo.cli.console import say, shown
from caffezoo.cli.engine_choice import AUTO, chosen_engine, file_job
from caffezoo.cli.network_arguments import NetworkArguments, takes_network, tell_notes
from caffezoo.errors import ImageError, UsageError

if TYPE_CHECKING:
    from caffezoo.detection.boxes import Detection
    from caffezoo.detection.detector import Finder
    from caffezoo.timing.networks import Job

CASCADE = "mtcnn"


@takes_network(sift="images")
def detect(
    arguments: NetworkArguments,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|DIR|LIST...", help="Files, folders or archives, lists.")
    ],
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="The lowest score that counts; default: 0.5, of mtcnn 0.7.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Draw what is found into PNG files there.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Names of classes: one a line, the background first, or a labelmap.prototxt.")
    ] = None,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    scale: recipes.ScaleOption = None,
    raw_scale: recipes.RawScaleOption = None,
    channel_order: recipes.ChannelOrderOption = None,
    engine: recipes.EngineOrAutoOption = "openvino",
    precision: recipes.PrecisionOption = "float32",
    threads: recipes.ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON array instead.")] = False,
    caffe_python: recipes.CaffePythonOption = None,
) -> None:
    """Find objects in images: boxes in pixels (x1 y1 x2 y2), and pictures of them with --output.

    `--net mtcnn` runs the three networks of MTCNN one after the other; any other network ends in a layer of boxes
    (DetectionOutput, Yolov3DetectionOutput). Images that cannot be read are told on stderr, the others go on, and the
    exit status is 1.

    Examples:

    `caffezoo detect photo.jpg --net res10-ssd-face --output drawn`

    `caffezoo detect photos/ --net mtcnn --json`

    `caffezoo detect street.jpg deploy.prototxt ssd.caffemodel --mean 104 117 123 --labels labelmap_voc.prototxt`
    """
    from caffezoo.evaluation.image_objects import as_image, name_of
    from caffezoo.evaluation.named_images import named_images

    if not images:
        raise UsageError("which image?", hint="give one or more image files, or a folder")
    named = named_images(images)
    asked = recipes.ask(mean=mean, std=std, scale=scale, raw_scale=raw_scale, channel_order=channel_order)
    if engine == AUTO:
        engine = chosen_engine(engine, _jobs(arguments), precision, threads)
    options = {"engine": engine, "precision": precision, "threads": threads, "caffe_python": caffe_python}
    finder: Finder
    if arguments.name == CASCADE:
        finder = _cascade(arguments, asked, options)
    else:
        finder = _one(arguments, asked, labels, options)
    least = finder.threshold if threshold is None else threshold
    found, unreadable = [], 0
    try:
        for number, item in enumerate(named):
            name = name_of(item, number)
            try:
                image = as_image(item, where=name)
                objects = finder.detect(image, least)
            except ImageError as error:
                unreadable += 1
                say("error", error)
                continue
            height, width = image.shape[:2]
            found.append(
                {"image": name, "width": width, "height": height, "found": [o.to_json(width, height) for o in objects]}
            )
            if output is not None:
                found[-1]["picture"] = str(_draw(output, name, number, len(named), image, objects))
            if not as_json:
                _print(found[-1])
    finally:
        finder.close()
    if as_json:
        print(json.dumps(found))
    if unreadable:
        raise typer.Exit(1)


def _jobs(arguments: NetworkArguments) -> list[Job]:
    """Return what a trial of engines runs: one network, or the three stages."""
    from caffezoo.detection.mtcnn import STAGES
    from caffezoo.zoo.index import load_index

    if arguments.name != CASCADE:
        return [file_job(arguments.title, arguments.file, arguments.options)]
    index = load_index(arguments.index)
    return [file_job(name, index.network(name).prototxt_path, arguments.options) for name in STAGES]


def _cascade(arguments: NetworkArguments, asked: Any, options: dict[str, Any]) -> Finder:
    from caffezoo.cli.progress import fetch_with_progress
    from caffezoo.detection.mtcnn import MTCNN, STAGES
    from caffezoo.evaluation.asked import Asked
    from caffezoo.net.graph import Network
    from caffezoo.zoo.index import load_index

    if asked != Asked() or arguments.weights is not None:
        raise UsageError(f"'{CASCADE}' has its own weights, mean and scale", hint="leave these flags out")
    index = load_index(arguments.index)
    entries = [index.network(name) for name in STAGES]
    networks = [Network.load(entry.prototxt_path, fetch_with_progress(entry)) for entry in entries]
    return MTCNN(networks, **options)


def _one(arguments: NetworkArguments, asked: Any, labels: Path | None, options: dict[str, Any]) -> Finder:
    from caffezoo.detection.detector import Detector, class_names, output_of_boxes
    from caffezoo.evaluation.asked import put_together
    from caffezoo.formats.data_layer import data_layer

    entry = arguments.entry
    names = class_names(labels) if labels is not None else None
    if entry is not None:
        if entry.task != "detection":
            raise UsageError(
                f"network '{entry.name}' is for {entry.task}", hint=f"caffezoo classify --net {entry.name}"
            )
        if entry.family == CASCADE:
            raise UsageError(f"'{entry.name}' is one stage of a detector", hint=f"caffezoo detect --net {CASCADE}")
        if names is None and entry.labels.names is not None:
            names = [*(["background"] if entry.labels.background else []), *entry.labels.names]
    opened = arguments.options.load(arguments.file)
    output_of_boxes(opened)  # refuses before weights are fetched
    network = arguments.open_with_weights()
    layer = data_layer(network.prototxt.net, network.prototxt.lines)
    known = entry.preset("small") if entry is not None else None
    prepared = put_together(asked, channels=3, known=known, layer=layer, where=arguments.file)
    tell_notes(prepared.warnings)
    tell_notes(prepared.notes, "note")
    return Detector(network, prepared.preprocessing, names=names, **options)


def _draw(output: Path, name: str, number: int, count: int, image: Any, found: tuple[Detection, ...]) -> Path:
    """Write the picture and return its path; a number keeps apart what may have one name."""
    import cv2

    from caffezoo.detection.drawing import draw

    stem = Path(name).stem or "image"
    target = output / (f"{stem}.png" if count == 1 else f"{number + 1:0{len(str(count))}}-{stem}.png")
    try:
        output.mkdir(parents=True, exist_ok=True)
        _, data = cv2.imencode(".png", draw(image, found))
        target.write_bytes(data.tobytes())
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror or error}", where=str(target)) from None
    return target


def _print(one: dict[str, Any]) -> None:
    count = len(one["found"])
    drawn = f", drawn into {one['picture']}" if "picture" in one else ""
    print(shown(f"{one['image']}: {count or 'nothing'} found{drawn}"))
    for found in one["found"]:
        box = " ".join(f"{v:8.1f}" for v in found["box"])
        print(shown(f"  {100 * found['score']:6.2f} %  {box}  {found['name']}"))
