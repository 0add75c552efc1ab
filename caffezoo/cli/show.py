"""``caffezoo show``: a network's layers, cost and graph."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli.console import shown
from caffezoo.cli.network_arguments import NetworkArguments, takes_network
from caffezoo.formats.image_size import Size

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.net.node import Node
    from caffezoo.net.outline import Outline


@takes_network()
def show(
    arguments: NetworkArguments,
    size: Annotated[
        str | None, typer.Option(metavar="SIDE|HxW", help="Input size in pixels, instead of the declared one.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the graph as SVG into this file.")] = None,
    dot: Annotated[Path | None, typer.Option(help="Write the graph for Graphviz into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Show a network's layers with output shapes, parameters and multiply-accumulates, and its totals.

    Examples:

    `caffezoo show efficientnet-lite0`

    `caffezoo show my/deploy.prototxt --size 320 --svg graph.svg`

    `caffezoo show train_val.prototxt --phase TRAIN --shape data=32,3,224,224`

    Layers of unknown types are shown too, with ? for the shapes behind them; then the refusal, and exit status 1.
    """
    from caffezoo.errors import UnknownLayerError
    from caffezoo.net.batch import at_batch, possible_batch

    try:
        network, entry = arguments.open(), arguments.entry
    except UnknownLayerError:
        _show_outline(arguments.options.outline(arguments.file), svg, dot, as_json)
        raise
    network = network if size is None else network.resized(*Size.of(size))
    if not arguments.options.shapes:
        network = at_batch(network, possible_batch(network, 1))
    _draw(network, svg, dot)
    if as_json:
        print(json.dumps(_record(network)))
        return
    _print_table(network)
    if entry is not None:
        from caffezoo.cli.networks import print_entry

        print_entry(entry)
    _tell_files(svg, dot)


def _draw(network: Network | Outline, svg: Path | None, dot: Path | None) -> None:
    from caffezoo.net.drawing import draw_dot, draw_svg

    for file, draw in ((svg, draw_svg), (dot, draw_dot)):
        if file:
            file.write_text(draw(network), encoding="utf-8")


def _tell_files(*files: Path | None) -> None:
    for file in files:
        if file:
            print(f"wrote {file}")


def _show_outline(found: Outline, svg: Path | None, dot: Path | None, as_json: bool) -> None:
    """Show what is known of a network that is refused."""
    from caffezoo.cli.text_table import print_table
    from caffezoo.net.outline import UNKNOWN, shape_text

    _draw(found, svg, dot)
    if as_json:
        layers = [
            {
                **_wiring(node),
                "shapes": [None if s == UNKNOWN else list(s) for s in node.top_shapes],
            }
            for node in found.nodes
        ]
        print(json.dumps({"name": found.name, "layers": layers}))
        return
    rows = [(n.name, n.layer.type, ", ".join(map(shape_text, n.top_shapes))) for n in found.nodes]
    print_table(("layer", "type", "output"), rows)
    print()
    print(f"network      {shown(found.name) or '(no name)'}  ({found.path})")
    print(f"layers       {len(found.nodes)}, of which {len(found.unshaped)} have no known shape")
    _tell_files(svg, dot)


def _wiring(node: Node) -> dict[str, object]:
    return {
        "name": node.name,
        "type": node.layer.type,
        "bottoms": [b.name for b in node.bottoms],
        "tops": [t.name for t in node.tops],
    }


def _record(network: Network) -> dict[str, object]:
    from caffezoo.net.cost import network_cost, node_cost

    layers = [
        {
            **_wiring(n),
            "shapes": [list(s) for s in n.top_shapes],
            "blobs": [list(s) for s in n.blob_shapes],
            **asdict(node_cost(n)),
        }
        for n in network.nodes
    ]
    inputs = {name: list(shape) for name, shape in network.inputs.items()}
    outputs = {name: list(network.shape(name)) for name in network.outputs}
    total = asdict(network_cost(network))
    return {
        "name": network.name,
        "inputs": inputs,
        "outputs": outputs,
        "total": total,
        "layers": layers,
        "notes": list(network.notes),
    }


def _print_table(network: Network) -> None:
    from caffezoo.cli.text_table import print_table
    from caffezoo.net.cost import network_cost
    from caffezoo.net.outline import shape_text

    rows = []
    for node in network.nodes:
        shapes = ", ".join(map(shape_text, node.top_shapes))
        parameters = f"{node.parameter_count:,}" if node.parameter_count else ""
        rows.append((node.name, node.layer.type, shapes, parameters, f"{node.macs:,}" if node.macs else ""))
    print_table(("layer", "type", "output", "parameters", "MACs"), rows, right=("parameters", "MACs"))
    cost = network_cost(network)
    inputs = ", ".join(f"{shown(name)} {'x'.join(map(str, shape))}" for name, shape in network.inputs.items())
    outputs = ", ".join(f"{shown(name)} {'x'.join(map(str, network.shape(name)))}" for name in network.outputs)
    depth = sum(1 for n in network.nodes if n.macs)
    memory = 4 * sum(math.prod(s) for n in network.nodes for s in n.top_shapes)
    print()
    print(f"network      {shown(network.name) or '(no name)'}  ({network.path})")
    print(f"input        {inputs}")
    print(f"output       {outputs}")
    print(f"layers       {len(network.nodes)}, of which {depth} convolutions and products")
    print(f"parameters   {cost.parameters:,}  ({cost.caffemodel_bytes / 2**20:.1f} MiB as a float32 caffemodel)")
    print(f"MACs         {cost.macs:,}  ({cost.macs / 1e9:.3f} G)")
    print(
        f"activations  {cost.activations:,} values of convolutions and products; {memory / 2**20:.1f} MiB in all blobs"
    )
