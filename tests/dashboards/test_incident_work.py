"""Deeds, reports and silences over HTTP: decoded, bounded, under one's own name, refused clearly."""

from __future__ import annotations

import httpx
import pytest
from memory_board import FixedClock, MemoryBoard, fire

from dashboards.people import Person
from dashboards.server import create_app
from device_model.incident_deeds import Deed, DoTask, TakeIn
from device_model.inspection import InspectionDeed, RaiseInspection
from device_model.read_models import ActionOutcome


class Guard:
    def enter(self, name: str, secret: str) -> str | None:
        return None

    def person(self, cookie: str) -> Person | None:
        return Person("li", "desk", "hangzhou/yuhang") if cookie == "c" else None

    def leave(self, cookie: str) -> None:
        return None


class Work:
    def __init__(self) -> None:
        self.deeds: list[tuple[str, Deed | InspectionDeed, str, str, str]] = []
        self.silences: list[tuple[str, str, tuple[str, ...], int, str]] = []

    async def do(self, incident: str, deed: Deed | InspectionDeed, *, who: str, why: str, request: str, scope: str,
                 site: str = "") -> ActionOutcome:
        self.deeds.append((incident, deed, who, scope, site))
        return ActionOutcome(incident != "shut", "it has ended" if incident == "shut" else "")

    async def silence(self, site: str, name: str, matchers: tuple[str, ...], for_us: int, *, who: str, why: str,
                      request: str, scope: str) -> ActionOutcome:
        self.silences.append((site, name, matchers, for_us, who))
        return ActionOutcome(True)

    async def shelve(self, site: str, alarm: str, kind: str, for_us: int, *, who: str, why: str, request: str,
                     scope: str) -> ActionOutcome:
        self.silences.append((site, alarm, (kind,), for_us, who))
        return ActionOutcome(True)


TASK = {"deed": {"type": "do_task", "task": "t1", "result": "closed"}, "request": "click-0001"}
CALL = {"deed": {"type": "take_in", "kind": "call", "hazard": "fire", "zone": "b1", "text": "smoke"},
        "request": "click-0002"}
SITE = "/api/sites/hangzhou/yuhang/cangqian/riverside"


def client(work: Work) -> httpx.AsyncClient:
    app = create_app(MemoryBoard(fire()), clock=FixedClock(), sign_in=Guard(), work=work)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test",
                             cookies={"tocsin_session": "c"}, headers={"X-Tocsin": "board"})


async def test_deeds_reports_and_silences_arrive_under_ones_own_name() -> None:
    work = Work()
    async with client(work) as http:
        assert (await http.post("/api/incidents/i-1/deeds", json=TASK)).status_code == 200
        assert (await http.post("/api/incidents/shut/deeds", json=TASK)).status_code == 409
        assert (await http.post(f"{SITE}/reports", json=CALL)).status_code == 200
        hush = {"name": "s1", "matchers": ["zone=b1"], "minutes": 30, "request": "click-0003", "why": "painting"}
        assert (await http.post(f"{SITE}/silences", json=hush)).status_code == 200
        shelf = {"alarm": "water.leak|leak-1", "kind": "shelved", "minutes": 10, "request": "click-0004", "why": "x"}
        assert (await http.post(f"{SITE}/shelf", json=shelf)).status_code == 200
        walk = {"deed": {"type": "raise_inspection", "title": {"en": "Hose", "zh": "水带"}, "subject": "b1",
                         "person": "w", "items": [{"en": "There", "zh": "在位"}], "within_us": 1},
                "request": "click-0005"}
        assert (await http.post(f"{SITE}/inspections", json=walk)).status_code == 200
    assert isinstance(work.deeds.pop()[1], RaiseInspection)
    assert work.silences.pop()[1:4] == ("water.leak|leak-1", ("shelved",), 600_000_000)
    assert work.deeds[0] == ("i-1", DoTask("t1", "closed"), "li", "hangzhou/yuhang", "")
    assert isinstance(work.deeds[2][1], TakeIn) and work.deeds[2][4] == "hangzhou/yuhang/cangqian/riverside"
    assert work.silences == [("hangzhou/yuhang/cangqian/riverside", "s1", ("zone=b1",), 1_800_000_000, "li")]


@pytest.mark.parametrize(("path", "body", "headers", "status"), [
    ("/api/incidents/i-1/deeds", TASK, {"X-Tocsin": ""}, 403),
    ("/api/incidents/i-1/deeds", CALL, {}, 400),
    (f"{SITE}/reports", TASK, {}, 400),
    ("/api/incidents/i-1/deeds", {**TASK, "deed": {"type": "explode"}}, {}, 400),
    ("/api/incidents/i-1/deeds", {**TASK, "request": "x"}, {}, 400),
    (f"{SITE}/shelf", {"alarm": "", "request": "click-0003"}, {}, 400),
    (f"{SITE}/silences", {"name": "s 1", "request": "click-0003"}, {}, 400),
    (f"{SITE}/silences", {"name": "s1", "minutes": 99_999_999, "request": "click-0003"}, {}, 400),
    ("/api/incidents/i-1/deeds", {**TASK, "why": "x" * 20_000}, {}, 413),
])
async def test_what_does_not_fit_is_refused(path: str, body: object, headers: dict[str, str], status: int) -> None:
    work = Work()
    async with client(work) as http:
        answer = await http.post(path, json=body, headers=headers)
    assert answer.status_code == status and not work.deeds and not work.silences


async def test_nobody_does_anything_without_signing_in() -> None:
    work = Work()
    async with client(work) as http:
        http.cookies.clear()
        assert (await http.post("/api/incidents/i-1/deeds", json=TASK)).status_code == 401
    assert not work.deeds
