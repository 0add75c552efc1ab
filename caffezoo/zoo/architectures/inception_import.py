"""PyTorch's names for Inception v4 and Inception-ResNet v2: Cadene's, which timm keeps but for one classifier's name.

Both were ported from TF-slim, as the Caffe weights were. Cadene's files have TF-slim's 1001 classes, the background
first. torch's averages leave padding out of their count, as TensorFlow's do; Caffe's count it, so that the borders of
those branches differ. The published Caffe networks have the same fault.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.tensor_map import TensorMap, no_tensor_map, tensor_map
from caffezoo.zoo.torch_layers import INCEPTION, TorchLayers

# Convolutions of a module: our layer's suffix, module's path there.
Parts = tuple[tuple[str, str], ...]
V4_STEM: Parts = (
    ("conv1_3x3_s2", "0"),
    ("conv2_3x3_s1", "1"),
    ("conv3_3x3_s1", "2"),
    ("inception_stem1_3x3_s2", "3.conv"),
    ("inception_stem2_3x3_reduce", "4.branch0.0"),
    ("inception_stem2_3x3", "4.branch0.1"),
    ("inception_stem2_1x7_reduce", "4.branch1.0"),
    ("inception_stem2_1x7", "4.branch1.1"),
    ("inception_stem2_7x1", "4.branch1.2"),
    ("inception_stem2_3x3_2", "4.branch1.3"),
    ("inception_stem3_3x3_s2", "5.conv"),
)
V4_A: Parts = (
    ("1x1_2", "branch0"),
    ("3x3_reduce", "branch1.0"),
    ("3x3", "branch1.1"),
    ("3x3_2_reduce", "branch2.0"),
    ("3x3_2", "branch2.1"),
    ("3x3_3", "branch2.2"),
    ("1x1", "branch3.1"),
)
V4_B: Parts = (
    ("1x1_2", "branch0"),
    ("1x7_reduce", "branch1.0"),
    ("1x7", "branch1.1"),
    ("7x1", "branch1.2"),
    ("7x1_2_reduce", "branch2.0"),
    ("7x1_2", "branch2.1"),
    ("1x7_2", "branch2.2"),
    ("7x1_3", "branch2.3"),
    ("1x7_3", "branch2.4"),
    ("1x1", "branch3.1"),
)
V4_C: Parts = (
    ("1x1_2", "branch0"),
    ("1x1_3", "branch1_0"),
    ("1x3", "branch1_1a"),
    ("3x1", "branch1_1b"),
    ("1x1_4", "branch2_0"),
    ("3x1_2", "branch2_1"),
    ("1x3_2", "branch2_2"),
    ("1x3_3", "branch2_3a"),
    ("3x1_3", "branch2_3b"),
    ("1x1", "branch3.1"),
)
REDUCTION_A: Parts = (
    ("3x3", "branch0"),
    ("3x3_2_reduce", "branch1.0"),
    ("3x3_2", "branch1.1"),
    ("3x3_3", "branch1.2"),
)
V4_REDUCTION_B: Parts = (
    ("3x3_reduce", "branch0.0"),
    ("3x3", "branch0.1"),
    ("1x7_reduce", "branch1.0"),
    ("1x7", "branch1.1"),
    ("7x1", "branch1.2"),
    ("3x3_2", "branch1.3"),
)
RESNET_STEM: Parts = (
    ("conv1_3x3_s2", "conv2d_1a"),
    ("conv2_3x3_s1", "conv2d_2a"),
    ("conv3_3x3_s1", "conv2d_2b"),
    ("conv4_3x3_reduce", "conv2d_3b"),
    ("conv4_3x3", "conv2d_4a"),
    ("conv5_1x1", "mixed_5b.branch0"),
    ("conv5_5x5_reduce", "mixed_5b.branch1.0"),
    ("conv5_5x5", "mixed_5b.branch1.1"),
    ("conv5_3x3_reduce", "mixed_5b.branch2.0"),
    ("conv5_3x3", "mixed_5b.branch2.1"),
    ("conv5_3x3_2", "mixed_5b.branch2.2"),
    ("conv5_1x1_ave", "mixed_5b.branch3.1"),
)
RESNET_A: Parts = (
    ("1x1", "branch0"),
    ("3x3_reduce", "branch1.0"),
    ("3x3", "branch1.1"),
    ("3x3_2_reduce", "branch2.0"),
    ("3x3_2", "branch2.1"),
    ("3x3_3", "branch2.2"),
)
RESNET_B: Parts = (
    ("1x1", "branch0"),
    ("1x7_reduce", "branch1.0"),
    ("1x7", "branch1.1"),
    ("7x1", "branch1.2"),
)
RESNET_C: Parts = (
    ("1x1", "branch0"),
    ("1x3_reduce", "branch1.0"),
    ("1x3", "branch1.1"),
    ("3x1", "branch1.2"),
)
RESNET_REDUCTION_B: Parts = (
    ("3x3_reduce", "branch0.0"),
    ("3x3", "branch0.1"),
    ("3x3_2_reduce", "branch1.0"),
    ("3x3_2", "branch1.1"),
    ("3x3_3_reduce", "branch2.0"),
    ("3x3_3", "branch2.1"),
    ("3x3_4", "branch2.2"),
)


def module(t: TorchLayers, base: str, torch: str, parts: Parts) -> None:
    """Convolutions with BatchNorm below a common path."""
    for layer, path in parts:
        t.conv_norm(f"{base}{layer}", f"{torch}{path}.conv", f"{torch}{path}.bn")


def v4_map() -> TensorMap:
    """Cadene's and timm's names: ``features`` counts the stem's parts, the modules and the reductions through."""
    t = TorchLayers()
    module(t, "", "features.", V4_STEM)
    place = 6
    for letter, parts, repeats, reduction in (
        ("a", V4_A, 4, REDUCTION_A),
        ("b", V4_B, 7, V4_REDUCTION_B),
        ("c", V4_C, 3, ()),
    ):
        for i in range(1, repeats + 1):
            module(t, f"inception_{letter}{i}_", f"features.{place}.", parts)
            place += 1
        module(t, f"reduction_{letter}_", f"features.{place}.", reduction)
        place += 1
    t.fc("classifier", "last_linear")
    models = ("pretrainedmodels:inceptionv4", "timm:inception_v4")
    return t.finish(INCEPTION, *models, background=True, differences=("average-counts-padding",))


def resnet_module(t: TorchLayers, base: str, torch: str, parts: Parts) -> None:
    """A residual module: its branches, and the 1x1 with bias that expands them."""
    module(t, f"{base}_", f"{torch}.", parts)
    t.conv(f"{base}_up", f"{torch}.conv2d", bias=True)


def resnet_v2_map(classifier: str, model: str) -> TensorMap:
    """Ten modules ``repeat``, twenty ``repeat_1``, nine ``repeat_2`` and a last one, ``block8``."""
    t = TorchLayers()
    module(t, "", "", RESNET_STEM)
    for i in range(10):
        resnet_module(t, f"inception_resnet_v2_a{i + 1}", f"repeat.{i}", RESNET_A)
    module(t, "reduction_a_", "mixed_6a.", REDUCTION_A)
    for i in range(20):
        resnet_module(t, f"inception_resnet_v2_b{i + 1}", f"repeat_1.{i}", RESNET_B)
    module(t, "reduction_b_", "mixed_7a.", RESNET_REDUCTION_B)
    for i in range(10):
        resnet_module(t, f"inception_resnet_v2_c{i + 1}", f"repeat_2.{i}" if i < 9 else "block8", RESNET_C)
    t.conv_norm("conv6_1x1", "conv2d_7b.conv", "conv2d_7b.bn")
    t.fc("classifier", classifier)
    return t.finish(INCEPTION, model, background=True, differences=("average-counts-padding",))


tensor_map("inception-v4", "torch", v4_map, "cadene")
for scheme, classifier, model in (
    ("cadene", "last_linear", "pretrainedmodels:inceptionresnetv2"),
    ("timm", "classif", "timm:inception_resnet_v2"),
):
    tensor_map("inception-resnet-v2", "torch", partial(resnet_v2_map, classifier, model), scheme)
no_tensor_map(
    "inception-v1-tf",
    "torch",
    "torchvision's googlenet takes the maximum before modules 5 over 2x2, this network over 3x3",
)
no_tensor_map(
    "googlenet",
    "torch",
    "torchvision's googlenet has BatchNorm and 3x3 in place of 5x5 convolutions: another network",
)
no_tensor_map(
    "inception-v3",
    "torch",
    "its last module takes a maximum where torchvision's and timm's inception_v3 averages",
)
