"""Panel notices: what people are told of a panel line that is no value: operations, strangers, refusals. Pure.

Each is told once for what it is about; past TOLD_MAX kinds they are only counted. Fires of strangers are always told.
"""

from __future__ import annotations

from device_drivers.driver import DeviceNotice, DriverEvent
from device_model.clock import Now
from device_model.site import Text
from wire_codecs.gbt26875_objects import Part, System, flags_of

TOLD_MAX = 1000  # notices about strangers are said once each; past so many kinds they are only counted


class PanelNotices:
    """What one line has told."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._told: set[tuple[str, ...]] = set()
        self.untold = 0  # notices that were not said because there were too many

    def tell(self, events: list[DriverEvent], now: Now, device: str, kind: str, once: tuple[str, ...], en: str,
             zh: str) -> None:
        """A notice; said once for each `once` (always, where that is empty)."""
        key = (kind, device, *once)
        if once and key in self._told:
            return
        if once and len(self._told) >= TOLD_MAX:
            self.untold += 1
            return
        if once:
            self._told.add(key)
        events.append(DeviceNotice(self._line, device, kind, Text(en, zh), now))

    def operated(self, events: list[DriverEvent], device: str, system: str, flags: int, names: tuple[str, ...],
                 operator: int, now: Now) -> None:
        """Somebody worked a facility ("1.1") or the transmission device itself ("")."""
        done = ", ".join(name for name, on in flags_of(flags, names).items() if on) or f"{flags:02x}"
        where, where_zh = (f" at {system}", f"于系统 {system}") if system else ("", "")
        self.tell(events, now, device, "duty_answered" if "duty_answer" in done else "panel_operated", (),
                  f"operator {operator}{where}: {done}", f"操作员 {operator}{where_zh}：{done}")

    def unlisted(self, events: list[DriverEvent], device: str, where: Part | System, note: str, now: Now, *,
                 fire: bool = False) -> None:
        """A component or facility that the site file does not list spoke behind that device."""
        name = f"{name_of(where)} ({note})" if note else name_of(where)
        en, zh = ("fire at ", " 火警，该部件") if fire else ("", " ")
        self.tell(events, now, device, "unlisted_component", () if fire else (name_of(where),),
                  f"{en}{name}, which is not in the site file", f"{name}{zh}未登记")


def name_of(where: System | Part) -> str:
    """As a site file writes it behind the transmission device's address."""
    if isinstance(where, System):
        return f"{where.kind}.{where.number}"
    return f"{where.system.kind}.{where.system.number}/{where.wire_hex}"
