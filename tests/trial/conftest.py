"""One browser a file for the simulator's pages."""

from __future__ import annotations

import shutil

import pytest

from tests.trial.served_bench import FLAGS


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # on a machine that is ten times slower the same holds, later

    chromium = shutil.which("chromium")
    assert chromium, "chromium is needed: apt-get install chromium"
    with sync_playwright() as playwright:
        it = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield it
        it.close()
