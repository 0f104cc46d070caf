"""The shipped model: signed, loadable, quick to refuse what was swapped; `tocsin vision eval` from end to end."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision.commands import evaluate
from device_drivers.vision.detector import SHIPPED, Detector, DetectorPool, read_model
from device_drivers.vision.model_card import TRUSTED_KEYS, parse_card
from device_model.errors import ConfigError, LocalFault
from tocsin import app

PICTURES = Path(__file__).parent / "pictures"
MANIFEST = PICTURES / "manifest.csv"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def test_the_shipped_model_is_signed_small_and_complete(detector: Detector) -> None:
    assert SHIPPED.with_suffix(".tflite").stat().st_size < 6 * 1024 * 1024
    assert detector.card.key in TRUSTED_KEYS
    assert detector.invoke(detector.prepare(Image.new("RGB", (640, 360)))).shape == (3, detector.card.grid**2 + 1)


def test_any_size_and_mode_of_picture_is_judged(detector: Detector) -> None:
    for mode, size in (("L", (8, 900)), ("RGBA", (1, 1)), ("P", (320, 240)), ("CMYK", (50, 50))):
        assert all(0 <= score <= 1 for score in detector.see(Image.new(mode, size)).scores)


def test_the_verdict_is_the_same_every_time_and_in_every_detector(detector: Detector) -> None:
    with Image.open(PICTURES / "s2_hot_work_cc_0004.jpg") as image:
        picture = image.convert("RGB")
    verdicts = {detector.see(picture), detector.see(picture)}
    pool = DetectorPool(2)
    with pool.lend() as one, pool.lend() as other:
        verdicts |= {one.see(picture), other.see(picture)}
    assert len(verdicts) == 1
    assert "hot_work" in verdicts.pop().alarms(detector.card.thresholds)


def test_spots_lie_where_the_light_is(detector: Detector) -> None:
    with Image.open(PICTURES / "s2_hot_work_cc_0004.jpg") as image:
        found = detector.locate(detector.invoke(detector.prepare(image)), "hot_work")
    assert found and found[0].score >= detector.card.threshold("hot_work")
    assert all(0 <= s.left < s.right <= 1 and 0 <= s.top < s.bottom <= 1 for s in found)


@pytest.mark.parametrize("harm", ["model", "threshold", "signature", "key", "text", "gone", "bytes"])
def test_a_swapped_or_spoilt_model_is_not_run(tmp_path: Path, harm: str) -> None:
    card_file, model = tmp_path / "watcher.json", tmp_path / "watcher.tflite"
    shutil.copy(SHIPPED, card_file)
    shutil.copy(SHIPPED.with_suffix(".tflite"), model)
    card = parse_card(card_file.read_bytes(), "x")
    if harm == "model":
        octets = bytearray(model.read_bytes())
        octets[1000] ^= 1
        model.write_bytes(bytes(octets))
    elif harm == "gone":
        model.unlink()
    elif harm == "text":
        card_file.write_text("{}")
    elif harm == "bytes":
        card_file.write_bytes(b"\xff\xfe{")
    else:
        changed = {
            "threshold": {"thresholds": (0.1, 0.1, 0.1)},
            "signature": {"signature": "00" * 64},
            "key": {"key": Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()},
        }[harm]
        card_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(card, **changed)))
    with pytest.raises(LocalFault, match="release's own"):
        read_model(card_file, TRUSTED_KEYS)


def test_a_sites_own_model_runs_with_its_own_key(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    card = msgspec.structs.replace(parse_card(SHIPPED.read_bytes(), "x"), key=public, version="site")
    card = msgspec.structs.replace(card, signature=key.sign(card.signed_bytes()).hex())
    (tmp_path / "own.json").write_bytes(msgspec.json.encode(card))
    shutil.copy(SHIPPED.with_suffix(".tflite"), tmp_path / "own.tflite")
    assert Detector(tmp_path / "own.json", (*TRUSTED_KEYS, public)).card.version == "site"


def test_eval_on_the_commands_line(tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    said = CliRunner().invoke(
        app,
        ["vision", "eval", "--images", str(PICTURES), "--manifest", str(MANIFEST), "--json", "--scores", str(scores)],
    )
    assert said.exit_code == 0, said.output
    report = json.loads(said.stdout)
    assert set(report["classes"]) == {"hot_work", "flame", "smoke"}
    assert {"precision", "recall", "f1", "roc_auc", "threshold", "n_pos", "n_neg", "interval_95"} <= set(
        report["classes"]["hot_work"]
    )
    assert report["classes"]["hot_work"]["n_pos"] == 2 and report["classes"]["smoke"]["n_neg"] == 3
    assert report["any"]["recall"] == 1.0 and "false_alarm_rate" in report["any"]
    assert set(report["by_kind"]) == {row.split(",")[4] for row in MANIFEST.read_text().splitlines()[1:]}
    assert report["ms_per_image"] > 0
    with scores.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18 and set(rows[0]) == {"file", "class", "score"}
    assert all(0 <= float(row["score"]) <= 1 for row in rows)


def test_unusable_rows_are_named_and_the_rest_is_judged(tmp_path: Path) -> None:
    for name in ("ok.jpg", "cut.jpg"):
        shutil.copy(PICTURES / "s2_flame_cc_0001.jpg", tmp_path / name)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:400])
    (tmp_path / "text.jpg").write_text("no picture")
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "file,hot_work,flame,smoke,kind\nok.jpg,0,1,-1,fire\ngone.jpg,0,0,0,x\ntext.jpg,0,0,0,x\n"
        "cut.jpg,0,0,0,x\n../../etc/passwd,0,0,0,x\nok.jpg,0,1,0,x\nbad.jpg,3,0,0,x\n"
    )
    report, findings = evaluate(tmp_path, manifest)
    assert report.images == 1 and report.errors == len(findings) == 6
    assert [finding.line for finding in findings] == [3, 4, 5, 6, 7, 8]
    assert all(finding.remedy for finding in findings)
    said = CliRunner().invoke(
        app, ["vision", "eval", "--images", str(tmp_path), "--manifest", str(manifest), "--json"]
    )
    assert said.exit_code == 1 and json.loads(said.stdout)["images"] == 1 and "m.csv:3" in said.stderr


def test_nothing_to_judge_is_an_error(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,hot_work,flame,smoke,kind\ngone.jpg,0,0,0,x\n")
    for images, file in ((tmp_path, manifest), (tmp_path / "no", manifest), (tmp_path, tmp_path / "no.csv")):
        with pytest.raises(ConfigError):
            evaluate(images, file)


def test_one_class_only_and_odd_columns_just_work(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "a.png")
    manifest = tmp_path / "m.csv"
    manifest.write_text("kind,file,flame,note\nnight,sub/a.png,0,x\n")
    report, findings = evaluate(tmp_path, manifest)
    assert not findings and report.classes["hot_work"].n_neg == 0 and report.classes["flame"].n_neg == 1
