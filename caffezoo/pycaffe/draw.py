"""``caffe.draw``: a net as a graph of layers and blobs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from caffezoo.errors import UsageError
from caffezoo.formats import caffe_pb2 as pb

LAYER = 'shape=record, fillcolor="#6495ED", style=filled'
NEURON = 'shape=record, fillcolor="#90EE90", style=filled'
BLOB = 'shape=octagon, fillcolor="#E0E0E0", style=filled'


def get_pooling_types_dict() -> dict[int, str]:
    """Return the names of pooling methods by number."""
    return {value.number: value.name for value in pb.PoolingParameter.PoolMethod.DESCRIPTOR.values}


def get_edge_label(layer: pb.LayerParameter) -> str:
    """Return what stands on the edge out of a layer: how many channels it makes."""
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""


def get_layer_label(layer: pb.LayerParameter, rankdir: str) -> str:
    """Return a layer's text: name, type and window."""
    separator = " " if rankdir in ("TB", "BT") else "\\n"
    parts = [layer.name, f"({layer.type})"]
    if layer.type in ("Convolution", "Deconvolution"):
        p = layer.convolution_param
        values = [(list(p.kernel_size) or [1])[0], (list(p.stride) or [1])[0], (list(p.pad) or [0])[0]]
        parts += [f"{name}: {v}" for name, v in zip(("kernel size", "stride", "pad"), values, strict=True)]
    elif layer.type == "Pooling":
        q = layer.pooling_param
        parts.insert(1, f"({get_pooling_types_dict()[q.pool]} {layer.type})")
        del parts[2]
        parts += [f"kernel size: {q.kernel_size}", f"stride: {q.stride}", f"pad: {q.pad}"]
    return separator.join(parts)


def dot_text(caffe_net: Any, rankdir: str = "LR", label_edges: bool = True, phase: int | None = None) -> str:
    """Return the graph in the DOT language.

    Parameters
    ----------
    caffe_net : NetParameter
    rankdir : {"LR", "TB", "BT", "RL"}
    label_edges : bool
    phase : int, optional
        Only the layers of this phase.
    """
    lines = [f"digraph {_quoted(caffe_net.name or 'Net')} {{", f"  rankdir={rankdir};"]
    blobs: dict[str, None] = {}
    for number, layer in enumerate(caffe_net.layer):
        if phase is not None and not _in_phase(layer, phase):
            continue
        style = NEURON if list(layer.bottom) == list(layer.top) and len(layer.top) == 1 else LAYER
        label = get_layer_label(layer, rankdir).replace('"', '\\"')
        lines.append(f'  "layer{number}" [label="{label}", {style}];')
        edge = get_edge_label(layer) if label_edges else ""
        for bottom in layer.bottom:
            blobs.setdefault(bottom)
            lines.append(f'  {_quoted("blob " + bottom)} -> "layer{number}";')
        for top in layer.top:
            blobs.setdefault(top)
            shown = f" [label={_quoted(edge)}]" if edge else ""
            lines.append(f'  "layer{number}" -> {_quoted("blob " + top)}{shown};')
    lines += [f"  {_quoted('blob ' + name)} [label={_quoted(name)}, {BLOB}];" for name in blobs]
    return "\n".join([*lines, "}", ""])


def get_pydot_graph(caffe_net: Any, rankdir: str, label_edges: bool = True, phase: int | None = None) -> Any:
    """Return the graph as pydot's (package ``pydot``)."""
    try:
        import pydot
    except ImportError:
        raise UsageError("get_pydot_graph needs pydot", hint="pip install pydot; dot_text needs nothing") from None
    graphs: Any = pydot.graph_from_dot_data(dot_text(caffe_net, rankdir, label_edges, phase))
    return graphs[0]


def draw_net(caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None) -> bytes:
    """Return a picture of the net in a format of Graphviz's ``dot`` (which has to be installed)."""
    program = shutil.which("dot")
    if program is None:
        raise UsageError("drawing needs Graphviz's `dot`", hint="dot_text gives the graph for another program")
    text = dot_text(caffe_net, rankdir, phase=phase)
    done = subprocess.run([program, f"-T{ext}"], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise UsageError(f"`dot` says: {done.stderr.decode(errors='replace').strip()[:200]}")
    return done.stdout


def draw_net_to_file(caffe_net: Any, filename: str, rankdir: str = "LR", phase: int | None = None) -> None:
    """Write a picture of the net; the file's ending says which kind. ``.dot`` needs no Graphviz."""
    path = Path(filename)
    if path.suffix == ".dot":
        path.write_text(dot_text(caffe_net, rankdir, phase=phase), "utf-8")
    else:
        path.write_bytes(draw_net(caffe_net, rankdir, path.suffix[1:], phase))


def _in_phase(layer: pb.LayerParameter, phase: int) -> bool:
    included = [rule.phase for rule in layer.include if rule.HasField("phase")]
    excluded = [rule.phase for rule in layer.exclude if rule.HasField("phase")]
    return (not included or phase in included) and phase not in excluded


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
