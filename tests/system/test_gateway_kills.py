"""SIGKILL of the real gateway process, three times here, a hundred in `make soak`: real SQLite, TLS, Modbus.

    fires begin between and just before kills; at the end each is one alarm in one incident, no number is missing,
    nothing was declared lost, and the sounder sounds
"""

from __future__ import annotations

import random
import sqlite3
import threading

import pytest

from tests.system.house import FLATS, House, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system")]
SEED = 20_261_123


def play(house: House, kills: int) -> None:
    """Kill at random moments of a life; a fire before every few kills, so close that the alarm may be under way."""
    dice = random.Random(SEED)
    waiting = list(FLATS)
    pause = threading.Event()
    fires_at = sorted(dice.sample(range(kills), min(len(waiting), kills)))
    house.gateway.start()
    house.gateway_heard()
    for number in range(kills):
        pause.wait(dice.uniform(0.1, 2.5))
        if number in fires_at:
            house.devices.set(f"smoke-{waiting.pop(0)}", "smoke", True)
            # The detector is polled each second: the kill comes before, in, and after the step that finds it.
            pause.wait(dice.uniform(0.0, 1.5))
        house.gateway.kill()
        house.gateway.start()
    for flat in waiting:
        house.devices.set(f"smoke-{flat}", "smoke", True)


def everything_is_there(house: House, kills: int) -> None:
    for flat in FLATS:
        (incident,) = until(lambda flat=flat: house.incidents_of(flat), house.said)  # type: ignore[misc]  # bound now
        assert len(incident["alarms"]) == 1 and incident["alarms"][0]["state"] == "raised", incident
        assert [entry["what"] for entry in incident["log"]].count("raised") == 1, incident["log"]
    until(house.sounding, house.said)
    until(lambda: house.gateway_heard() and not [gap for gap in house.board()["gaps"] if not gap.get("closed_us")],
          house.said)
    assert all(gap["state"] == "delivered" for gap in house.board()["gaps"]), house.said()
    assert not house.lacks("not_journaled") and "Traceback" not in house.gateway.said()
    house.gateway.stop()
    with sqlite3.connect(house.folder / "journal.sqlite") as journal:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        epochs = journal.execute("SELECT count(*) FROM meta WHERE name='epoch'").fetchone()
    journal.close()
    assert epochs == (1,) and not list(house.folder.glob("journal.sqlite.damaged-*")), "one journal, never set aside"


@pytest.mark.soak  # every part is killed at random moments by test_kills.py in every run
@pytest.mark.timeout(400)
def test_three_kills(house: House) -> None:
    play(house, 3)
    everything_is_there(house, 3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_hundred_kills(house: House) -> None:
    play(house, 100)
    everything_is_there(house, 100)
