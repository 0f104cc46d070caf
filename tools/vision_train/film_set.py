"""A set of rendered films with their manifest, for `tocsin vision eval --clips`: the same films for the same seed.

    FILM                 what is on from onset_s on                            what must not be told
    welding, grinding    an arc, a cone of sparks, other in every frame        flame, smoke left open (fumes)
    fire                 the light of a photographed flame, swaying at 1–9 Hz
    lamp, signal         a lamp that is switched on; a lamp that blinks at 1 Hz     hot work, flame, smoke
    sunset, rain         a low sun that sinks; streaks of rain by lamp light        hot work, flame, smoke
    walker, empty        somebody in a vest walks by; nothing                       hot work, flame, smoke

`python -m tools.vision_train.film_set OUT --backgrounds DIR --flame PICTURE --count N`
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tools.vision_train import films, renders
from tools.vision_train.light import Picture, Rng, blurred, emission, glow, lit, to_image, to_linear

SIZE = (320, 180)
FPS = 5
ONSET_S, LENGTH_S = 5, 20
POSITIVE = {"welding": (1, -1, -1), "grinding": (1, -1, -1), "fire": (-1, 1, -1)}
NEGATIVE = ("lamp", "signal", "sunset", "rain", "walker", "empty")


def film(
    name: str, background: Image.Image, flame: Image.Image, seed: int, length_s: float, onset_s: float
) -> Iterator[Image.Image]:
    """Frames of one film, FPS a second."""
    rng = np.random.default_rng(seed)
    place = to_linear(background.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC))
    scene = place * rng.uniform(0.25, 0.7)
    at = (float(rng.uniform(0.25, 0.75) * SIZE[0]), float(rng.uniform(0.45, 0.75) * SIZE[1]))
    if name in ("welding", "grinding"):
        scene = renders.worker(scene, at, renders.WHITE, 60.0, rng)
    source = _light(flame, rng) if name == "fire" else None
    for number in range(round(length_s * FPS)):
        now = np.random.default_rng([seed, number])
        second = number / FPS - onset_s
        out = scene
        if second >= 0:
            if name == "fire" and source is not None:
                out = _fire(scene, source, at, second, now)
            elif name in ("welding", "grinding"):
                out = films._FRAMES[name](scene, at, now, number)
            else:
                out = _negative(name, scene, at, second, now, seed)
        yield films.noisy(out, now)


def _light(flame: Image.Image, rng: Rng) -> Picture:
    """A flame's own light at a third to two thirds of the picture's height."""
    light = emission(flame.convert("RGB"), rng, True)
    high = int(SIZE[1] * rng.uniform(0.3, 0.6))
    wide = max(8, int(high * light.shape[1] / light.shape[0]))
    bands = [np.asarray(Image.fromarray(np.ascontiguousarray(light[..., i])).resize((wide, high))) for i in range(3)]
    return np.stack(bands, -1)


def _fire(scene: Picture, source: Picture, at: tuple[float, float], second: float, now: Rng) -> Picture:
    """It grows for two seconds and sways: its height at 1 to 9 Hz, its sides against each other."""
    grown = min(1.0, 0.4 + 0.3 * second)
    sway = sum(math.sin(2 * math.pi * hz * second + hz) for hz in (1.3, 3.1, 8.7)) / 3
    high = max(6, int(source.shape[0] * grown * (1 + 0.22 * sway)))
    wide = max(6, int(source.shape[1] * grown * (1 - 0.1 * sway)))
    power = 1.2 + 0.35 * sway + now.normal() * 0.08
    layer = np.zeros_like(scene)
    bands = [np.asarray(Image.fromarray(np.ascontiguousarray(source[..., i])).resize((wide, high))) for i in range(3)]
    part = np.stack(bands, -1)
    left, top = int(at[0] - wide / 2), int(at[1] - high)
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(scene.shape[0], top + high), min(scene.shape[1], left + wide)
    if y1 > y0 and x1 > x0:
        layer[y0:y1, x0:x1] = part[y0 - top : y1 - top, x0 - left : x1 - left] * power
    lit_scene = scene + lit(scene, at, 40.0, renders.ORANGE, 2.5 * power * grown, np.random.default_rng(3))
    return np.maximum(lit_scene + blurred(layer, 6.0) * 0.5, layer)


def _negative(name: str, scene: Picture, at: tuple[float, float], second: float, now: Rng, seed: int) -> Picture:
    still = np.random.default_rng([seed, 1])
    if name == "lamp" or (name == "signal" and second % 1.0 < 0.5):
        colour = renders.pick(still, renders.WARM, renders.WHITE, renders.ORANGE, renders.BLUE)
        out = scene + lit(scene, at, 50.0, colour, 5.0, still)
        return out + glow(scene.shape, at, float(still.uniform(3, 9)), colour, 2.0, 0.7)
    if name == "sunset":
        sunny = to_linear(renders.sun(to_image(scene * 1.5), still).resize(SIZE))
        return sunny * (1 - 0.01 * second)
    if name == "rain":
        layer = Image.new("L", SIZE)
        draw = ImageDraw.Draw(layer)
        for _ in range(120):
            x, y, n = now.uniform(-10, SIZE[0]), now.uniform(-10, SIZE[1]), now.uniform(4, 16)
            draw.line([(x, y), (x + 0.2 * n, y + n)], fill=int(now.uniform(60, 200)))
        streaks = (np.asarray(layer, np.float32)[..., None] / 255) ** 2.2
        lamp = glow(scene.shape, (at[0], 20.0), 5.0, renders.WARM, 1.5, 0.8)
        return scene * 0.7 + lamp + streaks * 0.5
    if name == "walker":
        out = scene.copy()
        left = int((0.05 + 0.06 * second) % 0.9 * SIZE[0])
        top = int(0.45 * SIZE[1])
        out[top : top + 50, left : left + 14] = (renders.ORANGE * 0.5, np.array([0.5, 0.7, 0.05]))[seed % 2]
        out[top - 9 : top, left + 3 : left + 11] = 0.25
        return out
    return scene


def write_set(
    out: Path,
    backgrounds: list[Path],
    flame: Path,
    count: int,
    seed: int = 5,
    *,
    length_s: float = LENGTH_S,
    onset_s: float = ONSET_S,
    kinds: tuple[str, ...] = (*POSITIVE, *NEGATIVE),
) -> Path:
    """Films as folders of pictures, `count` of each kind. Returns the manifest."""
    rows: list[tuple[object, ...]] = []
    with Image.open(flame) as image:
        fire = image.convert("RGB")
    for kind, name in enumerate(kinds):
        for number in range(count):
            one = seed + 1000 * kind + number
            with Image.open(backgrounds[one % len(backgrounds)]) as image:
                place = image.convert("RGB")
            folder = out / f"{name}-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            for index, frame in enumerate(film(name, place, fire, one, length_s, onset_s)):
                frame.save(folder / f"{index:04}.jpg", quality=88)
            labels = POSITIVE.get(name, (0, 0, 0))
            rows.append((f"{folder.name}", *labels, f"film_{name}", onset_s if 1 in labels else "", FPS, 1))
    manifest = out / "clips.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "hot_work", "flame", "smoke", "kind", "onset_s", "fps", "synthetic"))
        table.writerows(rows)
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backgrounds", type=Path, required=True, help="folder of licensed pictures of places")
    parser.add_argument("--flame", type=Path, required=True, help="a licensed picture of a flame")
    parser.add_argument("--count", type=int, default=10, help="films of each kind")
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    places = sorted(p for p in given.backgrounds.iterdir() if p.suffix in (".jpg", ".png"))
    print(write_set(given.out, places, given.flame, given.count, given.seed))


if __name__ == "__main__":
    main()
