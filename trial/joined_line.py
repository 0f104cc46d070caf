"""JoinedLine (I/O: tasks): panels and stations joined to the gateway's listener without a socket.

    LineSession (simulated panel, station) ─bytes, faults─► listener's readers and judges ─events─► gateway
                  ▲────────────────────────── answers ──────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from device_drivers.driver import Driver, Emit, LineDevice, devices_on_line
from device_drivers.listeners import PanelListener, StationListener
from device_model.clock import SECOND_US, Clock
from device_model.inventory import Inventory
from device_model.site import Line
from firmware_sim.faults import FaultKind, LineFaults
from firmware_sim.line_session import LineSession
from firmware_sim.sessions import through_faults

TURN_S = 0.25
EXCHANGES_MAX = 64  # answers to answers within one turn; more would be two programs talking for ever


class _Conversation:
    """One session while it is connected."""

    def __init__(self, session: LineSession) -> None:
        self.session = session
        self.peer: Any = None
        self.reader: Any = None
        self.inbox: list[bytes] = []


def joined_line(
    line: Line, inventory: Inventory, clock: Clock, emit: Emit, *, sessions: Sequence[LineSession],
    faults: LineFaults, at_s: Callable[[], float], note: Callable[[str, bytes], None],
) -> Driver:
    """The driver of a listening line whose devices are these sessions."""
    devices = devices_on_line(inventory, line.id)
    kind = _JoinedPanels if line.kind.protocol == "gbt26875" else _JoinedStations
    driver = kind(line, devices, clock, emit)
    driver.join(sessions, faults, at_s, note)
    return driver


class _Joined:
    """What replaces the sockets of a listener. Mixed in before it."""

    _line: Line
    _clock: Clock

    def join(self, sessions: Sequence[LineSession], faults: LineFaults, at_s: Callable[[], float],
             note: Callable[[str, bytes], None]) -> None:
        """Say who speaks on this line."""
        self._conversations = [_Conversation(session) for session in sessions]
        self._faults, self._at_s, self._note = faults, at_s, note

    async def run(self) -> None:
        """Until cancelled."""
        listener: Any = self
        watcher = asyncio.ensure_future(listener._watch())
        try:
            listener._say_up()
            while True:
                for conversation in self._conversations:
                    self._turn(listener, conversation)
                await self._clock.sleep(TURN_S)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    def _turn(self, listener: Any, it: _Conversation) -> None:
        at_us, wall_us = round(self._at_s() * SECOND_US), self._clock.now().wall_us
        cut = self._faults.lasts(FaultKind.HALF_OPEN, self._at_s(), it.session.id)
        wanted = it.session.wants_link and not cut
        pieces: list[bytes] = []
        if wanted and it.peer is None:
            it.inbox = []
            it.peer, it.reader = listener._enter(it.session.id, it.inbox.append), listener._new_reader()
            pieces += it.session.opened(at_us, wall_us)
        elif not wanted and it.peer is not None:
            listener._peers.pop(it.peer.number, None)
            listener._gone(it.peer.number, self._clock.now())
            it.session.closed(at_us)
            it.peer = None
        pieces += it.session.due(at_us, wall_us)
        if it.peer is None:
            return
        for _ in range(EXCHANGES_MAX):
            for out in through_faults(self._faults, it.session, pieces, self._at_s()):
                self._note(self._line.id, out.octets)
                for frame in listener._feed(it.reader, out.octets):
                    listener._take(it.peer, frame)
            answers, it.inbox[:] = list(it.inbox), []
            if not answers:
                return
            pieces = [piece for answer in answers for piece in it.session.take(answer, at_us, wall_us)]


class _JoinedPanels(_Joined, PanelListener):
    """Fire panels."""


class _JoinedStations(_Joined, StationListener):
    """Environment stations."""

    def __init__(self, line: Line, devices: Sequence[LineDevice], clock: Clock, emit: Emit) -> None:
        super().__init__(line, devices, clock, emit)
