"""What the broker refused, written into the audit (I/O): spoofed topics, foreign, expired and revoked certificates.

    nats-server.log ─► RefusalTail.look ─► refusal_of(line) ─► trail.note("broker refused", why, subject, address)

The broker writes its own log; nobody reads that in time. A gateway that speaks for another is seen on the audit's
page, where a flood of the same from one address is counted, not written a thousand times.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import structlog

from dashboards.people import Trail

LOOK_EVERY_S = 1.0
LOOK_BYTES_MAX = 256 * 1024  # of one look; what is beyond is counted and left out
SUBJECT_MAX = 200
WHAT = "broker refused"
_log = structlog.get_logger("tocsin.broker")

_LINE = re.compile(r"^\[\d+\] \S+ \S+ \[(?:ERR|WRN)\] (?:\[?([0-9A-Fa-f.:]+)\]?:\d+ - \w+:\d+ - )(.*)$")
_VIOLATION = re.compile(r"(Publish|Subscription) Violation - .*?Subject \"([^\"]*)\"")
_HANDSHAKE = re.compile(r"TLS handshake error: tls: (.*)$")
_NAMED = re.compile(r"CN=([A-Za-z0-9._-]{1,200})")


class Refusal(msgspec.Struct, frozen=True):
    """One thing that the broker did not let happen. why: a word of the audit."""

    why: str
    subject: str
    address: str


def refusal_of(line: str) -> Refusal | None:
    """What a line of nats-server's log says; None for what is no refusal."""
    found = _LINE.match(line)
    if found is None:
        return None
    address, said = found[1], found[2]
    if violation := _VIOLATION.search(said):
        why = "spoke under a foreign topic" if violation[1] == "Publish" else "listened to a foreign topic"
        return Refusal(why, violation[2][:SUBJECT_MAX], address)
    if handshake := _HANDSHAKE.search(said):
        named = _NAMED.search(handshake[1])
        return Refusal(_why_no_handshake(handshake[1]), named[1] if named else "", address)
    if said.rstrip().endswith("authentication error") and "unable to connect" not in said:
        return Refusal("no such gateway or service", "", address)
    if "authentication error - User " in said:
        return Refusal("wrong password of a service", said.rpartition('User "')[2].rstrip('"')[:80], address)
    return None


def _why_no_handshake(said: str) -> str:
    if "expired or is not yet valid" in said:
        return "an expired certificate"
    if "unknown authority" in said or "bad certificate" in said:
        return "a foreign certificate"
    return "no certificate" if "didn't provide a certificate" in said else "no agreement on TLS"


class RefusalTail:
    """Follows the log from where it ends now. Owned by the program that runs the broker."""

    def __init__(self, file: Path, trail: Trail) -> None:
        self._file, self._trail = file, trail
        self._inode, self._at = self._mark()
        self._rest = b""

    def _mark(self) -> tuple[int, int]:
        try:
            found = self._file.stat()
        except OSError:
            return 0, 0
        return found.st_ino, found.st_size

    def look(self) -> int:
        """Note what came since; how many refusals. A log that was rolled over is read from its beginning."""
        inode, size = self._mark()
        if inode != self._inode or size < self._at:
            self._inode, self._at, self._rest = inode, 0, b""
        if size <= self._at:
            return 0
        if size - self._at > LOOK_BYTES_MAX:
            _log.error("the broker refuses more than is written into the audit", left_out=size - self._at)
            self._at, self._rest = size - LOOK_BYTES_MAX, b""
        try:
            with self._file.open("rb") as file:
                file.seek(self._at)
                fresh = file.read(size - self._at)
        except OSError:
            return 0  # rolled over just now: the next look has it
        self._at += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        self._rest = self._rest[-LOOK_BYTES_MAX:]
        refusals = [one for line in lines if (one := refusal_of(line.decode("utf-8", "replace"))) is not None]
        for one in refusals:
            self._trail.note("", WHAT, subject=one.subject, why=one.why, where=one.address)
        return len(refusals)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)
