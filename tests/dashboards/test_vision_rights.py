"""The cameras' page: the role of a PIN decides what it may, and only for those whom the vision file names."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dashboards.pins import PinDoor, set_pin
from dashboards.vision_page import CamerasView, SweepView, create_vision_app

PIN = "274951"
LOOK, NOW, DRAW = "sweep picture", "picture of now", "zones"


class Cameras:
    """A desk whose vision file lets everybody do everything, but nobody called Stranger."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def _named(self, who: str) -> bool:
        return who != "Stranger"

    may_look = may_draw = may_label = _named

    def cameras(self) -> CamerasView:
        return CamerasView((), (), (), False)

    def sweep(self) -> SweepView:
        return SweepView(0)

    def save(self, camera: str, drawing: bytes, who: str) -> None:
        self.saved.append(who)

    def undo(self, who: str) -> bool:
        return True

    def picture(self, camera: str, who: str) -> bytes:
        return b"picture"

    swept_picture = picture


def entered(file: Path, name: str) -> tuple[TestClient, dict[str, str], Cameras]:
    cameras = Cameras()
    page = TestClient(create_vision_app(cameras, PinDoor(file, time.monotonic)))
    said = page.post("/api/sign-in", json={"name": name, "pin": PIN}, headers={"X-Tocsin": "local"}).json()
    return page, {"X-Tocsin": "local", "X-Tocsin-Csrf": said.get("csrf", "")}, cameras


@pytest.mark.parametrize(("role", "name", "may"), [
    ("property", "Wang", {LOOK, NOW, DRAW}), ("contractor", "Zhao", {NOW, DRAW}), ("duty", "Sun", {LOOK, NOW}),
    ("property", "Stranger", set()), ("contractor", "Stranger", set()),
])
def test_the_role_of_the_pin_decides(tmp_path: Path, role: str, name: str, may: set[str]) -> None:
    file = tmp_path / "pins.json"
    set_pin(file, "Owner", "863197")
    set_pin(file, name, PIN, role)
    page, headers, cameras = entered(file, name)
    got = {LOOK: page.get("/api/sweep/yard.jpg"), NOW: page.get("/api/cameras/yard/now.jpg"),
           DRAW: page.post("/api/cameras/yard/drawing", json={}, headers=headers)}
    assert {what for what, answer in got.items() if answer.status_code == 200} == may
    assert {answer.status_code for what, answer in got.items() if what not in may} <= {403}
    assert (page.post("/api/cameras/undo", headers=headers).status_code == 200) == (DRAW in may)
    assert page.post("/api/cameras/yard/drawing", json={}, headers={"X-Tocsin": "local"}).status_code == 403, "token"
    assert cameras.saved == ([name] if DRAW in may else [])


@pytest.mark.parametrize("how", ["other PIN", "other role", "removed", "file gone"])
def test_a_pin_that_another_process_changes_ends_its_sessions(tmp_path: Path, how: str) -> None:
    file = tmp_path / "pins.json"
    set_pin(file, "Owner", "863197")
    set_pin(file, "Wang", PIN)
    page, headers, _ = entered(file, "Wang")
    assert page.get("/api/sweep/yard.jpg").status_code == 200
    if how == "file gone":
        file.unlink()
    else:
        set_pin(file, "Wang", {"other PIN": "518274", "other role": PIN, "removed": ""}[how],
                "contractor" if how == "other role" else "property")
    assert page.get("/api/sweep/yard.jpg").status_code == 403
    assert page.post("/api/cameras/undo", headers=headers).status_code == 403
    assert page.get("/api/session").json()["who"] == ""


def test_nobody_looks_without_signing_in(tmp_path: Path) -> None:
    set_pin(tmp_path / "pins.json", "Owner", "863197")
    page, headers, _ = entered(tmp_path / "pins.json", "Nobody")
    assert page.get("/api/sweep/yard.jpg").status_code == page.get("/api/cameras/yard/now.jpg").status_code == 403
    assert page.post("/api/cameras/undo", headers=headers).status_code == 403
