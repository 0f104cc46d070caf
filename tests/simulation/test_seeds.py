"""Twenty seeds, in groups that spread over workers; a thousand and more in `make soak`.

A seed that fails is replayed with `make sim SEED=n` and, once understood, becomes a short scenario in
test_scenarios.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.schedule import FAULTS, plan_of
from tests.simulation.world import run_seed

ROOT = Path(__file__).resolve().parents[2]
GROUPS, SEEDS_OF_GROUP = 7, 3
SOAK_GROUPS, SOAK_SEEDS_OF_GROUP = 40, 25


def kept(first: int, count: int) -> dict[int, tuple[str, ...]]:
    """The seeds of first … first + count - 1 that broke a promise, and which."""
    verdicts = (run_seed(seed) for seed in range(first, first + count))
    return {verdict.seed: verdict.problems for verdict in verdicts if not verdict.ok}


@pytest.mark.parametrize("group", range(GROUPS))
def test_all_promises_are_kept(group: int) -> None:
    assert kept(group * SEEDS_OF_GROUP, SEEDS_OF_GROUP) == {}


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("group", range(SOAK_GROUPS))
def test_all_promises_are_kept_for_long(group: int) -> None:
    assert kept(1000 + group * SOAK_SEEDS_OF_GROUP, SOAK_SEEDS_OF_GROUP) == {}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """In fresh processes, with different hash seeds: sets and dicts of strings must not leak into the story."""
    verdicts, traces = [], []
    for number in ("1", "2"):
        trace = tmp_path / f"trace-{number}"
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation.run", "--seed", "7", "--json", "--trace", str(trace)],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": number}, capture_output=True, timeout=150, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        verdicts.append(json.loads(done.stdout))
        traces.append(trace.read_bytes())
    assert verdicts[0] == verdicts[1] and traces[0] == traces[1]
    assert verdicts[0]["events"] > 1000 and len(traces[0]) > 100_000


def test_other_seeds_are_other_stories() -> None:
    assert len({run_seed(seed).digest for seed in (7, 8, 9)}) == 3


def test_a_hundred_plans_hold_every_fault() -> None:
    from random import Random

    kinds = {event.kind for seed in range(100) for event in plan_of(Random(Random(seed).getrandbits(64))).events}
    assert kinds == set(FAULTS)
