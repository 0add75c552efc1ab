"""Drawings of a network's graph: DOT for Graphviz, and SVG with a layered layout of its own.

One box stands for a layer together with the layers that run in place on its top (convolution, batch norm, scale, ReLU),
as Caffe people draw networks. The layout is Sugiyama's method in its simplest useful form: ranks by longest path, dummy
points where an edge crosses ranks, order by barycentre, x by the mean of the neighbours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from html import escape

from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId, Shape
from caffezoo.net.outline import Outline, shape_text

COLOURS = {  # of boxes, by the type of their first layer; light enough for black text
    "Convolution": "#cfe3f7",
    "ConvolutionDepthwise": "#dcecfb",
    "Deconvolution": "#cfe3f7",
    "InnerProduct": "#d9d2f3",
    "Pooling": "#fbe3c6",
    "Eltwise": "#d8f0d3",
    "Axpy": "#d8f0d3",
    "Concat": "#d8f0d3",
    "Slice": "#d8f0d3",
    "Input": "#eeeeee",
    "Softmax": "#f7d5d5",
}
CHAR_PX, LINE_PX, PAD_PX, GAP_X_PX, GAP_Y_PX = 6.6, 14, 8, 26, 34


@dataclass(eq=False)
class Box:
    """A layer with its in-place followers; or, without layers, the point where a long edge crosses a rank."""

    nodes: list[Node] = field(default_factory=list)
    rank: int = 0
    x: float = 0.0
    y: float = 0.0
    span: float = 0.0  # height of a point: that of its row, so that its edge passes the row's boxes upright
    sources: list[tuple[Box, Shape]] = field(default_factory=list)

    @cached_property
    def lines(self) -> list[str]:
        if not self.nodes:
            return []
        first = self.nodes[0]
        detail = _detail(first)
        shapes = " ".join(shape_text(s, batch=False) for s in self.nodes[-1].top_shapes[:4])
        lines = [first.name, " ".join(filter(None, [first.layer.type, detail]))]
        if len(self.nodes) > 1:
            lines.append("+ " + ", ".join(n.layer.type for n in self.nodes[1:]))
        return [*lines, shapes]

    @cached_property
    def width(self) -> float:
        return max((len(line) for line in self.lines), default=0) * CHAR_PX + 2 * PAD_PX if self.nodes else 4.0

    @property
    def height(self) -> float:
        return len(self.lines) * LINE_PX + PAD_PX if self.nodes else self.span


def draw_dot(network: Network | Outline) -> str:
    """Return the graph in Graphviz's language."""
    boxes = _boxes(network)
    number = {id(b): f"n{i}" for i, b in enumerate(boxes)}
    out = [f"digraph {_quote(network.name or 'net')} {{", "  node [shape=box, style=filled, fontname=Helvetica];"]
    for box in boxes:
        colour = COLOURS.get(box.nodes[0].layer.type, "#ffffff")
        label = "\\n".join(_quote(line)[1:-1] for line in box.lines)
        out.append(f'  {number[id(box)]} [label="{label}", fillcolor="{colour}"];')
    for box in boxes:
        for source, shape in box.sources:
            out.append(f'  {number[id(source)]} -> {number[id(box)]} [label="{shape_text(shape, batch=False)}"];')
    return "\n".join([*out, "}", ""])


def draw_svg(network: Network | Outline) -> str:
    """Return the graph as a self-contained SVG document."""
    boxes = _boxes(network)
    ranks = _layout(boxes)
    everything = [b for row in ranks for b in row]
    left = min(b.x - b.width / 2 for b in everything) - 20
    right = max(b.x + b.width / 2 for b in everything) + 20
    bottom = max(b.y + b.height for b in everything) + 20
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} -20 {right - left:.0f} {bottom + 20:.0f}" '
        f'width="{right - left:.0f}" height="{bottom + 20:.0f}" font-family="Helvetica, Arial, sans-serif" '
        'font-size="11">',
        f"<title>{escape(network.name or network.path)}</title>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect x="{left:.0f}" y="-20" width="100%" height="100%" fill="#fff"/>',
    ]
    for box in everything:
        for source, _ in box.sources:
            x0, y0, x1, y1 = source.x, source.y + source.height, box.x, box.y
            bend = (y1 - y0) / 2
            arrow = ' marker-end="url(#a)"' if box.nodes else ""
            upright = "" if box.nodes else f"V{y1 + box.height:.1f}"
            out.append(
                f'<path d="M{x0:.1f} {y0:.1f}C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}'
                f'{upright}" fill="none" stroke="#555"{arrow}/>'
            )
    for box in boxes:
        out.append(_svg_box(box))
    return "\n".join([*out, "</svg>", ""])


def _svg_box(box: Box) -> str:
    colour = COLOURS.get(box.nodes[0].layer.type, "#ffffff")
    left = box.x - box.width / 2
    tip = "; ".join(f"{n.name} ({n.layer.type}, {n.parameter_count:,} parameters, {n.macs:,} MACs)" for n in box.nodes)
    text = "".join(
        f'<text x="{box.x:.1f}" y="{box.y + LINE_PX * (i + 1):.1f}" text-anchor="middle"'
        f"{' font-weight=' + chr(34) + 'bold' + chr(34) if i == 0 else ''}>{escape(line)}</text>"
        for i, line in enumerate(box.lines)
    )
    return (
        f'<g><title>{escape(tip)}</title><rect x="{left:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="4" fill="{colour}" stroke="#555"/>{text}</g>'
    )


def _boxes(network: Network | Outline) -> list[Box]:
    """Group in-place layers with the layer whose top they rewrite, and wire the groups."""
    owner: dict[BlobId, Box] = {}
    shape: dict[BlobId, Shape] = {}
    boxes: list[Box] = []
    readers = Counter(blob for node in network.nodes for blob in set(node.bottoms))
    for node in network.nodes:
        shape.update(zip(node.tops, node.top_shapes, strict=True))
        if len(node.bottoms) == 1 and len(node.tops) == 1 and node.bottoms[0].name == node.tops[0].name:
            box = owner[node.bottoms[0]]
            if readers[node.bottoms[0]] == 1:
                box.nodes.append(node)
                owner[node.tops[0]] = box
                continue
        box = Box([node], sources=[(owner[b], shape[b]) for b in node.bottoms])
        owner.update((t, box) for t in node.tops)
        boxes.append(box)
    return boxes


def _layout(boxes: list[Box]) -> list[list[Box]]:
    """Give every box a place; long edges get a point at every rank they cross. Returns the rows."""
    for box in boxes:
        box.rank = max((s.rank + 1 for s, _ in box.sources), default=0)
    rows: dict[int, list[Box]] = defaultdict(list)
    for box in boxes:
        rows[box.rank].append(box)
        wired = []
        for source, shape in box.sources:
            while source.rank < box.rank - 1:
                point = Box(rank=source.rank + 1, sources=[(source, shape)])
                rows[point.rank].append(point)
                source = point
            wired.append((source, shape))
        box.sources = wired
    ordered = [rows[r] for r in sorted(rows)]
    readers: dict[int, list[Box]] = defaultdict(list)
    for row in ordered:
        for box in row:
            for source, _ in box.sources:
                readers[id(source)].append(box)
    _spread(ordered)
    for _ in range(6):
        for row in ordered:
            _order(row, {id(b): [s for s, _ in b.sources] for b in row})
        for row in reversed(ordered):
            _order(row, readers)
    y = 0.0
    for row in ordered:
        for box in row:
            box.y = y
        tallest = max(b.height for b in row)
        for box in row:
            box.span = tallest
        y += tallest + GAP_Y_PX
    return ordered


def _spread(rows: list[list[Box]]) -> None:
    for row in rows:
        x = -sum(b.width + GAP_X_PX for b in row) / 2
        for box in row:
            box.x = x + box.width / 2
            x += box.width + GAP_X_PX


def _order(row: list[Box], neighbours: dict[int, list[Box]]) -> None:
    """Move each box to the mean of its neighbours, then push overlapping boxes apart around their common centre."""
    wish = {}
    for box in row:
        near = neighbours.get(id(box)) or [box]
        wish[id(box)] = sum(n.x for n in near) / len(near)
    row.sort(key=lambda b: wish[id(b)])
    edge = float("-inf")
    for box in row:
        box.x = max(wish[id(box)], edge + box.width / 2)
        edge = box.x + box.width / 2 + GAP_X_PX
    drift = sum(b.x - wish[id(b)] for b in row) / len(row)
    for box in row:
        box.x -= drift


def _detail(node: Node) -> str:
    """Return kernel and stride of a layer that has them, as ``3x3/2``."""
    param = node.layer.param
    if param is None or not hasattr(param, "kernel_size"):
        return ""
    if getattr(param, "global_pooling", False):
        return "global"
    kernel = node.blob_shapes[0][2:] if node.blob_shapes else ((param.kernel_size or param.kernel_h),) * 2
    stride = param.stride or [1]
    stride = stride if isinstance(stride, int) else stride[0]
    text = "x".join(map(str, kernel))
    return f"{text}/{stride}" if stride != 1 else text


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
