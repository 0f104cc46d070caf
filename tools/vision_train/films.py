"""Rendered films with real flicker: the same place lit by an arc or a grinder that comes and goes, and by what does
not.

An arc changes from frame to frame (short circuits of 20 to 200 a second, pauses when the electrode is changed);
sparks are other sparks in every frame; a lamp stays as it is and a low sun moves by nothing within a minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tools.vision_train.light import Picture, Rng, glow, lit, sparks, to_image, to_linear
from tools.vision_train.renders import BLUE, ORANGE, WARM, WHITE, fumes, sun, worker

NAMES = ("welding", "grinding", "lamp", "sunrise", "walker", "empty")


def film(
    name: str,
    background: Image.Image,
    seed: int,
    frames: int,
    size: tuple[int, int] = (640, 360),
) -> Iterator[Image.Image]:
    """Frames of a scene, 10 a second. welding and grinding are hot work, the others are not."""
    rng = np.random.default_rng(seed)
    scene = to_linear(background.convert("RGB").resize(size, Image.Resampling.BICUBIC)) * rng.uniform(0.25, 0.6)
    at = (float(rng.uniform(0.3, 0.7) * size[0]), float(rng.uniform(0.45, 0.75) * size[1]))
    if name in ("welding", "grinding"):
        scene = worker(scene, at, WHITE, 60.0, rng)
    if name == "sunrise":
        scene = to_linear(sun(background, rng).resize(size))
    for number in range(frames):
        now = np.random.default_rng([seed, number])
        yield noisy(_FRAMES[name](scene, at, now, number), now)


def noisy(linear: Picture, rng: Rng) -> Image.Image:
    """With a sensor's noise: no two frames of a camera are equal."""
    image = np.asarray(to_image(linear), np.float32)
    return Image.fromarray((image + rng.normal(0, 1.5, image.shape)).clip(0, 255).astype(np.uint8))


def _welding(scene: Picture, at: tuple[float, float], rng: Rng, number: int) -> Picture:
    if number % 47 < 4:  # the electrode is lifted
        return scene
    power = rng.uniform(0.5, 1.6)
    out = scene + lit(scene + 0.02, at, 70.0, BLUE, 9 * power, rng)
    out = fumes(out, at, BLUE, rng, 0.25 * power) + glow(scene.shape, at, 6.0 + 2 * power, BLUE, 2.5 * power, 0.9)
    return out + sparks(
        scene.shape,
        at,
        rng,
        count=int(rng.integers(15, 60)),
        angle=-math.pi / 2,
        spread=1.1,
        speed=45,
        gravity=18,
        warmth=0.7,
        thick=0.9,
    )


def _grinding(scene: Picture, at: tuple[float, float], rng: Rng, number: int) -> Picture:
    power = rng.uniform(0.6, 1.3)
    out = scene + lit(scene + 0.01, at, 60.0, WARM, 2.5 * power, rng)
    for share in (1.0, 0.5):
        out = out + sparks(
            scene.shape,
            at,
            rng,
            count=int(220 * power),
            angle=0.35,
            spread=0.16,
            speed=95 * share,
            gravity=9,
            warmth=0.85,
            thick=0.7,
        )
    return out + glow(scene.shape, at, 3.0, WARM, 1.4 * power, 0.5)


def _lamp(scene: Picture, at: tuple[float, float], rng: Rng, number: int) -> Picture:
    still = np.random.default_rng(7)
    return scene + lit(scene, at, 60.0, WARM, 6.0, still) + glow(scene.shape, at, 9.0, WARM, 2.0, 0.8)


def _walker(scene: Picture, at: tuple[float, float], rng: Rng, number: int) -> Picture:
    out = scene.copy()
    left = int((0.1 + 0.008 * number) % 0.9 * scene.shape[1])
    out[int(at[1]) - 60 : int(at[1]) + 40, left : left + 26] = (
        np.array([0.3, 0.25, 0.02]) if number % 2 else ORANGE * 0.3
    )
    return out


def _still(scene: Picture, at: tuple[float, float], rng: Rng, number: int) -> Picture:
    return scene


_FRAMES = {
    "welding": _welding,
    "grinding": _grinding,
    "lamp": _lamp,
    "sunrise": _still,
    "walker": _walker,
    "empty": _still,
}
