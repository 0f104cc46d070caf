"""Quantities and the units that each may carry (UCUM codes).

One table, enforced when profiles, rules and site files load: a quantity in a unit that is not listed here is an
error with file and line, and a rule that compares °C with %LEL does not load. Conversions are linear
(`value * factor + offset` gives the quantity's first, canonical unit); what cannot be converted without knowing
more (ppm and mg/m3 need the gas) is a quantity of its own unit and stays so.
"""

from __future__ import annotations

import msgspec


class Unit(msgspec.Struct, frozen=True):
    """A unit that a quantity may carry: canonical = value * factor + offset."""

    code: str
    factor: float = 1.0
    offset: float = 0.0


class Quantity(msgspec.Struct, frozen=True):
    """A kind of thing measured. `units[0]` is canonical. `boolean` quantities carry true/false, unit "1"."""

    name: str
    en: str
    zh: str
    units: tuple[Unit, ...]
    boolean: bool = False
    text: bool = False

    @property
    def canonical(self) -> str:
        """The UCUM code that rules and stores use."""
        return self.units[0].code

    def unit(self, code: str) -> Unit | None:
        """The entry for a unit code, or None if this quantity may not carry it."""
        return next((unit for unit in self.units if unit.code == code), None)


_ONE = Unit("1")
_PERCENT = Unit("%")
_CELSIUS = (Unit("Cel"), Unit("K", 1.0, -273.15), Unit("[degF]", 5 / 9, -160 / 9))
_PRESSURE = (
    Unit("Pa"), Unit("hPa", 100), Unit("kPa", 1e3), Unit("MPa", 1e6), Unit("bar", 1e5), Unit("mbar", 100),
    Unit("[psi]", 6894.757293168),
)
_LENGTH = (Unit("m"), Unit("cm", 0.01), Unit("mm", 0.001))
_POWER = (Unit("W"), Unit("kW", 1e3), Unit("MW", 1e6))
_CONCENTRATION = (Unit("mg/m3"), Unit("ug/m3", 1e-3))


def _flag(name: str, en: str, zh: str) -> Quantity:
    return Quantity(name, en, zh, (_ONE,), boolean=True)


def _number(name: str, en: str, zh: str, *units: Unit) -> Quantity:
    return Quantity(name, en, zh, units)


_ALL = (
    # fire
    _flag("smoke_alarm", "smoke alarm", "感烟报警"),
    _flag("heat_alarm", "heat alarm", "感温报警"),
    _flag("fire_alarm", "fire alarm", "火警"),
    _flag("call_point", "manual call point", "手动报警按钮"),
    _flag("co_alarm", "CO alarm", "一氧化碳报警"),
    _flag("gas_alarm", "gas alarm", "燃气报警"),
    _flag("arc_alarm", "arc fault", "故障电弧"),
    # dB/m and optical density differ by a factor of ten (1 OD/m = 10 dB/m; thresholds.md section 1).
    _number("obscuration", "smoke obscuration", "烟雾减光率", Unit("dB/m"), Unit("1/m", 10.0)),
    _number("temperature", "temperature", "温度", *_CELSIUS),
    # The raw output of a detector or sensor element, in the maker's own scale: only its change has a meaning.
    _number("detector_signal", "raw detector signal", "探测器原始信号", _ONE),
    # gas
    _number("combustible_gas", "combustible gas", "可燃气体", Unit("%[LEL]")),
    _number("gas_volume_fraction", "gas volume fraction", "气体体积分数", Unit("%"), Unit("[ppm]", 1e-4)),
    _number("methane", "methane in air", "空气中甲烷", Unit("[ppm]"), Unit("[ppb]", 1e-3)),
    _number("co", "carbon monoxide", "一氧化碳", Unit("[ppm]"), Unit("[ppb]", 1e-3), Unit("%", 1e4)),
    _number("co_mass", "carbon monoxide (mass)", "一氧化碳（质量浓度）", *_CONCENTRATION),
    _number("co2", "carbon dioxide", "二氧化碳", Unit("[ppm]"), Unit("%", 1e4)),
    _number("h2s", "hydrogen sulphide", "硫化氢", Unit("[ppm]"), Unit("[ppb]", 1e-3)),
    _number("nh3", "ammonia", "氨", Unit("[ppm]")),
    _number("h2", "hydrogen", "氢气", Unit("[ppm]")),
    _number("so2", "sulphur dioxide", "二氧化硫", Unit("[ppm]"), Unit("[ppb]", 1e-3)),
    _number("no2", "nitrogen dioxide", "二氧化氮", Unit("[ppm]"), Unit("[ppb]", 1e-3)),
    _number("o3", "ozone", "臭氧", Unit("[ppm]"), Unit("[ppb]", 1e-3)),
    _number("ph3", "phosphine", "磷化氢", Unit("[ppm]")),
    _number("oxygen", "oxygen", "氧气", _PERCENT),
    _number("tvoc", "volatile organic compounds", "挥发性有机物", Unit("[ppb]"), Unit("[ppm]", 1e3)),
    _number("gas_resistance_ratio", "gas sensor resistance ratio", "气敏电阻比", _ONE),
    # water
    _flag("leak", "water leak", "漏水"),
    _flag("flood", "flooding", "水浸"),
    _number("level", "liquid level", "液位", *_LENGTH),
    _number("pressure", "pressure", "压力", *_PRESSURE),
    _number("flow", "flow", "流量", Unit("m3/h"), Unit("L/s", 3.6), Unit("L/min", 0.06)),
    _number("volume", "volume", "体积", Unit("m3"), Unit("L", 1e-3)),
    # air, weather, dust, noise
    _number("humidity", "relative humidity", "相对湿度", _PERCENT),
    _number("pm25", "PM2.5", "PM2.5", Unit("ug/m3"), Unit("mg/m3", 1e3)),
    _number("pm10", "PM10", "PM10", Unit("ug/m3"), Unit("mg/m3", 1e3)),
    _number("tsp", "total suspended particles", "总悬浮颗粒物", Unit("ug/m3"), Unit("mg/m3", 1e3)),
    _number("noise", "sound level", "噪声", Unit("dB"), Unit("dB[A]")),
    _number("wind_speed", "wind speed", "风速", Unit("m/s")),
    _number("wind_direction", "wind direction", "风向", Unit("deg")),
    _number("rain", "rain", "降雨量", Unit("mm")),
    _number("illuminance", "illuminance", "照度", Unit("lx"), Unit("klx", 1e3)),
    # surface water
    _number("ph", "pH", "pH 值", _ONE),
    _number("dissolved_oxygen", "dissolved oxygen", "溶解氧", Unit("mg/L")),
    _number("permanganate_index", "permanganate index", "高锰酸盐指数", Unit("mg/L")),
    _number("cod", "chemical oxygen demand", "化学需氧量", Unit("mg/L")),
    _number("ammonia_nitrogen", "ammonia nitrogen", "氨氮", Unit("mg/L")),
    _number("total_phosphorus", "total phosphorus", "总磷", Unit("mg/L")),
    _number("total_nitrogen", "total nitrogen", "总氮", Unit("mg/L")),
    _number("conductivity", "conductivity", "电导率", Unit("uS/cm"), Unit("mS/cm", 1e3)),
    _number("turbidity", "turbidity", "浊度", Unit("[NTU]")),
    # electricity
    _number("voltage", "voltage", "电压", Unit("V"), Unit("mV", 1e-3), Unit("kV", 1e3)),
    _number("current", "current", "电流", Unit("A"), Unit("mA", 1e-3)),
    _number("residual_current", "residual current", "剩余电流", Unit("mA"), Unit("A", 1e3)),
    _number("power", "active power", "有功功率", *_POWER),
    _number("apparent_power", "apparent power", "视在功率", Unit("V.A"), Unit("kV.A", 1e3)),
    _number("reactive_power", "reactive power", "无功功率", Unit("var"), Unit("kvar", 1e3)),
    _number("energy", "energy", "电能", Unit("kW.h"), Unit("W.h", 1e-3)),
    _number("frequency", "frequency", "频率", Unit("Hz")),
    _number("power_factor", "power factor", "功率因数", _ONE),
    _number("phase_angle", "phase angle", "相位角", Unit("deg")),
    _number("charge", "electric charge", "电量", Unit("A.h")),
    _number("state_of_charge", "state of charge", "荷电状态", _PERCENT),
    _number("load", "load", "负载率", _PERCENT),
    _number("vibration", "vibration", "振动", Unit("m/s2"), Unit("[g]", 9.80665)),
    _number("resistance", "resistance", "电阻", Unit("Ohm"), Unit("kOhm", 1e3)),
    # condition of the device and its surroundings
    _flag("fault", "device fault", "设备故障"),
    _flag("dirty", "detector dirty", "探测器污染"),
    _flag("head_present", "detector head present", "探测器在位"),
    _flag("tamper", "tamper", "防拆报警"),
    _flag("low_battery", "low battery", "电池欠压"),
    _flag("mains_ok", "mains supply", "主电正常"),
    _flag("on_battery", "on battery", "备电运行"),
    _flag("test", "under test", "测试中"),
    _flag("link_ok", "radio link", "无线连接"),
    _number("battery", "battery", "电池电量", _PERCENT),
    _number("signal", "signal strength", "信号强度", Unit("dB[mW]")),
    _number("link_quality", "link quality", "链路质量", _ONE),
    _number("time_left", "time left", "剩余时间", Unit("d"), Unit("h", 1 / 24)),
    _number("wear", "wear", "磨损", _PERCENT),
    _number("fill", "share in use", "占用率", _PERCENT),
    _number("uptime", "uptime", "运行时间", Unit("s"), Unit("h", 3600.0)),
    _number("age", "time since last report", "距上次上报时间", Unit("s"), Unit("min", 60.0)),
    _number("state_code", "state code", "状态码", _ONE),
    _number("count", "count", "计数", _ONE),
    # outputs, doors, people
    _flag("relay", "relay", "继电器"),
    _flag("sounder", "sounder", "声光警报"),
    _flag("valve_open", "valve open", "阀门开启"),
    _flag("valve_closed", "valve closed", "阀门关闭"),
    _flag("door_open", "door open", "门开"),
    _flag("motion", "motion", "人体移动"),
    _flag("contact", "contact input", "开关量输入"),
    _number("people", "people", "人数", _ONE),
    _number("entries", "people who came in", "进入人次", _ONE),
    _number("exits", "people who went out", "离开人次", _ONE),
    _flag("sos", "help button", "求助按钮"),
    _number("weight", "weight", "重量", Unit("kg"), Unit("t", 1e3), Unit("g", 1e-3)),
    _number("uv_irradiance", "ultraviolet irradiance", "紫外辐照度", Unit("uW/cm2")),
    # what a camera thinks it sees, 0 to 1
    _number("hot_work_score", "hot work seen", "动火画面评分", _ONE),
    _number("flame_score", "flame seen", "火焰画面评分", _ONE),
    _number("smoke_score", "smoke seen", "烟雾画面评分", _ONE),
    _number("intrusion_score", "person in a forbidden place seen", "禁入区域有人评分", _ONE),
    _number("confidence", "confidence", "置信度", _ONE),
    _number("obstruction_score", "obstruction seen", "占用堵塞画面评分", _ONE),
    # leave for work: facts of a permit, told to rules as readings
    _flag("permit", "hot-work permit", "动火作业许可"),
    Quantity("text", "text", "文本", (_ONE,), text=True),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}

# What people write and print, against the UCUM code that files and messages carry.
UNIT_ALIASES: dict[str, str] = {
    "°C": "Cel", "℃": "Cel", "degC": "Cel", "°F": "[degF]", "%LEL": "%[LEL]", "ppm": "[ppm]", "ppb": "[ppb]",
    "µg/m3": "ug/m3", "ug/m³": "ug/m3", "µg/m³": "ug/m3", "mg/m³": "mg/m3", "%RH": "%", "kWh": "kW.h",
    "Wh": "W.h", "VA": "V.A", "kVA": "kV.A", "psi": "[psi]", "dBA": "dB[A]", "dB(A)": "dB[A]", "dBm": "dB[mW]",
    "Ah": "A.h", "µS/cm": "uS/cm", "NTU": "[NTU]", "µW/cm²": "uW/cm2",
    "m³": "m3", "m³/h": "m3/h", "ohm": "Ohm", "Ω": "Ohm",
}

_DISPLAY = {
    "Cel": "°C", "[degF]": "°F", "%[LEL]": "%LEL", "[ppm]": "ppm", "[ppb]": "ppb", "ug/m3": "µg/m³",
    "mg/m3": "mg/m³", "kW.h": "kWh", "W.h": "Wh", "V.A": "VA", "kV.A": "kVA", "[psi]": "psi",
    "dB[A]": "dB(A)", "dB[mW]": "dBm", "A.h": "Ah", "m3": "m³", "m3/h": "m³/h", "Ohm": "Ω", "1": "",
    "uS/cm": "µS/cm", "[NTU]": "NTU", "uW/cm2": "µW/cm²",
}

ALL_UNIT_CODES: frozenset[str] = frozenset(unit.code for quantity in _ALL for unit in quantity.units)


def unit_code(text: str) -> str | None:
    """The UCUM code for a unit as people write it ("°C", "%LEL"), or None if nobody here uses it."""
    code = UNIT_ALIASES.get(text, text)
    return code if code in ALL_UNIT_CODES else None


def unit_display(code: str) -> str:
    """How a unit is printed for people ("Cel" becomes "°C"; "1" becomes nothing)."""
    return _DISPLAY.get(code, code)


def to_canonical(quantity: str, unit: str, value: float) -> float:
    """A value in the quantity's canonical unit.

    Raises KeyError for an unknown quantity or a unit that the quantity may not carry; loaders check both, so
    that this cannot happen with a loaded profile.
    """
    entry = QUANTITIES[quantity].unit(unit)
    if entry is None:
        raise KeyError(f"{quantity} may not carry the unit {unit}")
    return value * entry.factor + entry.offset
