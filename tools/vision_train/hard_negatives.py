"""Pictures that are mistaken for hot work, flame or smoke, made of real ones: a third helping of negatives.

```
 real scene ──┬─ graded       luminance to a dawn's or dusk's palette, a low sun behind what stands there
              ├─ shiny        metal, glass and wet floors that saturate and bloom, windows against the light
              ├─ idle_worker  a person bent over work that does not burn, by lamp light
              ├─ misty        fog, steam on the lens, dust: grey all over, and nothing rises
              ├─ screens      monitors, boards and signs that shine in a dark room
              ├─ street_night rows of lamps, headlights and shop fronts, dry or wet
              └─ collage      four of them side by side: every cell of the grid is judged by itself
```
The renders of hot work stand on the same scenes, darkened the same way: what is left to tell them by is the work's
own light.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.vision_train.light import Picture, Rng, blurred, cloud, distance, glow, lit, to_image, to_linear
from tools.vision_train.renders import BLUE, GREEN, ORANGE, WARM, WHITE, mirrored, pick, place, stage, worker

# Dark, middle, high and highest tone of dawns and dusks, as linear RGB.
PALETTES = (
    ((0.01, 0.01, 0.02), (0.25, 0.07, 0.06), (0.95, 0.38, 0.08), (1.3, 1.0, 0.45)),
    ((0.01, 0.01, 0.03), (0.16, 0.08, 0.2), (0.85, 0.35, 0.3), (1.2, 0.85, 0.6)),
    ((0.02, 0.02, 0.03), (0.2, 0.16, 0.2), (0.8, 0.55, 0.35), (1.2, 1.05, 0.8)),
    ((0.0, 0.01, 0.03), (0.04, 0.08, 0.2), (0.35, 0.3, 0.4), (1.1, 0.6, 0.25)),
    ((0.01, 0.0, 0.0), (0.3, 0.06, 0.01), (1.1, 0.45, 0.05), (1.4, 1.1, 0.3)),
)


def graded(background: Image.Image, rng: Rng) -> Image.Image:
    """A real scene in the light of a dawn or dusk: its own shapes, another palette, a sky brightest near a point."""
    scene = stage(background, rng, (0.4, 1.1))
    height, width = scene.shape[:2]
    tone = np.clip(scene.mean(-1) / max(float(np.quantile(scene, 0.97)), 1e-3), 0, 1)
    at = (float(rng.uniform(0, width)), float(rng.uniform(0.05, 0.75) * height))
    near = 1 / (1 + (distance(scene.shape, at) / (width * rng.uniform(0.15, 0.7))) ** 2)
    tone = np.clip(tone ** rng.uniform(0.7, 1.6) * (0.45 + rng.uniform(0.4, 0.9) * near), 0, 1)
    stops = np.array(PALETTES[rng.integers(len(PALETTES))], np.float32) * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    painted = np.stack([np.interp(tone, (0, 0.35, 0.75, 1), stops[:, i]) for i in range(3)], -1).astype(np.float32)
    keep = rng.uniform(0.0, 0.45)
    out = painted * (1 - keep) + scene * keep * stops[2]
    if rng.random() < 0.6:
        disc = math.exp(rng.uniform(0.8, 3.0))
        out = out + glow(scene.shape, at, disc, stops[3], rng.uniform(0.5, 2.5), rng.uniform(0.5, 2.0))
    return to_image(mirrored(out, rng) if rng.random() < 0.3 else out)


def shiny(background: Image.Image, rng: Rng) -> Image.Image:
    """A real scene over-exposed: its own bright parts saturate and bloom, cold or warm, with stars on some."""
    scene = stage(background, rng, (0.5, 1.2)) * rng.uniform(1.0, 3.0)
    over = np.clip(scene - rng.uniform(0.5, 0.9), 0, None)
    tint = pick(rng, WHITE, BLUE, WARM, WHITE)
    out = scene + blurred(over, rng.uniform(1.5, 5)) * tint * rng.uniform(0.5, 3)
    out = out + blurred(over, rng.uniform(8, 30)) * tint * rng.uniform(0.3, 2)
    if rng.random() < 0.35:  # a window or a strip of glass against the light
        x, y = place(scene, rng, 0.0)
        w, h = rng.uniform(0.05, 0.4) * scene.shape[1], rng.uniform(0.1, 0.6) * scene.shape[0]
        pane = Image.new("RGB", (scene.shape[1], scene.shape[0]))
        ImageDraw.Draw(pane).rectangle([x, y, x + w, y + h], fill=(255, 255, 255))
        light = to_linear(pane.filter(ImageFilter.GaussianBlur(1.0)))
        out = out + light * rng.uniform(0.6, 2) * tint + blurred(light, 14.0) * 0.5 * tint
    return to_image(mirrored(out, rng) if rng.random() < 0.3 else out)


def idle_worker(background: Image.Image, rng: Rng) -> Image.Image:
    """People at work without an arc: the same figures as in the renders of hot work, by the light of the place or a
    lamp."""
    scene = stage(background, rng, (0.06, 1.0))
    for _ in range(int(rng.integers(1, 4))):
        at = place(scene, rng, 0.2)
        scene = worker(scene, at, pick(rng, WHITE, WARM, BLUE), rng.uniform(20, 160), rng)
    if rng.random() < 0.4:
        at = place(scene, rng, 0.0)
        colour = pick(rng, WHITE, WARM, BLUE)
        scene = scene + lit(scene, at, rng.uniform(20, 90), colour, rng.uniform(0.5, 5), rng)
        if rng.random() < 0.5:
            scene = scene + glow(scene.shape, at, rng.uniform(2, 9), colour, rng.uniform(0.5, 2), 0.4)
    return to_image(scene)


def misty(background: Image.Image, rng: Rng) -> Image.Image:
    """Fog, dust, a fogged or dirty glass: evenly grey, thicker far away, and nothing of it rises from a place."""
    scene = stage(background, rng, (0.3, 1.0))
    height, width = scene.shape[:2]
    y = np.mgrid[0:height, 0:width][0].astype(np.float32) / height
    far = np.clip(1 - np.abs(y - rng.uniform(0.1, 0.6)) * rng.uniform(0.5, 2.0), 0, 1)
    thick = np.clip(rng.uniform(0.1, 0.75) * far * (0.85 + 0.3 * cloud((height, width), rng, 200.0)), 0, 0.85)
    grey = rng.uniform(0.15, 0.9) * pick(rng, WHITE, BLUE, WHITE, WARM) * 0.9
    out = scene * (1 - thick[..., None]) + thick[..., None] * grey
    return to_image(blurred(out, rng.uniform(1, 4)) if rng.random() < 0.25 else out)


def screens(background: Image.Image, rng: Rng) -> Image.Image:
    """Monitors, projector walls and lit signs with real pictures upon them, in a dark place, with their light."""
    scene = stage(background, rng, (0.04, 0.5))
    height, width = scene.shape[:2]
    out = scene
    for _ in range(int(rng.integers(1, 4))):
        w = int(rng.uniform(0.12, 0.5) * width)
        h = max(8, int(w * rng.uniform(0.4, 0.8)))
        x, y = int(rng.uniform(0, max(1, width - w))), int(rng.uniform(0, max(1, height - h)))
        shown = to_linear(background.resize((w, h)).transpose(Image.Transpose.FLIP_TOP_BOTTOM))
        shown = shown ** rng.uniform(0.5, 1.2) * pick(rng, BLUE, WHITE, ORANGE, GREEN) * rng.uniform(0.8, 2.2)
        layer = np.zeros_like(out)
        layer[y : y + h, x : x + w] = shown[: height - y, : width - x]
        inside = np.zeros((height, width, 1), np.float32)
        inside[y : y + h, x : x + w] = 1
        out = out * (1 - inside) + layer + blurred(layer, rng.uniform(6, 25)) * rng.uniform(0.2, 0.8)
    return to_image(out)


def street_night(background: Image.Image, rng: Rng) -> Image.Image:
    """A road or yard by night: rows of lamps towards a vanishing point, headlights in pairs, a wet ground."""
    scene = stage(background, rng, (0.02, 0.3))
    height, width = scene.shape[:2]
    out: Picture = scene.copy()
    end = (rng.uniform(0.2, 0.8) * width, rng.uniform(0.3, 0.6) * height)
    for _ in range(int(rng.integers(1, 4))):
        start = (rng.uniform(-0.2, 1.2) * width, rng.uniform(-0.1, 1.0) * height)
        colour = pick(rng, WARM, ORANGE, WHITE, BLUE)
        size = math.exp(rng.uniform(math.log(1.5), math.log(10)))
        pair = rng.uniform(6, 30) if rng.random() < 0.35 else 0.0
        for step in range(int(rng.integers(2, 9))):
            near = 0.65**step
            at = (end[0] + (start[0] - end[0]) * near, end[1] + (start[1] - end[1]) * near)
            for side in (-pair * near, pair * near) if pair else (0.0,):
                spot = (at[0] + side, at[1])
                out = out + glow(scene.shape, spot, max(0.8, size * near), colour, rng.uniform(0.6, 2.5), 0.6)
            out = out + lit(scene, at, max(5, 60 * near), colour, rng.uniform(0.5, 6) * near, rng)
    if rng.random() < 0.5:
        out = mirrored(out, rng)
    return to_image(out * 0.5 + blurred(out, rng.uniform(1.5, 7)) * 0.5 if rng.random() < 0.35 else out)


SINGLE = (graded, shiny, idle_worker, misty, screens, street_night)


def collage(background: Image.Image, rng: Rng) -> Image.Image:
    """Four of the others side by side, each at a quarter's size: small things, many edges."""
    sheet = Image.new("RGB", (320, 240))
    cut = (int(rng.uniform(0.3, 0.7) * 320), int(rng.uniform(0.3, 0.7) * 240))
    for x0, x1 in ((0, cut[0]), (cut[0], 320)):
        for y0, y1 in ((0, cut[1]), (cut[1], 240)):
            part = SINGLE[rng.integers(len(SINGLE))](background, rng) if rng.random() < 0.5 else background
            sheet.paste(part.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR), (x0, y0))
    return sheet


def near_light(image: Image.Image, rng: Rng) -> Image.Image:
    """The part of a picture around its strongest light, as the first stage of a camera cuts it out: a third to a half
    of the sides. A lamp that is small in the frame fills this one."""
    grey = np.asarray(image.convert("L").resize((48, 36)), np.float32)
    row, column = np.unravel_index(int(np.argmax(blurred(grey[..., None].repeat(3, -1), 1.5)[..., 0])), grey.shape)
    share = rng.uniform(0.3, 0.5)
    wide, high = share * image.width, share * image.height
    x = (column + 0.5) / 48 * image.width + rng.normal() * 0.15 * wide
    y = (row + 0.5) / 36 * image.height + rng.normal() * 0.15 * high
    left, top = (
        float(np.clip(x - wide / 2, 0, image.width - wide)),
        float(np.clip(y - high / 2, 0, image.height - high)),
    )
    return image.crop((int(left), int(top), int(left + wide), int(top + high)))


def lamp_rain(background: Image.Image, rng: Rng) -> Image.Image:
    """A lamp seen through rain or snow: its glow is cut by streaks that are others in every frame."""
    scene = stage(background, rng, (0.05, 0.6))
    height, width = scene.shape[:2]
    out = scene
    for _ in range(int(rng.integers(1, 3))):
        colour = pick(rng, WARM, ORANGE, WHITE)
        radius = math.exp(rng.uniform(math.log(2.0), math.log(12)))
        out = out + glow(
            scene.shape, place(scene, rng, 0.0), radius, colour, rng.uniform(0.8, 3), rng.uniform(0.4, 1.2)
        )
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    slant, length = rng.normal() * 0.25, rng.uniform(2, 24)
    for _ in range(int(rng.integers(40, 400))):
        x, y, n = rng.uniform(-20, width), rng.uniform(-20, height), length * rng.uniform(0.4, 1.5)
        draw.line([(x, y), (x + n * slant, y + n)], fill=int(rng.uniform(60, 210)))
    streaks = (np.asarray(layer, np.float32)[..., None] / 255) ** 2.2
    return to_image(out + streaks * rng.uniform(0.2, 0.8))


HARD = {make.__name__: make for make in (*SINGLE, collage, lamp_rain)}
