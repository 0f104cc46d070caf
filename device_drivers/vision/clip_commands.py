"""~ `tocsin vision eval --clips`: films through the whole pipeline, as a camera's pictures go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from device_drivers.vision.clip_measures import ClipReport, FilmRow, FilmVerdict, measure_films, parse_films
from device_drivers.vision.commands import read_manifest
from device_drivers.vision.detector import SHIPPED, DetectorPool
from device_drivers.vision.model_card import TRUSTED_KEYS
from device_drivers.vision.process import VisionProcess, WatchedCamera
from device_drivers.vision.reports import CameraReport
from device_drivers.vision.vision_file import CameraPlan, VisionPlan
from device_model.errors import ConfigError, Finding

FILM_S = 3600.0  # of processor time a film may take
EVERY_S = 0.2  # judged frames, as the README's example of a camera


def evaluate_clips(
    clips: Path,
    manifest: Path,
    *,
    model: Path = SHIPPED,
    trusted: tuple[str, ...] = TRUSTED_KEYS,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[ClipReport, list[Finding]]:
    """Judge every film of the manifest. A film is a file or a folder of pictures below `clips`.

    Raises ConfigError where nothing can be judged, LocalFault where the model cannot run.
    """
    text = read_manifest(manifest)
    rows, findings = parse_films(text, str(manifest))
    pool = DetectorPool(1, model, trusted)
    judged: list[tuple[FilmRow, FilmVerdict]] = []
    for number, row in enumerate(rows):
        progress(f"{number} of {len(rows)} films")
        path = clips / row.file
        if not path.exists() or not path.resolve().is_relative_to(clips.resolve()):
            findings.append(Finding(str(manifest), row.line, 0, f"{row.file}: no such film", "mend the path"))
            continue
        verdict = watch(path, row.fps, pool)
        if verdict is None:
            findings.append(Finding(str(manifest), row.line, 0, f"{row.file}: cannot be read as a film", "mend it"))
        else:
            judged.append((row, verdict))
    progress("")
    if not judged:
        raise ConfigError(findings)
    card = pool.card
    report = measure_films(
        judged, model=f"{card.name} {card.version}", model_sha256=card.sha256, errors=len(findings)
    )
    return report, sorted(findings)


def watch(path: Path, fps: float, pool: DetectorPool) -> FilmVerdict | None:
    """One film to its end; None where not one frame could be judged."""
    source = f"folder:{path}#640x360@{fps:g}" if path.is_dir() else f"file:{path}"
    first_s: dict[str, float] = {}
    decisions: dict[str, int] = {}
    held: set[str] = set()
    times: list[int] = []

    def on_report(_: WatchedCamera, report: CameraReport) -> None:
        times.append(report.taken_us)
        now_s = (report.taken_us - times[0]) / 1e6
        decided = {scene.name for scene in report.scenes if scene.decision.decided}
        for name in decided - held:
            first_s.setdefault(name, round(now_s, 3))
            decisions[name] = decisions.get(name, 0) + 1
        held.clear()
        held.update(decided)

    plan = VisionPlan((CameraPlan("film", source, every_s=EVERY_S),), detectors=1)
    process = VisionProcess(plan, pool, on_report)
    process.start()
    waiting = threading.Event()
    waited_s = 0.0
    while not process.ended() and waited_s < FILM_S:
        waiting.wait(0.02)
        waited_s += 0.02
    process.stop()
    if not times:
        return None
    return FilmVerdict(first_s, decisions, (times[-1] - times[0]) / 1e6)
