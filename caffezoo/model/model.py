"""A network with its weights that sees images and runs on arrays: what ``caffezoo.load()`` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from caffezoo.engines.registry import engine_class
from caffezoo.errors import BindingError, ImageError, UsageError
from caffezoo.evaluation.classification import classify
from caffezoo.evaluation.image_objects import ImageLike, as_image, is_image
from caffezoo.evaluation.image_transform import ImageTransform
from caffezoo.model.arrays import as_blobs
from caffezoo.model.engine_pool import EnginePool, RunOptions
from caffezoo.net.files import write_network

if TYPE_CHECKING:
    from caffezoo.evaluation.classifier import Classifier
    from caffezoo.evaluation.recipe import Recipe
    from caffezoo.model.source import Source
    from caffezoo.net.graph import Network
    from caffezoo.net.node import Node

Blob = NDArray[np.float32]


class Model:
    """A network with its weights, ready to run; made by :func:`caffezoo.load`.

    Several threads may use one model; they wait for each other where an engine runs. Pickled, a model that was read
    from files is their names and is read again; ``with`` frees the engines at the end.

    Parameters
    ----------
    network : Network
        With weights.
    recipe : Recipe, optional
        How it sees images; None where nobody says.
    options : RunOptions, optional
    source : Source, optional
        Files that the network can be read from again.

    Attributes
    ----------
    network : Network
        Layers, shapes and weights; immutable.
    recipe : Recipe or None
    options : RunOptions

    Examples
    --------
    >>> import caffezoo
    >>> model = caffezoo.load("deploy.prototxt", "net.caffemodel", mean=(104, 117, 123), base_size=64)
    >>> model
    Model('deploy': data 1x3x32x32 -> prob 1x10; openvino, float32)
    >>> seen = model.predict("photo.jpg", top=2)
    >>> seen.top[0].probability >= seen.top[1].probability
    True
    >>> model.features(["photo.jpg", "photo.jpg"], "pool").shape
    (2, 8, 1, 1)
    >>> model.forward(data=np.zeros((5, 3, 32, 32)))["prob"].shape
    (5, 10)
    """

    def __init__(
        self,
        network: Network,
        recipe: Recipe | None = None,
        options: RunOptions | None = None,
        source: Source | None = None,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.options = options or RunOptions()
        self._source = source
        engine_class(self.options.engine)  # an unknown name is told before anything runs
        for name in self.options.outputs or ():
            network.shape(name)
        if any(node.blob_shapes and node.key not in network.weights for node in network.nodes):
            raise BindingError("it has no weights", where=network.path, hint="caffezoo.load(prototxt, weights)")
        self._pool = EnginePool(network, recipe, self.options)

    def __getstate__(self) -> dict[str, Any]:
        state = {"recipe": self.recipe, "options": self.options, "source": self._source}
        if self._source is None:
            return {**state, "network": self.network}
        # Weights of files are not sent from process to process: each reads the file itself.
        return {**state, "stamp": self._source.stamp()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        source: Source | None = state["source"]
        if source is None:
            network = state["network"]
        elif source.stamp() != state["stamp"]:
            raise UsageError("the weights have changed since the model was pickled", where=str(source.weights))
        else:
            network = source.read(state["options"].outputs)
        self.__init__(network, state["recipe"], state["options"], source)  # type: ignore[misc]

    @property
    def name(self) -> str:
        """The network's name in the zoo, or that of its file."""
        return self._source.name if self._source is not None else self.network.name

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the input blobs as the prototxt declares them."""
        return self.network.inputs

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes, at the declared inputs, of the blobs that :meth:`forward` returns: without unread inputs (labels)."""
        computed = tuple(name for name in self.network.outputs if name not in self.inputs)
        names = self.options.outputs or computed or self.network.outputs
        return MappingProxyType({name: self.network.shape(name) for name in names})

    @property
    def layers(self) -> tuple[Node, ...]:
        """The layers in order, with ``name``, ``layer.type``, ``bottoms``, ``tops`` and shapes."""
        return self.network.nodes

    @property
    def weights(self) -> Mapping[str, tuple[np.ndarray, ...]]:
        """Learned blobs by layer, in Caffe's order: float32, read-only."""
        return self.network.weights

    @property
    def notes(self) -> tuple[str, ...]:
        """What was ignored or decided when the files were read."""
        return self.network.notes

    @property
    def transform(self) -> ImageTransform:
        """The network's own preprocessing, as a callable of one image; UsageError where nobody says what it is."""
        return ImageTransform(self._pool.protocol)

    def preprocess(self, image: ImageLike) -> Blob:
        """Return the input blob (1, 3, H, W) of one image: resized, centre crop, normalised."""
        return self.transform(image)[np.newaxis]

    def predict(self, images: Any, top: int = 5, *, errors: str = "raise") -> Any:
        """Name what the network sees in images.

        Parameters
        ----------
        images : image, sequence or iterator of images
            An image is a path, the bytes of a file, a uint8 array (H, W, 3) in B, G, R as ``cv2.imread`` gives it, or
            an image of Pillow. An array of four axes is a sequence of images.
        top : int
            Classes to name.
        errors : {"raise", "return"}
            What becomes of an image that cannot be read: raise its error, or have it in the image's place.

        Returns
        -------
        Classification, list of Classification, or iterator
            As ``images`` is one image, a sequence, or an iterator: that is read as results are taken.

        Raises
        ------
        ImageError
            An image cannot be read.
        UsageError
            Nobody says what the network's images are normalised with: see ``mean`` of :func:`caffezoo.load`.
        """

        def run(some: Iterable[ImageLike], batch: int) -> Iterator[Any]:
            return classify(self._pool.classifier(batch), some, top=top, workers=self.options.workers)

        found = self._each(images, errors, run)
        if is_image(images):
            return next(found)
        return found if isinstance(images, Iterator) else list(found)

    def classifier(self, batch_size: int) -> Classifier:
        """Return the engine that scores batches of images, with the protocol and what the scores are."""
        return self._pool.classifier(batch_size)

    def features(self, images: Any, blob: str, *, errors: str = "raise") -> Any:
        """Return the values of a blob for images.

        Parameters
        ----------
        images : image, sequence or iterator of images
            See :meth:`predict`.
        blob : str
            Any blob whose axis 0 is the batch, such as ``"pool5"``.
        errors : {"raise", "return"}

        Returns
        -------
        float32 array or iterator of arrays
            (C, H, W), say, for one image; (N, C, H, W) for N of them, or a list with ``errors="return"``; for an
            iterator one array an image.

        Raises
        ------
        UnknownNameError
            No such blob.
        ImageError, UsageError
            As :meth:`predict`.
        """

        def run(some: Iterable[ImageLike], batch: int) -> Iterator[Any]:
            return (one if isinstance(one, ImageError) else one[blob] for one in self.image_blobs(some, (blob,), batch))

        found = self._each(images, errors, run)
        if is_image(images):
            return next(found)
        if isinstance(images, Iterator):
            return found
        values = list(found)
        if errors == "return":
            return values
        return np.stack(values) if values else np.empty((0, *self.network.shape(blob)[1:]), np.float32)

    def image_blobs(
        self, images: Iterable[ImageLike], blobs: Sequence[str], batch_size: int | None = None
    ) -> Iterator[dict[str, Blob] | ImageError]:
        """Yield several blobs, by name, for each of many images; the error where one cannot be read."""
        from caffezoo.evaluation.features import image_features

        for blob in blobs:
            self.network.shape(blob)  # raises with the nearest names
        engine = self._pool.image_engine(batch_size or self.options.batch_size, tuple(blobs))
        return image_features(engine, images, self._pool.protocol, blobs=blobs, workers=self.options.workers)

    def forward(
        self, inputs: Mapping[str, ArrayLike] | ArrayLike | None = None, /, *, blobs: Sequence[str] | None = None,
        **named: ArrayLike,
    ) -> dict[str, Blob]:  # fmt: skip
        """Run the network on arrays, at whatever shapes they have.

        Parameters
        ----------
        inputs : mapping of str to array, or array
            The input blobs by name (NCHW for images: BGR, normalised), or the one input's.
        blobs : sequence of str, optional
            Blobs to return, also inner ones; ``outputs`` of :func:`caffezoo.load` if not given.
        **named
            Input blobs by name.

        Returns
        -------
        dict of str to float32 array

        Raises
        ------
        ShapeError, BindingError
            The network cannot take these shapes.
        UnknownNameError
            No such input or blob.
        EngineError
            A value is no number, or the engine fails.
        """
        feed = as_blobs(self.inputs, inputs, named)
        wanted = tuple(blobs) if blobs is not None else tuple(self.outputs)
        return self._pool.run(feed, wanted)

    def save(self, path: str | PathLike[str]) -> tuple[Path, Path]:
        """Write prototxt and caffemodel side by side, and return their paths.

        Parameters
        ----------
        path : path
            Without ending, or with one of the two.
        """
        target = Path(path)
        stem = target.with_suffix("") if target.suffix in (".prototxt", ".caffemodel") else target
        return write_network(self.network, stem)

    def export(
        self, path: str | PathLike[str], to: str = "onnx", *, force: bool = True, **options: Any
    ) -> tuple[Path, ...]:
        """Write the network in another format, run what was written against this one, and return the files.

        Parameters
        ----------
        path : path
        to : {"onnx", "openvino", "torch", "caffe-plain", "caffe-hdf5", "coreml-npz", "safetensors"}
        force : bool
            Replace files that are there.
        **options
            ``folded``, ``batch``, ``opset``: see :class:`caffezoo.evaluation.export_options.ExportOptions`; errors are
            those of :func:`caffezoo.evaluation.exporting.export_verified`.
        """
        from caffezoo.evaluation.export_options import ExportOptions
        from caffezoo.evaluation.exporting import export_verified

        how = ExportOptions(tuple(self.outputs), **options)
        return export_verified(self.network, to, Path(path), how, force=force).files

    def close(self) -> None:
        """Free the engines; the model cannot run afterwards."""
        self._pool.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        def shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
            return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())

        runs = f"{self.options.engine}, {self.options.precision}"
        return f"Model({self.name!r}: {shown(self.inputs)} -> {shown(self.outputs)}; {runs})"

    def _each(
        self, images: Any, errors: str, run: Callable[[Iterable[ImageLike], int], Iterator[Any]]
    ) -> Iterator[Any]:
        """Return what ``run(images, batch size)`` yields, at a batch size that suits their number."""
        if errors not in ("raise", "return"):
            raise UsageError(f"errors='{errors}' is neither 'raise' nor 'return'")
        some = [images] if is_image(images) else images
        if not isinstance(some, Iterable) or isinstance(some, Mapping):
            as_image(images)  # raises and says what an image is
        size = self.options.batch_size
        few = isinstance(some, Sized) and 2 * len(some) * self.options.crops < size
        return _checked(run(some, 1 if few else size), errors)


def _checked(found: Iterator[Any], errors: str) -> Iterator[Any]:
    for result in found:
        if isinstance(result, ImageError) and errors == "raise":
            raise result
        yield result
