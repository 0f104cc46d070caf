"""Station host: the requests that this side makes of one HJ 212 station, and what became of each. Pure.

    ask ─► [ waiting … ] ─► sent ── 9011 QnRtn 1 ──► accepted ── data packets ──► 9012 ExeRtn ─► done
                             │ nothing in 10 s: again, 3 times        │ nothing in 60 s: again, then failed

One request at a time: a station answers by QN, many keep only one. Time-out and repeats are those that the standard
gives where nothing is agreed (10 s, 3; HJ 212-2017 table 1). What a station refuses (QnRtn other than 1) is not asked
again. Used for: its clock (1012), back-fill after a gap (2051, 2061, 2031 with BeginTime and EndTime), its interval
(1062). Field names are those of HJ 212-2017 table 4, certainty A; no station has been tried with these requests.
"""

from __future__ import annotations

from collections import deque

import msgspec

from device_model.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from wire_codecs.hj212 import Packet, instant_text

TIMEOUT_US, RETRIES = 10 * SECOND_US, 3
EXECUTE_US = 60 * SECOND_US  # since the last sign of that request: history comes in many packets
WAITING_MAX = 16  # a few hours' gaps and the clock; past it the caller is told
BACK_FILL_MAX_US = 30 * DAY_US  # loggers keep 12 months of minutes at the most; older gaps are for people
# Of one request, so that one failure costs little.
PIECE_US = {"2051": 6 * HOUR_US, "2061": 7 * DAY_US, "2031": 30 * DAY_US}
QN_RETURNS = {"1": "", "2": "refused", "3": "wrong password", "4": "wrong MN", "5": "wrong ST", "6": "wrong Flag",
              "7": "wrong QN", "8": "wrong CN", "9": "wrong CRC", "100": "unknown fault"}
EXE_RETURNS = {"1": "", "2": "failed, cause unknown", "3": "condition not right", "4": "timed out", "5": "busy",
               "6": "system fault", "100": "no data"}


class Wish(msgspec.Struct, frozen=True):
    """A request before it is sent. why: for people."""

    cn: str
    area: tuple[tuple[tuple[str, str], ...], ...] = ()
    why: str = ""


class HostDone(msgspec.Struct, frozen=True):
    """A request is over. problem "": the station carried it out; "no data": it did and has none."""

    wish: Wish
    problem: str


class _Flying(msgspec.Struct):
    wish: Wish
    packet: Packet
    tries: int
    due_us: int
    accepted: bool = False


class StationHost:
    """One station's requests. `st`, `pw`, `flag` are taken from what it sends itself."""

    def __init__(self, mn: str, utc_offset_h: float) -> None:
        self._mn, self._offset_h = mn, utc_offset_h
        self._waiting: deque[Wish] = deque()
        self._flying: _Flying | None = None
        self._last_qn_ms = 0

    def __len__(self) -> int:
        return len(self._waiting) + (self._flying is not None)

    def ask(self, wish: Wish) -> bool:
        """Ask when its turn comes; the same wish waits once. False: too many wait already."""
        if wish in self._waiting or (self._flying is not None and self._flying.wish == wish):
            return True
        if len(self._waiting) >= WAITING_MAX:
            return False
        self._waiting.append(wish)
        return True

    def set_clock(self, wall_us: int) -> bool:
        """Give it our time."""
        text = instant_text(wall_us, self._offset_h)
        self._waiting = deque(wish for wish in self._waiting if wish.cn != "1012")  # an older time is a wrong one
        return self.ask(Wish("1012", ((("SystemTime", text),),), "clock"))

    def set_interval(self, seconds: int) -> bool:
        """How often it sends real-time data. ValueError outside the standard's 30 to 3600 s."""
        if not 30 <= seconds <= 3600:
            raise ValueError(f"an interval of {seconds} s; the standard allows 30 to 3600")
        return self.ask(Wish("1062", ((("RtdInterval", str(seconds)),),), "interval"))

    def back_fill(self, cn: str, from_us: int, to_us: int) -> int:
        """Ask for the records of a gap, in pieces. How many µs of it were asked for, from its end backwards; the rest
        is too old or too much, and is the caller's to declare."""
        asked_us, end_us = 0, to_us
        oldest_us = max(from_us, to_us - BACK_FILL_MAX_US)
        while end_us > oldest_us:
            begin_us = max(oldest_us, end_us - PIECE_US[cn])
            begin, end = (instant_text(at, self._offset_h) for at in (begin_us, end_us))
            if not self.ask(Wish(cn, ((("BeginTime", begin),), (("EndTime", end),)), "gap")):
                break
            asked_us += end_us - begin_us
            end_us = begin_us
        return asked_us

    def answered(self, packet: Packet, mono_us: int) -> HostDone | None:
        """A 9011, 9012 or data packet of the station. None: it ends nothing."""
        flying = self._flying
        if flying is None:
            return None
        if packet.cn == flying.wish.cn and flying.accepted:
            flying.due_us = mono_us + EXECUTE_US  # data of that kind: it is at work
            return None
        if packet.qn != flying.packet.qn:
            return None
        if packet.cn == "9011":
            refusal = QN_RETURNS.get(packet.field("QnRtn"), f"QnRtn {packet.field('QnRtn')[:8]}")
            if refusal:
                return self._over(refusal)
            flying.accepted, flying.due_us = True, mono_us + EXECUTE_US
        elif packet.cn == "9012":
            return self._over(EXE_RETURNS.get(packet.field("ExeRtn"), f"ExeRtn {packet.field('ExeRtn')[:8]}"))
        return None

    def due(self, like: Packet, wall_us: int, mono_us: int) -> tuple[Packet | None, HostDone | None]:
        """What to send now, and what failed. like: the station's last packet, whose ST, PW and edition are used."""
        over = None
        flying = self._flying
        if flying is not None and mono_us >= flying.due_us:
            if flying.tries <= RETRIES:
                flying.tries += 1
                flying.accepted, flying.due_us = False, mono_us + TIMEOUT_US
                return flying.packet, None
            over = self._over(f"no {'result' if flying.accepted else 'answer'}, asked {flying.tries} times")
        if self._flying is None and self._waiting:
            self._last_qn_ms = max(wall_us // 1000, self._last_qn_ms + 1)  # a QN names one request
            qn = instant_text(self._last_qn_ms * 1000, self._offset_h, milliseconds=True)
            wish = self._waiting.popleft()
            packet = Packet(qn, like.st, wish.cn, like.pw, self._mn, like.edition << 2 | 1, area=wish.area)
            self._flying = _Flying(wish, packet, 1, mono_us + TIMEOUT_US)
            return packet, over
        return None, over

    def fetches(self, cn: str) -> bool:
        """Whether records of that kind are being asked for now."""
        return self._flying is not None and self._flying.wish.cn == cn

    def drop(self) -> tuple[Wish, ...]:
        """The connection is gone: what was asked comes back, to be asked on the next one."""
        left = ((self._flying.wish,) if self._flying is not None else ()) + tuple(self._waiting)
        self._waiting.clear()
        self._flying = None
        return left

    def _over(self, problem: str) -> HostDone:
        flying, self._flying = self._flying, None
        assert flying is not None
        return HostDone(flying.wish, problem)


def gaps_worth_asking(cn: str, from_us: int, to_us: int) -> bool:
    """Whether a silence from..to hides at least one whole record of that kind."""
    return to_us - from_us >= {"2051": 2 * MINUTE_US, "2061": 2 * HOUR_US, "2031": 2 * DAY_US}[cn]
