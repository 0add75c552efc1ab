"""The arguments that tell a verb which network to open, by name or by files, and how to read it.

A verb takes a :class:`NetworkArguments` first and is decorated with :func:`takes_network`, which puts the flags into
its signature. What the user has to know of a network's files is told once, on standard error, by whoever opens it.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caffezoo.cli.console import say
from caffezoo.cli.networks import complete_network, is_file
from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.net.load_options import LoadOptions
    from caffezoo.zoo.entry import NetworkEntry

PANEL = "Network"
WEIGHTS_SUFFIXES = (".caffemodel", ".h5", ".hdf5")
TOLD = "caffezoo.told"


@dataclass(frozen=True)
class NetworkArguments:
    """Which network a command means.

    Attributes
    ----------
    name : str or None
        Of the zoo; where it is None, ``prototxt`` is a file.
    prototxt, weights : Path or None
    options : LoadOptions
        Phase, level, stages and shapes of inputs.
    index : Path or None
        The user's own index.
    """

    name: str | None
    prototxt: Path | None
    weights: Path | None
    options: LoadOptions
    index: Path | None = None
    _entries: dict[str, NetworkEntry] = field(default_factory=dict, repr=False, compare=False)

    @property
    def entry(self) -> NetworkEntry | None:
        """The network's entry in the index; None for a file.

        Raises
        ------
        UnknownNameError
        """
        if self.name is None:
            return None
        if self.name not in self._entries:
            from caffezoo.zoo.index import load_index

            self._entries[self.name] = load_index(self.index).network(self.name)
        return self._entries[self.name]

    @property
    def title(self) -> str:
        """The network's name in the zoo, or the stem of its file."""
        entry = self.entry
        return entry.name if entry is not None else self.file.stem

    @property
    def file(self) -> Path:
        """The prototxt: the zoo's, or the one that was named."""
        if self.prototxt is not None:
            return existing(self.prototxt)
        entry = self.entry
        assert entry is not None
        return entry.prototxt_path

    @property
    def weights_file(self) -> Path:
        """The weights: the file that was named, or the zoo's, fetched where needed.

        Raises
        ------
        UsageError
            A prototxt without weights, or no such file.
        FetchError
        """
        if self.weights is not None:
            return existing(self.weights)
        entry = self.entry
        if entry is None:
            raise UsageError("a prototxt file needs --weights FILE")
        from caffezoo.cli.progress import fetch_with_progress

        return fetch_with_progress(entry)

    def open(self, outputs: Sequence[str] | None = None) -> Network:
        """Return the network, or what these blobs of it depend on; with weights only where the user named a file."""
        network = self.options.load(self.file, outputs=outputs)
        tell_notes(network.notes)
        if self.weights is not None:
            network = network.with_weights_file(existing(self.weights))
            tell_notes(network.notes)
        return network

    def open_with_weights(self, outputs: Sequence[str] | None = None) -> Network:
        """Return the network, or what these blobs of it depend on, with the weights that were named or fetched."""
        file, weights = self.file, self.weights_file
        network = self.options.load(file, outputs=outputs)
        tell_notes(network.notes)
        network = network.with_weights_file(weights)
        tell_notes(network.notes)
        return network


def tell_notes(notes: Iterable[str], kind: str = "warning") -> None:
    """Print what the user has to know of a network on standard error, each note once a command."""
    import click

    context = click.get_current_context(silent=True)
    told: set[str] = set() if context is None else context.find_root().meta.setdefault(TOLD, set())
    for note in notes:
        if note not in told:
            told.add(note)
            say(kind, note)


def short_note(notes: Iterable[str], *files: Path) -> str | None:
    """Return notes as one that can be published: files by name alone; None where there are none."""
    text = "; ".join(notes)
    for file in files:
        text = text.replace(f"{file.parent}{os.sep}", "")
    return text or None


def existing(path: Path) -> Path:
    """Return a file's path, or raise UsageError where it is none."""
    if not os.path.isfile(path):
        raise UsageError("no such file", where=str(path))
    return path


def is_network_file(argument: str) -> bool:
    """Tell whether an argument among others (images) is a prototxt or weights."""
    return argument.endswith((".prototxt", *WEIGHTS_SUFFIXES))


def takes_network(
    *, weights: bool = True, sift: str | None = None, default: str | None = None, metavar: str = "NET|FILES"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a verb the flags of :class:`NetworkArguments`, which it takes first.

    Parameters
    ----------
    weights : bool
        Whether the verb reads weights; without, there is no flag for them.
    sift : str, optional
        The verb's own positional arguments (images), out of which the network's files are taken. Without it network
        and files are the positional arguments.
    default : str, optional
        The network, where none is named.
    metavar : str
        How the network is shown among the positional arguments.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(verb, eval_str=True).parameters.values()
        flags = _flags(weights, sift is None, metavar)

        def command(**given: Any) -> None:
            values = {name: given.pop(name) for name in flags}
            files = values.pop("files", None) or []
            if sift is not None:
                files = [a for a in given[sift] if is_network_file(a)]
                given[sift] = [a for a in given[sift] if not is_network_file(a)]
            verb(resolve(files, weights_taken=weights, default=default, **values), **given)

        twice = flags.keys() & {p.name for p in own}
        if twice:
            raise TypeError(f"{verb.__name__} has parameters of its own named {sorted(twice)}")
        parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in flags.items()
        ] + [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        command.__name__, command.__doc__, command.__module__ = verb.__name__, verb.__doc__, verb.__module__
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def _flags(weights: bool, positional: bool, metavar: str) -> dict[str, Any]:
    """Return the parameters of the network by name; all are None where they are not given."""
    flags: dict[str, Any] = {}
    if positional:
        what = "A network of the zoo, or a prototxt" + (" and its weights" if weights else "")
        flags["files"] = Annotated[
            list[str] | None, typer.Argument(metavar=metavar, autocompletion=complete_network, help=f"{what}.")
        ]

    def option(name: str, kind: Any, *declared: str, **settings: Any) -> None:
        flags[name] = Annotated[kind | None, typer.Option(*declared, rich_help_panel=PANEL, **settings)]

    fetched = "; its weights are fetched where needed" if weights else ""
    option("net", str, autocompletion=complete_network, help=f"A network of the zoo{fetched}.")
    option("prototxt", Path, help="A prototxt file instead.")
    if weights:
        option("weights", Path, help="caffemodel or HDF5 weights; a network of the zoo has its own.")
    option("shape", list[str], metavar="BLOB=N,C,H,W", help="Shape of an input (repeat for several).")
    option("phase", str, metavar="TEST|TRAIN", help="Which layers of a prototxt; default: TEST.")
    option("stage", list[str], metavar="NAME", help="A stage of a prototxt's rules (repeat for several).")
    option("level", int, metavar="N", help="The level of a prototxt's rules; default: 0.")
    option("lenient", bool, "--lenient", help="Pass over fields that Caffe does not have, with a warning.")
    own = "Python file with layer classes of your own; it is run."
    option("layer_files", list[Path], "--layers", metavar="FILE.py", help=own)
    folder = "Run the Python layers of a prototxt from modules in this folder: their own code."
    option("python_layers", list[Path], "--python-layers", metavar="DIR", help=folder)
    option("index", Path, help="Your own index, merged over the built-in one.")
    return flags


def resolve(
    files: Sequence[str] = (),
    *,
    net: str | None = None,
    prototxt: Path | None = None,
    weights: Path | None = None,
    shape: Sequence[str] | None = None,
    phase: str | None = None,
    stage: Sequence[str] | None = None,
    level: int | None = None,
    lenient: bool | None = None,
    layer_files: Sequence[Path] | None = None,
    python_layers: Sequence[Path] | None = None,
    index: Path | None = None,
    weights_taken: bool = True,
    default: str | None = None,
) -> NetworkArguments:
    """Return which network the arguments of a command mean.

    Parameters
    ----------
    files : sequence of str
        What stood without a flag: a name, or a prototxt, and weights.

    Raises
    ------
    UsageError
        No network, or more than one; a shape that is none.
    """
    from caffezoo.net.load_options import LoadOptions

    if layer_files:
        from caffezoo.net.own_layers import load_layers

        for file in layer_files:
            load_layers(file)
    if python_layers:
        from caffezoo.net.python_code import run_code_of

        run_code_of(python_layers)
    targets = [file for file in files if not file.endswith(WEIGHTS_SUFFIXES)]
    blobs = [file for file in files if file.endswith(WEIGHTS_SUFFIXES)]
    if blobs and not weights_taken:
        raise UsageError(f"'{blobs[0]}': weights are not read here")
    if len(blobs) + (weights is not None) > 1 or len(targets) > 1:
        raise UsageError(f"'{([*targets[1:], *blobs])[0]}' is one file too many", hint="a prototxt and its weights")
    ways = [*targets, *([net] if net is not None else []), *([str(prototxt)] if prototxt is not None else [])]
    if len(ways) > 1:
        raise UsageError(f"the network is named twice, as '{ways[0]}' and as '{ways[1]}'")
    if not ways and default is None:
        example = "a name of the zoo, or --prototxt FILE" + (" --weights FILE" if weights_taken else "")
        raise UsageError("which network?", hint=f"give {example}")
    target = ways[0] if ways else str(default)
    from_file = prototxt is not None or is_file(target)
    state: dict[str, Any] = {"phase": (phase or "TEST").upper(), "level": level or 0, "stages": tuple(stage or ())}
    state["lenient"] = bool(lenient)
    return NetworkArguments(
        None if from_file else target,
        Path(target) if from_file else None,
        Path(blobs[0]) if blobs else weights,
        LoadOptions.of(parse_shapes(shape or ()), **state),
        index,
    )


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return shapes by blob of texts such as ``data=1,3,32,32``; the name may hold ``=``.

    Raises
    ------
    UsageError
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        blob, _, dims = text.rpartition("=")
        try:
            shape = tuple(int(d) for d in dims.replace("x", ",").split(","))
        except ValueError:
            shape = ()
        if not blob or not shape or blob in shapes:
            raise UsageError(f"--shape '{text}' is no shape of one blob", hint="such as --shape data=1,3,224,224")
        shapes[blob] = shape
    return shapes
