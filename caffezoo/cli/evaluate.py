"""``caffezoo evaluate``: error rates of a network on labelled images."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli import recipes
from caffezoo.cli.calibration import CalibrationOption, calibrate
from caffezoo.cli.console import say
from caffezoo.cli.engine_choice import AUTO, chosen_engine, recipe_jobs
from caffezoo.cli.evaluation_arguments import each_network, list_among, parse_labels, parse_sizes
from caffezoo.cli.evaluation_output import finish, running, say_resumed
from caffezoo.cli.expecting import as_published, check_expectation
from caffezoo.cli.network_arguments import NetworkArguments, takes_network, tell_notes
from caffezoo.cli.progress import progress
from caffezoo.cli.results import RESULTS_HELP, writable_store
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.runs.folder import Run


@takes_network()
def evaluate(
    arguments: NetworkArguments,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    scale: recipes.ScaleOption = None,
    raw_scale: recipes.RawScaleOption = None,
    channel_order: recipes.ChannelOrderOption = None,
    resize: recipes.ResizeOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|sample",
            help="Images: a folder, a tar, a zip, an LMDB, Parquet or WebDataset shards, a pickle, a list of `path "
            "label` lines, or the 20 built-in ones. Default: CAFFEZOO_DATA, else ~/Database/ILSVRC2012.",
        ),
    ] = None,
    val_file: Annotated[
        Path | None,
        typer.Option(help="The labels: `path label` lines. ILSVRC2012, folders named n01440764, ... need none."),
    ] = None,
    image_column: recipes.ImageColumnOption = None,
    label_column: recipes.LabelColumnOption = None,
    data_channel_order: recipes.DataChannelOrderOption = None,
    class_names: recipes.ClassNamesOption = None,
    label_order: Annotated[
        str | None,
        typer.Option(
            metavar="2012|2015|FILE|listed",
            help="Order of the ImageNet classes in the list; default: what file names prove, else the network's. "
            "`listed` believes the list, whatever names tell.",
        ),
    ] = None,
    labels_from: Annotated[int, typer.Option(metavar="0|1", help="What the list counts its labels from.")] = 0,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="2012|2015|real|FILE,...",
            help="Label sets to score by, in one pass: the published labels, ReaL's, lists. Default: the data's own.",
        ),
    ] = None,
    class_subset: Annotated[
        bool, typer.Option("--class-subset", help="Only the classes of the data take part, as in ImageNet-A and -R.")
    ] = False,
    crops: recipes.CropsOption = 1,
    scales: Annotated[
        str | None, typer.Option(metavar="PX,PX,...", help="Base sizes whose views are averaged: 256,288,320.")
    ] = None,
    crop_sizes: Annotated[
        str | None,
        typer.Option(metavar="PX..PX:STEP", help="A sweep, 224..416:16: a result for each size; the base size grows."),
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="The mirror image of every crop as well.")] = False,
    fully_convolutional: Annotated[
        bool,
        typer.Option(
            "--fully-convolutional",
            help="See the centre square of --base-size (or --crop-size) at once; scores are averaged over positions.",
        ),
    ] = False,
    decoder: Annotated[str, typer.Option(metavar="cv2|pillow|simplejpeg", help="What decodes images.")] = "cv2",
    resizer: Annotated[
        str,
        typer.Option(metavar="cv2-bilinear|cv2-area|pillow-bilinear|pillow-bicubic", help="What resizes images."),
    ] = "cv2-bilinear",
    base_size: recipes.BaseSizeOption = None,
    crop_size: recipes.CropSizeOption = None,
    output: recipes.OutputOption = None,
    network_order: recipes.NetworkOrderOption = None,
    drop_background: recipes.DropBackgroundOption = False,
    engine: recipes.EngineOrAutoOption = "openvino",
    precision: recipes.PrecisionOption = "float32",
    calibration: CalibrationOption = None,
    batch_size: recipes.BatchSizeOption = 8,
    threads: recipes.ThreadsOption = None,
    streams: Annotated[
        int | None, typer.Option(min=1, help="Batches under way at a time; default: a core each, where the engine can.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that decode; default: as many as cores.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Spread the run over a Ray cluster; without an address over workers on this machine.",
        ),
    ] = None,
    ray_workers: Annotated[
        int | None, typer.Option(min=1, help="With --ray: workers, of --threads cores each. Default: all cores.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the run in a directory: what it depends on, outcomes, summary."),
    ] = None,
    per_image: Annotated[
        Path | None, typer.Option(metavar="FILE.csv|FILE.parquet", help="Write what became of every image.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable image.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where the same evaluation was interrupted.")
    ] = True,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="published", help="Exit 1 where the published error is not met, and say what likely the cause is."
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="With --expect: points that it may lie outside the 95 % interval.")
    ] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line with a JSON object instead.")] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Append to accuracy.csv, and which class was taken for which.")
    ] = False,
    results: Annotated[Path | None, typer.Option(metavar="DIR", help=RESULTS_HELP)] = None,
    caffe_python: recipes.CaffePythonOption = None,
) -> None:
    """Measure the top-1 and top-5 error of networks on labelled images.

    Sizes, mean and std are those that the network is published with, unless flags say otherwise. Errors carry 95 %
    Wilson intervals. Ctrl-C stops and reports the images until then; the same command goes on from there. --net may
    name several networks, also by patterns: they share decoding and resizing.

    Examples:

    `caffezoo evaluate --net efficientnet-lite0 --data sample --record`

    `caffezoo evaluate --net efficientnet-lite0 --data images/ --val-file labels.txt --crops 12 --json`

    `caffezoo evaluate --net 'dpn-*,se-*' --data ILSVRC2012_img_val.tar --labels 2012,real --run runs/july`

    `caffezoo evaluate --prototxt deploy.prototxt --weights net.caffemodel --mean 104 117 123 --data val.txt`
    """
    from caffezoo.evaluation.concurrency import default_workers
    from caffezoo.evaluation.dataset import open_dataset
    from caffezoo.evaluation.evaluator import evaluate_together
    from caffezoo.evaluation.per_image import check_ending, write_per_image
    from caffezoo.evaluation.protocol import mirrored_crops
    from caffezoo.evaluation.runs.ray_pool import ray_scorer
    from caffezoo.evaluation.session import open_runs, open_subjects
    from caffezoo.zoo.resources import cache_dir

    if results is not None and not record:
        raise UsageError("--results is for --record")
    if ray is None and ray_workers is not None:
        raise UsageError("--ray-workers is for --ray")
    if per_image is not None:
        check_ending(per_image)
    store = writable_store(results) if record else None
    networks = each_network(arguments)
    check_expectation(expect, networks)
    asked = recipes.ask(
        mean=mean,
        std=std,
        scale=scale,
        raw_scale=raw_scale,
        resize=resize,
        channel_order=channel_order,
        base_size=base_size,
        crop_size=crop_size,
    )
    known = [
        recipes.make_recipe(one, asked=asked, network_order=network_order, drop_background=drop_background)
        for one in networks
    ]
    told = data
    if ray is not None:  # other machines, and other processes, may be in other folders
        data = os.path.abspath(data) if data not in (None, "sample") else data
        known = [replace(r, prototxt=r.prototxt.absolute(), weights=r.weights.absolute()) for r in known]
    sets = parse_labels(labels)
    dataset = open_dataset(
        data,
        val_file=val_file or list_among(sets, data),
        limit=limit,
        list_order=label_order,
        labels_from=labels_from,
        options=recipes.data_options(image_column, label_column, data_channel_order, class_names),
    )
    if told is not None and told != data:
        dataset = dataset.told_as(told)
    if engine == AUTO:
        engine = chosen_engine(engine, recipe_jobs(known, asked, batch_size, crops), precision, threads)
    calibrate(
        known,
        precision,
        calibration,
        dataset=dataset,
        crop_sizes=parse_sizes(crop_sizes) if crop_sizes else (),
        engine=engine,
        output=output,
    )
    opening: dict[str, Any] = {
        "crops": mirrored_crops(crops) if mirror else crops,
        "scales": tuple(parse_sizes(scales)) if scales else (),
        "decoder": decoder,
        "resizer": resizer,
        "slides": fully_convolutional,
        "output": output,
        "engine": engine,
        "precision": precision,
        "threads": threads,
        "caffe_python": caffe_python,
    }
    subjects = open_subjects(
        known,
        dataset,
        crop_sizes=parse_sizes(crop_sizes) if crop_sizes else (),
        base_size=asked.base_size,
        labels=sets,
        class_subset=class_subset,
        batch_size=batch_size,
        streams=streams if ray is None else 1,
        on_note=lambda note: tell_notes([note], "note"),
        **opening,
    )
    runs: list[Run] = []
    try:
        for subject in subjects:
            tell_notes((*subject.classifier.network_notes, *subject.classifier.warnings))
        runs = open_runs(subjects, run, cache_dir() / "evaluations", resume=resume)
        say_resumed(runs)
        start = time.perf_counter()
        with progress(sum(one.images for one in runs)) as show:
            found = evaluate_together(
                subjects,
                runs,
                workers=workers or default_workers(),
                strict=strict,
                on_image=lambda at: show(at.done, running(at, start)),
                on_note=lambda note: say("note", note),
                scorer=ray_scorer(ray, members=ray_workers, threads=threads or 1) if ray is not None else None,
            )
        if per_image is not None:
            write_per_image(per_image, list(zip(subjects, runs, strict=True)))
    finally:
        for subject in subjects:
            subject.classifier.close()
        for one in runs:
            one.close()
    finish(found, runs, subjects, kept=run is not None, as_json=as_json, store=store)
    if expect is not None and not as_published(
        networks, known, subjects, found, tolerance, opening, workers or default_workers()
    ):
        raise typer.Exit(1)
