"""GatewayRuntime: the hands of the core. Tasks move events in and effects out; every delay is the Clock's.

    LinePoller~, MqttSensors~ ─emit─► AgentCore.step ─effects─► writes: one task per output, at once
    Uplink~ (commands, link)  ──────►  (plain call,            └► commit task: group commit ─► Store~ ─► Uplink~
    ticker, local control     ──────►   one stack)

No queue stands between a driver and the core: the step runs in the driver's call, so that nothing can overflow
there and a sounder is driven before the next task gets its turn. What waits for the disk stands in the outbox,
bounded and declared; the disk may hang for a minute and only the commit task notices.

Each part is supervised: one that dies is logged and started again with growing pauses, alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from typing import Any

from cloud_bridge.lanes import Outbox
from cloud_bridge.quota import QuotaKeeper
from cloud_bridge.uplink import Uplink
from device_drivers.driver import AnswersDuty, Driver, DriverEvent, DutySettled, Emit, LineState
from device_model.clock import SECOND_US, Clock
from device_model.command import Command, CommandResult
from device_model.errors import ConfigError, LocalFault
from device_model.inventory import Inventory
from device_model.messages import (
    CommandResultRecord,
    EvidenceChunkRecord,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    Record,
    WalkRecord,
)
from device_model.ports import JournalState, LineExchange, MessageLink, Store
from edge_agent.core import AgentCore
from edge_agent.events import (
    AnswerDuty,
    CommandReceived,
    Commit,
    CommitFailed,
    Committed,
    DriveOutput,
    Effect,
    Event,
    JournalOpened,
    LinkState,
    Log,
    NotifyLocal,
    OnSiteAction,
    PartFailed,
    PowerOn,
    SiteChanged,
    Tick,
)
from edge_agent.field_lines import FieldLines, LinePorts, OpenPorts
from edge_agent.numbers_teller import NumbersTeller
from edge_agent.output_writer import OutputWriter
from edge_agent.outputs import Drive
from edge_agent.site_diff import SiteChange, site_change
from edge_agent.supervision import RETRY_FIRST_S, RETRY_MAX_S, Supervisor
from edge_agent.waiting import either
from rules_engine import Engine, RuleSet

TICK_S = 1.0
GROUP_WAIT_S = 0.05  # telemetry waits so long for company; alarms do not
ALARM_WAIT_S = 0.2  # law 4: an alarm waits no longer for the disk
COMMIT_MAX = 500  # records of one transaction
CLOSE_WITHIN_S = 3.0  # a hung disk does not keep a gateway from stopping
COMMIT_RETRY_MAX_S = 5.0
OPEN_LIMIT_S = 5.0  # a healthy card opens a journal in well under one; longer would leave the site unguarded


class GatewayRuntime:
    """One gateway. `run` until cancelled."""

    def __init__(
        self, inventory: Inventory, rules: RuleSet, *, clock: Clock, store: Store, zone: tzinfo,
        uplink_link: MessageLink | None = None,
        lines: Mapping[str, LineExchange] | None = None,
        mqtt_lines: Mapping[str, MessageLink] | None = None,
        listening: Mapping[str, Callable[[Emit], Driver]] | None = None,
        jitter: Callable[[], float] = lambda: 0.5,
        log: Callable[[Log], None] | None = None,
        notify: Callable[[NotifyLocal], None] | None = None,
        version: str = "",
        speed: float = 1.0,
        learnt: Mapping[str, bytes] | None = None,
        supervisor: Supervisor | None = None,
        reopen: OpenPorts | None = None,
    ) -> None:
        """lines, mqtt_lines: line id → its open port; a line of the site file without one is left out, logged.

        listening: line id → what makes the driver of a line whose devices connect to us (panels, stations).

        learnt: line id → what `learnt()` gave before a restart.

        speed: how fast the clock's time runs against the machine's; disks and devices are given real time.

        reopen: opens the port of a line anew that died or hung; without it the same one is used again.
        """
        self._inventory = inventory
        self._rules = rules
        self._clock = clock
        self._store = store
        self._zone = zone
        self._link = uplink_link
        self._jitter = jitter
        self._log_to = log
        self._notify_to = notify
        self._version = version
        self._speed = speed
        self.supervisor = supervisor or Supervisor(clock, speed=speed)
        self.supervisor.failed = self._on_part_failed
        self._reopen = reopen
        self.field = FieldLines(inventory, self.supervisor.clock_of, emit=self._emit, emit_taken=self._emit_taken,
                                learnt=learnt or {})
        self.field.add(LinePorts(lines, mqtt_lines, listening))
        self._changing = asyncio.Lock()
        self._core: AgentCore | None = None
        self._outbox: Outbox | None = None
        self._uplink: Uplink | None = None
        self._journal_open = False
        self._opening: asyncio.Future[JournalState] | None = None
        self._commit_event = asyncio.Event()
        self._urgent_event = asyncio.Event()
        self._checkpoint_wanted = False
        self._writer = OutputWriter(self.field, clock, self._take, speed=speed)
        self._tasks: asyncio.TaskGroup | None = None
        self.started = asyncio.Event()
        self.numbers = NumbersTeller()
        self.failures = self.supervisor.failures
        # Told of every record as it is assigned, for the time series; it neither waits nor raises.
        self.recorded: Callable[[Sequence[tuple[Lane, Record]]], None] | None = None
        # Further ones that are told the same, as evidence's; none of them waits or raises.
        self.listeners: list[Callable[[Sequence[tuple[Lane, Record]]], None]] = []

    # -- life --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the journal, resume, then read, judge, act, store and send until cancelled."""
        state = await self._open_store()
        now = self._clock.now()
        site = self._inventory.site
        address = GatewayAddress(site.tenancy, site.gateway.id)
        self._outbox = Outbox(address, state, now, self._jitter, patience_scale=self._speed)
        engine = Engine(self._rules, self._inventory, decides="edge",
                        lateness_us=round(site.gateway.lateness_s * SECOND_US))
        self._core = AgentCore(self._inventory, engine, self._outbox, zone=self._zone, version=self._version,
                               started=now)
        if self._link is not None:
            self._uplink = Uplink(self._outbox, self._store, self._link, self.supervisor.clock_of("uplink"), address,
                                  heartbeat=self._heartbeat, command=self._on_command,
                                  heartbeat_s=site.gateway.heartbeat_s,
                                  bytes_per_day=site.gateway.metered_bytes_per_day)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._take(PowerOn(state, "" if state else "the journal cannot be opened"))
                self._start_parts()
                self._tasks.create_task(self.supervisor.watch(), name="watch over the parts")
                self.started.set()
        finally:
            self._tasks = None
            await self._close()

    def _start_parts(self) -> None:
        self._start_lines([line.id for line in self._inventory.site.lines])
        self._supervise("journal", self._commit_loop)
        self._supervise("ticker", self._tick_loop)
        if self._outbox is not None:
            self._supervise("quota", QuotaKeeper(
                self._outbox, self._store, self._clock, commit=self._commit_event.set, say=self._say,
                quota_bytes=self._inventory.site.gateway.journal_quota_mib * 2**20).run)
        if self._uplink is not None:
            self._supervise("uplink", self._uplink.run)
            self._supervise("link watch", self._watch_link)

    def _start_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            driver = self.field.drivers.get(line)
            task = self._supervise(f"line {line}", partial(self._run_line, line, [])) if driver is not None else None
            if task is not None:
                self.field.tasks[line] = task
            elif driver is None:
                self._say("error", "line has no port, its devices are not read", line=line)

    async def _run_line(self, line: str, lives: list[str]) -> None:
        """One life of a line's driver. A later one has a port of its own: the first one's is closed, or hangs."""
        if lives and self._reopen is not None:
            self.field.add(self._reopen(self._inventory, [line]))
        lives.append(line)
        await self.field.drivers[line].run()

    async def reconfigure(
        self, inventory: Inventory, rules: RuleSet, zone: tzinfo, open_ports: OpenPorts,
    ) -> SiteChange:
        """Take a checked site file while running. Lines, devices, alarms, timers that did not change are not touched.

        Raises ConfigError with all findings where the change may not be made; LocalFault where the core failed on it.
        Then the old one runs on.
        """
        async with self._changing:
            change = site_change(self._inventory, inventory)
            findings = self.core.objections(inventory, change)
            if findings:
                raise ConfigError(findings)
            failed = self._steps_failed()
            self._take(SiteChanged(inventory, rules, zone, change))
            if self._steps_failed() != failed:
                raise LocalFault("the change failed within the gateway, see its log; the old site file runs on")
            self._inventory, self._rules, self._zone = inventory, rules, zone
            anew = self.field.change(inventory, change)
            await self.field.close((*change.lines_removed, *anew))
            self.field.add(open_ports(inventory, anew))
            self._start_lines(anew)
            return change

    async def _close(self) -> None:
        """Say to the disk what is left to say, if it listens in time; then let go."""
        last = asyncio.ensure_future(self._last_words())
        limit = asyncio.ensure_future(self._clock.sleep(CLOSE_WITHIN_S * self._speed))
        try:
            await asyncio.wait({last, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not last.done():
                self._say("error", "last records not stored", reason=f"no answer within {CLOSE_WITHIN_S:g} s")
        finally:
            last.cancel()
            limit.cancel()
            if self._link is not None:
                await self._link.close()

    async def _last_words(self) -> None:
        if self._journal_open and self._core is not None and self._outbox is not None:
            batch = self._outbox.to_commit(COMMIT_MAX)
            try:
                await self._store.commit(batch, self._core.checkpoint(self._clock.now()))
                self._outbox.committed(batch)
            except LocalFault as fault:
                self._say("error", "last records not stored", reason=str(fault))
        await self._store.close()

    async def _open_store(self) -> JournalState | None:
        """Open the journal, or go on without: a disk that hangs at the start must not keep the site unguarded
        (law 4). What hangs goes on opening and is looked at again later."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._store.open())
        limit = asyncio.ensure_future(self._clock.sleep(OPEN_LIMIT_S * self._speed))
        waits: list[asyncio.Future[Any]] = [self._opening, limit]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._opening.cancel()
            raise
        finally:
            limit.cancel()
        if not self._opening.done():
            self._say("error", "journal does not open, alarms go from memory", waited_s=OPEN_LIMIT_S)
            return None
        opening, self._opening = self._opening, None
        try:
            state = opening.result()
        except LocalFault as fault:
            self._say("error", "journal cannot be opened, alarms go from memory", reason=str(fault))
            return None
        self._journal_open = True
        for lane, numbers, reason in state.damage:
            self._say("error", "journal damaged, loss declared", lane=lane.value, first=numbers[0], last=numbers[1],
                      reason=reason)
        return state

    def _supervise(self, part: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None] | None:
        return None if self._tasks is None else self._tasks.create_task(self.supervisor.keep(part, run), name=part)

    def _on_part_failed(self, part: str, detail: str) -> None:
        self._take(PartFailed(part, detail))

    # -- events in, effects out --------------------------------------------------------------------------------

    def _emit(self, event: DriverEvent) -> None:
        self.field.tally(event)
        self._take(event)

    def line_state(self, event: LineState) -> None:
        """A line or a way to the cloud that somebody else watches came or went."""
        self._take(event)

    def _emit_taken(self, event: DriverEvent) -> None:
        """For drivers that confirm to their device what was said: LocalFault where the step failed, so that nothing
        is confirmed and the device says it again."""
        before = self._steps_failed()
        self._emit(event)
        if self._steps_failed() != before and not isinstance(event, LineState):
            raise LocalFault(f"the core did not take a {type(event).__name__}")

    def _steps_failed(self) -> int:
        return self.failures.get("core", 0) + (self._core.counts["failed_steps"] if self._core is not None else 0)

    def _take(self, event: Event) -> tuple[Effect, ...]:
        """One step of the core and the start of everything that it asks for, in order."""
        core = self._core
        if core is None:
            return ()
        try:
            effects = core.step(event, self._clock.now())
        except Exception as error:  # noqa: BLE001  a mistake in one step must not end detection
            self.failures["core"] = self.failures.get("core", 0) + 1
            self._say("error", "step failed", event=type(event).__name__, detail=f"{type(error).__name__}: {error}")
            return ()
        for effect in effects:
            match effect:
                case DriveOutput():
                    self._drive(effect.drive)
                case Commit():
                    self._want_commit(effect)
                    if self.recorded is not None:
                        self.recorded(effect.records)
                    for listener in self.listeners:
                        listener(effect.records)
                case AnswerDuty():
                    self._answer_duty(effect)
                case Log():
                    self._log(effect)
                case NotifyLocal():
                    if self._notify_to is not None:
                        self._notify_to(effect)
        return effects

    def act_on_site(self, command: Command) -> CommandResult | None:
        """A named person at the gateway. None: a repeat that was answered a moment ago."""
        return self._result_in(self._take(OnSiteAction(command)))

    def _on_command(self, command: Command) -> None:
        self._take(CommandReceived(command))

    @staticmethod
    def _result_in(effects: Sequence[Effect]) -> CommandResult | None:
        bodies = [record.body for effect in effects if isinstance(effect, Commit) for _, record in effect.records]
        return next((body.result for body in bodies if isinstance(body, CommandResultRecord)), None)

    def _heartbeat(self) -> HeartbeatRecord:
        return self.numbers.said(self.core.heartbeat(self._clock.now()), self._inventory.site.rules.parameters)

    @property
    def core(self) -> AgentCore:
        """The core, to look at; LocalFault before `run` has opened the journal."""
        if self._core is None:
            raise LocalFault("the gateway has not started yet")
        return self._core

    @property
    def inventory(self) -> Inventory:
        """What the site file of now names."""
        return self._inventory

    def offer_evidence(self, chunk: EvidenceChunkRecord | WalkRecord) -> int:
        """Give a part of a file to the evidence lane; its number, 0 while there is no journal to give it to."""
        if self._outbox is None or not self._outbox.journal_epoch:
            return 0
        record = self._outbox.assign(Lane.EVIDENCE, chunk, self._clock.now())
        self._commit_event.set()
        return record.sequence

    def evidence_waits(self, sequence: int) -> bool:
        """Whether that part has neither reached the far end nor been declared lost."""
        return self._outbox is not None and self._outbox.waits(Lane.EVIDENCE, (sequence, sequence))

    @property
    def journal_epoch(self) -> str:
        """As `Outbox.journal_epoch`; empty before `run`."""
        return self._outbox.journal_epoch if self._outbox is not None else ""

    # -- outputs -----------------------------------------------------------------------------------------------

    def _drive(self, drive: Drive) -> None:
        if self._tasks is not None:
            self._writer.drive(drive, self._tasks)

    def _answer_duty(self, wish: AnswerDuty) -> None:
        """A person's answer goes to the line that asked; what cannot be sent is told."""
        driver = self.field.drivers.get(wish.line)
        why = driver.answer_duty(wish.check) if isinstance(driver, AnswersDuty) else "its line has no port"
        if why:
            self._take(DutySettled(wish.line, wish.device, wish.check, False, why, self._clock.now()))

    # -- journal -----------------------------------------------------------------------------------------------

    def _want_commit(self, commit: Commit) -> None:
        self._checkpoint_wanted = self._checkpoint_wanted or commit.checkpoint
        self._commit_event.set()
        if commit.urgent:
            self._urgent_event.set()
            # So that the uplink knows from now on when the disk has had its time (it may hang in another commit).
            self._wake_uplink()

    async def _commit_loop(self) -> None:
        while not self._journal_open:
            if self._opening is None:
                await self._clock.sleep(RETRY_MAX_S)
            state = await self._open_store()
            if state is not None and self._outbox is not None:
                self._outbox.journal_opened(state, self._clock.now())
                self._take(JournalOpened(state))
        pause_s = RETRY_FIRST_S
        while True:
            await self._commit_event.wait()
            await either(self._urgent_event, self._clock, GROUP_WAIT_S)
            self._commit_event.clear()
            self._urgent_event.clear()
            if await self._commit_once():
                pause_s = RETRY_FIRST_S
            else:
                self._commit_event.set()
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, COMMIT_RETRY_MAX_S)

    async def _commit_once(self) -> bool:
        """One group commit; False when the disk did not take it."""
        core, outbox = self.core, self._outbox
        if outbox is None:
            return True
        batch = outbox.to_commit(COMMIT_MAX)
        checkpoint = self._checkpoint_for(core, batch)
        if not batch and checkpoint is None:
            return True
        watch = asyncio.ensure_future(self._watch_commit(batch))
        try:
            await self._store.commit(batch, checkpoint)
        except LocalFault as fault:
            outbox.commit_failed(batch, self._clock.now())
            self._checkpoint_wanted = self._checkpoint_wanted or checkpoint is not None
            self._take(CommitFailed(str(fault)))
            self._wake_uplink()
            return False
        finally:
            watch.cancel()
        settled = outbox.committed(batch)
        self._take(Committed())
        self._wake_uplink()
        for lane, ranges in settled:
            await self._store.acknowledge(lane, ranges)
        if len(batch) == COMMIT_MAX:
            self._commit_event.set()
            self._urgent_event.set()
        return True

    def _checkpoint_for(self, core: AgentCore, batch: Sequence[tuple[Lane, Record]]) -> bytes | None:
        """The state, if it is wanted and every alarm record that it knows of is in this transaction or before."""
        whole = len(batch) < COMMIT_MAX or batch[-1][0] is not Lane.ALARM
        if not (self._checkpoint_wanted and whole):
            return None
        self._checkpoint_wanted = False
        return core.checkpoint(self._clock.now())

    async def _watch_commit(self, batch: Sequence[tuple[Lane, Record]]) -> None:
        """Law 4: an alarm that waits for the disk longer than it may goes from memory (the outbox copies it)."""
        await self._clock.sleep(ALARM_WAIT_S * self._speed)
        if any(lane is Lane.ALARM for lane, _ in batch):
            self._take(CommitFailed(f"the disk did not answer within {ALARM_WAIT_S:g} s"))
            self._wake_uplink()

    def _wake_uplink(self) -> None:
        if self._uplink is not None:
            self._uplink.wake()

    # -- time, link, supervision -------------------------------------------------------------------------------

    async def _tick_loop(self) -> None:
        while True:
            now = self._clock.now()
            self.supervisor.alive("ticker")
            self._take(Tick())
            due_us = self.core.due_us(self._clock.now())
            wait_s = TICK_S if due_us is None else min(TICK_S, max(0.001, (due_us - now.mono_us) / SECOND_US))
            await self._clock.sleep(wait_s)

    async def _watch_link(self) -> None:
        up: bool | None = None
        while self._link is not None:
            if self._link.connected != up:
                up = self._link.connected
                self._take(LinkState(up))
            await self._clock.sleep(TICK_S)

    # -- lines and words ---------------------------------------------------------------------------------------

    def learnt(self) -> dict[str, bytes]:
        """As `FieldLines.learnt`."""
        return self.field.learnt()

    def _log(self, line: Log) -> None:
        if self._log_to is not None:
            self._log_to(line)

    def _say(self, level: str, what: str, **fields: str | int | float | bool) -> None:
        self._log(Log(level, what, fields))
