"""An accelerator that works, raises, hangs, lies and comes back: the processor answers within the deadline."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision.delegates import DEADLINE_S, DelegatedDetector, TakeOver
from device_drivers.vision.detector import Detector, DetectorPool


class Fake:
    """A delegate whose mood is set by the test. It computes with a processor's interpreter of its own."""

    def __init__(self) -> None:
        self.mood, self.opened, self.asked = "well", 0, 0
        self.release = threading.Event()
        self._inner = Detector()

    def open(self):
        self.opened += 1
        if self.mood == "absent":
            raise OSError("libedgetpu.so.1: cannot open shared object file")
        return self.invoke

    def invoke(self, prepared: np.ndarray) -> np.ndarray:
        self.asked += 1
        if self.mood == "raises":
            raise RuntimeError("Node number 3 (EdgeTpuDelegate) failed to invoke")
        if self.mood == "hangs":
            self.release.wait(600)
        logits = self._inner._plain(prepared)
        return logits * np.nan if self.mood == "lies" else logits


@pytest.mark.parametrize("mood", ["absent", "raises", "hangs", "lies"])
def test_the_processor_takes_over_within_the_deadline_and_the_accelerator_is_tried_again(mood: str) -> None:
    assert DEADLINE_S <= 5
    fake, now = Fake(), [0.0]
    take_over = TakeOver(fake.open, deadline_s=60, rest_s=60, clock_s=lambda: now[0])
    detector, plain = DelegatedDetector(take_over), Detector()
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 160, 3)).astype(np.uint8))
    wanted = plain.see(picture)
    assert detector.see(picture) == wanted and take_over.state == "delegate" and fake.asked == 1
    fake.mood = mood
    if mood == "absent":
        take_over = detector.take_over = TakeOver(fake.open, deadline_s=60, rest_s=60, clock_s=lambda: now[0])
    if mood == "hangs":
        take_over._deadline_s = 0.3  # waited out, where the others answer however busy the machine is
    assert detector.see(picture) == wanted
    assert take_over.take_overs == 1 and take_over.state != "delegate"
    asked = fake.asked
    assert detector.see(picture) == wanted and fake.asked == asked, "it rests"
    now[0] = 61.0
    if mood == "hangs":
        assert detector.see(picture) == wanted and fake.asked == asked, "no second one beside one that hangs"
        fake.release.set()
        for _ in range(3000):
            if take_over._hung is None or not take_over._hung.thread.is_alive():
                break
            time.sleep(0.02)
    fake.mood, take_over._deadline_s = "well", 60
    assert detector.see(picture) == wanted and take_over.state == "delegate"


def test_a_pool_lends_detectors_with_an_accelerator() -> None:
    fake = Fake()
    take_over = TakeOver(fake.open)
    pool = DetectorPool(2, make=lambda: DelegatedDetector(take_over))
    with pool.lend() as detector:
        assert isinstance(detector, DelegatedDetector)
