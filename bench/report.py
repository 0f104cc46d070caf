"""What a benchmark says: figures with unit and budget, the machine, and the raw limit of the same run."""

from __future__ import annotations

import html
import os
import platform
import resource
from pathlib import Path
from typing import Any

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured number. `budget` None: reported, not judged. `at_most`: the budget is an upper bound."""

    value: float
    unit: str
    budget: float | None = None
    ok: bool = True


def figure(value: float, unit: str, *, at_most: float | None = None, at_least: float | None = None) -> Figure:
    """A figure judged against its budget (DESIGN section 6)."""
    ok = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    return Figure(round(value, 4), unit, at_most if at_most is not None else at_least, ok)


class Report(msgspec.Struct):
    """The result of one benchmark; `ok` when every figure meets its budget."""

    bench: str
    ok: bool
    figures: dict[str, Figure]
    machine: dict[str, Any]
    raw_limit: dict[str, float]


def report(name: str, figures: dict[str, Figure], raw_limit: dict[str, float]) -> Report:
    """A Report with this machine's description."""
    return Report(name, all(f.ok for f in figures.values()), figures, machine(), raw_limit)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    memory_kib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return {
        "cores": os.cpu_count(), "usable_cores": len(os.sched_getaffinity(0)), "memory_mib": memory_kib // 1024,
        "processor": model or platform.machine(), "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def own_cpu_s() -> float:
    """CPU seconds that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def process_cpu_s(pid: int) -> float:
    """CPU seconds that another process has used; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_rss_mib(pid: int) -> float:
    """Resident memory of another process in MiB; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def as_json_text(result: Report) -> str:
    """For machines: the report, and each figure's value once more at the top, where a script finds it by name."""
    told: dict[str, Any] = msgspec.to_builtins(result)
    return msgspec.json.encode({**{name: entry.value for name, entry in result.figures.items()}, **told}).decode()


def as_text(result: Report) -> str:
    """A table for people."""
    lines = [f"{result.bench}: {'within budget' if result.ok else 'OVER BUDGET'}"]
    for name, entry in result.figures.items():
        budget = "" if entry.budget is None else f"  budget {entry.budget:g} {entry.unit}"
        lines.append(f"  {name:<22} {entry.value:>12g} {entry.unit:<8}{budget}{'' if entry.ok else '  ✗'}")
    lines.extend(f"  raw {name:<18} {value:>12g}" for name, value in result.raw_limit.items())
    lines.append("  " + ", ".join(f"{key} {value}" for key, value in result.machine.items()))
    return "\n".join(lines)


def as_html(results: list[Report]) -> str:
    """A page for the acceptance file."""
    rows = []
    for result in results:
        rows.append(f"<h2>{html.escape(result.bench)}</h2><table><tr><th>figure<th>value<th>unit<th>budget<th>ok</tr>")
        for name, entry in result.figures.items():
            budget = "" if entry.budget is None else f"{entry.budget:g}"
            rows.append(f"<tr><td>{html.escape(name)}<td>{entry.value:g}<td>{html.escape(entry.unit)}"
                        f"<td>{budget}<td>{'yes' if entry.ok else 'no'}</tr>")
        note = html.escape(f"{result.machine}; raw limit {result.raw_limit}")
        rows.append(f"</table><p>{note}</p>")
    return ("<!doctype html><html lang='en'><meta charset='utf-8'><title>Tocsin bench</title>"
            "<style>body{font:1rem system-ui;margin:2rem}td,th{padding:.2rem .8rem;text-align:left}</style>"
            "<h1>Tocsin bench</h1>" + "".join(rows) + "</html>")
