"""Conformance to GB/T 26875.3-2011, both ways. Pure.

    receiver (a monitoring centre, or our gateway): Checks: frames to send, what must come back
    transmitter (a UITD): TransmitterTrial plays the centre, confirms late or never, asks, and judges what comes
"""

from __future__ import annotations

from firmware_sim.conform import Check, Verdict, verdict_of
from wire_codecs.gbt26875 import Command, Frame, FrameReader, RefusedFrame, Stamp, encode_frame
from wire_codecs.gbt26875_objects import (
    AskUitd,
    DutyCheck,
    SetClock,
    UitdOperation,
    UitdState,
    UitdTime,
    decode_unit,
    encode_unit,
)

_S = 1_000_000


def receiver_checks(address: int, centre: int, stamp: Stamp) -> list[Check]:
    """The checklist of a receiver. The frames are states of the UITD itself (all well): no alarm is raised."""
    calm = encode_unit([UitdState(1, stamp)])

    def sent(serial: int, unit: bytes, command: int = Command.SEND) -> bytes:
        return encode_frame(Frame(serial, stamp, address, centre, command, unit))

    right = sent(0x1234, calm)
    bad_sum = right[:-3] + bytes((right[-3] ^ 0xFF,)) + right[-2:]
    reserved = sent(7, b"\x1e\x01\x00")
    return [
        Check("confirm", "6.5", "an upload is confirmed (command 3)", "上传信息应得到确认", right,
              lambda o: _answers(o, {Command.CONFIRM})),
        Check("serial", "6.6", "the confirm echoes the serial number", "确认帧应回送业务流水号", right,
              lambda o: _field(o, "serial", 0x1234)),
        Check("addresses", "6.6", "the confirm goes back to our source address", "源地址与目的地址应互换", right,
              lambda o: _field(o, "destination", address)),
        Check("wrong_sum", "6.5.3", "a frame with a wrong sum is denied, not confirmed", "校验和错误应否认", bad_sum,
              lambda o: _answers(o, {Command.DENY})),
        Check("after_wrong", "6.5.3", "the right frame behind a wrong one is confirmed", "错误帧之后的正确帧应被确认",
              bad_sum + sent(2, calm), lambda o: _answers(o, {Command.CONFIRM}, last=True)),
        Check("reserved_type", "7, table 3", "a reserved type flag is denied", "预留类型标志应否认", reserved,
              lambda o: _answers(o, {Command.DENY})),
        Check("unknown_command", "6.5.3", "an unknown command byte is denied", "未知命令字节应否认",
              sent(9, calm, 77), lambda o: _answers(o, {Command.DENY})),
        Check("in_pieces", "5 (TCP)", "a frame behind half a frame of noise is still found", "噪声之后的帧应能识别",
              b"@noise##" + sent(3, calm), lambda o: _answers(o, {Command.CONFIRM}, last=True)),
        Check("two_at_once", "5 (TCP)", "two frames in one segment get two confirms", "粘连的两帧应分别确认",
              sent(4, calm) + sent(5, calm), lambda o: "" if len(_frames(o)) >= 2 else "not both were confirmed"),
        Check("heartbeat", "6.6 (found practice)", "an empty send is confirmed", "空数据心跳应得到确认", sent(6, b""),
              lambda o: _answers(o, {Command.CONFIRM})),
    ]


def _frames(octets: bytes) -> list[Frame]:
    """Answers alone: a centre may send questions and its clock at any time."""
    found = [frame for frame in FrameReader().feed(octets) if isinstance(frame, Frame)]
    return [frame for frame in found if frame.command in (Command.CONFIRM, Command.DENY)]


def _answers(octets: bytes, commands: set[Command], *, last: bool = False) -> str:
    frames = _frames(octets)
    wanted = "/".join(command.name.lower() for command in commands)
    if not frames:
        return f"no {wanted}"
    frame = frames[-1 if last else 0]
    return "" if frame.command in commands else f"{Command(frame.command).name.lower()} instead of {wanted}"


def _field(octets: bytes, name: str, wanted: int) -> str:
    frames = _frames(octets)
    if not frames:
        return "no answer"
    seen = getattr(frames[0], name)
    return "" if seen == wanted else f"{name} {seen} instead of {wanted}"


class TransmitterTrial:
    """Plays the centre towards a transmitter that has connected, for about 60 s. Pure: the LineSession calls.

    0 to 35 s: the first upload is not confirmed (repeats are counted), then all is confirmed; then the clock is set,
    state, version and time are asked; then a duty check is sent, which nobody answers.
    """

    id = "transmitter"
    DURATION_S = 75.0

    def __init__(self, centre: int) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self._centre = centre
        self._reader = FrameReader()
        self._first: Frame | None = None
        self._tries: list[int] = []
        self._serials: list[int] = []
        self._uitd = 0
        self._asked: dict[int, str] = {}
        self._next = 0x4000
        self._steps = [(45, "clock"), (47, "state"), (49, "time"), (51, "duty"), (53, "bad_sum")]
        self._began_us = 0

    wants_link = True

    def opened(self, at_us: int, wall_us: int) -> list[bytes]:
        """The transmitter connected."""
        self._began_us = at_us
        return []

    def closed(self, at_us: int) -> None:
        """It left."""

    def take(self, octets: bytes, at_us: int, wall_us: int) -> list[bytes]:
        """What the transmitter says."""
        stamp = Stamp.at(wall_us)
        out: list[bytes] = []
        for frame in self._reader.feed(octets):
            if isinstance(frame, RefusedFrame):
                self._say("frame", "6.6, table 1", "frames are right", "帧格式应正确", frame.reason,
                          frame.octets[:40].hex(" "))
            else:
                out += self._heard(frame, at_us, stamp)
        return out

    def due(self, at_us: int, wall_us: int) -> list[bytes]:
        """The centre's own questions, when their time has come."""
        out = []
        while self._uitd and self._steps and at_us - self._began_us >= self._steps[0][0] * _S:
            out.append(self._question(self._steps.pop(0)[1], Stamp.at(wall_us)))
        return out

    def _question(self, what: str, stamp: Stamp) -> bytes:
        self._next += 1
        self._asked[self._next] = what
        unit, command = {
            "clock": (encode_unit([SetClock(stamp)]), Command.CONTROL),
            "state": (encode_unit([AskUitd(81)]), Command.REQUEST),
            "time": (encode_unit([AskUitd(88)]), Command.REQUEST),
            "duty": (encode_unit([DutyCheck(1)]), Command.CONTROL),
            "bad_sum": (encode_unit([AskUitd(81)]), Command.REQUEST),
        }[what]
        octets = encode_frame(Frame(self._next, stamp, self._centre, self._uitd, command, unit))
        return octets[:-3] + bytes((octets[-3] ^ 0x0F,)) + octets[-2:] if what == "bad_sum" else octets

    def _heard(self, frame: Frame, at_us: int, stamp: Stamp) -> list[bytes]:
        self._uitd = self._uitd or frame.source
        if frame.command != Command.SEND:
            self._answered(frame)
            return []
        self._stamped(frame)
        if self._first is None:
            self._first = frame
        if frame.serial == self._first.serial and frame.unit == self._first.unit and not self._serials:
            self._tries.append(at_us)
            if len(self._tries) < 4 and at_us - self._began_us < 40 * _S:
                return []
        if not self._serials or self._serials[-1] != frame.serial:
            self._serials.append(frame.serial)
        elif len(self._serials) > 1 or frame.unit != self._first.unit:
            self._say("next_serial", "6.6", "every new exchange has another serial number", "流水号应递增",
                      f"{frame.serial} again")
        objects = decode_unit(frame.unit) if frame.unit else ()
        for item in objects:
            if isinstance(item, UitdOperation) and item.flags & 0x20:
                self._say("duty", "8.3 type 91", "a duty check waits for a person", "查岗应由人员应答",
                          "it was answered though nobody was there")
        return [encode_frame(frame.answer(Command.CONFIRM, stamp))]

    def _stamped(self, frame: Frame) -> None:
        wrong = "" if frame.sent.wall_us() is not None else f"{frame.sent.octets().hex(' ')} is no date"
        if wrong or "time_tag" not in self.verdicts:
            self._say("time_tag", "8.2.2", "the time tag is a date in plain binary", "时间标签应为二进制时间", wrong)

    def _answered(self, frame: Frame) -> None:
        what = self._asked.pop(frame.serial, "")
        if not what:
            if frame.command in (Command.CONFIRM, Command.REPLY):
                self._say("echo", "6.6", "answers echo the serial number", "应答应回送流水号",
                          f"serial {frame.serial} was never asked")
            return
        wanted = {"clock": Command.CONFIRM, "duty": Command.CONFIRM, "bad_sum": Command.DENY}.get(what, Command.REPLY)
        texts = {"clock": ("8.3 type 90", "the clock is set and confirmed", "时钟同步应确认"),
                 "state": ("8.3 type 81", "its state is told when asked", "查询运行状态应应答"),
                 "time": ("8.3 type 88", "its time is told when asked", "查询系统时间应应答"),
                 "duty": ("8.3 type 91", "a duty check is confirmed and waits", "查岗命令应确认，由人员应答"),
                 "bad_sum": ("6.5.3", "a frame with a wrong sum is denied", "校验和错误应否认")}
        wrong = "" if frame.command == wanted else f"command {frame.command} instead of {int(wanted)}"
        if not wrong and what in ("state", "time"):
            kinds = {"state": UitdState, "time": UitdTime}
            if not any(isinstance(item, kinds[what]) for item in decode_unit(frame.unit)):
                wrong = "the reply holds something else"
        if what not in self.verdicts:
            self._say(what, *texts[what], wrong)

    def finish(self) -> list[Verdict]:
        """All verdicts; what was never answered deviates."""
        gaps = [(b - a) / _S for a, b in zip(self._tries, self._tries[1:], strict=False)]
        repeats = len(self._tries) - 1
        wrong = "" if repeats == 3 else f"{max(0, repeats)} repeats instead of 3"
        if not wrong and max(gaps) > 10.6:
            wrong = f"{max(gaps):.1f} s between repeats, at most 10"
        self._say("repeats", "6.5", "without a confirm an upload is sent again, 3 times, at most 10 s apart",
                  "未确认应重发 3 次，间隔不超过 10 s", wrong)
        for what in self._asked.values():
            if what not in self.verdicts:
                self._say(what, {"bad_sum": "6.5.3"}.get(what, "6.5"), f"{what}: asked", "应答询问", "no answer")
        good = {"frame": ("6.6, table 1", "frames are right", "帧格式应正确"),
                "echo": ("6.6", "answers echo the serial number", "应答应回送流水号"),
                "next_serial": ("6.6", "every new exchange has another serial number", "流水号应递增")}
        for name, texts in good.items():
            if name not in self.verdicts:
                self._say(name, *texts, "" if self._uitd else "nothing came")
        return list(self.verdicts.values())

    def _say(self, name: str, clause: str, en: str, zh: str, wrong: str = "", seen: str = "") -> None:
        self.verdicts[name] = verdict_of(name, clause, en, zh, wrong, seen)

