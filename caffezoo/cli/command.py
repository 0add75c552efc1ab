"""The command that was given, as records keep it: also where a door (``tools/time.py``) added the verb."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """The arguments that the command line was run with, the verb first."""

    arguments: tuple[str, ...]


def given_command() -> list[str]:
    """Return the command under way, ``caffezoo`` and its verb first, as one would type it to do the same again."""
    import click

    context = click.get_current_context(silent=True)
    given = context.find_object(Given) if context is not None else None
    if given is None:
        raise RuntimeError("no command is under way")
    return ["caffezoo", *given.arguments]
