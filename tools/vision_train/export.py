"""From trained weights to the shipped file: int8, compared class by class with fp32, calibrated, thresholds, signed.

`python -m tools.vision_train.export WEIGHTS.pt DATA OUT --key KEY [--version V]`. The key is made when the
file is missing; keep it apart from the repository and put its public half, which is printed, into TRUSTED_KEYS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools.vision_train.backbone import CLASSES, GRID, MIDDLE, SIZE, Watcher, pooled, pretrained
from tools.vision_train.cache import SEED, as_tensor
from tools.vision_train.pictures import make, plain_input, read_manifest, recipes

# The head stays in floats: it joins maps of unlike range, which one int8 scale cannot hold (logits moved by 1.1 on
# average, hot work lost 0.009 of AUC), and it is a hundredth of the work. With it in floats they move by 0.09.
HEAD = ("Watcher_net;", "Conv2d_context", "Conv2d_cells", "Conv2d_judge", "Conv2d_whole", "serving_default_output")


class Channels(torch.nn.Module):
    """The net as the product feeds it: pixels last, as pictures lie in memory. Logits and embedding come out."""

    def __init__(self, net: Watcher) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        net = self.net
        middle = net.run(net.stem(picture.permute(0, 3, 1, 2)), 0, MIDDLE + 1)
        return net.both(middle, net.run(middle, MIDDLE + 1, len(net._blocks)))


def calibration_pictures(data: Path, count: int = 96) -> list[np.ndarray]:
    """Training pictures of every kind, as the quantiser sees the ranges of activations."""
    rng = np.random.default_rng(SEED + 1)
    every = recipes(read_manifest(data / "manifest.csv", "train"), rng, 0.05)
    chosen = [every[i] for i in rng.permutation(len(every))[: count * 2]]
    images = [image for image in (make(r, data) for r in chosen) if image is not None]
    pictures = [np.array(image, np.float32)[None] for image in images[:count]]
    for picture in pictures:  # the whole range of a byte: a quantiser that has not seen 255 cuts it off
        picture[0, 0, 0], picture[0, -1, -1] = 0.0, 255.0
    return pictures


def convert(net: Watcher, data: Path, out: Path) -> tuple[Path, Path]:
    """Writes fp32 and int8 .tflite files."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    plain = out.with_suffix(".fp32.tflite")
    litert_torch.convert(Channels(net).eval(), (torch.zeros(1, SIZE, SIZE, 3),)).export(str(plain))
    worker = quantizer.Quantizer(str(plain), recipe.static_wi8_ai8())
    for name in HEAD:
        worker.update_quantization_recipe(
            regex=f".*{re.escape(name)}.*", operation_name="*", algorithm_key="no_quantize"
        )
    samples: dict[str, Any] = {"serving_default": [{"args_0": picture} for picture in calibration_pictures(data)]}
    ranges = worker.calibrate(samples)
    small = out.with_suffix(".tflite")
    small.unlink(missing_ok=True)
    worker.quantize(ranges).export_model(str(small))
    return plain, small


def platt(logit: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Slope and offset of a probability, by Newton's method, with the classes weighed alike."""
    keep = label >= 0
    x, y = logit[keep].astype(float), label[keep].astype(float)
    if y.min() == y.max():
        return 1.0, 0.0
    w = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    a, b = 1.0, 0.0
    for _ in range(60):
        p = 1 / (1 + np.exp(-(a * x + b)))
        g = np.array([(w * (p - y) * x).sum() + 1e-3 * (a - 1), (w * (p - y)).sum()])
        r = w * p * (1 - p)
        h = np.array([[(r * x * x).sum() + 1e-3, (r * x).sum()], [(r * x).sum(), r.sum() + 1e-9]])
        step = np.linalg.solve(h, g)
        a, b = a - float(np.clip(step[0], -0.5, 0.5)), b - float(np.clip(step[1], -2, 2))
    return a, b


MARGIN = 0.8  # logits above what val's own negatives reach: the field is wider than val


def thresholds_of(logit: np.ndarray, labels: np.ndarray, kinds: np.ndarray, real: np.ndarray) -> list[float]:
    """Cuts on val's real negatives: above 98 % of those that are scenes, plus a margin.

    Face close-ups are half of the negatives and too easy, so they are left out, as are renders; eval_only has no say,
    for cuts made on it would flatter it.
    """
    scenes = real & (labels == 0).all(1) & (kinds != "neg_people")
    return [float(np.quantile(logit[scenes, i], 0.98)) + MARGIN for i in range(len(CLASSES))]


def run(model: Path, images: list[np.ndarray]) -> np.ndarray:
    """Pooled logits of a .tflite file."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_path=str(model), num_threads=2)
    net.allocate_tensors()
    into = net.get_input_details()[0]
    out = next(o for o in net.get_output_details() if len(o["shape"]) == 3)
    got = []
    for picture in images:
        value = picture
        if into["dtype"] != np.float32:
            scale, zero = into["quantization"]
            limits = np.iinfo(into["dtype"])
            value = np.clip(np.round(picture / scale + zero), limits.min, limits.max).astype(into["dtype"])
        net.set_tensor(into["index"], value)
        net.invoke()
        raw = net.get_tensor(out["index"]).astype(np.float32)
        if out["dtype"] != np.float32:
            scale, zero = out["quantization"]
            raw = (raw - zero) * scale
        got.append(pooled(torch.from_numpy(raw)).numpy()[0])
    return np.array(got)


def key_of(path: Path) -> Ed25519PrivateKey:
    if path.exists():
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    path.touch(mode=0o600)
    path.write_text(raw.hex())
    return key


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--notes", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(2)
    net = pretrained()
    net.load_state_dict(torch.load(given.weights, map_location="cpu"))
    net.eval()
    plain, small = convert(net, given.data, given.out)
    rows = read_manifest(given.data / "manifest.csv", "val")
    images = [np.asarray(plain_input(given.data / r.file), np.float32)[None] for r in rows]
    labels = np.array([r.labels for r in rows])
    from tools.vision_train.fit import auc

    with torch.no_grad():
        torch_logits = np.concatenate(
            [pooled(net(as_tensor([i[0] for i in images[s : s + 32]]))).numpy() for s in range(0, len(images), 32)]
        )
    exact, int8 = run(plain, images[:40]), run(small, images)
    print("torch against fp32 tflite, largest difference", float(np.abs(torch_logits[:40] - exact).max()))
    notes: dict[str, str] = json.loads(given.notes.read_text()) if given.notes else {}
    for i, name in enumerate(CLASSES):
        both = auc(torch_logits[:, i], labels[:, i]), auc(int8[:, i], labels[:, i])
        notes[f"{name}: val AUC fp32, int8"] = f"{both[0]:.4f}, {both[1]:.4f}"
        apart = float(np.abs(torch_logits - int8)[:, i].mean())
        print(name, "fp32", both[0], "int8", both[1], "mean difference of logits", apart)
    lines = [platt(int8[:, i], labels[:, i]) for i in range(len(CLASSES))]
    kinds = np.array([r.kind for r in rows])
    cuts = thresholds_of(int8, labels, kinds, ~np.array([r.synthetic for r in rows]))
    thresholds = [round(1 / (1 + math.exp(-(a * c + b))), 4) for (a, b), c in zip(lines, cuts, strict=True)]
    for i, name in enumerate(CLASSES):
        shown = int8[(labels[:, i] == 1) & ~np.array([r.synthetic for r in rows]), i]
        print(
            name,
            "cut",
            cuts[i],
            "threshold",
            thresholds[i],
            "recall on real val",
            float((shown >= cuts[i]).mean()),
            len(shown),
        )
    write_card(given, small, lines, thresholds, notes)


def write_card(
    given: argparse.Namespace,
    small: Path,
    lines: list[tuple[float, float]],
    thresholds: list[float],
    notes: dict[str, str],
) -> None:
    import msgspec

    from device_drivers.vision.model_card import ModelCard

    key = key_of(given.key)
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
    card = ModelCard(
        name="watcher",
        version=given.version,
        sha256=hashlib.sha256(small.read_bytes()).hexdigest(),
        classes=CLASSES,
        size=SIZE,
        grid=GRID,
        slope=tuple(round(a, 5) for a, _ in lines),
        offset=tuple(round(b, 5) for _, b in lines),
        thresholds=tuple(thresholds),
        trained=notes,
        key=public,
    )
    card = msgspec.structs.replace(card, signature=key.sign(card.signed_bytes()).hex())
    given.out.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    print("public key", public)


if __name__ == "__main__":
    main()
