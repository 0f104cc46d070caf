"""Children that end with their parent, however it ends: a supervisor killed with -9 leaves no orphan that holds its
ports (Linux, prctl(2) PR_SET_PDEATHSIG; elsewhere nothing happens, and a stop by signal still ends the children).

    asyncio.create_subprocess_exec(…, preexec_fn=end_with_parent)
"""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Found here, in the parent: between fork and exec nothing may be loaded, for another thread may hold that lock.
_prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """Runs in the child before exec: one call of the kernel, no lock that a thread could hold."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
