"""Crash loop: a gateway that dies again and again begins ever later, so that it wears no card and fills no log. Pure.

    died within a minute of its start:   1st, 2nd time  at once     3rd  2 s     4th  4 s  …  60 s
    lived longer than ten minutes:       counting begins anew

The first restarts cost nothing: a site unguarded for a minute is worse than a log line. systemd adds one second to
each, and gives up never.
"""

from __future__ import annotations

import msgspec

from device_model.clock import MINUTE_US, SECOND_US, Now

QUICK_US = MINUTE_US
SOUND_US = 10 * MINUTE_US
FREE = 2
DELAY_MAX_S = 60.0


class Starts(msgspec.Struct, frozen=True):
    """What the last start wrote down: when (monotonic, of that boot) and how many quick deaths led to it."""

    boot: str = ""
    mono_us: int = 0
    quick: int = 0


def next_start(last: Starts, now: Now) -> tuple[Starts, float]:
    """(what to write down now, seconds to wait before beginning). A start after a reboot is no crash of ours."""
    if last.boot != now.boot or not last.mono_us <= now.mono_us:
        return Starts(now.boot, now.mono_us, 0), 0.0
    lived_us = now.mono_us - last.mono_us - round(delay_s(last.quick) * SECOND_US)
    quick = 0 if lived_us >= SOUND_US else last.quick + 1 if lived_us < QUICK_US else last.quick
    return Starts(now.boot, now.mono_us, quick), delay_s(quick)


def delay_s(quick: int) -> float:
    """The pause after so many quick deaths in a row."""
    return 0.0 if quick <= FREE else min(DELAY_MAX_S, 2.0 ** (quick - FREE))
