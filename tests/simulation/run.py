"""Replay one seed: `python -m tests.simulation.run --seed N [--json] [--trace FILE]` (`make sim SEED=N`).

The same seed gives the same bytes: the digest is the sha256 of every message, commit, output and store change in
order. Exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

from tests.simulation.world import Verdict, run_seed


def main(arguments: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of words")
    parser.add_argument("--trace", type=Path, help="write the whole story to this file")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    if options.trace is not None:
        with options.trace.open("wb") as file:
            verdict = run_seed(options.seed, trace_file=file)
    else:
        verdict = run_seed(options.seed)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
    else:
        _say(verdict, time.perf_counter() - began)
    return 0 if verdict.ok else 1


def _say(verdict: Verdict, took_s: float) -> None:
    print(f"seed {verdict.seed}: {'kept all promises' if verdict.ok else f'{len(verdict.problems)} PROBLEMS'}")
    for problem in verdict.problems:
        print(f"  {problem}")
    for note in verdict.notes:
        print(f"  note: {note}")
    print(f"  {verdict.virtual_s:g} virtual seconds in {took_s:.2f} s, {verdict.events} events, "
          f"{verdict.stimuli} stimuli, {verdict.incidents} incidents")
    print(f"  digest {verdict.digest}")


if __name__ == "__main__":
    sys.exit(main())
