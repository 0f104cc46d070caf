"""The property manager's and the resident's pages over HTTP: needs, maintenance, rota, meters, reports, rights."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.estate import Need
from dashboards.people import Person
from device_model.alarm import Hazard
from device_model.clock import DAY_US, HOUR_US
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import ImpairmentRecord
from tests.dashboards.brigade_house import LAKESIDE, RIVERSIDE
from tests.dashboards.estate_house import EstateHouse

pytestmark = pytest.mark.real
SCENE = (Path(__file__).parent / "scene.jpg").read_bytes()
PEOPLE = {
    "manager": Person("Chen", "property", RIVERSIDE), "resident": Person("Wu", "resident", RIVERSIDE),
    "neighbour": Person("Xu", "resident", LAKESIDE), "brigade": Person("Ma", "brigade", "hangzhou"),
    "all": Person("He", "property", "hangzhou"),
}


class Door:
    """Whoever the cookie names."""

    def enter(self, name: str, secret: str) -> str | None:
        return None

    def person(self, cookie: str) -> Person | None:
        return PEOPLE.get(cookie)

    def leave(self, cookie: str) -> None:
        pass


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EstateHouse]:
    made = EstateHouse(tmp_path_factory.mktemp("estate"), Door())
    made.quiet()
    made.quiet(LAKESIDE)
    made.start()
    yield made
    made.stop()


def ask(house: EstateHouse, who: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(house.url + path, sent, {
        "cookie": f"tocsin_session={who}", "x-tocsin": "board", "content-type": "application/json",
        "sec-fetch-site": "same-origin", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        text = error.read()
        try:
            return error.code, json.loads(text)
        except json.JSONDecodeError:
            return error.code, text.decode()


def needs(house: EstateHouse, who: str = "manager") -> list[dict[str, Any]]:
    status, page = ask(house, who, "/api/my-sites")
    assert status == 200
    return list(page["needs"])


def device(house: EstateHouse, number: int = 0) -> str:
    return list(house.inventories[RIVERSIDE].devices)[number]


def test_what_needs_me_comes_in_order_and_only_of_my_sites(house: EstateHouse) -> None:
    point = next(iter(house.inventories[RIVERSIDE].points))
    other = next(iter(house.inventories[LAKESIDE].points))
    incident = house.alarm(point)
    house.alarm(other, Hazard.WATER, LAKESIDE)
    now_us = house.now_us()
    for number, kind in enumerate((ImpairmentKind.SILENT, ImpairmentKind.FAULT, ImpairmentKind.GATEWAY_SILENT)):
        house.up(ImpairmentRecord(ImpairmentChange(Impairment(kind, device(house, number), now_us, why="self-test due"
                                                              if kind is ImpairmentKind.FAULT else "x"))))
    low = Impairment(ImpairmentKind.FAULT, device(house, 3), now_us, why="Low battery: 2.1 V")
    house.up(ImpairmentRecord(ImpairmentChange(low)))
    house.certificates[RIVERSIDE, "gw-1"] = now_us + 2 * DAY_US
    house.certificates[LAKESIDE, "gw-2"] = now_us + 2 * DAY_US
    found = needs(house)
    kinds = [one["kind"] for one in found]
    assert kinds == sorted(kinds, key=[need.value for need in Need].index)
    assert {"alarm", "silent", "test", "gateway", "certificate"} <= set(kinds)
    (battery,) = [one for one in found if one["kind"] == "battery"]
    assert battery["what"] == {"en": "Low battery", "zh": "电池电压低"} and battery["why"] == "2.1 V"
    assert found[0]["incident"] == incident and {one["path"] for one in found} == {RIVERSIDE}
    assert {one["path"] for one in needs(house, "all")} == {RIVERSIDE, LAKESIDE}
    _, page = ask(house, "manager", "/api/my-sites")
    assert [site["path"] for site in page["sites"]] == [RIVERSIDE] and page["sites"][0]["contacts"]
    assert page["sites"][0]["alive"] == page["sites"][0]["expected"] > 0 and page["may_maintain"]


def test_maintenance_is_an_impairment_with_a_measure_and_an_end(house: EstateHouse) -> None:
    url, name = f"/api/my-sites/{RIVERSIDE}/maintenance", device(house, 4)
    body = {"devices": [name], "minutes": 120, "measure": "guard walks hourly", "why": "paint",
            "request": "maint-0001"}
    status, refused = ask(house, "manager", url, {**body, "measure": "", "request": "maint-0000"})
    assert status == 409 and refused["law"] == 3
    assert ask(house, "manager", url, body)[1]["done"]
    site = ask(house, "manager", "/api/my-sites")[1]["sites"][0]
    assert [one["device"] for one in site["waiting"]] == [name] and not site.get("isolated")
    assert ask(house, "manager", url, body)[1]["done"], "the same click counts once"
    assert len(house.gateway_answers()) == 1
    site = ask(house, "manager", "/api/my-sites")[1]["sites"][0]
    (out,) = site["isolated"]
    assert out["subject"] == name and "guard walks hourly" in out["why"] and not site.get("waiting")
    assert 0 < out["due_us"] - house.now_us() <= 2 * HOUR_US
    assert ask(house, "manager", url, {"devices": [name], "why": "done", "request": "maint-0002"})[1]["done"]
    house.gateway_answers()
    assert not ask(house, "manager", "/api/my-sites")[1]["sites"][0].get("isolated")
    for who, path in (("resident", RIVERSIDE), ("brigade", RIVERSIDE), ("manager", LAKESIDE)):
        assert ask(house, who, f"/api/my-sites/{path}/maintenance", body)[0] in (403, 404)
    assert ask(house, "manager", url, {**body, "minutes": 99_999})[0] == 400
    assert ask(house, "manager", url, {**body, "devices": []})[0] == 400
    assert ask(house, "manager", url, body, **{"x-tocsin": ""})[0] == 403


def test_shifts_are_swapped_and_taken_over_by_right(house: EstateHouse) -> None:
    rota = ask(house, "manager", "/api/my-sites")[1]["sites"][0]["rotas"][0]
    shift = next(one for one in rota["coming"] if one["starts_us"] > house.now_us())
    leaving = shift["people"][0][0]
    coming = next(person for person, _ in rota["people"] if person not in {p for p, _ in shift["people"]})
    url = f"/api/my-sites/{RIVERSIDE}/rota"
    body = {"rota": rota["id"], "day": shift["day"], "shift": shift["name"], "leaving": leaving, "coming": coming,
            "why": "ill", "request": "swap-00001"}
    assert ask(house, "manager", url, body)[1] == {"done": True}
    after = ask(house, "manager", "/api/my-sites")[1]["sites"][0]["rotas"][0]
    changed = next(one for one in after["coming"] if (one["day"], one["name"]) == (shift["day"], shift["name"]))
    assert [person for person, _ in changed["people"]] == [coming]
    again = ask(house, "manager", url, {**body, "request": "swap-00002"})
    assert again[0] == 409 and "does not have that shift" in again[1]["refusal"]
    on_now = after["shift"]["people"][0]
    taken = ask(house, "manager", url, {"rota": rota["id"], "coming": on_now[0], "why": "keys",
                                        "request": "take-00001"})
    assert taken[1]["done"]
    assert ask(house, "manager", "/api/my-sites")[1]["sites"][0]["rotas"][0]["taken_over_by"] == on_now[1]
    assert ask(house, "brigade", url, body)[0] in (403, 404) and ask(house, "resident", url, body)[0] == 403


def test_meters_have_days_and_a_missing_one_is_not_zero(house: EstateHouse) -> None:
    meters = [(name, point) for name, point in house.inventories[RIVERSIDE].points.items()
              if point.quantity in ("energy", "volume")]
    for name, point in meters:
        house.count(name, point.quantity, point.unit)
    status, found = ask(house, "manager", f"/api/my-sites/{RIVERSIDE}/usage?days=30")
    assert status == 200 and len(found) == len(meters)
    for meter in found:
        uses = [day["use"] for day in meter["days"]]
        assert len(uses) == 30 and None in uses and 0 not in uses and any(not day["whole"] for day in meter["days"])
    assert ask(house, "manager", f"/api/my-sites/{LAKESIDE}/usage")[0] in (403, 404)


def test_who_was_told_and_how_that_ended(house: EstateHouse) -> None:
    incident = house.alarm(list(house.inventories[RIVERSIDE].points)[3], Hazard.CO)
    status, found = ask(house, "manager", f"/api/incidents/{incident}/deliveries")
    assert status == 200 and {one["state"] for one in found} == {"waiting"} and found[0]["endpoint"]
    from community_os.notice_store import NoticeStatus, NoticeStore

    notices = NoticeStore(house.store)
    kept = [notice for notice, _ in notices.of_incident(incident)]
    notices.settle_all(kept[1:], house.now_us(), status=NoticeStatus.SENT)
    notices.settle_all(kept[:1], house.now_us(), status=NoticeStatus.DEAD, reason="answered 503")
    states = [one["state"] for one in ask(house, "manager", f"/api/incidents/{incident}/deliveries")[1]]
    assert sorted(set(states)) == ["failed", "sent"] and states.count("failed") == 1
    ask(house, "brigade", f"/api/incidents/{incident}/actions", {"action": "acknowledge", "request": "ackn-00001"})
    after = ask(house, "manager", f"/api/incidents/{incident}/deliveries")[1]
    (failed,) = [one for one in after if one["state"] == "failed"]
    assert failed["reason"] == "answered 503"
    answered = [one for one in after if one["state"] == "acknowledged"]
    assert len(answered) == len(kept) - 1 and {one["acknowledged_by"] for one in answered} == {"Ma"}
    assert ask(house, "neighbour", f"/api/incidents/{incident}/deliveries")[0] in (403, 404)


def test_a_resident_sees_the_building_and_nobody_s_dwelling_or_name(house: EstateHouse) -> None:
    dwelling = next(zone for zone in house.inventories[RIVERSIDE].site.zones if zone.kind == "dwelling")
    point = next(p.name for p in house.inventories[RIVERSIDE].points.values() if p.zone == dwelling.id)
    house.alarm(point, Hazard.GAS_HIGH)
    status, page = ask(house, "resident", f"/api/building/{RIVERSIDE}")
    assert status == 200 and {alarm["hazard"] for alarm in page["alarms"]} >= {"gas_high"}
    text = json.dumps(page, ensure_ascii=False)
    private = [dwelling.name.en, dwelling.name.zh, dwelling.id, "Chen Jing", "lives in", "Ma"]
    private += [one.id for one in house.inventories[RIVERSIDE].devices.values()]
    assert not [word for word in private if word in text]
    assert {one["role"] for one in page["contacts"]} <= {"duty", "property", "monitoring_centre", "micro_station"}
    assert [one["path"] for one in ask(house, "resident", "/api/building")[1]] == [RIVERSIDE]
    assert ask(house, "neighbour", f"/api/building/{RIVERSIDE}")[0] in (403, 404)
    for path in ("/api/my-sites", "/api/board", "/my-sites", f"/api/my-sites/{RIVERSIDE}/usage"):
        assert ask(house, "resident", path)[0] in (303, 403, 404), path


def test_a_report_comes_in_with_a_picture_and_a_flood_of_them_does_not(house: EstateHouse) -> None:
    place = next(one for one in ask(house, "resident", f"/api/building/{RIVERSIDE}")[1]["places"])
    url = f"/api/building/{RIVERSIDE}/reports"
    body = {"hazard": "charging", "zone": place["zone"], "text": "a bike is charged on the stairs", "phone": "123",
            "request": "report-0001"}
    status, taken = ask(house, "resident", url, body)
    assert status == 200 and taken["done"] and len(taken["token"]) == 32
    photo = f"/api/building/reports/{taken['token']}/photos"
    assert ask(house, "neighbour", photo, SCENE)[0] == 409, "another's report"
    status, kept = ask(house, "resident", photo, SCENE, **{"content-type": "image/jpeg"})
    assert kept == {"done": True}, kept
    assert ask(house, "resident", photo, b"no picture")[0] == 409
    board = ask(house, "brigade", "/api/board?whole=1")[1]["board"]
    (incident,) = [one for one in board["incidents"] if one["hazard"] == "charging"]
    (intake,) = incident["handling"]["intakes"]
    assert intake["kind"] == "citizen" and "a bike is charged" in intake["text"] and intake["caller"] == "Wu"
    assert incident["handling"]["reports"][0]["photo"]
    for number, wrong in enumerate(({"text": ""}, {"text": "x" * 501}, {"hazard": "proof"}, {"zone": "b9-9"},
                                    {"request": "x"}, {"zone": "floor:b9:9"})):
        answer = ask(house, "resident", url, {**body, "request": f"wrong-000{number}", **wrong})
        assert answer[0] in (400, 409) and not answer[1].get("done"), wrong
    outcomes = [ask(house, "resident", url, {**body, "request": f"again-000{number}"}) for number in range(6)]
    assert [status for status, _ in outcomes].count(409) >= 1 and "119" in outcomes[-1][1]["refusal"]
    assert ask(house, "neighbour", url, {**body, "request": "other-0001"})[0] in (403, 404)


def test_the_service_keeps_its_bounds(house: EstateHouse) -> None:
    for number in range(50):
        assert house.estate._may_report(f"p{number}", house.now_us())
    assert asyncio.run(house.estate.usage("a/b/c/d", 5)) == ()
    assert asyncio.run(house.estate.building("a/b/c/d")) is None
