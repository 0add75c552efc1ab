"""``caffezoo import``: make a caffemodel of any framework's weights file for a network of the zoo."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli.networks import complete_network, index_option
from caffezoo.errors import EngineError, NetworkError, UsageError

if TYPE_CHECKING:
    from caffezoo.evaluation.parity import ParityRun
    from caffezoo.weights.importer import Imported
    from caffezoo.zoo.entry import NetworkEntry
    from caffezoo.zoo.tensor_map import Conventions

SHOWN_CHANGES = 8


def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Weights: .pth, .bin, .safetensors, .h5, .keras, model.json, .caffemodel."),
    ],
    net: Annotated[
        str,
        typer.Option(
            "--net", metavar="NET", help="The network of the zoo that they are for.", autocompletion=complete_network
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The caffemodel to write; without it nothing is written.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="2012|2015", help="Order of ImageNet's classes to write; the index's if not given."),
    ] = None,
    drop_background: Annotated[
        bool, typer.Option("--drop-background", help="The file has 1001 classes, the background first: leave it out.")
    ] = False,
    scheme: Annotated[
        str | None, typer.Option(help="Whose names the tensors have, where the names do not tell (cafferesnet).")
    ] = None,
    allow_unused: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Tensors that may have no place (shell pattern; repeat for several)."),
    ] = None,
    keep_normalisation: Annotated[
        bool, typer.Option("--keep-normalisation", help="Leave the first convolution to the source's mean and std.")
    ] = False,
    parity: Annotated[
        bool, typer.Option("--parity", help="Run the source framework's model too, and compare logits.")
    ] = False,
    torch_python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="Python that has torch, torchvision, timm; with --parity.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    index: index_option = None,
) -> None:
    """Import a weights file of PyTorch, Keras, TensorFlow.js or Caffe for a network, and report every tensor.

    PyTorch files may have the names of torchvision, timm or Cadene's pretrained-models; nothing in a file is executed.
    A caffemodel may have another hand's layer names. The first convolution is changed to BGR and to the index's mean
    and std, the classifier to the index's order of classes.

    Examples:

    `caffezoo import dpn68b_extra-363ab9c19.pth --net dpn-68-extra --output dpn-68-extra.caffemodel`

    `caffezoo import senet154.safetensors --net senet --labels 2012 --output senet.caffemodel`

    `caffezoo import model.json --net keras-mobilenet-v2 --output mobilenet.caffemodel`

    `caffezoo import DenseNet_121.caffemodel --net densenet121 --output densenet121.caffemodel`
    """
    from caffezoo.formats.caffemodel_writer import write_caffemodel
    from caffezoo.weights.importer import import_weights
    from caffezoo.weights.tfjs_file import split_archive_path
    from caffezoo.zoo.index import load_index

    if labels not in (None, "2012", "2015"):
        raise UsageError(f"no such order of classes: {labels}", hint="2012 and 2015 are known")
    if torch_python and not parity:
        raise UsageError("--torch-python is used with --parity only")
    if not split_archive_path(file)[0].is_file():
        raise UsageError(f"no such file: {file}")
    if output is not None and not output.parent.is_dir():
        raise UsageError(f"no such folder: {output.parent}")
    if output is not None and output.exists() and output.samefile(split_archive_path(file)[0]):
        raise UsageError(f"--output would replace the file that is read: {file}")
    entry = load_index(index).network(net)
    wanted = entry.conventions
    if labels is not None:
        if wanted.labels is None:
            raise UsageError(f"network '{entry.name}' has no ImageNet classes to reorder")
        wanted = replace(wanted, labels=labels)
    if keep_normalisation:
        wanted = replace(wanted, mean=None, std=None)
    architecture, taken = _caffe_conventions(entry)
    found = import_weights(
        entry.name,
        file,
        entry.prototxt_path,
        architecture=architecture,
        scheme=scheme,
        taken=taken,
        wanted=wanted,
        background=drop_background,
        unused=allow_unused or (),
    )
    if output is not None:
        write_caffemodel(output, found.network.prototxt.net, found.blobs)
    compared: ParityRun | None = None
    problem = ""
    if parity:
        compared, problem = _parity(entry, file, found, wanted, torch_python, drop_background)
    if as_json:
        print(json.dumps(_record(found, output, compared, problem), indent=2))
    else:
        _print(entry.name, file, found, output)
        _print_parity(compared, problem)
    if parity and compared is None:
        raise typer.Exit(1)


def _caffe_conventions(entry: NetworkEntry) -> tuple[str, dict[str, Conventions]]:
    """Return the generator's name of an entry's prototxt, and the conventions of all whose names a file may have."""
    from caffezoo.errors import UnknownNameError
    from caffezoo.zoo.index import load_index
    from caffezoo.zoo.renaming import renamings

    architecture = Path(entry.prototxt).stem.removeprefix("deploy_")
    taken = {"": entry.conventions}
    for other in renamings(architecture):
        try:
            taken[other] = load_index().network(other).conventions
        except UnknownNameError:
            taken[other] = entry.conventions
    return architecture, taken


def _parity(
    entry: NetworkEntry, file: Path, found: Imported, wanted: Conventions, python: str | None, background: bool
) -> tuple[ParityRun | None, str]:
    """Return the comparison, or why there is none."""
    from caffezoo.evaluation.parity import check_parity

    if found.framework != "torch":
        return None, f"{found.framework} has no source model to run; only PyTorch's are run"
    try:
        compared = check_parity(
            entry.name,
            entry.prototxt_path,
            file=file,
            scheme=found.report.scheme,
            wanted=wanted,
            python=python,
            background=background,
        )
    except (EngineError, NetworkError) as error:
        return None, str(error)
    return compared, ""


def _record(found: Imported, output: Path | None, compared: ParityRun | None, problem: str) -> dict[str, Any]:
    record: dict[str, Any] = {"framework": found.framework, **asdict(found.report), "output": str(output or "")}
    if compared is not None:
        record["parity"] = {
            "versions": dict(compared.source.versions),
            "size_px": compared.size_px,
            "results": [asdict(result) for result in compared.results],
        }
    elif problem:
        record["parity"] = {"problem": problem}
    return record


def _print(network: str, file: Path, found: Imported, output: Path | None) -> None:
    report = found.report
    names = f", {report.scheme}'s names" if report.scheme else ""
    print(f"{file.name} ({found.framework}{names}) for {network}")
    print(f"  tensors      {report.tensors_read} read, {report.tensors_mapped} mapped, {len(report.unused)} unused")
    if report.unused:
        print(f"  unused       {', '.join(report.unused[:3])}{' ...' if len(report.unused) > 3 else ''}, as expected")
    print(f"  parameters   {report.elements_read:,} in, {report.elements_written:,} out")
    for change in report.changed[:SHOWN_CHANGES]:
        how = ", ".join(change.changes)
        print(f"  changed      {change.tensor} {_dims(change.shape_before)} -> {_dims(change.shape_after)}: {how}")
    if len(report.changed) > SHOWN_CHANGES:
        print(f"  changed      {len(report.changed) - SHOWN_CHANGES} more (--json lists all)")
    for note in report.notes:
        print(f"  note         {note}")
    print(
        f"  wrote        {output} ({output.stat().st_size:,} bytes)" if output else "  nothing written: give --output"
    )


def _dims(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _print_parity(compared: ParityRun | None, problem: str) -> None:
    if compared is not None:
        versions = ", ".join(f"{name} {version}" for name, version in compared.source.versions.items())
        for result in compared.results:
            aligned = f", with {', '.join(result.aligned)} undone in it" if result.aligned else ""
            same = "the same" if result.same_top5 else "another"
            print(
                f"  parity       {result.model}{aligned}: logits differ by {result.relative:.1e} of the largest, "
                f"{same} top 5 (one image of {compared.size_px} px; {versions})"
            )
    elif problem:
        print(f"  parity       not run: {problem}")
