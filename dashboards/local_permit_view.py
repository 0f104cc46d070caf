"""What the gateway's local page shows of permits, and what it may ask for by hand. Pure.

    LocalPermit ─► card: state, who, gas, what is missing, countdowns, what may be done now (LocalAct, or why not)
    PermitAsk, SwitchAsk ─► one press of a signed-in person, judged by the gateway
"""

from __future__ import annotations

import msgspec

from device_model.reading import Value
from device_model.site import Text

NOTHING = Text("", "")


class LocalAct(msgspec.Struct, frozen=True):
    """One act that the state of a permit allows. why_not: what stands against it now; empty: it may be done."""

    act: str
    why_not: Text = NOTHING


class LocalSample(msgspec.Struct, frozen=True):
    """The latest gas analysis. percent_lel: None where nobody knows the gas. fault: why work cannot rest on it.
    valid_until_us: until when work may start on it."""

    percent_vol: float
    percent_lel: float | None
    gas: str
    analyst: str
    where: str
    at_us: int
    valid_until_us: int
    fault: Text = NOTHING


class LocalMeter(msgspec.Struct, frozen=True):
    """A gas detector or a hot-work camera of the zone. kind: gas or camera. high: above the permit's limit, or hot
    work seen while nothing allows it."""

    point: str
    kind: str
    place: Text
    name: Text
    unit: str
    value: Value | None
    quality: str
    at_us: int
    high: bool = False


class LocalPermit(msgspec.Struct, frozen=True):
    """One permit of the site. missing: what is not as it must be, in plain words. said: titles of open alarms about
    hot work there. gases: id → LEL in % by volume."""

    id: str
    state: str
    level: str
    zone: Text
    spot: str
    work: str
    workers: tuple[str, ...]
    watcher: str
    watched: bool
    signed: tuple[str, ...]
    starts_us: int
    ends_us: int
    fire_watch_until_us: int
    suspended_us: int
    limit_vol: float
    limit_lel: float
    gases: dict[str, float]
    sample: LocalSample | None
    missing: tuple[Text, ...]
    acts: tuple[LocalAct, ...]
    meters: tuple[LocalMeter, ...]
    said: tuple[Text, ...]
    story: tuple[tuple[int, str, str], ...]


class PermitAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One act on site. For a sample: `point` of the zone whose reading is taken, or value and unit (vol, lel);
    minutes_ago: when it was taken."""

    permit: str
    act: str
    request: str
    why: str = ""
    point: str = ""
    value: float | None = None
    unit: str = "vol"
    gas: str = ""
    where: str = ""
    minutes_ago: float = 0.0


class SwitchAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An output by hand. minutes: until it ends by itself; a trip stays until it is reset on site."""

    output: str
    on: bool
    why: str
    request: str
    minutes: float = 10.0
