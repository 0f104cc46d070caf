"""Page (I/O): `tocsin gateway page`, the process that serves the local page and asks the gateway over its socket.

    browser ─► uvicorn ─► dashboards/local_page ─► LocalDoor ─► local control socket ─► the gateway's own process

A process of its own: the web framework costs 40 MiB that a gateway does not carry, and a page that fails or is
attacked does not touch the gateway. Without the gateway it goes on and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvicorn

from dashboards.local_page import create_local_app
from dashboards.local_permit_view import PermitAsk, SwitchAsk
from dashboards.local_view import CamerasPlace, LocalView, PlotSample
from dashboards.pins import PinDoor, set_pin
from device_model.clock import DAY_US, SECOND_US
from device_model.errors import ConfigError, LocalFault
from device_model.library import read_site
from device_model.series import Level, SeriesQuery
from device_model.site import PageSettings
from device_model.site_checks import LOOPBACK
from device_model.system_clock import clock_from_environment
from edge_agent.cameras_place import cameras_place
from edge_agent.cause_effect import cause_effect
from edge_agent.cause_effect_sheet import as_table
from edge_agent.compose import configure_log, read_configuration
from edge_agent.gateway_report import GatewayReport
from edge_agent.gateway_state import GatewayState
from edge_agent.installer import GatewayInstaller
from edge_agent.local_control import Request, ask, socket_paths
from edge_agent.page_view import PageNames
from edge_agent.permit_commands import permit_request
from edge_agent.plot_ring import PlotRing, with_gaps
from edge_agent.series import SqliteSeries

log = structlog.get_logger("page")
ASK_WITHIN_S = 4.0
VIEW_LASTS_S = 1.0  # ten tablets on one page are one question a second
RING_EVERY_S = 10.0
GAP_HEARTBEATS = 2.5  # telemetry is told at each change and at each heartbeat: longer silence is a gap


class LocalDoor:
    """`dashboards.local_view.LocalGateway`: the gateway as its page sees it."""

    def __init__(self, config: Path) -> None:
        """Raises ConfigError, LocalFault: no page without a site file that can be read."""
        self._config = config
        self._stamp = 0
        self._names = self._read()
        site = self._names.inventory.site
        self._paths: Sequence[Path] = socket_paths(site.gateway.journal_path)
        self._speed = clock_from_environment().speed
        self._ring = PlotRing()
        series = site.gateway.series
        self._series = SqliteSeries(series) if series is not None and Path(series.path).exists() else None
        self._gap_us = round(GAP_HEARTBEATS * site.gateway.telemetry_heartbeat_s * SECOND_US)
        self._asking = asyncio.Lock()
        self._last, self._last_at_s = LocalView(False), -VIEW_LASTS_S

    def _read(self) -> PageNames:
        self._stamp = self._config.stat().st_mtime_ns
        return PageNames(*read_configuration(self._config))

    def _names_now(self) -> PageNames:
        """The site file may have been changed and reloaded; a broken one changes nothing, as in the gateway."""
        try:
            if self._config.stat().st_mtime_ns != self._stamp:
                self._names = self._read()
        except (ConfigError, LocalFault, OSError) as error:
            log.warning("site file cannot be read, names stay as they were", reason=str(error))
        return self._names

    async def view(self) -> LocalView:
        """The present; asked once for all who look."""
        async with self._asking:
            if time.monotonic() - self._last_at_s >= VIEW_LASTS_S:
                self._last = await asyncio.to_thread(self._asked)
                self._last_at_s = time.monotonic()
            return self._last

    def _asked(self) -> LocalView:
        try:
            state, report = self._looked()
        except LocalFault:
            return LocalView(False)
        return self._names_now().view(state, report, self._speed)

    def _looked(self) -> tuple[GatewayState, GatewayReport]:
        state = ask(self._paths, Request("state"), ASK_WITHIN_S).state
        report = ask(self._paths, Request("report"), ASK_WITHIN_S).report
        if state is None or report is None:
            raise LocalFault("the gateway is still starting · 网关正在启动")
        return state, report

    async def plot(self, point: str) -> tuple[PlotSample, ...]:
        """The last 24 hours of a point: from the gateway's time series, where it keeps them; else what this process
        has seen."""
        now_us = self._last.at_us
        if self._series is not None:
            query = SeriesQuery(now_us - DAY_US, now_us + 1, (point,))
            try:
                found = await self._series.rollups(query, Level.MINUTE)
            except LocalFault as fault:
                log.warning("time series cannot be read", reason=str(fault))
                found = ()
            samples = with_gaps([(one.time_us, one.mean) for one in found if one.point == point], self._gap_us)
            if len(samples) > 1:
                return samples
        return self._ring.samples(point, now_us)

    def matrix(self, language: str) -> str:
        """The cause and effect table of the site file."""
        names = self._names_now()
        return as_table(cause_effect(names.inventory, names.rules), language)

    async def act(self, action: str, target: str, who: str, why: str, request: str) -> tuple[bool, str]:
        """Ask the gateway; it decides, and refuses by the laws of safety."""
        wish = Request(action, target, who, why, id=request)
        try:
            answer = await asyncio.to_thread(ask, self._paths, wish, ASK_WITHIN_S)
        except LocalFault as fault:
            return False, str(fault)
        self._last_at_s = -VIEW_LASTS_S
        log.info("acted", action=action, target=target, who=who, ok=answer.ok, detail=answer.detail)
        return answer.ok, answer.detail or (answer.result.outcome.value if answer.result else target)

    async def permit(self, asked: PermitAsk, who: str) -> tuple[bool, str]:
        """As `tocsin permit`: the gateway judges. Its own values and its own time count, not the page's."""
        return await asyncio.to_thread(self._permit, asked, who)

    def _permit(self, asked: PermitAsk, who: str) -> tuple[bool, str]:
        try:
            state, report = self._looked()
            step = self._names_now().permits.step(asked, state.permits, state.live, who, report.at_us)
            answer = ask(self._paths, permit_request(step, who, asked.why, asked.request), ASK_WITHIN_S)
        except (LocalFault, ValueError) as fault:
            return False, str(fault)
        self._last_at_s = -VIEW_LASTS_S
        log.info("permit", act=asked.act, permit=asked.permit, who=who, ok=answer.ok, detail=answer.detail)
        return answer.ok, answer.detail or asked.permit

    async def switch(self, asked: SwitchAsk, who: str) -> tuple[bool, str]:
        """As `tocsin gateway act on|off`."""
        wish = Request("on" if asked.on else "off", asked.output, who, asked.why,
                       asked.minutes * 60.0 if asked.on else 0.0, asked.request)
        try:
            answer = await asyncio.to_thread(ask, self._paths, wish, ASK_WITHIN_S)
        except LocalFault as fault:
            return False, str(fault)
        self._last_at_s = -VIEW_LASTS_S
        log.info("by hand", output=asked.output, on=asked.on, who=who, ok=answer.ok, detail=answer.detail)
        return answer.ok, answer.detail or asked.output

    def cameras(self, who: str) -> CamerasPlace | None:
        """The cameras' page, for people whom its file gives a role that sees or draws."""
        vision = self._names_now().inventory.site.gateway.vision
        return cameras_place(self._config.parent / vision.config, who) if vision is not None else None

    async def listen(self) -> None:
        """Keep the plots, whether or not anybody looks. Until cancelled."""
        while True:
            view = await self.view()
            if view.answers:
                self._ring.take(view.points, view.at_us)
            await asyncio.sleep(RING_EVERY_S / self._speed)


def settings_of(config: Path) -> PageSettings:
    """`page:` of a site file; on loopback where it says nothing. Raises LocalFault: seen from afar without TLS."""
    page = read_site(config).gateway.page or PageSettings()
    if page.host not in LOOPBACK and not (page.certificate_file and page.key_file):
        raise LocalFault(f"the page would be seen on {page.host} without TLS; name certificate_file and key_file")
    return page


def serve_page(config: Path, *, port: int | None = None) -> None:
    """Serve until SIGTERM. port: another one than the site file's, 0 for any free. Raises ConfigError, LocalFault."""
    configure_log()
    page = settings_of(config)
    asyncio.run(_serve(config, page, page.port if port is None else port))


async def _serve(config: Path, page: PageSettings, port: int) -> None:
    door = LocalDoor(config)
    pins = PinDoor(Path(page.pin_file) if page.pin_file else None, time.monotonic)
    settings = uvicorn.Config(
        create_local_app(door, pins, GatewayInstaller(config)), host=page.host, port=port, log_level="warning",
        access_log=False,
        ssl_certfile=page.certificate_file or None, ssl_keyfile=page.key_file or None, limit_concurrency=100,
        server_header=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(settings)
    listening = asyncio.ensure_future(door.listen())
    serving = asyncio.ensure_future(server.serve())
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.02)
        if server.started:
            bound = server.servers[0].sockets[0].getsockname()[1]
            scheme = "https" if page.certificate_file else "http"
            log.info("local page", url=f"{scheme}://{page.host}:{bound}/")
        await serving
    except SystemExit as error:  # uvicorn's way to say that the port is taken
        raise LocalFault(f"the page cannot listen on {page.host}:{port}") from error
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


def set_page_pin(config: Path, name: str, pin: str, role: str = "property") -> Path:
    """Make, replace or (with an empty PIN) remove a person's PIN; returns the file. Raises LocalFault."""
    page = read_site(config).gateway.page
    if page is None or not page.pin_file:
        raise LocalFault("the site file names no pin_file: add `page: {pin_file: pins.json}` below `gateway:`")
    set_pin(Path(page.pin_file), name, pin, role)
    return Path(page.pin_file)
