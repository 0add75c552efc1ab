"""A trained network that is ready to look at images: files, preprocessing and labels, then an engine that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from caffezoo.errors import BindingError, DataError, UsageError
from caffezoo.evaluation.concurrency import batches_for
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.sizes import choose_sizes, image_input
from caffezoo.formats.image_size import Size

if TYPE_CHECKING:
    from caffezoo.engines.base import Engine
    from caffezoo.net.graph import Network
    from caffezoo.net.scores import Head

MAX_BATCH_SIZE = 1024


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
    size_notes : tuple of str
        By which rules sizes were chosen.
    network_notes : tuple of str
        What the user has to know of the network's files.
    reopen : callable or None
        Opens the same again; takes what is to be different (``batch_size``, ``threads``). May be pickled.
    """

    recipe: Recipe
    protocol: Protocol
    engine: Engine
    head: Head
    size_notes: tuple[str, ...] = ()
    network_notes: tuple[str, ...] = ()
    reopen: Callable[..., Classifier] | None = None

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
        return (*self.recipe.notes, *self.size_notes, *self.head.notes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks like a mistake in what was asked for."""
        return self.recipe.warnings

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()


def open_classifier(
    recipe: Recipe,
    *,
    base_size: Size | int | str | None = None,
    crop_size: Size | int | str | None = None,
    crops: int = 1,
    scales: tuple[int, ...] = (),
    decoder: str = "cv2",
    resizer: str = "cv2-bilinear",
    slides: bool = False,
    other_rounding: bool = False,
    output: str | None = None,
    engine: str = "openvino",
    batch_size: int = 8,
    streams: int | None = 1,
    images: int | None = None,
    network: Network | None = None,
    **engine_options: Any,
) -> Classifier:
    """Load a network's files into an engine.

    Parameters
    ----------
    recipe : Recipe
    base_size, crop_size : Size, int or str, optional
        Sizes in px instead of the published ones: 224, or height x width as ``"112x96"``.
    crops, scales, decoder, resizer : optional
        See :class:`caffezoo.evaluation.protocol.Protocol`; the decoder without its version.
    slides : bool, optional
        Make the network fully convolutional, and average its scores over the positions that the crop has.
    other_rounding : bool, optional
        Let pooling count its windows the other way.
    output : str, optional
        The blob that holds the scores; see :func:`caffezoo.net.scores.classifier_head`.
    engine : str, optional
    batch_size : int, optional
        Crops in a batch; a network that is tied to the batch of its file runs at that.
    streams : int, optional
        Batches under way at a time. None, with ``images``: as many as suit them.
    images : int, optional
        How many there will be: batches are no larger than these fill, and evenly so.
    network : Network, optional
        The recipe's network with its weights, where it has been read already.
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
    from caffezoo.net.variants import fully_convolutional, with_other_rounding

    recipe.check_task()
    engine_class(engine)  # an unknown name is told before files are read
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise UsageError(f"batch size {batch_size} is not in 1..{MAX_BATCH_SIZE}")
    wanted = None if output is None else [output]
    declared = recipe.options.load(recipe.prototxt, outputs=wanted) if network is None else network
    if other_rounding:
        declared = with_other_rounding(declared)
    protocol, size_notes = choose_protocol(
        recipe,
        declared.inputs,
        base_size=base_size,
        crop_size=crop_size,
        crops=crops,
        scales=scales,
        decoder=decoder,
        resizer=resizer,
        slides=slides,
    )
    own = image_input(declared.inputs, str(recipe.prototxt))[1]
    try:
        resized = declared.resized(*(own if slides else protocol.crop_size))
        network = resized.with_weights_file(recipe.weights) if network is None else resized
    except BindingError as error:
        if protocol.crop_size != own and error.hint is None:
            error.hint = (
                f"fully connected layers fit one input size, here {own} px, and {protocol.crop_size} is asked for;"
                " --fully-convolutional lets them slide"
            )
        raise
    network, head = with_scores(network, output)
    if slides:
        network = fully_convolutional(network).resized(*protocol.crop_size)
    image_input(network.inputs, str(recipe.prototxt))
    if recipe.class_names is not None and len(recipe.class_names) != head.classes - recipe.drop_background:
        raise DataError(
            f"{len(recipe.class_names)} names for the network's {head.classes - recipe.drop_background} classes",
            hint="--labels wants one name a line, in the order of the outputs",
        )
    if recipe.drop_background and head.classes < 2:
        raise UsageError("no class is left without the background", hint="leave --drop-background out")
    sizes: dict[str, Any] = {"batch_size": batch_size, "streams": streams}
    if images is not None:
        sizes = batches_for(protocol, images, engine, threads=engine_options.get("threads"), **sizes)
    loaded = create_engine(
        engine,
        network,
        batch_size=possible_batch(network, sizes["batch_size"]),
        streams=sizes["streams"] or 1,
        transform=protocol.transform,
        outputs=[head.blob],
        input_dtype=protocol.input_dtype,
        **engine_options,
    )
    again = partial(
        open_classifier,
        recipe,
        base_size=base_size,
        crop_size=crop_size,
        crops=crops,
        scales=scales,
        decoder=decoder,
        resizer=resizer,
        slides=slides,
        other_rounding=other_rounding,
        output=output,
        engine=engine,
        **{**sizes, **engine_options},
    )
    return Classifier(recipe, protocol, loaded, head, size_notes, network.notes, again)


def choose_protocol(
    recipe: Recipe,
    inputs: Mapping[str, tuple[int, ...]],
    *,
    base_size: Size | int | str | None = None,
    crop_size: Size | int | str | None = None,
    crops: int = 1,
    scales: tuple[int, ...] = (),
    decoder: str = "cv2",
    resizer: str = "cv2-bilinear",
    slides: bool = False,
) -> tuple[Protocol, tuple[str, ...]]:
    """Return how images become a network's input, and by which rules sizes were chosen.

    Parameters
    ----------
    recipe : Recipe
    inputs : mapping of str to shape
        The network's.
    base_size, crop_size, crops, scales, decoder, resizer, slides
        See :func:`open_classifier`.

    Raises
    ------
    UsageError
        Sizes or a protocol that cannot be.
    NetworkError
        The network takes no images.
    """
    from caffezoo.evaluation.decoders import decoder_name

    channels, own = image_input(inputs, str(recipe.prototxt))
    if channels != recipe.preprocessing.channels:
        raise UsageError(
            f"its images have {channels} channels, and channel order {recipe.preprocessing.channel_order} is said",
            where=str(recipe.prototxt),
        )
    if scales and crops != 144:
        base_size = base_size or min(scales)
    sizes, notes = choose_sizes(
        recipe.preprocessing,
        own,
        base=Size.of(base_size, "base size") if base_size is not None else None,
        crop=Size.of(crop_size, "crop size") if crop_size is not None else None,
        crops=crops,
    )
    more = {"scales": scales, "resizer": resizer, "fully_convolutional": slides}
    return Protocol.of(sizes, crops=crops, decoder=decoder_name(decoder), **more), notes
