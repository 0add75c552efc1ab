"""One network of the index, with what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from caffezoo.errors import UsageError
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import Preprocessing as FullPreprocessing
from caffezoo.zoo.preprocessing import centre_crop_input
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.schema import (
    Accuracy,
    Input,
    Labels,
    Model,
    Origin,
    Preprocessing,
    Published,
    Weights,
)
from caffezoo.zoo.schema_values import Name, Text
from caffezoo.zoo.tensor_map import Conventions

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class NetworkEntry(Model):
    """One network of the index, complete: the family's defaults are merged in.

    Examples
    --------
    >>> from caffezoo.zoo.index import load_index
    >>> entry = load_index().network("efficientnet_lite0")
    >>> entry.preprocessing.small.crop_size, entry.labels.order
    (224, 2012)
    """

    name: Name
    aliases: tuple[Name, ...] = ()
    family: Name
    prototxt: Annotated[str, StringConstraints(pattern=r"^[^\\]+\.prototxt$")] = Field(
        description="path from this file's folder, `prototxt/FAMILY/deploy_NET.prototxt`"
    )
    task: Literal["classification", "detection"] = Field(
        "classification",
        description="what its outputs are: scores of classes, or boxes; a stage of a detector too",
    )
    input: Input
    preprocessing: Preprocessing
    labels: Labels
    weights: tuple[Weights, ...] = Field((), description="in order of trust")
    origin: Origin
    published: Published = Published()
    note: Text | None = None

    @model_validator(mode="after")
    def _one_value_a_channel(self) -> NetworkEntry:
        channels = 1 if self.input.channel_order == "grey" else 3
        for name in ("mean", "std"):
            found = len(getattr(self.preprocessing, name))
            if found != channels:
                raise ValueError(
                    f"preprocessing: {name} has {found} values, and images of channel_order"
                    f" {self.input.channel_order} have {channels} channels"
                )
        return self

    @property
    def prototxt_path(self) -> Path:
        """Where the prototxt is on this machine.

        Raises
        ------
        IndexFileError
            It is not there.
        """
        return data_path(self.prototxt, wanted_by=f"network '{self.name}'")

    @property
    def conventions(self) -> Conventions:
        """What weights for this entry take for granted: its normalisation and its order of classes."""
        order = str(self.labels.order)
        known = order in ("2012", "2015") and self.labels.classes == 1000
        mean, std = self.preprocessing.mean, self.preprocessing.std
        if len(mean) != 3 or len(std) != 3:
            return Conventions(labels=order if known else None)
        return Conventions(mean, std, order if known else None)

    def preset(self, name: Literal["small", "large"] = "small") -> FullPreprocessing:
        """Complete preprocessing at the small or the large sizes.

        Raises
        ------
        UsageError
            The network has no large sizes.
        """
        sizes = self.preprocessing.small if name == "small" else self.preprocessing.large
        if sizes is None:
            raise UsageError(f"network '{self.name}' has no preset '{name}'", hint="use the preset 'small'")
        p = self.preprocessing
        return FullPreprocessing(
            p.mean, p.std, Size.of(sizes.base_size), Size.of(sizes.crop_size), p.resize, self.input.channel_order
        )

    def preprocess(self, image: NDArray[np.uint8], preset: Literal["small", "large"] = "small") -> NDArray[np.float32]:
        """Turn an image into the network's input: resize, centre crop, (pixel - mean) / std.

        Parameters
        ----------
        image : uint8 array, shape (height, width, 3)
            BGR, as ``cv2.imread`` gives it.
        preset : {'small', 'large'}
            Which sizes.

        Returns
        -------
        float32 array, shape (1, channels, crop height, crop width)

        Raises
        ------
        ImageError
            Not a uint8 BGR image.
        """
        return centre_crop_input(image, self.preset(preset))

    @property
    def headline(self) -> Accuracy | None:
        """The first published row at one crop, else the first that does not say how many crops, else None."""
        rows = self.published.accuracy
        return next((row for crops in (1, None) for row in rows if row.crops == crops), None)
