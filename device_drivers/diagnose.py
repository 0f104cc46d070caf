"""Diagnose: what a few rounds of reading one device show, and what to do about it. Pure; `commands.py` reads.

    Attempt × n ──► Figures (answers, faults, times) ──► advise ──► what is wrong first, in both languages
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from device_model.reading import Reason
from device_model.site import Text

SLOW_SHARE = 0.7  # of the time-out: beyond it a little more delay loses the device


class Attempt(msgspec.Struct, frozen=True):
    """One request and what came. sent, received: raw frames as hex, as they went over the wire. fault: "" or silent,
    garbled, refused, line_down; code: the exception code of a refusal."""

    what: str
    sent: str
    received: str
    took_ms: float
    fault: str = ""
    detail: str = ""
    code: int = 0


class PointValue(msgspec.Struct, frozen=True):
    """A decoded value in its canonical unit."""

    point: str
    name: Text
    value: bool | int | float | str | None
    unit: str
    quality: str
    reason: str


class Figures(msgspec.Struct, frozen=True):
    """Counts and times of all attempts; times are of those that were answered, ms, 0 where none was."""

    asked: int
    answered: int
    silent: int
    garbled: int
    refused: int
    line_down: int
    least_ms: float
    median_ms: float
    most_ms: float


class Diagnosis(msgspec.Struct, frozen=True):
    """All that `tocsin devices test` shows."""

    device: str
    profile: str
    line: str
    unit: int
    ok: bool
    identity: str
    attempts: tuple[Attempt, ...]
    values: tuple[PointValue, ...]
    figures: Figures
    advice: tuple[Text, ...]


def figures_of(attempts: Sequence[Attempt]) -> Figures:
    """Count and time the attempts."""
    times = [attempt.took_ms for attempt in attempts if not attempt.fault]
    by_fault = {fault: sum(attempt.fault == fault for attempt in attempts)
                for fault in (Reason.SILENT, Reason.GARBLED, Reason.REFUSED, Reason.LINE_DOWN)}
    return Figures(len(attempts), len(times), by_fault[Reason.SILENT], by_fault[Reason.GARBLED],
                   by_fault[Reason.REFUSED], by_fault[Reason.LINE_DOWN], min(times, default=0.0),
                   round(median(times), 1) if times else 0.0, max(times, default=0.0))


def advise(attempts: Sequence[Attempt], values: Sequence[PointValue], *, serial: bool, timeout_ms: float
           ) -> tuple[Text, ...]:
    """What to look at, the likeliest cause first; one line saying that all is well where nothing is wrong."""
    figures = figures_of(attempts)
    if figures.line_down == figures.asked:
        return (_LINE_SERIAL if serial else _LINE_TCP,)
    advice: list[Text] = []
    if figures.answered + figures.refused == 0:
        advice.append(_GARBLED_ALL if figures.garbled else _SILENT_SERIAL if serial else _SILENT_TCP)
    else:
        if figures.silent:
            advice.append(_counted(_SILENT_SOME, figures.silent, figures.asked))
        if figures.garbled:
            advice.append(_counted(_GARBLED_SOME, figures.garbled, figures.asked))
    advice += [_REFUSALS.get(code, _REFUSED_OTHER) for code in sorted({a.code for a in attempts if a.code})]
    if figures.most_ms > SLOW_SHARE * timeout_ms:
        most = figures.most_ms
        advice.append(Text(f"slowest answer {most:g} ms of {timeout_ms:g} ms allowed: raise reply_timeout_s",
                           f"最慢应答 {most:g} 毫秒，上限 {timeout_ms:g} 毫秒：请增大 reply_timeout_s"))
    bad = [value for value in values if value.quality == "bad"]
    if bad and figures.answered:
        names = ", ".join(f"{value.point} ({value.reason})" for value in bad[:5])
        advice.append(Text(f"points without a value: {names}: wrong profile, or a faulty or unconnected sensor",
                           f"以下测点无有效值：{names}：配置文件不符，或传感器故障、未接"))
    return tuple(advice) or (_WELL,)


def _counted(text: Text, count: int, asked: int) -> Text:
    return Text(f"{count} of {asked}: {text.en}", f"{asked} 次中 {count} 次：{text.zh}")


_WELL = Text("all requests answered, all values valid", "全部请求已应答，数值有效")
_LINE_TCP = Text("the host cannot be reached: check address, port, network cable, and that no other master holds its "
                 "only connection", "无法连接主机：检查地址、端口、网线，以及是否有其他主站占用其唯一连接")
_LINE_SERIAL = Text("the serial port cannot be opened: check its name, permission, and that no other program has it",
                    "无法打开串口：检查串口名、权限，以及是否被其他程序占用")
_SILENT_TCP = Text("the host answers but the unit does not: check the unit id, and the wiring behind a converter",
                   "主机可达但该地址无应答：检查从站地址及转换器后的接线")
_SILENT_SERIAL = Text("no answer: check power, A/B not swapped, unit id, speed and parity (tocsin devices scan rtu)",
                      "无应答：检查供电、A/B 是否接反、从站地址、波特率与校验（tocsin devices scan rtu）")
_SILENT_SOME = Text("no answer: check power, termination and length of the line, or raise reply_timeout_s",
                    "无应答：检查供电、终端电阻与线路长度，或增大 reply_timeout_s")
_GARBLED_ALL = Text("bytes come, but no reply: wrong speed or parity, two units with one address, or two masters",
                    "有数据但不成帧：波特率或校验错误、两台设备地址相同，或存在两个主站")
_GARBLED_SOME = Text("garbled: check termination, shield and earthing, and that no address stands twice",
                     "数据损坏：检查终端电阻、屏蔽与接地，以及地址是否重复")
_REFUSED_OTHER = Text("the device refuses for a reason of its own: see its manual",
                      "设备因自身原因拒绝：请查阅其手册")
_REFUSALS = {
    1: Text("exception 1: the device does not know this function: wrong profile",
            "异常码 1：设备不支持该功能码：配置文件不符"),
    2: Text("exception 2: the device does not have these registers: wrong profile or firmware",
            "异常码 2：设备没有这些寄存器：配置文件或固件版本不符"),
    3: Text("exception 3: the device does not give so many registers at once: set max_registers in its profile",
            "异常码 3：设备一次给不了这么多寄存器：请在配置文件中设置 max_registers"),
    4: Text("exception 4: the device reports a failure of its own: restart or service it",
            "异常码 4：设备自身故障：请重启或检修"),
    6: Text("exception 6: the device is busy: raise min_gap_s in its profile",
            "异常码 6：设备忙：请在配置文件中增大 min_gap_s"),
    10: Text("exception 10: the converter has no path to the unit: check its settings",
             "异常码 10：转换器无通路：检查其设置"),
    11: Text("exception 11: the converter gets no answer from the unit: check power, wiring and unit id behind it",
             "异常码 11：转换器未收到该设备应答：检查其后的供电、接线与从站地址"),
}
