"""The frozen lower part of the net run once over the training set, kept as half floats: training then costs a tenth.

`python -m tools.vision_train.cache DATA OUT PART PARTS` makes one part; several processes make several.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tools.vision_train.backbone import MIDDLE, pretrained
from tools.vision_train.pictures import (
    Recipe,
    fourth_recipes,
    make,
    more_recipes,
    plain_input,
    read_manifest,
    recipes,
    third_recipes,
)
from tools.vision_train.shapes import SEED


def as_tensor(images: list[object]) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.asarray(i, np.float32) for i in images])).permute(0, 3, 1, 2).contiguous()


def main(data: Path, out: Path, part: int, parts: int, tiers: str = "AB", size: float = 1.0) -> None:
    torch.set_num_threads(1)
    net = pretrained().eval()
    rng = np.random.default_rng(SEED)
    train = recipes(read_manifest(data / "manifest.csv", "train", tiers), rng, size)
    rng.shuffle(train)  # type: ignore[arg-type]
    second = more_recipes(read_manifest(data / "manifest.csv", "train", tiers), rng)
    rows = read_manifest(data / "manifest.csv", "train", tiers)
    third = third_recipes(rows, np.random.default_rng(SEED + 3), size)
    fourth = fourth_recipes(rows, np.random.default_rng(SEED + 5), size)
    np.random.default_rng(SEED + 4).shuffle(third)  # type: ignore[arg-type]
    real = [Recipe("plain", r.file, "", r.labels, r.kind, 0) for r in rows if not r.synthetic]
    val = [Recipe("plain", r.file, "", r.labels, r.kind, 0) for r in read_manifest(data / "manifest.csv", "val")]
    for name, every in (
        ("val", val),
        ("train", train),
        ("trainmore", second),
        ("trainthird", third),
        ("trainzfourth", fourth),
        ("plain", real),
    ):
        kept: list[Recipe] = []
        blocks: list[np.ndarray] = []
        batch: list[tuple[Recipe, object]] = []
        mine = every[part::parts]
        if (out / f"{name}{part}.npy").exists():
            continue
        for index, recipe in enumerate(mine):
            image = plain_input(data / recipe.file) if recipe.make == "plain" else make(recipe, data)
            if image is not None:
                batch.append((recipe, image))
            if batch and (len(batch) == 8 or index == len(mine) - 1):
                with torch.no_grad():
                    blocks.append(net.run(net.stem(as_tensor([i for _, i in batch])), 0, MIDDLE + 1).half().numpy())
                kept += [r for r, _ in batch]
                batch = []
            if index % 400 == 0:
                print(name, part, index, len(mine), flush=True)
        np.save(out / f"{name}{part}.npy", np.concatenate(blocks))
        (out / f"{name}{part}.json").write_text(json.dumps([asdict(r) for r in kept]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
