"""The ``caffezoo`` command: its verbs, and how an error leaves the program.

Only the verb that was asked for is imported, so that no command pays for another's dependencies.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from caffezoo.cli.command import Given
from caffezoo.cli.console import say
from caffezoo.cli.numbers import joined
from caffezoo.errors import OutOfMemoryError, ZooError
from caffezoo.version import __version__

GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Get": {
        "fetch": ("caffezoo.cli.fetch", "fetch"),
        "cache": ("caffezoo.cli.cache", "cache"),
    },
    "Look": {
        "list": ("caffezoo.cli.list", "list_networks"),
        "show": ("caffezoo.cli.show", "show"),
        "check": ("caffezoo.cli.check", "check"),
        "inspect": ("caffezoo.cli.inspect", "inspect"),
        "diff": ("caffezoo.cli.diff", "diff"),
        "engines": ("caffezoo.cli.engines", "engines"),
        "data": ("caffezoo.cli.data", "data"),
    },
    "Run": {
        "run": ("caffezoo.cli.run", "run"),
        "classify": ("caffezoo.cli.classify", "classify"),
        "detect": ("caffezoo.cli.detect", "detect"),
    },
    "Measure": {
        "evaluate": ("caffezoo.cli.evaluate", "evaluate"),
        "noise": ("caffezoo.cli.noise", "noise"),
        "compare": ("caffezoo.cli.compare", "compare"),
        "runs": ("caffezoo.cli.runs", "runs"),
        "time": ("caffezoo.cli.time", "time"),
        "precision": ("caffezoo.cli.precision", "precision"),
    },
    "Train": {
        "train": ("caffezoo.cli.train", "train"),
        "caffe": ("caffezoo.cli.caffe", "caffe"),
    },
    "Convert": {
        "import": ("caffezoo.cli.import_", "import_"),
        "export": ("caffezoo.cli.export", "export"),
        "fold": ("caffezoo.cli.fold", "fold"),
        "prototxt": ("caffezoo.cli.prototxt", "prototxt"),
    },
    "Keep": {
        "results": ("caffezoo.cli.results", "results"),
        "tables": ("caffezoo.cli.tables", "tables"),
        "plot": ("caffezoo.cli.plot", "plot"),
        "report": ("caffezoo.cli.report", "report"),
    },
}
OPTIONAL_VALUES = {"--ray": "local"}
VERBS: dict[str, tuple[str, str]] = {verb: place for verbs in GROUPS.values() for verb, place in verbs.items()}


def _version(asked: bool) -> None:
    if asked:
        print(f"caffezoo {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Caffe networks, made runnable, measurable and obtainable again.

    Start with `caffezoo evaluate --net efficientnet-lite0 --data sample`.
    """


class _Argument(typer.core.TyperArgument):
    """An argument that keeps its help: from 8.5 on, click's own constructor sets it again, to nothing."""

    def __init__(self, *, help: str | None = None, **settings: Any) -> None:
        super().__init__(help=help, **settings)
        self.help = help


setattr(typer.main, "TyperArgument", _Argument)  # noqa: B010 (typer exports no such name, and offers no other place)


def make_app(verb: str | None = None) -> typer.Typer:
    """Return the command with one verb, or with all of them."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for group, verbs in GROUPS.items():
        for name in verbs if verb is None else {verb} & verbs.keys():
            module, function = VERBS[name]
            command = getattr(importlib.import_module(module), function)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name, rich_help_panel=group)
            else:
                app.command(name, rich_help_panel=group, context_settings=getattr(command, "context", None))(command)
    return app


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit: 0 good, 1 the work failed, 2 usage, 130 interrupted.

    Parameters
    ----------
    argv : list of str, optional
        Arguments after the program's name; ``sys.argv`` if not given.
    """
    arguments = with_optional_values(sys.argv[1:] if argv is None else argv)
    completing = any(name.endswith("_COMPLETE") for name in os.environ)
    verb = arguments[0] if arguments and arguments[0] in VERBS and not completing else None
    warnings.showwarning = _show_warning
    try:
        make_app(verb)(args=joined(arguments), prog_name="caffezoo", obj=Given(tuple(arguments)))
    except ZooError as error:
        say("error", error)
        sys.exit(error.exit_status)
    except MemoryError as error:  # numpy says how much it asked for
        asked = " ".join(str(error).split()) or "this needs more than there is"
        say("error", OutOfMemoryError(asked, hint="a smaller batch or input needs less"))
        sys.exit(OutOfMemoryError.exit_status)
    except KeyboardInterrupt:
        print("caffezoo: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is left to say, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def with_optional_values(arguments: list[str]) -> list[str]:
    """Return arguments in which every flag that may stand without a value has one, which click does not know of."""
    filled: list[str] = []
    for place, argument in enumerate(arguments):
        filled.append(argument)
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        if argument in OPTIONAL_VALUES and following.startswith("-"):
            filled.append(OPTIONAL_VALUES[argument])
    return filled


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    say("warning", message)
