"""~ `tocsin vision labels`: verdicts of incidents become labels; labels leave the site by a named person, logged.

A verdict needs pictures to learn from. They are taken from the candidates of that camera and time, else from the
evidence record of that moment, whose snapshot and clip are cut into pictures.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.evidence import EvidenceRecord, parse_record
from device_drivers.vision.evidence_folder import CHAIN
from device_drivers.vision.label_book import INCIDENT, LabelBook
from device_drivers.vision.label_incidents import Verdict, parse_incidents, verdicts
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.pooling import Spot
from device_drivers.vision.record_folder import EXPORTS, Candidate, CandidateFolder, append_line, jpeg
from device_drivers.vision.sources import now_us
from device_model.errors import ConfigError, Finding, LocalFault, PeerGarbled

NEAR_US = 120_000_000  # an alarm and the clip of its moment lie within two minutes
FRAMES = 8  # pictures of an evidence clip
CANDIDATES_MIB = 2048.0
Blur = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class IncidentLabels(msgspec.Struct, frozen=True):
    """What verdicts gave: judged: alarms of these cameras with a verdict; labelled: clips; new: of them cut from
    evidence; without_pictures: nothing was kept of that moment."""

    judged: int
    labelled: int
    new: int
    without_pictures: int

    def text(self) -> str:
        """For people."""
        return (
            f"{self.judged} judged alarms of these cameras: {self.labelled} clips labelled, {self.new} of them cut "
            f"from evidence; {self.without_pictures} without pictures"
        )


def from_incidents(
    export: Path, folder: Path, evidence: Path | None, *, quota_mib: float = CANDIDATES_MIB
) -> IncidentLabels:
    """Read an export of incidents and label what is there. A verdict already taken is not taken twice."""
    try:
        incidents = parse_incidents(export.read_bytes(), str(export))
    except OSError as error:
        raise ConfigError([Finding(str(export), 0, 0, str(error.strerror), "give the exported file")]) from error
    kept = CandidateFolder(folder, int(quota_mib * 1024 * 1024))
    book = LabelBook(folder, now_us)
    records = _records(evidence) if evidence is not None else []
    cameras = frozenset({c.camera for c in kept.clips()} | {r.camera for r in records})
    found = verdicts(incidents, cameras)
    labelled = new = without = 0
    for verdict in found:
        clip = _nearest(kept.clips(), verdict)
        if clip is None:
            clip = _cut(kept, evidence, records, verdict, book)
            new += clip is not None
        if clip is None:
            without += 1
            continue
        said = book.current().get(clip.id)
        if said is None or (said.incident, said.labels) != (verdict.incident, verdict.labels):
            book.say(
                clip.id, verdict.labels, f"incident {verdict.incident}", source=INCIDENT, incident=verdict.incident
            )
        labelled += 1
    return IncidentLabels(len(found), labelled, new, without)


def _nearest(clips: list[Candidate], verdict: Verdict) -> Candidate | None:
    near = [
        (abs(clip.times_us[0] - verdict.at_us), clip.id, clip)
        for clip in clips
        if clip.camera == verdict.device and clip.times_us and abs(clip.times_us[0] - verdict.at_us) <= NEAR_US
    ]
    return min(near)[2] if near else None


def _records(evidence: Path) -> list[EvidenceRecord]:
    try:
        lines = (evidence / CHAIN).read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(
            [Finding(str(evidence / CHAIN), 0, 0, str(error.strerror), "give the evidence folder of the gateway")]
        ) from error
    found = []
    for line in lines:
        with contextlib.suppress(PeerGarbled):  # `tocsin evidence verify` is the place that says so
            found.append(parse_record(line))
    return found


def _cut(
    kept: CandidateFolder,
    evidence: Path | None,
    records: list[EvidenceRecord],
    verdict: Verdict,
    book: LabelBook,
) -> Candidate | None:
    """A candidate made of the evidence of that moment, None where there is none."""
    near = [
        (abs(r.decided_us - verdict.at_us), r.id, r)
        for r in records
        if r.camera == verdict.device
        and (r.incident == verdict.incident or abs(r.decided_us - verdict.at_us) <= NEAR_US)
        and r.files
    ]
    if not near or evidence is None:
        return None
    record = min(near)[2]
    pictures = _pictures(evidence, record)
    if not pictures:
        return None
    step_us = max(1, (record.to_us - record.from_us) // max(1, len(pictures)))
    clip = Candidate(
        f"{record.camera}-{record.decided_us // 1000}",
        record.camera,
        "incident",
        tuple(record.from_us + n * step_us for n in range(len(pictures))),
        dict(record.scores),
        record.model_sha256,
        incident=verdict.incident,
        evidence=record.id,
    )
    return clip if kept.add(clip, pictures, book.labelled()) else None


def _pictures(evidence: Path, record: EvidenceRecord) -> list[NDArray[np.uint8]]:
    """Of the clip's time after the decision where there is a clip (the snapshot has boxes drawn upon it)."""
    names = [f.name for f in record.files]
    clip = next((n for n in names if n.endswith(".mp4")), "")
    frames: list[NDArray[np.uint8]] = []
    if clip and (evidence / clip).is_file():
        try:
            import av

            with av.open(str(evidence / clip)) as container:
                due_s = max(0.0, (record.decided_us - record.from_us) / 1e6)
                step_s = max(0.2, ((record.to_us - record.from_us) / 1e6 - due_s) / FRAMES)
                for frame in container.decode(video=0):
                    if float(frame.time or 0.0) >= due_s and len(frames) < FRAMES:
                        frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                        due_s += step_s
        except ImportError as error:
            raise LocalFault("PyAV is not installed: pip install 'tocsin[cameras]'") from error
        except av.error.FFmpegError:
            return frames  # what could be read of a broken clip
    return frames


class ExportLine(msgspec.Struct, frozen=True):
    """One export in the log. previous: hash of the line before, so that none can be taken out unseen."""

    by: str
    why: str
    at_us: int
    clips: int
    pictures: int
    manifest_sha256: str
    blurred: str
    previous: str


def export_labels(folder: Path, out: Path, *, by: str, why: str, blur: Blur | None = None) -> ExportLine:
    """Copy labelled clips with a manifest to `out`, people made unknowable, and log it first. Raises ConfigError
    without a name and a reason.

    blur: makes people unknowable; None coarsens the whole picture but where light is, as nothing here can tell where
    people are.
    """
    name, reason = " ".join(by.split()), " ".join(why.split())
    if len(name) < 2 or len(reason) < 3:
        raise ConfigError([Finding("--by", 0, 0, "nobody's name or no reason", "say who takes it and what for")])
    if out.exists() and any(out.iterdir()):
        raise ConfigError([Finding(str(out), 0, 0, "is not empty", "give --export a new folder")])
    kept, sayings = CandidateFolder(folder, 0), LabelBook(folder, now_us).current()
    rows: list[tuple[str, ...]] = []
    files: list[tuple[str, bytes]] = []
    for clip in kept.clips():
        said = sayings.get(clip.id)
        if said is None or said.skipped:
            continue
        for number, path in enumerate(kept.pictures(clip)):
            try:
                with Image.open(path) as image:
                    picture = np.asarray(image.convert("RGB"))
            except (OSError, ValueError, SyntaxError):
                continue
            file = f"{clip.id}-{number}.jpg"
            files.append((file, jpeg((blur or coarse)(picture))))
            rows.append((file, *map(str, said.labels), f"site_{clip.reason}", said.by))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", *CLASSES, "kind", "labelled_by"))
    table.writerows(rows)
    manifest = text.getvalue().encode()
    line = ExportLine(
        name,
        reason,
        now_us(),
        len({r[0].rsplit("-", 1)[0] for r in rows}),
        len(rows),
        hashlib.sha256(manifest).hexdigest(),
        "people" if blur else "whole picture",
        _last(folder / EXPORTS),
    )
    try:
        append_line(folder / EXPORTS, msgspec.json.encode(line))  # before it is done: no log, nothing gets out
        out.mkdir(parents=True, exist_ok=True)
        for file, octets in files:
            (out / file).write_bytes(octets)
        (out / "manifest.csv").write_bytes(manifest)
    except OSError as error:
        raise LocalFault(f"{error.filename}: {error.strerror}") from error
    return line


def _last(log: Path) -> str:
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return ""
    return hashlib.sha256(lines[-1]).hexdigest() if lines else ""


def coarse(picture: NDArray[np.uint8], cells: int = 24) -> NDArray[np.uint8]:
    """The picture in squares of a 24th of its width, but where light saturates: nobody can be known by it."""
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    small = image.resize((cells, max(1, round(cells * height / width))), Image.Resampling.BOX)
    out = np.asarray(small.resize((width, height), Image.Resampling.NEAREST)).copy()
    bright = picture.max(-1) >= 250
    out[bright] = picture[bright]
    return out


def boxed(boxes: Callable[[NDArray[np.uint8]], list[Spot]]) -> Blur:
    """A blur of the boxes that a person detector gives, a fifth wider; of the whole picture where it gives none."""

    def blur(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = boxes(picture)
        if not found:
            return coarse(picture)
        height, width = picture.shape[:2]
        out, hidden = picture.copy(), coarse(picture)
        for box in found:
            wide, high = 0.2 * (box.right - box.left), 0.2 * (box.bottom - box.top)
            top, left = max(0, int((box.top - high) * height)), max(0, int((box.left - wide) * width))
            part = np.s_[top : int((box.bottom + high) * height) + 1, left : int((box.right + wide) * width) + 1]
            out[part] = hidden[part]
        return out

    return blur
