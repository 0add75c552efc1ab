"""A small builder for deploy prototxts: layers in, a NetParameter out.

Every method appends one layer (or, where its name says so, a fixed run of layers) and returns the name of its top, so
that an architecture reads as the data flows. Layers that Caffe people run in place (BatchNorm, Scale, ReLU,
Dropout ...) are in place unless ``top`` names another blob. Names are the caller's: published weights bind by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import write_prototxt

IntOrPair = int | tuple[int, int]


class NetBuilder:
    """Collects the layers of one network.

    Parameters
    ----------
    name : str
        The net's name.
    header : str, optional
        Comment lines (without ``#``) that stand above the prototxt.
    bn_eps : float, optional
        Epsilon of every BatchNorm that names none itself; None leaves Caffe's 1e-5.
    bn_names : (str, str, str), optional
        How the BatchNorm, Scale and ReLU that follow a layer are named after it.

    Attributes
    ----------
    net : NetParameter
        What has been built so far.
    """

    def __init__(
        self,
        name: str,
        header: str = "",
        *,
        bn_eps: float | None = None,
        bn_names: tuple[str, str, str] = ("{}_bn", "{}_scale", "{}_relu"),
    ) -> None:
        self.net = pb.NetParameter(name=name)
        self.header = header
        self.bn_eps = bn_eps
        self.bn_names = bn_names
        self._channels: dict[str, int] = {}

    def channels(self, blob: str) -> int:
        """Return the number of channels (axis 1) of a blob built here."""
        return self._channels[blob]

    def layer(
        self, type_: str, name: str, bottoms: str | Sequence[str], top: str | Sequence[str] | None = None, **params: Any
    ) -> str:
        """Append a layer of any type; ``params`` are LayerParameter fields (``convolution_param={...}``).

        Parameters
        ----------
        type_, name : str
            Caffe's layer type and the layer's name.
        bottoms : str or sequence of str
        top : str or sequence of str, optional
            Defaults to the layer's name.

        Returns
        -------
        str
            The first top (the layer's name if it has none).
        """
        bottoms = [bottoms] if isinstance(bottoms, str) else list(bottoms)
        tops = [name] if top is None else [top] if isinstance(top, str) else list(top)
        self.net.layer.append(pb.LayerParameter(name=name, type=type_, bottom=bottoms, top=tops, **params))
        for blob in tops:
            if bottoms and blob not in bottoms:
                self._channels[blob] = self._channels[bottoms[0]]
        return tops[0] if tops else name

    def input(self, shape: Sequence[int] = (1, 3, 224, 224), name: str = "data") -> str:
        """Append the Input layer; ``shape`` is NCHW."""
        self.net.layer.append(
            pb.LayerParameter(name=name, type="Input", top=[name], input_param={"shape": [{"dim": list(shape)}]})
        )
        self._channels[name] = shape[1]
        return name

    def conv(
        self,
        name: str,
        bottom: str,
        num_output: int,
        kernel: IntOrPair,
        *,
        stride: IntOrPair = 1,
        pad: IntOrPair = 0,
        group: int = 1,
        dilation: int = 1,
        bias: bool = False,
        top: str | None = None,
        type_: str = "Convolution",
    ) -> str:
        """Append a convolution; pairs are (height, width)."""
        param: dict[str, Any] = {"num_output": num_output}
        if not bias:
            param["bias_term"] = False
        for field, value, default in (("kernel", kernel, None), ("pad", pad, 0), ("stride", stride, 1)):
            if isinstance(value, tuple):
                param[f"{field}_h"], param[f"{field}_w"] = value
            elif value != default:
                param["kernel_size" if field == "kernel" else field] = [value]
        if group != 1:
            param["group"] = group
        if dilation != 1:
            param["dilation"] = [dilation]
        out = self.layer(type_, name, bottom, top, convolution_param=param)
        self._channels[out] = num_output
        return out

    def batch_norm(self, name: str, bottom: str, *, eps: float | None = None, top: str | None = None) -> str:
        """Append a BatchNorm that uses its stored statistics (``eps`` None: the net's ``bn_eps``)."""
        param: dict[str, Any] = {"use_global_stats": True}
        if (eps := self.bn_eps if eps is None else eps) is not None:
            param["eps"] = eps
        return self.layer("BatchNorm", name, bottom, top or bottom, batch_norm_param=param)

    def scale(self, name: str, bottom: str, *, top: str | None = None) -> str:
        """Append the learned per-channel scale and bias that follow a BatchNorm."""
        return self.layer("Scale", name, bottom, top or bottom, scale_param={"bias_term": True})

    def bn_scale(
        self, bn_name: str, scale_name: str, bottom: str, *, eps: float | None = None, top: str | None = None
    ) -> str:
        """Append BatchNorm and Scale; with ``top`` the BatchNorm writes a new blob and Scale works on it."""
        return self.scale(scale_name, self.batch_norm(bn_name, bottom, eps=eps, top=top))

    def norm(self, name: str, bottom: str, *, relu: bool | str = True, top: str | None = None) -> str:
        """Append BatchNorm, Scale and ReLU, named after ``name`` by the net's ``bn_names``.

        Parameters
        ----------
        relu : bool or str
            False leaves the ReLU out; a string is its name where a published file breaks its own rule.
        top : str, optional
            Blob that the BatchNorm writes and the others work on; without it all three work in place.
        """
        bn_name, scale_name, relu_name = (pattern.format(name) for pattern in self.bn_names)
        out = self.bn_scale(bn_name, scale_name, bottom, top=top)
        return self.relu(relu if isinstance(relu, str) else relu_name, out) if relu else out

    def conv_norm(
        self, name: str, bottom: str, num_output: int, kernel: IntOrPair, *, relu: bool | str = True, **options: Any
    ) -> str:
        """Append a convolution (``options`` as in :meth:`conv`), then :meth:`norm` in place."""
        return self.norm(name, self.conv(name, bottom, num_output, kernel, **options), relu=relu)

    def preact(self, name: str, bottom: str) -> str:
        """Append the BatchNorm, Scale and ReLU that open a pre-activation block, on a blob of their own."""
        return self.norm(name, bottom, top=self.bn_names[0].format(name))

    def relu(self, name: str, bottom: str, *, top: str | None = None) -> str:
        return self.layer("ReLU", name, bottom, top or bottom)

    def sigmoid(self, name: str, bottom: str, *, top: str | None = None) -> str:
        return self.layer("Sigmoid", name, bottom, top or bottom)

    def clip(self, name: str, bottom: str, low: float, high: float, *, top: str | None = None) -> str:
        return self.layer("Clip", name, bottom, top or bottom, clip_param={"min": low, "max": high})

    def dropout(self, name: str, bottom: str, ratio: float = 0.5, *, top: str | None = None) -> str:
        return self.layer("Dropout", name, bottom, top or bottom, dropout_param={"dropout_ratio": ratio})

    def lrn(self, name: str, bottom: str, local_size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> str:
        return self.layer("LRN", name, bottom, lrn_param={"local_size": local_size, "alpha": alpha, "beta": beta})

    def pool(
        self,
        name: str,
        bottom: str,
        kernel: int,
        *,
        method: str = "MAX",
        stride: int = 1,
        pad: int = 0,
        floor: bool = False,
        top: str | None = None,
    ) -> str:
        """Append a pooling layer; ``floor`` writes the fork's ``ceil_mode: false`` (BVLC: ``round_mode: FLOOR``)."""
        param: dict[str, Any] = {"pool": method, "kernel_size": kernel}
        if stride != 1:
            param["stride"] = stride
        if pad:
            param["pad"] = pad
        if floor:
            param["ceil_mode"] = False
        return self.layer("Pooling", name, bottom, top, pooling_param=param)

    def global_pool(self, name: str, bottom: str, *, method: str = "AVE", top: str | None = None) -> str:
        return self.layer("Pooling", name, bottom, top, pooling_param={"pool": method, "global_pooling": True})

    def fc(self, name: str, bottom: str, num_output: int, *, bias: bool = True, top: str | None = None) -> str:
        """Append an InnerProduct."""
        param: dict[str, Any] = {"num_output": num_output}
        if not bias:
            param["bias_term"] = False
        out = self.layer("InnerProduct", name, bottom, top, inner_product_param=param)
        self._channels[out] = num_output
        return out

    def gate(self, name: str, bottom: str, gate: str, *, top: str | None = None) -> str:
        """Append the product of an N,C,H,W blob and an N,C blob of gates: a Scale over axis 0 without weights."""
        return self.layer("Scale", name, [bottom, gate], top, scale_param={"axis": 0})

    def eltwise(self, name: str, bottoms: Sequence[str], *, operation: str = "SUM", coeff: Iterable[float] = ()) -> str:
        param: dict[str, Any] = {"operation": operation}
        if coeff := list(coeff):
            param["coeff"] = coeff
        return self.layer("Eltwise", name, bottoms, eltwise_param=param)

    def concat(self, name: str, bottoms: Sequence[str]) -> str:
        """Append a Concat over channels."""
        out = self.layer("Concat", name, bottoms)
        self._channels[out] = sum(self._channels[b] for b in bottoms)
        return out

    def slice(self, name: str, bottom: str, tops: Sequence[str], points: Sequence[int]) -> tuple[str, ...]:
        """Append a Slice over channels at ``points``; return all tops."""
        self.layer("Slice", name, bottom, tops, slice_param={"axis": 1, "slice_point": list(points)})
        edges = [0, *points, self._channels[bottom]]
        for blob, low, high in zip(tops, edges[:-1], edges[1:], strict=True):
            self._channels[blob] = high - low
        return tuple(tops)

    def flatten(self, name: str, bottom: str) -> str:
        return self.layer("Flatten", name, bottom)

    def reshape(self, name: str, bottom: str, dims: Sequence[int]) -> str:
        return self.layer("Reshape", name, bottom, reshape_param={"shape": {"dim": list(dims)}})

    def softmax(self, name: str, bottom: str) -> str:
        return self.layer("Softmax", name, bottom)

    def to_prototxt(self) -> str:
        """Return the network as prototxt text, the header's lines as comments above it."""
        header = "".join(f"# {line}".rstrip() + "\n" for line in self.header.splitlines())
        return header + write_prototxt(self.net)
