"""Station: an environment station's data logger (数采仪) as an HJ 212-2017 or -2025 session. Pure.

    VirtualDevice ─sample each step─► real time (2011) · minutes (2051) · hours (2061) · days (2031) ─► records kept
                                                                                                            │
    host: 9014 ◄─ upload, ≤ OverTime, ReCount repeats ◄─ live first, then what was kept while the line was down
    host: 1000 1011 1012 1061 1062 1063 1064 1072 2011 2012 2021 2022 2051 2061 2031 ─► 9011, data, 9012 | 9013

A record's factors come from the profile: topic "2011", path "a34004.Rtd" names factor a34004. Minute and longer
records carry Min, Avg, Max; noise factors (L…) carry Data, the energy mean. What is not acknowledged is sent again,
records also later; they are kept for a while like a real logger's, and a host may ask for them by time.

Source: HJ 212-2017 chapters 6.1, 6.3, 6.5, tables 1, 4, 5; -2025 as graded in the reference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from device_model.clock import DAY_US, HOUR_US, MINUTE_US
from device_model.profile import StationTraits
from firmware_sim.device import VirtualDevice
from firmware_sim.station_bugs import StationBug, written
from firmware_sim.station_values import Period, real_time_groups
from wire_codecs.hj212 import (
    Cipher,
    Edition,
    Packet,
    PacketReader,
    RefusedPacket,
    instant_text,
    instant_us,
    split,
)

KEPT_MAX = 2000  # records: over a week of ten-minute values; a real logger keeps a year on its card
WAITING_MAX = 4096  # packets that wait to be sent; past it the oldest real-time ones go, counted
HEARTBEAT_S = 60.0
_MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
Group = tuple[tuple[str, str], ...]


class Record(msgspec.Struct, frozen=True):
    """One record: command code, start of its period (µs since 1970 UTC; real time: the instant) and its groups."""

    cn: str
    wall_us: int
    groups: tuple[Group, ...]


class StationSettings(msgspec.Struct, frozen=True):
    """How the logger was set up; a host may change it (1000, 1062, 1064, 1072)."""

    password: str = "123456"  # noqa: S105  the standard's own example, and most stations'
    edition: Edition = Edition.HJ_2017
    real_time_s: int = 30
    minutes: int = 10
    over_time_s: int = 10
    repeats: int = 3
    answers: bool = True  # whether uploads ask for 9014


class Station:
    """One station. `mn`: its id. `encrypt`, `decrypt`: the cipher of the 2025 edition, or None."""

    def __init__(
        self, mn: str, device: VirtualDevice, settings: StationSettings | None = None, *,
        encrypt: Cipher | None = None, decrypt: Cipher | None = None, bugs: frozenset[StationBug] = frozenset(),
    ) -> None:
        self.id, self.mn, self.device = device.id, mn, device
        self.settings = settings or StationSettings()
        self.st = _system(device)
        self.kept: deque[Record] = deque(maxlen=KEPT_MAX)
        self.lost = 0  # packets that found no room
        self.unanswered = 0  # uploads that no 9014 came for, after all repeats
        self.clock_error_us = 0
        self._encrypt, self._decrypt, self._bugs = encrypt, decrypt, bugs
        self._reader = PacketReader(decrypt)
        self._offset_h = (device.profile.hj212 or StationTraits()).utc_offset_h
        self._open = False
        self._streaming = True
        self._waiting: deque[Packet] = deque()  # live
        self._backlog: deque[Packet] = deque(maxlen=WAITING_MAX)  # what the last line did not carry
        self._flying: Packet | None = None
        self._tries, self._resend_us = 0, 0
        self._next_us = 0
        self._beat_us = 0
        self._started_us: int | None = None
        self._qn_us = 0
        self._periods: dict[str, Period] = {}

    @property
    def wants_link(self) -> bool:
        """Whether the logger is powered."""
        return self.device.answers

    # -- the line --------------------------------------------------------------------------------------------------

    def opened(self, at_us: int, wall_us: int) -> list[bytes]:
        """Connected: live values go first, between them what waited."""
        self._open = True
        self._reader = PacketReader(self._decrypt)
        self._beat_us = at_us
        room = WAITING_MAX - len(self._backlog)
        self.lost += max(0, len(self._waiting) - room)
        self._backlog.extend(self._waiting)
        self._waiting.clear()
        if self._started_us is None:
            self._started_us = wall_us
            self._put(self._upload("2081", wall_us, ((("RestartTime", self._text(wall_us)),),), wall_us))
        return self.due(at_us, wall_us)

    def closed(self, at_us: int) -> None:
        """The line is gone; records go on being made and wait."""
        self._open = False
        if self._flying is not None:
            self._waiting.appendleft(self._flying)
            self._flying = None

    def take(self, octets: bytes, at_us: int, wall_us: int) -> list[bytes]:
        """The host speaks. What is no packet is not answered (the standard stops at a wrong CRC)."""
        out: list[bytes] = []
        for packet in self._reader.feed(octets):
            if isinstance(packet, RefusedPacket):
                continue
            if packet.cn in ("9014", "9013"):
                if self._flying is not None and packet.qn == self._flying.qn:
                    self._flying = None
            elif not packet.cn.startswith("90"):
                out += [written(answer, self._bugs, self._encrypt) for answer in self._told(packet, wall_us)]
        return [*out, *self.due(at_us, wall_us)]

    def due(self, at_us: int, wall_us: int) -> list[bytes]:
        """Time passes: values are sampled, records made, packets sent and repeated."""
        if not self.wants_link:
            return []
        now_us = wall_us + self.clock_error_us
        self._sample(now_us)
        if at_us >= self._next_us:
            self._next_us = at_us + self.settings.real_time_s * 1_000_000
            if self._streaming:
                self._put(self._upload("2011", now_us, real_time_groups(self.device), now_us))
        if not self._open:
            return []
        out: list[bytes] = []
        if self.settings.edition is Edition.HJ_2025 and at_us - self._beat_us >= HEARTBEAT_S * 1e6:
            self._beat_us = at_us
            out.append(self._written(self._plain("9015", (), now_us)))
        return [*out, *self._send(at_us)]

    def _send(self, at_us: int) -> list[bytes]:
        out: list[bytes] = []
        if self._flying is not None and at_us >= self._resend_us:
            if self._tries > self.settings.repeats or StationBug.NO_REPEAT in self._bugs:
                self.unanswered += 1
                if self._flying.cn != "2011":
                    self._backlog.append(self._flying)
                self._flying = None
            else:
                self._tries += 1
                self._resend_us = at_us + self.settings.over_time_s * 1_000_000
                out.append(self._written(self._flying))
        while self._flying is None and (self._waiting or self._backlog):
            packet = (self._waiting or self._backlog).popleft()
            out.append(self._written(packet))
            if packet.wants_answer:
                self._flying, self._tries = packet, 1
                self._resend_us = at_us + self.settings.over_time_s * 1_000_000
        return out

    def _written(self, packet: Packet) -> bytes:
        return written(packet, self._bugs, self._encrypt)

    def _put(self, packets: list[Packet]) -> None:
        for packet in packets:
            if len(self._waiting) >= WAITING_MAX:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(packet)

    # -- records ---------------------------------------------------------------------------------------------------

    def _sample(self, now_us: int) -> None:
        groups = real_time_groups(self.device)
        for cn, length_us in (("2051", self.settings.minutes * MINUTE_US), ("2061", HOUR_US), ("2031", DAY_US)):
            period = self._periods.get(cn)
            start_us = self._floor(now_us, length_us)
            if period is None or period.start_us != start_us:
                if period is not None:
                    record = Record(cn, period.start_us, period.groups())
                    self.kept.append(record)
                    self._put(self._upload(cn, record.wall_us, record.groups, now_us))
                period = self._periods[cn] = Period(start_us)
            period.add(groups, now_us)

    def _floor(self, now_us: int, length_us: int) -> int:
        shift_us = round(self._offset_h * HOUR_US)  # days begin at local midnight
        return (now_us + shift_us) // length_us * length_us - shift_us

    def _upload(self, cn: str, wall_us: int, groups: tuple[Group, ...], now_us: int) -> list[Packet]:
        whole = self._plain(cn, ((("DataTime", self._text(wall_us)),), *groups), now_us)
        if self.settings.answers:
            whole = msgspec.structs.replace(whole, flag=(whole.flag or 0) | 1)
        # Each part of a split record has a QN of its own, and is acknowledged by it (annex C.50).
        parts = split(whole)
        return [part if number == 0 else msgspec.structs.replace(part, qn=self._qn(now_us))
                for number, part in enumerate(parts)]

    def _plain(self, cn: str, area: tuple[Group, ...], now_us: int) -> Packet:
        return Packet(self._qn(now_us), self.st, cn, self.settings.password, self.mn,
                      int(self.settings.edition) << 2, area=area)

    def _qn(self, now_us: int) -> str:
        """An instant in ms that no other packet of this station had."""
        self._qn_us = max(now_us // 1000 * 1000, self._qn_us + 1000)
        return instant_text(self._qn_us, self._offset_h, milliseconds=True)

    def _text(self, wall_us: int) -> str:
        return instant_text(wall_us, self._offset_h)

    # -- the host's commands ---------------------------------------------------------------------------------------

    def _told(self, packet: Packet, wall_us: int) -> list[Packet]:
        if packet.cn in ("2012", "2022"):
            self._streaming = self._streaming and packet.cn != "2012"
            return [packet.answer("9013")]
        refusal = self._refusal(packet)
        if refusal:
            return [packet.answer("9011", (("QnRtn", str(refusal)),))]
        answers = [packet.answer("9011", (("QnRtn", "1"),))] if packet.wants_answer else []
        run = self._commands().get(packet.cn)
        if run is None:
            return [packet.answer("9011", (("QnRtn", "8"),))]
        more, result = run(packet, wall_us)
        return [*answers, *more, packet.answer("9012", (("ExeRtn", str(result)),))]

    def _refusal(self, packet: Packet) -> int:
        """QnRtn 3 wrong PW, 4 wrong MN, 5 wrong ST, 7 wrong QN; 0 none."""
        if packet.pw != self.settings.password:
            return 3
        if packet.mn != self.mn:
            return 4
        if packet.st != self.st:
            return 5
        return 0 if instant_us(packet.qn) is not None else 7

    def _commands(self) -> dict[str, Callable[[Packet, int], tuple[list[Packet], int]]]:
        return {
            "1000": self._set_retries, "1011": self._tell_clock, "1012": self._set_clock,
            "1061": lambda p, w: ([self._reply(p, (("RtdInterval", str(self.settings.real_time_s)),))], 1),
            "1062": self._set_real_time, "1064": self._set_minutes, "1072": self._set_password,
            "1063": lambda p, w: ([self._reply(p, (("MinInterval", str(self.settings.minutes)),))], 1),
            "2011": self._start_stream, "2051": self._history, "2061": self._history, "2031": self._history,
        }

    def _reply(self, packet: Packet, group: Group) -> Packet:
        flag = int(self.settings.edition) << 2
        return msgspec.structs.replace(packet, flag=flag, pnum=None, pno=None, area=(group,))

    def _set_retries(self, packet: Packet, _wall_us: int) -> tuple[list[Packet], int]:
        over, again = _number(packet, "OverTime", 1, 99), _number(packet, "ReCount", 1, 99)
        if over is None or again is None:
            return [], 3
        self.settings = msgspec.structs.replace(self.settings, over_time_s=over, repeats=again)
        return [], 1

    def _tell_clock(self, packet: Packet, wall_us: int) -> tuple[list[Packet], int]:
        return [self._reply(packet, (("SystemTime", self._text(wall_us + self.clock_error_us)),))], 1

    def _set_clock(self, packet: Packet, wall_us: int) -> tuple[list[Packet], int]:
        given = instant_us(packet.field("SystemTime"), self._offset_h)
        if given is None:
            return [], 3
        self.clock_error_us = given - wall_us
        return [], 1

    def _set_real_time(self, packet: Packet, _wall_us: int) -> tuple[list[Packet], int]:
        seconds = _number(packet, "RtdInterval", 30, 3600)
        if seconds is None:
            return [], 3
        self.settings = msgspec.structs.replace(self.settings, real_time_s=seconds)
        self._next_us = 0
        return [], 1

    def _set_minutes(self, packet: Packet, _wall_us: int) -> tuple[list[Packet], int]:
        minutes = _number(packet, "MinInterval", 1, 30)
        if minutes not in _MINUTES:
            return [], 3
        self.settings = msgspec.structs.replace(self.settings, minutes=minutes)
        return [], 1

    def _set_password(self, packet: Packet, _wall_us: int) -> tuple[list[Packet], int]:
        new = packet.field("NewPW")
        if len(new) != 6:
            return [], 3
        self.settings = msgspec.structs.replace(self.settings, password=new)
        return [], 1

    def _start_stream(self, _packet: Packet, _wall_us: int) -> tuple[list[Packet], int]:
        self._streaming, self._next_us = True, 0
        return [], 1

    def _history(self, packet: Packet, wall_us: int) -> tuple[list[Packet], int]:
        begin, end = (instant_us(packet.field(name), self._offset_h) for name in ("BeginTime", "EndTime"))
        if begin is None or end is None:
            return [], 3
        found = [r for r in self.kept if r.cn == packet.cn and begin <= r.wall_us <= end]
        for record in found:
            self._put(self._upload(record.cn, record.wall_us, record.groups, wall_us + self.clock_error_us))
        return [], 1 if found else 100


def _number(packet: Packet, name: str, low: int, high: int) -> int | None:
    text = packet.field(name)
    return int(text) if text.isdigit() and len(text) <= 5 and low <= int(text) <= high else None


def _system(device: VirtualDevice) -> str:
    """ST of table 5 as the factors suggest: 23 noise alone, 39 dust with noise, 21 water, else 22 air."""
    codes = {p.payload.path.partition(".")[0] for p in device.profile.points if p.payload is not None}
    if codes and all(code.startswith("L") for code in codes):
        return "23"
    if any(code.startswith("w") for code in codes):
        return "21"
    return "39" if "a34001" in codes and "LA" in codes else "22"
