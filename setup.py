"""Build step: the wheel carries the index, the prototxts, the label files and the results in ``caffezoo/_data``.

Everything else stands in setup.cfg. A checkout and an editable install read the files at the root.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ("zoo_index.yaml", "prototxt/**/*.prototxt", "cls/*.txt", "results/*.csv")


class BuildWithData(build_py):
    """``build_py``, and then the zoo's own files."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for source, target in self._carried():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode=True):
        carried = [] if self.editable_mode else [str(target) for _, target in self._carried()]
        return super().get_outputs(include_bytecode) + carried

    def _carried(self):
        folder = Path(self.build_lib) / "caffezoo" / "_data"
        found = [source for pattern in CARRIED for source in sorted(ROOT.glob(pattern))]
        return [(source, folder / source.relative_to(ROOT)) for source in found]


setup(cmdclass={"build_py": BuildWithData})
