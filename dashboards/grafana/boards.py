"""The dashboards as values (pure): panels, what they ask, in two languages; `render.py` makes Grafana's JSON."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dashboards.grafana.influx_query import Select
from device_model.site import Text

TRUE = '"state" = true'
BAD = '"quality" = 0'
DEVICE = "$tag_device $tag_point"
ZONE = "$tag_zone"


class Kind(StrEnum):
    """How a panel draws."""

    LINES = "lines"
    BARS = "bars"
    STAT = "stat"
    TABLE = "table"
    STATES = "states"


class Panel(msgspec.Struct, frozen=True):
    """One panel. unit: Grafana's id of a unit. limits: lines drawn for the eye, (value, colour), with their source in
    `says`; they judge nothing: the rules do. wide: over the whole width."""

    title: Text
    selects: tuple[Select, ...]
    kind: Kind = Kind.LINES
    unit: str = "short"
    says: Text = Text("", "")
    limits: tuple[tuple[float, str], ...] = ()
    wide: bool = False


class Board(msgspec.Struct, frozen=True):
    """One dashboard."""

    id: str
    title: Text
    panels: tuple[Panel, ...]


def _mean(*measurements: str, by: tuple[str, ...] = ("device", "point"), alias: str = DEVICE) -> Select:
    return Select(measurements, "mean", by=by, alias=alias)


def _true(
    *measurements: str, each: str = "$__interval", by: tuple[str, ...] = ("zone",), alias: str = ZONE,
) -> Select:
    return Select(measurements, "count", "state", (TRUE,), by, each, alias)


def _states(*measurements: str) -> Select:
    return Select(measurements, "last", "state", by=("device", "point"), alias=DEVICE)


def _each_day(counter: str) -> Select:
    """What a counter grew by; a meter that was changed begins anew."""
    return Select((counter,), "difference_last", by=("device",), each="1d", alias="$tag_device")


_NO_VALUE = Text("Where a line is broken nothing was measured: silence is never drawn as a value.",
                 "断线处没有测值：静默绝不画成数值。")

SITE_BOARD = Board("site", Text("Site", "单位总览"), (
    Panel(Text("Alarms by hour", "每小时报警数"), (
        Select(("rule_alarm",), "count", "state", (TRUE,), ("zone",), "1h", ZONE),), Kind.BARS, wide=True),
    Panel(Text("Alarms in this time", "时段内报警总数"), (_true("rule_alarm", each="", by=(), alias=""),), Kind.STAT),
    Panel(Text("Samples without a value", "无效采样数"), (
        Select((), "count", "quality", (BAD,), (), "", "$m"),), Kind.STAT,
        says=Text("By quantity: silent, error value, over range.", "按测量量：静默、错误值、超量程。")),
    Panel(Text("Temperature by zone", "各区域温度"), (_mean("temperature", by=("zone",), alias=ZONE),),
          unit="celsius", says=_NO_VALUE),
    Panel(Text("Energy each day", "日用电量"), (_each_day("energy"),), Kind.BARS, "kwatth"),
    Panel(Text("Water each day", "日用水量"), (_each_day("volume"),), Kind.BARS, "m3"),
    Panel(Text("People", "人数"), (_mean("people", by=("zone",), alias=ZONE),)),
    Panel(Text("Samples by site of the district", "本区各单位采样数"), (
        Select((), "count", "quality", (), ("site",), "1h", "$tag_site", of_district=True),), Kind.LINES, wide=True),
))
GATEWAY_BOARD = Board("gateway", Text("Gateway health", "网关健康"), (
    Panel(Text("Samples each minute", "每分钟采样数"), (
        Select((), "count", "quality", (), ("gateway",), "1m", "$tag_gateway"),), wide=True,
        says=Text("Nothing at all for minutes: the gateway or its link is gone.", "数分钟全无：网关或链路中断。")),
    Panel(Text("Without a value", "无效采样"), (
        Select((), "count", "quality", (BAD,), ("gateway",), "$__interval", "$tag_gateway $m"),), Kind.BARS),
    Panel(Text("Supply", "供电"), (_states("mains_ok", "on_battery"),), Kind.STATES),
    Panel(Text("Links", "链路"), (_states("link_ok"),), Kind.STATES),
    Panel(Text("Battery", "电池"), (_mean("battery"),), unit="percent", limits=((20, "red"),)),
    Panel(Text("Signal", "信号强度"), (_mean("signal"),), unit="dBm"),
    Panel(Text("Faults", "故障"), (_states("fault"),), Kind.STATES),
    Panel(Text("Low batteries", "电池欠压"), (_true("low_battery", by=("device",), alias="$tag_device"),), Kind.BARS),
    Panel(Text("Tampered with", "防拆"), (_true("tamper", by=("device",), alias="$tag_device"),), Kind.BARS),
))
FIRE_BOARD = Board("fire", Text("Fire", "火灾"), (
    Panel(Text("Detectors that alarm", "报警的探测器"), (
        _states("smoke_alarm", "heat_alarm", "fire_alarm", "call_point"),), Kind.STATES, wide=True),
    Panel(Text("Smoke", "烟雾浓度"), (_mean("obscuration"),), unit="suffix: dB/m", says=_NO_VALUE),
    Panel(Text("Temperature", "温度"), (_mean("temperature"),), unit="celsius", limits=((54, "orange"),),
          says=Text("Orange: 54 °C, the least at which a class A1 heat detector answers (GB 4716).",
                    "橙线：54 °C，A1 类感温探测器动作温度下限（GB 4716）。")),
    Panel(Text("Carbon monoxide", "一氧化碳"), (_mean("co"),), unit="ppm"),
    Panel(Text("Manual call points", "手动报警按钮"), (
        _true("call_point", by=("zone", "device"), alias="$tag_zone $tag_device"),), Kind.BARS),
    Panel(Text("Detectors that need cleaning", "需清洗的探测器"), (
        _true("dirty", by=("device",), alias="$tag_device"),), Kind.BARS),
    Panel(Text("Residual current", "剩余电流"), (_mean("residual_current"),), unit="mamp", limits=((300, "orange"),),
          says=Text("Orange: 300 mA, the least that electrical fire monitoring alarms at (GB 14287.2).",
                    "橙线：300 mA，电气火灾监控报警下限（GB 14287.2）。")),
    Panel(Text("Latest smoke alarms", "最近的烟雾报警"), (
        Select(("smoke_alarm",), "raw", "state", (TRUE,), table=True),), Kind.TABLE, wide=True),
))
GAS_BOARD = Board("gas", Text("Gas", "可燃与有毒气体"), (
    Panel(Text("Combustible gas", "可燃气体"), (_mean("combustible_gas"),), unit="suffix: %LEL",
          limits=((25, "orange"), (50, "red")), wide=True,
          says=Text("25 and 50 %LEL: levels one and two of GB/T 50493.", "25、50 %LEL：GB/T 50493 一级、二级报警。")),
    Panel(Text("Highest each hour", "每小时最高值"), (
        Select(("combustible_gas",), "max", each="1h", alias=DEVICE),), Kind.BARS, "suffix: %LEL"),
    Panel(Text("Methane", "甲烷"), (_mean("methane"),), unit="ppm"),
    Panel(Text("Carbon monoxide", "一氧化碳"), (_mean("co"),), unit="ppm"),
    Panel(Text("Hydrogen sulphide", "硫化氢"), (_mean("h2s"),), unit="ppm"),
    Panel(Text("Oxygen", "氧气"), (_mean("oxygen"),), unit="percent", limits=((19.5, "orange"),)),
    Panel(Text("Alarm contacts", "报警触点"), (_states("gas_alarm", "co_alarm"),), Kind.STATES),
    Panel(Text("Valves", "阀门"), (_states("valve_closed", "valve_open"),), Kind.STATES,
          says=Text("Both or neither: the valve is on its way, or its proof is broken.",
                    "同时为真或同时为假：阀门动作中，或反馈故障。")),
))
WATER_BOARD = Board("water", Text("Water", "水"), (
    Panel(Text("Fire-water and pipe pressure", "消防与管网压力"), (_mean("pressure"),), unit="pressurepa", wide=True),
    Panel(Text("Lowest pressure each hour", "每小时最低压力"), (
        Select(("pressure",), "min", each="1h", alias=DEVICE),), Kind.LINES, "pressurepa"),
    Panel(Text("Level", "液位"), (_mean("level"),), unit="lengthm"),
    Panel(Text("Flow", "流量"), (_mean("flow"),), unit="suffix: m³/h",
          says=Text("Flow in the small hours that never ends is a leak.", "凌晨持续的流量即漏水。")),
    Panel(Text("Volume each day", "日水量"), (_each_day("volume"),), Kind.BARS, "m3"),
    Panel(Text("Leaks and floods", "水浸"), (_states("leak", "flood"),), Kind.STATES),
    Panel(Text("River: dissolved oxygen", "河道溶解氧"), (_mean("dissolved_oxygen"),), unit="suffix: mg/L"),
    Panel(Text("River: ammonia nitrogen", "河道氨氮"), (_mean("ammonia_nitrogen"),), unit="suffix: mg/L"),
))
AIR_BOARD = Board("air", Text("Air, dust and noise", "空气、扬尘与噪声"), (
    Panel(Text("PM2.5 by hour", "PM2.5 小时均值"), (
        Select(("pm25",), "mean", by=("zone",), each="1h", alias=ZONE),), Kind.LINES, "conμgm3", wide=True),
    Panel(Text("PM10 by hour", "PM10 小时均值"), (
        Select(("pm10",), "mean", by=("zone",), each="1h", alias=ZONE),), Kind.LINES, "conμgm3"),
    Panel(Text("Dust of building sites", "工地扬尘 TSP"), (
        Select(("tsp",), "mean", by=("zone",), each="15m", alias=ZONE),), Kind.LINES, "conμgm3"),
    Panel(Text("Noise", "噪声"), (_mean("noise", by=("zone",), alias=ZONE),), unit="dB"),
    Panel(Text("Carbon dioxide indoors", "室内二氧化碳"), (_mean("co2", by=("zone",), alias=ZONE),), unit="ppm"),
    Panel(Text("Ozone", "臭氧"), (_mean("o3", by=("zone",), alias=ZONE),), unit="ppm"),
    Panel(Text("Temperature", "温度"), (_mean("temperature", by=("zone",), alias=ZONE),), unit="celsius"),
    Panel(Text("Humidity", "湿度"), (_mean("humidity", by=("zone",), alias=ZONE),), unit="humidity"),
))
CAMERA_BOARD = Board("cameras", Text("Cameras", "摄像机"), (
    Panel(Text("Flame and smoke scores", "火焰与烟雾评分"), (
        Select(("flame_score", "smoke_score"), "max", by=("device",), alias="$m $tag_device"),), wide=True,
        says=Text("The model's score, not an alarm: the rules decide.", "模型评分，并非报警：由规则判定。")),
    Panel(Text("Hot work score", "动火评分"), (
        Select(("hot_work_score",), "max", by=("device",), alias="$tag_device"),)),
    Panel(Text("Fire lane obstructed", "消防通道占用"), (
        Select(("obstruction_score",), "max", by=("device",), alias="$tag_device"),)),
    Panel(Text("People seen", "人数"), (Select(("people",), "max", by=("zone",), alias=ZONE),)),
    Panel(Text("Cameras that say nothing", "失联摄像机采样"), (
        Select(("flame_score", "smoke_score", "hot_work_score", "people"), "count", "quality", (BAD,), ("device",),
               "$__interval", "$tag_device"),), Kind.BARS),
))
RULES_BOARD = Board("rules", Text("Rules", "规则"), (
    Panel(Text("Alarms by rule", "各规则报警"), (
        Select(("rule_alarm",), "count", "state", (TRUE,), ("point",), "$__interval", "$tag_point"),), Kind.BARS,
        wide=True, says=Text("What gateways decided. Rules of the cloud alone are on the pages.",
                             "网关判定的报警；仅在云端运行的规则见页面。")),
    Panel(Text("What stands, by place and rule", "各处报警状态"), (_states("rule_alarm"),), Kind.STATES, wide=True),
    Panel(Text("By rule in this time", "时段内各规则合计"), (
        Select(("rule_alarm",), "count", "state", (TRUE,), ("point",), "", "$tag_point"),), Kind.STAT),
    Panel(Text("By zone in this time", "时段内各区域合计"), (
        Select(("rule_alarm",), "count", "state", (TRUE,), ("zone",), "", ZONE),), Kind.STAT),
    Panel(Text("Latest", "最近报警"), (
        Select(("rule_alarm",), "raw", "state", (TRUE,), table=True),), Kind.TABLE, wide=True),
))
BOARDS = (SITE_BOARD, GATEWAY_BOARD, FIRE_BOARD, GAS_BOARD, WATER_BOARD, AIR_BOARD, CAMERA_BOARD, RULES_BOARD)
