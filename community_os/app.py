"""The roles of the community OS as processes (I/O): each alone, or all under one supervisor.

    tocsin cloud run (all) ── supervisor
        ├── broker   nats-server and its users          each a process of its own: any may be killed, the
        ├── ingest   links → ledger → stream            others go on, the supervisor starts it again
        ├── worker   stream → incidents → store
        ├── web      store → pages
        ├── notify   store → webhooks, channels of people
        └── series   stream → time series, InfluxDB, VictoriaMetrics

Roles find the broker through the state folder; until it is there they wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from cloud_bridge.influx import InfluxSeries
from cloud_bridge.series_feed import RemoteSeries
from cloud_bridge.sqlite_series import SqliteSeries
from community_os.board_service import NUDGE_TOPIC
from community_os.broker import Broker, read_access
from community_os.broker_config import BrokerAccess
from community_os.broker_refusals import RefusalTail
from community_os.centre_link import CentreLink
from community_os.claim_service import claimed_site_files, until_sites_change
from community_os.evidence_keeper import EvidenceKeeper
from community_os.ingest import Ingest
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from community_os.notice_desk import DutyFiles
from community_os.notice_store import NoticeStore
from community_os.notifier import Notifier, post_http, read_endpoints
from community_os.people_parts import open_audit, open_people
from community_os.series_keeper import SeriesKeeper, read_secret
from community_os.settings import CloudSettings
from community_os.site_setup import SiteSetup
from community_os.store import IncidentStore, StoreCalls, store_calls
from community_os.walk_shelf import WalkShelf
from community_os.web_app import evidence_files, web_app
from community_os.worker import Worker
from device_model.child_process import end_with_parent
from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import read_inventory
from device_model.ports import StaleRevision
from device_model.system_clock import SystemClock, clock_from_environment
from provisioning.authority import Authority
from rules_engine.packs import rules_of_site
from rules_engine.routing_commands import read_duty, read_response, read_routing

ROLES = ("broker", "ingest", "worker", "web", "notify", "series")
# Real time: processes are no part of a scaled world.
RESTART_WAIT_S = (0.2, 0.5, 1.0, 2.0, 5.0)
WELL_AFTER_S = 20.0
STOP_WITHIN_S = 8.0
BROKER_WITHIN_S = 60.0

_log = structlog.get_logger("tocsin.cloud")


# --- roles ------------------------------------------------------------------------------------------------------


async def run_broker(settings: CloudSettings) -> None:
    """nats-server with our CA and the enrolled gateways."""
    authority = Authority.open(Path(settings.authority_folder), names=settings.broker.names)
    broker = Broker(Path(settings.broker_folder), authority, settings.broker)
    await broker.start()
    _log.info("broker ready", mqtt=broker.mqtt_port, services=broker.services_port)
    refusals = asyncio.create_task(RefusalTail(broker.log_file, open_audit(settings)).run())
    try:
        await broker.run()
    finally:
        refusals.cancel()
        await asyncio.gather(refusals, return_exceptions=True)
        await broker.stop()


async def run_ingest(settings: CloudSettings) -> None:
    """From gateways into the stream."""
    access = await _access(settings)
    link, stream = await NatsLink.open(access, name="ingest"), await JetStreamStream.open(access, name="ingest")
    ingest = Ingest(link, stream, clock_from_environment(), writer=f"ingest-{os.getpid()}-{os.urandom(4).hex()}",
                    partitions=settings.partitions)
    try:
        await ingest.run()
    except StaleRevision as error:
        raise LocalFault("another ingest has taken over; stop one of the two") from error
    finally:
        await _close(link, stream)


async def run_worker(settings: CloudSettings) -> None:
    """From the stream into the incident store; anew, from its checkpoints, when a site file came or was changed."""
    while True:
        changed = asyncio.create_task(until_sites_fit(settings), name="sites")
        working = asyncio.create_task(_work(settings), name="work")
        try:
            await asyncio.wait({changed, working}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            _log.info("site files changed; the worker begins anew")
        finally:
            for task in (changed, working):
                task.cancel()
            await asyncio.gather(changed, working, return_exceptions=True)


async def until_sites_fit(settings: CloudSettings) -> None:
    """Return when site files changed and all fit. A slip of the pen is said, and what runs goes on."""
    stamps = None
    while True:
        stamps = await until_sites_change(settings, stamps)
        try:
            await asyncio.to_thread(read_sites, settings)
        except (ConfigError, LocalFault) as error:
            _log.error("a changed site file does not fit; the earlier one stays in force", reason=str(error))
            continue
        return


async def _work(settings: CloudSettings) -> None:
    sites = read_sites(settings)
    clock = clock_from_environment()
    access = await _access(settings)
    link, stream = await NatsLink.open(access, (), "worker"), await JetStreamStream.open(access, name="worker")
    store = open_store(settings)
    calls = store_calls()
    keeper = EvidenceKeeper(evidence_files(settings, clock), store, calls, link, clock)
    worker = Worker(stream, store, calls=calls, link=link, sites=sites, clock=clock,
                    partitions=settings.partitions, speed=clock.speed,
                    evidence=WalkShelf(Path(settings.state)).before(keeper.take))
    keeping = asyncio.create_task(keeper.run(), name="evidence")
    _log.info("worker ready", sites=len(sites))
    try:
        await worker.run()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await _close(link, stream)
        store.close()


async def run_web(settings: CloudSettings) -> None:
    """The pages."""
    clock = clock_from_environment()
    people = open_people(settings)
    access = await _access(settings)
    store = open_store(settings)
    nudges = await NatsLink.open(access, (NUDGE_TOPIC,), "web")
    stream = await JetStreamStream.open(access, name="web")
    calls = store_calls()
    web = web_app(settings, people, store, calls, stream, nudges, clock)
    beside = [asyncio.create_task(run()) for run in web.beside]
    try:
        await _serve(settings, web.app, beside)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await _close(nudges, stream)
        store.close()


async def run_notify(settings: CloudSettings) -> None:
    """From the incident store to the endpoints."""
    endpoints = read_endpoints(settings.endpoints, "cloud.yaml", settings.pages)
    clock = clock_from_environment()
    access = await _access(settings)
    stream = await JetStreamStream.open(access, name="notify")
    store = open_store(settings)
    calls = store_calls()
    notifier = Notifier(NoticeStore(store), calls, stream, clock, endpoints=endpoints, post=post_http,
                        partitions=settings.partitions, speed=clock.speed)
    _log.info("notifier ready", endpoints=len(endpoints))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(notifier.run())
            for link in centre_links(settings, store, calls, stream, clock):
                group.create_task(link.run())
    finally:
        await _close(stream)
        store.close()


async def run_series(settings: CloudSettings) -> None:
    """From the stream into the time series."""
    clock = clock_from_environment()
    sites = read_sites(settings)
    remotes: dict[str, RemoteSeries] = {}
    for remote in settings.series.remotes:
        try:
            remotes[remote.id] = InfluxSeries(remote, secret=read_secret(remote), tenancy=True)
        except LocalFault as fault:
            _log.error("no time series to this server", remote=remote.id, reason=str(fault))
    stream = await JetStreamStream.open(await _access(settings), name="series")
    keeper = SeriesKeeper(
        stream, SqliteSeries(settings.own_series), remotes, clock,
        inventories={path: setup.inventory for path, setup in sites.items()}, group_s=settings.series.group_s,
        jitter=random.random,  # spreads retries
        say=lambda level, what, **more: getattr(_log, level)(what, **more))
    _log.info("time series ready", servers=len(remotes))
    try:
        await keeper.run()
    finally:
        await _close(stream)


def centre_links(
    settings: CloudSettings, store: IncidentStore, calls: StoreCalls, stream: JetStreamStream, clock: SystemClock
) -> list[CentreLink]:
    """One connection a site to the monitoring centre that it reports to."""
    sites = read_sites(settings) if settings.centres else {}
    return [CentreLink(centre, sites[path].inventory, store, calls, stream, clock, partitions=settings.partitions)
            for centre in settings.centres for path in centre.sites if path in sites]


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the role's are enough."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(settings: CloudSettings, app: FastAPI, beside: Sequence[asyncio.Task[None]]) -> None:
    listener = _listener(settings.address, settings.port)
    server = _Server(uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, server_header=False, lifespan="off",
    ))
    serving = asyncio.create_task(server.serve([listener]), name="pages")
    _log.info("pages ready", address=f"http://{settings.address}:{listener.getsockname()[1]}/")
    try:
        done, _ = await asyncio.wait({serving, *beside}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=3.0)


def _listener(address: str, port: int) -> socket.socket:
    """A listening socket; ours, because uvicorn would end the process where a port is busy. LocalFault says why."""
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family, backlog=2048)
    except OSError as error:
        raise LocalFault(f"the pages cannot listen on {address}:{port}: {error.strerror or error}; if the port is "
                         "busy, end what listens there or set another `port:` in cloud.yaml") from error


RUN: dict[str, Callable[[CloudSettings], Coroutine[Any, Any, None]]] = {
    "broker": run_broker, "ingest": run_ingest, "worker": run_worker, "web": run_web,
    "notify": run_notify, "series": run_series,
}


def read_sites(settings: CloudSettings) -> dict[str, SiteSetup]:
    """The configured sites by tenancy path. Raises ConfigError with the findings of all files."""
    sites: dict[str, SiteSetup] = {}
    files = read_duty_files(settings)
    findings: list[Finding] = []
    for file in (*settings.sites, *claimed_site_files(settings)):
        try:
            inventory = read_inventory(file)
            if file not in settings.sites and inventory.site.tenancy.path in sites:
                continue  # what the operator configured stands above what a gateway handed in
            path = inventory.site.tenancy.path
            centre = next((centre.name for centre in settings.centres if path in centre.sites), "")
            setup = SiteSetup(inventory, rules_of_site(inventory.site), msgspec.structs.replace(files, centre=centre))
        except ConfigError as error:
            findings += error.findings
            continue
        if setup.path in sites:
            findings.append(Finding(file, 0, 0, f"the site {setup.path} stands in two files", "keep one"))
        sites[setup.path] = setup
    if findings:
        raise ConfigError(findings)
    return sites


def read_duty_files(settings: CloudSettings) -> DutyFiles:
    """Routing, duty and response files as far as they are named, held against each other. Raises ConfigError."""
    files = DutyFiles(
        read_routing(Path(settings.routing)) if settings.routing else None,
        read_duty(Path(settings.duty)) if settings.duty else None,
        read_response(Path(settings.response)) if settings.response else None)
    known = {endpoint.name for endpoint in settings.endpoints}
    rotas = set(files.duty.plan.rotas) if files.duty else set()
    findings = []
    for receiver in files.routing.receivers.values() if files.routing else ():
        findings += [Finding(settings.routing, 0, 0, f"receiver {receiver.name}: there is no endpoint {name!r}",
                             "name it in cloud.yaml under `endpoints:`") for name in receiver.endpoints
                     if name not in known]
        if receiver.rota and receiver.rota not in rotas:
            findings.append(Finding(settings.routing, 0, 0, f"receiver {receiver.name}: no rota {receiver.rota!r}",
                                    "name it in the duty file"))
    for person in files.duty.plan.people.values() if files.duty else ():
        findings += [Finding(settings.duty, 0, 0, f"{person.name}: there is no endpoint {name!r}",
                             "name it in cloud.yaml under `endpoints:`") for name in person.endpoints
                     if name not in known]
    if findings:
        raise ConfigError(findings)
    return files


def open_store(settings: CloudSettings) -> IncidentStore:
    """The incident store, migrated. LocalFault says what is wrong with the database."""
    store = IncidentStore(settings.database_url)
    store.open()
    return store


async def _access(settings: CloudSettings) -> BrokerAccess:
    """How to reach the broker; waits for its first start."""
    for _ in range(round(BROKER_WITHIN_S / 0.2)):
        try:
            return read_access(Path(settings.broker_folder))
        except LocalFault:
            await asyncio.sleep(0.2)
    return read_access(Path(settings.broker_folder))


async def _close(*connections: NatsLink | JetStreamStream) -> None:
    """Disconnect. While it reconnects the client's close fails on its dead transport: it is gone either way."""
    for connection in connections:
        with contextlib.suppress(RuntimeError):
            await connection.close()


# --- processes --------------------------------------------------------------------------------------------------


def run_role(settings: CloudSettings, role: str, arguments: list[str]) -> None:
    """Run one role, or all, until SIGTERM or SIGINT. arguments: how to start a role in a process of its own."""
    needed = {"notify": bool(settings.endpoints or settings.routing or settings.centres),
              "series": settings.series.keep}
    roles = [name for name in ROLES[1:] if needed.get(name, True)]
    job = supervise(arguments, roles) if role == "all" else RUN[role](settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_signal(job, leave_after_s=None if role == "all" else STOP_WITHIN_S))


async def _until_signal(job: Awaitable[None], leave_after_s: float | None = None) -> None:
    """Run until told to stop. leave_after_s: a job that has not ended so long after is left where it is.

    A cancellation can be swallowed (asyncio.wait_for of Python 3.11, when the broker dies in the same moment): a
    role whose supervisor was killed would live on beside its successor. All that counts is durable before it is
    answered, so leaving is a crash like any other.
    """
    task = asyncio.ensure_future(job)
    loop = asyncio.get_running_loop()

    def leave() -> None:
        _log.error("did not end when told to; leaving", within_s=leave_after_s)
        os._exit(1)

    def stop() -> None:
        task.cancel()
        if leave_after_s is not None:
            loop.call_later(leave_after_s, leave)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        _log.info("stopped")
    except BaseExceptionGroup as group:
        # One cause is the news: a clear message instead of a tree of tracebacks.
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


async def supervise(arguments: list[str], roles: Sequence[str] = ROLES[1:]) -> None:
    """Keep the broker and these roles alive, each in a process of its own."""
    async with asyncio.TaskGroup() as broker:
        broker.create_task(_keep("broker", [*arguments, "--role", "broker"]))
        # Ended first, so that nobody has to do without a broker at the end.
        async with asyncio.TaskGroup() as others:
            for role in roles:
                others.create_task(_keep(role, [*arguments, "--role", role]))


async def _keep(role: str, command: list[str]) -> None:
    """Start the role, and again whenever it ends, with growing pauses while it does not come up."""
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        # A session of its own: Ctrl-C reaches the supervisor alone, which ends all in order.
        process = await asyncio.create_subprocess_exec(
            *command, preexec_fn=end_with_parent, start_new_session=True)
        _log.info("started", role=role, pid=process.pid)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            raise
        failures = 0 if loop.time() - began > WELL_AFTER_S else failures + 1
        wait_s = RESTART_WAIT_S[min(failures, len(RESTART_WAIT_S)) - 1] if failures else 0.0
        _log.warning("ended; starting it again", role=role, code=code, wait_s=wait_s)
        await asyncio.sleep(wait_s)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL where that does not help."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

