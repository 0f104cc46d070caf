"""What the demo sees on the board, and how soon: an event-stream client that keeps everything it was shown."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import msgspec

from demo.board_client import Json, board_events, get_json, post_json
from device_model.system_clock import real_mono_us

OFFICER = "Demo officer"
LIFE_SAFETY = ("fire", "call_point", "gas_high", "co")
RETRY_S = 0.5


class Truth(msgspec.Struct, frozen=True):
    """One line of the simulator's truth file. real_us: real µs since boot."""

    what: str  # "stimulus", "fault", "cut"
    at_s: float
    real_us: int
    device: str = ""
    point: str = ""
    value: bool | float | str | None = None
    fire: str = ""
    kind: str = ""

    @property
    def is_alarm(self) -> bool:
        """Whether a device of a fire began to say "alarm"."""
        return self.what == "stimulus" and self.value is True and bool(self.fire)


class BoardWatch:
    """Follows the board; notes when each device's alarm first appeared; acknowledges as an officer would."""

    def __init__(self, port: int, *, acknowledge: bool) -> None:
        self._port = port
        self._acknowledge = acknowledge
        self.incidents: dict[str, Json] = {}
        self.first_shown_us: dict[str, int] = {}  # device → real µs at which its first alarm was on the page
        self.first_incident_us = 0
        self._asked: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow until cancelled; reconnects when the server is restarted, as the page does."""
        while True:
            try:
                snapshot = (await get_json(self._port, "/api/board"))["board"]
                for view in snapshot["incidents"]:
                    self._see(view)
                async for _, kind, payload in board_events(self._port, snapshot["revision"]):
                    if kind == "resync":
                        break
                    if kind == "incident":
                        self._see(payload)
            except (OSError, ValueError, asyncio.IncompleteReadError):
                pass  # the server is being restarted: ask again
            await asyncio.sleep(RETRY_S)

    def _see(self, view: Json) -> None:
        now_us = real_mono_us()
        self.incidents[view["id"]] = view
        for alarm in view.get("alarms", ()):
            self.first_shown_us.setdefault(alarm["device"], now_us)
        if not self.first_incident_us:
            self.first_incident_us = now_us
        if self._acknowledge and view["id"] not in self._asked and not view.get("acknowledged_by"):
            self._asked.add(view["id"])
            task = asyncio.create_task(self._take(view["id"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, incident: str) -> None:
        """Acknowledge, again until the server says that it is done (the same click counts once)."""
        click = str(uuid.uuid4())
        while True:
            try:
                body = {"action": "acknowledge", "request": click, "who": OFFICER}
                answer = await post_json(self._port, f"/api/incidents/{incident}/actions", body)
                if answer.get("done"):
                    return
            except (OSError, ValueError):
                pass  # no answer: the click's id makes it safe to press again
            await asyncio.sleep(RETRY_S)


def read_truth(path: Path) -> list[Truth]:
    """The stimuli so far; a line that is being written now is left for the next look."""
    if not path.exists():
        return []
    stimuli = []
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            stimuli.append(msgspec.json.decode(line, type=Truth))
    return stimuli
