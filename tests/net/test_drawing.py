"""Drawings: well-formed, complete, and hostile names do not break out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from caffezoo.net.drawing import draw_dot, draw_svg
from caffezoo.net.graph import Network

TEXT = """
name: "a < b" input: "data" input_shape { dim: 1 dim: 4 dim: 8 dim: 8 }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 1 } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "\\"quoted\\" & <b>" type: "Sigmoid" bottom: "c2" top: "s" }
layer { name: "sum" type: "Eltwise" bottom: "c1" bottom: "s" bottom: "data" top: "sum" }
"""  # noqa: E501


def test_svg_is_xml_with_a_box_for_every_group_of_layers() -> None:
    root = ET.fromstring(draw_svg(Network.from_text(TEXT)))
    space = {"s": "http://www.w3.org/2000/svg"}
    tips = [t.text or "" for t in root.findall("s:g/s:title", space)]
    assert len(tips) == 5  # data, c1 with r1, c2, the quoted one, sum
    assert any("c1 (Convolution" in t and "r1 (ReLU" in t for t in tips)
    assert any('"quoted" & <b>' in t for t in tips)


def test_svg_boxes_of_one_row_do_not_overlap() -> None:
    root = ET.fromstring(draw_svg(Network.from_text(TEXT)))
    groups = root.findall("{*}g/{*}rect")
    boxes = [{k: float(r.get(k, 0)) for k in ("x", "y", "width")} for r in groups]
    assert len({b["y"] for b in boxes}) > 3
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            if a["y"] == b["y"]:
                assert a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]


def test_dot_has_every_edge_with_the_shape_that_flows() -> None:
    dot = draw_dot(Network.from_text(TEXT))
    assert len(re.findall(r" -> ", dot)) == 6
    assert 'label="4x8x8"' in dot
    assert '\\"quoted\\" & <b>' in dot
