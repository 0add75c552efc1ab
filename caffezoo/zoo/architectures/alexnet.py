"""AlexNet (Krizhevsky et al., NIPS 2012) and CaffeNet, BVLC's replication of it.

Five convolutions and three wide classifiers. Second, fourth and fifth convolution run in two groups, as the two GPUs
of the original did. The two networks own the same layers and blobs; they differ in one thing: AlexNet normalises
local responses and then takes the maximum, CaffeNet takes the maximum first, which costs a quarter of the
normalisation. BVLC publishes them as bvlc_alexnet and bvlc_reference_caffenet, at batch 10.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

SIZES = "227 (from 199 to 230 the last map is 6x6, as fc6 needs it)"


def pool_and_norm(b: NetBuilder, i: int, x: str, *, pool_first: bool) -> str:
    if pool_first:
        return b.lrn(f"norm{i}", b.pool(f"pool{i}", x, 3, stride=2))
    return b.pool(f"pool{i}", b.lrn(f"norm{i}", x), 3, stride=2)


def alexnet(name: str, source: str, *, pool_first: bool) -> NetBuilder:
    b = NetBuilder(name, provenance(source, SIZES))
    x = b.relu("relu1", b.conv("conv1", b.input((1, 3, 227, 227)), 96, 11, stride=4, bias=True))
    x = pool_and_norm(b, 1, x, pool_first=pool_first)
    x = b.relu("relu2", b.conv("conv2", x, 256, 5, pad=2, group=2, bias=True))
    x = pool_and_norm(b, 2, x, pool_first=pool_first)
    for i, width, group in ((3, 384, 1), (4, 384, 2), (5, 256, 2)):
        x = b.relu(f"relu{i}", b.conv(f"conv{i}", x, width, 3, pad=1, group=group, bias=True))
    x = b.pool("pool5", x, 3, stride=2)
    for i in (6, 7):
        x = b.dropout(f"drop{i}", b.relu(f"relu{i}", b.fc(f"fc{i}", x, 4096)))
    b.softmax("prob", b.fc("fc8", x, 1000))
    return b


for name, model, pool_first in (("alexnet", "bvlc_alexnet", False), ("caffenet", "bvlc_reference_caffenet", True)):
    source = f"BVLC/caffe models/{model}/deploy.prototxt"
    architecture("alexnet", name, partial(alexnet, name, source, pool_first=pool_first))
