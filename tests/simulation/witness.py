"""Witness: the truth of one run, told by the models, against which the checkers hold what the product shows.

    FieldBus, radio ─► stimuli: when a detector was in alarm, and which life of the gateway was told so
    boxes ──────────► lives of processes, faults and their times, disk modes
    store ──────────► when each alarm, sounder write and gateway row came to be
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tests.simulation.estate import Detector

SECOND = 1_000_000


class Life(msgspec.Struct):
    """One life of a gateway's process. disk_was_bad: at its start the journal did not open at once."""

    site: int
    number: int
    began_us: int
    ended_us: int = 0
    disk_was_bad: bool = False

    def lived(self, at_us: int) -> bool:
        """Whether it was alive then."""
        return self.began_us <= at_us and (not self.ended_us or at_us < self.ended_us)


class Stimulus(msgspec.Struct):
    """A detector was in alarm from began_us to ended_us (0: to the end). seen: (when, life) of every good answer
    that told a living gateway so. clear_seen_us: the first good answer after it that told that it was over."""

    site: int
    detector: Detector
    began_us: int
    ended_us: int = 0
    seen: list[tuple[int, int]] = []
    clear_seen_us: int = 0
    shown_us: int = 0
    sounder_due: bool = False
    sounded_us: int = 0


class Interval(msgspec.Struct):
    """A fault that was active. site -1: the cloud's, or everybody's."""

    kind: str
    site: int
    began_us: int
    ended_us: int = 0

    def overlaps(self, first_us: int, last_us: int) -> bool:
        """Whether it was active at some time of first..last."""
        return self.began_us <= last_us and (not self.ended_us or first_us <= self.ended_us)


class Witness:
    """What really happened. Times are virtual microseconds since the start."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.now_us = now_us
        self.stimuli: list[Stimulus] = []
        self.lives: list[Life] = []
        self.faults: list[Interval] = []
        self.problems: list[str] = []  # found while it ran; the checkers add theirs
        self.relay_on: dict[int, bool] = {}
        self.last_up_us: dict[str, int] = {}  # site path → last message of it in the stream
        # …and when the ingest received that one, from which silence counts: a slow stream may hold it for seconds.
        self.last_heard_us: dict[str, int] = {}
        self.peaks: dict[str, int] = {}
        self.acknowledged: list[tuple[int, str]] = []  # (site, incident) that a person acknowledged
        self.internal_errors: list[str] = []
        self.resets: dict[int, int] = {}  # site → how often a person reset alarms there

    def problem(self, checker: str, text: str) -> None:
        """A law was broken; said with the time."""
        self.problems.append(f"{checker}: at {self.now_us() / SECOND:.3f} s: {text}")

    def peak(self, what: str, size: int) -> None:
        """Remember the greatest size."""
        self.peaks[what] = max(size, self.peaks.get(what, 0))

    def active(self, site: int, device: str) -> Stimulus | None:
        """The stimulus that holds now."""
        return next((s for s in self.stimuli
                     if s.site == site and s.detector.device == device and not s.ended_us), None)

    def told(self, site: int, life: int, device: str, *, alarm: bool) -> None:
        """A good answer of that device reached the gateway."""
        now = self.now_us()
        for stimulus in self.stimuli:
            if stimulus.site != site or stimulus.detector.device != device:
                continue
            if alarm and not stimulus.ended_us:
                stimulus.seen.append((now, life))
            elif not alarm and stimulus.ended_us and not stimulus.clear_seen_us:
                stimulus.clear_seen_us = now

    def calm(self, site: int, first_us: int, last_us: int, kinds: Iterable[str] | None = None) -> bool:
        """Whether no fault (of these kinds) that touches the site was active in first..last."""
        wanted = None if kinds is None else set(kinds)
        return not any(f.overlaps(first_us, last_us) for f in self.faults
                       if f.site in (site, -1) and (wanted is None or f.kind in wanted))

    def life(self, site: int, number: int) -> Life:
        """A life by its number."""
        return next(life for life in self.lives if life.site == site and life.number == number)

    def shown(self, path_site: int, view: Any) -> None:
        """An incident row was stored: note when each stimulus came to be seen on the board."""
        now = self.now_us()
        for alarm in view.alarms:
            for stimulus in self.stimuli:
                if (stimulus.site == path_site and not stimulus.shown_us and stimulus.detector.device == alarm.device
                        and stimulus.detector.rule == alarm.rule and stimulus.began_us <= now):
                    stimulus.shown_us = now
            self._not_ended_while_burning(path_site, alarm)

    def _not_ended_while_burning(self, site: int, alarm: Any) -> None:
        """Law 3: what burns, or was never read as over, is neither held nor cleared."""
        if alarm.state not in ("held", "cleared"):
            return
        mine = [s for s in self.stimuli if s.site == site and s.detector.device == alarm.device
                and s.detector.rule == alarm.rule and s.seen]
        if mine and not any(s.clear_seen_us for s in mine):
            self.problem("latched", f"{alarm.device} of site {site} is {alarm.state} and was never read as over")
