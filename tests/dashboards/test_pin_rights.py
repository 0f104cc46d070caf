"""Roles of PINs: who may do what on the gateway's own pages, decided in one table and held against every route."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from install_house import MemoryInstaller
from local_gateway import HandGateway

from dashboards.local_page import create_local_app
from dashboards.pin_rights import LOCAL_ROLES, LocalDeed, deed_of_action, may_here
from dashboards.pins import Pin, PinDoor, people_of, set_pin
from device_model.errors import LocalFault

PEOPLE = {"Wang": "property", "Zhao": "contractor", "Sun": "duty"}
# What a contractor's click on each door is answered; every other POST is refused to a contractor.
CONTRACTOR_MAY = {"/api/install/scan", "/api/install/save", "/api/install/walk", "/api/install/interlock",
                  "/api/install/table", "/api/install/photos", "/api/sign-in", "/api/sign-out"}
BODIES = {"scan": {"kind": "tcp", "target": "h"}, "walk": {"subject": "smoke-301", "step": "begin"},
          "interlock": {"subject": "horn", "step": "drive"}, "table": {"text": ""}, "accept": {"note": "as agreed"},
          "act": {"action": "isolate", "target": "smoke-301", "request": "click-0001"}, "people": {},
          "permit": {"permit": "HW-1", "act": "close", "request": "click-0003"},
          "switch": {"output": "horn", "on": False, "why": "noise", "request": "click-0004"}}


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    file = tmp_path_factory.mktemp("pins") / "pins.json"
    for name, role in PEOPLE.items():
        set_pin(file, name, "274951", role)
    return file


def client_of(file, name):
    installer, door = MemoryInstaller(), PinDoor(file, time.monotonic)
    app = create_local_app(HandGateway(), door, installer)
    client = TestClient(app)
    said = client.post("/api/sign-in", json={"name": name, "pin": "274951"}, headers={"x-tocsin": "local"}).json()
    assert said["role"] == PEOPLE[name]
    return app, client, {"x-tocsin": "local", "x-tocsin-csrf": said["csrf"]}, installer


@pytest.mark.parametrize(("role", "may", "may_not"), [
    ("contractor", (LocalDeed.SCAN, LocalDeed.BIND, LocalDeed.TEST, LocalDeed.PHOTO),
     (LocalDeed.ACCEPT, LocalDeed.REMOVE, LocalDeed.DISABLE, LocalDeed.PEOPLE, LocalDeed.SWITCH, LocalDeed.OTHER)),
    ("duty", (LocalDeed.ACKNOWLEDGE, LocalDeed.SILENCE, LocalDeed.RESET),
     (LocalDeed.SCAN, LocalDeed.BIND, LocalDeed.TEST, LocalDeed.ACCEPT, LocalDeed.DISABLE, LocalDeed.OTHER)),
    ("property", tuple(LocalDeed), ()), ("", (), tuple(LocalDeed)), ("root", (), tuple(LocalDeed)),
])
def test_the_table(role, may, may_not):
    assert all(may_here(role, deed) for deed in may) and not any(may_here(role, deed) for deed in may_not)
    assert deed_of_action("test") is LocalDeed.TEST and deed_of_action("isolate") is LocalDeed.DISABLE
    assert deed_of_action("anything new") is LocalDeed.OTHER, "what nobody listed is the property's"
    assert LocalDeed.OTHER not in LOCAL_ROLES["contractor"] | LOCAL_ROLES["duty"]


def test_every_door_of_the_gateways_pages_asks_the_table(doors):
    app, client, headers, installer = client_of(doors, "Zhao")
    posts = {route.path for route in app.routes if "POST" in (getattr(route, "methods", None) or ())}
    assert posts >= CONTRACTOR_MAY
    for path in sorted(posts - {"/api/sign-in", "/api/sign-out"}):
        body = BODIES.get(path.rpartition("/")[2], {})
        answer = client.post(path, params={"device": "smoke-301"}, json=body, headers=headers)
        refused = answer.status_code == 403 and answer.json()["refusal"] == "role"
        assert refused == (path not in CONTRACTOR_MAY), (path, answer.status_code, answer.text)
    assert installer.taken_over is None and not installer.undone
    test = {"action": "test", "target": "smoke-301", "request": "click-0002"}
    assert client.post("/api/act", json=test, headers=headers).status_code != 403, "test mode is a contractor's"


def test_what_a_contractor_saves_may_take_no_device_out(doors):
    _, client, headers, installer = client_of(doors, "Zhao")
    body = {"devices": [{"id": "a", "profile": "sdm120", "line": "l", "zone": "z"}]}
    assert client.post("/api/install/save", json=body, headers=headers).status_code == 200
    _, client, headers, owner = client_of(doors, "Wang")
    assert client.post("/api/install/save", json=body, headers=headers).status_code == 200
    assert installer.limits == [False] and owner.limits == [True]
    assert client.post("/api/install/accept", json={"note": ""}, headers=headers).status_code == 409
    assert client.post("/api/install/accept", json={"note": "agreed"}, headers=headers).json()["who"] == "Wang"


def test_people_are_made_by_the_property_and_their_sessions_end_with_a_change(tmp_path):
    file = tmp_path / "pins.json"
    for name, role in PEOPLE.items():
        set_pin(file, name, "274951", role)
    _, client, headers, _ = client_of(file, "Wang")
    made = client.post("/api/install/people", json={"name": "Chen", "pin": "836152", "role": "contractor"},
                       headers=headers).json()
    assert {"name": "Chen", "role": "contractor"} in made and people_of(file)["Chen"] == "contractor"
    wrong = client.post("/api/install/people", json={"name": "X", "pin": "836152", "role": "root"}, headers=headers)
    assert wrong.status_code == 409
    assert client.post("/api/install/people", json={"name": "Wang", "pin": ""}, headers=headers).status_code == 409, \
        "somebody of the property stays"
    door = PinDoor(file, time.monotonic)
    cookie, session = door.enter("Chen", "836152")
    assert session.role == "contractor"
    door.forget("Chen")
    assert door.session(cookie) is None


def test_a_file_of_before_roles_is_the_propertys(tmp_path):
    file = tmp_path / "pins.json"
    set_pin(file, "Old", "274951")
    old = {name: {"salt": one.salt, "hash": one.hash}
           for name, one in msgspec.json.decode(file.read_bytes(), type=dict[str, Pin]).items()}
    file.write_bytes(msgspec.json.encode(old))
    assert people_of(file) == {"Old": "property"}
    with pytest.raises(LocalFault, match="no role"):
        set_pin(file, "New", "274951", "boss")
