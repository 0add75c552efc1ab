"""Stands in for the program `caffe`: prints a recorded log and ends as the recorded program did.

The log is named by CAFFEZOO_REPLAY: first line ``# command ; exit=STATUS ; ...``, as the shared logs have it. With
CAFFEZOO_REPLAY_HANG the program never ends; with CAFFEZOO_REPLAY_ARGS it leaves its arguments and model in a folder.
"""

import os
import re
import shutil
import sys
import time


def main() -> int:
    if sys.argv[1:2] == ["--version"]:
        print("caffe version 1.0.0")
        return 0
    with open(os.environ["CAFFEZOO_REPLAY"], encoding="utf-8") as log:
        head, *lines = log
    if "CAFFEZOO_REPLAY_ARGS" in os.environ:
        folder = os.environ["CAFFEZOO_REPLAY_ARGS"]
        with open(os.path.join(folder, "args"), "w", encoding="utf-8") as args:
            args.write(" ".join(sys.argv[1:]))
        shutil.copy(sys.argv[sys.argv.index("-model") + 1], os.path.join(folder, "model"))
    for line in lines:
        sys.stderr.write(line)
        sys.stderr.flush()
    if "CAFFEZOO_REPLAY_HANG" in os.environ:
        time.sleep(600)
    found = re.search(r"exit=(\d+)", head)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
