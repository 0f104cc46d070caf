"""PermitDesk: permits for hot work at the gateway; pure. The site judges them itself, with or without a cloud.

    Command (kind permit) ─► PermitBook.apply ─► permits ─┬─► facts as readings ─► Engine.step
    time ──────────────────► PermitBook.tick ─────────────┴─► shields ──────────► Engine.shield
                          └─► PermitRecord in the alarm lane: the cloud shows what stands here
                                                                 (smoke told to watcher and control room meanwhile)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Protocol

from device_model.alarm import AlarmTransition
from device_model.clock import Now
from device_model.command import Command
from device_model.inventory import Inventory
from device_model.messages import PermitRecord
from device_model.permit import Permit
from device_model.profile import Certainty
from device_model.reading import Reading
from rules_engine.permit import PermitBook
from rules_engine.permit_watch import PermitWatch, shields_of


class PermitEngine(Protocol):
    """What permits use of rules_engine.Engine."""

    def step(
        self, readings: Sequence[Reading], now: Now, fresh: Sequence[str] = (),
    ) -> tuple[AlarmTransition, ...]: ...
    def shield(self, shields: Mapping[str, str], now: Now) -> tuple[AlarmTransition, ...]: ...


def bookkeeper(inventory: Inventory, zone: tzinfo) -> PermitBook:
    """An empty book of a site. zone: the site's own time."""
    def continuous(place: str) -> bool:
        return any(point.quantity in ("combustible_gas", "gas_volume_fraction", "methane")
                   and point.spec.certainty is not Certainty.C for point in inventory.in_zone(place))

    return PermitBook(inventory.site, inventory.site.permits, zone, continuous)


class PermitDesk:
    """Applies acts on permits and tells the rules what they mean. Owned by one core."""

    def __init__(self, inventory: Inventory, engine: PermitEngine, zone: tzinfo) -> None:
        self._engine, self._zone = engine, zone
        self._book = bookkeeper(inventory, self._zone)
        self._watch = PermitWatch(tuple(place.id for place in inventory.site.zones))
        self._said: dict[str, Permit] = {}  # as the cloud was told, in this life
        self._shields: dict[str, str] | None = None  # not yet told; the engine may remember some from before

    def apply(self, command: Command, now: Now) -> tuple[Permit, tuple[AlarmTransition, ...]]:
        """Carry it out. Raises PermitRefusal (a ValueError) with the reason."""
        if command.permit is None or command.permit.permit != command.target:
            raise ValueError("a permit command names its permit twice, as target and in `permit`")
        permit = self._book.apply(command.permit, command.who, command.why, now.wall_us)
        return permit, self._tell(now)

    def check(self, now: Now) -> tuple[AlarmTransition, ...]:
        """Let time pass: what is over ends by itself."""
        if not self._book.permits() and self._shields == {}:
            return ()
        self._book.tick(now.wall_us)
        return self._tell(now)

    def _tell(self, now: Now) -> tuple[AlarmTransition, ...]:
        permits = self._book.permits()
        out: tuple[AlarmTransition, ...] = ()
        shields = shields_of(permits, now.wall_us)
        if shields != self._shields:
            self._shields = shields
            out += self._engine.shield(shields, now)
        readings = self._watch.readings(permits, self._book.policy, now)
        return out + self._engine.step(readings, now) if readings else out

    def due_us(self, now: Now) -> int | None:
        """Monotonic time at which time alone changes something, or None."""
        due = self._watch.due_us(self._book.permits(), now.wall_us)
        return None if due is None else now.mono_us + due - now.wall_us

    def permits(self) -> tuple[Permit, ...]:
        """All that are known, in order of creation."""
        return self._book.permits()

    def news(self, now: Now) -> tuple[PermitRecord, ...]:
        """Permits that are not as the cloud was told last, for the alarm lane; after a restart all of them."""
        permits = self._book.permits()
        new = [permit for permit in permits if self._said.get(permit.id) is not permit]
        if new or len(self._said) != len(permits):
            self._said = {permit.id: permit for permit in permits}
        return tuple(PermitRecord(permit, now.wall_us) for permit in new)

    def resume(self, permits: Sequence[Permit]) -> None:
        """After a restart; the next `check` tells the engine anew."""
        mine = {permit.id for permit in self._book.permits()}
        self._book.resume((*(permit for permit in permits if permit.id not in mine), *self._book.permits()))
        self._say_anew()

    def rebind(self, inventory: Inventory, engine: PermitEngine, zone: tzinfo) -> None:
        """The site file changed."""
        self._engine, self._zone = engine, zone
        permits = self._book.permits()
        self._book = bookkeeper(inventory, self._zone)
        self._book.resume(permits)
        self._watch = PermitWatch(tuple(place.id for place in inventory.site.zones))
        self._say_anew()

    def _say_anew(self) -> None:
        """What the engine was told before may be over by now."""
        self._shields = None
        if self._book.permits():
            self._watch.forget()
