"""Places watched for people and vehicles: how many are there, whether somebody is where nobody may be, whether a fire
lane is blocked. Pure.

```
 boxes a look ──► feet in the zone ──► last n looks ──► people seen (k of n)  ─┐
                                                  ├──► no_entry: k of n        ├─► PlaceState: readings, or unknown
                                                  └──► vehicle that stands ────┘
```
Law of safety 7: an empty picture proves nothing. "Nobody seen" is said as 0 only while the zone is lit and has
contrast, people in it stand tall enough for the model, and no look holds even a weak sign of a person; otherwise the
count is unknown. Even then it is a count of people *seen*: nothing may be switched, opened or called safe by it.
"""

from __future__ import annotations

from collections import deque

import msgspec

from device_drivers.vision.objects import PERSON, VEHICLE, Box, overlap
from device_drivers.vision.scenes import FIRE_LANE, NO_ENTRY, ZoneView, inside

UNKNOWN = -1.0


class PlaceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When people and vehicles count. score: from which a box counts (0.40: 28 of 29 clear people, 4 false of 63);
    hint: from which a weak box forbids to say "nobody seen"; k of n looks; every_s: a look so often; stand_s: how
    long a vehicle keeps its place before it blocks; tall_enough: share of a look's height below which nobody is "seen
    to be absent"; dark_mean, blind_contrast: grey of the zone below which it is not visible."""

    score: float = 0.40
    hint: float = 0.20
    k: int = 2
    n: int = 3
    every_s: float = 1.0
    stand_s: float = 10.0
    tall_enough: float = 0.08
    dark_mean: float = 30.0
    blind_contrast: float = 9.0


class ZoneSight(msgspec.Struct, frozen=True):
    """How well a zone is seen in this look: grey mean and spread 0 to 255, a person's height in the look."""

    mean: float
    contrast: float
    tall: float


class PlaceState(msgspec.Struct, frozen=True):
    """What holds in a zone. people: seen, -1 unknown; confidence: 0 to 1 of that count, -1 unknown; intrusion and
    obstruction: on the rules' scale (0.6 and more is decided), -1 unknown, None where the zone does not ask."""

    zone: str
    people: float = UNKNOWN
    confidence: float = UNKNOWN
    intrusion: float | None = None
    obstruction: float | None = None
    why: str = ""


class PlaceJudge:
    """One zone's memory over looks."""

    def __init__(self, zone: ZoneView, rule: PlaceRule) -> None:
        self._zone, self._rule = zone, rule
        self._people: deque[tuple[Box, ...]] = deque(maxlen=rule.n)
        self._hints: deque[bool] = deque(maxlen=rule.n)
        self._standing: list[tuple[Box, int, int]] = []  # a vehicle, since when, last seen; bounded by boxes a look
        self.state = PlaceState(zone.id, why="no look yet")

    def frame(self, boxes: list[Box], sight: ZoneSight, now_us: int) -> PlaceState:
        """One look."""
        rule = self._rule
        here = [box for box in boxes if inside(self._zone.outline, *box.foot)]
        self._people.append(tuple(b for b in here if b.label == PERSON and b.score >= rule.score))
        self._hints.append(any(b.label == PERSON and b.score >= rule.hint for b in here))
        people, confidence, why = self._count(sight)
        self.state = PlaceState(
            self._zone.id,
            people,
            confidence,
            self._intrusion(sight) if NO_ENTRY in self._zone.scenes else None,
            self._obstruction(here, sight, now_us) if FIRE_LANE in self._zone.scenes else None,
            why,
        )
        return self.state

    def blind(self, why: str) -> PlaceState:
        """The camera does not see, or there is no detector: everything is unknown, and old looks count no more."""
        self._people.clear()
        self._hints.clear()
        self._standing.clear()
        self.state = PlaceState(
            self._zone.id,
            intrusion=UNKNOWN if NO_ENTRY in self._zone.scenes else None,
            obstruction=UNKNOWN if FIRE_LANE in self._zone.scenes else None,
            why=why,
        )
        return self.state

    def _invisible(self, sight: ZoneSight) -> str:
        if sight.mean < self._rule.dark_mean:
            return "too dark"
        return "no contrast" if sight.contrast < self._rule.blind_contrast else ""

    def _count(self, sight: ZoneSight) -> tuple[float, float, str]:
        """The number that k of the last n looks reach; zero only where it may be said."""
        counts = sorted((len(people) for people in self._people), reverse=True)
        if len(counts) < self._rule.k:
            return UNKNOWN, UNKNOWN, "too few looks"
        count = counts[self._rule.k - 1]
        if count:
            scores = sorted((b.score for people in self._people for b in people), reverse=True)[:count]
            return float(count), round(sum(scores) / len(scores), 3), ""
        why = self._invisible(sight)
        if not why and sight.tall < self._rule.tall_enough:
            why = "people would be too small"
        if not why and any(self._hints):
            why = "something that may be a person"
        if not why and len(self._people) < self._rule.n:
            why = "too few looks"
        return (UNKNOWN, UNKNOWN, why) if why else (0.0, 0.5, "nobody seen, which proves nothing")

    def _intrusion(self, sight: ZoneSight) -> float:
        best = sorted((max((b.score for b in people), default=0.0) for people in self._people), reverse=True)
        if len(best) >= self._rule.k and best[self._rule.k - 1] >= self._rule.score:
            return seen_scale(best[self._rule.k - 1], self._rule.score)
        if self._invisible(sight) or len(best) < self._rule.k:
            return UNKNOWN
        return 0.0 if best[0] < self._rule.score else 0.3

    def _obstruction(self, here: list[Box], sight: ZoneSight, now_us: int) -> float:
        """A vehicle that stays where it is for stand_s. Missed for a while it still stands: looks lose boxes."""
        forget_us = int(3 * max(self._rule.every_s, 1.0) * 1e6)
        held = [entry for entry in self._standing if now_us - entry[2] <= forget_us]
        for box in (b for b in here if b.label == VEHICLE and b.score >= self._rule.score):
            same = next((e for e in held if overlap(e[0], box) > 0.5), None)
            if same is not None:
                held.remove(same)
            held.append((box, same[1] if same is not None else now_us, now_us))
        self._standing = held
        standing = [b.score for b, since, _ in held if now_us - since >= self._rule.stand_s * 1e6]
        if standing:
            return seen_scale(max(standing), self._rule.score)
        if held:
            return 0.3
        return UNKNOWN if self._invisible(sight) else 0.0


def seen_scale(score: float, threshold: float) -> float:
    """A decided score on the rules' scale, 0.6 to 1."""
    return round(0.6 + 0.4 * max(0.0, min(1.0, (score - threshold) / (1 - threshold))), 3)
