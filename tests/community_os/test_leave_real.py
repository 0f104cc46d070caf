"""A role that swallows its cancellation is gone all the same: it must not live on beside its successor."""

from __future__ import annotations

import subprocess
import sys

import pytest

STUBBORN = """
import asyncio
from community_os.app import _until_signal

async def stubborn():
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

asyncio.run(_until_signal(stubborn(), leave_after_s=0.2))
"""


@pytest.mark.real
def test_a_role_that_does_not_end_leaves() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.wait(60) == 1
            assert "did not end when told to" in process.stdout.read()
        finally:
            process.kill()
