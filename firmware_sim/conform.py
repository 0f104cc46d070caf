"""Conformance: what a device or receiver was asked, what it answered, and what the standard says. Pure.

    Check (clause, bytes to send) ──► answer ──judge──► Finding: ok | deviates, what and by which clause

A check never writes to a device unless it says so (`writes`), and then only what changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """Of one check."""

    OK = "ok"
    DEVIATES = "deviates"
    NOT_TESTED = "not_tested"


class Verdict(msgspec.Struct, frozen=True):
    """What came of one check. clause: of the standard. seen: the answer in hex or words."""

    check: str
    clause: str
    outcome: Outcome
    en: str
    zh: str = ""
    seen: str = ""


class Check(msgspec.Struct, frozen=True):
    """One question and its judge. judge: the answer (b"" for silence) to what deviates, "" for nothing.
    wait_s: how long silence is listened for. fresh: on a new connection."""

    name: str
    clause: str
    en: str
    zh: str
    send: bytes
    judge: Callable[[bytes], str]
    wait_s: float = 1.0
    fresh: bool = False

    def verdict(self, answer: bytes) -> Verdict:
        """The judgement of an answer."""
        wrong = self.judge(answer)
        seen = answer[:40].hex(" ").upper() or "silence"
        return verdict_of(self.name, self.clause, self.en, self.zh, wrong, seen)


def verdict_of(name: str, clause: str, en: str, zh: str, wrong: str, seen: str = "") -> Verdict:
    """A verdict: ok where nothing is wrong."""
    outcome = Outcome.DEVIATES if wrong else Outcome.OK
    return Verdict(name, clause, outcome, f"{en}: {wrong}" if wrong else en, zh, seen)


class Report(msgspec.Struct, frozen=True):
    """All of a run."""

    target: str
    standard: str
    verdicts: tuple[Verdict, ...]

    @property
    def deviations(self) -> tuple[Verdict, ...]:
        """What deviates."""
        return tuple(v for v in self.verdicts if v.outcome is Outcome.DEVIATES)


def as_text(report: Report) -> str:
    """For a terminal."""
    signs = {Outcome.OK: "ok  ", Outcome.DEVIATES: "DEV ", Outcome.NOT_TESTED: "–   "}
    lines = [f"{report.target}: {report.standard}"]
    for v in report.verdicts:
        lines.append(f"  {signs[v.outcome]} {v.clause:<22} {v.en} · {v.zh}"
                     + (f"   [{v.seen}]" if v.outcome is Outcome.DEVIATES else ""))
    count = len(report.deviations)
    lines.append(f"{count} of {len(report.verdicts)} checks deviate · {len(report.verdicts)} 项中 {count} 项不符")
    return "\n".join(lines)
