"""PINs: hashed, limited, locked out, forgotten in time."""

from __future__ import annotations

import stat

import pytest

from dashboards.pins import FAILURES_MAX, LOCK_FIRST_S, SESSION_S, Locked, PinDoor, set_pin
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


def test_a_broken_file_lets_nobody_in(tmp_path):
    (tmp_path / "pins.json").write_bytes(b"{")
    with pytest.raises(LocalFault):
        PinDoor(tmp_path / "pins.json", Clock()).enter("a", "b")
    assert not PinDoor(None, Clock()).anybody and PinDoor(None, Clock()).enter("a", "123456") is None
