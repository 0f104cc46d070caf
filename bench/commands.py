"""`tocsin bench NAME`: finds the module, runs it, prints and keeps the report."""

from __future__ import annotations

import argparse
import importlib
import logging
import math
import sys
from pathlib import Path
from typing import Protocol

import structlog

from bench.report import Report, as_html, as_json_text, as_text
from device_model.errors import TocsinError

# Name → what it measures. One module each, in this folder.
BENCHES = {
    "path": "register change on the line to the page's event, idle and at 1,000 messages/s",
    "pages": "alarm to 1,000 open pages with 5,000 open incidents; scripts and first paint in Chromium",
    "outage": "what 72 virtual hours without a cloud and hundreds of kills cost: alarms, telemetry, doubles, gaps",
    "output": "register change to output with the cloud down, also with every fsync stalled",
    "backlog": "a million records drain, and a new alarm overtakes them: loopback and a slow link",
    "soak": "days of a gateway in accelerated time: memory, descriptors, bytes written to the card",
    "journal": "durable rows/s of the journal against bare SQLite",
    "ingest": "messages/s from the broker to the incident store, CPU per thousand",
    "modbus": "values/s read, decoded and judged, with what that costs the gateway alone",
    "rtu": "how much of a serial wire the poller uses",
    "fleet": "15,000 MQTT detectors and 1,000 Modbus devices in one simulator process: cores, memory, rates",
    "series": "samples a second into the gateway's own time series, InfluxDB and VictoriaMetrics; bytes a sample",
    "scan": "what a scan costs the polls of the line that it shares",
    "rules": "latency and cores of 10,000 rules at 10,000 readings a second, and how cost grows with points",
    "vision": "camera pipeline against the bare interpreter; --sweep 1437 --period 60: a sweep over RTSP cameras",
    "flood": "10,000 alarms in 10 s into one site: how late a fire is, how many notifications, what is lost",
    "isolation": "what dead units on a line cost the healthy ones",
}


# Options of which none is a number to measure by, too.
MAY_BE_ZERO = frozenset({"dead", "hub", "judged", "kills", "modbus", "mqtt", "seed", "settle", "start", "sweep"})


class Bench(Protocol):
    """What a benchmark module offers."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Its own options."""
        ...

    def run(self, options: argparse.Namespace) -> Report:
        """Measure."""
        ...


def run_bench(name: str, arguments: list[str]) -> int:
    """Run one benchmark, or `all`, or `list` them. 0 when it ran, whatever the figures; 2 on wrong usage."""
    if name in ("list", "--help", "-h"):
        if name != "list":
            print("tocsin bench NAME [--json] [--html FILE]: measure; figures beside their budgets. "
                  "`tocsin bench NAME --help`: its own options.\n")
        for known, what in BENCHES.items():
            print(f"{known:<10} {what}")
        return 0
    if name != "all" and name not in BENCHES:
        print(f"tocsin bench: no benchmark {name!r}; there are: {', '.join(BENCHES)}, all", file=sys.stderr)
        return 2
    # What the measured programs say of themselves is not the result; warnings still are.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
                        logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    results = []
    as_json = "--json" in arguments
    page: Path | None = None
    for each in BENCHES if name == "all" else [name]:
        module: Bench = importlib.import_module(f"bench.{each}")
        parser = argparse.ArgumentParser(prog=f"tocsin bench {each}", description=BENCHES[each])
        parser.add_argument("--json", action="store_true", help="print JSON for machines")
        parser.add_argument("--html", type=Path, help="also write a page")
        module.add_options(parser)
        options = parser.parse_args(arguments)
        page = options.html
        wrong = _wrong_number(options)
        if wrong:
            print(f"tocsin bench {each}: {wrong}", file=sys.stderr)
            return 2
        try:
            result = module.run(options)
        except TocsinError as error:
            print(f"tocsin bench {each}: {error}", file=sys.stderr)
            return 1
        results.append(result)
        print(as_json_text(result) if as_json else as_text(result), flush=True)
    if page is not None:
        page.write_text(as_html(results), encoding="utf-8")
    return 0


def _wrong_number(options: argparse.Namespace) -> str:
    """What a measurement could not end on, as words; "" when all numbers are fit."""
    for name, number in vars(options).items():
        if isinstance(number, int | float) and not isinstance(number, bool):
            option = "--" + name.replace("_", "-")
            if not math.isfinite(number) or number < 0:
                return f"{option} {number}: write a number that is not negative"
            if number == 0 and name not in MAY_BE_ZERO:
                return f"{option} 0: nothing would be measured; write more"
    return ""
