"""``caffezoo noise``: what decoder, resizer, colour conversion, rounding and precision do to a network's error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.console import say, shown
from caffezoo.cli.evaluation_arguments import each_network
from caffezoo.cli.network_arguments import NetworkArguments, takes_network
from caffezoo.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caffezoo.evaluation.noise import NoiseRow


@takes_network()
def noise(
    arguments: NetworkArguments,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    data: Annotated[str | None, typer.Option(metavar="PATH|sample", help="Images, as for `evaluate`.")] = None,
    val_file: Annotated[Path | None, typer.Option(help="The labels: `path label` lines.")] = None,
    factors: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="decoder, resizer, colour, pooling, precision. Default: all."),
    ] = None,
    crops: recipes.CropsOption = 1,
    engine: recipes.EngineOption = "openvino",
    batch_size: recipes.BatchSizeOption = 8,
    threads: recipes.ThreadsOption = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.png|FILE.svg", help="Draw the differences as well.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Exchange each part of the system alone and say what that does to the top-1 error.

    Each variant is compared with the published protocol on the same images: the difference in points with its 95 %
    interval, the exact p of McNemar's test, and that p corrected for the number of variants (Holm).

    Examples:

    `caffezoo noise --net efficientnet-lite0 --data sample`

    `caffezoo noise --net 'resnet18-priv,resnet50' --data ILSVRC2012_img_val.tar --output noise.svg`
    """
    from caffezoo.evaluation.concurrency import default_workers
    from caffezoo.evaluation.dataset import open_dataset
    from caffezoo.evaluation.noise import FACTORS, VARIANTS, noise_study
    from caffezoo.report.figure import check_ending

    if output is not None:
        check_ending(output)
    wanted = tuple(part.strip() for part in factors.split(",")) if factors else FACTORS
    asked = recipes.ask(mean=mean, std=std)
    dataset = open_dataset(data, val_file=val_file, limit=limit)
    found: list[NoiseRow] = []
    for one in each_network(arguments):
        recipe = recipes.make_recipe(one, asked=asked)
        runs = 1 + sum(factor in wanted for factor, _, _ in VARIANTS)
        with progress(len(dataset.images) * runs) as show:
            found += noise_study(
                recipe,
                dataset,
                factors=wanted,
                workers=default_workers(),
                on_image=lambda at, name=recipe.name: show(at.done, name),  # type: ignore[misc]
                crops=crops,
                engine=engine,
                batch_size=batch_size,
                threads=threads,
            )
    for row in found:
        if row.difference is None:
            say("note", f"{row.network}: {row.factor} {row.variant} does not run: {row.problem}")
    if as_json:
        print(json.dumps([row.to_json() for row in found]))
    else:
        _print(found)
    if output is not None:
        from caffezoo.report.figure import save
        from caffezoo.report.noise_plot import noise_figure

        points = [
            (row.network, f"{row.factor}: {row.variant}", d.difference_points, d.interval_points)
            for row in found
            if (d := row.difference) is not None
        ]
        save(noise_figure(points), output)
        say("note", f"wrote {output}")


def _print(found: Sequence[NoiseRow]) -> None:
    from caffezoo.cli.text_table import print_table

    rows = []
    for row in found:
        d = row.difference
        if d is None or row.corrected_p is None:
            continue
        low, high = d.interval_points
        rows.append(
            [
                shown(row.network),
                row.factor,
                row.variant,
                f"{d.first_percent:.2f}",
                f"{d.second_percent:.2f}",
                f"{d.difference_points:+.2f}",
                f"[{low:+.2f}, {high:+.2f}]",
                f"{d.p:.3g}",
                f"{row.corrected_p:.3g}",
            ]
        )
    images = next((row.difference.images for row in found if row.difference), 0)
    print(f"top-1 errors in percent on {images} images; differences in points from the published protocol")
    titles = ["network", "factor", "variant", "published", "variant's", "difference", "at 95 %", "p", "p (Holm)"]
    print_table(titles, rows, right=("published", "variant's", "difference", "p", "p (Holm)"))
