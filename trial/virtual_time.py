"""An asyncio event loop whose clock jumps to the next timer instead of waiting (after trio's autojump clock).

    ready callbacks run in order of arrival; when none is left, time jumps to the earliest timer

Nothing in it reads the machine's clock, and it waits for no socket, so a run is a function of the program and its
seed. Two timers due at the same instant run in the order in which they were set.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from device_model.clock import Now

T = TypeVar("T")

# Far more than ten virtual hours of a small world need; a loop that never sleeps is a bug and must end.
CALLBACKS_MAX = 200_000_000


class Deadlock(Exception):
    """Nothing is ready and no timer is set: the program waits for something that cannot come."""


class _NoSelector(selectors.BaseSelector):
    """A selector that has no files: it exists because the loop asks for one."""

    def __init__(self) -> None:
        self._map: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._map[id(fileobj)] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(id(fileobj))

    def select(self, timeout: float | None = None) -> list[Any]:
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map


class _StableTimer(asyncio.TimerHandle):
    """A timer that breaks ties by the order in which it was set."""

    _numbers = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.number = next(self._numbers)

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _StableTimer):
            return (self.when(), self.number) < (other.when(), other.number)
        return NotImplemented


class _NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number: asyncio keeps tasks in sets (groups, all_tasks) and cancels them in the sets'
    order, which would else be that of memory addresses, another one in each process."""

    def __init__(self, coroutine: Any, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs coroutines in virtual time. `time()` starts at 0 and is in seconds, exact to the microsecond."""

    def __init__(self) -> None:
        super().__init__(_NoSelector())
        self._virtual_us = 0
        numbers = itertools.count(1)
        self.set_task_factory(
            lambda loop, coroutine, **options: _NumberedTask(coroutine, next(numbers), loop=loop, **options))

    def time(self) -> float:
        return self._virtual_us / 1e6

    @property
    def now_us(self) -> int:
        """Virtual microseconds since the start."""
        return self._virtual_us

    def call_at(  # type: ignore[override]  # the stub's type variables say no more than Any here
        self, when: float, callback: Any, *args: Any, context: Any = None,
    ) -> asyncio.TimerHandle:
        timer = _StableTimer(round(when * 1e6) / 1e6, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]  # BaseEventLoop's own heap
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
            cancelled = self._timer_cancelled_count  # type: ignore[has-type]  # BaseEventLoop's own count
            self._timer_cancelled_count = max(0, cancelled - 1)
        if not ready:
            if not scheduled:
                if self._stopping:  # type: ignore[attr-defined]
                    return
                raise Deadlock("nothing is ready and no timer is set")
            self._virtual_us = max(self._virtual_us, round(scheduled[0]._when * 1e6))
        while scheduled and round(scheduled[0]._when * 1e6) <= self._virtual_us:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def call_soon_threadsafe(  # type: ignore[override]  # as call_at
        self, callback: Any, *args: Any, context: Any = None,
    ) -> asyncio.Handle:
        """There is one thread; asyncio itself asks this way when a generator is collected unclosed."""
        if threading.get_ident() != self._thread_id:  # type: ignore[attr-defined]
            raise RuntimeError("a thread tried to wake the virtual loop: threads have no place in the simulation")
        return self.call_soon(callback, *args, context=context)

    def _make_self_pipe(self) -> None:
        """No other thread ever wakes this loop."""
        self._ssock = self._csock = None
        self._internal_fds = 0

    def _close_self_pipe(self) -> None:
        """There is none."""

    def _write_to_self(self) -> None:
        raise RuntimeError("a thread tried to wake the virtual loop: threads have no place in the simulation")

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]  # as call_at
        raise RuntimeError("threads have no place in the simulation; put the blocking thing behind a port")


class VirtualClock:
    """One machine's clock: a boot, a wall offset that may step, a drift. Implements device_model.clock.Clock."""

    def __init__(self, loop: VirtualLoop, boot: str, *, wall_us: int, drift_ppm: float = 0.0) -> None:
        self._loop = loop
        self.boot = boot
        self._booted_us = loop.now_us
        self._wall_us = wall_us
        self._drift = 1 + drift_ppm / 1e6
        self.wall_error_us = 0

    def now(self) -> Now:
        mono = round((self._loop.now_us - self._booted_us) * self._drift)
        return Now(self._wall_us + mono, mono, self.boot, self.wall_error_us)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))

    def step(self, by_us: int) -> None:
        """The wall clock jumps; the monotonic one does not."""
        self._wall_us += by_us


def run_virtual(main: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """Run a coroutine to its end in virtual time and cancel what it left behind."""
    loop = loop or VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        left = sorted(asyncio.all_tasks(loop), key=hash)  # weak sets of one size may still differ in order
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
