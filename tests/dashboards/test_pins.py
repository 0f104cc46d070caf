"""PINs: hashed, limited, locked out, forgotten in time."""

from __future__ import annotations

import stat

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from dashboards.pin_sessions import add_pin_sign_in
from dashboards.pins import ADDRESSES_MAX, FAILURES_MAX, LOCK_FIRST_S, SESSION_S, Locked, PinDoor, set_pin
from device_model.errors import LocalFault


class Clock:
    def __init__(self):
        self.s = 1000.0

    def __call__(self):
        return self.s


@pytest.fixture
def door(tmp_path):
    set_pin(tmp_path / "pins.json", "Li Wei", "274951")
    clock = Clock()
    made = PinDoor(tmp_path / "pins.json", clock)
    return made, clock


def test_the_file_holds_no_pin_and_is_ours_alone(tmp_path, door):
    file = tmp_path / "pins.json"
    assert b"274951" not in file.read_bytes() and stat.S_IMODE(file.stat().st_mode) == 0o600
    set_pin(file, "Li Wei", "")
    assert not door[0].anybody
    with pytest.raises(LocalFault):
        set_pin(file, "Li Wei", "")


@pytest.mark.parametrize("pin", ["12345", "111111", "121212", "x" * 65])
def test_pins_that_are_guessed_first_are_refused(tmp_path, pin):
    with pytest.raises(LocalFault):
        set_pin(tmp_path / "pins.json", "Li", pin)


def test_right_and_wrong(door):
    pins, clock = door
    assert pins.enter("Li Wei", "274952") is None and pins.enter("Nobody", "274951") is None
    cookie, session = pins.enter("Li Wei", "274951")
    assert session.who == "Li Wei" and pins.session(cookie) is session and pins.session("other") is None
    clock.s += SESSION_S - 1
    assert pins.session(cookie) is session, "each use prolongs it"
    clock.s += SESSION_S
    assert pins.session(cookie) is None
    cookie, _ = pins.enter("Li Wei", "274951")
    pins.leave(cookie)
    assert pins.session(cookie) is None


def test_lock_out_grows_and_ends(door):
    pins, clock = door
    for n in range(FAILURES_MAX):
        assert pins.enter(f"guess {n}", "000111") is None
    with pytest.raises(Locked) as locked:
        pins.enter("Li Wei", "274951")
    assert locked.value.seconds == LOCK_FIRST_S
    clock.s += LOCK_FIRST_S - 1
    with pytest.raises(Locked):
        pins.enter("Li Wei", "274951")
    clock.s += 2
    for _ in range(FAILURES_MAX):
        assert pins.enter("Li Wei", "wrong1") is None
    with pytest.raises(Locked) as locked:
        pins.enter("Li Wei", "274951")
    assert locked.value.seconds == 2 * LOCK_FIRST_S
    clock.s += 2 * LOCK_FIRST_S + 1
    assert pins.enter("Li Wei", "274951") is not None


def test_who_guesses_from_elsewhere_keeps_no_phone_of_the_site_out(door):
    pins, clock = door
    assert pins.enter("Li Wei", "274951", "10.0.0.5") is not None
    for n in range(FAILURES_MAX):
        assert pins.enter("Li Wei", f"00011{n}", "6.6.6.6") is None
    with pytest.raises(Locked):
        pins.enter("Li Wei", "274951", "6.6.6.6")
    with pytest.raises(Locked):
        pins.enter("Li Wei", "274951", "10.0.0.9")
    assert pins.enter("Li Wei", "274951", "10.0.0.5") is not None, "a known phone"
    for n in range(FAILURES_MAX):
        assert pins.enter("Li Wei", f"00022{n}", "10.0.0.5") is None
    with pytest.raises(Locked):
        pins.enter("Li Wei", "274951", "10.0.0.5")
    clock.s += LOCK_FIRST_S + 1
    assert pins.enter("Li Wei", "274951", "10.0.0.9") is not None
    for n in range(2 * ADDRESSES_MAX):
        pins.enter("Li Wei", "274951", f"10.1.0.{n}")
    assert len(pins._of_address) == ADDRESSES_MAX


def test_what_is_refused_is_on_the_log_without_the_pin(tmp_path, door):
    app = FastAPI()
    add_pin_sign_in(app, door[0])
    client = TestClient(app, headers={"X-Tocsin": "local"})
    with structlog.testing.capture_logs() as said:
        for n in range(FAILURES_MAX + 1):
            client.post("/api/sign-in", json={"name": "Li Wei" * 20, "pin": f"99911{n}"})
    assert [one["event"] for one in said] == [
        *["PIN refused"] * FAILURES_MAX, "PIN not looked at: too many wrong ones"]
    assert all(one["address"] == "testclient" and len(one["name"]) <= 40 for one in said) and "99911" not in str(said)


def test_a_broken_file_lets_nobody_in(tmp_path):
    (tmp_path / "pins.json").write_bytes(b"{")
    with pytest.raises(LocalFault):
        PinDoor(tmp_path / "pins.json", Clock()).enter("a", "b")
    assert not PinDoor(None, Clock()).anybody and PinDoor(None, Clock()).enter("a", "123456") is None
