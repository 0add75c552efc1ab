"""Why a public prototxt does not run: Python code of its author's, or a layer that Caffe refuses as well."""

from __future__ import annotations

import re
from typing import Any

UNKNOWN = re.compile(r"Unknown layer type|has no field named|Error parsing text-format|cannot be parsed|died of")


def own_modules(path: str) -> list[str]:
    """Return the Python modules, none of them known here, whose layers a file computes with at TEST."""
    from caffezoo.errors import ZooError
    from caffezoo.formats.phases import filter_net
    from caffezoo.formats.prototxt import read_prototxt
    from caffezoo.net.layers.python import is_known

    try:
        layers = filter_net(read_prototxt(path, lenient=True)).net.layer
    except ZooError:
        return []
    return sorted(
        {
            layer.python_param.module
            for layer in layers
            if layer.type == "Python" and layer.bottom and not is_known(layer.python_param)
        }
    )


def refused_by_caffe(path: str, python: str | None) -> str:
    """Return real Caffe's words of the layer that is refused here, at the bottoms that it has; empty if it takes it.

    Only of a file whose shapes are its own, and of a layer type that Caffe has.
    """
    from google.protobuf import text_format

    from caffezoo.engines.caffe_process import CaffeProcess
    from caffezoo.errors import CaffeAbortError, ShapeError, ZooError
    from caffezoo.formats.phases import filter_net
    from caffezoo.formats.prototxt import read_prototxt
    from caffezoo.net.graph import Network

    try:
        prototxt = filter_net(read_prototxt(path))
        Network(prototxt)
        return ""
    except ShapeError as error:
        place = re.search(r":(\d+): layer", str(error))
    except ZooError:
        return ""
    refused = prototxt.lines.index(int(place[1])) if place and int(place[1]) in prototxt.lines else 0
    layer = prototxt.net.layer[refused]
    if not layer.bottom:
        return ""
    above = type(prototxt.net)(name="above")
    above.layer.extend(prototxt.net.layer[:refused])
    shapes = {t.name: s for node in Network.from_proto(above).nodes for t, s in _tops(node)}
    net = type(prototxt.net)(name="refused")
    for bottom in dict.fromkeys(layer.bottom):
        source = net.layer.add(name=f"input_{bottom}", type="Input", top=[bottom])
        source.input_param.shape.add(dim=shapes[bottom])
    net.layer.add().CopyFrom(layer)
    try:
        with CaffeProcess(python, threads=1, timeout_s=60) as process:
            process.load(text_format.MessageToString(net))
    except CaffeAbortError as error:
        return "" if UNKNOWN.search(error.message) else error.message[:200]
    except ZooError:
        pass
    return ""


def _tops(node: Any) -> Any:
    return zip(node.named_tops, node.top_shapes, strict=False)
