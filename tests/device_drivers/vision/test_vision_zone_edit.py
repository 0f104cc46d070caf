"""Zones drawn into a vision file: everything else stays, mistakes are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy")

from device_drivers.vision.scenes import ZoneView
from device_drivers.vision.vision_file import parse_vision
from device_drivers.vision.zone_edit import Drawing, drawing_of, with_drawing
from device_model.errors import ConfigError

BLOCK = """# the yard's cameras
cameras:
  - id: yard-1   # by the gate
    source: "rtsp://viewer:word@10.0.0.21/stream2"
    zones:       # drawn in May
      - id: bay
        outline:
          - [0.1, 0.3]
          - [0.6, 0.3]
          - [0.6, 1]
    every_s: 0.2  # flicker
  - {id: hall, source: 'rtsp://h/2', masks: [[[0, 0], [1, 0], [1, 0.1]]]}
  - id: last
    source: rtsp://h/3 # no zones yet
broker: {host: 127.0.0.1, port: 1883}
"""
PIT = ZoneView("pit", ((0.2, 0.2), (0.4, 0.2), (0.4, 0.61234)), {"flame": 0.5}, scenes=("no_entry", "headcount"),
               person_height=0.1)
DRAWN = Drawing((PIT, ZoneView("rest", watch=("smoke",))), (((0, 0), (0.5, 0), (0.5, 0.5)),))


@pytest.mark.parametrize("camera", ["yard-1", "hall", "last"])
def test_only_the_zones_of_one_camera_change(camera: str) -> None:
    changed = with_drawing(BLOCK, camera, DRAWN, "v.yaml")
    plan, before = parse_vision(changed, "v.yaml"), parse_vision(BLOCK, "v.yaml")
    drawn = drawing_of(plan, camera)
    assert drawn is not None and drawn.zones[0].outline[2] == (0.4, 0.6123) and drawn.masks == DRAWN.masks
    assert drawn.zones[0].scenes == PIT.scenes and drawn.zones[1].watch == ("smoke",)
    for other in {"yard-1", "hall", "last"} - {camera}:
        assert drawing_of(plan, other) == drawing_of(before, other)
    for comment in ("# the yard's cameras", "# by the gate", "# flicker", "# no zones yet"):
        assert comment in changed
    again = with_drawing(changed, camera, Drawing(), "v.yaml")
    assert drawing_of(parse_vision(again, "v.yaml"), camera) == Drawing()
    assert with_drawing(changed, camera, DRAWN, "v.yaml") == changed


@pytest.mark.parametrize(("drawing", "said"), [
    (Drawing((ZoneView("z", ((0, 0), (1, 1))),)), "corners"),
    (Drawing((ZoneView("z", ((0, 0), (2, 1), (1, 1))),)), "leaves the picture"),
    (Drawing((ZoneView("z", scenes=("faces",)),)), "faces"),
    (Drawing((), (((0, 0), (1, 1)),)), "fewer than 3"),
])
def test_a_wrong_drawing_is_refused(drawing: Drawing, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        with_drawing(BLOCK, "yard-1", drawing, "v.yaml")


@pytest.mark.parametrize("text", ["", "[]", "cameras: x", "cameras: [", BLOCK.replace("yard-1", "other")])
def test_a_file_without_the_camera_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        with_drawing(text, "yard-1", DRAWN, "v.yaml")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=64), st.sampled_from(
    ["yard-1", "hall", "last"]))
def test_any_polygon_can_be_drawn(outline: list[tuple[float, float]], camera: str) -> None:
    changed = with_drawing(BLOCK, camera, Drawing((ZoneView("z", tuple(outline)),)), "v.yaml")
    found = drawing_of(parse_vision(changed, "v.yaml"), camera)
    assert found is not None and len(found.zones[0].outline) == len(outline)
