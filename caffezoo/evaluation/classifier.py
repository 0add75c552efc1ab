"""A trained network that is ready to look at images: files, preprocessing and labels, then an engine that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffezoo.errors import DataError, NetworkError, UsageError
from caffezoo.evaluation.images import load_cv2
from caffezoo.evaluation.protocol import Protocol
from caffezoo.net.load_options import AS_DEPLOYED, LoadOptions
from caffezoo.zoo.synsets import class_name

if TYPE_CHECKING:
    from caffezoo.engines.base import Engine
    from caffezoo.net.graph import Network
    from caffezoo.net.scores import Head
    from caffezoo.zoo.entry import NetworkEntry

Triple = tuple[float, float, float]
MAX_BATCH_SIZE = 1024
DEFAULT_BASE_SIZE = 256  # px, for files of which no preprocessing is known


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to classify with a network, before anything is loaded.

    Attributes
    ----------
    name : str
    prototxt, weights : Path
    base_size, crop_size : int or None
        Sizes in px that the network is published with; None: the prototxt's input, at base 256.
    resize : {"short", "squash"}
    mean, std : tuple of three floats
        Blue, green, red, 0..255.
    channel_order : {"BGR", "RGB"}
    label_order : {"2012", "2015", "other", "unknown"} or path
        What the outputs are: ImageNet's classes in an order (a file of WordNet ids says its own), others, or nobody
        says.
    class_names : tuple of str or None
        Names of the outputs, where they are known otherwise than by the order.
    drop_background : bool
        The first output is the background and no class.
    options : LoadOptions
        How the prototxt is read.
    """

    name: str
    prototxt: Path
    weights: Path
    mean: Triple
    std: Triple
    base_size: int | None = None
    crop_size: int | None = None
    resize: str = "short"
    channel_order: str = "BGR"
    label_order: str = "unknown"
    class_names: tuple[str, ...] | None = None
    drop_background: bool = False
    options: LoadOptions = AS_DEPLOYED

    @classmethod
    def from_entry(cls, entry: NetworkEntry, weights: Path) -> Recipe:
        """Take what the index says of a network."""
        preset = entry.preset("small")
        return cls(
            name=entry.name,
            prototxt=entry.prototxt_path,
            weights=weights,
            mean=preset.mean,
            std=preset.std,
            base_size=preset.base_size,
            crop_size=preset.crop_size,
            resize=preset.resize,
            channel_order=entry.input.channel_order,
            label_order=str(entry.labels.order),
            class_names=entry.labels.names,
        )

    def class_name(self, index: int, classes: int) -> str:
        """Return what output ``index`` of ``classes`` means; ``class 7`` where nobody says."""
        return class_name(index, classes, self.label_order, self.class_names)


@dataclass(frozen=True, eq=False)
class Classifier:
    """An engine that holds a network, with the protocol it was made for.

    Attributes
    ----------
    recipe : Recipe
    protocol : Protocol
    engine : Engine
    head : Head
        Which blob holds the scores, what they are, and why it was taken.
    network_notes : tuple of str
        What the user has to know of the network's files.
    """

    recipe: Recipe
    protocol: Protocol
    engine: Engine
    head: Head
    network_notes: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """The blob that holds the scores."""
        return self.head.blob

    @property
    def classes(self) -> int:
        """How many classes there are scores of; the background is none where it is dropped."""
        return self.head.classes - self.first_class

    @property
    def first_class(self) -> int:
        """The output that is the first class."""
        return int(self.recipe.drop_background)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided that the user has to know of."""
        return self.head.notes

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()


def open_classifier(
    recipe: Recipe,
    *,
    base_size: int | None = None,
    crop_size: int | None = None,
    crops: int = 1,
    output: str | None = None,
    engine: str = "openvino",
    batch_size: int = 8,
    network: Network | None = None,
    **engine_options: Any,
) -> Classifier:
    """Load a network's files into an engine.

    Parameters
    ----------
    recipe : Recipe
    base_size, crop_size : int, optional
        Sizes in px instead of the published ones.
    crops : {1, 12, 144}, optional
    output : str, optional
        The blob that holds the scores; see :func:`caffezoo.net.scores.classifier_head`.
    engine : str, optional
    batch_size : int, optional
        Crops in a batch; a network that is tied to the batch of its file runs at that.
    **engine_options
        ``precision``, ``threads``, ``caffe_python``: see :func:`caffezoo.engines.registry.create_engine`.

    Raises
    ------
    UsageError
        Sizes or a protocol that cannot be, an unknown engine.
    NetworkError, FormatError, EngineError
        The files or the runtime.
    """
    from caffezoo.engines.registry import create_engine, engine_class
    from caffezoo.net.batch import possible_batch
    from caffezoo.net.scores import with_scores

    engine_class(engine)  # an unknown name is told before files are read
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise UsageError(f"batch size {batch_size} is not in 1..{MAX_BATCH_SIZE}")
    declared = recipe.options.load(recipe.prototxt) if network is None else network
    protocol = protocol_of(recipe, declared.inputs, base_size=base_size, crop_size=crop_size, crops=crops)
    resized = declared.resized(protocol.crop_size)
    network, head = with_scores(resized.with_weights_file(recipe.weights) if network is None else resized, output)
    _input_side(network.inputs, str(recipe.prototxt))
    if recipe.class_names is not None and len(recipe.class_names) != head.classes - recipe.drop_background:
        raise DataError(
            f"{len(recipe.class_names)} names for the network's {head.classes - recipe.drop_background} classes",
            hint="--labels wants one name a line, in the order of the outputs",
        )
    if recipe.drop_background and head.classes < 2:
        raise UsageError("no class is left without the background", hint="leave --drop-background out")
    loaded = create_engine(
        engine,
        network,
        batch_size=possible_batch(network, batch_size),
        transform=protocol.transform,
        outputs=[head.blob],
        input_dtype=protocol.input_dtype,
        **engine_options,
    )
    return Classifier(recipe, protocol, loaded, head, network.notes)


def protocol_of(
    recipe: Recipe,
    inputs: Mapping[str, tuple[int, ...]],
    *,
    base_size: int | None = None,
    crop_size: int | None = None,
    crops: int = 1,
) -> Protocol:
    """Return how images become a network's input: what is asked for, else what is published, else the prototxt's size.

    Parameters
    ----------
    recipe : Recipe
    inputs : mapping of str to shape
        The network's inputs.
    base_size, crop_size : int, optional
        In px.
    crops : {1, 12, 144}, optional

    Raises
    ------
    UsageError
        Sizes or a number of crops that cannot be.
    NetworkError
        The network takes no image of three channels.
    """
    crop = crop_size or recipe.crop_size or _input_side(inputs, str(recipe.prototxt))
    return Protocol(
        base_size=base_size or recipe.base_size or _default_base_size(crop),
        crop_size=crop,
        crops=crops,
        resize=recipe.resize,
        mean=recipe.mean,
        std=recipe.std,
        channel_order=recipe.channel_order,
        decoder=f"cv2-{load_cv2().__version__}",
    )


def _input_side(inputs: Mapping[str, tuple[int, ...]], where: str) -> int:
    shapes = [shape for shape in inputs.values() if len(shape) == 4]  # a training file has labels beside
    if len(shapes) != 1 or shapes[0][1] != 3:
        raise NetworkError(
            f"its inputs are {', '.join(f'{n} {list(s)}' for n, s in inputs.items())}, not one image of three channels",
            where=where,
        )
    return shapes[0][2]


def _default_base_size(crop_size: int) -> int:
    if crop_size > DEFAULT_BASE_SIZE:
        raise UsageError(
            f"no base size is known for crop size {crop_size}", hint=f"give --base-size {crop_size} or more"
        )
    return DEFAULT_BASE_SIZE
