"""Environment stations: the host's side of HJ 212 for all stations of one line. Pure.

    packet ─► which station (MN) ─► factors ─► document ─► HeardDevices ─► DeviceRead …   then 9014 / 9013, if wanted

    topic "2011" real time · "2051" minutes · "2061" hour · "2031" day · "2041" facility hours …  (CN of the packet)
    path  "a34004.Rtd"  factor and field

When a value was measured: a station's clock may be wrong, but the difference between its QN (when it sent) and its
DataTime (what it speaks of) is right. Its clock's error is what the last packets agree on, else the smallest delay of
late. What is later than that, or older than its kind, is a record of the past: handed on with its own source time,
and no proof of the present. Minute, hour and day values have the start of their period, as in the standard.

Flags: N is good; S (set by hand), C (calibrating), M (maintenance) make a value uncertain; D (fault), F (stopped),
B (no link to the instrument) make it bad; T is over range. A flag that nobody knows makes it uncertain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from device_drivers.driver import DeviceNotice, DriverEvent, LineDevice
from device_drivers.heard_devices import HeardDevices
from device_drivers.station_host import PIECE_US, HostDone, StationHost, gaps_worth_asking
from device_model.clock import DAY_US, HOUR_US, MINUTE_US, Now
from device_model.profile import DeviceProfile, StationTraits
from device_model.reading import Quality, Reason
from device_model.site import Text
from wire_codecs.hj212 import Packet, RefusedPacket, factors_of, instant_us

REAL_TIME, NOTICES, HEARTBEAT = ("2011", "2021"), ("1013", "2012", "2022"), "9015"
# Longest period of each kind of record: what is older than it and a margin was sent later than it arose.
PERIOD_US = {"2051": 30 * MINUTE_US, "2061": HOUR_US, "2031": DAY_US, "2041": DAY_US}
LATE_US = 60_000_000  # a packet that took longer than this to come was stored on the way
PERIOD_MARGIN_US = 10 * MINUTE_US
DELAYS_KEPT = 32
AGREEING, AGREE_WITHIN_US = 3, 10_000_000
ASKS_CLOCK = "1013"
CLOCK_KNOWN_US = 2_000_000  # worse than this our own clock is not given to a station
SILENCE_US = 3 * MINUTE_US  # stations speak each minute or oftener
_WHY_ZH = {"clock": "校时", "gap": "补采", "interval": "上报间隔"}
TOLD_MAX = 1000
SPLITS_MAX = 64  # sets of packets being waited for, a station

_FLAGS: dict[str, tuple[Quality, Reason]] = {
    "": (Quality.GOOD, Reason.NONE), "N": (Quality.GOOD, Reason.NONE),
    "S": (Quality.UNCERTAIN, Reason.NONE), "C": (Quality.UNCERTAIN, Reason.NONE),
    "M": (Quality.UNCERTAIN, Reason.NONE), "T": (Quality.BAD, Reason.OVER_RANGE),
    "D": (Quality.BAD, Reason.DEVICE_FAULT), "F": (Quality.BAD, Reason.DEVICE_FAULT),
    "B": (Quality.BAD, Reason.SILENT),
}
_UNKNOWN_FLAG = (Quality.UNCERTAIN, Reason.NONE)


class StationTurn(msgspec.Struct):
    """What one step asks for, in this order: first the events, then the packets to their connections."""

    events: list[DriverEvent]
    packets: list[tuple[int, Packet]]


class _Station(msgspec.Struct):
    device: str
    traits: StationTraits
    delays_us: deque[int]
    host: StationHost
    fills: tuple[str, ...] = ()  # kinds of record that it keeps and that points are made of
    peer: int | None = None
    last: Packet | None = None
    heard_us: int = 0  # wall time of its last packet, 0: none since the start
    newest_us: dict[str, int] = {}  # of each kind of record, by the station's clock
    splits: dict[tuple[str, str], set[int]] = {}  # (CN, DataTime) → numbers that came


def check_profile(profile: DeviceProfile) -> tuple[str, ...]:
    """What of a profile this driver cannot do, for people."""
    problems = []
    for spec in profile.points:
        if spec.payload is None or not spec.payload.topic.isdigit() or spec.payload.path.count(".") != 1:
            problems.append(f'{spec.id}: a point of a station needs a topic (CN, "2011") and a path like a34004.Rtd')
        if spec.writable:
            problems.append(f"{spec.id}: stations are only read")
    return tuple(problems)


class Stations:
    """All stations of one line. `password`: what PW must be, "" where it is not looked at."""

    def __init__(self, line: str, devices: Sequence[LineDevice], now: Now, *, password: str = "") -> None:
        self._line, self._password = line, password
        self._stations = {
            entry.device.address: _Station(entry.device.id, entry.profile.hj212 or StationTraits(),
                                           deque(maxlen=DELAYS_KEPT),
                                           StationHost(entry.device.address,
                                                       (entry.profile.hj212 or StationTraits()).utc_offset_h),
                                           tuple(cn for cn in PIECE_US if any(
                                               spec.payload is not None and spec.payload.topic == cn
                                               for spec in entry.profile.points)))
            for entry in devices
        }
        self._heard = HeardDevices(
            [(entry, (entry.profile.hj212 or StationTraits()).expire_after_s) for entry in devices], now)
        self._told: set[tuple[str, ...]] = set()
        self.refused = 0  # packets that were none
        self.untold = 0

    def take(self, peer: int, packet: Packet | RefusedPacket, now: Now) -> StationTurn:
        """A packet of a connection. Never raises for what a peer sent."""
        turn = StationTurn([], [])
        if isinstance(packet, RefusedPacket):  # nothing is answered: the station sends it again
            self.refused += 1
            self._tell(turn, now, "", "packet_refused", packet.reason, f"packet refused: {packet.reason}",
                       f"数据包被拒收：{packet.reason}")
            return turn
        station = self._stations.get(packet.mn)
        if station is None:
            self._tell(turn, now, "", "unlisted_station", packet.mn[:40],
                       f"station {packet.mn[:40]} is not in the site file", f"监测站 {packet.mn[:40]} 未登记")
            return turn
        if self._password and packet.pw != self._password:
            self._tell(turn, now, station.device, "wrong_password", "", "a packet with a wrong password was refused",
                       "访问密码错误的数据包被拒收")
            return turn
        self._greet(turn, station, peer, packet, now)
        done = station.host.answered(packet, now.mono_us)
        if done is not None:
            self._done(turn, station, done, now)
        if packet.cn in NOTICES:
            turn.packets.append((peer, packet.answer("9013")))
            if packet.cn == ASKS_CLOCK and 0 <= now.wall_error_us <= CLOCK_KNOWN_US:
                station.host.set_clock(now.wall_us)
            self._tell(turn, now, station.device, "station_notice", packet.cn,
                       f"the station sends notice {packet.cn}", f"现场机发来通知 {packet.cn}")
        elif packet.cn.startswith("2") or packet.cn == HEARTBEAT or packet.cn in ("1001", "3020"):
            self._upload(turn, station, packet, now)
            if packet.wants_answer:
                turn.packets.append((peer, packet.answer("9014")))
        elif not packet.cn.startswith("901"):
            self._tell(turn, now, station.device, "not_understood", packet.cn[:20],
                       f"command {packet.cn[:20]} is not understood", f"无法识别命令 {packet.cn[:20]}")
        turn.events += self._heard.prove(station.device, now) if packet.cn == HEARTBEAT else ()
        self._pump(turn, station, now)
        return turn

    def closed(self, peer: int) -> None:
        """A connection ended: what was asked on it is asked again on the next one."""
        for station in self._stations.values():
            if station.peer == peer:
                station.peer = None
                for wish in station.host.drop():
                    station.host.ask(wish)

    def ask_interval(self, device: str, seconds: int) -> bool:
        """A person wants real-time data so often. False: no such station, or too much waits.

        ValueError outside 30 to 3600 s.
        """
        return any(station.host.set_interval(seconds) for station in self._stations.values()
                   if station.device == device)

    def look(self, now: Now) -> StationTurn:
        """Time passes: silence."""
        turn = StationTurn(list(self._heard.look_for_silence(now)), [])
        for station in self._stations.values():
            self._pump(turn, station, now)
        return turn

    def _greet(self, turn: StationTurn, station: _Station, peer: int, packet: Packet, now: Now) -> None:
        """It speaks. After a silence its records of that time are asked for."""
        since_us, station.heard_us = station.heard_us, now.wall_us
        station.peer, station.last = peer, packet
        if not since_us or now.wall_us - since_us < SILENCE_US:
            return
        wrong_us = _usual_us(station.delays_us) if station.delays_us else 0  # its records carry its own time
        for cn in station.fills:
            if not gaps_worth_asking(cn, since_us, now.wall_us):
                continue
            asked_us = station.host.back_fill(cn, since_us - wrong_us, now.wall_us - wrong_us)
            left_s = (now.wall_us - since_us - asked_us) // 1_000_000
            more = f"; {left_s} s of it are too old or too much to ask for" if left_s else ""
            more_zh = f"，其中 {left_s} 秒无法补采" if left_s else ""
            silent_s = (now.wall_us - since_us) // 1_000_000
            turn.events.append(DeviceNotice(self._line, station.device, "gap_asked", Text(
                f"silent for {silent_s} s: its {cn} records are asked for{more}",
                f"失联 {silent_s} 秒，正在补采 {cn} 数据{more_zh}"), now))

    def _done(self, turn: StationTurn, station: _Station, done: HostDone, now: Now) -> None:
        kind = "station_asked" if not done.problem else "station_refused"
        turn.events.append(DeviceNotice(self._line, station.device, kind, Text(
            f"{done.wish.why} ({done.wish.cn}): {done.problem or 'done'}",
            f"{_WHY_ZH.get(done.wish.why, done.wish.why)}（{done.wish.cn}）：{done.problem or '已完成'}"), now))

    def _pump(self, turn: StationTurn, station: _Station, now: Now) -> None:
        if station.peer is None or station.last is None:
            return
        packet, over = station.host.due(station.last, now.wall_us, now.mono_us)
        if over is not None:
            self._done(turn, station, over, now)
        if packet is not None:
            turn.packets.append((station.peer, packet))

    def forget(self) -> None:
        """What was said last did not arrive: say everything anew when it is told again."""
        self._heard.forget()

    def line_down(self, detail: str, now: Now) -> StationTurn:
        """The whole line is gone: the port cannot be had."""
        return StationTurn(list(self._heard.lose_all(Reason.LINE_DOWN, detail, now)), [])

    def _upload(self, turn: StationTurn, station: _Station, packet: Packet, now: Now) -> None:
        document: dict[str, dict[str, float | str]] = {}
        doubt: dict[str, tuple[Quality, Reason]] = {}
        for factor in factors_of(packet):
            document[factor.code] = dict(factor.values)  # text; numbers are judged strictly in payload_map
            doubt[factor.code] = _FLAGS.get(factor.flag, _UNKNOWN_FLAG)
        source_us, live = self._when(station, packet, now)
        turn.events += self._heard.take(station.device, packet.cn, document, now, source_us=source_us, doubt=doubt,
                                        live=live)
        self._split(turn, station, packet, now)

    def _when(self, station: _Station, packet: Packet, now: Now) -> tuple[int, bool]:
        """When the values were measured, µs since 1970 UTC by our clock, and whether they speak of the present."""
        offset_h = station.traits.utc_offset_h
        data_us, sent_us = (instant_us(text, offset_h) for text in (packet.field("DataTime"), packet.qn))
        if data_us is None:
            return now.wall_us, True
        if sent_us is None:
            sent_us = data_us  # 2005: nothing says when it was sent
        delay_us = now.wall_us - sent_us
        station.delays_us.append(delay_us)
        late_us = delay_us - _usual_us(station.delays_us)
        age_us = max(0, sent_us - data_us)
        period_us = PERIOD_US.get(packet.cn)
        live = late_us <= LATE_US and age_us <= (LATE_US if period_us is None else 2 * period_us + PERIOD_MARGIN_US)
        if period_us is not None:
            if station.host.fetches(packet.cn) and data_us < station.newest_us.get(packet.cn, data_us):
                live = False  # asked for after a gap: it must not take the place of a newer record
            else:
                station.newest_us[packet.cn] = data_us
        if live and period_us is None:
            return now.wall_us, True
        return now.wall_us - late_us - age_us, live

    def _split(self, turn: StationTurn, station: _Station, packet: Packet, now: Now) -> None:
        """Every packet of a set is handed on as it comes; a set that stays incomplete is told."""
        if packet.pnum is None or packet.pno is None or packet.pnum < 2:
            return
        key = (packet.cn, packet.field("DataTime"))
        came = station.splits.setdefault(key, set())
        came.add(packet.pno)
        if len(came) >= packet.pnum:
            del station.splits[key]
        elif len(station.splits) > SPLITS_MAX or packet.pno == packet.pnum:
            oldest = next(iter(station.splits)) if len(station.splits) > SPLITS_MAX else key
            numbers = sorted(station.splits.pop(oldest))
            self._tell(turn, now, station.device, "packets_missing", " ".join(oldest),
                       f"{oldest[0]} of {oldest[1]}: only packets {numbers} of {packet.pnum} came",
                       f"{oldest[0]}（{oldest[1]}）分包不全：仅收到 {numbers}，共 {packet.pnum} 包")

    def _tell(self, turn: StationTurn, now: Now, device: str, kind: str, once: str, en: str, zh: str) -> None:
        key = (kind, device, once)
        if key in self._told:
            return
        if len(self._told) >= TOLD_MAX:
            self.untold += 1
            return
        self._told.add(key)
        turn.events.append(DeviceNotice(self._line, device, kind, Text(en, zh), now))


def _usual_us(delays_us: deque[int]) -> int:
    """The error of a station's clock. Live packets agree with each other also after the clock was set; stored ones
    that are sent in a row do not, for each is older than the next by its period."""
    recent = [delays_us[-number] for number in range(1, min(AGREEING, len(delays_us)) + 1)]
    agree = len(recent) == AGREEING and max(recent) - min(recent) <= AGREE_WITHIN_US
    return min(recent if agree else delays_us)
