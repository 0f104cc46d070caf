"""Which pictures the model learns from: the manifest's train part by licence tier, renders upon them, augmentations.

Every sample is a recipe (what, from which files, seed), so that the whole set can be made again to the byte.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from tools.vision_train import renders
from tools.vision_train.hard_negatives import HARD, near_light
from tools.vision_train.light import Rng, emission_share
from tools.vision_train.shapes import CLASSES, SIZE

# Pictures that renders are set upon. Face close-ups, animals and aeroplanes are no scenes.
BACKGROUNDS = (
    "neg_workshop_cc0",
    "neg_workshop_cc",
    "neg_metalwork",
    "neg_construction",
    "neg_indoor_cc0",
    "neg_indoor_cc",
    "neg_scene_cc",
    "neg_workers_cc",
    "neg_street_cc0",
    "neg_street_cc",
    "neg_outdoor_cc0",
    "neg_night_lamps",
    "neg_screens_cc",
    "neg_landscape",
    "neg_sunrise_cc0",
)


@dataclass(frozen=True, slots=True)
class Row:
    file: str
    labels: tuple[int, int, int]
    kind: str
    tier: str
    synthetic: bool
    source: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """`make` names the way; `group` is the real hot-work picture it shows, -1 for none (for cross-validation)."""

    make: str
    file: str
    over: str
    labels: tuple[int, int, int]
    kind: str
    seed: int
    group: int = -1
    weight: float = 1.0


def read_manifest(path: Path, split: str, tiers: str = "AB") -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            Row(
                r["file"],
                (int(r["hot_work"]), int(r["flame"]), int(r["smoke"])),
                r["kind"],
                r["licence_tier"],
                r["synthetic"] == "1",
                f"{r['source_repo']}/{r['source_path']}",
            )
            for r in csv.DictReader(lines)
            if r["split"] == split and r["licence_tier"] in tiers
        ]


def recipes(rows: list[Row], rng: Rng, size: float = 1.0) -> list[Recipe]:
    """The training set: counts below are for size 1."""
    scenes = [r.file for r in rows if r.kind in BACKGROUNDS]
    shop = [r.file for r in rows if r.kind in BACKGROUNDS[:4]]
    hot = [r for r in rows if r.labels[0] == 1 and not r.synthetic]
    flames = [r for r in rows if r.labels[1] == 1 and not r.synthetic]
    plain = [r for r in rows if r.labels[0] == 0 and not r.synthetic]
    out: list[Recipe] = []

    def seed() -> int:
        return int(rng.integers(2**31))

    def scene() -> str:
        group = shop if shop and rng.random() < 0.45 else scenes
        return group[rng.integers(len(group))]

    for row in plain:
        times = 4 if row.kind != "neg_people" else 1
        times = (
            6
            if row.kind.startswith(
                ("neg_sunrise", "neg_rain", "neg_night", "neg_workshop", "neg_metal", "neg_screens")
            )
            else times
        )
        for _ in range(max(1, round(times * size))):
            out.append(Recipe("photo", row.file, "", row.labels, row.kind, seed()))
    for group, row in enumerate(hot):
        for _ in range(round(55 * size)):
            out.append(Recipe("photo", row.file, "", row.labels, row.kind, seed(), group))
        for _ in range(round(110 * size)):
            out.append(Recipe("transplant_hot", scene(), row.file, (1, 0, -1), "render_transplant", seed(), group))
    for name, count, labels in (
        ("arc", 1100, (1, 0, -1)),
        ("grinding", 900, (1, 0, -1)),
        ("cutting", 500, (1, 0, -1)),
        ("lamps", 900, (0, 0, 0)),
        ("sun", 500, (0, 0, 0)),
        ("rain", 400, (0, 0, 0)),
        ("coloured_things", 350, (0, 0, 0)),
        ("smoke_plume", 350, (0, 0, 1)),
        ("dim", 500, (0, 0, 0)),
    ):
        for _ in range(round(count * size)):
            out.append(Recipe(name, scene(), "", labels, f"render_{name}", seed()))
    for _ in range(round(900 * size)):
        out.append(
            Recipe(
                "transplant_flame",
                scene(),
                flames[rng.integers(len(flames))].file,
                (0, 1, -1),
                "render_flame",
                seed(),
            )
        )
    return out


def more_recipes(rows: list[Row], rng: Rng) -> list[Recipe]:
    """A second helping of what the first model was fooled by on val: low suns, skies, wet streets, lamps, metal."""
    scenes = [r.file for r in rows if r.kind in BACKGROUNDS]
    outside = [
        r.file
        for r in rows
        if r.kind
        in (
            "neg_landscape",
            "neg_outdoor_cc0",
            "neg_street_cc0",
            "neg_street_cc",
            "neg_sunrise_cc0",
            "neg_construction",
            "neg_scene_cc",
        )
    ]
    hard = [
        r
        for r in rows
        if r.kind.startswith(
            (
                "neg_sunrise",
                "neg_landscape",
                "neg_outdoor",
                "neg_street",
                "neg_metal",
                "neg_workshop",
                "neg_night",
                "neg_rain",
                "neg_screens",
                "neg_scene",
                "neg_indoor",
                "neg_fireworks",
                "neg_construction",
            )
        )
    ]
    hot = [r for r in rows if r.labels[0] == 1 and not r.synthetic]
    flames = [r for r in rows if r.labels[1] == 1 and not r.synthetic]
    out: list[Recipe] = []

    def seed() -> int:
        return int(rng.integers(2**31))

    for name, count, places in (
        ("sun", 1100, outside),
        ("rain", 300, outside),
        ("lamps", 500, scenes),
        ("dim", 300, scenes),
    ):
        for _ in range(count):
            out.append(Recipe(name, places[rng.integers(len(places))], "", (0, 0, 0), f"render_{name}", seed()))
    for row in hard:
        for _ in range(5):
            out.append(Recipe("photo", row.file, "", row.labels, row.kind, seed()))
    for group, row in enumerate(hot):
        for _ in range(50):
            out.append(
                Recipe(
                    "transplant_hot",
                    scenes[rng.integers(len(scenes))],
                    row.file,
                    (1, 0, -1),
                    "render_transplant",
                    seed(),
                    group,
                )
            )
    for row in flames:
        out.append(Recipe("photo", row.file, "", row.labels, row.kind, seed()))
    return out


# The third helping: how many of each, and what they show. -1 leaves smoke open where fumes may be seen.
THIRD = (
    ("graded", 1200, (0, 0, 0)),
    ("shiny", 900, (0, 0, 0)),
    ("idle_worker", 800, (0, 0, 0)),
    ("misty", 300, (0, 0, 0)),
    ("screens", 400, (0, 0, 0)),
    ("street_night", 700, (0, 0, 0)),
    ("collage", 700, (0, 0, 0)),
    ("arc", 500, (1, 0, -1)),
    ("grinding", 400, (1, 0, -1)),
    ("cutting", 200, (1, 0, -1)),
    ("smoke_plume", 150, (0, 0, 1)),
)


def third_recipes(rows: list[Row], rng: Rng, size: float = 1.0) -> list[Recipe]:
    """What is taken for hot work in the field: dawns, shine, idle people, screens, streets by night; and more light
    of real fires and arcs in the same scenes, so that neither kind outweighs the other."""
    scenes = [r.file for r in rows if r.kind in BACKGROUNDS]
    hot = [r for r in rows if r.labels[0] == 1 and not r.synthetic]
    flames = [r for r in rows if r.labels[1] == 1 and not r.synthetic]
    plain = [r for r in rows if max(r.labels) == 0 and not r.synthetic and r.kind != "neg_people"]
    out: list[Recipe] = []

    def scene() -> str:
        return scenes[rng.integers(len(scenes))]

    def add(way: str, file: str, over: str, labels: tuple[int, int, int], kind: str, group: int = -1) -> None:
        out.append(Recipe(way, file, over, labels, kind, int(rng.integers(2**31)), group))

    for name, count, labels in THIRD:
        for _ in range(round(count * size)):
            add(name, scene(), "", labels, f"render_{name}")
    for row in plain:
        for _ in range(round(3 * size)):
            add("photo", row.file, "", row.labels, row.kind)
    for group, row in enumerate(hot):
        for _ in range(round(60 * size)):
            add("transplant_hot", scene(), row.file, (1, 0, -1), "render_transplant", group)
    for _ in range(round(700 * size)):
        add("transplant_flame", scene(), flames[rng.integers(len(flames))].file, (0, 1, -1), "render_flame")
    for row in flames[:: max(1, round(1 / size))]:
        add("photo", row.file, "", row.labels, row.kind)
    return out


# The fourth: what the first stage cuts out around a light, of both kinds; "close:" stands before the way.
FOURTH = (
    ("close:lamps", 350, (0, 0, 0)),
    ("close:lamp_rain", 350, (0, 0, 0)),
    ("close:street_night", 200, (0, 0, 0)),
    ("lamp_rain", 250, (0, 0, 0)),
    ("close:arc", 250, (1, 0, -1)),
    ("close:grinding", 200, (1, 0, -1)),
    ("close:transplant_flame", 350, (0, 1, -1)),
)


def fourth_recipes(rows: list[Row], rng: Rng, size: float = 1.0) -> list[Recipe]:
    """Crops as the product makes them: a lamp that is small in the frame fills its crop, and so does an arc."""
    scenes = [r.file for r in rows if r.kind in BACKGROUNDS]
    flames = [r.file for r in rows if r.labels[1] == 1 and not r.synthetic]
    out = []
    for name, count, labels in FOURTH:
        for _ in range(round(count * size)):
            over = flames[rng.integers(len(flames))] if name.endswith("flame") else ""
            place = scenes[rng.integers(len(scenes))]
            out.append(Recipe(name, place, over, labels, f"render_{name}", int(rng.integers(2**31))))
    return out


def make(recipe: Recipe, folder: Path) -> Image.Image | None:
    """The picture of a recipe at the model's input size; None when a transplant holds no light to speak of."""
    rng = np.random.default_rng(recipe.seed)
    base = Image.open(folder / recipe.file).convert("RGB")
    if recipe.make == "photo":
        return augmented(base, rng, 0.45)
    if recipe.make == "dim":
        return augmented(renders.to_image(renders.stage(base, rng)), rng, 0.8)
    if recipe.make.startswith("close:"):
        whole = _painted(recipe.make.removeprefix("close:"), recipe, base, folder, rng)
        return None if whole is None else augmented(near_light(whole, rng), rng, 0.8)
    if recipe.make.startswith("transplant"):
        over = Image.open(folder / recipe.over).convert("RGB")
        warm = recipe.make == "transplant_flame"
        if emission_share(over, warm) < 0.004:
            return None
        return augmented(renders.transplant(over, base, rng, warm), rng, 0.85)
    way = HARD.get(recipe.make) or getattr(renders, recipe.make)
    return augmented(way(base, rng), rng, 0.85)


def _painted(way: str, recipe: Recipe, base: Image.Image, folder: Path, rng: Rng) -> Image.Image | None:
    if way == "transplant_flame":
        over = Image.open(folder / recipe.over).convert("RGB")
        return renders.transplant(over, base, rng, True) if emission_share(over, True) >= 0.004 else None
    painter = HARD.get(way) or getattr(renders, way)
    return painter(base, rng)


def augmented(image: Image.Image, rng: Rng, crop: float) -> Image.Image:
    """What cameras, lenses and storage do: crop, flip, exposure, white balance, blur, small size, noise, JPEG."""
    width, height = image.size
    area = rng.uniform(crop, 1.0)
    ratio = np.exp(rng.uniform(-0.25, 0.25))
    w, h = min(width, int(width * np.sqrt(area * ratio))), min(height, int(height * np.sqrt(area / ratio)))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    image = image.crop((x, y, x + w, y + h))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR)
    if rng.random() < 0.3:
        small = rng.uniform(0.3, 0.9)
        image = image.resize((max(24, int(w * small)), max(24, int(h * small))), Image.Resampling.BOX)
    image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    for enhancer, spread in (
        (ImageEnhance.Brightness, 0.3),
        (ImageEnhance.Contrast, 0.25),
        (ImageEnhance.Color, 0.4),
    ):
        if rng.random() < 0.6:
            image = enhancer(image).enhance(float(np.exp(rng.normal() * spread)))
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.8)))
    values = np.asarray(image, np.float32)
    if rng.random() < 0.5:
        values = values * np.exp(rng.normal(0, 0.08, 3))
    if rng.random() < 0.05:
        values = np.repeat(values.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.4:
        values = values + rng.normal(0, rng.uniform(1, 10), values.shape)
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(25, 95)))
        image = Image.open(buffer).convert("RGB")
    return image


def plain_input(path: Path) -> Image.Image:
    """A picture as the product feeds it."""
    return Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)


__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "Recipe",
    "Row",
    "augmented",
    "fourth_recipes",
    "make",
    "plain_input",
    "read_manifest",
    "recipes",
    "third_recipes",
]
