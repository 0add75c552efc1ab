"""Write or check the deploy prototxts: the same as ``caffezoo prototxt``."""

import sys

from caffezoo.cli.main import main

if __name__ == "__main__":
    main(["prototxt", *sys.argv[1:]])
