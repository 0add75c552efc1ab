"""What a user asks of preprocessing, put together with what the index or a prototxt's data layer says."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from caffezoo.errors import UsageError
from caffezoo.formats.data_layer import DataLayer
from caffezoo.formats.image_size import Size
from caffezoo.formats.mean_file import MeanImage, read_mean
from caffezoo.formats.preprocessing import Levels, Preprocessing

FULL = 255.0

# ImageNet's mean of blue, green and red, as published networks subtract it (103.939, 116.779, 123.68 and its like):
# rising from blue to red. The same numbers falling are in the order red, green, blue.
_IMAGENET_MEAN = (103.94, 116.78, 123.68)
_NEAR = 2.0


@dataclass(frozen=True)
class Asked:
    """What is asked for; None: nothing is.

    Attributes
    ----------
    mean : tuple of float, path or MeanImage
        One value for all channels, or blue, green, red; or a mean file.
    std : tuple of float
        Likewise; what is divided by after the mean.
    scale : float
        What is multiplied by after the mean, as ``transform_param { scale }`` and ``input_scale`` of caffe.Classifier:
        1 / std.
    raw_scale : float
        The value of white in whose units mean, std and scale are, as ``raw_scale`` of caffe.Classifier; 255 if not
        given.
    resize : {"short", "squash"}
    channel_order : {"BGR", "RGB", "grey"}
    base_size, crop_size : Size
    """

    mean: Levels | Path | MeanImage | None = None
    std: Levels | None = None
    scale: float | None = None
    raw_scale: float | None = None
    resize: str | None = None
    channel_order: str | None = None
    base_size: Size | None = None
    crop_size: Size | None = None

    def __post_init__(self) -> None:
        if self.std is not None and self.scale is not None:
            raise UsageError("--std and --scale say the same: (x - mean) / std and (x - mean) * scale", hint="give one")
        for name, values in (
            ("--mean", self.mean if isinstance(self.mean, tuple) else ()),
            ("--std", self.std or ()),
            ("--scale", () if self.scale is None else (self.scale,)),
            ("--raw-scale", () if self.raw_scale is None else (self.raw_scale,)),
        ):
            if not all(math.isfinite(v) for v in values):
                raise UsageError(f"{name} {_text(values)} holds a value that is not finite")
            if name != "--mean" and any(v <= 0 for v in values):
                raise UsageError(f"{name} {_text(values)} holds a value that is not above 0")


@dataclass(frozen=True)
class Found:
    """Preprocessing, with what the user has to know of it."""

    preprocessing: Preprocessing
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def put_together(
    asked: Asked,
    *,
    channels: int,
    known: Preprocessing | None = None,
    layer: DataLayer | None = None,
    where: Path | None = None,
) -> Found:
    """Return the preprocessing of a network: what is asked for, else what is known of it, else what its file says.

    Parameters
    ----------
    asked : Asked
    channels : int
        Of the network's images.
    known : Preprocessing, optional
        What the index says.
    layer : DataLayer, optional
        The prototxt's data layer.
    where : Path, optional
        The prototxt.

    Raises
    ------
    UsageError
        Nothing tells the mean, or values that cannot be.
    FormatError
        A mean file that cannot be read.
    """
    notes: list[str] = []
    warnings = list(doubts(asked))
    unit = FULL / (asked.raw_scale or FULL)
    order = asked.channel_order or (known.channel_order if known else "grey" if channels == 1 else "BGR")
    if (order == "grey") != (channels == 1):
        raise UsageError(
            f"channel order {order} is not for a network whose images have {channels} channels",
            where=str(where) if where else None,
        )
    if known is not None and asked.raw_scale is not None and asked.mean is None and asked.std is None:
        raise UsageError("--raw-scale is the unit of --mean and --std", hint="give them too")
    mean, image = _mean_of(asked.mean, unit, order, channels, "--mean")
    std = asked.std
    if asked.scale is not None:
        std = (1 / asked.scale,)
    elif std is None and asked.raw_scale is not None and known is None:
        std = (1.0,)
    std = std and _each(tuple(v * unit for v in std), channels, "--std")
    if layer is not None and known is None:
        told, told_image = _layer_mean(layer, order, channels, where, wanted=mean is None)
        place = f"layer '{layer.name}' ({where.name if where else 'the prototxt'}{f':{layer.line}' * bool(layer.line)})"
        if mean is None:
            mean, image = told, told_image
            notes.append(f"mean {_text(mean)} is that of {place}")
        elif told is not None and not _close(mean, told):
            warnings.append(f"mean {_text(mean)} is asked for, and {place} says {_text(told)}")
        scaled = (1 / layer.scale,) * channels if layer.scale > 0 else None
        if std is None and scaled is not None:
            std = scaled
            if layer.scale != 1:
                notes.append(f"std {_text(std)} is from scale {layer.scale:g} of {place}")
        elif std is not None and scaled is not None and not _close(std, scaled):
            warnings.append(f"std {_text(std)} is asked for, and {place} says scale {layer.scale:g}")
    if known is not None:
        mean = mean or known.mean
        std = std or known.std
    if mean is None:
        raise UsageError(
            "a prototxt does not say what was subtracted in training", hint="give --mean B G R (and --std B G R)"
        )
    base = asked.base_size or (known.base_size if known else None)
    resize = asked.resize or (known.resize if known else "short")
    crop = asked.crop_size or (known.crop_size if known else None)
    if layer is not None and known is None and layer.base_size is not None and base is None:
        base = layer.base_size
        resize = asked.resize or "squash"
        notes.append(f"base size {base} px is new_height x new_width of layer '{layer.name}'")
    if known is not None and known.base_size and asked.base_size is None and crop and not known.base_size.holds(crop):
        raise UsageError(
            f"crop size {crop} does not fit into base size {known.base_size}",
            hint=f"give --base-size {crop} or more, or a smaller --crop-size",
        )
    found = Preprocessing(mean, std or (1.0,) * channels, base, crop, resize, order, image)
    return Found(found, tuple(notes), tuple(warnings))


def doubts(asked: Asked) -> list[str]:
    """Return what in the numbers asked for looks like a mistake: units of 0..1, or the order red, green, blue."""
    if asked.raw_scale is not None and asked.raw_scale != FULL:
        return []
    mean = asked.mean if isinstance(asked.mean, tuple) else ()
    std = asked.std or ()
    low_mean = any(mean) and all(-1 <= v <= 1 for v in mean)
    low_std = bool(std) and all(v < 1 for v in std)
    if low_std and not low_mean and len(set(std)) == 1 and (any(mean) or asked.mean is None):
        return [
            f"std {_text(std)} divides by less than 1, so inputs grow: is it a scale? Then give --scale {std[0]:.6g}"
            f" (std {1 / std[0]:.6g}); or is it of values of 0..1? Then --std {_text([v * FULL for v in std])}"
        ]
    if asked.scale is not None and asked.scale > 1:
        return [
            f"scale {asked.scale:g} multiplies, so inputs grow beyond 0..255: is it a standard deviation? Then"
            f" give --std {asked.scale:g}"
        ]
    if low_mean or low_std:
        given = " and ".join(
            f"{name} {_text(values)}" for name, values, low in (("mean", mean, low_mean), ("std", std, low_std)) if low
        )
        # torch's numbers are in the order R, G, B: theirs falls, as ImageNet's red is its brightest.
        turned = len(mean) == 3 and low_mean and mean[0] > mean[1] > mean[2]
        rows = []
        for name, values, low in (("mean", mean, low_mean), ("std", std, low_std)):
            if values:
                meant = [v * FULL if low else v for v in (values[::-1] if turned else values)]
                rows.append(f"--{name} {_text(meant)}")
        swapped = ", in the order red, green, blue" if turned else ""
        return [
            f"{given} look like values of 0..1{swapped}: here they are of 0..255, blue, green, red; "
            f"probably meant: {' '.join(rows)}"
        ]
    if len(mean) == 3 and asked.channel_order != "RGB":
        here, there = (
            max(abs(a - b) for a, b in zip(values, _IMAGENET_MEAN, strict=True)) for values in (mean, mean[::-1])
        )
        if there < _NEAR < here:
            return [
                f"mean {_text(mean)} is ImageNet's in the order red, green, blue; here it is blue, green, red: "
                f"--mean {_text(mean[::-1])}"
            ]
    return []


def parse_levels(text: str, name: str) -> Levels | Path:
    """Return numbers of a text such as ``104 117 123`` or ``104,117,123`` or ``33.3``; else the path that it is.

    Raises
    ------
    UsageError
        Another number of numbers.
    """
    parts = text.replace(",", " ").split()
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        return Path(text)
    if len(values) not in (1, 3):
        raise UsageError(f"{name} '{text}' is {len(values)} numbers", hint="give one for all channels, or B G R")
    return values


def _mean_of(
    mean: Levels | Path | MeanImage | None, unit: float, order: str, channels: int, name: str
) -> tuple[Levels | None, MeanImage | None]:
    """Return the mean of each channel (blue, green, red) and of each pixel, in units of 0..255."""
    if mean is None:
        return None, None
    if isinstance(mean, Path | str):
        mean = read_mean(mean)
        if isinstance(mean, tuple) and order == "RGB":
            mean = mean[::-1]  # a file holds the network's order
    if isinstance(mean, MeanImage):
        if mean.shape[0] != channels:
            raise UsageError(
                f"the mean has {mean.shape[0]} channels, and the network's images {channels}", where=mean.path or None
            )
        if unit != 1:
            mean = replace(MeanImage.of(mean.values * unit), path=mean.path)
        levels = mean.channel_means
        return (levels[::-1] if order == "RGB" else levels), mean
    return _each(tuple(v * unit for v in mean), channels, name), None


def _each(values: Sequence[float], channels: int, name: str) -> Levels:
    """Return one value a channel."""
    if len(values) == channels:
        return tuple(values)
    if len(set(values)) == 1:
        return (values[0],) * channels
    raise UsageError(f"{name} {_text(values)} is {len(values)} numbers, and the network's images have {channels}")


def _layer_mean(
    layer: DataLayer, order: str, channels: int, where: Path | None, *, wanted: bool
) -> tuple[Levels | None, MeanImage | None]:
    if not layer.mean_file:
        return _each(layer.mean or (0.0,), channels, f"mean_value of layer '{layer.name}'"), None
    # Caffe takes the path from where it is started; people also keep the file beside the prototxt.
    name = layer.mean_file
    places = [Path(name)]
    if where is not None:
        places += [where.parent / name, where.parent / os.path.basename(name)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        if not wanted:
            return None, None
        raise UsageError(
            f"layer '{layer.name}' subtracts the mean file {name}, which is not here",
            where=str(where) if where else None,
            hint="give --mean FILE, or its numbers as --mean B G R",
        )
    return _mean_of(path, 1.0, order, channels, "mean_file")


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-2, abs_tol=0.5) for a, b in zip(one, other, strict=True)
    )


def _text(values: Sequence[float] | None) -> str:
    return " ".join(f"{v:.6g}" for v in values or ())
