"""Walk and interlock tests (I/O): put in test, triggered, seen; driven, proved, reset; each written down.

    begin ─► test mode of this device (law 6: ≤ 30 min, ends by itself, never a call point) ─► record "running"
    look  ─► its alarm stands, or one of its values has gone over to true ─► "arrived", with the time it took
    end   ─► restored ─► "missed" where nothing was seen

A call point is tested as what it always is, real: the record says so, and so does every board.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dashboards.install_view import WalkStep
from device_model.clock import SECOND_US
from device_model.errors import LocalFault
from device_model.inventory import Inventory
from device_model.profile import DeviceClass
from device_model.site import Output
from edge_agent.gateway_state import GatewayState
from edge_agent.local_control import Request, ask
from edge_agent.outputs import AUDIBLE
from provisioning.walk_book import WalkBook

WALK_MAX_S = 1800.0
ASK_WITHIN_S = 4.0
DRIVEN_S = 60.0  # a sounder ends by itself; a trip stays until it is reset


class WalkTest:
    """Tests at one running gateway."""

    def __init__(self, book: WalkBook, paths: Sequence[Path]) -> None:
        self._book, self._paths = book, tuple(paths)
        self._before: dict[str, dict[str, object]] = {}

    def walk(self, inventory: Inventory, device: str, step: str, who: str, seconds: float, role: str = ""
             ) -> WalkStep:
        """begin, look or end. LocalFault says what does not go, as the gateway does."""
        known = inventory.devices.get(device)
        if known is None:
            raise LocalFault(f"there is no device {device}")
        if step == "begin":
            return self._begin(inventory, device, who, min(max(seconds, 30.0), WALK_MAX_S), role)
        running = self._book.newest().get(device)
        if running is None:
            raise LocalFault(f"{device}: no test has begun")
        if running.result != "running":
            return running
        seen = self._seen(inventory, running)
        if seen is not None:
            return self._book.keep(seen)
        over = _now_us() > running.until_us
        if step == "end" or over:
            if not running.real and not over:
                self._order(Request("restore", device, who, "walk test ended"))
            return self._book.keep(msgspec.structs.replace(running, result="missed"))
        return running

    def _begin(self, inventory: Inventory, device: str, who: str, seconds: float, role: str) -> WalkStep:
        real = inventory.profiles[inventory.devices[device].profile].device_class is DeviceClass.CALL_POINT
        state = self._state()
        if any(alarm.subject == device or alarm.subject.startswith(device + ".") for alarm in state.alarms):
            raise LocalFault(f"{device} is in alarm: clear and reset it first, or the test would prove nothing / "
                             f"{device} 正在报警：请先消除并复位，否则测试无意义")
        self._before[device] = _values(state, device)
        if not real:
            self._order(Request("test", device, who, "walk test", seconds))
        now_us = _now_us()
        until_us = now_us + round(seconds * SECOND_US)
        return self._book.keep(WalkStep(device, "walk", who, now_us, until_us, real=real, role=role))

    def _seen(self, inventory: Inventory, running: WalkStep) -> WalkStep | None:
        state, device = self._state(), running.device
        names = {point.name for point in inventory.of_device(device)}
        alarm = next((one for one in state.alarms if one.raised_us >= running.begun_us - SECOND_US and (
            one.subject == device or one.subject in names)), None)
        live = [one for one in state.live if one.point in names and one.quality == "good" and one.at is not None]
        before = self._before.get(device, {})
        changed = [one for one in live if one.value is True and before.get(one.point) is not True]
        if alarm is None and not changed:
            return None
        point = changed[0] if changed else next((one for one in live if one.value is True), live[0] if live else None)
        at_us = alarm.raised_us if alarm is not None else (point.at.wall_us if point is not None and point.at else 0)
        report = ask(self._paths, Request("report"), ASK_WITHIN_S).report
        return msgspec.structs.replace(
            running, result="arrived", point=point.point if point else "", heard_us=at_us,
            value=f"{point.value}" if point else "", took_ms=max(0, (_now_us() - at_us) // 1000),
            note=alarm.rule if alarm is not None else "", real=running.real,
            delivered=report is not None and report.backlog == 0 and any(link.up for link in report.links))

    # -- interlocks ----------------------------------------------------------------------------------------------

    def interlock(self, inventory: Inventory, output: str, step: str, who: str, role: str = "") -> WalkStep:
        """drive ─► look until proved ─► reset. LocalFault says what does not go.

        Commanded: the record's beginning. confirmed: the output's device took the order. Result: "proved" by an
        independent input that turned over after the order, "unproved" where there is none, "failed" else."""
        known = next((one for one in inventory.site.outputs if one.id == output), None)
        if known is None:
            raise LocalFault(f"there is no output {output}")
        if step == "drive":
            self._free_to_drive(inventory, known)
            self._order(Request("on", output, who, "interlock test", DRIVEN_S))
            now_us = _now_us()
            limit_us = now_us + round((known.proof_within_s + 1) * SECOND_US)
            return self._book.keep(WalkStep(output, "interlock", who, now_us, limit_us, real=True, role=role))
        running = self._book.newest().get(output)
        if running is None:
            raise LocalFault(f"{output}: no test has begun")
        if step == "reset":
            if running.result == "running":  # an order that nobody saw take effect is not passed by being taken back
                running = self._judged(inventory, known, running, over=True)
            action = "off" if known.purpose in AUDIBLE else "reset"
            self._order(Request(action, output, who, "interlock test ended"))
            return self._book.keep(msgspec.structs.replace(running, note="reset"))
        if running.result != "running":
            return running
        judged = self._judged(inventory, known, running, over=_now_us() > running.until_us)
        return self._book.keep(judged) if judged != running else running

    def _free_to_drive(self, inventory: Inventory, output: Output) -> None:
        """A test proves something only where the output is off and its proof says so before."""
        state = self._state()
        view = next((one for one in state.outputs if one.output == output.id), None)
        if view is not None and view.on:
            raise LocalFault(f"{output.id} is on already: reset it first, or the test would prove nothing / "
                             f"{output.id} 已处于动作状态：请先复位")
        live = next((one for one in state.live if one.point == output.proof), None) if output.proof else None
        if live is not None and live.quality == "good" and live.value is not None:
            inverted = inventory.points[output.proof].quantity == "valve_open"
            if bool(live.value) != inverted:
                raise LocalFault(f"{output.proof} says that {output.id} is on while it is off: mend the proof input")

    def _judged(self, inventory: Inventory, output: Output, running: WalkStep, *, over: bool) -> WalkStep:
        view = next((one for one in self._state().outputs if one.output == output.id), None)
        confirmed = view is not None and view.on and view.confirmed
        result = running.result
        if view is not None and view.on and view.proof == "proved" and confirmed:
            result = "proved"
        elif view is not None and view.proof == "failed" and view.on:
            result = "failed"
        elif over:
            result = "unproved" if confirmed and output.proof not in inventory.points else "failed"
        if result == running.result:
            return msgspec.structs.replace(running, confirmed=running.confirmed or confirmed)
        now_us = _now_us()
        return msgspec.structs.replace(running, result=result, confirmed=confirmed, heard_us=now_us,
                                       point=output.proof if result == "proved" else "",
                                       took_ms=(now_us - running.begun_us) // 1000)

    def _state(self) -> GatewayState:
        state = ask(self._paths, Request("state"), ASK_WITHIN_S).state
        if state is None:
            raise LocalFault("the gateway is still starting / 网关正在启动")
        return state

    def _order(self, request: Request) -> None:
        answer = ask(self._paths, request, ASK_WITHIN_S)
        if not answer.ok:
            raise LocalFault(answer.detail)


def _values(state: GatewayState, device: str) -> dict[str, object]:
    return {one.point: one.value for one in state.live if one.point.startswith(device + ".")}


def _now_us() -> int:
    return time.time_ns() // 1000
