"""Children that end with their parent, however it ends: a supervisor killed with -9 leaves no orphan that holds its
ports (Linux, prctl(2) PR_SET_PDEATHSIG; elsewhere nothing happens, and a stop by signal still ends the children).

    asyncio.create_subprocess_exec(…, preexec_fn=end_with_parent)

And ports for those that are given one before they listen: a port that the kernel chooses is soon chosen again, for a
passing connection; what free_ports tells lies below that range.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import socket
import sys

from device_model.errors import LocalFault

_PR_SET_PDEATHSIG = 1
# Found here, in the parent: between fork and exec nothing may be loaded, for another thread may hold that lock.
_prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
# Linux gives passing connections ports from 32768 on. Processes begin at different places, so that two that ask at
# the same time are not told the same port.
LENT_FROM, LENT_COUNT = 20_000, 12_000
_lent = itertools.count(os.getpid() * 997)


def end_with_parent() -> None:
    """Runs in the child before exec: one call of the kernel, no lock that a thread could hold."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """So many ports that nobody uses just now and that this process was not told lately. Raises LocalFault."""
    found: list[int] = []
    for _ in range(LENT_COUNT):
        if len(found) == count:
            return found
        port = LENT_FROM + next(_lent) % LENT_COUNT
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        found.append(port)
    raise LocalFault(f"no {count} free ports on {host} from {LENT_FROM} on: does this machine have that address?")
