"""A gateway for tests of the local page: what it shows is set by hand, what is asked of it is kept."""

from __future__ import annotations

import threading

import msgspec
import uvicorn

from dashboards.local_page import create_local_app
from dashboards.local_permit_view import LocalAct, LocalMeter, LocalPermit, LocalSample, PermitAsk, SwitchAsk
from dashboards.local_view import CamerasPlace, LocalAlarm, LocalLack, LocalOutput, LocalPoint, LocalView, PlotSample
from dashboards.pins import PinDoor
from device_model.site import Text

NOW_US = 1_780_000_000_000_000


def both(en: str, zh: str) -> Text:
    return Text(en, zh)


def hot_work() -> tuple[LocalPermit, ...]:
    """One at work with everything as it must be, one that lacks its watcher and its sample, one in its watch."""
    works = both("Boiler house", "锅炉房")
    gas = LocalMeter("gas-1.gas", "gas", both("beside the boiler", "锅炉旁"), both("gas", "可燃气体"), "%[LEL]", 1.0,
                     "good", NOW_US - 2_000_000)
    eye = LocalMeter("eye.hot_work", "camera", both("camera 3", "3号摄像机"), both("hot work seen", "动火画面评分"),
                     "1", 0.82, "good", NOW_US - 1_000_000)
    sample = LocalSample(0.05, 1.0, "methane", "Qian Yu", "gas-1.gas", NOW_US - 600_000_000, NOW_US + 1_200_000_000)
    base = LocalPermit(
        "HW-1", "working", "one", works, "north wall", "weld a bracket", ("Wang Qiang",), "Zhao Min", True,
        ("Chen Jing", "Li Na", "Sun Bo"), NOW_US - 3_600_000_000, NOW_US + 7_200_000_000, 0, 0, 0.5, 10.0,
        {"methane": 5.0}, sample, (),
        (LocalAct("sample"), LocalAct("suspend"), LocalAct("finish"), LocalAct("watcher_off")),
        (gas, eye), (), ((NOW_US - 3_600_000_000, "start", "Wang Qiang"),))
    away = both("the fire watcher is not on the spot", "监护人未到位")
    return (base, msgspec.structs.replace(
        base, id="HW-2", state="ready", watched=False, sample=None, gases={"methane": 5.0, "propane": 2.1},
        missing=(both("The fire watcher is not on the spot.", "监护人未到位。"),
                 both("No gas sample has been taken.", "未做气体分析。")),
        acts=(LocalAct("watcher_on"), LocalAct("sample"), LocalAct("start", away))), msgspec.structs.replace(
        base, id="HW-3", state="fire_watch", fire_watch_until_us=NOW_US + 1_500_000_000,
        missing=(both("The fire watch lasts 25 min more.", "动火后监护还须 25 分钟。"),),
        acts=(LocalAct("close", both("the fire watch lasts 25 min more", "动火后监护还须 25 分钟")),),
        said=(both("Hot work without a permit", "无票动火"),),
        meters=(msgspec.structs.replace(gas, value=12.0, high=True),)))


def house_on_fire() -> LocalView:
    kitchen = both("Flat 301, kitchen", "301 室厨房")
    return LocalView(
        True, NOW_US, 1.0, both("Riverside Gardens", "河畔花园"), "gw-1", True, 4, 3, "down", 17,
        (LocalAlarm("a1", both("Smoke alarm", "感烟报警"), "fire", "critical", "raised", kitchen, "smoke-301.smoke",
                    NOW_US - 65_000_000, ""),),
        (LocalOutput("horn", both("sounder", "声报警器"), True, "a1", "unproved", True),
         LocalOutput("valve", both("gas valve", "燃气切断阀"), False, "", "", False, True, may_hand="on"),
         LocalOutput("strobe", both("strobe", "声光报警器"), True, "by hand: Li Wei: monthly test", "unproved", True,
                     True, True, NOW_US + 400_000_000, may_hand="off")),
        (LocalLack("silent", "climate-3", both("Stairwell", "楼梯间"), "silent: no answer", "", NOW_US - 10**9, 0),),
        (LocalPoint("smoke-301.smoke", "smoke-301", both("living room ceiling", "客厅顶部"), kitchen,
                    both("smoke alarm", "感烟报警"), "1", True, "good", NOW_US),
         LocalPoint("climate-3.temperature", "climate-3", both("stairwell", "楼梯间"), both("Stairwell", "楼梯间"),
                    both("temperature", "温度"), "Cel", 21.3456, "good", NOW_US),
         LocalPoint("climate-3.humidity", "climate-3", both("stairwell", "楼梯间"), both("Stairwell", "楼梯间"),
                    both("relative humidity", "相对湿度"), "%", None, "bad", NOW_US)), hot_work())


class HandGateway:
    """`LocalGateway` by hand."""

    def __init__(self) -> None:
        self.shown, self.acts, self.answer = house_on_fire(), [], (True, "applied")

    async def view(self) -> LocalView:
        return self.shown

    async def plot(self, point: str) -> tuple[PlotSample, ...]:
        return tuple(PlotSample(NOW_US - (20 - n) * 300_000_000, None if n == 7 else 20.0 + n) for n in range(20))

    def matrix(self, language: str) -> str:
        return f"<table class='cause-effect'><tr><th>{language}</th></tr></table>"

    async def act(self, action: str, target: str, who: str, why: str, request: str) -> tuple[bool, str]:
        self.acts.append((action, target, who))
        if action == "acknowledge" and self.answer[0]:
            alarms = tuple(msgspec.structs.replace(a, acknowledged_by=who) for a in self.shown.alarms)
            self.shown = msgspec.structs.replace(self.shown, alarms=alarms)
        return self.answer

    async def permit(self, asked: PermitAsk, who: str) -> tuple[bool, str]:
        self.acts.append((asked, who))
        return self.answer

    async def switch(self, asked: SwitchAsk, who: str) -> tuple[bool, str]:
        self.acts.append((asked, who))
        return self.answer

    def cameras(self, who: str) -> CamerasPlace | None:
        return CamerasPlace(8444, False) if who == "Li Wei" else None


class ServedLocal:
    """The page on loopback."""

    def __init__(self, door: PinDoor) -> None:
        self.gateway = HandGateway()
        config = uvicorn.Config(create_local_app(self.gateway, door), host="127.0.0.1", port=0, log_level="error",
                                timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            ready.wait(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)
