"""Films judged over time: what was decided, how late, what was decided of nothing; hours with their interval. Pure.

A rate of false alarms a camera-day is told only over real film (`synthetic` 0), with the hours and Poisson's
interval: rendered films are a regression test and say nothing of the field.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import msgspec

from device_drivers.vision.measures import wilson
from device_drivers.vision.model_card import CLASSES
from device_model.errors import ConfigError, Finding

ROWS_MAX = 100_000


class FilmRow(msgspec.Struct, frozen=True):
    """One film of a manifest. onset_s: when what it shows begins, None where it shows nothing; fps: of a folder."""

    file: str
    labels: tuple[int, ...]
    kind: str
    onset_s: float | None
    fps: float
    synthetic: bool
    line: int


class FilmVerdict(msgspec.Struct, frozen=True):
    """What was decided of a film: seconds from its beginning, by class, and each separate decision's count."""

    first_s: dict[str, float]
    decisions: dict[str, int]
    length_s: float


class ClassFilms(msgspec.Struct, frozen=True):
    """A class over all films. delay: from onset to decision, of those decided; early: decided before onset."""

    shown: int
    decided: int
    recall: float | None
    recall_95: tuple[float, float] | None
    delay_p50_s: float | None
    delay_p95_s: float | None
    early: int
    false_films: int
    not_shown: int


class NegativeHours(msgspec.Struct, frozen=True):
    """Film that shows nothing. a_camera_day: false alarms, with Poisson's 95 % interval; None without real film."""

    hours: float
    false_alarms: int
    a_camera_day: float | None
    a_camera_day_95: tuple[float, float] | None


class ClipReport(msgspec.Struct, frozen=True):
    """What `tocsin vision eval --clips --json` prints."""

    classes: dict[str, ClassFilms]
    by_kind: dict[str, dict[str, int]]
    real_negative: NegativeHours
    rendered_negative: NegativeHours
    films: int
    model: str
    model_sha256: str
    errors: int = 0

    def text(self) -> str:
        """For people."""
        lines = [f"{self.films} films, model {self.model} {self.model_sha256[:12]}"]
        for name, m in self.classes.items():
            lines.append(
                f"{name:9} decided {m.decided} of {m.shown} {_pair(m.recall_95)}, delay p50 {_one(m.delay_p50_s)} s, "
                f"p95 {_one(m.delay_p95_s)} s; wrongly in {m.false_films} of {m.not_shown}, before onset {m.early}"
            )
        for kind, counts in self.by_kind.items():
            told = " ".join(f"{name} {count}" for name, count in counts.items() if name != "films" and count)
            lines.append(f"  {kind:20} {counts['films']:4}  {told or 'nothing'}")
        real, made = self.real_negative, self.rendered_negative
        lines.append(f"rendered film of nothing: {made.hours:.2f} h, {made.false_alarms} false alarms (no claim)")
        if real.a_camera_day is None:
            lines.append("real film of nothing: 0 h; nothing is claimed of false alarms a camera-day")
        else:
            lines.append(
                f"real film of nothing: {real.hours:.2f} h, {real.false_alarms} false alarms: "
                f"{real.a_camera_day:.2f} a camera-day {_pair(real.a_camera_day_95)}"
            )
        return "\n".join(lines)


def _one(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _pair(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def parse_films(text: str, name: str) -> tuple[list[FilmRow], list[Finding]]:
    """Rows: file,hot_work,flame,smoke,kind,onset_s,fps,synthetic; the last three may be missing. Raises ConfigError
    where nothing is a film."""
    table = csv.DictReader(io.StringIO(text))
    missing = [column for column in ("file", *CLASSES) if column not in (table.fieldnames or ())]
    if missing:
        raise ConfigError([Finding(name, 1, 0, f"column(s) {', '.join(missing)} are missing", "see --help")])
    rows: list[FilmRow] = []
    findings: list[Finding] = []
    for line, row in enumerate(table, 2):
        try:
            labels = tuple(int(row[c]) for c in CLASSES)
            onset = (row.get("onset_s") or "").strip()
            film = FilmRow(
                row["file"].strip(),
                labels,
                (row.get("kind") or "film").strip(),
                float(onset) if onset else (0.0 if 1 in labels else None),
                float(row.get("fps") or 5),
                (row.get("synthetic") or "0").strip() == "1",
                line,
            )
            if not film.file or any(v not in (-1, 0, 1) for v in labels) or not 0.1 <= film.fps <= 120:
                raise ValueError("a label is none of -1, 0, 1, or fps is not 0.1 to 120")
        except (TypeError, ValueError) as error:
            findings.append(Finding(name, line, 0, f"no film: {error}", "file,hot_work,flame,smoke,kind,onset_s,fps"))
            continue
        rows.append(film)
        if len(rows) >= ROWS_MAX:
            break
    if not rows:
        raise ConfigError(findings or [Finding(name, 0, 0, "no films", "name a film a line")])
    return rows, findings


def percentile(values: Sequence[float], share: float) -> float | None:
    """By nearest rank; None of nothing."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)], 2) if ordered else None


def poisson(count: int, hours: float) -> tuple[float, float]:
    """95 % interval of a rate a day, by the square-root form (exact enough from none upwards)."""
    low = max(0.0, (math.sqrt(count) - 0.98) ** 2) if count else 0.0
    high = (math.sqrt(count + 1) + 0.98) ** 2 if count else 3.69
    return round(low * 24 / hours, 3), round(high * 24 / hours, 3)


def measure_films(
    films: Sequence[tuple[FilmRow, FilmVerdict]], *, model: str, model_sha256: str, errors: int = 0
) -> ClipReport:
    """The report."""
    kinds: dict[str, dict[str, int]] = {}
    for row, verdict in films:
        counts = kinds.setdefault(row.kind, {"films": 0, **dict.fromkeys(CLASSES, 0)})
        counts["films"] += 1
        for name in verdict.first_s:
            counts[name] += 1
    return ClipReport(
        classes={name: _class(index, name, films) for index, name in enumerate(CLASSES)},
        by_kind=dict(sorted(kinds.items())),
        real_negative=_negative(films, False),
        rendered_negative=_negative(films, True),
        films=len(films),
        model=model,
        model_sha256=model_sha256,
        errors=errors,
    )


def _class(index: int, name: str, films: Sequence[tuple[FilmRow, FilmVerdict]]) -> ClassFilms:
    shown = [(r, v) for r, v in films if r.labels[index] == 1]
    absent = [v for r, v in films if r.labels[index] == 0]
    early = sum(1 for r, v in shown if name in v.first_s and v.first_s[name] < (r.onset_s or 0.0))
    late = [
        v.first_s[name] - (r.onset_s or 0.0)
        for r, v in shown
        if name in v.first_s and v.first_s[name] >= (r.onset_s or 0.0)
    ]
    return ClassFilms(
        len(shown),
        len(late),
        round(len(late) / len(shown), 4) if shown else None,
        wilson(len(late), len(shown)),
        percentile(late, 0.5),
        percentile(late, 0.95),
        early,
        sum(name in v.first_s for v in absent),
        len(absent),
    )


def _negative(films: Sequence[tuple[FilmRow, FilmVerdict]], synthetic: bool) -> NegativeHours:
    """Films in which every class is looked at and none is shown."""
    none = [v for r, v in films if r.synthetic is synthetic and not any(r.labels)]
    hours = sum(v.length_s for v in none) / 3600
    wrong = sum(sum(v.decisions.values()) for v in none)
    if synthetic or hours <= 0:
        return NegativeHours(round(hours, 4), wrong, None, None)
    return NegativeHours(round(hours, 4), wrong, round(wrong * 24 / hours, 3), poisson(wrong, hours))
