"""Line schedule: who may speak next on one line. A pure state machine; the shell only carries bytes.

    next(now) ─► Transaction ─► shell: exchange ─► done(transaction, outcome, now) ─► Result
         └─────► Wait (until when)                                                     events · hold-off

Order of precedence when several want the line:

    1 writes   2 due polls of fire-class devices   3 due polls of the rest   4 probes of lost devices   5 extras

(On a line that is full, an extra takes its small share from the polls of the rest, never from fire or writes.)

A device that does not answer costs the line its whole time-out. So that it never delays the healthy:
one probe per lost device, never a whole cycle; a probe that fits between now and the next healthy poll is free
and may be repeated every period; one that does not fit is paid from a share of the line's time (`PROBE_SHARE`)
and backs off exponentially. When nobody is healthy every probe is free, so that a line comes back at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from device_drivers.register_plan import Block
from device_drivers.reply_check import register_bytes, reply_fault
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.ports import LineReply, LineRequest
from device_model.reading import Reason

PROBE_SHARE = 0.03  # of the line's time that paid probes of lost devices may take
EXTRA_SHARE = 0.03  # the same for scans and diagnostics: with what it costs around them, polls lose at most 5 %
EXTRA_LEAST_US = 2_000  # what a question costs the gateway itself, however fast the line answers: so 20 a second
TRIES_TO_LOSE = 3  # silent or garbled answers in a row before a device counts as lost: one may be line noise
RETRY_US = 1_000_000  # after a first miss the question is repeated within this
BACK_OFF_MAX_US = 60_000_000
# A detector that is back must not wait a minute to be heard; what its probes may cost stays bounded by the share.
FIRE_BACK_OFF_MAX_US = 10_000_000
WRITES_MAX = 64  # a person or interlock writes few points; more waiting means the line is not keeping up
EXTRAS_MAX = 16  # scans ask one thing at a time
LINE_RETRY_US = 500_000
# Exceptions that are final for a question; the others (busy, acknowledge, failure) may pass by themselves.
_FINAL = (1, 2, 3)
_FIRE_BURST = 4  # fire-class polls in a row before an overdue poll of another device gets one turn


class UnitTraits(msgspec.Struct, frozen=True):
    """What the schedule must know of one device. Times in µs; `late_reply_us` counts on serial lines only."""

    device: str
    unit: int
    fire_class: bool = False
    min_gap_us: int = 0
    reply_timeout_us: int = 1_000_000
    late_reply_us: int = 1_000_000


class Transaction(msgspec.Struct, frozen=True):
    """One request to be carried out now. `block` for polls, `token` for writes and extras (0 otherwise)."""

    device: str
    request: LineRequest
    timeout_us: int
    started_us: int
    block: Block | None = None
    token: int = 0
    paid: bool = False
    extra: bool = False


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do before this monotonic time, µs (or before a new write)."""

    until_us: int


class Failed(msgspec.Struct, frozen=True):
    """An outcome without a usable reply. `code` is the Modbus exception code when refused."""

    reason: Reason  # SILENT, GARBLED, REFUSED, LINE_DOWN
    detail: str
    code: int = 0


Outcome = LineReply | Failed


class BlockAnswered(msgspec.Struct, frozen=True):
    """A poll brought a reply that fits its request."""

    device: str
    block: Block
    payload: bytes


class BlockRefused(msgspec.Struct, frozen=True):
    """The device lives but does not give this block. `code` 0: it was silent or garbled, others answer."""

    device: str
    block: Block
    reason: Reason
    detail: str
    code: int


class DeviceLost(msgspec.Struct, frozen=True):
    """Said once, until the device answers again."""

    device: str
    reason: Reason
    detail: str


class DeviceBack(msgspec.Struct, frozen=True):
    """The first answer of a device that was lost."""

    device: str


class LineChanged(msgspec.Struct, frozen=True):
    """The line became reachable or unreachable."""

    up: bool
    detail: str


class OrderDone(msgspec.Struct, frozen=True):
    """A write or extra is finished. `fault` empty: done as asked, `reply` is the answer."""

    token: int
    reply: LineReply | None
    fault: Failed | None


LineEvent = BlockAnswered | BlockRefused | DeviceLost | DeviceBack | LineChanged | OrderDone


class Result(msgspec.Struct, frozen=True):
    """What a finished transaction means. hold_us: on serial lines, discard what arrives for so long first."""

    events: tuple[LineEvent, ...]
    hold_us: int = 0


class _Poll(msgspec.Struct):
    block: Block
    due_us: int
    misses: int = 0  # in a row, while the device as a whole is alive


class _Unit(msgspec.Struct):
    traits: UnitTraits
    polls: list[_Poll]
    free_at_us: int = 0  # min_gap
    misses: int = 0
    lost: bool = False  # probed instead of polled
    said: bool = False  # DeviceLost was given and no DeviceBack since; also while the whole line is down
    probe_free_us: int = 0
    probe_paid_us: int = 0
    probe_index: int = 0
    last_answer_us: int = 0


class _Order(msgspec.Struct, frozen=True):
    token: int
    device: str
    request: LineRequest
    timeout_us: int


class LineSchedule:
    """All transactions of one line. `jitter()` gives numbers in [0, 1) (seeded; only spreads back-off)."""

    def __init__(self, units: Sequence[tuple[UnitTraits, Sequence[Block]]], *, serial: bool, start_us: int,
                 jitter: Callable[[], float], line_retry_max_us: int = 30_000_000) -> None:
        self._serial = serial
        self._jitter = jitter
        self._retry_max_us = line_retry_max_us
        self._units: dict[str, _Unit] = {}
        self._writes: deque[_Order] = deque()
        self._extras: deque[_Order] = deque()
        self._tokens = 0
        self._probe_budget_us = start_us  # paid probes may start when the line's clock has passed this
        self._extra_budget_us = start_us
        self._fire_run = 0
        self._up: bool | None = None
        self._line_misses = 0
        self._line_at_us = start_us
        for traits, blocks in units:
            self.put_unit(traits, blocks, start_us)

    def put_unit(self, traits: UnitTraits, blocks: Sequence[Block], now_us: int) -> None:
        """Add a device, or give a known one a new plan; the phases of blocks that stay are kept."""
        old = self._units.get(traits.device)
        kept = {poll.block: poll for poll in old.polls} if old else {}
        polls = [kept.get(block) or _Poll(block, now_us) for block in blocks]
        if old is None:
            self._units[traits.device] = _Unit(traits, polls)
        else:
            old.traits, old.polls = traits, polls

    def drop_unit(self, device: str) -> tuple[OrderDone, ...]:
        """Forget a device; nothing of the others changes. What waited to be written to it never is, and is told."""
        self._units.pop(device, None)
        waiting = [order for order in self._writes if order.device == device]
        self._writes = deque(order for order in self._writes if order.device != device)
        gone = Failed(Reason.SILENT, f"{device} is no longer on this line")
        return tuple(OrderDone(order.token, None, gone) for order in waiting)

    def lost(self, device: str) -> bool:
        """Whether the device counts as lost."""
        return self._units[device].said

    def write(self, device: str, request: LineRequest) -> int:
        """Queue a write ahead of every poll; returns the token of its OrderDone. LocalFault when full."""
        if len(self._writes) >= WRITES_MAX:
            raise LocalFault(f"{WRITES_MAX} writes wait already: the line does not keep up; try again later")
        return self._order(self._writes, device, request, self._units[device].traits.reply_timeout_us)

    def ask(self, request: LineRequest, timeout_us: int, device: str = "") -> int:
        """Queue a read of a scan or diagnosis, behind everything else and bounded to EXTRA_SHARE of the line."""
        if len(self._extras) >= EXTRAS_MAX:
            raise LocalFault(f"{EXTRAS_MAX} scan requests wait already: wait for their answers first")
        return self._order(self._extras, device, request, timeout_us)

    def _order(self, queue: deque[_Order], device: str, request: LineRequest, timeout_us: int) -> int:
        self._tokens += 1
        queue.append(_Order(self._tokens, device, request, timeout_us))
        return self._tokens

    # ---- what to do next

    def next(self, now: Now) -> Transaction | Wait:
        """The next transaction, or until when there is none."""
        at = now.mono_us
        if self._writes:
            order = self._writes[0]
            unit = self._units.get(order.device)
            if unit is None or unit.free_at_us <= at:
                self._writes.popleft()
                return Transaction(order.device, order.request, order.timeout_us, at, token=order.token)
        if at < self._line_at_us:
            return Wait(self._line_at_us)
        picked = self._due_poll(at)
        if picked is not None:
            if self._extras and at >= self._extra_budget_us and not picked[0].traits.fire_class:
                return self._extra(at)
            return self._poll(*picked, at, paid=False)
        wake = self._next_healthy_us()
        picked, paid, probe_at = self._due_probe(at, wake)
        if picked is not None:
            return self._poll(*picked, at, paid=paid)
        wake = min(wake, probe_at)
        if self._extras:
            order = self._extras[0]
            if at >= self._extra_budget_us or at + order.timeout_us <= wake:
                return self._extra(at)
            wake = min(wake, self._extra_budget_us)
        if self._writes:
            wake = min(wake, self._units[self._writes[0].device].free_at_us)
        return Wait(max(wake, at + 1))

    def _extra(self, at: int) -> Transaction:
        order = self._extras.popleft()
        return Transaction(order.device, order.request, order.timeout_us, at, token=order.token, extra=True)

    def _due_poll(self, at: int) -> tuple[_Unit, _Poll] | None:
        """Fire class first, then by due time; an overdue other gets a turn after each burst of fire polls."""
        fire: tuple[int, _Unit, _Poll] | None = None
        rest: tuple[int, _Unit, _Poll] | None = None
        for unit in self._units.values():
            if unit.lost or unit.free_at_us > at:
                continue
            for poll in unit.polls:
                if poll.due_us > at:
                    continue
                if unit.traits.fire_class:
                    if fire is None or poll.due_us < fire[0]:
                        fire = (poll.due_us, unit, poll)
                elif rest is None or poll.due_us < rest[0]:
                    rest = (poll.due_us, unit, poll)
        starving = rest is not None and at - rest[0] > rest[2].block.interval_us
        if fire is not None and not (starving and self._fire_run >= _FIRE_BURST):
            self._fire_run += 1
            return fire[1], fire[2]
        self._fire_run = 0
        return (rest[1], rest[2]) if rest is not None else None

    def _next_healthy_us(self) -> int:
        never = 1 << 62
        return min((max(poll.due_us, unit.free_at_us) for unit in self._units.values() if not unit.lost
                    for poll in unit.polls), default=never)

    def _due_probe(self, at: int, healthy_us: int) -> tuple[tuple[_Unit, _Poll] | None, bool, int]:
        """The lost device that has waited longest for a probe it may have; else when to look again."""
        best: _Unit | None = None
        paid = False
        again = 1 << 62
        for unit in self._units.values():
            if not unit.lost or not unit.polls:
                continue
            cost = unit.traits.reply_timeout_us + (unit.traits.late_reply_us if self._serial else 0)
            free_at = max(unit.probe_free_us, unit.free_at_us)
            paid_at = max(unit.probe_paid_us, self._probe_budget_us, unit.free_at_us)
            fits = max(at, free_at) + cost <= healthy_us
            if (free_at <= at and fits) or paid_at <= at:
                if best is None or unit.probe_free_us < best.probe_free_us:
                    best, paid = unit, not (free_at <= at and fits)
            else:
                again = min(again, free_at if fits else paid_at)
        if best is None:
            return None, False, again
        return (best, best.polls[best.probe_index % len(best.polls)]), paid, again

    def _poll(self, unit: _Unit, poll: _Poll, at: int, *, paid: bool) -> Transaction:
        block = poll.block
        interval = block.interval_us
        # Fixed phase, so that the period does not drift; periods that were missed are passed over.
        poll.due_us += interval if poll.due_us + interval > at else ((at - poll.due_us) // interval + 1) * interval
        traits = unit.traits
        return Transaction(traits.device, block.request(traits.unit), traits.reply_timeout_us, at, block, paid=paid)

    # ---- what came of it

    def done(self, transaction: Transaction, outcome: Outcome, now: Now) -> Result:
        """Take the outcome; the reply is checked here, so that no shell can forget to."""
        at = now.mono_us
        if isinstance(outcome, LineReply):
            fault = reply_fault(transaction.request, outcome)
            if fault:
                outcome = Failed(Reason.GARBLED, fault)
        events: list[LineEvent] = []
        unit = self._units.get(transaction.device)
        if unit is not None and transaction.block is not None and not _still_asked(unit, transaction):
            unit = None  # the site file changed while the question was on the wire: its answer belongs to nobody
        if isinstance(outcome, Failed) and outcome.reason is Reason.LINE_DOWN:
            self._line_missed(outcome, at, events)
            if transaction.token:
                events.append(OrderDone(transaction.token, None, outcome))
            return Result(tuple(events))
        self._line_answered(events, at)
        hold_us = self._hold(transaction, outcome, unit)
        if transaction.paid and isinstance(outcome, Failed):
            self._probe_budget_us = at + round((at - transaction.started_us + hold_us) / PROBE_SHARE)
        if transaction.extra:
            took_us = max(EXTRA_LEAST_US, at - transaction.started_us + hold_us)
            self._extra_budget_us = at + round(took_us / EXTRA_SHARE)
        if unit is not None and not transaction.extra:
            unit.free_at_us = at + unit.traits.min_gap_us
            self._judge_unit(unit, transaction, outcome, at, hold_us=hold_us, events=events)
        if transaction.token:
            answered = isinstance(outcome, LineReply)
            events.append(OrderDone(transaction.token, outcome if isinstance(outcome, LineReply) else None,
                                    None if answered else outcome if isinstance(outcome, Failed) else None))
        return Result(tuple(events), hold_us)

    def _hold(self, transaction: Transaction, outcome: Outcome, unit: _Unit | None) -> int:
        """After silence or garbage on a serial line a late reply may still come: wait it out."""
        if not self._serial or not isinstance(outcome, Failed) or outcome.reason is Reason.REFUSED:
            return 0
        return unit.traits.late_reply_us if unit is not None else transaction.timeout_us

    def _judge_unit(self, unit: _Unit, transaction: Transaction, outcome: Outcome, at: int, *, hold_us: int,
                    events: list[LineEvent]) -> None:
        block = transaction.block
        poll = next((p for p in unit.polls if p.block == block), None)
        if isinstance(outcome, Failed) and (outcome.reason is not Reason.REFUSED or outcome.code in (10, 11)):
            self._missed(unit, poll, outcome, resume=at + hold_us, events=events)
            return
        unit.last_answer_us = at
        if isinstance(outcome, LineReply) or outcome.code in _FINAL:
            unit.misses = 0
            if unit.lost or unit.said:
                self._revive(unit, poll, at, events)
        elif unit.lost:  # busy, failing, starting up: it gives no value, so it is not back
            self._next_probe(unit, at)
            return
        if block is None:
            return
        if isinstance(outcome, LineReply):
            if poll is not None:
                self._recovered(unit, poll, at)
            events.append(BlockAnswered(unit.traits.device, block, register_bytes(transaction.request, outcome)))
            return
        if poll is not None:
            poll.misses += 1
        final = outcome.code in _FINAL
        if final and poll is not None:  # asked again, ever more seldom: the device may have been starting up
            poll.due_us = max(poll.due_us, at + _doubled(block.interval_us, poll.misses))
        if final or (poll is not None and poll.misses >= TRIES_TO_LOSE):
            events.append(BlockRefused(unit.traits.device, block, Reason.REFUSED, outcome.detail, outcome.code))

    def _recovered(self, unit: _Unit, poll: _Poll, at: int) -> None:
        """A block that was missing answers: what ailed it may have ailed the others, so they are asked once more
        without their back-off. One that never missed says nothing of them."""
        if poll.misses:
            for own in unit.polls:
                if own is not poll and own.misses:
                    own.due_us = min(own.due_us, at)
        poll.misses = 0

    def _revive(self, unit: _Unit, poll: _Poll | None, at: int, events: list[LineEvent]) -> None:
        if unit.said:
            events.append(DeviceBack(unit.traits.device))
        unit.lost = unit.said = False
        for own in unit.polls:
            own.misses = 0
            if own is not poll:
                own.due_us = min(own.due_us, at)
        # What brought this one back may have brought the others back too: ask them without their back-off.
        # The share still bounds what that can cost.
        for other in self._units.values():
            if other.lost:
                other.probe_free_us = other.probe_paid_us = at

    def _missed(self, unit: _Unit, poll: _Poll | None, outcome: Failed, *, resume: int,
                events: list[LineEvent]) -> None:
        """Silence or garbage: of one block among others that answer, or of the whole device."""
        unit.misses += 1
        self._next_probe(unit, resume)
        if unit.misses >= TRIES_TO_LOSE and not unit.lost:
            unit.lost = True
            if not unit.said:
                events.append(DeviceLost(unit.traits.device, _as_silent(outcome.reason), outcome.detail))
            unit.said = True
        if poll is None or unit.lost:
            return
        poll.misses += 1
        if poll.misses < TRIES_TO_LOSE:  # it may have been line noise: find out soon, also where polls are rare
            poll.due_us = resume + min(poll.block.interval_us, RETRY_US)
        else:
            # A block that times out again and again while its neighbours answer would eat the line as a dead
            # device does: it is asked ever more seldom.
            poll.due_us = resume + _doubled(poll.block.interval_us, poll.misses)
        if poll.misses == TRIES_TO_LOSE:
            events.append(BlockRefused(unit.traits.device, poll.block, _as_silent(outcome.reason),
                                       outcome.detail, 0))

    def _next_probe(self, unit: _Unit, resume: int) -> None:
        period = min((p.block.interval_us for p in unit.polls), default=1_000_000)
        back_off = _doubled(period, unit.misses)
        if unit.traits.fire_class:
            back_off = min(back_off, max(period, FIRE_BACK_OFF_MAX_US))
        unit.probe_free_us = resume + min(period, 10_000_000)
        unit.probe_paid_us = resume + round(back_off * (0.75 + 0.5 * self._jitter()))
        unit.probe_index += 1  # the block asked for may be what is broken: ask another one next time

    def _line_missed(self, outcome: Failed, at: int, events: list[LineEvent]) -> None:
        """The line is not there: one quiet retry, then it and its devices are down, each said once."""
        self._line_misses += 1
        # Never rarer than the line would be polled: an attempt costs no more than a poll, and delays nobody.
        period = min((p.block.interval_us for unit in self._units.values() for p in unit.polls), default=0)
        wait = min(self._retry_max_us, max(LINE_RETRY_US, period), LINE_RETRY_US << min(self._line_misses - 1, 16))
        self._line_at_us = at + round(wait * (0.75 + 0.5 * self._jitter()))
        if self._line_misses < 2 or self._up is False:
            return
        self._up = False
        events.append(LineChanged(False, outcome.detail))
        for unit in self._units.values():
            if not unit.said:
                unit.said = True
                events.append(DeviceLost(unit.traits.device, Reason.LINE_DOWN, outcome.detail))

    def _line_answered(self, events: list[LineEvent], at: int) -> None:
        self._line_misses = 0
        if self._up is not True:
            came_back = self._up is False
            self._up = True
            events.append(LineChanged(True, ""))
            if came_back:
                self._probe_budget_us = at
                for unit in self._units.values():
                    unit.probe_free_us = unit.probe_paid_us = at


def _still_asked(unit: _Unit, transaction: Transaction) -> bool:
    return unit.traits.unit == transaction.request.unit and any(
        poll.block == transaction.block for poll in unit.polls)


def _doubled(interval_us: int, times: int) -> int:
    """The interval doubled so many times, at most BACK_OFF_MAX_US, never less than the interval."""
    return max(interval_us, min(BACK_OFF_MAX_US, interval_us << min(times, 16)))


def _as_silent(reason: Reason) -> Reason:
    """A gateway's "target does not respond" is silence, whatever frame it came in."""
    return Reason.SILENT if reason is Reason.REFUSED else reason
