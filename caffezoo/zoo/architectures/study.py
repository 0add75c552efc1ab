"""AlexNet and GoogLeNet of the 8-bit and binary study, full precision: templates with a class count.

The study fine-tunes on cats and dogs: 227x227 px, two classes. Its AlexNet has no groups and no normalisation, and a
fully connected layer of 9216 units between the last map and the usual two of 4096: 143,233,410 parameters at two
classes, where the original has 61 million. Its GoogLeNet (Szegedy et al., arXiv 1409.4842) has no normalisation
either, pads every maximum as TensorFlow's 'same' does, and leaves the two auxiliary heads out: 5,975,602 parameters.

Layers are named as in BVLC's files where those have them. The 8-bit and binary networks quantise these layers'
weights and activations; they are made from this full-precision form. The counts are the study's own.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

SIZE_PX = 227
# 1x1; 3x3 behind its 1x1; 5x5 behind its 1x1; 1x1 behind the maximum. None: a maximum that halves the map.
INCEPTIONS: tuple[tuple[str, tuple[int, int, int, int, int, int]] | None, ...] = (
    ("3a", (64, 96, 128, 16, 32, 32)),
    ("3b", (128, 128, 192, 32, 96, 64)),
    None,
    ("4a", (192, 96, 208, 16, 48, 64)),
    ("4b", (160, 112, 224, 24, 64, 64)),
    ("4c", (128, 128, 256, 24, 64, 64)),
    ("4d", (112, 144, 288, 32, 64, 64)),
    ("4e", (256, 160, 320, 32, 128, 128)),
    None,
    ("5a", (256, 160, 320, 32, 128, 128)),
    ("5b", (384, 192, 384, 48, 128, 128)),
)


def conv_relu(b: NetBuilder, name: str, x: str, out: int, kernel: int, *, stride: int = 1, pad: int = 0) -> str:
    return b.relu(f"{name}_relu", b.conv(name, x, out, kernel, stride=stride, pad=pad, bias=True))


def alexnet(classes: int = 2) -> NetBuilder:
    """The study's AlexNet for a number of classes."""
    sizes = f"{SIZE_PX} (from 199 to 230 the last map is 6x6, as fc6 needs it)"
    b = NetBuilder("study-alexnet", provenance("AlexNet of the 8-bit and binary study", sizes))
    x = conv_relu(b, "conv1", b.input((1, 3, SIZE_PX, SIZE_PX)), 96, 11, stride=4)
    x = conv_relu(b, "conv2", b.pool("pool1", x, 3, stride=2), 256, 5, pad=2)
    x = b.pool("pool2", x, 3, stride=2)
    for i, width in ((3, 384), (4, 384), (5, 256)):
        x = conv_relu(b, f"conv{i}", x, width, 3, pad=1)
    x = b.pool("pool5", x, 3, stride=2)
    x = b.dropout("drop6", b.relu("fc6_relu", b.fc("fc6", x, 9216)))
    for i in (7, 8):
        x = b.relu(f"fc{i}_relu", b.fc(f"fc{i}", x, 4096))
    b.softmax("prob", b.fc("classifier", x, classes))
    return b


def inception(b: NetBuilder, module: str, x: str, widths: tuple[int, int, int, int, int, int]) -> str:
    """Four branches side by side, named after BVLC's GoogLeNet."""
    name = f"inception_{module}"
    one, reduce3, three, reduce5, five, pooled = widths
    branch1 = conv_relu(b, f"{name}/1x1", x, one, 1)
    branch3 = conv_relu(b, f"{name}/3x3", conv_relu(b, f"{name}/3x3_reduce", x, reduce3, 1), three, 3, pad=1)
    branch5 = conv_relu(b, f"{name}/5x5", conv_relu(b, f"{name}/5x5_reduce", x, reduce5, 1), five, 5, pad=2)
    branch_pool = conv_relu(b, f"{name}/pool_proj", b.pool(f"{name}/pool", x, 3, pad=1), pooled, 1)
    return b.concat(f"{name}/output", [branch1, branch3, branch5, branch_pool])


def googlenet(classes: int = 2) -> NetBuilder:
    """The study's GoogLeNet for a number of classes."""
    note = "'same' padding as in TensorFlow at 227, where the pooled maps have 114, 57, 29 and 15 pixels"
    b = NetBuilder("study-googlenet", provenance("GoogLeNet of the 8-bit and binary study", "any from 32 up", note))
    x = conv_relu(b, "conv1/7x7_s2", b.input((1, 3, SIZE_PX, SIZE_PX)), 64, 7, stride=2, pad=3)
    # 'same' on an even map starts at its first pixel and hangs over its end; on an odd map it pads both sides.
    x = b.pool("pool1/3x3_s2", x, 3, stride=2)
    x = conv_relu(b, "conv2/3x3", conv_relu(b, "conv2/3x3_reduce", x, 64, 1), 192, 3, pad=1)
    x = b.pool("pool2/3x3_s2", x, 3, stride=2, pad=1)
    stage = 3
    for entry in INCEPTIONS:
        if entry is None:
            x = b.pool(f"pool{stage}/3x3_s2", x, 3, stride=2, pad=1)
            stage += 1
        else:
            x = inception(b, entry[0], x, entry[1])
    x = b.dropout("pool5/drop", b.global_pool("pool5", x), 0.4)
    b.softmax("prob", b.fc("classifier", x, classes))
    return b


architecture("study", "study-alexnet", partial(alexnet, 2))
architecture("study", "study-googlenet", partial(googlenet, 2))
