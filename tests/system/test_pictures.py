"""The pictures of README: taken from the running demo, all three fires visible; only when TOCSIN_PICTURES=1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from device_model.child_process import free_ports
from tests.system.house import ROOT, WITHIN_S

PICTURES = ROOT / "docs" / "pictures"
BYTES_MAX = 200_000
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]


def test_pictures(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if os.environ.get("TOCSIN_PICTURES") != "1":
        # The stored ones are what README shows: there, and small enough for a clone.
        for language in LANGUAGES:
            assert 10_000 < (PICTURES / f"board-{language}.png").stat().st_size <= BYTES_MAX
        return
    from playwright.sync_api import expect

    browser = request.getfixturevalue("browser")
    (port,) = free_ports(1)
    demo = subprocess.Popen(
        [sys.executable, "-m", "tocsin", "demo", "--port", str(port), "--keep", str(tmp_path)], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pages = {}
        for language, locale in LANGUAGES.items():
            page = browser.new_context(locale=locale, viewport={"width": 1320, "height": 880}).new_page()
            for _ in range(300):
                try:
                    page.goto(f"http://127.0.0.1:{port}/board")
                    break
                except Exception:
                    page.wait_for_timeout(100)
            pages[language] = page
        first = next(iter(pages.values()))
        expect(first.locator(".card")).to_have_count(3, timeout=2 * WITHIN_S * 1000)
        first.locator(".card").nth(0).click()
        first.locator("#you").fill("Watch Officer Li")
        first.locator("[data-action=acknowledge]").click()
        first.wait_for_timeout(4000)
        PICTURES.mkdir(parents=True, exist_ok=True)
        for language, page in pages.items():
            expect(page.locator(".card")).to_have_count(3)
            page.locator(".card").nth(0).click()
            page.wait_for_timeout(1500)
            picture = PICTURES / f"board-{language}.png"
            page.screenshot(path=str(picture))
            assert picture.stat().st_size <= BYTES_MAX
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
