"""What is needed to classify with a network, before anything is loaded: files, preprocessing, what outputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.errors import UsageError
from caffezoo.evaluation.asked import Asked, put_together
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.load_options import AS_DEPLOYED, LoadOptions
from caffezoo.zoo.synsets import class_name

if TYPE_CHECKING:
    from caffezoo.zoo.entry import NetworkEntry


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to classify with a network.

    Attributes
    ----------
    name : str
    prototxt, weights : Path
    preprocessing : Preprocessing
        Sizes are None where nothing tells them; see :func:`caffezoo.evaluation.sizes.choose_sizes`.
    label_order : {"2012", "2015", "other", "unknown"} or path
        What the outputs are: ImageNet's classes in an order (a file of WordNet ids says its own), others, or nobody
        says.
    class_names : tuple of str or None
        Names of the outputs, where they are known otherwise than by the order.
    drop_background : bool
        The first output is the background and no class.
    task : str
        What the index says that the network is for.
    options : LoadOptions
        How the prototxt is read.
    notes, warnings : tuple of str
        What was taken from where, and what looks like a mistake.
    """

    name: str
    prototxt: Path
    weights: Path
    preprocessing: Preprocessing
    label_order: str = "unknown"
    class_names: tuple[str, ...] | None = None
    drop_background: bool = False
    task: str = "classification"
    options: LoadOptions = AS_DEPLOYED
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def check_task(self) -> None:
        """Raise if the index says that the network is no classifier.

        Raises
        ------
        UsageError
        """
        if self.task != "classification":
            hint = f"caffezoo {'detect' if self.task == 'detection' else 'run'} --net {self.name}"
            raise UsageError(f"network '{self.name}' is for {self.task}: it has no scores of classes", hint=hint)

    @classmethod
    def from_entry(cls, entry: NetworkEntry, weights: Path, asked: Asked | None = None) -> Recipe:
        """Take what the index says of a network, but for what is asked for otherwise.

        Raises
        ------
        UsageError
            Values that cannot be.
        """
        asked = asked or Asked()
        preset = entry.preset("small")
        found = put_together(asked, channels=preset.channels, known=preset)
        return cls(
            name=entry.name,
            prototxt=entry.prototxt_path,
            weights=weights,
            preprocessing=found.preprocessing,
            label_order=str(entry.labels.order),
            class_names=entry.labels.names,
            drop_background=entry.labels.background,
            task=entry.task,
            notes=found.notes,
            warnings=found.warnings,
        )

    @classmethod
    def from_files(
        cls, prototxt: Path, weights: Path, asked: Asked | None = None, options: LoadOptions = AS_DEPLOYED
    ) -> Recipe:
        """Take what a prototxt's data layer says, but for what is asked for otherwise.

        Parameters
        ----------
        prototxt, weights : Path
        asked : Asked, optional
        options : LoadOptions, optional
            How the prototxt is read.

        Raises
        ------
        UsageError
            Nothing tells the mean, or values that cannot be.
        NetworkError, FormatError
            The prototxt cannot be read, or takes no images.
        """
        from caffezoo.evaluation.sizes import image_input
        from caffezoo.formats.data_layer import data_layer

        network = options.load(prototxt)
        layer = data_layer(network.prototxt.net, network.prototxt.lines)
        channels, own = image_input(network.inputs, str(prototxt))
        asked = asked or Asked()
        found = put_together(asked, channels=channels, layer=layer, where=prototxt)
        notes = found.notes
        if asked.crop_size is not None and asked.crop_size != own:
            notes += (f"crop size {asked.crop_size} px is asked for, and the input of {prototxt.name} is {own} px",)
        return cls(
            name=prototxt.stem,
            prototxt=prototxt,
            weights=weights,
            preprocessing=found.preprocessing,
            options=options,
            notes=notes,
            warnings=found.warnings,
        )

    def class_name(self, index: int, classes: int) -> str:
        """Return what output ``index`` of ``classes`` means; ``class 7`` where nobody says."""
        return class_name(index, classes, self.label_order, self.class_names)
