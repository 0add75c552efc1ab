"""Train: the same as ``caffezoo train``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not an installed caffezoo

from caffezoo.cli.door import enter

if __name__ == "__main__":
    enter("train", __file__)
