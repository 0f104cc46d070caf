"""`python -m edge_agent SITE.yaml`: the gateway without the rest of the command line (I/O).

`tocsin gateway run` ends up here by exec: what reads a command line and colours its errors is 10 MiB that a gateway
would carry for years. A gateway logs JSON, so structlog need not find rich or greenlet either.
"""

from __future__ import annotations

import sys
from pathlib import Path

from device_model.errors import ConfigError, TocsinError


def main(arguments: list[str]) -> int:
    """Exit code 0 after a clean stop, 1 with every finding or one clear message, 2 for wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edge_agent SITE.yaml\n")
        return 2
    for unwanted in ("rich", "greenlet"):
        sys.modules.setdefault(unwanted, None)  # type: ignore[arg-type]  # None is how import is told "not here"
    from edge_agent.commands import run_gateway

    try:
        run_gateway(Path(arguments[0]))
    except ConfigError as error:
        sys.stderr.write("".join(f"{finding}\n" for finding in error.findings))
        return 1
    except TocsinError as error:
        sys.stderr.write(f"tocsin: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
