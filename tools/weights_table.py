"""Write the table of ``docs/weights.md`` from the index; with ``--check``, fail if it is not what the index says."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not an installed caffezoo

from caffezoo.cli.weights_list import markdown
from caffezoo.zoo.index import load_index

PAGE = Path(__file__).resolve().parent.parent / "docs" / "weights.md"
BEGIN, END = "<!-- table: tools/weights_table.py -->\n", "<!-- end of table -->\n"


def main() -> int:
    page = PAGE.read_text("utf-8")
    head, _, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        print(f"{PAGE}: the markers of the table are not there", file=sys.stderr)
        return 1
    wanted = head + BEGIN + "\n" + markdown(load_index().list()) + "\n" + END + tail
    if sys.argv[1:] == ["--check"]:
        if page != wanted:
            print(f"{PAGE}: the table is not what the index says; run `python tools/weights_table.py`", file=sys.stderr)
        return int(page != wanted)
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
