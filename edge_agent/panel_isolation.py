"""Panel isolation: a part that the fire panel itself says is shielded does not protect, and is shown first.

    smoke.shielded true ──► Impairment(isolated, "smoke.shielded", who "panel uitd")      false ──► ended

Only the panel ends it: while its line is down the lack stands (a silent panel released nothing). The subject is the
point, not the device, so that a person's own isolation of the same device neither hides it nor is ended by it.
"""

from __future__ import annotations

from collections.abc import Iterable

from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind, ImpairmentRegister, real_changes
from device_model.inventory import Inventory
from device_model.reading import Quality, Reading

SHIELDED = "shielded"  # bit 3 of a facility's and a component's state, GB/T 26875.3 figures 6 and 7


class PanelIsolation:
    """Owned by one core; shares its impairment register."""

    def __init__(self, inventory: Inventory, register: ImpairmentRegister) -> None:
        self._register = register
        self._inventory = inventory
        self._points = {
            name: f"panel {place.device.address.partition('/')[0]}"
            for name, place in inventory.points.items()
            if place.spec.payload is not None and place.spec.payload.path == SHIELDED
            and inventory.profiles[place.device.profile].protocol == "gbt26875"
        }

    def heard(self, readings: Iterable[Reading]) -> tuple[ImpairmentChange, ...]:
        """What the panel says now. A bad value says nothing (law 7)."""
        changes: list[ImpairmentChange | None] = []
        for reading in readings:
            panel = self._points.get(reading.point)
            if panel is None or reading.quality is Quality.BAD:
                continue
            if reading.value:
                changes.append(self._register.begin(Impairment(
                    ImpairmentKind.ISOLATED, reading.point, reading.receive_time_us,
                    self._inventory.points[reading.point].zone, who=panel, why="shielded at the fire panel")))
            else:
                changes.append(self._register.end(ImpairmentKind.ISOLATED, reading.point, reading.receive_time_us))
        return real_changes(changes)
