"""Clock look (I/O): asks the kernel, chrony and the RTC about the machine's clock; sets nothing, needs no rights.

    adjtimex(modes=0) ─► synchronised? bound        chronyc -c tracking ─► the same, where chrony runs
    /sys/class/rtc/rtc0/since_epoch ─► an RTC whose battery held
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

from edge_agent.wall_clock import BEFORE_TOCSIN_US, ClockLook, chrony_look

CHRONYC_WITHIN_S = 2.0
STA_UNSYNC, TIME_ERROR = 0x0040, 5  # adjtimex(2)


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_char * 256),
    )


def look_at_clock(root: Path = Path("/")) -> ClockLook:
    """One look; may take two seconds where chrony hangs: callers look in a thread."""
    rtc = _rtc(root)
    chrony = _chrony()
    if chrony is not None and chrony.synced:
        return ClockLook(True, chrony.error_us, rtc, chrony.source)
    kernel = _kernel()
    if kernel is not None:
        return ClockLook(True, kernel, rtc, "ntp")
    return ClockLook(rtc=rtc, source="rtc" if rtc else "")


def _kernel() -> int | None:
    """The kernel's bound in µs when something holds its clock; None else."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0 or state == TIME_ERROR or timex.status & STA_UNSYNC:
        return None
    return int(timex.maxerror)


def _chrony() -> ClockLook | None:
    tool = shutil.which("chronyc")
    if tool is None:
        return None
    try:
        told = subprocess.run([tool, "-n", "-c", "tracking"], capture_output=True, text=True,
                              timeout=CHRONYC_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return chrony_look(told.stdout) if told.returncode == 0 else None


def _rtc(root: Path) -> bool:
    """Whether there is an RTC that shows a believable time: one whose battery is empty starts in 1970 or 2000."""
    try:
        return int((root / "sys/class/rtc/rtc0/since_epoch").read_text()) * 1_000_000 >= BEFORE_TOCSIN_US
    except (OSError, ValueError):
        return False
