"""Fill or check the README's tables: the same as ``caffezoo tables``."""

import sys

from caffezoo.cli.main import main

if __name__ == "__main__":
    main(["tables", *sys.argv[1:]])
