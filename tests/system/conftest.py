"""Fixtures of the system tests. All run on one worker: they start real processes and take real time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.system.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A running house, shared by the tests of a file: each takes a flat of its own."""
    made = House(tmp_path_factory.mktemp("house"))
    try:
        made.enrol()
        made.cloud.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=[
            "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"])
