"""Permit: leave for hot work at one place and time, who signed it, and what was measured before.

    draft ──approve──► approved ──countersign──► ready ──start──► working ◄──resume── suspended
      │                    │                       │                 │ ──suspend──►      │
      └───────cancel───────┴──────────cancel───────┘              finish, or its time is over
                                                                     ▼
                                      closed ◄──close, when the watch is over── fire_watch
    A permit that was never started when its time is over is expired.

Facts of GB 30871-2022 that could not be read again in the standard stand in `PermitPolicy`, each with source and
certainty, and are a site's to set. The life itself is decided by `rules_engine/permit.py`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class PermitLevel(StrEnum):
    """How dangerous the place is (GB 30871: 特级, 一级, 二级)."""

    SPECIAL = "special"
    ONE = "one"
    TWO = "two"

    @property
    def rank(self) -> int:
        """3 for special, 2 for level one, 1 for level two."""
        return {"special": 3, "one": 2, "two": 1}[self.value]


class PermitState(StrEnum):
    """Where a permit is in its life."""

    DRAFT = "draft"
    APPROVED = "approved"
    READY = "ready"
    WORKING = "working"
    SUSPENDED = "suspended"
    FIRE_WATCH = "fire_watch"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


# Nothing more comes of these.
PERMIT_ENDED: frozenset[PermitState] = frozenset({PermitState.CLOSED, PermitState.CANCELLED, PermitState.EXPIRED})


class PermitAct(StrEnum):
    """What a named person does with a permit."""

    CREATE = "create"
    APPROVE = "approve"
    COUNTERSIGN = "countersign"
    SAMPLE = "sample"  # a gas analysis
    WATCHER_ON = "watcher_on"
    WATCHER_OFF = "watcher_off"
    START = "start"
    SUSPEND = "suspend"
    RESUME = "resume"
    FINISH = "finish"
    CLOSE = "close"
    CANCEL = "cancel"


# Who is not there cannot know: these are done on site. What ends work may come from afar.
PERMIT_ON_SITE: frozenset[PermitAct] = frozenset(
    {PermitAct.SAMPLE, PermitAct.WATCHER_ON, PermitAct.START, PermitAct.RESUME, PermitAct.CLOSE})


class GasSample(msgspec.Struct, frozen=True):
    """A gas analysis. percent_vol: the highest of all sampling points, % by volume. gas: one of `GAS_LEL`, or ""
    where none was expected and none was found."""

    at_us: int
    percent_vol: float
    analyst: str
    gas: str = ""
    where: str = ""


# Lower explosive limits, % by volume (hot_work.md section 3; those not named there are common table values [KNOWN]).
GAS_LEL: dict[str, float] = {
    "methane": 5.0, "natural_gas": 5.0, "propane": 2.1, "lpg": 1.8, "acetylene": 2.5, "ethylene": 2.7, "ethanol": 3.3,
    "hydrogen": 4.0, "acetone": 2.5, "petrol": 1.4, "toluene": 1.1, "ammonia": 15.0, "carbon_monoxide": 12.5,
}


def read_hours(text: str) -> tuple[int, int]:
    """ "22:00-06:00" → minutes of the day. Raises ValueError."""
    start, _, end = text.partition("-")
    found = []
    for part in (start, end):
        hour, _, minute = part.strip().partition(":")
        found.append(int(hour) * 60 + int(minute))
        if not 0 <= found[-1] <= 1440 or int(minute) > 59:
            raise ValueError(f"{text!r}: write it as 09:00-22:00")
    return found[0], found[1]


class PermitPolicy(msgspec.Struct, frozen=True):
    """A site's numbers for permits. Durations in seconds.

    sample_valid_s: from sample to start at most [A: hot_work.md section 3, 30 min]. break_retest_s: after a longer
    break a new sample [A: 30 min special and one, 60 min two]. validity_s: longest permit [C: 8 h, 8 h, 72 h, KNOWN].
    limit_percent, limit_low_percent, low_lel_percent: 0.5 % vol where the LEL is 4 % or more, else 0.2 % [B: KNOWN
    5.3.2, 0.2 % seen in a page]. unknown_gas_lel: %LEL where nobody knows the gas [C: INFER]. fire_watch_s: watch
    after the work [C: no number in the standard; 60 min after NFPA 51B]. countersign: levels that two people sign
    [C]. measures: what must be confirmed on site before approval [B]. off_hours_raise: nights, weekends and
    holidays need one level more [A: section 2]. crowded_kinds: kinds of zones where the public is [C]; open_hours:
    zone or kind → "HH:MM-HH:MM", when hot work there is refused; a crowded zone without hours counts as always open.
    """

    sample_valid_s: float = 1800.0
    break_retest_s: dict[str, float] = msgspec.field(
        default_factory=lambda: {"special": 1800.0, "one": 1800.0, "two": 3600.0})
    validity_s: dict[str, float] = msgspec.field(
        default_factory=lambda: {"special": 28_800.0, "one": 28_800.0, "two": 259_200.0})
    limit_percent: float = 0.5
    limit_low_percent: float = 0.2
    low_lel_percent: float = 4.0
    unknown_gas_lel: float = 5.0
    fire_watch_s: float = 3600.0
    countersign: tuple[PermitLevel, ...] = (PermitLevel.SPECIAL, PermitLevel.ONE)
    measures: tuple[str, ...] = (
        "combustibles_cleared", "drains_covered", "isolated", "cylinders_apart", "extinguishers")
    off_hours_raise: bool = True
    night: str = "22:00-06:00"
    holidays: tuple[str, ...] = ()
    crowded_kinds: tuple[str, ...] = (
        "mall", "shop", "market", "restaurant", "cinema", "theatre", "hotel", "school", "hospital", "station",
        "entertainment", "care_home")
    open_hours: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Raises ValueError for hours that are not "HH:MM-HH:MM" and for levels that do not exist."""
        for hours in (*self.open_hours.values(), *((self.night,) if self.night else ())):
            read_hours(hours)
        levels = {level.value for level in PermitLevel}
        for name, table in (("validity_s", self.validity_s), ("break_retest_s", self.break_retest_s)):
            if set(table) != levels or min(table.values()) < 0:
                raise ValueError(f"{name} needs a length for each of {', '.join(sorted(levels))}")

    def limit_vol(self, gas: str) -> float | None:
        """Allowed % by volume of that gas; None where its LEL is not known."""
        lel = GAS_LEL.get(gas)
        if lel is None:
            return None
        return self.limit_percent if lel >= self.low_lel_percent else self.limit_low_percent

    def limit_lel(self, gas: str) -> float:
        """The same limit as an instrument shows it, %LEL of that gas."""
        limit = self.limit_vol(gas)
        return self.unknown_gas_lel if limit is None else 100.0 * limit / GAS_LEL[gas]


class PermitPlan(msgspec.Struct, frozen=True):
    """What is asked for. spot: the place in words; camera, outline: the drawn spot in that camera's picture, corners
    as shares of width and height, outside of which flame counts as ever. gases: what may be in the air there."""

    zone: str
    level: PermitLevel
    starts_us: int
    ends_us: int
    workers: tuple[str, ...]
    watcher: str
    work: str = ""
    spot: str = ""
    gases: tuple[str, ...] = ()
    outdoors: bool = False
    camera: str = ""
    outline: tuple[tuple[float, float], ...] = ()
    measures: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()


class PermitSign(msgspec.Struct, frozen=True):
    """One line of a permit's story."""

    at_us: int
    act: str
    who: str
    why: str = ""


class Permit(msgspec.Struct, frozen=True):
    """A permit as it stands. suspended_us: since when the work rests. over_time: its time ended while it went on."""

    id: str
    plan: PermitPlan
    applicant: str
    state: PermitState = PermitState.DRAFT
    approver: str = ""
    countersigner: str = ""
    samples: tuple[GasSample, ...] = ()
    watched: bool = False
    started_us: int = 0
    suspended_us: int = 0
    finished_us: int = 0
    fire_watch_until_us: int = 0
    over_time: bool = False
    story: tuple[PermitSign, ...] = ()


class PermitStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One act on a permit, as a command carries it. plan: for create. sample: for sample."""

    permit: str
    act: PermitAct
    plan: PermitPlan | None = None
    sample: GasSample | None = None
