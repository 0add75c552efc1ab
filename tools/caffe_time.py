"""Time networks, or follow Caffe's own `caffe time`: the same as ``caffezoo time``."""

import sys

from caffezoo.cli.main import main

if __name__ == "__main__":
    main(["time", *sys.argv[1:]])
