"""Pictures and manifests as other people make them: `tocsin vision eval` judges the scene, not the file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision.commands import evaluate
from device_drivers.vision.labels import parse_labels
from device_drivers.vision.picture_files import as_seen, find_picture, open_picture
from device_model.errors import ConfigError

PICTURES = Path(__file__).parent / "pictures"
WELDING = PICTURES / "s2_hot_work_cc_0004.jpg"


def welding() -> Image.Image:
    with Image.open(WELDING) as image:
        return image.convert("RGB")


def close(one: Image.Image, other: Image.Image) -> bool:
    pairs = (np.asarray(image.convert("RGB"), np.int16) for image in (one, other))
    first, second = pairs
    return first.shape == second.shape and float(np.abs(first - second).mean()) < 6


def test_a_picture_lying_on_its_side_is_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    welding().rotate(90, expand=True).save(tmp_path / "side.jpg", exif=exif, quality=95)
    assert close(open_picture(tmp_path / "side.jpg"), welding())


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    grey = welding().convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert close(as_seen(deep), grey)
    assert close(as_seen(Image.fromarray(np.asarray(deep).astype(np.int32))), grey)


def test_nothing_shines_through_from_behind_a_transparent_part(tmp_path: Path) -> None:
    picture = welding()
    picture.putalpha(0)
    picture.save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getextrema() == ((255, 255),) * 3


@pytest.mark.parametrize(
    "form", ["png", "webp", "gif", "bmp", "tiff", "ppm", "cmyk.jpg", "grey.jpg", "la.png", "p.png"]
)
def test_every_usual_format_is_read(tmp_path: Path, form: str) -> None:
    mode = {"cmyk.jpg": "CMYK", "grey.jpg": "L", "la.png": "LA", "p.png": "P"}.get(form, "RGB")
    file = tmp_path / f"a.{form}"
    welding().convert(mode).save(file)
    assert open_picture(file).mode == "RGB" and open_picture(file).size == welding().size


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("held/out/a.jpg", "held/out/a.jpg"),
        ("held/out/a.jpg", "out/a.jpg"),
        ("held/out/a.jpg", "a.jpg"),
        ("held\\out\\a.jpg", "out/a.jpg"),
        ("/mnt/disk/held/a.jpg", "held/a.jpg"),
        ("C:\\held\\a.jpg", "held/a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("../pictures/a.jpg", "pictures/a.jpg"),
        ("fe\u0301u, 火.jpg", "f\u00e9u, 火.jpg"),
        ("f\u00e9u.jpg", "fe\u0301u.jpg"),
    ],
)
def test_a_manifest_written_elsewhere_finds_its_pictures(tmp_path: Path, named: str, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_bytes(b"x")
    assert find_picture(tmp_path, named) == tmp_path / there


def test_a_folder_of_links_is_read_and_dots_do_not_lead_out(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "out.jpg").write_bytes(WELDING.read_bytes())
    (folder / "a.jpg").symlink_to(tmp_path / "out.jpg")
    assert find_picture(folder, "a.jpg").is_symlink()
    for name in ("../out.jpg", "x/../../out.jpg", str(tmp_path / "out.jpg"), "."):
        with pytest.raises(FileNotFoundError):
            find_picture(folder, name)


def test_a_picture_that_breaks_off_beyond_its_middle_is_judged_and_said(tmp_path: Path) -> None:
    octets = WELDING.read_bytes()
    (tmp_path / "most.jpg").write_bytes(octets[: len(octets) * 9 // 10])
    (tmp_path / "little.jpg").write_bytes(octets[: len(octets) // 8])
    (tmp_path / "none.jpg").write_bytes(b"")
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,hot_work\nmost.jpg,1\nlittle.jpg,1\nnone.jpg,1\n")
    report, findings = evaluate(tmp_path, manifest)
    assert report.images == 1 and [finding.line for finding in findings] == [3, 4]
    assert len(report.notes) == 1 and "most.jpg" in report.notes[0]


def test_two_rows_never_stand_for_one_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(WELDING.read_bytes())
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,hot_work\nday/a.jpg,1\nnight/a.jpg,0\n")
    report, findings = evaluate(tmp_path, manifest)
    assert report.images == 1 and "line 2" in findings[0].what


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_spreadsheets_manifest_is_read(tmp_path: Path, coding: str, sign: str) -> None:
    (tmp_path / "火.jpg").write_bytes(WELDING.read_bytes())
    rows = ["Kind,Smoke,Flame,Hot_Work,File", "电焊,-1.0,,1.0,火.jpg"]
    manifest = tmp_path / "m.csv"
    manifest.write_bytes(("\r\n".join(rows) + "\r\n").replace(",", sign).encode(coding))
    report, findings = evaluate(tmp_path, manifest)
    assert not findings and list(report.by_kind) == ["电焊"]
    assert [report.classes[name].n_pos + report.classes[name].n_neg for name in report.classes] == [1, 0, 0]


def test_a_row_twice_counts_once_and_a_contradiction_is_told() -> None:
    rows, findings, notes = parse_labels("file,flame\na,1\na,1\na,0\n", "m.csv")
    assert len(rows) == 1 and len(notes) == 1 and [finding.line for finding in findings] == [4]


def test_a_short_row_is_a_mistake_and_an_empty_cell_is_not() -> None:
    rows, findings, _ = parse_labels("file,flame,smoke\na,1,\nb,1\n", "m.csv")
    assert rows[0].labels == (-1, 1, -1) and len(rows) == 1 and "too short" in findings[0].what


def test_scores_that_cannot_be_written_are_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        evaluate(PICTURES, PICTURES / "manifest.csv", scores=tmp_path / "no" / "s.csv")
