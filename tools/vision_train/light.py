"""Light as numbers: linear colour, glow, sparks as particles in air. What the renders are painted with.

All pictures here are float arrays (height, width, 3) of linear light, 1.0 where a camera saturates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Picture = NDArray[np.float32]
Rng = np.random.Generator


def to_linear(image: Image.Image) -> Picture:
    """From an sRGB picture, by the plain 2.2 power: exact enough for a render."""
    return (np.asarray(image.convert("RGB"), np.float32) / 255.0) ** 2.2


def to_image(linear: Picture) -> Image.Image:
    """What a camera stores: clipped and encoded."""
    return Image.fromarray((np.clip(linear, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8))


def blurred(linear: Picture, radius: float) -> Picture:
    """A Gaussian blur of any light, also above saturation."""
    bands = [_blur_band(linear[..., i], radius) for i in range(3)]
    return np.stack(bands, -1)


def _blur_band(band: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    step = max(1, int(radius / 3))
    height, width = band.shape
    small = Image.fromarray(band.astype(np.float32)).resize(
        (max(2, width // step), max(2, height // step)), Image.Resampling.BOX
    )
    values = np.asarray(small, np.float32)
    sigma = radius / step
    reach = int(3 * sigma) + 1
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (reach, reach)
        padded = np.pad(values, pad)
        size = values.shape[axis]
        values = sum(tap * np.take(padded, np.arange(i, i + size), axis) for i, tap in enumerate(taps))
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


def distance(shape: tuple[int, ...], at: tuple[float, float]) -> NDArray[np.float32]:
    """Pixels from a point (x, y)."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    return np.hypot(x - at[0], y - at[1])


def cloud(shape: tuple[int, int], rng: Rng, cell: float = 60.0) -> NDArray[np.float32]:
    """Fractal noise in 0…1: smoke, fumes, uneven light."""
    total = np.zeros(shape, np.float32)
    weight = 0.0
    for octave in range(4):
        size = max(2.0, cell / 2**octave)
        grid = rng.random((max(2, int(shape[0] / size) + 2), max(2, int(shape[1] / size) + 2))).astype(np.float32)
        layer = np.asarray(Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
        total += layer * 0.5**octave
        weight += 0.5**octave
    return total / weight


def glow(
    shape: tuple[int, ...],
    at: tuple[float, float],
    radius: float,
    colour: NDArray[np.float32],
    power: float,
    veil: float,
) -> Picture:
    """A saturated core with the wide skirt that lens and haze give it; `veil` says how wide."""
    d = distance(shape, at)
    core = np.exp(-((d / radius) ** 4))
    skirt = sum(
        w / (1 + (d / (radius * k)) ** 2) ** 1.5 for k, w in ((1.5, 0.6), (4 * veil, 0.12), (12 * veil, 0.03))
    )
    white = np.ones(3, np.float32)
    return (power * (core[..., None] * white + skirt[..., None] * (0.35 * white + 0.65 * colour))).astype(np.float32)


def lit(
    scene: Picture, at: tuple[float, float], reach: float, colour: NDArray[np.float32], power: float, rng: Rng
) -> Picture:
    """The scene's own surfaces lit by a source: falls with the square of distance, uneven as surfaces turn."""
    d = distance(scene.shape, at)
    fall = power / (1 + (d / reach) ** 2)
    uneven = 0.5 + cloud(scene.shape[:2], rng, 80.0)
    return scene * (fall * uneven)[..., None] * colour


def sparks(
    shape: tuple[int, ...],
    at: tuple[float, float],
    rng: Rng,
    *,
    count: int,
    angle: float,
    spread: float,
    speed: float,
    gravity: float,
    warmth: float,
    thick: float,
    shutter: float = 1.0,
) -> Picture:
    """Burning iron in flight: straight near the source, bending down, cooling from white over yellow to red; some
    burst into a little star. `speed` and `gravity` are in pixels a shutter time; `angle` in radians, 0 rightwards."""
    scale = 2
    height, width = shape[:2]
    image = Image.new("RGB", (width * scale, height * scale))
    draw = ImageDraw.Draw(image)
    floor = at[1] + rng.uniform(0.1, 1.0) * height
    for _ in range(count):
        a = angle + spread * rng.normal()
        v = speed * rng.lognormal(0, 0.5)
        age = rng.random() ** 1.5 * 3.0
        length = shutter * rng.uniform(0.25, 1.0)
        vx, vy, drag = v * np.cos(a), v * np.sin(a), rng.uniform(0.2, 0.8)
        points = []
        for t in np.linspace(age, age + length, 5):
            s = (1 - np.exp(-drag * t)) / drag
            x, y = at[0] + vx * s, at[1] + vy * s + 0.5 * gravity * t * t
            if y > floor:
                y = floor - (y - floor) * 0.3
            points.append((x * scale, y * scale))
        heat = np.clip(1.15 - 0.3 * age - 0.3 * rng.random(), 0.12, 1.0)
        colour = _heat_colour(heat, warmth)
        draw.line(points, fill=colour, width=max(1, int(scale * thick * (0.4 + heat) + rng.random())))
        if rng.random() < 0.06:
            ex, ey = points[-1]
            for _ in range(rng.integers(3, 7)):
                b, r = rng.uniform(0, 6.28), rng.uniform(2, 8) * scale
                draw.line([(ex, ey), (ex + r * np.cos(b), ey + r * np.sin(b))], fill=colour, width=1)
    drawn = to_linear(image.resize((width, height), Image.Resampling.BOX))
    return drawn * 2.5 + blurred(drawn, 3.0) * 1.2 + blurred(drawn, 9.0) * 0.8


def _heat_colour(heat: float, warmth: float) -> tuple[int, int, int]:
    """From dull red over orange and yellow to white; `warmth` 1 is orange steel, 0 white titanium or aluminium."""
    red = 0.35 + 0.65 * min(1.0, heat * 1.6)
    green = np.clip(heat * 1.25 - 0.12 * warmth, 0, 1)
    blue = np.clip(heat * (1.35 - 0.85 * warmth) - 0.25 * warmth, 0, 1)
    return int(255 * red), int(255 * green), int(255 * blue)


def emission(source: Image.Image, rng: Rng, warm_only: bool) -> Picture:
    """The light of a photographed fire or arc without its surroundings: what is brighter than the picture's own dark,
    and for flame only what is warm."""
    picture = to_linear(source)
    bright = picture.max(-1)
    floor = np.quantile(bright, rng.uniform(0.6, 0.85))
    keep = np.clip((bright - max(float(floor) * (0.5 if warm_only else 1.0), 0.12)) / 0.25, 0, 1)
    if warm_only:
        r, g, b = picture[..., 0], picture[..., 1], picture[..., 2]
        keep = keep * np.clip((r - b - 0.1) / 0.2, 0, 1) * np.clip((r - 0.95 * g) / 0.08, 0, 1)
        keep = np.maximum(keep, _blur_band(keep.astype(np.float32), 4.0).clip(0, 1) * (bright > 0.8))
    return picture * keep[..., None]


def emission_share(source: Image.Image, warm_only: bool) -> float:
    """How much of a picture is such light, 0…1."""
    small = source.resize((96, 96))
    return float((emission(small, np.random.default_rng(0), warm_only).max(-1) > 0.2).mean())
