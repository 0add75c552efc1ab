"""``caffezoo check``: does every network of the index hold together?"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from caffezoo.cli.network_arguments import NetworkArguments, takes_network, tell_notes
from caffezoo.errors import UsageError, ZooError
from caffezoo.formats.image_size import Size

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.zoo.entry import NetworkEntry

# What protobuf adds to the blobs of a caffemodel: names, tags and, in files from training, filler settings. Published
# files add 1.5 to 116 kB; torch and HDF5 files add more names per tensor and may lack BatchNorm's factor blobs.
CAFFEMODEL_OVERHEAD_BYTES = 200_000
FOREIGN_TOLERANCE = 0.15


@dataclass(frozen=True)
class Checked:
    """One network's check: figures at the small preset, and every fault found."""

    network: str
    parameters: int
    gmacs: float
    operators: int
    plain_layers: int
    sizes: str
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


@takes_network(default="all", metavar="NET|PATTERN|all|FILES")
def check(
    arguments: NetworkArguments,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of the table.")] = False,
) -> None:
    """Check networks: shapes at both presets, parameters against every known weight file, ONNX, plain-BVLC form.

    Of a prototxt: its shapes, that the weights named fit it, ONNX and plain-BVLC form.

    Exits with 1 if any network has a fault.

    Examples:

    `caffezoo check dpn-92`

    `caffezoo check 'se-*'`

    `caffezoo check all`

    `caffezoo check deploy.prototxt net.caffemodel`
    """
    from caffezoo.cli.progress import track
    from caffezoo.net.load_options import AS_DEPLOYED
    from caffezoo.zoo.index import load_index

    net = arguments.name
    if net is None:
        _report([check_file(arguments)], as_json)
        return
    if arguments.weights is not None or arguments.options != AS_DEPLOYED:
        raise UsageError("networks of the index are checked as they are", hint="a prototxt takes weights and --shape")
    zoo = load_index(arguments.index)
    entries = zoo.list("*") if net == "all" else zoo.list(net) if any(c in net for c in "*?[") else [zoo.network(net)]
    _report([check_entry(entry) for entry in track(entries, "checking", key=lambda e: e.name)], as_json)


def _report(results: list[Checked], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(r) for r in results]))
    else:
        _print(results)
    if any(r.faults for r in results):
        raise typer.Exit(1)


def check_file(arguments: NetworkArguments) -> Checked:
    """Check a prototxt, with the weights where a file of them is named."""
    from caffezoo.net.cost import network_cost

    faults: list[str] = []
    parameters, gmacs, operators, plain_layers, sizes = 0, 0.0, 0, 0, ""
    notes: tuple[str, ...] = ()
    try:
        network = arguments.open()
        notes = network.notes
        cost = network_cost(network)
        parameters, gmacs = cost.parameters, cost.macs / 1e9
        sizes = "/".join(dict.fromkeys(str(shape[2]) for shape in network.inputs.values() if len(shape) == 4))
        operators, plain_layers = _onnx_operators(network), _plain_layers(network)
    except UsageError:
        raise
    except ZooError as error:
        faults.append(str(error))
    return Checked(arguments.title, parameters, gmacs, operators, plain_layers, sizes, tuple(faults), notes)


def check_entry(entry: NetworkEntry) -> Checked:
    """Check one network of the index."""
    from caffezoo.net.cost import network_cost
    from caffezoo.net.graph import Network
    from caffezoo.net.scores import classifier_head

    faults: list[str] = []
    parameters, gmacs, operators, plain_layers, sizes = 0, 0.0, 0, 0, []
    notes: tuple[str, ...] = ()
    try:
        declared = Network.load(entry.prototxt_path).reshaped(batch=1)
        small = declared.resized(*Size.of(entry.preprocessing.small.crop_size))
        cost = network_cost(small)
        parameters, gmacs = cost.parameters, cost.macs / 1e9
        for name in ("small", "large"):
            preset = getattr(entry.preprocessing, name)
            if preset is not None:
                classes = classifier_head(declared.resized(*Size.of(preset.crop_size))).classes
                sizes.append(str(preset.crop_size))
                if classes != entry.labels.outputs:
                    faults.append(f"{classes} outputs at {preset.crop_size} px, the index says {entry.labels.outputs}")
        faults += _weight_sizes(entry, cost.blob_elements)
        operators = _onnx_operators(small)
        plain_layers = _plain_layers(small)
        notes = declared.notes
        tell_notes(notes)
    except ZooError as error:
        faults.append(str(error))
    return Checked(entry.name, parameters, gmacs, operators, plain_layers, "/".join(sizes), tuple(faults), notes)


def _weight_sizes(entry: NetworkEntry, blob_elements: int) -> list[str]:
    """Hold the bytes of every known weight file against the blobs that the prototxt wants."""
    wanted = 4 * blob_elements
    faults = []
    for i, weights in enumerate(entry.weights):
        if weights.bytes is None or weights.layout is not None:
            continue
        over = weights.bytes - wanted
        if weights.format == "caffemodel":
            good = 0 <= over <= CAFFEMODEL_OVERHEAD_BYTES
        else:
            good = abs(over) <= FOREIGN_TOLERANCE * wanted
        if not good:
            faults.append(f"weights[{i}] {weights.file}: {weights.bytes:,} bytes, the blobs alone take {wanted:,}")
    return faults


def _onnx_operators(network: Network) -> int:
    from caffezoo.net.onnx_graph import to_onnx

    return len(to_onnx(_with_ones(network)).graph.node)


def _plain_layers(network: Network) -> int:
    """Return the layers of the plain-BVLC form; its outputs must have the shapes of the network's."""
    from caffezoo.net.plain import to_plain

    plain = to_plain(network)
    for name in network.outputs:
        if plain.shape(name) != network.shape(name):
            raise ZooError(f"plain-BVLC form: '{name}' is {plain.shape(name)}, not {network.shape(name)}")
    return len(plain.nodes)


def _with_ones(network: Network) -> Network:
    """Return the network with blobs of ones that take no memory."""
    one = np.ones((), np.float32)
    return network.with_weights({n.name: [np.broadcast_to(one, s) for s in n.blob_shapes] for n in network.nodes})


def _print(results: list[Checked]) -> None:
    from caffezoo.cli.text_table import print_table

    numbers = ("parameters", "GMACs", "ONNX ops", "BVLC layers")
    print_table(
        ("network", *numbers, "sizes px", "result"),
        [
            (r.network, f"{r.parameters:,}", f"{r.gmacs:.3f}", str(r.operators), str(r.plain_layers), r.sizes,
             "; ".join(r.faults) or "good")
            for r in results
        ],
        right=numbers,
    )  # fmt: skip
    bad = sum(1 for r in results if r.faults)
    print(f"{len(results) - bad} of {len(results)} networks hold together" + (f", {bad} do not" if bad else ""))
