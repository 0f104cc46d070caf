"""Poller (I/O): runs one Modbus line. All judgement is in `register_driver.py`; here bytes are awaited."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence

import structlog

from device_drivers.driver import DriverEvent, Emit, LineDevice, LineUnreachable
from device_drivers.line_memory import DeviceMemory, from_bytes, to_bytes
from device_drivers.line_schedule import Failed, OrderDone, Outcome, Transaction, Wait
from device_drivers.register_driver import RegisterLine
from device_model.clock import Clock
from device_model.errors import LocalFault, PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineExchange, LineReply, LineRequest
from device_model.reading import Reason
from device_model.site import Line

_log = structlog.get_logger(__name__)
_BUG_PAUSE_S = 1.0  # after a fault of our own: do not spin


class LinePoller:
    """One master of one line: polls, writes and scans go through one schedule, one transaction at a time."""

    def __init__(self, line: Line, devices: Sequence[LineDevice], exchange: LineExchange, clock: Clock, emit: Emit,
                 *, jitter: Callable[[], float] | None = None, learnt: bytes = b"") -> None:
        """`jitter` gives numbers in [0, 1); by default a sequence that depends on the line's name only.
        learnt: what `learnt()` gave before a restart; bytes that are none of ours are logged and left."""
        self._line = line
        self._exchange = exchange
        self._clock = clock
        self._emit = emit
        self._core = RegisterLine(line, devices, clock.now(), jitter or _spread(line.id),
                                _memory(line.id, learnt))
        self._wake = asyncio.Event()
        self._ended = False
        self._orders: dict[int, asyncio.Future[LineReply]] = {}
        self._took: dict[int, Callable[[int], None]] = {}

    @property
    def core(self) -> RegisterLine:
        """The pure part, for diagnosis and hot change."""
        return self._core

    def put_device(self, entry: LineDevice) -> None:
        """Add a device, or give a known one a new description, while the line runs. No other device is touched."""
        self._core.put_device(entry, self._clock.now())
        self._wake.set()

    def drop_device(self, device: str) -> None:
        """Forget a device while the line runs. No other device is touched."""
        for order in self._core.drop_device(device):
            self._finish(order)

    def learnt(self) -> bytes:
        """What the devices of this line taught and counted so far, to be kept over a restart. Safe to lose."""
        return to_bytes(self._core.memory())

    async def run(self) -> None:
        """Poll until cancelled. No misbehaviour of a device or line ends it."""
        me = asyncio.current_task()
        self._ended = False  # also after a restart: writes are taken again
        try:
            while True:
                # pymodbus waits by wait_for, which on Python 3.11 swallows a cancellation that meets a reply: on a
                # busy line that is likely, and a poller that polls on would keep the gateway from stopping.
                if me is not None and me.cancelling():
                    raise asyncio.CancelledError
                try:
                    await self._turn()
                except Exception as problem:  # noqa: BLE001
                    # Task boundary: a fault of ours must not end the watch over the other devices of the line.
                    _log.exception("line_turn_failed", line=self._line.id, problem=str(problem))
                    await self._clock.sleep(_BUG_PAUSE_S)
        finally:
            self._ended = True
            for future in self._orders.values():
                future.cancel()
            self._orders.clear()
            await self._exchange.close()

    async def write(self, device: str, point: str, value: bool | float) -> None:
        """Set a writable point, ahead of every poll; returns when the device echoed it.

        Raises PeerSilent, PeerRefused, PeerGarbled; LocalFault when not writable or too many writes wait.
        """
        await self._ordered(self._core.write(device, point, value))

    async def ask(
        self, request: LineRequest, *, timeout_s: float, took: Callable[[int], None] | None = None,
    ) -> LineReply:
        """One read of a scan or diagnosis, behind all else. took: told how many µs the line had it, without the time
        that it waited for its turn. Raises as `write`."""
        return await self._ordered(self._core.ask(request, timeout_s), took)

    async def _ordered(self, token: int, took: Callable[[int], None] | None = None) -> LineReply:
        if self._ended:
            raise PeerSilent(f"line {self._line.id} is no longer polled")
        future: asyncio.Future[LineReply] = asyncio.get_running_loop().create_future()
        self._orders[token] = future
        if took is not None:
            self._took[token] = took
        self._wake.set()
        try:
            return await future
        finally:
            self._orders.pop(token, None)
            self._took.pop(token, None)

    async def _turn(self) -> None:
        now = self._clock.now()
        self._tell(self._core.look_for_silence(now))
        step = self._core.next(now)
        if isinstance(step, Wait):
            await self._rest((step.until_us - now.mono_us) / 1e6)
            return
        outcome = await self._carry(step)
        then = self._clock.now()
        result = self._core.done(step, outcome, then)
        self._tell(result.events)
        for order in result.orders:
            if (took := self._took.get(order.token)) is not None:
                took(then.mono_us - now.mono_us)
            self._finish(order)
        if result.hold_us:
            await self._exchange.drain(result.hold_us / 1e6)

    async def _carry(self, transaction: Transaction) -> Outcome:
        try:
            return await self._exchange.exchange(transaction.request, timeout_s=transaction.timeout_us / 1e6)
        except LineUnreachable as silent:
            return Failed(Reason.LINE_DOWN, str(silent))
        except PeerSilent as silent:
            return Failed(Reason.SILENT, str(silent))
        except PeerRefused as refused:
            return Failed(Reason.REFUSED, str(refused), refused.code)
        except PeerGarbled as garbled:
            return Failed(Reason.GARBLED, str(garbled))
        except LocalFault as fault:
            return Failed(Reason.LINE_DOWN, str(fault))

    async def _rest(self, delay_s: float) -> None:
        """Sleep on the line's clock, or until somebody wants to write."""
        if self._wake.is_set():
            self._wake.clear()
            return
        sleeper = asyncio.ensure_future(self._clock.sleep(max(0.0, delay_s)))
        waker = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
            self._wake.clear()

    def _tell(self, events: Sequence[DriverEvent]) -> None:
        for event in events:
            self._emit(event)

    def _finish(self, order: OrderDone) -> None:
        future = self._orders.get(order.token)
        if future is None or future.done():
            return
        if order.reply is not None:
            future.set_result(order.reply)
        elif order.fault is not None:
            future.set_exception(_as_error(order.fault))


def _memory(line: str, octets: bytes) -> dict[str, DeviceMemory]:
    try:
        return from_bytes(octets)
    except ValueError as problem:
        _log.warning("line_memory_left", line=line, problem=str(problem))
        return {}


def _as_error(fault: Failed) -> Exception:
    if fault.reason is Reason.REFUSED:
        return PeerRefused(fault.detail, fault.code)
    if fault.reason is Reason.GARBLED:
        return PeerGarbled(fault.detail)
    return PeerSilent(fault.detail)


def _spread(name: str) -> Callable[[], float]:
    """Numbers in [0, 1) that differ between lines and repeat between runs (a Weyl sequence)."""
    state = zlib.crc32(name.encode()) / 2**32

    def following() -> float:
        nonlocal state
        state = (state + 0.6180339887498949) % 1.0
        return state

    return following
