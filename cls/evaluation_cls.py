"""Evaluate a classification network: the same as ``caffezoo evaluate``."""

import sys

from caffezoo.cli.main import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
