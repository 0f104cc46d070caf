"""`tocsin bench vision`: the pipeline against the bare interpreter, and a sweep over many RTSP cameras.

ratio_to_interpreter = looks a second through decode, first stage, zones and time ÷ bare invokes a second, one
thread; both in turn, ROUNDS times, and the median of the rounds, so that what else the machine does falls on both
--sweep N --period S: N fresh sessions on a real RTSP server (a child; its CPU is printed apart), 5 % of
them dead
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.report import Figure, Report, figure, own_cpu_s, process_cpu_s, process_rss_mib, report
from device_drivers.vision.detector import Detector, DetectorPool
from device_drivers.vision.process import VisionProcess, WatchedCamera
from device_drivers.vision.reports import CameraReport
from device_drivers.vision.sweep import WORKERS, Outcome, SweepReport, SweepTarget, sweep
from device_drivers.vision.vision_file import CameraPlan, VisionPlan
from firmware_sim.camera import many_cameras, picture_filter
from firmware_sim.camera_server import CameraServer

ROUNDS = 5
WARM = 10  # verdicts before it counts


def add_options(parser: argparse.ArgumentParser) -> None:
    """How long, how many."""
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--cameras", type=int, default=2, help="films that feed the pipeline")
    parser.add_argument("--sweep", type=int, default=0, help="cameras to sweep; 0: none")
    parser.add_argument("--period", type=float, default=60.0)
    parser.add_argument("--dead", type=float, default=0.05, help="share of the cameras that do not answer")
    parser.add_argument("--workers", type=int, default=WORKERS)


def run(options: argparse.Namespace) -> Report:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "yard.mp4"
        subprocess.run(
            [
                "ffmpeg",
                "-loglevel",
                "error",
                "-y",
                "-f",
                "lavfi",
                "-i",
                picture_filter("normal"),
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-g",
                "10",
                "-bf",
                "0",
                str(film),
            ],
            check=True,
        )
        # Long enough that opening it anew does not count.
        long = Path(folder) / "long.mp4"
        subprocess.run(
            ["ffmpeg", "-loglevel", "error", "-y", "-stream_loop", "100", "-i", str(film), "-c", "copy", str(long)],
            check=True,
        )
        figures, bare, looks = _both(long, options.cameras, options.seconds)
        if options.sweep:
            figures |= asyncio.run(_sweep(options, Path(folder)))
    return report("vision", figures, {"bare_invokes_per_s": round(bare, 1), "pipeline_looks_per_s": round(looks, 1)})


def _both(film: Path, cameras: int, seconds: float) -> tuple[dict[str, Figure], float, float]:
    """The bare interpreter and the pipeline in turn."""
    detector, pool = Detector(), DetectorPool(1)
    rounds = []
    for _ in range(ROUNDS):
        before = _bare(detector, seconds / ROUNDS / 4)
        piped = _pipeline(film, cameras, seconds / ROUNDS, pool)
        after = _bare(detector, seconds / ROUNDS / 4)
        bare, cpu_s = (before[0] + after[0]) / 2, (before[1] + after[1]) / 2
        rounds.append((piped.looks / bare, bare, piped, cpu_s / piped.detector_cpu_s))
    ratio, bare, piped, _ = sorted(rounds, key=lambda r: r[0])[ROUNDS // 2]
    return (
        {
            "frames_per_s": figure(piped.frames, "1/s"),
            "looks_per_s": figure(piped.looks, "1/s"),
            "ratio_to_interpreter": figure(ratio, "share", at_least=0.9),
            "ratio_lowest": figure(min(r[0] for r in rounds), "share"),
            # The same in processor time, which what else the machine does hardly touches.
            "ratio_in_cpu_time": figure(sorted(r[3] for r in rounds)[ROUNDS // 2], "share"),
            "pipeline_cpu_cores": figure(piped.cores, "cores"),
        },
        bare,
        piped.looks,
    )


def _bare(detector: Detector, seconds: float) -> tuple[float, float]:
    """Invokes a second of one interpreter with one thread, nothing else done; and processor time of an invoke."""
    size = detector.card.size
    given = np.zeros((1, size, size, 3), np.int8)
    detector.invoke(given)
    count, began, cpu_s = 0, time.perf_counter(), time.thread_time()
    while time.perf_counter() - began < seconds:
        detector.invoke(given)
        count += 1
    return count / (time.perf_counter() - began), (time.thread_time() - cpu_s) / count


class Piped(NamedTuple):
    """What went through the whole process a second, and the cores it took."""

    frames: float
    looks: float
    cores: float
    detector_cpu_s: float  # processor time of the detector thread, a look


def _pipeline(film: Path, cameras: int, seconds: float, pool: DetectorPool) -> Piped:
    """Films through the whole process with one detector thread; counted from the first verdicts on, so that opening
    the films is left out. They are long enough not to end."""
    told: list[tuple[float, int]] = []  # bounded: some hundred reports a second for some seconds

    def on_report(_: WatchedCamera, report: CameraReport) -> None:
        told.append((time.perf_counter(), report.looks))

    plan = VisionPlan(
        tuple(CameraPlan(f"film-{n}", f"file:{film}", every_s=0.05) for n in range(cameras)), detectors=1
    )
    process = VisionProcess(plan, pool, on_report)
    process.start()
    stop = threading.Event()
    while len(told) < WARM and not process.ended():
        stop.wait(0.01)
    cpu_s, began, mine = own_cpu_s(), time.perf_counter(), _detector_cpu_s()
    stop.wait(seconds)
    cpu_s, until, mine = own_cpu_s() - cpu_s, time.perf_counter(), _detector_cpu_s() - mine
    process.stop(1.0)
    counted = [looks for at, looks in told if began <= at <= until]
    took = until - began
    return Piped(len(counted) / took, sum(counted) / took, cpu_s / took, mine / max(1, sum(counted)))


def _detector_cpu_s() -> float:
    """Processor time of the detector thread since it began."""
    thread = next(t for t in threading.enumerate() if t.name == "detector 0")
    fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _sweep(options: argparse.Namespace, folder: Path) -> dict[str, Figure]:
    dead = round(options.sweep * options.dead)
    server = CameraServer(many_cameras(options.sweep - dead), folder)
    await server.start()
    try:
        with socket.socket() as black_hole:  # accepts and never answers: the slow kind of dead
            black_hole.bind(("127.0.0.1", 0))
            black_hole.listen(256)
            targets = [SweepTarget(f"cam-{n}", server.url(f"cam-{n}")) for n in range(1, options.sweep - dead + 1)]
            hole = black_hole.getsockname()[1]
            targets += [SweepTarget(f"dead-{n}", f"rtsp://127.0.0.1:{hole if n % 2 else 9}/x") for n in range(dead)]
            np.random.default_rng(1).shuffle(targets)
            pool = DetectorPool(2)
            cpu_s, server_s = own_cpu_s(), process_cpu_s(server.pid)
            done: SweepReport = await asyncio.to_thread(
                lambda: sweep(targets, pool, period_s=options.period, workers=options.workers)
            )
            cpu_s, server_s = own_cpu_s() - cpu_s, process_cpu_s(server.pid) - server_s
    finally:
        await server.close()
    seen = done.outcomes.get(Outcome.SEEN.value, 0)
    return {
        "sweep_s": figure(done.sweep_s, "s", at_most=options.period),
        "swept": figure(done.swept, "", at_least=options.sweep),
        "seen": figure(seen, "", at_least=options.sweep - dead),
        "dead": figure(dead, ""),
        "cpu_cores": figure(cpu_s / done.sweep_s, "cores", at_most=2.0),
        "rss_mib": figure(process_rss_mib(_own_pid()), "MiB"),
        "server_cpu_cores": figure(server_s / done.sweep_s, "cores"),
    }


def _own_pid() -> int:
    return os.getpid()
