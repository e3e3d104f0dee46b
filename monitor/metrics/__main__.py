"""Print the documentation of the metrics, or write it to the path given."""

import sys
from pathlib import Path

from monitor.metrics.declared import describe


def main(arguments: list[str]) -> None:
    """Write to the first argument's path, or to standard output where there is none."""
    if arguments:
        Path(arguments[0]).write_text(describe(), encoding="utf-8")
    else:
        sys.stdout.write(describe())


main(sys.argv[1:])
