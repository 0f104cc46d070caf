"""~ The model at work: loads the signed file, turns pictures into inputs, invokes ai-edge-litert.

One `Detector` is one interpreter with one thread and is not shared between threads; `DetectorPool` holds several.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.learn import SiteHead
from device_drivers.vision.model_card import CLASSES, TRUSTED_KEYS, ModelCard, Verdict, check_card, parse_card
from device_drivers.vision.pooling import Spot, calibrated, pooled_logits, spots
from device_model.errors import LocalFault

MODELS = Path(__file__).parent / "models"
SHIPPED = MODELS / "watcher.json"
MODEL_BYTES_MAX = 32 * 1024 * 1024  # the shipped one has four; more is not a gateway's model


class Detector:
    """A loaded model, with a site's own head upon it where there is one. Raises LocalFault where the file is missing,
    swapped or cannot run, or the head was fitted on another model."""

    def __init__(
        self, card_file: Path = SHIPPED, trusted: tuple[str, ...] = TRUSTED_KEYS, head: SiteHead | None = None
    ) -> None:
        self.card, model = read_model(card_file, trusted)
        if head is not None and head.model_sha256 != self.card.sha256:
            raise LocalFault(
                f"the site's head was fitted on another model ({head.model_sha256[:12]}…): run `tocsin vision learn` "
                "again, or `--rollback`"
            )
        self.head = head
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise LocalFault("ai-edge-litert is not installed: pip install 'tocsin[vision]'") from error
        try:
            self._interpreter: Any = Interpreter(model_content=model, num_threads=1)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise LocalFault(f"{card_file}: the model does not load here: {error}") from error
        self._input = self._interpreter.get_input_details()[0]
        outputs = self._interpreter.get_output_details()
        self._output = next(o for o in outputs if len(o["shape"]) == 3)
        self._embedding = next((o for o in outputs if len(o["shape"]) == 2), None)
        self._table = self._quantising()
        # The usual table takes 128 away, which is one flipped bit: no look-up a pixel.
        levels = np.arange(-128, 128, dtype=np.int16)
        self._shifted = self._table is not None and bool(np.array_equal(self._table, levels))
        self._slope, self._offset = (np.asarray(v, np.float32) for v in (self.card.slope, self.card.offset))

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """The picture as the model's input: stretched to its square, quantised as the file says."""
        side = (self.card.size, self.card.size)
        picture = image if image.mode == "RGB" else image.convert("RGB")
        # A large frame is first reduced by whole pixels: a third of the time, the same to the eye.
        values = np.asarray(picture.resize(side, Image.Resampling.BILINEAR, reducing_gap=2.0))[None]
        if self._table is None:
            return values.astype(np.float32)
        if self._shifted:
            return np.asarray((values ^ np.uint8(0x80)).view(np.int8))
        return np.asarray(self._table[values])

    def _quantising(self) -> NDArray[Any] | None:
        """What each byte of a picture becomes in the model's own numbers; None where it takes floats."""
        dtype = self._input["dtype"]
        if dtype == np.float32:
            return None
        scale, zero = self._input["quantization"]
        limits = np.iinfo(dtype)
        levels = np.arange(256, dtype=np.float32)
        return np.asarray(np.clip(np.round(levels / scale + zero), limits.min, limits.max), dtype)

    def invoke(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        """Logits (classes, cells + 1) of one prepared picture. A site's head moves the last column, which stands for
        the whole picture, so that scores and boxes move alike."""
        logits = self._plain(prepared)
        if self.head is not None:
            shift = self.head.shift(self.embedding())
            logits = logits.copy()
            logits[:, -1] += (shift / self._slope).astype(np.float32)
        return logits

    def embedding(self) -> NDArray[np.float32]:
        """What the net knew of the picture invoked last, before it judged. Raises LocalFault where the model gives
        none."""
        if self._embedding is None:
            raise LocalFault("this model gives no embedding: install a release that does, version 3 or later")
        return np.array(self._interpreter.get_tensor(self._embedding["index"])[0], np.float32)

    def learnable(self, image: Image.Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embedding and calibrated logits a class, without the site's head: what a head is fitted on."""
        logits = pooled_logits(self._plain(self.prepare(image)))
        return self.embedding(), np.asarray(logits * self._slope + self._offset, np.float32)

    def _plain(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        self._interpreter.set_tensor(self._input["index"], prepared)
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output["index"])[0]
        if self._output["dtype"] != np.float32:
            scale, zero = self._output["quantization"]
            return np.asarray((raw.astype(np.float32) - zero) * scale, np.float32)
        return np.asarray(raw, np.float32)

    def judge(self, logits: NDArray[np.float32]) -> Verdict:
        """A probability a class."""
        return Verdict(
            tuple(round(float(p), 5) for p in calibrated(pooled_logits(logits), self._slope, self._offset))
        )

    def see(self, image: Image.Image) -> Verdict:
        """All in one: picture to verdict."""
        return self.judge(self.invoke(self.prepare(image)))

    def locate(self, logits: NDArray[np.float32], name: str, threshold: float | None = None) -> list[Spot]:
        """Where in the picture a class stands out, strongest first."""
        i = CLASSES.index(name)
        return spots(
            logits[i],
            self.card.grid,
            self.card.slope[i],
            self.card.offset[i],
            self.card.thresholds[i] if threshold is None else threshold,
        )


class DetectorPool:
    """Several detectors, lent one at a time; the file is read and checked once a detector, at the start."""

    def __init__(
        self,
        count: int,
        card_file: Path = SHIPPED,
        trusted: tuple[str, ...] = TRUSTED_KEYS,
        head: SiteHead | None = None,
        make: Callable[[], Detector] | None = None,
    ) -> None:
        """make: gives one detector, where it is another kind than the processor's own (delegates.py)."""
        self.head = head
        self._free: queue.SimpleQueue[Detector] = queue.SimpleQueue()  # bounded by `count`: only what is lent returns
        detectors = [Detector(card_file, trusted, head) if make is None else make() for _ in range(count)]
        self.card = detectors[0].card
        # Reads only what never changes after loading, so that any thread may ask for it.
        self.prepare = detectors[0].prepare
        for detector in detectors:
            self._free.put(detector)

    @contextmanager
    def lend(self) -> Iterator[Detector]:
        """A detector for the block; waits until one is free."""
        detector = self._free.get()
        try:
            yield detector
        finally:
            self._free.put(detector)


def read_model(card_file: Path, trusted: tuple[str, ...]) -> tuple[ModelCard, bytes]:
    """The card and the model's bytes, hash and signature checked. Raises LocalFault."""
    model_file = card_file.with_suffix(".tflite")
    try:
        text, size = card_file.read_bytes(), model_file.stat().st_size
        if size > MODEL_BYTES_MAX:
            raise LocalFault(f"{model_file}: {size} bytes are no model of ours; install the release's own file")
        model = model_file.read_bytes()
    except OSError as error:
        raise LocalFault(f"{error.filename}: {error.strerror}; install the release's own model files") from error
    card = parse_card(text, str(card_file))
    check_card(card, model, str(card_file), trusted)
    return card, model
