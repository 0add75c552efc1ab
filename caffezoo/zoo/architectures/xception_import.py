"""PyTorch's names for Xception: Cadene's, which timm keeps as ``legacy_xception`` but for the classifier's name.

They were ported from Keras with PyTorch's epsilon of 1e-5, where Keras and Caffe have 1e-3, and with a padded maximum
in block 2, where TensorFlow's 'same' on an even size, and Caffe, start at the first pixel. The epsilon is made good in
the variances; the maximum stays Caffe's.
"""

from __future__ import annotations

from functools import partial

from caffezoo.zoo.architectures.xception import ENTRY_WIDTHS, MIDDLE_BLOCKS
from caffezoo.zoo.tensor_map import TensorMap, tensor_map
from caffezoo.zoo.torch_layers import INCEPTION, TORCH_EPSILON, TorchLayers


def separable(t: TorchLayers, layer: str, conv: str, norm: str) -> None:
    """Depthwise and 1x1 convolution, and the norm behind both."""
    t.conv(f"{layer}_1", f"{conv}.conv1")
    t.conv(f"{layer}_2", f"{conv}.pointwise")
    t.norm(layer, norm)


def xception_map(classifier: str, model: str) -> TensorMap:
    """``rep`` lists ReLU, separable convolution, norm three times over; block 1 has no first ReLU."""
    t = TorchLayers(epsilon=(TORCH_EPSILON, 1e-3))
    for i in (1, 2):
        t.conv_norm(f"conv{i}", f"conv{i}", f"bn{i}")
    entry, middle = len(ENTRY_WIDTHS), len(ENTRY_WIDTHS) + MIDDLE_BLOCKS
    for index in range(1, middle + 2):
        is_middle = entry < index <= middle
        for k in range(3 if is_middle else 2):
            place = 3 * k + (0 if index == 1 else 1)
            rep = f"block{index}.rep"
            separable(t, f"xception{index}_conv{k + 1}", f"{rep}.{place}", f"{rep}.{place + 1}")
        if not is_middle:
            t.conv_norm(f"xception{index}_match_conv", f"block{index}.skip", f"block{index}.skipbn")
    for i in (3, 4):
        separable(t, f"conv{i}", f"conv{i}", f"bn{i}")
    t.fc("classifier", classifier)
    return t.finish(INCEPTION, model, differences=("pool2-unpadded",))


for name in ("xception", "xception-dw"):
    tensor_map(name, "torch", partial(xception_map, "last_linear", "pretrainedmodels:xception"), "cadene")
    tensor_map(name, "torch", partial(xception_map, "fc", "timm:legacy_xception"), "timm")
