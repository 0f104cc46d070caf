"""First stage, temporal decision, zones, health, fair share: pure, on drawn pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.vision.camera_health import CameraHealth, CameraState, HealthLimits
from device_drivers.vision.first_stage import COLUMNS, ROWS, FirstStage
from device_drivers.vision.frames import grey_of, parse_source
from device_drivers.vision.gstreamer import RawShape, gstreamer_command
from device_drivers.vision.mjpeg import JpegCutter
from device_drivers.vision.pooling import Spot, calibrated, pooled_logits, spots
from device_drivers.vision.scenes import CameraScenes, ZoneView, inside, paint_masks
from device_drivers.vision.share import FairShare, ShareCount
from device_drivers.vision.temporal import Decision, TemporalJudge, TemporalRule
from device_model.errors import ConfigError

S = 1_000_000
RNG = np.random.default_rng(1)


def yard(shift: int = 0, light: float = 1.0) -> np.ndarray:
    """A picture with edges and noise; moved aside by so many pixels."""
    picture = np.full((270, 480, 3), 90.0)
    for x, shade in ((40, 160), (150, 60), (260, 200), (380, 120)):
        picture[60:200, x : x + 50] = shade
    picture[200:] = 50
    picture = np.roll(picture, shift, 1) * light + RNG.normal(0, 2, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def test_the_first_stage_finds_a_distant_arc_and_a_walker() -> None:
    stage = FirstStage()
    for _ in range(5):
        assert not stage.look(grey_of(yard())).crops
    picture = yard()
    picture[100:106, 400:406] = 255
    look = stage.look(grey_of(picture))
    light = next(c for c in look.crops if c.why == "light")
    assert light.left < 400 / 480 and light.right > 406 / 480 and light.top < 100 / 270 and light.bottom > 106 / 270
    assert (light.right - light.left) < 0.5
    picture = yard()
    picture[120:190, 100:120] = 10
    look = stage.look(grey_of(picture))
    assert any(c.why == "motion" and c.left < 110 / 480 < c.right for c in look.crops)


def test_rain_all_over_the_picture_is_no_thing_to_look_at() -> None:
    stage = FirstStage()
    stage.look(grey_of(yard()))
    rng = np.random.default_rng(4)
    for _ in range(5):
        picture = yard()
        for y, x in zip(rng.integers(0, 255, 150), rng.integers(0, 478, 150), strict=True):
            picture[y : y + 12, x : x + 2] = 160
        look = stage.look(grey_of(picture))
        assert look.moved > 0.02 and not [c for c in look.crops if c.why == "motion"]


def test_a_lamp_switched_on_is_learnt_at_once_and_not_motion_for_ever() -> None:
    stage = FirstStage()
    stage.look(grey_of(yard(light=0.3)))
    assert stage.look(grey_of(yard())).moved > 0.5
    assert stage.look(grey_of(yard())).moved < 0.05


@pytest.mark.parametrize(
    ("picture", "state"),
    [
        (lambda _: np.full((270, 480, 3), 3, np.uint8), CameraState.DARK),
        (
            lambda n: (np.full((270, 480, 3), 120.0) + np.random.default_rng(n).normal(0, 1, (270, 480, 3))).astype(
                np.uint8
            ),
            CameraState.BLINDED,
        ),
        (lambda _: yard(shift=130), CameraState.MOVED),
        (lambda _: yard(), CameraState.WELL),
        (lambda _: yard(light=0.5), CameraState.WELL),
    ],
)
def test_health_says_what_is_wrong(picture: object, state: CameraState) -> None:
    health, stage = CameraHealth(HealthLimits()), FirstStage()
    for second in range(20):
        grey = grey_of(yard())
        health.frame(stage.look(grey), grey, second * S)
    assert health.state is CameraState.WELL
    for second in range(20, 32):
        grey = grey_of(picture(second))  # type: ignore[operator]
        health.frame(stage.look(grey), grey, second * S)
    assert health.state is state


def test_a_frozen_a_silent_and_a_late_camera() -> None:
    health, stage, grey = CameraHealth(HealthLimits()), FirstStage(), grey_of(yard())
    assert health.at(0) is CameraState.SILENT
    for second in range(12):
        health.frame(stage.look(grey), grey, second * S)
    assert health.state is CameraState.FROZEN
    grey = grey_of(yard())
    assert health.frame(stage.look(grey), grey, 13 * S) is CameraState.WELL
    assert health.at(14 * S) is CameraState.WELL and health.at(30 * S) is CameraState.SILENT
    for second in range(31, 40):
        grey = grey_of(yard())
        health.frame(stage.look(grey), grey, second * S, late_s=9.0)
    assert health.state is CameraState.LATE


def run(judge: TemporalJudge, scores: list[float], light: object) -> list[Decision]:
    return [judge.frame(score, light(i / 10), i * S // 10) for i, score in enumerate(scores)]  # type: ignore[operator]


def flickering(t: float) -> float:
    return 100 + 40 * math.sin(2 * math.pi * 3.3 * t)


def test_k_of_n_needs_more_than_one_frame() -> None:
    judge = TemporalJudge(TemporalRule(), 0.5, True)
    assert not any(d.decided for d in run(judge, [0.9, 0.1, 0.1, 0.9, 0.1, 0.1], flickering))
    decided = run(TemporalJudge(TemporalRule(), 0.5, True), [0.9, 0.1, 0.9, 0.9], flickering)
    assert [d.decided for d in decided] == [False, False, False, True]
    assert decided[-1].confidence == pytest.approx(0.9)


def test_a_decided_class_ends_only_when_all_frames_are_low() -> None:
    out = run(TemporalJudge(TemporalRule(), 0.5, True), [0.9] * 3 + [0.45] * 10 + [0.1] * 5, flickering)
    assert out[12].decided and not out[-1].decided


def test_a_steady_lamp_is_learnt_and_a_flickering_arc_is_not() -> None:
    rule = TemporalRule(learn_s=5)
    lamp = TemporalJudge(rule, 0.5, True)
    steady = run(lamp, [0.2] * 60 + [0.7] * 60, lambda t: 200.0)
    assert steady[-1].steady and not steady[-1].decided
    arc = run(TemporalJudge(rule, 0.5, True), [0.2] * 60 + [0.7] * 60, flickering)
    assert not arc[-1].steady and arc[-1].decided
    # Sureness beats steadiness: a fire is never hidden because it burns evenly.
    sure = run(TemporalJudge(rule, 0.5, True), [0.2] * 60 + [0.99] * 10, lambda t: 200.0)
    assert sure[-1].decided


def test_zones_judge_what_lies_in_them() -> None:
    left = ZoneView("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)), thresholds={"flame": 0.4})
    right = ZoneView("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)), watch=("flame",))
    scenes = CameraScenes("cam", (left, right), {"hot_work": 0.5, "flame": 0.5, "smoke": 0.5}, TemporalRule(k=1, n=1))
    states = scenes.frame(
        {"hot_work": 0.1, "flame": 0.9, "smoke": 0.1}, {"flame": [Spot(0.6, 0.2, 0.8, 0.4, 0.9)]}, 1.0, 0
    )
    found = {(s.zone, s.name): s.decision.decided for s in states}
    assert found == {
        ("left", "hot_work"): False,
        ("left", "flame"): False,
        ("left", "smoke"): False,
        ("right", "flame"): True,
    }


@pytest.mark.parametrize(
    "zone",
    [
        ZoneView("two", ((0, 0), (1, 1))),
        ZoneView("out", ((0, 0), (2, 0), (1, 1))),
        ZoneView("word", thresholds={"fog": 0.5}),
        ZoneView("one", thresholds={"flame": 1.0}),
    ],
)
def test_badly_drawn_zones_are_refused(zone: ZoneView) -> None:
    with pytest.raises(ConfigError):
        CameraScenes("cam", (zone,), {"hot_work": 0.5, "flame": 0.5, "smoke": 0.5}, TemporalRule())


@given(st.floats(0, 1), st.floats(0, 1))
def test_masks_and_zones_agree_on_inside(x: float, y: float) -> None:
    outline = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    painted = paint_masks(np.zeros((40, 40, 3), np.uint8), (outline,))
    column, row = min(39, int(x * 40)), min(39, int(y * 40))
    centre = ((column + 0.5) / 40, (row + 0.5) / 40)
    assert bool(painted[row, column, 0] == 127) == inside(outline, *centre)


def test_every_camera_gets_its_turn_and_drops_are_counted() -> None:
    share: FairShare[int] = FairShare()
    taken = []
    for number in range(100):
        for _ in range(9):
            share.offer("busy", number)
        share.offer("calm", number)
        share.offer("third", number)
        for _ in range(2):
            got = share.take()
            assert got is not None
            taken.append(got[0])
    counts = share.counts()
    assert max(taken.count(c) for c in counts) - min(taken.count(c) for c in counts) <= 1
    busy = counts["busy"]
    assert busy.offered == 900 and busy.judged + busy.dropped in (899, 900)
    assert share.counts()["busy"] == ShareCount()


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 9))
def test_the_cutter_finds_every_picture_however_it_is_cut(between: list[bytes], step: int) -> None:
    noise = [b.replace(b"\xff", b"") for b in between]
    pictures = [b"\xff\xd8\xff" + bytes([i]) * i + b"\xff\xd9" for i in range(len(noise))]
    stream = b"".join(n + p for n, p in zip(noise, pictures, strict=True))
    cutter, got = JpegCutter(), []
    for at in range(0, len(stream), step):
        got += cutter.feed(stream[at : at + step])
    assert got == pictures and cutter.dropped == sum(map(len, noise))


@given(st.binary(max_size=300))
def test_the_cutter_bears_anything(octets: bytes) -> None:
    cutter = JpegCutter()
    assert sum(map(len, cutter.feed(octets))) + cutter.dropped <= len(octets)


@pytest.mark.parametrize(
    ("address", "kind", "shown"),
    [
        ("rtsp://joe:word@10.0.0.7/cam/1", "rtsp", "rtsp://10.0.0.7/cam/1"),
        ("https://h/snap.jpg", "http", "https://h/snap.jpg"),
        ("v4l2:/dev/video0", "v4l2", "v4l2:/dev/video0"),
        ("folder:pictures#640x360@2", "folder", "folder:pictures"),
        ("test:ball#320x240@10", "test", "test:ball"),
    ],
)
def test_addresses(address: str, kind: str, shown: str) -> None:
    spec = parse_source(address)
    assert (spec.kind, spec.shown) == (kind, shown)


@pytest.mark.parametrize(
    "address", ["", "ftp://x/y", "rtsp:", "rtsp://", "test:ball#huge", "test:ball#640x360@0", "x\0:"]
)
def test_bad_addresses_are_refused_with_a_remedy(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_source(address)
    assert refused.value.findings[0].remedy


@given(st.text(max_size=60))
def test_any_address_is_parsed_or_refused(address: str) -> None:
    try:
        spec = parse_source(address)
    except ConfigError:
        return
    assert spec.kind and 0 < spec.fps <= 120


@pytest.mark.parametrize(
    ("source", "element"),
    [
        ("jetson:0", "nvarguscamerasrc"),
        ("jetson-rtsp://10.0.0.9/1", "nvv4l2decoder"),
        ("v4l2:/dev/video2", "v4l2src"),
        ("test:ball", "videotestsrc"),
    ],
)
def test_gstreamer_pipelines(source: str, element: str) -> None:
    command = gstreamer_command(source, RawShape(320, 240, 4))
    assert command[0] == "gst-launch-1.0" and element in command and command[-3] == "fdsink"
    assert "video/x-raw,format=RGB,width=320,height=240,framerate=4/1" in command


@pytest.mark.parametrize(
    "source",
    [
        "jetson:0 ! filesink location=x",
        "v4l2:/etc/passwd",
        "test:ball ! fakesink",
        "jetson-rtsp://a b ! x",
        "other:1",
    ],
)
def test_nothing_is_smuggled_into_a_pipeline(source: str) -> None:
    with pytest.raises(ConfigError):
        gstreamer_command(source, RawShape())


def test_pooling_counts_one_strong_cell_and_finds_its_place() -> None:
    logits = np.full((3, 65), -6.0, np.float32)
    logits[:, -1] = 0.0
    logits[0, 8 * 2 + 5] = 6.0
    pooled = pooled_logits(logits)
    assert pooled[0] == pytest.approx(6 - math.log(8), abs=1e-3) and pooled[1] == pytest.approx(-6, abs=1e-3)
    assert calibrated(pooled, np.ones(3, np.float32), np.zeros(3, np.float32))[0] > 0.9
    (spot,) = spots(logits[0], 8, 1.0, 0.0, 0.5)
    assert (spot.left, spot.top, spot.right, spot.bottom) == (5 / 8, 2 / 8, 6 / 8, 3 / 8)


def test_the_small_picture_keeps_a_small_light() -> None:
    picture = np.zeros((1080, 1920, 3), np.uint8)
    picture[500:520, 900:920] = 255
    grey = grey_of(picture)
    assert grey.shape == (ROWS, COLUMNS) and grey.max() > 120
