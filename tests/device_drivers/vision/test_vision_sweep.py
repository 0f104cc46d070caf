"""The sweep as a product: list, memory, pictures by class, looks logged, people blurred, what is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from command_line.vision import group
from device_drivers.vision.blur import blurred
from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.objects import Box
from device_drivers.vision.sweep_plan import SweepCamera, SweepPlan, parse_cameras
from device_drivers.vision.sweep_result import LastSweep, Outcome, SweepReport, SweepResult
from device_drivers.vision.sweep_run import Sweeper
from device_drivers.vision.sweep_store import SweepStore
from device_drivers.vision.sweep_words import sweep_message, swept_camera
from device_drivers.vision.vision_file import parse_vision
from device_model.errors import ConfigError, LocalFault
from tools.vision_train.films import film

PICTURES = Path(__file__).parent / "pictures"
S = 1_000_000


def result(camera: str, outcome: Outcome = Outcome.SEEN, **scores: float) -> SweepResult:
    state = CameraState.WELL if outcome is Outcome.SEEN else CameraState.SILENT
    return SweepResult(camera, outcome, scores, (), state, 0.1)


def test_a_list_of_cameras() -> None:
    text = "camera,source,class\n# the yard\ngate-1,rtsp://u:secret@10.0.0.2/1,public\nk3,http://h/x\n"
    assert parse_cameras(text, "c.csv") == (
        SweepCamera("gate-1", "rtsp://u:secret@10.0.0.2/1", "public"), SweepCamera("k3", "http://h/x"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,rtsp://h/1\na,rtsp://h/2\n", "stands twice"), ("a b,rtsp://h/1\n", "no name"), ("", "0 cameras"),
     ("a,gopher://u:secret@h\n", "no source"), ("../x,rtsp://h/1\n", "no name"), ('"a', "no source")],
)
def test_a_wrong_list_is_refused_without_passwords(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parse_cameras(text, "c.csv")
    assert "secret" not in str(refused.value)


@given(st.text(max_size=200))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    try:
        assert parse_cameras(text, "c.csv")
    except ConfigError as error:
        assert error.findings


def test_the_longest_unseen_go_first_and_the_dead_are_counted(tmp_path: Path) -> None:
    store, cameras = SweepStore(tmp_path), tuple(SweepCamera(n, f"rtsp://h/{n}") for n in "abc")
    plan = SweepPlan("c.csv", period_s=10)
    report = SweepReport(4.0, 2, {"seen": 1, "silent": 1, "not_reached": 1}, (
        result("a"), result("b", Outcome.SILENT), result("c", Outcome.NOT_REACHED)))
    last = store.keep(report, cameras, plan, 5 * S, 9 * S, {})
    assert not last.kept, "one was not reached"
    assert [(t.id, t.seen_us) for t in store.targets(cameras)] == [("a", 9 * S), ("b", 0), ("c", 0)]
    again = store.keep(SweepReport(4.0, 3, {"seen": 2, "silent": 1}, (
        result("a"), result("b", Outcome.SILENT), result("c"))), cameras, plan, 15 * S, 19 * S, {})
    assert again.kept and again.cameras_of["b"].missed == 2 and again.cameras_of["c"].missed == 0
    assert SweepStore(tmp_path).last() == again
    (tmp_path / "state.json").write_text("{broken")
    (tmp_path / "last.json").write_text("{broken")
    assert store.last() is None and [t.seen_us for t in store.targets(cameras)] == [0, 0, 0]
    late = store.keep(SweepReport(11.0, 1, {"seen": 1}, (result("a"),)), cameras[:1], plan, 0, 0, {})
    assert not late.kept


def test_pictures_stay_as_long_as_their_class_allows(tmp_path: Path) -> None:
    store = SweepStore(tmp_path)
    cameras = (SweepCamera("a", "rtsp://h/a", "public"), SweepCamera("b", "rtsp://h/b", "home"))
    grey = np.full((90, 160, 3), 90, np.uint8)
    for name in "abz":
        store.picture(name, grey)
        os.utime(tmp_path / "snapshots" / f"{name}.jpg", (1000, 1000))
    assert (tmp_path / "snapshots" / "a.jpg").stat().st_mode & 0o777 == 0o600
    plan = SweepPlan("c.csv", keep_h={"public": 2.0, "home": 0.5})
    store.keep(SweepReport(1, 0, {}, ()), cameras, plan, 0, (1000 + 3600) * S, {})
    assert store.has("a") and not store.has("b") and not store.has("z"), "b's class is over, z is not listed any more"
    store.picture("a", grey // 2)
    assert store.look("a", "Li Wei", 7).mean() < 60, "the newest only"
    assert [(x.who, x.camera, x.at_us) for x in store.looks()] == [("Li Wei", "a", 7)]
    with pytest.raises(KeyError):
        store.look("../state", "x", 1)


def test_a_look_that_cannot_be_logged_is_not_given(tmp_path: Path) -> None:
    store = SweepStore(tmp_path)
    store.picture("a", np.zeros((9, 16, 3), np.uint8))
    (tmp_path / "looks.jsonl").mkdir()
    with pytest.raises(LocalFault, match="not given"):
        store.look("a", "x", 1)


def test_people_are_blurred_and_without_a_detector_everything_is() -> None:
    picture = np.random.default_rng(3).integers(0, 255, (120, 200, 3)).astype(np.uint8)
    face = Box("person", 0.4, 0.2, 0.6, 0.9, 0.2)
    out = blurred(picture, [face, Box("vehicle", 0, 0, 0.2, 0.2, 0.9), Box("person", 0, 0.8, 0.1, 1, 0.05)])
    part = out[24:108, 80:120]
    assert len(np.unique(part.reshape(-1, 3), axis=0)) < 150, "coarse cells"
    assert (out[:20, :40] == picture[:20, :40]).all() and (out[100:, :15] == picture[100:, :15]).all()
    assert len(np.unique(blurred(picture, None).reshape(-1, 3), axis=0)) <= 33 * 21
    assert (blurred(picture, []) == picture).all()


def test_a_single_picture_is_never_told_as_decided() -> None:
    thresholds = {"hot_work": 0.5, "flame": 0.5, "smoke": 0.5}
    one = json.loads(swept_camera(result("a", flame=0.99), thresholds, None))
    assert one["flame"] == 0.59 and one["picture"] is True and one["blind"] is False
    looked = json.loads(swept_camera(result("a", flame=0.99), thresholds, {"flame": 0.8}))
    assert looked["flame"] == 0.8 and looked["smoke"] == 0.0
    dead = json.loads(swept_camera(result("a", Outcome.SILENT), thresholds, None))
    assert dead["flame"] == dead["smoke"] == -1 and dead["picture"] is False
    last = LastSweep(0, 600, 3, False, SweepReport(601, 2, {"seen": 1, "silent": 1, "not_reached": 1}, ()), {})
    assert json.loads(sweep_message(last)) == {
        "cameras": 3, "seen": 1, "dead": 1, "not_reached": 1, "sweep_s": 601.0, "late": True}


@pytest.fixture(scope="module")
def pool() -> DetectorPool:
    return DetectorPool(1)


def site(tmp_path: Path) -> Path:
    """A camera that shows an arc, one that shows nothing, one that is not there."""
    (tmp_path / "arc").mkdir()
    with Image.open(PICTURES / "s2_neg_workshop_cc0_0000.jpg") as background:
        for number, image in enumerate(film("welding", background, 1, 30, (480, 270))):
            if number >= 6:  # the arc burns from the first picture on
                image.save(tmp_path / "arc" / f"{number:03}.jpg", quality=95)
    (tmp_path / "calm").mkdir()
    with Image.open(PICTURES / "s2_neg_workshop_cc0_0000.jpg") as image:
        image.save(tmp_path / "calm" / "0.jpg")
    (tmp_path / "cameras.csv").write_text(
        f"camera,source,class\narc,folder:{tmp_path}/arc#640x360@5,public\ncalm,folder:{tmp_path}/calm\n"
        f"gone,folder:{tmp_path}/gone\n")
    config = tmp_path / "vision.yaml"
    config.write_text("sweep: {cameras: cameras.csv, period_s: 60, burst_s: 5}\ndetectors: 1\n")
    return config


def test_a_suspicious_camera_is_watched_before_anything_is_told(tmp_path: Path, pool: DetectorPool) -> None:
    sweeper = Sweeper(site(tmp_path), pool)
    last = sweeper.once()
    by_name = {r.camera: r for r in last.report.results}
    assert last.kept and by_name["gone"].outcome is Outcome.REFUSED and not by_name["calm"].alarms
    told = {topic: json.loads(payload) for topic, payload in sweeper.messages(last).items()}
    assert told["tocsin/sweeps/all"]["seen"] == 2 and told["tocsin/sweep/gone"]["picture"] is False
    assert max(told["tocsin/sweep/calm"][name] for name in ("flame", "hot_work", "smoke")) < 0.6
    if by_name["arc"].alarms:  # the model's doing; the burst's is ours
        assert "arc" in last.decided
    assert sweeper.store.has("arc") and sweeper.store.has("calm") and not sweeper.store.has("gone")


def test_the_command_sweeps_once_and_says_what_is_wrong(tmp_path: Path) -> None:
    config = site(tmp_path)
    done = CliRunner().invoke(group, ["sweep", "--config", str(config), "--once", "--json"])
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(done.stdout.splitlines()[-1], type=LastSweep).cameras == 3
    config.write_text("cameras: [{id: a, source: 'rtsp://h/1'}]\n")
    done = CliRunner().invoke(group, ["sweep", "--config", str(config), "--once"])
    assert done.exit_code == 1 and "no sweep" in done.stderr


@pytest.mark.parametrize("wrong", ["period_s: 1", "keep_h: {public: 9999}", "burst_s: 99", "workers: 0"])
def test_a_wrong_sweep_is_found(wrong: str) -> None:
    with pytest.raises(ConfigError, match="sweep"):
        parse_vision(f"sweep: {{cameras: c.csv, {wrong}}}\n", "v.yaml")
