"""Compose (I/O): from a site file to a running gateway with real ports.

    site file ─ check ─► Inventory, rules ─► links, journal, uplink ─► GatewayRuntime ─ run until SIGTERM
                 │ any finding: all are said, exit 1, nothing was connected

A cloud that cannot be reached, or keys that do not load, never keep the site from being guarded: that is said,
and the gateway runs without.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import ssl
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import sdnotify
import structlog

from cloud_bridge.mqtt_link import GmqttLink, tls_context
from cloud_bridge.ways import WayState
from cloud_bridge.ways_link import WaysLink
from device_drivers.driver import Driver, Emit, LineDevice, LineState, devices_on_line
from device_drivers.links import open_modbus_line, open_mqtt_line
from device_drivers.listeners import listener_for, listens
from device_drivers.payload_map import PayloadMap
from device_model.errors import ConfigError, Finding, LawRefusal, LocalFault
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.messages import GatewayAddress
from device_model.ports import MessageLink
from device_model.site import CloudEnd, Line, LineKind, Site
from device_model.system_clock import SystemClock, clock_from_environment
from device_model.version import VERSION
from edge_agent.cause_effect import output_findings
from edge_agent.clock_look import look_at_clock
from edge_agent.events import Log
from edge_agent.field_lines import LinePorts
from edge_agent.gateway_report import LinkReport
from edge_agent.gateway_state import GatewayState, output_views
from edge_agent.journal import SqliteJournal
from edge_agent.learnt_file import KEEP_EVERY_S, LearntFile
from edge_agent.line_reads import LineRead, read_line
from edge_agent.local_control import (
    Answer,
    LocalControl,
    Request,
    command_of,
    socket_paths,
)
from edge_agent.numbers_teller import hold_against
from edge_agent.runtime import GatewayRuntime
from edge_agent.self_watch import SelfWatch
from edge_agent.site_tap import SiteTap
from edge_agent.supervision import Supervisor
from edge_agent.wall_clock import TrustedClock, WallTrust
from rules_engine import RuleSet
from rules_engine.packs import rules_of_site

WATCHDOG_EVERY_S = 3.0  # of the machine's time: systemd's WatchdogSec is real, and at least 10 s
METRICS_AGAIN_S = 30.0
CLOCK_EVERY_S = 30.0
LEARNT_WITHIN_S = 1.0  # a slow disk does not keep a gateway from stopping
log = structlog.get_logger("gateway")


class Composition:
    """A gateway with its real ports, ready to run."""

    def __init__(self, inventory: Inventory, rules: RuleSet, zone: tzinfo, config: Path | None = None) -> None:
        """Nothing is opened here; `run` does. config: the site file, to be read again by `reload`."""
        self._inventory, self._rules, self._zone, self._config = inventory, rules, zone, config
        self._clock, self._trust = trusted_clock()
        self._watch = SelfWatch(inventory.site, self._clock, VERSION)
        self._watch.clock_source = lambda: self._trust.look.source
        self._supervisor = Supervisor(self._clock, speed=self._clock.speed)
        self._reloading: asyncio.Future[Answer] | None = None
        self.runtime: GatewayRuntime | None = None
        self._tls: ssl.SSLContext | None = None

    async def run(self) -> None:
        """Open everything and run until cancelled. Raises LocalFault when another gateway has this journal."""
        site = self._inventory.site
        control = LocalControl(socket_paths(site.gateway.journal_path), self._act)
        control.claim()
        ports = self._open_ports(self._inventory, {line.id for line in site.lines})
        learnt, uplink = LearntFile(site.gateway.journal_path), self._open_uplink()
        self.runtime = runtime = GatewayRuntime(
            self._inventory, self._rules, clock=self._clock,
            store=SqliteJournal(site.gateway.journal_path, max_bytes=site.gateway.journal_quota_mib * 2**20),
            zone=self._zone, uplink_link=uplink, lines=ports.lines, mqtt_lines=ports.mqtt_lines,
            listening=ports.listening,
            jitter=random.Random().random, log=write_log, version=VERSION,  # noqa: S311  spreads retries
            speed=self._clock.speed, learnt=learnt.read(), supervisor=self._supervisor, reopen=self._open_ports)
        self._watch.runtime = runtime
        log.info("gateway starts", site=site.tenancy.path, gateway=site.gateway.id, devices=len(site.devices),
                 lines=len(site.lines), rules=len(self._rules.rules), outputs=len(site.outputs))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(runtime.run(), name="gateway")
            tasks.create_task(self._serve(control), name="local control")
            tasks.create_task(self._watchdog(runtime), name="watchdog")
            tasks.create_task(self._watch_clock(), name="clock")
            tasks.create_task(self._keep_learnt(runtime, learnt), name="learnt")
            if site.gateway.series is not None:
                from edge_agent.series_part import keep_series  # 1.5 MiB that a gateway without does not carry

                series = partial(keep_series, site.gateway.series, GatewayAddress(site.tenancy, site.gateway.id),
                                 runtime, self._supervisor.clock_of("time series"))
                tasks.create_task(self._supervisor.keep("time series", series), name="time series")
            if site.gateway.vision is not None and site.gateway.vision.start:
                from edge_agent.vision_child import keep_vision, vision_command  # only where there are cameras

                vision = partial(keep_vision, vision_command(site.gateway.vision.config),
                                 self._supervisor.clock_of("vision"), self._clock.speed)
                tasks.create_task(self._supervisor.keep("vision", vision), name="vision")
            if camera_line := next((line for line in site.lines if line.kind is LineKind.MQTT and any(
                    d.line == line.id and d.profile.startswith("tocsin-") for d in site.devices)), None):
                tasks.create_task(self._supervisor.keep("camera words", partial(self._speak, camera_line, runtime)),
                                  name="camera words")
            if site.gateway.vision is not None and site.gateway.vision.evidence:
                from edge_agent.evidence_part import keep_evidence

                evidence = partial(keep_evidence, Path(site.gateway.vision.evidence), site.gateway.vision.clips,
                                   runtime, self._supervisor.clock_of("evidence"))
                tasks.create_task(self._supervisor.keep("evidence", evidence), name="evidence")
            if isinstance(uplink, SiteTap) and self._config is not None:
                tasks.create_task(self._remote(uplink, self._config), name="remote site")
            if site.gateway.cloud is not None and self._clock.speed == 1.0:
                keys = Path(site.gateway.cloud.key_file).parent
                if (keys / "identity.json").exists():  # claimed: it renews its certificate by itself
                    from edge_agent.key_renewal import keep_keys  # loads cryptography: only where it is needed

                    tasks.create_task(keep_keys(keys, self._tls, self._clock), name="keys")
            if site.gateway.cloud is not None and self._config is not None:
                from edge_agent.walk_courier import WalkCourier

                walks = WalkCourier(self._config.resolve().parent, site.gateway.id, runtime, self._clock)
                tasks.create_task(walks.run(), name="walk records")
            if site.gateway.metrics_port:
                tasks.create_task(self._serve_metrics(runtime, site.gateway.metrics_port), name="metrics")

    async def _speak(self, line: Line, runtime: GatewayRuntime) -> None:
        """One life of what the gateway says to its cameras."""
        from edge_agent.vision_link import VisionLink

        await runtime.started.wait()
        link = open_mqtt_line(msgspec.structs.replace(line, id=f"{line.id}-words"), ())
        try:
            await VisionLink(link, runtime, self._supervisor.clock_of("camera words")).run()
        finally:
            await link.close()

    async def _keep_learnt(self, runtime: GatewayRuntime, learnt: LearntFile) -> None:
        """What the lines learn, on the disk now and then; once more at the end, if the disk is quick."""
        try:
            while True:
                await self._clock.sleep(KEEP_EVERY_S)
                try:
                    learnt.keep(runtime.learnt())
                except Exception as error:  # noqa: BLE001  what is safe to lose must not end the gateway
                    log.error("what the lines have learnt is not kept", reason=f"{type(error).__name__}: {error}")
        finally:
            learnt.keep(runtime.learnt())
            learnt.wait(LEARNT_WITHIN_S)

    def _open_ports(self, inventory: Inventory, names: Collection[str]) -> LinePorts:
        """One that cannot be opened is said and left out. One whose devices connect to us, and whose password cannot
        be read, is not opened to everybody instead."""
        ports = LinePorts()
        for line in inventory.site.lines:
            if line.id not in names:
                continue
            devices = devices_on_line(inventory, line.id)
            try:
                if line.kind is LineKind.MQTT:
                    ports.mqtt_lines[line.id] = open_mqtt_line(
                        line, PayloadMap(devices, self._clock.now()).subscriptions())
                elif line.kind is LineKind.GATEWAY:
                    ports.listening[line.id] = partial(
                        self._watch.device, line.id, devices, self._supervisor.clock_of(f"line {line.id}"))
                elif listens(line):
                    word = Path(line.password_file).read_text(encoding="utf-8").strip() if line.password_file else ""
                    ports.listening[line.id] = partial(self._listen, line, devices, word)
                else:
                    ports.lines[line.id] = open_modbus_line(line)
            except (LocalFault, OSError, UnicodeDecodeError) as fault:
                log.error("line cannot be opened, the others go on", line=line.id, reason=str(fault))
        return ports

    def _listen(self, line: Line, devices: Sequence[LineDevice], password: str, emit: Emit) -> Driver:
        return listener_for(line, devices, self._supervisor.clock_of(f"line {line.id}"), emit, password=password)

    # -- the site file changes ---------------------------------------------------------------------------------

    async def reload(self) -> Answer:
        """Read the site file again and take what is different. A wrong file is refused whole, with every finding,
        and the old one runs on. Polling goes on meanwhile: the file is read beside it."""
        if self._config is None or self.runtime is None:
            return Answer(False, "this gateway was not started from a site file")
        try:
            return Answer(True, await self._apply(self._config))
        except (ConfigError, LocalFault) as refusal:
            log.error("new site file refused, the old one runs on", reason=str(refusal))
            return Answer(False, str(refusal))

    async def _apply(self, file: Path, *, numbers_only: bool = False) -> str:
        """What changed. Raises ConfigError with all findings, LocalFault; then the old one runs on."""
        inventory, rules, zone = await asyncio.to_thread(read_configuration, file)
        if self.runtime is None:
            raise LocalFault("the gateway is still starting")
        if numbers_only:
            hold_against(self.runtime.inventory, inventory, self.runtime.core.open_alarms(), rules)
        return (await self.runtime.reconfigure(inventory, rules, zone, self._open_ports)).words()

    async def _remote(self, tap: SiteTap, config: Path) -> None:
        """Site files that the cloud sends, where the site file pins the key that signs them; numbers, where it says
        so."""
        from edge_agent.remote_site import NumbersWay, RemoteSite  # loads cryptography: only where it is needed

        site, gateway = self._inventory.site, self._inventory.site.gateway
        if self.runtime is None:
            return
        await self.runtime.started.wait()
        pinned, allowed = gateway.remote_configuration, gateway.remote_numbers
        way = None
        if allowed is not None and gateway.cloud is not None:
            way = NumbersWay(Path(gateway.cloud.ca_file), partial(self._apply, numbers_only=True),
                             allowed.roll_back_after_s, self.runtime.numbers.hear)
        await RemoteSite(
            tap, config, Path(pinned.key_file) if pinned else None, GatewayAddress(site.tenancy, gateway.id),
            self._clock, self._apply, roll_back_after_s=pinned.roll_back_after_s if pinned else 300.0,
            numbers=way).run()

    def reload_soon(self) -> None:
        """As SIGHUP asks for it; what came of it is in the log."""
        self._reloading = asyncio.ensure_future(self.reload())

    def _open_uplink(self) -> MessageLink | None:
        site = self._inventory.site
        cloud = site.gateway.cloud
        if cloud is None:
            log.warning("no cloud in the site file: alarms stay on site")
            return None
        address = GatewayAddress(site.tenancy, site.gateway.id)
        try:
            tls = self._tls = tls_context(cloud.ca_file, cloud.certificate_file, cloud.key_file)
        except (LocalFault, OSError) as fault:
            log.error("cloud keys do not load: the site is guarded, but nothing is sent", reason=str(fault))
            return None
        # Any enrolled gateway that guesses a client id can cut its owner off (measured on nats-server): so it cannot
        # be guessed. Sessions are clean, so a new one each start costs nothing.
        down = (address.down("ack"), address.down("command"), address.down("site"), address.down("numbers"))
        ends = [CloudEnd(cloud.host, cloud.port, cloud.interface), *cloud.spares]
        links: list[tuple[str, MessageLink]] = [
            (end.name, GmqttLink(end.host, end.port, f"{address.client_id}_{os.urandom(4).hex()}", down, tls=tls,
                                 interface=end.interface)) for end in ends]
        link = links[0][1] if len(links) == 1 else WaysLink(
            links, self._clock, fail_over_s=cloud.fail_over_s, fail_back_s=cloud.fail_back_s, told=self._way_told)
        self._watch.links = lambda: (
            tuple(LinkReport(way.name, way.up, way.used) for way in link.states())
            if isinstance(link, WaysLink) else (LinkReport("cloud", link.connected, True),))
        gateway = site.gateway
        return SiteTap(link) if gateway.remote_configuration or gateway.remote_numbers else link

    def _way_told(self, way: WayState) -> None:
        """Each way is supervised like a field line: down, it is an impairment, also when it is only the spare."""
        if self.runtime is not None and self.runtime.started.is_set():
            self.runtime.line_state(LineState(way.name, way.up, "" if way.up else "no way to the cloud",
                                              self._clock.now()))

    async def _serve(self, control: LocalControl) -> None:
        try:
            await control.serve()
        except LocalFault as fault:
            log.error("no local control", reason=str(fault))

    async def _serve_metrics(self, runtime: GatewayRuntime, port: int) -> None:
        from edge_agent.metrics import MetricsPort  # 2 MiB that a gateway without Prometheus does not carry

        await runtime.started.wait()
        while True:
            try:
                await MetricsPort(port, self._watch.report).serve()
            except OSError as error:
                log.error("no metrics", port=port, reason=str(error))
            await asyncio.sleep(METRICS_AGAIN_S)

    async def _watch_clock(self) -> None:
        """Ask the machine about its clock; a scaled clock of a demonstration is right by definition."""
        while self._clock.speed == 1.0:
            look = await asyncio.to_thread(look_at_clock)
            self._trust.looked(look, self._clock.now().mono_us)
            await self._clock.sleep(CLOCK_EVERY_S)

    async def _watchdog(self, runtime: GatewayRuntime) -> None:
        """Tell systemd that we are ready and alive; a hung part ends the feeding, and systemd restarts us."""
        notifier = sdnotify.SystemdNotifier()
        await runtime.started.wait()
        notifier.notify("READY=1")
        try:
            while True:
                hung = runtime.supervisor.lost_parts()
                if hung:
                    log.error("part hangs, watchdog not fed", parts=list(hung))
                else:
                    notifier.notify("WATCHDOG=1")
                await asyncio.sleep(WATCHDOG_EVERY_S)
        finally:
            notifier.notify("STOPPING=1")

    # -- people on site ----------------------------------------------------------------------------------------

    async def _act(self, request: Request) -> Answer:
        runtime = self.runtime
        if runtime is None or not runtime.started.is_set():
            return Answer(False, "the gateway is still starting")
        if request.action == "reload":
            return await self.reload()
        if request.action == "report":
            return Answer(True, report=await self._watch.report())
        if request.action == "state":
            return Answer(True, state=self._state(runtime))
        if request.read is not None:
            return await self._read(request.read, runtime)
        result = runtime.act_on_site(command_of(request, self._clock.now().wall_us))
        if result is None:
            return Answer(True, "answered already")
        return Answer(result.outcome.value == "applied", result.detail, result)

    @staticmethod
    async def _read(asked: LineRead, runtime: GatewayRuntime) -> Answer:
        core = runtime.core
        try:
            answer = await read_line(asked, core.inventory, core.impairments(), runtime.field.drivers)
            return Answer(True, read=answer)
        except (LawRefusal, LocalFault) as refusal:
            return Answer(False, str(refusal))

    @staticmethod
    def _state(runtime: GatewayRuntime) -> GatewayState:
        core = runtime.core
        outputs = output_views(core.outputs, core.inventory.site.outputs)
        return GatewayState(core.open_alarms(), core.impairments(), outputs, core.live(), core.health.expected,
                            core.health.alive, core.journal_ok, core.permits.permits())


def trusted_clock() -> tuple[TrustedClock | SystemClock, WallTrust]:
    """The machine's clock with an error bound; a scaled one stays as it is."""
    clock, trust = clock_from_environment(), WallTrust()
    if clock.speed != 1.0:
        return clock, trust
    trust.looked(look_at_clock(), clock.now().mono_us)
    return TrustedClock(clock, trust), trust


def read_configuration(path: Path) -> tuple[Inventory, RuleSet, tzinfo]:
    """Site file, profiles, rules and time zone, checked as a whole. Raises ConfigError with all findings, or
    LocalFault when the file cannot be read."""
    inventory = read_inventory(path)
    rules = rules_of_site(inventory.site)
    if findings := output_findings(inventory, rules):
        raise ConfigError(findings)
    return inventory, rules, _zone(inventory.site, path)


def _zone(site: Site, path: Path) -> tzinfo:
    try:
        return ZoneInfo(site.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError([Finding(str(path), 0, 0, f"no such time zone: {site.time_zone!r}",
                                   "give one as Asia/Shanghai; the machine needs the Debian package tzdata")]
                          ) from error


def configure_log() -> None:
    """One JSON object a line on standard error."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    logging.getLogger("gmqtt").setLevel(logging.CRITICAL)  # our links say what matters, once


class _Libraries(logging.Handler):
    """What libraries log through the standard library, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line; the rest of the record (file, thread) helps nobody on site."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(log, level)(record.getMessage(), library=record.name)


def write_log(line: Log) -> None:
    """One line of the core or runtime to the log."""
    fields: Mapping[str, object] = {("event_type" if name == "event" else name): value
                                    for name, value in line.fields.items()}
    getattr(log, line.level)(line.what, **fields)


async def run_until_stopped(composition: Composition) -> None:
    """Run; SIGTERM and SIGINT end it cleanly: last records stored, links closed."""
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    stopped = False

    def stop(name: str) -> None:
        nonlocal stopped
        if not stopped and running is not None:
            stopped = True
            log.info("gateway stops", signal=name)
            running.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
    loop.add_signal_handler(signal.SIGHUP, composition.reload_soon)
    with contextlib.suppress(asyncio.CancelledError):
        await composition.run()
