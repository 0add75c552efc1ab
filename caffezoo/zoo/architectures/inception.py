"""GoogLeNet (Inception v1): four branches of different reach, concatenated (Szegedy et al., arXiv 1409.4842).

``googlenet`` is BVLC's deploy file; ``inception-v1-dsd`` is the same network trained dense-sparse-dense (Han et al.,
arXiv 1607.04381), whose file keeps the two auxiliary classifiers as outputs that nothing reads. Both use LRN and
biases.

``inception-v1-tf`` is TF-slim's: BatchNorm in place of LRN and biases, a 3x3 where the paper has 5x5 (a slip that
TF-slim kept), modules named a1 to c2, and a 1x1 convolution as classifier.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.provenance import SOEAVER, provenance
from caffezoo.zoo.architectures.registry import architecture
from caffezoo.zoo.builder import NetBuilder

# Channels of a module: 1x1; 3x3 (reduced, out); 5x5 (reduced, out); pool projection.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
AUXILIARY_HEADS = {"4a": "loss1", "4d": "loss2"}
SUBSAMPLED_AFTER = {"3b": 3, "4e": 4}


def conv_relu(b: NetBuilder, base: str, part: str, x: str, out: int, kernel: int, stride: int = 1) -> str:
    """Convolution ``<base>/<part>`` with bias, and its ReLU."""
    y = b.conv(f"{base}/{part}", x, out, kernel, stride=stride, pad=kernel // 2, bias=True)
    return b.relu(f"{base}/relu_{part.removesuffix('_s2')}", y)


def module(b: NetBuilder, base: str, x: str, name: str) -> str:
    """An Inception module; ``name`` is its row of :data:`MODULES`."""
    single, (reduced3, out3), (reduced5, out5), projection = MODULES[name]
    y1 = conv_relu(b, base, "1x1", x, single, 1)
    y3 = conv_relu(b, base, "3x3", conv_relu(b, base, "3x3_reduce", x, reduced3, 1), out3, 3)
    y5 = conv_relu(b, base, "5x5", conv_relu(b, base, "5x5_reduce", x, reduced5, 1), out5, 5)
    yp = conv_relu(b, base, "pool_proj", b.pool(f"{base}/pool", x, 3, pad=1), projection, 1)
    return b.concat(f"{base}/output", [y1, y3, y5, yp])


def auxiliary_head(b: NetBuilder, head: str, x: str) -> None:
    """A classifier for training, read off an inner module; nothing reads its output."""
    y = b.pool(f"{head}/ave_pool", x, 5, stride=3, method="AVE")
    y = b.relu(f"{head}/relu_conv", b.conv(f"{head}/conv", y, 128, 1, bias=True))
    y = b.relu(f"{head}/relu_fc", b.fc(f"{head}/fc", y, 1024))
    b.fc(f"{head}/classifier", b.dropout(f"{head}/drop_fc", y, 0.7), 1000)


def googlenet(name: str, source: str, sizes: str, *, auxiliary: bool) -> NetBuilder:
    """GoogLeNet, with or without the two auxiliary classifiers."""
    b = NetBuilder(name, provenance(source, sizes))
    x = conv_relu(b, "conv1", "7x7_s2", b.input(), 64, 7, stride=2)
    x = b.lrn("pool1/norm1", b.pool("pool1/3x3_s2", x, 3, stride=2))
    x = conv_relu(b, "conv2", "3x3_reduce", x, 64, 1)
    x = b.lrn("conv2/norm2", conv_relu(b, "conv2", "3x3", x, 192, 3))
    x = b.pool("pool2/3x3_s2", x, 3, stride=2)
    for key in MODULES:
        x = module(b, f"inception_{key}", x, key)
        if key in SUBSAMPLED_AFTER:
            x = b.pool(f"pool{SUBSAMPLED_AFTER[key]}/3x3_s2", x, 3, stride=2)
        if auxiliary and key in AUXILIARY_HEADS:
            auxiliary_head(b, AUXILIARY_HEADS[key], x)
    x = b.dropout("pool5/drop_7x7_s1", b.global_pool("pool5/7x7_s1", x), 0.4)
    b.softmax("prob", b.fc("loss3/classifier", x, 1000))
    return b


def tf_module(b: NetBuilder, base: str, x: str, name: str) -> str:
    """The same module in TF-slim: a second 3x3 for the 5x5."""
    single, (reduced_a, out_a), (reduced_b, out_b), projection = MODULES[name]
    y1 = b.conv_norm(f"{base}_1x1", x, single, 1)
    ya = b.conv_norm(f"{base}_3x3_a", b.conv_norm(f"{base}_3x3_a_reduce", x, reduced_a, 1), out_a, 3, pad=1)
    yb = b.conv_norm(f"{base}_3x3_b", b.conv_norm(f"{base}_3x3_b_reduce", x, reduced_b, 1), out_b, 3, pad=1)
    yp = b.conv_norm(f"{base}_pool_proj", b.pool(f"{base}_pool", x, 3, pad=1), projection, 1)
    return b.concat(f"{base}_output", [y1, ya, yb, yp])


def inception_v1_tf() -> NetBuilder:
    """TF-slim's Inception v1."""
    header = provenance(f"{SOEAVER}inception/deploy_inception-v1-tf.prototxt", "any from 32 up")
    b = NetBuilder("inception-v1-tf", header, bn_eps=1e-3)
    x = b.conv_norm("conv1_7x7_s2", b.input(), 64, 7, stride=2, pad=3)
    x = b.conv_norm("conv2_3x3_reduce", b.pool("pool1_3x3_s2", x, 3, stride=2), 64, 1)
    x = b.conv_norm("conv2_3x3", x, 192, 3, pad=1, relu="conv2_3x3relu")
    x = b.pool("pool2_3x3_s2", x, 3, stride=2)
    for key in MODULES:
        # Stages 3, 4 and 5 of the paper are a, b and c here, and modules are numbered from 1.
        x = tf_module(b, f"inception_{'abc'[int(key[0]) - 3]}{'abcde'.index(key[1]) + 1}", x, key)
        if key in SUBSAMPLED_AFTER:
            x = b.pool(f"pool{SUBSAMPLED_AFTER[key]}_3x3_s2", x, 3, stride=2)
    x = b.dropout("pool_7x7_s1_drop", b.global_pool("pool_7x7_s1", x), 0.2, top="pool_7x7_s1_drop")
    b.softmax("prob", b.reshape("reshape", b.conv("classifier", x, 1000, 1, bias=True), (0, 0)))
    return b


architecture(
    "inception",
    "googlenet",
    partial(
        googlenet, "googlenet", "BVLC/caffe models/bvlc_googlenet/deploy.prototxt", "any from 32 up", auxiliary=False
    ),
)
architecture(
    "inception",
    "inception-v1-dsd",
    partial(
        googlenet,
        "inception-v1-dsd",
        f"{SOEAVER}inception/deploy_inception-v1-dsd.prototxt",
        "191 to 238 (the auxiliary classifiers want maps of 4x4)",
        auxiliary=True,
    ),
)
architecture("inception", "inception-v1-tf", inception_v1_tf)
