"""Get and verify weights: the same as ``caffezoo fetch``."""

import sys

from caffezoo.cli.main import main

if __name__ == "__main__":
    main(["fetch", *sys.argv[1:]])
