"""Flights: what of one stream is under way, and when to try again. Pure.

    open numbers ──order──► flight ──sent──► (PUBACK: proves nothing) ──BatchAck──► gone
                              ▲                        │ no BatchAck by due_us
                              └──── due again ◄────────┘ 2 s, 4 s, … 30 s, ±20 %

Live and backlog have a window each, so that a long backlog never takes the place of what happens now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec

from device_model.clock import SECOND_US
from device_model.messages import BATCH_RECORDS_MAX, Lane
from device_model.ranges import Range, RangeSet


class SendOrder(msgspec.Struct, frozen=True):
    """Send the records first..last of the stream (epoch, lane); those already acknowledged may be left out.

    backlog: after the fact; the Batch says so. attempt: 0 for the first time.
    """

    lane: Lane
    epoch: str
    first: int
    last: int
    backlog: bool
    attempt: int = 0


# (first retry, longest) in seconds. An alarm is repeated soon; telemetry costs money on a metered link.
RETRY_S: dict[Lane, tuple[float, float]] = {
    Lane.ALARM: (2.0, 30.0),
    Lane.TELEMETRY: (5.0, 60.0),
    Lane.EVIDENCE: (10.0, 120.0),
}
# Orders in flight per stream: enough to fill a link of 100 ms at 500 records each, few enough to lose little.
# Alarms come one by one and shall not wait for the answer to earlier ones.
LIVE_WINDOW: dict[Lane, int] = {Lane.ALARM: 64, Lane.TELEMETRY: 8, Lane.EVIDENCE: 2}
BACKLOG_WINDOW = 4


class _Flight:
    __slots__ = ("attempt", "backlog", "due_us", "first", "last")

    def __init__(self, first: int, last: int, backlog: bool, due_us: int, attempt: int) -> None:
        self.first, self.last, self.backlog, self.due_us, self.attempt = first, last, backlog, due_us, attempt


def _pieces(ranges: Iterable[Range]) -> Iterator[Range]:
    """The ranges, cut to what fits one batch."""
    for first, last in ranges:
        for at in range(first, last + 1, BATCH_RECORDS_MAX):
            yield at, min(last, at + BATCH_RECORDS_MAX - 1)


class Flights:
    """The orders under way in one stream."""

    def __init__(self, lane: Lane, epoch: str, jitter: Callable[[], float]) -> None:
        self.lane = lane
        self.epoch = epoch
        self._jitter = jitter
        self._flights: list[_Flight] = []

    def __len__(self) -> int:
        return len(self._flights)

    def delay_us(self, attempt: int) -> int:
        """How long to wait for the BatchAck of the attempt, µs."""
        first, longest = RETRY_S[self.lane]
        return round(min(first * 2.0 ** min(attempt, 16), longest) * (0.8 + 0.4 * self._jitter()) * SECOND_US)

    def orders(self, stored: Iterable[Range], settled: RangeSet, live_from: int, mono_us: int) -> list[SendOrder]:
        """Due retries and new orders, live first; from then on they are in flight.

        Retries that are due together are merged, so that many small orders without an answer become few and
        the window opens again. What has grown older than `live_from` is repeated as backlog.
        """
        live, backlog = self._retries(settled, live_from, mono_us)
        taken = settled.copy()
        for flight in self._flights:
            taken.add(flight.first, flight.last)
        for first, last in stored:
            if last >= live_from:
                live += self._launch(taken.missing(max(first, live_from), last), False, mono_us)
            if first < live_from:
                backlog += self._launch(taken.missing(first, min(last, live_from - 1)), True, mono_us)
        return sorted(live, key=lambda order: order.first) + backlog

    def _retries(self, settled: RangeSet, live_from: int, mono_us: int) -> tuple[list[SendOrder], list[SendOrder]]:
        due = [flight for flight in self._flights if flight.due_us <= mono_us]
        if not due:
            return [], []
        self._flights = [flight for flight in self._flights if flight.due_us > mono_us]
        wanted = {False: RangeSet(), True: RangeSet()}
        attempts = {False: 0, True: 0}
        for flight in due:
            for first, last in settled.missing(flight.first, flight.last):
                for backlog, low, high in ((True, first, min(last, live_from - 1)),
                                           (False, max(first, live_from), last)):
                    if low <= high:
                        wanted[backlog].add(low, high)
                        attempts[backlog] = max(attempts[backlog], flight.attempt + 1)
        orders: dict[bool, list[SendOrder]] = {
            backlog: [self._fly(low, high, backlog, attempts[backlog], mono_us) for low, high in _pieces(ranges)]
            for backlog, ranges in wanted.items()
        }
        return orders[False], orders[True]

    def _launch(self, ranges: Iterable[Range], backlog: bool, mono_us: int) -> list[SendOrder]:
        room = (BACKLOG_WINDOW if backlog else LIVE_WINDOW[self.lane]) - sum(
            flight.backlog is backlog for flight in self._flights)
        pieces = islice(_pieces(ranges), max(0, room))
        return [self._fly(first, last, backlog, 0, mono_us) for first, last in pieces]

    def _fly(self, first: int, last: int, backlog: bool, attempt: int, mono_us: int) -> SendOrder:
        due_us = mono_us + self.delay_us(attempt)
        self._flights.append(_Flight(first, last, backlog, due_us, attempt))
        return SendOrder(self.lane, self.epoch, first, last, backlog, attempt)

    def sent(self, order: SendOrder, mono_us: int) -> None:
        """The broker took the order: its time starts over."""
        for flight in self._flights:
            if (flight.first, flight.last) == (order.first, order.last):
                flight.due_us = mono_us + self.delay_us(flight.attempt)

    def all_due(self, mono_us: int) -> None:
        """The link is new: whatever was under way goes again at once."""
        for flight in self._flights:
            flight.due_us, flight.attempt = mono_us, -1

    def settle(self, settled: RangeSet) -> None:
        """Forget what the far end has; a flight that lost one end shrinks to what is still wanted."""
        kept: list[_Flight] = []
        for flight in self._flights:
            missing = settled.missing(flight.first, flight.last)
            if missing:
                flight.first, flight.last = missing[0][0], missing[-1][1]
                kept.append(flight)
        self._flights = kept

    def due_us(self) -> int | None:
        """When the next retry is due, monotonic µs."""
        return min((flight.due_us for flight in self._flights), default=None)
