"""ReplaySession: one side of a recorded connection speaks again, byte for byte. Pure.

    recorded:  client 12 ─► server 11 ─► client 12 ─► server 11 …
    as server: wait until as many bytes came as had come, then the recorded pause, then the recorded bytes

A piece goes out when the bytes before it have come and the recorded time since then has passed (divided by `speed`).
Where the peer asks for less than it did, the session goes on after GIVE_UP_S; bytes that differ are counted.
"""

from __future__ import annotations

from firmware_sim.line_recording import LineFile, Piece
from firmware_sim.scenario_lines import Role

GIVE_UP_S = 5.0


class ReplaySession:
    """One connection of a recording, played by `role`. What a tap heard ("bus") is all played."""

    def __init__(self, session_id: str, recording: LineFile, connection: int, role: Role, speed: float = 1.0) -> None:
        self.id = session_id
        self.differing = 0  # bytes of the peer that were not those of the recording
        self.skipped = 0  # times that the peer did not say what it had said
        self._pieces: list[Piece] = [p for p in recording.pieces if p.c == connection and p.hex and not p.topic]
        self._role, self._speed = role, speed
        self._at = 0
        self._got = 0
        self._open = False
        self._since_us = 0

    @property
    def wants_link(self) -> bool:
        """Until all is said."""
        return self._at < len(self._pieces)

    @property
    def done(self) -> bool:
        """Whether all was played."""
        return self._at >= len(self._pieces)

    def opened(self, at_us: int, wall_us: int) -> list[bytes]:
        """From the beginning, at every new connection."""
        self._open, self._at, self._got, self._since_us = True, 0, 0, at_us
        return self.due(at_us, wall_us)

    def closed(self, at_us: int) -> None:
        """The connection is gone."""
        self._open = False

    def take(self, octets: bytes, at_us: int, wall_us: int) -> list[bytes]:
        """The peer speaks: compared with what it had said."""
        for piece in self._pieces[self._at:]:
            if self._ours(piece) or not octets:
                break
            wanted = piece.octets[self._got:]
            here = octets[:len(wanted)]
            self.differing += sum(a != b for a, b in zip(here, wanted, strict=False))
            octets = octets[len(here):]
            self._got += len(here)
            if self._got < len(piece.octets):
                break
            self._at, self._got, self._since_us = self._at + 1, 0, at_us
        self.differing += len(octets)
        return self.due(at_us, wall_us)

    def due(self, at_us: int, wall_us: int) -> list[bytes]:
        """What is to be said now."""
        out: list[bytes] = []
        while self._open and self._at < len(self._pieces):
            piece = self._pieces[self._at]
            before_us = self._pieces[self._at - 1].t_us if self._at else piece.t_us
            gap_us = (piece.t_us - before_us) / self._speed
            if not self._ours(piece):
                if at_us - self._since_us < gap_us + GIVE_UP_S * 1e6:
                    break
                self.skipped += 1
            elif at_us - self._since_us < gap_us:
                break
            else:
                out.append(piece.octets)
            # The next pause counts from when this piece was due, so that late looks do not add up.
            self._since_us = round(self._since_us + gap_us) if self._ours(piece) else at_us
            self._at, self._got = self._at + 1, 0
        return out

    def _ours(self, piece: Piece) -> bool:
        return piece.speaker in (self._role.value, "bus")
