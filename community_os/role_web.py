"""The web role (I/O): the store as pages."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import structlog
import uvicorn
from fastapi import FastAPI

from community_os.board_service import NUDGE_TOPIC
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from community_os.people_parts import open_people
from community_os.role_parts import broker_access, close
from community_os.settings import CloudSettings
from community_os.store import store_calls
from community_os.store_opening import open_store
from community_os.web_app import web_app
from device_model.errors import LocalFault
from device_model.system_clock import clock_from_environment

_log = structlog.get_logger("tocsin.cloud")


async def run_web(settings: CloudSettings) -> None:
    """The pages."""
    clock = clock_from_environment()
    people = open_people(settings)
    access = await broker_access(settings)
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
        await close(nudges, stream)
        store.close()


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
