"""``python -m caffezoo.pycaffe SCRIPT.py ARGS...``: run a script whose ``import caffe`` is this package."""

import sys
from pathlib import Path

from caffezoo.pycaffe.script import run

USAGE = """usage: python -m caffezoo.pycaffe SCRIPT.py [ARGS...]
       python -m caffezoo.pycaffe -m MODULE [ARGS...]

Run a script whose `import caffe` finds caffezoo.pycaffe. For example:

    python -m caffezoo.pycaffe classify.py --gpu 0 photo.jpg
    python -m caffezoo.pycaffe -m unittest test_net"""


def main(arguments: list[str]) -> int:
    """Run, and return the exit status: 2 where nothing was named that could run."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if not arguments or arguments == ["-m"] or (arguments[0].startswith("-") and arguments[0] != "-m"):
        print(USAGE, file=sys.stderr)
        return 2
    if arguments[0] != "-m" and not Path(arguments[0]).is_file():
        print(f"caffezoo: error: {arguments[0]}: no such script", file=sys.stderr)
        return 2
    run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
