"""`tocsin demo`: starts the stack, shows the tour, and at the end judges what happened."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
import structlog

from demo.audit import StreamAudit, audit_stream
from demo.children import free_port_near
from demo.percentile import percentile
from demo.stack import Stack
from demo.watch import LIFE_SAFETY, BoardWatch, Truth, read_truth
from device_model.errors import TocsinError
from device_model.system_clock import real_mono_us

# After the end, what was named before it gets so long (real) to arrive: two resends of the alarm lane.
SETTLE_S = 4.0
TOUR = """
  The board        {url}
  What happens     three house fires, recorded by NIST, play at {speed:g} × life into simulated detectors
                   on real Modbus TCP and MQTT ports
    ~ 5 s          Flat 301: smoke detector in the bedroom (Modbus TCP), then the hall (MQTT), then heat
    ~ 13 s         Flat 402: faster, with carbon monoxide
    ~ 16–19 s      Riverside's uplink is cut: the board says that it is not heard; nothing is lost, all arrives after
    ~ 23 s         Flat 105: the bedroom
  Look at          the age beside each incident · press a card, then Acknowledge, and see "the gateway knows"
                   · Close is refused while a detector is in alarm · what does not protect now: a dead level probe and
                   a babbling meter · the quiet neighbour, Lakeside, whom none of this touches · 中文 top right
  Try              kill -9 any of: {pids}
                   each comes back; no incident is lost or doubled
  Files            {folder}   (keys, journals, logs; --keep FOLDER to choose)
  End              Ctrl-C
"""


class Latency(msgspec.Struct, frozen=True):
    """From the detector's alarm to the page, in real milliseconds."""

    p50: float
    p99: float
    samples: int


class Messages(msgspec.Struct, frozen=True):
    """Records numbered by the gateways, and stored in the cloud."""

    sent: int
    received: int


class Verdict(msgspec.Struct, frozen=True):
    """What the demo showed. All counts come from independent places: simulator's truth, stored stream, board."""

    fires: int
    incidents: int
    alarms_lost: int
    unexplained_gaps: int
    duplicates: int
    declared_lost: int
    acknowledged_at_gateway: int
    speed: float
    alarm_latency_ms: Latency
    messages: Messages
    first_incident_s: float

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing doubled, one incident a fire."""
        return (self.alarms_lost == self.unexplained_gaps == self.duplicates == 0
                and self.incidents == self.fires and self.fires > 0)


def run_demo(
    *, for_s: float | None, headless: bool, speed: float, port: int, keep: Path | None, as_json: bool
) -> int:
    """Run it; the exit code is 0 when nothing was lost, doubled or unexplained."""
    # Standard output carries the tour and the verdict alone; what parts of the product say goes beside it.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        with contextlib.ExitStack() as stack:
            folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-demo-")))
            folder = folder.resolve()
            return asyncio.run(_demo(folder, for_s=for_s, headless=headless, speed=speed, port=port, as_json=as_json))
    except TocsinError as error:
        print(f"tocsin demo: {error}", file=sys.stderr)
        return 1


async def _demo(
    folder: Path, *, for_s: float | None, headless: bool, speed: float, port: int, as_json: bool
) -> int:
    def say(text: str) -> None:
        print(f"· {text}", file=sys.stderr, flush=True)

    started_us = real_mono_us()
    stack = Stack(folder, speed=speed, web_port=free_port_near(port or 18080), say=say)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching: asyncio.Task[None] | None = None
    try:
        await stack.start()
        await stack.start_devices()
        await stack.wait_for_gateways()
        watch = BoardWatch(stack.web_port, acknowledge=headless)
        watching = asyncio.create_task(watch.run())
        await stack.prove_the_path()
        pids = " ".join(f"{child.pid}({child.name})" for child in stack.children.values() if child.pid)
        if not headless:
            print(TOUR.format(url=f"http://127.0.0.1:{stack.web_port}/board", speed=speed, pids=pids, folder=folder),
                  flush=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), for_s)
        verdict = await _judge(stack, watch, speed, started_us)
    finally:
        if watching is not None:
            watching.cancel()
        await stack.stop()
    print(msgspec.json.encode(verdict).decode() if as_json else _as_text(verdict), flush=True)
    return 0 if verdict.ok else 1


async def _judge(stack: Stack, watch: BoardWatch, speed: float, started_us: int) -> Verdict:
    """Compare what was true (simulator), what is stored (stream) and what was shown (board)."""
    judged_until_us = stack.scale.shown(real_mono_us())
    truth = [line for line in read_truth(stack.truth) if line.is_alarm]
    await asyncio.sleep(SETTLE_S)
    audit = audit_stream(await stack.read_stream(), judged_until_us=judged_until_us)
    return judge(truth, watch, audit, speed, started_us)


def judge(truth: list[Truth], watch: BoardWatch, audit: StreamAudit, speed: float, started_us: int) -> Verdict:
    """The verdict from the three witnesses."""
    shown = [view for view in watch.incidents.values() if view["hazard"] in LIFE_SAFETY]
    # A rule over a zone has no device of its own: it may stand once in each zone.
    keys = [(alarm["rule"], alarm["device"], alarm["zone"]) for view in shown for alarm in view.get("alarms", ())]
    devices_shown = {device for _, device, _ in keys}
    first: dict[str, int] = {}
    for line in truth:
        first.setdefault(line.device, line.real_us)
    latencies = [
        (watch.first_shown_us[device] - at_us) / 1000 for device, at_us in first.items()
        if device in watch.first_shown_us
    ]
    return Verdict(
        fires=len({line.fire for line in truth}),
        incidents=len(shown),
        alarms_lost=len([device for device in first if device not in devices_shown]),
        unexplained_gaps=audit.unexplained_gaps,
        duplicates=audit.duplicates + len(keys) - len(set(keys)),
        declared_lost=audit.declared_lost,
        acknowledged_at_gateway=len([view for view in shown if view.get("gateway_told_us")]),
        speed=speed,
        alarm_latency_ms=Latency(round(percentile(latencies, 0.5), 1), round(percentile(latencies, 0.99), 1),
                                 len(latencies)),
        messages=Messages(audit.sent, audit.received),
        first_incident_s=round((watch.first_incident_us - started_us) / 1e6, 2) if watch.first_incident_us else -1.0,
    )


def _as_text(verdict: Verdict) -> str:
    latency, messages = verdict.alarm_latency_ms, verdict.messages
    return "\n".join((
        "",
        f"  fires {verdict.fires}, incidents {verdict.incidents}, alarms lost {verdict.alarms_lost}",
        f"  records sent {messages.sent}, stored {messages.received}, doubled {verdict.duplicates}, "
        f"unexplained gaps {verdict.unexplained_gaps}, declared lost {verdict.declared_lost}",
        f"  detector to page: median {latency.p50:g} ms, 99 % {latency.p99:g} ms ({latency.samples} detectors)",
        f"  {'all as it should be' if verdict.ok else 'NOT as it should be'}",
    ))
