"""PermitWatch: what permits mean for rules and for who is told, zone by zone; pure.

    permits, now ──► facts of each zone ──► readings of `permit:<zone>.<fact>` ──► rules: permit.working …
                 └─► shields: zone → "permit:<id>" ──► Engine.shield: smoke there is told to watcher and control room

    detected work × permit × gas × watcher (packs/hot_work.yaml):
        no permit in the site ─► no_permit        permit elsewhere only ─► outside_place
        permit here, not now  ─► outside_time     working, its time over ─► over_time
        working, gas ≥ limit  ─► gas_high         working, nobody watching ─► no_watcher
        special, gas not seen ─► gas_not_seen     none of these ─► nothing is said

The shield stands only while somebody works *and* the watcher is there. It ends by itself with the work, with a break,
when the watcher leaves and when the time is over; it covers smoke alone. Heat, call points, gas, CO and what cameras
call flame are told as ever; the drawn spot is a zone of the camera with a device of its own (packs/camera.yaml).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from device_model.clock import Now
from device_model.permit import Permit, PermitLevel, PermitPolicy, PermitState
from device_model.quantities import QUANTITIES
from device_model.reading import Reading
from rules_engine.permit_names import PERMIT_DEFAULTS, PERMIT_QUANTITY, SITE, permit_point

Fact = bool | float
# A clock that is put right by so much is as good as before.
CLOCK_SLACK_US = 60_000_000
_S = PermitState
_SIGNED = (_S.APPROVED, _S.READY, _S.WORKING, _S.SUSPENDED, _S.FIRE_WATCH)


def facts_of(zone: str, permits: Iterable[Permit], policy: PermitPolicy, now_us: int) -> dict[str, Fact]:
    """The facts of one zone (SITE: of all zones together). Names and meanings: permit_names.py."""
    signed = [permit for permit in permits if permit.state in _SIGNED]
    here = [permit for permit in signed if zone in (SITE, permit.plan.zone)]
    working = [permit for permit in here if permit.state is _S.WORKING]
    gases = [gas for permit in working for gas in (permit.plan.gases or ("",))]
    after = [permit for permit in here if permit.state is _S.FIRE_WATCH]
    return {
        "here": bool(here),
        "in_time": any(permit.plan.starts_us <= now_us < permit.plan.ends_us and permit.state is not _S.FIRE_WATCH
                       for permit in here),
        "working": bool(working),
        "elsewhere": any(permit.state is _S.WORKING and permit.plan.zone != zone for permit in signed),
        "watched": bool(working) and all(permit.watched for permit in working),
        "gas_limit": min((policy.limit_lel(gas) for gas in gases), default=policy.unknown_gas_lel),
        "continuous": any(permit.plan.level is PermitLevel.SPECIAL for permit in working),
        "outdoors": any(permit.plan.outdoors for permit in working),
        "fire_watch": bool(after),
        "fire_watch_manned": bool(after) and all(
            permit.watched or now_us >= permit.fire_watch_until_us for permit in after),
        "over_time": any(permit.over_time for permit in after),
    }


def shields_of(permits: Iterable[Permit], now_us: int) -> dict[str, str]:
    """Zone → audience: where smoke goes to the watcher and the control room instead of the brigade. A clock that lies
    before what was last done on a permit cannot tell when its time is over: nothing is shielded by it."""
    shields: dict[str, str] = {}
    for permit in permits:
        in_time = permit.plan.starts_us <= now_us < permit.plan.ends_us and (
            not permit.story or permit.story[-1].at_us <= now_us + CLOCK_SLACK_US)
        if permit.state is _S.WORKING and permit.watched and in_time:
            shields.setdefault(permit.plan.zone, f"permit:{permit.id}")
    return shields


class PermitWatch:
    """Turns a book's permits into readings, only of what changed. Not thread-safe."""

    def __init__(self, zones: Sequence[str]) -> None:
        self._zones = (SITE, *zones)
        self._told: dict[str, Fact] = {}
        self._all = False

    def readings(self, permits: Sequence[Permit], policy: PermitPolicy, now: Now) -> tuple[Reading, ...]:
        """Facts that differ from what was told last (at first: from "no permit at all")."""
        changed = []
        for zone in self._zones:
            for name, value in facts_of(zone, permits, policy, now.wall_us).items():
                point = permit_point(zone, name)
                if self._all or self._told.get(point, PERMIT_DEFAULTS[name]) != value:
                    self._told[point] = value
                    unit = QUANTITIES[PERMIT_QUANTITY[name]].canonical
                    changed.append(Reading(
                        point, value, unit, source_time_us=now.wall_us, receive_time_us=now.wall_us,
                        mono_us=now.mono_us, boot=now.boot))
        self._all = False
        return tuple(changed)

    def due_us(self, permits: Iterable[Permit], now_us: int) -> int | None:
        """When time alone changes a fact, µs since 1970: a permit's beginning, its end, the end of a fire watch."""
        moments = [at for permit in permits if permit.state in _SIGNED
                   for at in (permit.plan.starts_us, permit.plan.ends_us, permit.fire_watch_until_us)]
        return min((at for at in moments if at > now_us), default=None)

    def forget(self) -> None:
        """The engine may remember facts that are over: say all again, also what is as without a permit."""
        self._told, self._all = {}, True
