"""A builder for networks that Keras defines: Keras' paddings, made exact with Caffe's layers and without extra weights.

Keras pads as TensorFlow does. ``'valid'`` drops what does not fill a window, so pooling rounds down. ``'same'`` gives
``ceil(n / stride)`` pixels and puts an odd pixel of padding behind the map, where Caffe only pads both sides alike:

* A convolution whose padding is odd (every stride-2 one on an even map) gets one stride more in front and equally
  much behind; its first row and column, which only that surplus made, are sliced off. Kernels keep Keras' shapes and
  the parameter count is Keras' own. Zero-extended kernels would do as well, with 16/9 of the weights and work for a
  3x3.
* A maximum pads what TensorFlow pads in front and rounds up: Caffe clips a window that hangs over.
* An average over 'same' counts real pixels only, Caffe's counts the padding. The average of a map of ones under the
  same window is the share of real pixels; the pooled map is multiplied by its reciprocal. The ones are made from any
  blob of that size (``0 * x + 1``), pooled with one channel, and tiled once for each number of channels that asks. On
  an even map with stride 2 nothing is padded in front and Caffe does not count what hangs over: no correction.

Which of these a layer needs depends on its map's parity. A :class:`KerasBuilder` therefore follows the size of every
map, and a network is exact at every input size that leads through the same parities as the size that it was built
for.

Automatic names follow Keras: a BatchNormalization ``x`` becomes BatchNorm ``x`` and Scale ``x_scale`` (or, without
gamma, Bias ``x_bias``); a SeparableConv2D ``x`` becomes ``x_depthwise`` and ``x_pointwise``.

Inputs are BGR as of every Caffe network; where Keras trained on RGB, the first kernel is turned on import, not here.

Beside the Caffe layers the builder writes down the Keras layers that have weights, from which
:mod:`caffezoo.zoo.keras_layers` makes the map for imports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from caffezoo.zoo.builder import IntOrPair, NetBuilder
from caffezoo.zoo.keras_layers import KerasLayer, flattened, grouped, hwio_to_oihw, transposed
from caffezoo.zoo.tensor_map import BlobSource, rgb_to_bgr


class KerasBuilder(NetBuilder):
    """Collects the layers of a Keras network for one input size.

    Parameters
    ----------
    name, header : str
    size_px : int
        Edge of the square input.
    bn_eps : float
        Epsilon of the BatchNorms; Keras' default is 1e-3.
    mode : {'tf', 'torch', 'caffe', 'unit'}
        How Keras prepares images for the weights; only 'caffe' is BGR.

    Attributes
    ----------
    keras_layers : list of KerasLayer
        Keras' layers with weights, in the order of creation.
    lengths : dict of str to int
        Caffe layers that stand for more or fewer than one layer in Keras.
    """

    def __init__(self, name: str, header: str, size_px: int, *, bn_eps: float = 1e-3, mode: str = "tf") -> None:
        super().__init__(name, header, bn_eps=bn_eps)
        self.mode = mode
        self.keras_layers: list[KerasLayer] = []
        self.lengths: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._numbers: Counter[str] = Counter()
        self._built: set[str] = set()
        self.image = self.input((1, 3, size_px, size_px))
        self._sizes[self.image] = size_px

    def size(self, blob: str) -> int:
        """Return the edge in pixels of a square map built here."""
        return self._sizes[blob]

    def numbered(self, prefix: str) -> str:
        """Return the name that Keras gives a layer without one: ``conv2d_1``, ``conv2d_2`` ..."""
        self._numbers[prefix] += 1
        return f"{prefix}_{self._numbers[prefix]}"

    def layer(
        self, type_: str, name: str, bottoms: str | Sequence[str], top: str | Sequence[str] | None = None, **params: Any
    ) -> str:
        out = super().layer(type_, name, bottoms, top, **params)
        first = bottoms if isinstance(bottoms, str) else bottoms[0]
        for blob in [name] if top is None else [top] if isinstance(top, str) else top:
            self._sizes[blob] = self._sizes[first]
        return out

    def conv(
        self,
        name: str,
        bottom: str,
        num_output: int,
        kernel: IntOrPair,
        *,
        group: int = 1,
        bias: bool = False,
        **options: Any,
    ) -> str:
        width = self.channels(bottom)
        changes = [hwio_to_oihw if group == 1 else grouped(width // group)]
        if bottom == self.image and self.mode != "caffe":
            changes.append(rgb_to_bgr)
        sources = [BlobSource("kernel", tuple(changes))]
        if bias:
            sources.append(BlobSource("bias"))
        self._record("conv2d" if group == 1 else "depthwise_conv2d", name, {name: tuple(sources)})
        return super().conv(name, bottom, num_output, kernel, group=group, bias=bias, **options)

    def fc(self, name: str, bottom: str, num_output: int, *, bias: bool = True, top: str | None = None) -> str:
        """Append a Dense, behind a Flatten if ``bottom`` is a map."""
        size = self._sizes[bottom]
        sources = [BlobSource("kernel", (flattened(size) if size > 1 else transposed,))]
        if bias:
            sources.append(BlobSource("bias"))
        self._record("dense", name, {name: tuple(sources)})
        out = super().fc(name, bottom, num_output, bias=bias, top=top)
        self._sizes[out] = 1
        return out

    def global_pool(self, name: str, bottom: str, *, method: str = "AVE", top: str | None = None) -> str:
        out = super().global_pool(name, bottom, method=method, top=top)
        self._sizes[out] = 1
        return out

    def _record(self, kind: str, name: str, blobs: dict[str, tuple[BlobSource, ...]]) -> None:
        self.keras_layers.append(KerasLayer(kind, name, blobs))

    def conv2d(
        self,
        name: str,
        x: str,
        filters: int,
        kernel: IntOrPair,
        *,
        strides: int = 1,
        padding: str | int = "valid",
        bias: bool = False,
        groups: int = 1,
    ) -> str:
        """Append a Conv2D.

        Parameters
        ----------
        kernel : int or (int, int)
            Height and width; a pair only with stride 1.
        padding : {'valid', 'same'} or int
            A number is a ZeroPadding2D of so many pixels on every side.
        """
        n = self._sizes[x]
        before, after = self._padding(n, kernel, strides, padding)
        if before == after:
            pad: IntOrPair = before
            if isinstance(kernel, tuple) and padding == "same":
                pad = (kernel[0] // 2, kernel[1] // 2)
            out = self.conv(name, x, filters, kernel, stride=strides, pad=pad, group=groups, bias=bias)
        else:
            options: dict[str, Any] = {"stride": strides, "pad": before + strides, "group": groups, "bias": bias}
            out = self._drop_first(name, self.conv(name, x, filters, kernel, top=f"{name}_wide", **options))
        window = max(kernel) if isinstance(kernel, tuple) else kernel
        if isinstance(padding, int):
            self.lengths[name] = 2
        self._sizes[out] = n if padding == "same" and strides == 1 else (n + before + after - window) // strides + 1
        return out

    def odd_conv2d(self, name: str, x: str, filters: int) -> str:
        """Append a 1x1 convolution without bias on x[1::2] in both directions, with zeros behind an odd map."""
        out = self._drop_first(name, self.conv(name, x, filters, 1, stride=2, pad=1, top=f"{name}_wide"))
        self._sizes[out] = -(-self._sizes[x] // 2)
        return out

    def depthwise(self, name: str, x: str, kernel: int, *, strides: int = 1, padding: str | int = "same") -> str:
        """Append a DepthwiseConv2D of multiplier 1 without bias."""
        width = self.channels(x)
        return self.conv2d(name, x, width, kernel, strides=strides, padding=padding, groups=width)

    def separable(self, name: str, x: str, filters: int, kernel: int, *, strides: int = 1) -> str:
        """Append a SeparableConv2D, 'same' and without bias: depthwise, then 1x1."""
        x = self.depthwise(f"{name}_depthwise", x, kernel, strides=strides)
        x = self.conv2d(f"{name}_pointwise", x, filters, 1)
        self.lengths[f"{name}_depthwise"] = 0
        pair = self.keras_layers[-2:]
        del self.keras_layers[-2:]
        blobs: dict[str, tuple[BlobSource, ...]] = {}
        for role, part in zip(("depthwise_kernel", "pointwise_kernel"), pair, strict=True):
            ((layer, (source,)),) = part.blobs.items()
            blobs[layer] = (replace(source, tensor=role),)
        self._record("separable_conv2d", name, blobs)
        return x

    def bn(self, name: str, x: str, *, gamma: bool = True, top: str | None = None) -> str:
        """Append a BatchNormalization; without ``gamma`` a Bias layer alone follows the BatchNorm."""
        statistics = (BlobSource("moving_mean"), BlobSource("moving_variance"), BlobSource(None, constant=1.0))
        beta = BlobSource("beta")
        learned = {f"{name}_scale": (BlobSource("gamma"), beta)} if gamma else {f"{name}_bias": (beta,)}
        self._record("batch_normalization", name, {**learned, name: statistics})
        if gamma:
            return self.bn_scale(name, f"{name}_scale", x, top=top)
        x = self.batch_norm(name, x, top=top)
        return self.layer("Bias", f"{name}_bias", x, x)

    def rectified(self, x: str) -> str:
        """Return ``x`` behind a ReLU on a blob of its own, built once however many layers ask for it."""
        top = f"{x}_relu"
        if top not in self._built:
            self._built.add(top)
            self.relu(top, x, top=top)
        return top

    def relu6(self, name: str, x: str) -> str:
        return self.clip(name, x, 0.0, 6.0)

    def max_pool(self, name: str, x: str, size: int, *, strides: int = 2, padding: str | int = "valid") -> str:
        """Append a MaxPooling2D; a number is a ZeroPadding2D in front of it, which ``x`` must not fall below."""
        return self._pool(name, x, size, "MAX", strides, padding)

    def average_pool(self, name: str, x: str, size: int, *, strides: int = 1, padding: str = "valid") -> str:
        """Append an AveragePooling2D; see the module's text for 'same'."""
        if self._padding(self._sizes[x], size, strides, padding)[0] == 0:
            return self._pool(name, x, size, "AVE", strides, padding)
        factor = self._reciprocal_cover(x, size, strides)
        padded = self._pool(f"{name}_padded", x, size, "AVE", strides, padding)
        return self.eltwise(name, [padded, factor], operation="PROD")

    def zero_padding(self, name: str, x: str, size: int) -> str:
        """Append a ZeroPadding2D of what 'same' pads for a window of ``size`` and stride 2.

        A row of zeros is the first row, multiplied by zero; likewise a column. Pooling that follows sees real zeros,
        which take part in a maximum and count in an average, unlike padding.
        """
        n = self._sizes[x]
        before, after = self._padding(n, size, 2, "same")
        if max(before, after) > 1:
            raise ValueError(f"{name}: a padding of more than one pixel")
        for axis, line in ((2, "row"), (3, "column")):
            first, rest, zeros = f"{name}_first_{line}", f"{name}_other_{line}s", f"{name}_zero_{line}"
            self.layer(
                "Slice", f"{name}_{line}_slice", x, [first, rest], slice_param={"axis": axis, "slice_point": [1]}
            )
            self.layer("Silence", f"{name}_{line}_silence", rest, [])
            self.layer("Power", zeros, first, power_param={"scale": 0.0})
            padded = f"{name}_{line}s" if axis == 2 else name
            parts = [zeros] * before + [x] + [zeros] * after
            x = self.layer("Concat", padded, parts, concat_param={"axis": axis})
        self.lengths[f"{name}_rows"] = 0
        self._sizes[x] = n + before + after
        return x

    def _pool(self, name: str, x: str, size: int, method: str, strides: int, padding: str | int) -> str:
        """Append one Pooling: 'same' pads what TensorFlow pads in front and rounds up, all else rounds down.

        Raises
        ------
        ValueError
            If Caffe's rounding does not give 'same' its ``ceil(n / strides)`` pixels (even windows with stride 1).
        """
        n = self._sizes[x]
        before, after = self._padding(n, size, strides, padding)
        if padding == "same" and -(-(n + 2 * before - size) // strides) + 1 != -(-n // strides):
            raise ValueError(f"{name}: Caffe has no {size}x{size} 'same' window of stride {strides} on {n} pixels")
        out = self.pool(name, x, size, method=method, stride=strides, pad=before, floor=padding != "same")
        self._sizes[out] = (n + before + after - size) // strides + 1
        return out

    @staticmethod
    def _padding(n: int, kernel: IntOrPair, strides: int, padding: str | int) -> tuple[int, int]:
        """Return Keras' padding before and behind ``n`` pixels; (0, 0) for a pair, which has stride 1."""
        if isinstance(padding, int):
            return padding, padding
        if padding == "valid" or isinstance(kernel, tuple):
            return 0, 0
        total = max((-(-n // strides) - 1) * strides + kernel - n, 0)
        return total // 2, total - total // 2

    def _drop_first(self, name: str, x: str) -> str:
        """Cut the first row and column off a map; the rest is called ``name``."""
        rows, row, column = f"{name}_rows", f"{name}_row", f"{name}_column"
        self.layer("Slice", rows, x, [row, rows], slice_param={"axis": 2, "slice_point": [1]})
        self.layer("Slice", f"{name}_columns", rows, [column, name], slice_param={"axis": 3, "slice_point": [1]})
        self.layer("Silence", f"{name}_silence", [row, column], [])
        return name

    def _reciprocal_cover(self, x: str, size: int, strides: int) -> str:
        """Return a blob with the channels of ``x`` and, for each window over its map, 1 / (share of real pixels)."""
        area = f"same_{self._sizes[x]}_k{size}_s{strides}"
        factor = f"{area}_factor"
        if factor not in self._built:
            self._built.add(factor)
            one, rest = self.slice(f"{area}_slice", x, [f"{area}_channel", f"{area}_rest"], [1])
            self.layer("Silence", f"{area}_silence", rest, [])
            ones = self.layer("Power", f"{area}_ones", one, power_param={"scale": 0.0, "shift": 1.0})
            cover = self._pool(f"{area}_cover", ones, size, "AVE", strides, "same")
            self.layer("Power", factor, cover, power_param={"power": -1.0})
        channels = self.channels(x)
        tiled = f"{factor}_{channels}"
        if tiled not in self._built:
            self._built.add(tiled)
            self.layer("Tile", tiled, factor, tile_param={"axis": 1, "tiles": channels})
            self._channels[tiled] = channels
        return tiled
