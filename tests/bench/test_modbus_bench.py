"""The benchmarks run, small, and give the figures that issue 3 names. What they measure is never asserted."""

from __future__ import annotations

import argparse
import importlib

import pytest

from bench.commands import BENCHES
from bench.report import Report

pytestmark = pytest.mark.real


def run(name: str, *arguments: str) -> Report:
    module = importlib.import_module(f"bench.{name}")
    parser = argparse.ArgumentParser()
    module.add_options(parser)
    result: Report = module.run(parser.parse_args(arguments))
    return result


def test_modbus() -> None:
    result = run("modbus", "--devices", "2", "--registers", "20", "--period", "0.2", "--seconds", "1",
                 "--settle", "0.5")
    assert {"values_per_s", "requests_per_s", "cpu_cores", "rss_mib", "journaled_1pct", "journaled_100pct"} <= set(
        result.figures)
    assert result.figures["values_per_s"].value > 0 and result.figures["rss_mib"].value > 10


def test_rtu() -> None:
    result = run("rtu", "--baud", "115200", "--seconds", "1")
    assert 0 < result.figures["bus_use"].value <= 1.05 and result.figures["lost_devices"].value == 0


def test_isolation() -> None:
    result = run("isolation", "--units", "3", "--dead", "0", "--baud", "115200", "--period-tcp", "0.1",
                 "--period-rtu", "0.2", "--seconds", "1.5")
    assert {"p95_ratio_tcp", "p95_ratio_rtu"} <= set(result.figures)


def test_they_are_registered() -> None:
    assert {"modbus", "rtu", "isolation"} <= set(BENCHES)
