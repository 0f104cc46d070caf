"""The pictures of docs/guide-tester.md, taken from the real page: `python -m tools.tester_pictures [FOLDER]`.

Starts `tocsin sim page examples/tester/house.yaml`, does what the guide says, and takes a picture at each step, in
both languages. Needs chromium and mbpoll. Each picture stays under 150 kB.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BYTES_MAX = 150_000
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
PAGE = re.compile(r"page: (http://\S+)")


def take(folder: Path) -> list[Path]:
    """All pictures; their paths. Raises AssertionError where the page does not do what the guide says."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    return [picture for language in LANGUAGES for picture in _taken(language, folder, sync_playwright)]


def _taken(language: str, folder: Path, sync_playwright: Any) -> list[Path]:
    """One simulator a language: a kitchen that has burnt is full of smoke."""
    with tempfile.TemporaryDirectory() as place:
        simulator = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "sim", "page", str(ROOT / "examples" / "tester" / "house.yaml")],
            cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)})
        try:
            url = _address(simulator)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
                made = _walk(browser, url, language, folder)
                browser.close()
        finally:
            simulator.terminate()
            simulator.wait(10)
    return made


def _address(simulator: subprocess.Popen[str]) -> str:
    assert simulator.stdout is not None
    for line in simulator.stdout:
        found = PAGE.search(line)
        if found:
            return found.group(1)
    raise AssertionError("the simulator did not start")


def _poll() -> None:
    """Read the detector as a driver would, so that there are frames to see."""
    asked = ["mbpoll", "-m", "tcp", "-p", "15020", "-a", "1", "-t", "1", "-0", "-r", "0", "-c", "4", "-1",
             "127.0.0.1"]
    subprocess.run(asked, check=False, capture_output=True, timeout=20)


def _walk(browser: Any, url: str, language: str, folder: Path) -> list[Path]:
    """The guide's steps, in one language."""
    from playwright.sync_api import expect

    made: list[Path] = []

    def keep(name: str, what: Any) -> None:
        path = folder / f"tester-{name}-{language}.png"
        what.screenshot(path=str(path))
        size = path.stat().st_size
        assert size <= BYTES_MAX, f"{path.name} has {size} bytes"
        made.append(path)

    context = browser.new_context(locale=LANGUAGES[language], viewport={"width": 1200, "height": 700},
                                  color_scheme="light")
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#link")).to_have_class("link live")
    page.locator("[data-pick=duct]").click()
    expect(page.locator("[data-point=smoke]")).to_be_visible()
    _poll()
    page.locator("[data-act=alarm]").click()
    expect(page.locator("[data-point=smoke] .hex")).to_have_text("0001")
    _poll()
    expect(page.locator("#frames tr").first).to_have_attribute("data-number", re.compile("[0-9]+"))
    keep("page", page)
    page.locator("[data-act=alarm]").click()
    page.locator("[data-press=reset]").click()
    page.locator("#fault-kind").select_option("drop")
    page.locator("#fault-target").fill("bus")
    page.locator("#fault-chance").fill("0.3")
    page.locator("#strike button").click()
    expect(page.locator("[data-fault]")).to_have_count(1)
    keep("fault", page.locator("section[aria-labelledby=h-faults]"))
    page.locator("[data-fault] button").click()
    page.locator('[data-knob="pan.on"] input[type=number]').fill("1")
    page.keyboard.press("Tab")
    expect(page.locator('[data-point="smoke"] .hex')).to_have_text("0001", timeout=60_000)
    keep("world", page.locator("section[aria-labelledby=h-world]"))
    page.locator('[data-knob="pan.on"] input[type=number]').fill("0")
    page.keyboard.press("Tab")
    page.locator("#run-name").select_option("silent-detector")
    page.locator("#run button").click()
    expect(page.locator("#runs > li").first.locator(".state")).to_have_class("state pass", timeout=120_000)
    keep("verdict", page.locator("section[aria-labelledby=h-runs]"))
    page.locator("#batch-name").fill(f"night-{language}")
    page.locator("#batch-units").fill("SN-0001, , modbus://127.0.0.1:15020/1\nSN-0002, 2.4.1, sdm120")
    page.locator("#batch .primary").click()
    expect(page.locator("#batch-state tbody tr")).to_have_count(2, timeout=120_000)
    keep("batch", page.locator("section[aria-labelledby=h-batch]"))
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")
    page.evaluate("window.scrollTo(0, 0)")
    keep("phone", page)
    context.close()
    return made


if __name__ == "__main__":
    for picture in take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"):
        print(f"{picture.name}: {picture.stat().st_size} bytes")
