"""``caffezoo plot``: figures made from the index and the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli.networks import complete_network
from caffezoo.cli.progress import COUNTING, counter
from caffezoo.cli.results import FolderOption, IndexOption, open_store, warn_of_faults
from caffezoo.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from caffezoo.report.details import Detail
    from caffezoo.report.zoo_data import ZooData

NetworkArgument = Annotated[
    str, typer.Argument(metavar="NET", help="A network of the zoo.", autocompletion=complete_network)
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE.png|FILE.svg", help="The picture.")]

plot = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Draw figures from the index and the results; needs matplotlib (`pip install 'caffezoo[report]'`).

    Examples:

    `caffezoo plot cost --against parameters --output cost.svg`

    `caffezoo plot crops dpn-92 senet --output crops.png`
    """,
)


@plot.command("cost")
def cost(
    output: OutputOption,
    against: Annotated[str, typer.Option(metavar="macs|parameters|time", help="The horizontal axis.")] = "macs",
    engine: Annotated[
        str | None, typer.Option(help="With --against time: times measured in this engine, not published ones.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="1|5", help="Top-1 or top-5 error.")] = 1,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Error against cost, with the networks that no other beats in both.

    Examples:

    `caffezoo plot cost --against parameters --output cost.svg`

    `caffezoo plot cost --against time --engine openvino --output time.svg`
    """
    from caffezoo.report.cost_plot import AXES, cost_figure

    if against not in AXES:
        raise UnknownNameError("cost", against, AXES, where="--against")
    if top not in (1, 5):
        raise UsageError(f"top-{top} errors are not known", hint="choose --top 1 or --top 5")
    if engine is not None and against != "time":
        raise UsageError("--engine is for --against time")
    data = _data(output, folder, index)
    _save(cost_figure(data, against, top, engine), output)


@plot.command("crops")
def crops(
    output: OutputOption,
    networks: Annotated[
        list[str] | None, typer.Argument(metavar="[NET]...", help="Networks; all with two crop sizes if none.")
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", metavar="DIR", help="A sweep of `evaluate --crop-sizes ... --run DIR` instead."),
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Error against crop size: one panel a network, top-1 and top-5, one crop and twelve.

    Examples:

    `caffezoo plot crops resnet101-v2 dpn-92 senet --output crops.png`

    `caffezoo evaluate --net dpn-92 --crop-sizes 224..416:16 --run sweep`, then

    `caffezoo plot crops --run sweep --output sweep.svg`
    """
    from caffezoo.report.crop_plot import crop_figure, draw_panels, sweep_panels
    from caffezoo.report.figure import check_ending

    if runs:
        from caffezoo.evaluation.comparison import run_folders
        from caffezoo.evaluation.details import read_summary

        if networks:
            raise UsageError("networks are named by --run already")
        check_ending(output)
        panels = sweep_panels(read_summary(path) for given in runs for path in run_folders(given))
        _save(draw_panels(panels), output)
        return
    data = _data(output, folder, index)
    _save(crop_figure(data, networks or ()), output)


@plot.command("reliability")
def reliability(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of `evaluate --run`.")],
    output: OutputOption,
) -> None:
    """How often networks are right, by how sure they were; with the expected calibration error of each.

    Example: `caffezoo plot reliability runs/lite0 runs/lite2 --output reliability.svg`
    """
    from caffezoo.evaluation.comparison import run_folders
    from caffezoo.evaluation.details import read_summary, run_calibration
    from caffezoo.report.figure import check_ending
    from caffezoo.report.reliability_plot import reliability_figure

    check_ending(output)
    curves = []
    for path in (path for given in runs for path in run_folders(given)):
        summary, found = read_summary(path), run_calibration(path)
        curves.append((f"{summary['network']} {summary['protocol']['name']}", found.bins, found.expected_error))
    _save(reliability_figure(curves), output)


@plot.command("layers")
def layers(
    network: NetworkArgument,
    output: OutputOption,
    run: Annotated[str | None, typer.Option(help="A run of `caffezoo results list time`; default: the newest.")] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Time of every layer of a network in one timed run of the results.

    Example: `caffezoo plot layers se-resnet50 --output layers.svg`
    """
    from caffezoo.report.details import LayerRow
    from caffezoo.report.layer_plot import layer_figure

    data = _data(output, folder, index, LayerRow)
    _save(layer_figure(data, network, run), output)


@plot.command("confusion")
def confusion(
    network: NetworkArgument,
    output: OutputOption,
    run: Annotated[
        str | None, typer.Option(help="A run of `caffezoo results list accuracy`; default: the newest.")
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Which class a network took for which in one recorded evaluation: the classes confused most.

    Example: `caffezoo plot confusion efficientnet-lite0 --output confusion.svg`
    """
    from caffezoo.report.confusion_plot import confusion_figure
    from caffezoo.report.details import ConfusionRow

    data = _data(output, folder, index, ConfusionRow)
    _save(confusion_figure(data, network, run), output)


@plot.command("loss")
def loss(
    network: NetworkArgument,
    output: OutputOption,
    run: Annotated[
        str | None, typer.Option(help="A run of `caffezoo results list training`; default: the newest.")
    ] = None,
    folder: FolderOption = None,
    index: IndexOption = None,
) -> None:
    """Losses, test outputs and learning rates of one training.

    Example: `caffezoo results add train.log --net resnet18-priv && caffezoo plot loss resnet18-priv --output loss.svg`
    """
    from caffezoo.report.details import CurveRow
    from caffezoo.report.loss_plot import loss_figure

    data = _data(output, folder, index, CurveRow)
    _save(loss_figure(data, network, run), output)


def _data(output: Path, folder: Path | None, index: Path | None, *details: type[Detail]) -> ZooData:
    from caffezoo.report.figure import check_ending
    from caffezoo.report.zoo_data import ZooData
    from caffezoo.zoo.index import load_index

    check_ending(output)
    store = open_store(folder)
    warn_of_faults(store, *details)
    return ZooData(load_index(index), store, counter(COUNTING))


def _save(figure: Figure, output: Path) -> None:
    from caffezoo.report.figure import save

    save(figure, output)
    print(f"wrote {output}")
