"""Fire panels: the monitoring centre's side of GB/T 26875.3 for all transmission devices (UITD) of one line. Pure.

    frame ─► which UITD ─► objects ─► documents ─► HeardDevices ─► DeviceRead …     then, and only then, the confirm
                              │
                              ├─ not in the site file ─► told, and its fire raises the nearest listed device
                              └─ operations, duty answers, what cannot be read ─► DeviceNotice

    site file:   889 ── the UITD          889/1.1 ── a fire facility          889/1.1/0A000200 ── a component

Laws and choices:
- A fire is taken where it is said. A component (or facility) that the site file does not list raises `fire` of its
  facility, else of its UITD; it stays raised until that very component, or its whole facility, says otherwise. A fire
  of a UITD that is not listed raises the line's first UITD.
- States count from their receipt: clocks in panels are often years off (field frame X), and a fire must not be taken
  for the past for it (law 1).
- A UITD that lives proves what it said before; it supervises its panel (bit 6). What it never said stays unknown, so
  states are asked for when it connects. While it reports a broken line to the panel, what stands behind is lost.
- A duty check goes out only when a person asks for it, and only a person at the UITD answers it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_drivers.driver import DriverEvent, LineDevice
from device_drivers.heard_devices import HeardDevices
from device_drivers.panel_duty import ANSWER_TYPE, PanelDuty
from device_drivers.panel_notices import PanelNotices, name_of
from device_model.clock import Now
from device_model.errors import PeerGarbled
from device_model.profile import DeviceProfile, PanelTraits
from device_model.reading import Reason
from wire_codecs.gbt26875 import Command, Frame, RefusedFrame, Stamp
from wire_codecs.gbt26875_exchange import WAITING_MAX, Exchange, Finished
from wire_codecs.gbt26875_objects import (
    ANALOG,
    COMPONENT_BITS,
    OPERATION_BITS,
    SYSTEM_BITS,
    UITD_BITS,
    UITD_OPERATION_BITS,
    Analog,
    AskUitd,
    ComponentState,
    Content,
    DutyCheck,
    Operation,
    Part,
    ReadComponent,
    ReadSystem,
    SetClock,
    ShortSign,
    System,
    SystemState,
    UitdOperation,
    UitdState,
    UitdTime,
    Unread,
    decode_unit,
    encode_unit,
    flags_of,
)

ANYONE = "*"
PROVE_EVERY_US = 5_000_000  # a UITD with 500 components that chatters must not make 500 events a frame
CLOCK_KNOWN_US = 2_000_000  # worse than this our own clock is not given to a panel
CLOCK_OFF_US = 60_000_000
UNLISTED_MAX = 4096  # raised components that the site does not list, a UITD; past it, none of them clears any more
GATHERED = ("fire", "fault")  # what unlisted components raise on a listed device
_PATHS = frozenset({*SYSTEM_BITS, *COMPONENT_BITS, *UITD_BITS, "note", *(f"analog_{kind}" for kind in range(256))})


class Turn(msgspec.Struct):
    """What one step asks for, in this order: first the events, then the frames to their connections."""

    events: list[DriverEvent]
    frames: list[tuple[int, Frame]]


class _Gathered(msgspec.Struct):
    """What a listed device says itself, and which unlisted ones raise the same on it."""

    own: dict[str, bool]
    raised: dict[str, set[tuple[int, Part | System]]]
    over: bool = False


class _Uitd(msgspec.Struct):
    """One listed transmission device."""

    device: str
    address: int | None  # None: whoever speaks
    traits: PanelTraits
    children: list[str]
    exchange: Exchange
    peer: int | None = None
    proved_us: int = -PROVE_EVERY_US
    asked_us: int = 0
    line_broken: bool = False
    mute: bool = False  # it does not answer queries: what it said before a silence is all there is


def check_profile(profile: DeviceProfile) -> tuple[str, ...]:
    """What of a profile this driver cannot do, for people."""
    problems = []
    for spec in profile.points:
        if spec.payload is None or spec.payload.topic:
            problems.append(f"{spec.id}: a point of a fire panel needs a path and no topic")
        elif spec.payload.path not in _PATHS:
            problems.append(f"{spec.id}: no state or value is called {spec.payload.path!r}")
        if spec.writable:
            problems.append(f"{spec.id}: fire panels are monitor-only (law 5)")
    return tuple(problems)


class FirePanels:
    """All transmission devices of one line. `own_address`: the centre's, used where a UITD does not name one."""

    def __init__(self, line: str, devices: Sequence[LineDevice], now: Now, *, own_address: int = 0) -> None:
        self._line, self._own = line, own_address
        self._uitds: dict[str, _Uitd] = {}
        self._at: dict[tuple[str, System | Part], str] = {}
        self._gathered: dict[str, _Gathered] = {}
        self._notices = PanelNotices(line)
        self._duty = PanelDuty(line)
        self.refused = 0  # frames that were none
        for entry in devices:
            self._gathered[entry.device.id] = _Gathered({}, {name: set() for name in GATHERED})
            uitd, _, behind = entry.device.address.partition("/")
            if behind:
                self._at[uitd, _behind(behind)] = entry.device.id
                continue
            number = None if uitd == ANYONE else int(uitd)
            traits = entry.profile.gbt26875 or PanelTraits()
            self._uitds[uitd] = _Uitd(entry.device.id, number, traits, [], Exchange(own_address, number or 0),
                                      asked_us=now.mono_us)
        for (uitd, _), device in self._at.items():
            if uitd in self._uitds:
                self._uitds[uitd].children.append(device)
        limits = {device: uitd.traits.expire_after_s for uitd in self._uitds.values()
                  for device in (uitd.device, *uitd.children)}
        self._heard = HeardDevices(
            [(entry, limits.get(entry.device.id, PanelTraits().expire_after_s)) for entry in devices], now)

    # -- what comes --------------------------------------------------------------------------------------------

    def take(self, peer: int, frame: Frame | RefusedFrame, now: Now) -> Turn:
        """A frame of a connection. Never raises for what a peer sent."""
        turn = Turn([], [])
        if isinstance(frame, RefusedFrame):
            self.refused += 1
            denial = frame.denial(self._stamp(None, now))
            if denial is not None:
                turn.frames.append((peer, denial))
            self._notices.tell(turn.events, now, "", "frame_refused", (frame.reason,),
                               f"frame refused: {frame.reason}", f"数据帧被拒收：{frame.reason}")
            return turn
        uitd = self._uitd_of(frame.source)
        stamp = self._stamp(uitd, now)
        if frame.command == Command.SEND:
            self._sent(turn, peer, uitd, frame, now)
        elif frame.command in (Command.CONFIRM, Command.REPLY, Command.DENY):
            if uitd is not None:  # an answer is never answered, or two sides would deny each other for ever
                self._greet(turn, peer, uitd, frame, now)
                self._answered(turn, peer, uitd, frame, now)
        elif uitd is not None and self._asked_duty(turn, uitd, frame, now):
            turn.frames.append((peer, frame.answer(Command.CONFIRM, stamp)))
            self._greet(turn, peer, uitd, frame, now)
        else:
            turn.frames.append((peer, frame.answer(Command.DENY, stamp)))
            self._notices.tell(turn.events, now, uitd.device if uitd else "", "frame_refused", (str(frame.command),),
                       f"frame refused: command {frame.command} is not for a centre",
                       f"数据帧被拒收：命令 {frame.command} 不应发往监控中心")
        return turn

    def closed(self, peer: int, now: Now) -> Turn:
        """A connection ended. The device is given until its silence limit to come back."""
        for uitd in self._uitds.values():
            if uitd.peer == peer:
                uitd.peer = None
                uitd.exchange.drop_all()
        return Turn([], [])

    def look(self, now: Now) -> Turn:
        """Time passes: answers that did not come, silence, supervision."""
        turn = Turn(list(self._heard.look_for_silence(now)), [])
        turn.events += self._duty.look(now)
        for uitd in self._uitds.values():
            if uitd.peer is None:
                continue
            if uitd.traits.asks and now.mono_us - uitd.asked_us > uitd.traits.supervise_s * 1e6:
                uitd.asked_us = now.mono_us
                uitd.exchange.ask(Command.REQUEST, encode_unit([AskUitd(81)]))
            self._pump(turn, uitd, now)
        return turn

    def ask_duty(self, device: str, answer_within_min: int, now: Now) -> bool:
        """A person wants to know that somebody is at that UITD. False: it is not connected, or not one."""
        for uitd in self._uitds.values():
            if uitd.device == device and uitd.peer is not None:
                return uitd.exchange.ask(Command.CONTROL, encode_unit([DutyCheck(answer_within_min)]), first=True)
        return False

    def answer_duty(self, check: str, now: Now) -> str:
        """A person answered a duty check that somebody asked of us: "" when it is on its way, else why not."""
        device = self._duty.waits(check, now)
        uitd = next((uitd for uitd in self._uitds.values() if uitd.device == device), None)
        if uitd is None:
            return "no such duty check waits for an answer"
        if uitd.peer is None or len(uitd.exchange) >= WAITING_MAX:
            return "its asker is not connected"
        unit = self._duty.answer(check, self._stamp(uitd, now), now)
        uitd.exchange.ask(Command.SEND, unit, first=True)
        return ""

    def forget(self) -> None:
        """What was said last did not arrive: say everything anew when it is told again."""
        self._heard.forget()

    def line_down(self, detail: str, now: Now) -> Turn:
        """The whole line is gone: the port cannot be had."""
        return Turn(list(self._heard.lose_all(Reason.LINE_DOWN, detail, now)), [])

    # -- one frame ---------------------------------------------------------------------------------------------

    def _sent(self, turn: Turn, peer: int, uitd: _Uitd | None, frame: Frame, now: Now) -> None:
        stamp = self._stamp(uitd, now)
        try:
            objects = decode_unit(frame.unit)
        except PeerGarbled as problem:
            turn.frames.append((peer, frame.answer(Command.DENY, stamp)))
            self._notices.tell(turn.events, now, uitd.device if uitd else "", "frame_refused", (str(problem),),
                       f"data unit refused: {problem}", f"数据单元被拒收：{problem}")
            if uitd is not None:
                self._greet(turn, peer, uitd, frame, now)
            return
        if uitd is None:
            self._stranger(turn, frame, objects, now)
            turn.frames.append((peer, frame.answer(Command.DENY, stamp)))  # so that its own lamp shows the mistake
            return
        for item in objects:
            self._object(turn, uitd, frame.source, item, now)
        echo = b"\x17" if objects == (ShortSign(b"\x16"),) else b""  # a vendor's hand-shake, samples T to V
        turn.frames.append((peer, frame.answer(Command.CONFIRM, stamp, echo)))
        self._greet(turn, peer, uitd, frame, now)

    def _asked_duty(self, turn: Turn, uitd: _Uitd, frame: Frame, now: Now) -> bool:
        """Whether that is a duty check that a person will see. It is never answered here."""
        try:
            objects = decode_unit(frame.unit) if frame.command == Command.CONTROL else ()
        except PeerGarbled:
            return False
        if len(objects) != 1 or not isinstance(objects[0], DutyCheck):
            return False
        event = self._duty.asked(uitd.device, frame, objects[0].answer_within_min, now)
        turn.events += (event,) if event is not None else ()
        return event is not None

    def _answered(self, turn: Turn, peer: int, uitd: _Uitd, frame: Frame, now: Now) -> None:
        result = uitd.exchange.answered(frame, now.mono_us, self._stamp(uitd, now))
        if isinstance(result, Frame):
            turn.frames.append((peer, result))
        elif result is not None:
            self._finished(turn, uitd, result, now)
        if frame.command == Command.REPLY:  # also one that came too late: a fire in it is a fire
            try:
                for item in decode_unit(frame.unit):
                    self._object(turn, uitd, frame.source, item, now)
            except PeerGarbled as problem:
                self._notices.tell(turn.events, now, uitd.device, "frame_refused", (str(problem),),
                           f"reply refused: {problem}", f"应答被拒收：{problem}")
        self._pump(turn, uitd, now)

    def _greet(self, turn: Turn, peer: int, uitd: _Uitd, frame: Frame, now: Now) -> None:
        """Any frame is a sign of life. The first one of a connection starts what we have to ask."""
        if uitd.peer != peer:
            uitd.peer = peer
            exchange = Exchange(frame.destination or self._own, frame.source)
            uitd.exchange = exchange
            if uitd.traits.set_clock and 0 <= now.wall_error_us <= CLOCK_KNOWN_US:
                exchange.ask(Command.CONTROL, encode_unit([SetClock(self._stamp(uitd, now))]))
            if uitd.traits.asks:
                self._ask_all(uitd)
                uitd.asked_us = now.mono_us
        if now.mono_us - uitd.proved_us >= PROVE_EVERY_US:
            uitd.proved_us = now.mono_us
            remember = uitd.mute or not uitd.traits.asks
            for device in (uitd.device, *(() if uitd.line_broken else uitd.children)):
                turn.events += self._heard.prove(device, now, remember=remember)
        self._pump(turn, uitd, now)

    def _ask_all(self, uitd: _Uitd) -> None:
        key = next(key for key, known in self._uitds.items() if known is uitd)
        behind = [where for (of, where) in self._at if of == key]
        systems = [ReadSystem(61, where) for where in behind if isinstance(where, System)]
        parts = [ReadComponent(62, where) for where in behind if isinstance(where, Part)]
        asked: list[Sequence[Content]] = [[AskUitd(81)]]
        asked += [systems[at:at + 102] for at in range(0, len(systems), 102)]
        asked += [parts[at:at + 22] for at in range(0, len(parts), 22)]
        for objects in asked:
            uitd.exchange.ask(Command.REQUEST, encode_unit(objects))

    def _pump(self, turn: Turn, uitd: _Uitd, now: Now) -> None:
        for item in uitd.exchange.due(now.mono_us, self._stamp(uitd, now)):
            if isinstance(item, Finished):
                self._finished(turn, uitd, item, now)
            elif uitd.peer is not None:
                turn.frames.append((uitd.peer, item))

    def _finished(self, turn: Turn, uitd: _Uitd, result: Finished, now: Now) -> None:
        kind = result.unit[0] if result.unit else 0
        if kind == ANSWER_TYPE:
            turn.events += self._duty.settled(uitd.device, result.reason, now)
        if kind == 81:
            uitd.mute = result.reply is None
        if result.reply is None:
            what = f"no answer to type {kind}: {result.reason}"
            self._notices.tell(turn.events, now, uitd.device, "exchange_failed", (str(kind),) if kind != 91 else (),
                       what, f"类型 {kind} 的命令未得到应答：{result.reason}")

    # -- one object --------------------------------------------------------------------------------------------

    def _object(self, turn: Turn, uitd: _Uitd, source: int, item: Content, now: Now) -> None:
        match item:
            case UitdState(state=state):
                self._state(turn, uitd.device, flags_of(state, UITD_BITS), {}, now)
                self._line_of(turn, uitd, broken=bool(state >> UITD_BITS.index("line_fault") & 1), now=now)
            case SystemState(system=system, state=state):
                flags = flags_of(state, SYSTEM_BITS)
                device = self._device(uitd, system)
                if device is None:
                    self._unlisted(turn, uitd, source, system, flags, "", now)
                else:
                    self._state(turn, device, flags, {}, now)
                if not flags["fire"]:
                    self._cleared(turn, uitd, system, now)
            case ComponentState(part=part, state=state, note=note):
                self._component(turn, uitd, source, part, flags_of(state, COMPONENT_BITS), note, now)
            case Analog(part=part, quantity=quantity, raw=raw):
                device = self._device(uitd, part)
                scale = ANALOG.get(quantity, ("1", 1.0))[1]
                document = {f"analog_{quantity}": round(raw * scale, 2)}
                if device is not None:
                    turn.events += self._heard.take(device, "", document, now)
                else:
                    self._notices.unlisted(turn.events, uitd.device, part, "", now)
            case Operation(system=system, flags=flags, operator=operator):
                self._notices.operated(turn.events, uitd.device, name_of(system), flags, OPERATION_BITS, operator,
                                       now)
            case UitdOperation(flags=flags, operator=operator):
                self._notices.operated(turn.events, uitd.device, "", flags, UITD_OPERATION_BITS, operator, now)
            case UitdTime(at=at):
                self._clock_told(turn, uitd, at, now)
            case Unread(type=kind, octets=octets, reason=reason):
                self._notices.tell(turn.events, now, uitd.device, "not_understood", (uitd.device, str(kind), reason),
                           f"type {kind}, {len(octets)} bytes not understood: {reason}: {octets[:32].hex(' ')}",
                           f"类型 {kind} 有 {len(octets)} 字节无法解析：{reason}：{octets[:32].hex(' ')}")
            case _:
                pass  # versions, configurations and short signs of life carry no state

    def _component(self, turn: Turn, uitd: _Uitd, source: int, part: Part, flags: dict[str, bool], note: str,
                   now: Now) -> None:
        device = self._device(uitd, part)
        if device is not None:
            self._state(turn, device, flags, {"note": note} if note else {}, now)
        if device is None or (flags["fire"] and not self._heard.has_path(device, "fire")):
            self._unlisted(turn, uitd, source, part, flags, note, now)

    def _state(self, turn: Turn, device: str, flags: dict[str, bool], more: dict[str, str], now: Now) -> None:
        """What a listed device says of itself, together with what unlisted ones raise on it."""
        gathered = self._gathered[device]
        gathered.own = flags
        raised = {name: True for name in GATHERED if gathered.raised[name] or (gathered.over and name == "fire")}
        turn.events += self._heard.take(device, "", {**flags, **more, **raised}, now)

    def _unlisted(self, turn: Turn, uitd: _Uitd, source: int, where: Part | System, flags: dict[str, bool], note: str,
                  now: Now) -> None:
        """Nobody listed it: its nearest listed device raises for it, and people are told which it is."""
        known = (source, where) in self._gathered[self._nearest(uitd, where, "fire")].raised["fire"]
        for name in GATHERED:
            self._raise(turn, self._nearest(uitd, where, name), name, (source, where), on=flags[name], now=now)
        if flags["fire"] and not known:  # every new fire is told, however many strangers there were
            self._notices.unlisted(turn.events, uitd.device, where, note, now, fire=True)
        elif flags["fault"]:
            self._notices.unlisted(turn.events, uitd.device, where, note, now)

    def _raise(self, turn: Turn, device: str, name: str, key: tuple[int, Part | System], *, on: bool,
               now: Now) -> None:
        gathered = self._gathered[device]
        raised = gathered.raised[name]
        if on and len(raised) >= UNLISTED_MAX:
            gathered.over = True
        elif on:
            raised.add(key)
        elif key in raised:
            raised.discard(key)
        else:
            return
        told = bool(raised) or (gathered.over and name == "fire") or gathered.own.get(name, False)
        turn.events += self._heard.take(device, "", {name: told}, now)

    def _cleared(self, turn: Turn, uitd: _Uitd, system: System, now: Now) -> None:
        """A whole facility says that it has no fire: nothing behind it has one."""
        for device in (uitd.device, *uitd.children):
            behind = [key for key in self._gathered[device].raised["fire"]
                      if key[1] == system or (isinstance(key[1], Part) and key[1].system == system)]
            for key in behind:
                self._raise(turn, device, "fire", key, on=False, now=now)

    def _line_of(self, turn: Turn, uitd: _Uitd, *, broken: bool, now: Now) -> None:
        if broken and not uitd.line_broken:
            for child in uitd.children:
                turn.events += self._heard.lose(child, Reason.DEVICE_FAULT, "the transmission device says that its "
                                                "line to the panel is broken", now)
        elif uitd.line_broken and not broken and uitd.traits.asks:
            self._ask_all(uitd)
        uitd.line_broken = broken

    def _stranger(self, turn: Turn, frame: Frame, objects: Sequence[Content], now: Now) -> None:
        """A UITD that the site file does not list: denied and told, but its fire raises the line's first UITD."""
        first = next(iter(self._uitds.values()), None)
        self._notices.tell(turn.events, now, "", "unlisted_device", (str(frame.source),),
                   f"transmission device {frame.source} is not in the site file",
                   f"用户信息传输装置 {frame.source} 未登记")
        if first is None:
            return
        for item in objects:
            if isinstance(item, ComponentState):
                where: Part | System = item.part
            elif isinstance(item, SystemState):
                where = item.system
            elif isinstance(item, UitdState):
                where = System(0, 0)
            else:
                continue
            # Bit 1 is fire in all three.
            self._raise(turn, first.device, "fire", (frame.source, where), on=bool(item.state & 2), now=now)

    def _clock_told(self, turn: Turn, uitd: _Uitd, at: Stamp, now: Now) -> None:
        told_us = at.wall_us(uitd.traits.utc_offset_h)
        wrong = told_us is None or abs(told_us - now.wall_us) > CLOCK_OFF_US
        if wrong and 0 <= now.wall_error_us <= CLOCK_KNOWN_US:
            self._notices.tell(turn.events, now, uitd.device, "clock_wrong", (uitd.device,),
                               "its clock is wrong", "其时钟不准")
            if uitd.traits.set_clock:
                uitd.exchange.ask(Command.CONTROL, encode_unit([SetClock(self._stamp(uitd, now))]))

    # -- who is who --------------------------------------------------------------------------------------------

    def _uitd_of(self, source: int) -> _Uitd | None:
        return self._uitds.get(str(source)) or self._uitds.get(ANYONE)

    def _device(self, uitd: _Uitd, where: System | Part) -> str | None:
        return self._at.get((ANYONE if uitd.address is None else str(uitd.address), where))

    def _nearest(self, uitd: _Uitd, where: System | Part, name: str) -> str:
        system = where.system if isinstance(where, Part) else where
        device = self._device(uitd, system)
        return device if device is not None and self._heard.has_path(device, name) else uitd.device

    @staticmethod
    def _stamp(uitd: _Uitd | None, now: Now) -> Stamp:
        return Stamp.at(now.wall_us, uitd.traits.utc_offset_h if uitd is not None else PanelTraits().utc_offset_h)


def _behind(address: str) -> System | Part:
    """ "1.1" or "1.1/0A000200" of a site file, which its check has passed."""
    system_text, _, octets = address.partition("/")
    kind, _, number = system_text.partition(".")
    system = System(int(kind), int(number))
    return Part(system, int.from_bytes(bytes.fromhex(octets), "little")) if octets else system
