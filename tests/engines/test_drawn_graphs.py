"""Graphs of every shape, drawn: unread, silenced and rewritten inputs, cuts along every axis, chains in place. Every
engine gives what real Caffe gives, for all outputs and for any choice of blobs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import hashed_uniform
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import output_names, to_onnx
from tests.engines.networks import requires_torch
from tests.net.layers.draws import cases
from tests.oracle import assert_close, caffe_outputs, onnx_outputs, oracle_python, requires_caffe

BATCH = 4
KINDS = ("ReLU", "Power", "Eltwise", "Slice", "Concat", "InnerProduct", "Silence", "Scale")


@dataclass
class Graph:
    """A net under construction: its text, and the shapes of the blobs that a next layer may read."""

    text: str = ""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    count: int = 0
    read: set[str] = field(default_factory=set)

    def add(self, kind: str, bottoms: list[str], tops: dict[str, tuple[int, ...]], param: str = "") -> None:
        wires = [f'bottom: "{b}"' for b in bottoms] + [f'top: "{t}"' for t in tops]
        self.text += f'layer {{ name: "l{self.count}" type: "{kind}" {" ".join(wires)} {param} }}\n'
        self.count += 1
        self.shapes.update(tops)
        self.read.update(bottoms)
        self.read.difference_update(tops)

    def new(self) -> str:
        return f"b{self.count}"


@st.composite
def graphs(draw: st.DrawFn) -> str:
    graph = Graph()
    for i in range(draw(st.integers(1, 3))):
        shape = (BATCH, *draw(st.sampled_from([(), (6,), (2, 3)])))
        dims = " ".join(f"dim: {d}" for d in shape)
        graph.add("Input", [], {f"in{i}": shape}, f"input_param {{ shape {{ {dims} }} }}")
    for _ in range(draw(st.integers(1, 7))):
        bottom = draw(st.sampled_from(sorted(graph.shapes)))
        shape, top = graph.shapes[bottom], graph.new()
        kind = draw(st.sampled_from(KINDS))
        if kind in ("ReLU", "Power"):
            # Caffe refuses to rewrite in place what another layer has read.
            made = bottom if bottom not in graph.read and draw(st.booleans()) else top
            graph.add(kind, [bottom], {made: shape}, "power_param { scale: -0.5 shift: 1 }" if kind == "Power" else "")
        elif kind == "Eltwise":
            others = sorted(b for b, s in graph.shapes.items() if s == shape)
            graph.add(kind, [bottom, draw(st.sampled_from(others))], {top: shape})
        elif kind == "Slice":
            axis = draw(st.sampled_from([i for i, d in enumerate(shape) if d % 2 == 0] or [None]))
            if axis is not None:
                half = (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])
                graph.add(kind, [bottom], {top: half, f"{top}s": half}, f"slice_param {{ axis: {axis} }}")
        elif kind == "Concat":
            axis = draw(st.integers(0, len(shape) - 1))
            double = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
            graph.add(kind, [bottom, bottom], {top: double}, f"concat_param {{ axis: {axis} }}")
        elif kind == "InnerProduct" and len(shape) > 1:
            graph.add(kind, [bottom], {top: (shape[0], 2)}, "inner_product_param { num_output: 2 }")
        elif kind == "Silence":
            graph.add(kind, [bottom], {})
        elif kind == "Scale":
            graph.add(kind, [bottom], {top: shape}, "scale_param { axis: 0 bias_term: true }")
    return graph.text


def network(text: str) -> Network:
    made = Network.from_text(text)
    blobs = {n.key: [hashed_uniform(f"{n.key}:{i}", s) for i, s in enumerate(n.blob_shapes)] for n in made.nodes}
    return made.with_weights({key: found for key, found in blobs.items() if found})


def feed(made: Network) -> dict[str, np.ndarray]:
    return {name: 2 * hashed_uniform(name, shape) for name, shape in made.inputs.items()}


def wanted_of(made: Network, names: list[str]) -> dict[str, np.ndarray]:
    return caffe_outputs(write_prototxt(made.prototxt.net), made.weights, feed(made), names)


@requires_caffe
@pytest.mark.parametrize(
    "engine", ["openvino", "onnxruntime", pytest.param("torch", marks=requires_torch), "caffe"], scope="module"
)
@cases(15)
@given(text=graphs(), data=st.data())
def test_every_graph_gives_caffes_values(engine: str, text: str, data: st.DataObject) -> None:
    made = network(text)
    names = list(made.outputs)
    if data.draw(st.booleans()):
        blobs = sorted({top.name for node in made.nodes for top in node.tops})
        names = data.draw(st.lists(st.sampled_from(blobs), min_size=1, max_size=3, unique=True))
    if not names:
        return
    wanted = wanted_of(made, names)
    with create_engine(engine, made, outputs=names, caffe_python=oracle_python()) as running:
        found = running.run(feed(made))
    assert list(found) == names
    for name in names:
        assert_close(found[name], wanted[name], f"{engine} {name}\n{text}", 1e-5)


@requires_caffe
@cases(15)
@given(text=graphs())
def test_every_graph_is_exported(text: str) -> None:
    made = network(text)
    if not made.outputs:
        return
    wanted = wanted_of(made, list(made.outputs))
    for runtime, found in onnx_outputs(to_onnx(made), feed(made)).items():
        for name, called in output_names(made).items():
            assert_close(found[called], wanted[name], f"{runtime} {name}\n{text}", 1e-5)
