"""EvidenceFeed: which evidence goes up, in what order, and which is held because its incident is open. Pure.

```
 alarm raised ─┐
               ├─ same camera's device or zone, near in time ──► wanted, held ──► snapshots, then records, then clips
 file found ───┘                                                    │              a part of 48 KiB at a time
 incident closed (command from the cloud) ──────────────────────────┼──► held no longer; open again: held again
 a file was not kept up there ──────────────────────────────────────┴──► sent once more
```
Evidence without an alarm stays on the site. What was sent up to which byte is kept in a small file: after a restart
the rest follows; a part that travels twice is one at the far end.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from device_model.alarm import AlarmState, AlarmTransition, Hazard
from device_model.clock import DAY_US, SECOND_US
from device_model.messages import EvidenceChunkRecord

CHUNK_BYTES = 48 * 1024  # 64 KiB as JSON: a cut link loses little, and twenty fit the lane's memory
BEFORE_US = 120 * SECOND_US  # an alarm so long before what the camera decided still has to do with it
AFTER_US = 600 * SECOND_US  # and so long after it: rules wait, and verification takes its time
ALARMS_MAX, EVIDENCE_MAX = 200, 500  # remembered; the oldest go first
HOLD_MOST_US = 30 * DAY_US  # a cloud that never says "closed" does not keep a full disk for ever
KINDS = ("snapshot", "record", "clip")


class RecentAlarm(msgspec.Struct, frozen=True):
    """A raised alarm that evidence may belong to."""

    alarm: str
    device: str
    zone: str
    at_us: int


class FeedFile(msgspec.Struct):
    """A file and how far it was delivered. sent: bytes delivered; gone: it was taken out before it was sent."""

    name: str
    kind: str
    size: int
    sha256: str
    sent: int = 0
    done: bool = False
    gone: str = ""


class FeedEvidence(msgspec.Struct):
    """One piece of evidence that goes up."""

    id: str
    camera: str
    scene: str
    zone: str
    decided_us: int
    alarm: str
    held: bool = True
    held_since_us: int = 0
    files: list[FeedFile] = []


class FeedMemory(msgspec.Struct):
    """What survives a restart."""

    alarms: list[RecentAlarm] = []
    evidence: list[FeedEvidence] = []


class Part(msgspec.Struct, frozen=True):
    """The next part to read and send."""

    evidence: str
    name: str
    offset: int
    size: int


class CameraPlace(msgspec.Struct, frozen=True):
    """A device of the site file that a camera speaks as: the camera's own id, its zone in the site."""

    camera: str
    device: str
    zone: str


class EvidenceFeed:
    """Owned by one part. cameras: the site's devices of cameras."""

    def __init__(self, cameras: tuple[CameraPlace, ...], memory: FeedMemory, *, clips: bool = True) -> None:
        self._cameras, self._clips = cameras, clips
        self.memory = memory
        self.changed = False

    def alarm(self, step: AlarmTransition) -> None:
        """A step of an alarm: real ones that are raised are remembered."""
        if step.state is not AlarmState.RAISED or step.test or step.drill:
            return
        if step.hazard in (Hazard.FAULT, Hazard.PROOF):
            return
        if any(known.alarm == step.alarm for known in self.memory.alarms):
            return
        self.memory.alarms.append(RecentAlarm(step.alarm, step.device, step.zone, step.at_us))
        del self.memory.alarms[:-ALARMS_MAX]
        self.changed = True

    def closed(self, alarm: str) -> None:
        """The incident of that alarm is closed: its evidence may age."""
        for item in self.memory.evidence:
            if item.alarm == alarm and item.held:
                item.held, self.changed = False, True

    def reopened(self, alarm: str, now_us: int) -> None:
        """The incident of that alarm is open again: what is still here is held again."""
        for item in self.memory.evidence:
            if item.alarm == alarm and not item.held:
                item.held, item.held_since_us, self.changed = True, now_us, True

    def again(self, name: str) -> None:
        """The far end could not keep a file that it had acknowledged. One that is still on its way just goes on."""
        file = self._file(name.rpartition(".")[0], name)
        if file is not None and file.done:
            file.sent, file.done, self.changed = 0, False, True

    def expire(self, now_us: int) -> None:
        """Holds that lasted longer than any incident."""
        for item in self.memory.evidence:
            if item.held and now_us - item.held_since_us > HOLD_MOST_US:
                item.held, self.changed = False, True

    def holds(self) -> dict[str, str]:
        """Evidence id to alarm, of open incidents."""
        return {item.id: item.alarm for item in self.memory.evidence if item.held}

    def alarm_of(self, camera: str, decided_us: int) -> str:
        """The alarm that a camera's evidence belongs to: its own first, else the nearest in its zones, or ""."""
        devices = {place.device for place in self._cameras if place.camera == camera}
        zones = {place.zone for place in self._cameras if place.camera == camera and place.zone}
        near = [
            (alarm.device not in devices, abs(alarm.at_us - decided_us), alarm.alarm)
            for alarm in self.memory.alarms
            if (alarm.device in devices or alarm.zone in zones)
            and -BEFORE_US <= alarm.at_us - decided_us <= AFTER_US
        ]
        return min(near)[2] if near else ""

    def wants(self, evidence: str, kind: str, name: str) -> bool:
        """Whether a file that lies there is one to send and not known yet."""
        if kind == "clip" and not self._clips:
            return False
        known = self._find(evidence)
        if known is not None:
            return all(file.name != name for file in known.files)
        camera, decided_us = parts_of(evidence)
        return bool(self.alarm_of(camera, decided_us))

    def found(self, evidence: str, file: FeedFile, now_us: int, scene: str = "", zone: str = "") -> None:
        """A file that is wanted: its size and hash are known now."""
        known = self._find(evidence)
        if known is None:
            camera, decided_us = parts_of(evidence)
            known = FeedEvidence(evidence, camera, scene, zone, decided_us, self.alarm_of(camera, decided_us),
                                 held_since_us=now_us)
            self.memory.evidence.append(known)
            self._bound()
        known.scene, known.zone = known.scene or scene, known.zone or zone
        known.files.append(file)
        self.changed = True

    def next(self, under_way: Mapping[tuple[str, str], int]) -> Part | None:
        """The next part: all snapshots before all records before all clips, the newest evidence first. under_way: how
        far each file was given out and is not delivered yet."""
        for kind in KINDS:
            for item in reversed(self.memory.evidence):
                for file in item.files:
                    at = max(file.sent, under_way.get((item.id, file.name), 0))
                    if file.kind == kind and not file.done and not file.gone and at < file.size:
                        return Part(item.id, file.name, at, min(CHUNK_BYTES, file.size - at))
        return None

    def chunk(self, part: Part, octets: bytes) -> EvidenceChunkRecord:
        """The message of a part; octets empty where the file is gone."""
        item = self._find(part.evidence)
        file = self._file(part.evidence, part.name)
        if item is None or file is None:
            raise KeyError(part.name)
        return EvidenceChunkRecord(
            item.id, item.camera, item.scene, item.zone, item.decided_us, item.alarm, file.kind, file.name, file.size,
            file.sha256, part.offset, octets, file.gone)

    def gone(self, part: Part, why: str) -> None:
        """The file was taken out before all of it was sent."""
        file = self._file(part.evidence, part.name)
        if file is not None:
            file.gone, self.changed = why, True

    def delivered(self, part: Part) -> None:
        """The far end has it."""
        file = self._file(part.evidence, part.name)
        if file is not None and part.offset <= file.sent:
            file.sent = max(file.sent, part.offset + part.size)
            file.done = file.sent >= file.size
            self.changed = True

    def _find(self, evidence: str) -> FeedEvidence | None:
        return next((item for item in self.memory.evidence if item.id == evidence), None)

    def _file(self, evidence: str, name: str) -> FeedFile | None:
        item = self._find(evidence)
        return next((f for f in item.files if f.name == name), None) if item is not None else None

    def _bound(self) -> None:
        """The oldest go that are neither held nor under way; then the oldest at all."""
        while len(self.memory.evidence) > EVIDENCE_MAX:
            over = next((i for i, item in enumerate(self.memory.evidence)
                         if not item.held and all(f.done or f.gone for f in item.files)), 0)
            del self.memory.evidence[over]


def parts_of(evidence: str) -> tuple[str, int]:
    """Camera and time (µs) of an evidence id, "yard-1-1700000000123"; ("", 0) where it is none."""
    camera, _, millis = evidence.rpartition("-")
    return (camera, int(millis) * 1000) if camera and millis.isascii() and millis.isdigit() else ("", 0)
