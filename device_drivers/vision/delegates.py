"""~ An accelerator beside the processor: asked first, trusted never.

```
 invoke ─► delegate, in a thread of its own ── answers within 2 s ──► logits
               └ error, nonsense or silence ─► the processor answers at once, it rests 60 s, then is tried anew
```
The processor's interpreter is always loaded, so that a take-over costs the one frame's waiting, at most DEADLINE_S. A
delegate that hangs keeps its thread; it is given up with it and no second one is begun while the first still hangs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from device_drivers.vision.detector import SHIPPED, Detector, read_model
from device_drivers.vision.model_card import TRUSTED_KEYS
from device_model.errors import LocalFault

_log = structlog.get_logger(__name__)
DEADLINE_S = 2.0
REST_S = 60.0
Invoke = Callable[[NDArray[Any]], NDArray[np.float32]]


class TakeOver:
    """One accelerator, asked by one detector at a time. state: "delegate", or why the processor answers."""

    def __init__(
        self, open_delegate: Callable[[], Invoke], *, deadline_s: float = DEADLINE_S, rest_s: float = REST_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open, self._deadline_s, self._rest_s, self._clock_s = open_delegate, deadline_s, rest_s, clock_s
        self._worker: _Worker | None = None
        self._hung: _Worker | None = None
        self._lock = threading.Lock()
        self._rests_until_s = 0.0
        self.state = "not asked yet"
        self.take_overs = 0

    def ask(self, prepared: NDArray[Any]) -> NDArray[np.float32] | None:
        """The delegate's logits; None where the processor must answer. Returns within the deadline."""
        if self._clock_s() < self._rests_until_s or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._hung is not None and self._hung.thread.is_alive():
                return None
            self._hung = None
            if self._worker is None:
                self._worker = _Worker(self._open)
            told = self._worker.ask(prepared, self._deadline_s)
            if told is None:
                self._hung = self._worker
                self._failed(f"no answer within {self._deadline_s:g} s")
                return None
            if isinstance(told, Exception):
                self._failed(f"{type(told).__name__}: {told}")
                return None
            if not np.isfinite(told).all():
                self._failed("it gave what are no numbers")
                return None
            self.state = "delegate"
            return told
        finally:
            self._lock.release()

    def _failed(self, why: str) -> None:
        if self._worker is not None:
            self._worker.left.set()
        self._worker = None
        self.take_overs += 1
        self.state = why
        self._rests_until_s = self._clock_s() + self._rest_s
        _log.error("the accelerator failed: the processor takes over", why=why, rests_s=self._rest_s)


class _Worker:
    """The thread that alone touches the accelerator: opens it, answers, ends with its first error or when left."""

    def __init__(self, open_delegate: Callable[[], Invoke]) -> None:
        self._open = open_delegate
        self._asked: queue.Queue[NDArray[Any]] = queue.Queue(1)
        self._told: queue.Queue[NDArray[np.float32] | Exception] = queue.Queue(1)
        self.left = threading.Event()
        self.thread = threading.Thread(target=self._work, name="delegate", daemon=True)
        self.thread.start()

    def ask(self, prepared: NDArray[Any], deadline_s: float) -> NDArray[np.float32] | Exception | None:
        """None: no answer in time."""
        self._asked.put(prepared)
        try:
            return self._told.get(timeout=deadline_s)
        except queue.Empty:
            return None

    def _work(self) -> None:
        try:
            invoke = self._open()
            while not self.left.is_set():
                try:
                    prepared = self._asked.get(timeout=1.0)
                except queue.Empty:
                    continue
                self._told.put(np.asarray(invoke(prepared), np.float32))
        except Exception as error:  # noqa: BLE001 # a driver's library may raise anything: it is told, not hidden
            self._told.put(error)


class DelegatedDetector(Detector):
    """A detector whose accelerator is asked first. A site's head needs the embedding, which only the processor's
    interpreter gives, so that with a head the processor answers."""

    def __init__(
        self, take_over: TakeOver, card_file: Path = SHIPPED, trusted: tuple[str, ...] = TRUSTED_KEYS
    ) -> None:
        super().__init__(card_file, trusted)
        self.take_over = take_over

    def _plain(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        if self.head is None:
            logits = self.take_over.ask(prepared)
            if logits is not None:
                return logits
        return super()._plain(prepared)


def litert_delegate(library: str, options: dict[str, str], card_file: Path, model_file: Path | None) -> Invoke:
    """The accelerator's interpreter. model_file: a model compiled for it (Edge TPU); else the shipped one.

    Raises LocalFault, RuntimeError, ValueError, OSError as the library does.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, load_delegate
    except ImportError as error:
        raise LocalFault("ai-edge-litert is not installed: pip install 'tocsin[vision]'") from error
    octets = model_file.read_bytes() if model_file is not None else read_model(card_file, TRUSTED_KEYS)[1]
    interpreter: Any = Interpreter(model_content=octets, experimental_delegates=[load_delegate(library, options)])
    interpreter.allocate_tensors()
    given, gives = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def invoke(prepared: NDArray[Any]) -> NDArray[np.float32]:
        interpreter.set_tensor(given["index"], prepared)
        interpreter.invoke()
        raw = interpreter.get_tensor(gives["index"])[0]
        scale, zero = gives["quantization"] if gives["dtype"] != np.float32 else (1.0, 0)
        return np.asarray((raw.astype(np.float32) - zero) * scale, np.float32)

    return invoke
