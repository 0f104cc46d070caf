"""`python -m edge_agent SITE.yaml`: the gateway without the rest of the command line (I/O)."""

from __future__ import annotations

import sys
from pathlib import Path

from device_model.errors import TocsinError
from edge_agent.commands import run_gateway


def main(arguments: list[str]) -> int:
    """Exit code 0 after a clean stop, 1 with one clear message, 2 for wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edge_agent SITE.yaml\n")
        return 2
    try:
        run_gateway(Path(arguments[0]))
    except TocsinError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
