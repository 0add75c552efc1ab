"""Which layers of a net are there in a phase, and whether its blobs hang together: Caffe's FilterNet and Net::Init."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from caffezoo.errors import PrototxtError, nearest
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt


def filter_net(prototxt: Prototxt, phase: int = pb.TEST, level: int = 0, stages: Iterable[str] = ()) -> Prototxt:
    """Return the layers of a net that are there in a phase, at a level, with stages.

    Without `include` a layer is there unless an `exclude` rule holds; with it, if any `include` rule holds. The net's
    own `state` gives further stages, as in Caffe; its phase and level are replaced.

    Raises
    ------
    PrototxtError
        A layer has both `include` and `exclude`.
    """
    state = pb.NetState(phase=pb.Phase.Name(phase), level=level)
    state.stage.extend(dict.fromkeys((*prototxt.net.state.stage, *stages)))
    net = pb.NetParameter()
    for field, value in prototxt.net.ListFields():
        if field.name in ("name", "force_backward", "debug_info"):
            setattr(net, field.name, value)
    net.state.CopyFrom(state)
    lines, left_out = [], []
    elsewhere: dict[str, str] = {}
    for layer, line in zip(prototxt.net.layer, prototxt.lines, strict=True):
        if layer.include and layer.exclude:
            message = f"layer '{layer.name}' has both include and exclude rules"
            raise PrototxtError(message, where=_place(prototxt, line), hint="keep one kind")
        if layer.include:
            kept = any(_holds(rule, state) for rule in layer.include)
        else:
            kept = not any(_holds(rule, state) for rule in layer.exclude)
        if kept:
            net.layer.add().CopyFrom(layer)
            lines.append(line)
        else:
            left_out.append(layer.name)
            flags = _flags(layer, state)
            elsewhere.update({top: f"layer '{layer.name}' makes it with {flags}" for top in layer.top if flags})
    for layer in net.layer:
        for top in layer.top:
            elsewhere.pop(top, None)
    return replace(prototxt, net=net, lines=tuple(lines), elsewhere=elsewhere, left_out=tuple(left_out))


def _flags(layer: pb.LayerParameter, state: pb.NetState) -> str:
    """Return what asks for a state in which a layer is there; empty where nothing simple does."""
    for rule in layer.include:
        flags = []
        if rule.HasField("phase") and rule.phase != state.phase:
            flags.append(f"--phase {pb.Phase.Name(rule.phase)}")
        if rule.HasField("min_level") and state.level < rule.min_level:
            flags.append(f"--level {rule.min_level}")
        if rule.HasField("max_level") and state.level > rule.max_level:
            flags.append(f"--level {rule.max_level}")
        flags += [f"--stage {stage}" for stage in rule.stage if stage not in state.stage]
        if flags:
            return " ".join(flags)
    if any(rule.HasField("phase") and rule.phase == state.phase for rule in layer.exclude):
        return "--phase TRAIN" if state.phase == pb.TEST else "--phase TEST"
    return ""


def _holds(rule: pb.NetStateRule, state: pb.NetState) -> bool:
    if rule.HasField("phase") and rule.phase != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    stages = set(state.stage)
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)


def _place(prototxt: Prototxt, line: int) -> str:
    return f"{prototxt.path}:{line}" if line else prototxt.path


def check_structure(prototxt: Prototxt) -> list[str]:
    """Check the names of one phase's net: every bottom made before it is read, every blob made once.

    Layers may share a name, or have none, as in Caffe.

    Call it on what `filter_net` returns: a train_val file holds two data layers that make the same blobs.

    Returns
    -------
    list of str
        What Caffe refuses and has one meaning all the same: a layer that works in place on a blob which another reads
        before it. Caffe copies a blob with several readers, so that the layer's bottom is no longer its top
        (``Top blob 'x' produced by multiple sources``, net.cpp); OpenCV runs such files, and the earlier reader sees
        the values from before.

    Raises
    ------
    PrototxtError
        A bottom is made by no earlier layer; a top is made twice other than in place (the same name as the bottom at
        the same index).
    """
    makers: dict[str, str] = {}
    readers: dict[str, str] = {}
    notes: list[str] = []
    for layer, line in zip(prototxt.net.layer, prototxt.lines, strict=True):
        where = _place(prototxt, line)
        for bottom in layer.bottom:
            if bottom not in makers:
                message = f"layer '{layer.name}': bottom '{bottom}' is made by no layer above it"
                raise PrototxtError(
                    message, where=where, hint=prototxt.elsewhere.get(bottom) or _nearest(bottom, makers)
                )
        for index, top in enumerate(layer.top):
            in_place = index < len(layer.bottom) and layer.bottom[index] == top
            if top in makers and not in_place:
                message = f"layer '{layer.name}': top '{top}' is already made by layer '{makers[top]}'"
                raise PrototxtError(message, where=where, hint="give it a name of its own")
            reader = readers.pop(top, None)
            if in_place and (reader is not None or list(layer.bottom).count(top) > 1):
                what = "it reads twice" if reader is None else f"layer '{reader}' has read already"
                notes.append(
                    f"{where}: layer '{layer.name}' works in place on '{top}', which {what}: Caffe refuses this"
                )
            makers[top] = layer.name
        readers |= {bottom: layer.name for bottom in layer.bottom if bottom not in layer.top}
    return notes


def _nearest(name: str, known: Iterable[str]) -> str | None:
    close = nearest(name, known)[:2]
    return f"did you mean {' or '.join(close)}?" if close else None
