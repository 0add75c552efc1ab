"""Layer classes of the user's own: a Python file that registers them, run because the user named it."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from os import PathLike
from pathlib import Path

from caffezoo.errors import UsageError
from caffezoo.net.registry import layer_types

_loaded: dict[Path, tuple[str, ...]] = {}


def load_layers(file: str | PathLike[str]) -> tuple[str, ...]:
    """Run a file that registers layer classes, once a process, and return the types that it has registered.

    Parameters
    ----------
    file : path
        Python code; it runs with all rights of this process.

    Raises
    ------
    UsageError
        There is no such file, it raises, or it registers nothing.
    """
    path = Path(file).resolve()
    if path in _loaded:
        return _loaded[path]
    if not path.is_file():
        raise UsageError("no such file of layers", where=str(file))
    before = set(layer_types())
    name = f"caffezoo_layers_{path.stem}_{len(_loaded)}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("a file of layers is Python code, and ends in .py", where=str(file))
    module = module_from_spec(spec)
    sys.modules[name] = module  # what pickles a layer finds its class
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        trace, line = error.__traceback__, 0
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(path) else line
            trace = trace.tb_next
        at = getattr(error, "lineno", None) or line
        said = " ".join(str(error).split())[:200]
        raise UsageError(f"it raises {type(error).__name__}: {said}", where=f"{file}:{at}") from None
    found = tuple(sorted(set(layer_types()) - before))
    if not found:
        raise UsageError("it registers no layer", where=str(file), hint='decorate a class with @register("Type")')
    _loaded[path] = found
    return found


def loaded_files() -> tuple[Path, ...]:
    """Return the files that were run, in order: what another process runs to know the same layers."""
    return tuple(_loaded)
