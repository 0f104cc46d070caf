"""From trained weights to the shipped file: int8, compared class by class with fp32, calibrated, thresholds, signed.

`python -m tools.vision_train.export WEIGHTS.pt DATA OUT --key KEY [--version V]`. The key is made when the
file is missing; keep it apart from the repository and put its public half, which is printed, into TRUSTED_KEYS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools.vision_train.backbone import MIDDLE, Watcher, pooled, pretrained
from tools.vision_train.cache import as_tensor
from tools.vision_train.cuts import by_kind, cuts, margins, parse_fold, platt, quantisation_faults, threshold
from tools.vision_train.pictures import make, plain_input, read_manifest, recipes
from tools.vision_train.shapes import CLASSES, GRID, SEED, SIZE

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


def run(model: Path, images: list[np.ndarray]) -> np.ndarray:
    """Pooled logits of a .tflite file."""
    return embed(model, images)[1]


def embed(model: Path, images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and pooled logits of a .tflite file."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_path=str(model), num_threads=2)
    net.allocate_tensors()
    into = net.get_input_details()[0]
    out = next(o for o in net.get_output_details() if len(o["shape"]) == 3)
    inner = next(o for o in net.get_output_details() if len(o["shape"]) == 2)
    got, embedded = [], []
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
        embedded.append(net.get_tensor(inner["index"])[0])
    return np.array(embedded), np.array(got)


def key_of(path: Path) -> Ed25519PrivateKey:
    if path.exists():
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    path.touch(mode=0o600)
    path.write_text(raw.hex())
    return key


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--notes", type=Path, help="JSON of what the card says of training")
    parser.add_argument("--folds", type=Path, nargs="+", required=True, help="what fit --source-fold wrote")
    return parser


def main(arguments: list[str] | None = None) -> None:
    given = options().parse_args(arguments)
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
        exact = np.concatenate(
            [pooled(net(as_tensor([i[0] for i in images[s : s + 32]]))).numpy() for s in range(0, len(images), 32)]
        )
    same, int8 = run(plain, images[:40]), run(small, images)
    print("torch against fp32 tflite, largest difference", float(np.abs(exact[:40] - same).max()))
    notes: dict[str, str] = json.loads(given.notes.read_text()) if given.notes else {}
    areas = [{name: auc(got[:, i], labels[:, i]) for i, name in enumerate(CLASSES)} for got in (exact, int8)]
    for name in CLASSES:
        notes[f"{name}: val AUC fp32, int8"] = f"{areas[0][name]:.4f}, {areas[1][name]:.4f}"
    faults = quantisation_faults(*areas)
    if faults:
        raise SystemExit("; ".join(faults))
    lines = [platt(int8[:, i], labels[:, i]) for i in range(len(CLASSES))]
    negative = [i for i, r in enumerate(rows) if max(r.labels) == 0 and not r.synthetic]
    files = frozenset(rows[i].file for i in negative)
    folds = [parse_fold(json.loads(path.read_text()), files) for path in given.folds]
    margin = margins(folds)
    limits = cuts([(rows[i].kind, int8[i]) for i in negative], margin)
    thresholds = [threshold(c, line) for c, line in zip(limits, lines, strict=True)]
    notes["margins above val, from sources left out"] = ", ".join(f"{m:.2f}" for m in margin)
    print("unseen sources, false alarms by kind", by_kind(folds, margin))
    real = ~np.array([r.synthetic for r in rows])
    for i, name in enumerate(CLASSES):
        shown = int8[(labels[:, i] == 1) & real, i]
        print(
            name, "margin", margin[i], "cut", limits[i], "threshold", thresholds[i], "recall on real val", len(shown)
        )
        print("   ", float((shown >= limits[i]).mean()), "renders too", end=" ")
        print(float((int8[labels[:, i] == 1, i] >= limits[i]).mean()))
    octets = anchors(small, images, labels, lines)
    given.out.with_suffix(".anchors.gz").write_bytes(octets)
    notes["anchors SHA-256"] = hashlib.sha256(octets).hexdigest()
    write_card(given, small, lines, thresholds, notes)


def anchors(model: Path, images: list[np.ndarray], labels: np.ndarray, lines: list[tuple[float, float]]) -> bytes:
    """Val as the shipped net knows it, for sites that learn: embeddings, calibrated logits, labels; no picture."""
    from device_drivers.vision.anchors import pack_anchors

    embeddings, logits = embed(model, images)
    slope, offset = (np.array([line[i] for line in lines], np.float32) for i in (0, 1))
    return pack_anchors(embeddings, logits * slope + offset, labels.astype(np.int8))


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
