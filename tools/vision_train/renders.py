"""Renders of hot work, of flame, and of what is mistaken for them, upon licensed real pictures.

A model that tells renders from photographs has learnt nothing: every scene is made in both kinds. The same
backgrounds, darkened the same way, carry arcs and sparks (positive) or lamps, suns, wet streets, screens, vests,
rain (negative).
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.vision_train.light import (
    Picture,
    Rng,
    blurred,
    cloud,
    distance,
    emission,
    glow,
    lit,
    sparks,
    to_image,
    to_linear,
)

BLUE = np.array([0.62, 0.82, 1.15], np.float32)
CYAN = np.array([0.6, 1.0, 1.05], np.float32)
VIOLET = np.array([0.8, 0.7, 1.15], np.float32)
WHITE = np.array([1.0, 0.98, 0.95], np.float32)
WARM = np.array([1.15, 0.8, 0.45], np.float32)
ORANGE = np.array([1.2, 0.6, 0.18], np.float32)
GREEN = np.array([0.6, 1.1, 0.8], np.float32)


def pick(rng: Rng, *options: np.ndarray) -> np.ndarray:
    colour = options[rng.integers(len(options))]
    return (colour * rng.uniform(0.88, 1.12, 3)).astype(np.float32)


def stage(background: Image.Image, rng: Rng, dark: tuple[float, float] = (0.08, 0.9)) -> Picture:
    """A crop of the background, as dark as an iris closed by an arc leaves it; sometimes softened as out of focus."""
    width, height = background.size
    share = rng.uniform(0.5, 1.0)
    w, h = max(48, int(width * share)), max(48, int(height * share * rng.uniform(0.8, 1.0)))
    x, y = int(rng.integers(0, max(1, width - w + 1))), int(rng.integers(0, max(1, height - h + 1)))
    image = background.crop((x, y, min(width, x + w), min(height, y + h)))
    ratio = 320 / max(image.size)
    image = image.resize(
        (max(96, int(image.width * ratio)), max(96, int(image.height * ratio))), Image.Resampling.BICUBIC
    )
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 4)))
    exposure = math.exp(rng.uniform(math.log(dark[0]), math.log(dark[1])))
    tint = rng.uniform(0.85, 1.15, 3).astype(np.float32)
    return to_linear(image) * exposure * tint


def place(scene: Picture, rng: Rng, low: float = 0.15) -> tuple[float, float]:
    height, width = scene.shape[:2]
    return float(rng.uniform(0.08, 0.92) * width), float(rng.uniform(low, 0.92) * height)


def worker(scene: Picture, at: tuple[float, float], colour: np.ndarray, reach: float, rng: Rng) -> Picture:
    """A person bent over the work: hood or helmet, shoulders, an arm towards the source, lit from its side."""
    height, width = scene.shape[:2]
    size = rng.uniform(0.25, 0.9) * height
    side = 1 if rng.random() < 0.5 else -1
    hx, hy = at[0] + side * size * rng.uniform(0.25, 0.5), at[1] - size * rng.uniform(0.25, 0.6)
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    r = size * 0.16
    draw.ellipse([hx - r, hy - 1.15 * r, hx + r, hy + 1.25 * r], fill=255)
    draw.polygon(
        [
            (hx - 2.1 * r, hy + 2.2 * r),
            (hx - r, hy + 1.1 * r),
            (hx + r, hy + 1.1 * r),
            (hx + 2.1 * r, hy + 2.2 * r),
            (hx + 2.4 * r, hy + 7 * r),
            (hx - 2.2 * r, hy + 7 * r),
        ],
        fill=255,
    )
    draw.line(
        [
            (hx, hy + 2.6 * r),
            ((hx + at[0]) / 2 + side * r, max(at[1], hy + 3 * r)),
            (at[0] + side * 0.5 * r, at[1] - 2),
        ],
        fill=255,
        width=max(3, int(r * 0.9)),
        joint="curve",
    )
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2))), np.float32)[..., None] / 255
    cloth = np.array(
        [
            [0.05, 0.07, 0.16],
            [0.07, 0.06, 0.05],
            [0.16, 0.1, 0.05],
            [0.04, 0.05, 0.05],
            [0.4, 0.16, 0.03],
            [0.2, 0.22, 0.24],
        ],
        np.float32,
    )[rng.integers(6)]
    d = distance(scene.shape, at)
    folds = 0.4 + cloud((height, width), rng, 18.0)
    light = (0.15 + rng.uniform(1, 5) / (1 + (d / max(reach * 0.5, 8)) ** 2))[..., None] * colour
    return scene * (1 - soft) + soft * cloth * folds[..., None] * light


def fumes(scene: Picture, at: tuple[float, float], colour: np.ndarray, rng: Rng, power: float) -> Picture:
    """The plume over the work, lit from below."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    up = np.clip((at[1] - y) / height, 0, 1)
    body = np.exp(-(((x - at[0] - (at[1] - y) * rng.normal() * 0.3) / (8 + 0.35 * (at[1] - y).clip(0))) ** 2)) * (
        up > 0
    )
    density = body * np.clip(cloud((height, width), rng, 50.0) * 1.6 - 0.4, 0, 1) * np.exp(-2.0 * up)
    return scene + (power * density)[..., None] * (0.4 + 0.6 * colour)


def arc(background: Image.Image, rng: Rng) -> Image.Image:
    """Electric welding: a blue-white core, its light on everything near, often spatter and a person."""
    scene = stage(background, rng, (0.04, 0.8))
    at = place(scene, rng, 0.25)
    colour = pick(rng, BLUE, BLUE, CYAN, VIOLET, WHITE, WHITE, GREEN)
    radius = math.exp(rng.uniform(math.log(1.3), math.log(14)))
    reach = radius * rng.uniform(4, 14)
    if rng.random() < 0.55:
        scene = worker(scene, at, colour, reach, rng)
    out = scene + lit(scene + 0.02, at, reach, colour, rng.uniform(2, 25), rng)
    if rng.random() < 0.6:
        out = fumes(out, at, colour, rng, rng.uniform(0.05, 0.6))
    out = out + glow(scene.shape, at, radius, colour, rng.uniform(1.2, 4), rng.uniform(0.4, 1.3))
    if rng.random() < 0.75:
        up = rng.random() < 0.5
        out = out + sparks(
            scene.shape,
            at,
            rng,
            count=int(rng.integers(8, 140)),
            warmth=rng.uniform(0.3, 1.0),
            angle=rng.uniform(-math.pi, 0) if up else rng.uniform(0, 6.3),
            spread=rng.uniform(0.3, 1.6),
            speed=radius * rng.uniform(2, 14),
            gravity=rng.uniform(2, 25),
            thick=rng.uniform(0.3, 1.2),
        )
    return to_image(out)


def grinding(background: Image.Image, rng: Rng) -> Image.Image:
    """A cone of sparks from a wheel or saw: hundreds of nearly straight streaks, no core to speak of."""
    scene = stage(background, rng, (0.06, 1.0))
    at = place(scene, rng, 0.1)
    warm = pick(rng, WARM, ORANGE)
    angle = rng.choice([rng.uniform(-0.4, 1.2), math.pi - rng.uniform(-0.4, 1.2), rng.uniform(0, 6.3)])
    speed = math.exp(rng.uniform(math.log(20), math.log(160)))
    if rng.random() < 0.55:
        scene = worker(scene, at, warm, speed * 0.5, rng)
    out = scene + lit(scene + 0.01, at, speed * 0.5, warm, rng.uniform(0.3, 5), rng)
    cone = rng.uniform(0.04, 0.4)
    for scale, share in ((1.0, 0.7), (0.5, 0.3)):
        out = out + sparks(
            scene.shape,
            at,
            rng,
            count=int(share * rng.integers(50, 420)),
            angle=float(angle),
            spread=cone * (1.2 - 0.2 * scale),
            speed=speed * scale,
            gravity=rng.uniform(0, 20),
            warmth=rng.uniform(0.5, 1.0),
            thick=rng.uniform(0.25, 0.9),
            shutter=rng.uniform(0.4, 1.8),
        )
    if rng.random() < 0.6:
        out = out + glow(scene.shape, at, rng.uniform(1.5, 6), warm, rng.uniform(0.5, 2), rng.uniform(0.2, 0.8))
    if rng.random() < 0.3:
        out = fumes(out, at, warm, rng, rng.uniform(0.03, 0.25))
    return to_image(out)


def cutting(background: Image.Image, rng: Rng) -> Image.Image:
    """Gas or plasma cutting: a glowing seam, a bright spot, molten drops that fall and scatter on the floor."""
    scene = stage(background, rng, (0.05, 0.8))
    at = place(scene, rng, 0.15)
    colour = pick(rng, WARM, ORANGE, BLUE, WHITE)
    radius = math.exp(rng.uniform(math.log(1.5), math.log(9)))
    if rng.random() < 0.5:
        scene = worker(scene, at, colour, radius * 9, rng)
    out = scene + lit(scene + 0.015, at, radius * rng.uniform(5, 12), colour, rng.uniform(1, 12), rng)
    seam = Image.new("RGB", (scene.shape[1], scene.shape[0]))
    tilt, length = rng.uniform(-0.5, 0.5), radius * rng.uniform(2, 14) * rng.choice([-1, 1])
    ImageDraw.Draw(seam).line(
        [at, (at[0] + length * math.cos(tilt), at[1] + length * math.sin(tilt))],
        fill=(255, int(rng.uniform(70, 170)), int(rng.uniform(10, 60))),
        width=max(2, int(radius * 0.7)),
    )
    hot = to_linear(seam)
    out = out + hot * 1.5 + blurred(hot, 4.0)
    out = out + glow(scene.shape, at, radius, colour, rng.uniform(1, 3), rng.uniform(0.3, 0.9))
    out = out + sparks(
        scene.shape,
        at,
        rng,
        count=int(rng.integers(40, 300)),
        angle=math.pi / 2 + rng.normal() * 0.25,
        spread=rng.uniform(0.15, 0.7),
        speed=radius * rng.uniform(3, 15),
        gravity=rng.uniform(5, 40),
        warmth=rng.uniform(0.6, 1.0),
        thick=rng.uniform(0.4, 1.4),
        shutter=rng.uniform(0.3, 1.2),
    )
    if rng.random() < 0.5:
        out = fumes(out, at, colour, rng, rng.uniform(0.05, 0.4))
    return to_image(out)


def transplant(source: Image.Image, background: Image.Image, rng: Rng, warm_only: bool) -> Image.Image:
    """The light of a real fire or arc set into another real scene, which it lights."""
    scene = stage(background, rng, (0.06, 0.9))
    height, width = scene.shape[:2]
    light = emission(source, rng, warm_only)
    light = light[:, ::-1] if rng.random() < 0.5 else light
    share = rng.uniform(0.25, 1.3)
    ratio = share * max(height, width) / max(light.shape[:2])
    w, h = max(12, int(light.shape[1] * ratio * rng.uniform(0.8, 1.25))), max(12, int(light.shape[0] * ratio))
    bands = [
        np.asarray(Image.fromarray(np.ascontiguousarray(light[..., i])).resize((w, h), Image.Resampling.BILINEAR))
        for i in range(3)
    ]
    light = np.stack(bands, -1)
    border = np.minimum.outer(
        np.minimum(np.arange(h), np.arange(h)[::-1]), np.minimum(np.arange(w), np.arange(w)[::-1])
    )
    light = light * np.clip(border / max(3, 0.06 * min(h, w)), 0, 1)[..., None].astype(np.float32)
    canvas = np.zeros((height + 2 * h, width + 2 * w, 3), np.float32)
    x, y = int(rng.uniform(0.1, 0.9) * width + w / 2), int(rng.uniform(0.2, 0.95) * height + h / 2)
    canvas[y : y + h, x : x + w] = light
    light = canvas[h : h + height, w : w + width] * rng.uniform(0.8, 1.6)
    wide = blurred(light, 0.06 * width)
    return to_image(
        np.maximum(scene + scene * wide * rng.uniform(2, 8) + 0.1 * wide, 0)
        * (1 - light.max(-1, keepdims=True).clip(0, 1) * 0.8)
        + light
    )


def lamps(background: Image.Image, rng: Rng) -> Image.Image:
    """Lamps of all sorts, tubes, headlights, with glare, ghosts and their light on the scene: never hot work."""
    scene = stage(background, rng, (0.02, 0.7))
    height, width = scene.shape[:2]
    out = scene.copy()
    colour = pick(rng, WARM, WHITE, BLUE, ORANGE, GREEN, WHITE)
    radius = math.exp(rng.uniform(math.log(1.2), math.log(12)))
    at = place(scene, rng, 0.05)
    step = (rng.normal() * 40, rng.normal() * 12)
    spikes = int(rng.choice([0, 0, 4, 6, 8]))
    tilt = rng.uniform(0, 3)
    for index in range(int(rng.integers(1, 9))):
        where = (at[0] + step[0] * index, at[1] + step[1] * index)
        r = radius * 0.85**index
        if rng.random() < 0.2:
            colour = pick(rng, WARM, WHITE, BLUE, ORANGE, GREEN)
        if rng.random() < 0.6:
            out = out + lit(scene, where, r * rng.uniform(4, 14), colour, rng.uniform(0.5, 14), rng)
        out = out + glow(scene.shape, where, r, colour, rng.uniform(0.6, 3), rng.uniform(0.2, 1.2))
        if spikes:
            star = Image.new("RGB", (width, height))
            for k in range(spikes):
                a = tilt + k * 2 * math.pi / spikes
                ImageDraw.Draw(star).line(
                    [where, (where[0] + r * 7 * math.cos(a), where[1] + r * 7 * math.sin(a))], fill=(150, 150, 150)
                )
            out = out + blurred(to_linear(star), 1.2) * colour * 2
    if rng.random() < 0.35:
        out = mirrored(out, rng)
    if rng.random() < 0.3:
        out = out * 0.4 + blurred(out, rng.uniform(2, 8)) * 0.6
    return to_image(out)


def mirrored(scene: Picture, rng: Rng) -> Picture:
    """A wet floor: the upper half hangs upside down in the lower, smeared."""
    height = scene.shape[0]
    line = int(height * rng.uniform(0.5, 0.8))
    below = height - line
    image = scene[max(0, line - below) : line][::-1]
    out = scene.copy()
    out[line : line + len(image)] = out[line : line + len(image)] * 0.5 + blurred(
        image, rng.uniform(2, 6)
    ) * rng.uniform(0.3, 0.7)
    return out


def sun(background: Image.Image, rng: Rng) -> Image.Image:
    """Sunrise, sunset, a low sun through a window: gradients of orange, a disc, flare, silhouettes."""
    scene = stage(background, rng, (0.05, 0.9))
    height, width = scene.shape[:2]
    horizon = rng.uniform(0.3, 1.0) * height
    y = np.mgrid[0:height, 0:width][0].astype(np.float32)
    rise = np.clip(1 - np.abs(horizon - y) / (height * rng.uniform(0.3, 0.9)), 0, 1)[..., None]
    low = pick(rng, ORANGE, WARM, np.array([1.2, 0.45, 0.35], np.float32), np.array([1.1, 0.7, 0.6], np.float32))
    high = pick(
        rng,
        np.array([0.2, 0.3, 0.6], np.float32),
        np.array([0.5, 0.3, 0.5], np.float32),
        np.array([0.3, 0.5, 0.8], np.float32),
    )
    sky = (low * rise ** rng.uniform(0.7, 2) + high * (1 - rise) * 0.5) * rng.uniform(0.3, 1.1)
    streaky = np.clip(cloud((height, width), rng, rng.uniform(20, 120)) * 1.8 - 0.5, 0, 1)[..., None]
    sky = sky * (0.5 + 0.7 * streaky)
    over = np.clip((horizon - y) / 6 + 0.5, 0, 1)[..., None]
    keep = (
        np.clip(scene.mean(-1, keepdims=True) / max(float(np.quantile(scene, 0.9)), 1e-3), 0, 1)
        if rng.random() < 0.5
        else 1.0
    )
    out = scene * (1 - over * 0.9 * keep) + sky * over * keep + scene * low * 0.6 * (1 - over)
    if rng.random() < 0.7:
        at = (float(rng.uniform(0, width)), float(horizon - rng.uniform(-0.05, 0.4) * height))
        out = out + glow(
            scene.shape, at, math.exp(rng.uniform(0.7, 3.2)), low, rng.uniform(0.6, 3), rng.uniform(0.4, 1.6)
        )
        for _ in range(int(rng.integers(0, 4))):
            k = rng.uniform(0.3, 1.8)
            ghost = (at[0] + (width / 2 - at[0]) * k, at[1] + (height / 2 - at[1]) * k)
            out = (
                out
                + np.exp(-((distance(scene.shape, ghost) / rng.uniform(4, 18)) ** 6))[..., None]
                * pick(rng, GREEN, ORANGE, VIOLET)
                * 0.12
            )
    return to_image(mirrored(out, rng) if rng.random() < 0.4 else out)


def rain(background: Image.Image, rng: Rng) -> Image.Image:
    """Rain or snow: parallel grey streaks or flakes, drops on the glass, lamps out of focus."""
    scene = stage(background, rng, (0.1, 0.9))
    height, width = scene.shape[:2]
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    slant, length = rng.normal() * 0.25, rng.uniform(2, 40)
    for _ in range(int(rng.integers(60, 700))):
        x, y = rng.uniform(-20, width + 20), rng.uniform(-20, height)
        n = length * rng.uniform(0.4, 1.4)
        draw.line(
            [(x, y), (x + n * slant, y + n)], fill=int(rng.uniform(60, 230)), width=1 if rng.random() < 0.85 else 2
        )
    streaks = (
        np.asarray(layer.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2))), np.float32)[..., None] / 255
    ) ** 2.2
    out = scene * (1 - 0.3 * streaks) + streaks * rng.uniform(0.15, 0.8)
    grey = out.mean(-1, keepdims=True)
    out = out * 0.6 + grey * 0.4
    for _ in range(int(rng.integers(0, 10))):
        colour = pick(rng, WARM, WHITE, ORANGE, np.array([1.2, 0.2, 0.15], np.float32), BLUE)
        d = distance(scene.shape, place(scene, rng, 0.0))
        out = out + np.exp(-((d / rng.uniform(3, 16)) ** 8))[..., None] * colour * rng.uniform(0.1, 0.9)
    haze = rng.uniform(0, 0.25)
    return to_image(
        mirrored(out, rng) * (1 - haze) + haze * 0.5 if rng.random() < 0.5 else out * (1 - haze) + haze * 0.4
    )


def coloured_things(background: Image.Image, rng: Rng) -> Image.Image:
    """Vests, cones, signs, screens, polished metal: patches of strong colour or white with sharp edges."""
    scene = stage(background, rng, (0.1, 1.0))
    height, width = scene.shape[:2]
    image = to_image(scene)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 6))):
        x, y = place(scene, rng, 0.05)
        w, h = rng.uniform(0.03, 0.4, 2) * min(width, height)
        kind = rng.integers(5)
        palette = [(255, 120, 10), (215, 255, 40), (255, 70, 20), (250, 250, 255), (90, 150, 255)]
        colour = tuple(int(np.clip(c * rng.uniform(0.6, 1.1), 0, 255)) for c in palette[kind])
        corners = [
            (x, y),
            (x + w, y + rng.normal() * 0.15 * h),
            (x + w * rng.uniform(0.7, 1.2), y + h),
            (x + rng.normal() * 0.2 * w, y + h),
        ]
        draw.polygon(corners, fill=colour)
        if kind < 2:
            for k in (0.35, 0.65):
                draw.line([(x, y + h * k), (x + w, y + h * k)], fill=(235, 240, 240), width=max(1, int(h * 0.08)))
        if kind >= 3:
            for _ in range(int(rng.integers(0, 12))):
                a, b = rng.uniform(0, w), rng.uniform(0, h)
                draw.rectangle(
                    [x + a, y + b, x + a + rng.uniform(2, w), y + b + 2],
                    fill=tuple(int(v) for v in rng.integers(0, 255, 3)),
                )
    for _ in range(int(rng.integers(0, 8))):
        x, y = place(scene, rng, 0.0)
        n, a = rng.uniform(10, 160), rng.uniform(0, 6.3)
        draw.line(
            [(x, y), (x + n * math.cos(a), y + n * math.sin(a))],
            fill=tuple(int(v) for v in rng.integers(170, 255, 3)),
            width=int(rng.integers(1, 4)),
        )
    picture = to_linear(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6))))
    shine = np.clip(picture - 0.7, 0, 1)
    return to_image(picture + blurred(shine, 5.0) * rng.uniform(0, 3))


def smoke_plume(background: Image.Image, rng: Rng) -> Image.Image:
    """Grey or dark smoke over part of a scene."""
    scene = stage(background, rng, (0.3, 1.0))
    height, width = scene.shape[:2]
    at = place(scene, rng, 0.4)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    up = np.clip((at[1] - y) / height, 0, 1)
    lean = rng.normal() * 0.5
    body = np.exp(-(((x - at[0] - (at[1] - y) * lean) / (12 + rng.uniform(0.4, 1.3) * (at[1] - y).clip(0))) ** 2)) * (
        up > 0
    )
    density = np.clip(
        body * np.clip(cloud((height, width), rng, rng.uniform(25, 70)) * 2.4 - 0.5, 0, 1.3) * rng.uniform(0.7, 1.1),
        0,
        0.97,
    )[..., None]
    shade = (rng.uniform(0.02, 0.7) * (0.6 + 0.7 * cloud((height, width), rng, 30.0)))[..., None] * rng.uniform(
        0.93, 1.05, 3
    )
    return to_image((scene * (1 - density) + density * shade).astype(np.float32))


HOT_WORK = (arc, arc, grinding, grinding, cutting)
NEGATIVE = (lamps, lamps, sun, rain, coloured_things)
