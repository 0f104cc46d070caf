"""DayBudget: bytes that a metered link may carry in any day. Pure; a bucket that fills all day long.

    a tenth of the day's bytes fit into the bucket, nine tenths flow in ──► no 24 hours carry more than the budget
    alarms and heartbeats are counted and never held: the bucket goes below nothing, and bulk waits until it is paid

A restart begins with an hour's share: a gateway that is restarted often does not spend its day twice.
"""

from __future__ import annotations

from device_model.clock import DAY_US, SECOND_US

BURST = 0.1  # of a day's bytes may go at once, as after a night without a link


class DayBudget:
    """The budget of one link. bytes_per_day 0: the link is not metered."""

    def __init__(self, bytes_per_day: int, mono_us: int) -> None:
        self.bytes_per_day = bytes_per_day
        self._most = bytes_per_day * BURST
        self._rate = (bytes_per_day - self._most) / DAY_US  # bytes a µs
        self._bucket = bytes_per_day / 24
        self._at_us = mono_us
        self.carried = 0

    def _fill(self, mono_us: int) -> None:
        self._bucket = min(self._most, self._bucket + max(0, mono_us - self._at_us) * self._rate)
        self._at_us = max(self._at_us, mono_us)

    def spend(self, size: int, mono_us: int) -> None:
        """So many bytes went out."""
        self._fill(mono_us)
        self._bucket -= size
        self.carried += size

    def holds(self, mono_us: int) -> bool:
        """Whether bulk must wait."""
        self._fill(mono_us)
        return bool(self.bytes_per_day) and self._bucket <= 0

    def wait_s(self, mono_us: int) -> float:
        """How long until bulk may go again; 0 when it may now. It waits for a little more than nothing, so that it
        goes in batches and not byte by byte."""
        if not self.holds(mono_us):
            return 0.0
        return (min(self._most, 16_384) - self._bucket) / self._rate / SECOND_US
