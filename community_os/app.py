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
import signal
from collections.abc import Awaitable, Coroutine, Sequence

import structlog
import uvloop

from community_os.settings import CloudSettings
from device_model.child_process import end_with_parent

ROLES = ("broker", "ingest", "worker", "web", "notify", "series")
# Real time: processes are no part of a scaled world.
RESTART_WAIT_S = (0.2, 0.5, 1.0, 2.0, 5.0)
WELL_AFTER_S = 20.0
STOP_WITHIN_S = 8.0

_log = structlog.get_logger("tocsin.cloud")


def job_of(role: str, settings: CloudSettings) -> Coroutine[object, object, None]:
    """One role. Each brings what it alone needs: six processes of everything start slowly on a small machine."""
    match role:
        case "broker":
            from community_os.role_broker import run_broker as run
        case "ingest":
            from community_os.role_ingest import run_ingest as run
        case "worker":
            from community_os.role_worker import run_worker as run
        case "web":
            from community_os.role_web import run_web as run
        case "notify":
            from community_os.role_notify import run_notify as run
        case _:
            from community_os.role_series import run_series as run
    return run(settings)


# --- processes --------------------------------------------------------------------------------------------------


def run_role(settings: CloudSettings, role: str, arguments: list[str]) -> None:
    """Run one role, or all, until SIGTERM or SIGINT. arguments: how to start a role in a process of its own."""
    needed = {"notify": bool(settings.endpoints or settings.routing or settings.centres),
              "series": settings.series.keep}
    roles = [name for name in ROLES[1:] if needed.get(name, True)]
    job = supervise(arguments, roles) if role == "all" else job_of(role, settings)
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

