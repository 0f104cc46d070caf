"""Cut the excerpts in this folder from the recorded NIST home smoke alarm tests.

    python demo/recordings/cut.py ../shared/data/sensors/nist_smoke_alarms

Needs pyarrow (a development extra); the product itself reads the result with the standard library. What is
kept, dropped and changed is said in README.md beside this file; this script is the exact statement of it.
"""

from __future__ import annotations

import csv
import gzip
import io
import statistics
import sys
from pathlib import Path

END_S = 400.0  # "the first 400 s"; these tests end earlier (200, 239 and 167 s)
BASELINE_S = 20.0  # before any of the CO channels responds (README: the item itself burns from 8 to 33 s on)
LOCATIONS = "ABCDEF"
# Beams that never leave their own noise in that test say nothing.
DEAD_BEAMS = {("SDC38", "A")}

# Analysers that carry a signal: zero taken from the first 20 s, then at least three times their own noise.
CO_CHANNELS = {"SDC02": "C", "SDC07": "BC", "SDC38": "B"}
UNITS = {"t": "s", "SM": "1/m", "TC": "Cel", "GAS": "[ppm]"}


def cut(source: Path, test: str) -> str:
    """One test as CSV: names, units, rows."""
    import pyarrow.parquet

    columns = pyarrow.parquet.read_table(source / f"{test}.parquet").to_pydict()
    times = columns["t_s"]
    rows = [i for i, t in enumerate(times) if t <= END_S]
    kept: dict[str, list[str]] = {"t_s": [f"{times[i]:g}" for i in rows]}
    for location in LOCATIONS:
        # A beam cannot be clearer than clear: negative noise is what a detector would see as zero.
        if (test, location) not in DEAD_BEAMS:
            kept[f"SM{location}_1"] = [f"{max(0.0, columns[f'SM{location}_1'][i]):.4g}" for i in rows]
        kept[f"TC{location}_1"] = [f"{columns[f'TC{location}_1'][i]:.4g}" for i in rows]
        if location in CO_CHANNELS[test]:
            ppm = [columns[f"GAS{location}_1"][i] * 1e4 for i in rows]
            zero = statistics.median(v for v, i in zip(ppm, rows, strict=True) if times[i] <= BASELINE_S)
            kept[f"GAS{location}_1"] = [f"{max(0.0, v - zero):.0f}" for v in ppm]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kept)
    writer.writerow([UNITS["t"] if name == "t_s" else UNITS[name[:-3]] for name in kept])
    writer.writerows(zip(*kept.values(), strict=True))
    return text.getvalue()


def main() -> None:
    """Write nist_*.csv.gz beside this script."""
    source, here = Path(sys.argv[1]), Path(__file__).resolve().parent
    for test in CO_CHANNELS:
        # mtime 0: the same input gives the same bytes.
        packed = gzip.compress(cut(source, test).encode(), 9, mtime=0)
        (here / f"nist_{test.lower()}.csv.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
