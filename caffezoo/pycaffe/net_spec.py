"""Nets written in Python: ``n = NetSpec(); n.conv = L.Convolution(n.data, num_output=8); n.to_proto()``."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from caffezoo.formats import caffe_pb2 as pb

_PARAMETER = "Parameter"


def param_name_dict() -> dict[str, str]:
    """Return, for layer types that have a message of their own, the field that holds it, without ``_param``."""
    found: dict[str, str] = {}
    for field in pb.LayerParameter.DESCRIPTOR.fields:
        if field.name.endswith("_param") and field.message_type is not None:
            kind = field.message_type.name
            if kind.endswith(_PARAMETER):
                # Forks have further fields of a type; the first is Caffe's own.
                found.setdefault(kind[: -len(_PARAMETER)], field.name[: -len("_param")])
    return found


class Top:
    """What a layer makes: ``n`` says which of its tops."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> pb.NetParameter:
        """Return the net of this top and all that it depends on."""
        return to_proto(self)

    def _to_proto(self, layers: Any, names: dict[Any, str], autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer that is being written: a type, what it reads, and its parameters."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        self.type_name = type_name
        for index, item in enumerate(inputs):
            if not isinstance(item, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(item)})")
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _get_name(self, names: dict[Any, str], autonames: Counter[str]) -> str:
        if self not in names and self.ntop > 0:
            names[self] = self._get_top_name(self.tops[0], names, autonames)
        elif self not in names:
            autonames[self.type_name] += 1
            names[self] = f"{self.type_name}{autonames[self.type_name]}"
        return names[self]

    def _get_top_name(self, top: Top, names: dict[Any, str], autonames: Counter[str]) -> str:
        if top not in names:
            autonames[top.fn.type_name] += 1
            names[top] = f"{top.fn.type_name}{autonames[top.fn.type_name]}"
        return names[top]

    def _to_proto(self, layers: Any, names: dict[Any, str], autonames: Counter[str]) -> None:
        if self in layers:
            return
        bottoms = []
        for item in self.inputs:
            item._to_proto(layers, names, autonames)
            bottoms.append(layers[item.fn].top[item.n])
        layer = pb.LayerParameter(type=self.type_name, bottom=bottoms)
        if self.in_place:
            layer.top.extend(bottoms)
        else:
            layer.top.extend(self._get_top_name(top, names, autonames) for top in self.tops)
        layer.name = self._get_name(names, autonames)
        own = param_name_dict().get(self.type_name)
        for key, value in self.params.items():
            if key.endswith("param"):
                assign_proto(layer, key, value)
            elif own is not None and key in getattr(layer, f"{own}_param").DESCRIPTOR.fields_by_name:
                assign_proto(getattr(layer, f"{own}_param"), key, value)
            else:
                assign_proto(layer, key, value)
        layers[self] = layer


class NetSpec:
    """A net under construction; its attributes and items are tops, whose names they give."""

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    tops: OrderedDict[str, Any]

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the net has no top '{name}'") from None

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def to_proto(self) -> pb.NetParameter:
        """Return the net of all tops, in the order in which they depend on each other."""
        names = {value: name for name, value in self.tops.items()}
        return _net(list(self.tops.values()), names)


class Layers:
    """``L.Type(bottoms..., parameters...)``: a function for every layer type."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> Any:
            fn = Function(name, args, kwargs)
            if fn.ntop == 0:
                return fn
            return fn.tops[0] if fn.ntop == 1 else fn.tops

        return make


class Parameters:
    """``P.Pooling.MAX``: the constants of a layer type's parameters."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pb, name + _PARAMETER)


def to_proto(*tops: Top) -> pb.NetParameter:
    """Return the net of some tops; layers are named by their types and numbers."""
    return _net(list(tops), {})


def _net(tops: list[Any], names: dict[Any, str]) -> pb.NetParameter:
    layers: OrderedDict[Function, pb.LayerParameter] = OrderedDict()
    autonames: Counter[str] = Counter()
    for top in tops:
        top._to_proto(layers, names, autonames)
    net = pb.NetParameter()
    net.layer.extend(layers.values())
    return net


def assign_proto(proto: Any, name: str, value: Any) -> None:
    """Set a field of a message from Python values: dictionaries are messages, lists repeat."""
    field = proto.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise AttributeError(f"{proto.DESCRIPTOR.name} has no field '{name}'")
    repeated = hasattr(getattr(proto, name), "extend")
    if repeated and not isinstance(value, list | tuple):
        value = [value]
    if isinstance(value, list | tuple) and repeated:
        if value and isinstance(value[0], dict):
            for item in value:
                message = getattr(proto, name).add()
                for key, inner in item.items():
                    assign_proto(message, key, inner)
        else:
            getattr(proto, name).extend(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            assign_proto(getattr(proto, name), key, inner)
    elif field.message_type is not None:
        getattr(proto, name).CopyFrom(value)
    else:
        setattr(proto, name, value)


layers = Layers()
params = Parameters()
