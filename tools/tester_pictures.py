"""The pictures of docs/guide-tester.md, taken from the real page: `python -m tools.tester_pictures [FOLDER]`.

Starts `tocsin sim page examples/tester/house.yaml` and the gateway of the guide, does what the guide says, and takes
a picture at each step, in both languages. Needs chromium and mbpoll. Each picture stays under 120 kB.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BYTES_MAX = 120_000
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


def _keeper(language: str, folder: Path, made: list[Path]) -> Callable[[str, Any], None]:
    from PIL import Image

    def keep(name: str, what: Any) -> None:
        path = folder / f"tester-{name}-{language}.png"
        what.screenshot(path=str(path))
        with Image.open(path) as picture:  # few colours are enough for a page, and half the bytes
            picture.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        assert size <= BYTES_MAX, f"{path.name} has {size} bytes"
        made.append(path)

    return keep


def _walk(browser: Any, url: str, language: str, folder: Path) -> list[Path]:
    """The guide's steps, in one language."""
    from playwright.sync_api import expect

    made: list[Path] = []
    keep = _keeper(language, folder, made)
    context = browser.new_context(locale=LANGUAGES[language], viewport={"width": 1200, "height": 700},
                                  color_scheme="light")
    page = context.new_page()
    _profile(page, url, keep)
    page.goto(url)
    expect(page.locator("#link")).to_have_class("link live")
    page.locator("[data-pick=duct]").click()
    expect(page.locator("[data-point=smoke]")).to_be_visible()
    _beside_gateway(page, keep)
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


def _beside_gateway(page: Any, keep: Any) -> None:
    """What a real gateway holds beside the truth: `tocsin gateway run` and `page` on the guide's site file."""
    from playwright.sync_api import expect

    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "gateway.yaml"
        text = (ROOT / "examples" / "tester" / "gateway.yaml").read_text(encoding="utf-8")
        config.write_text(text.replace("../../var/bench.sqlite", "bench.sqlite"), encoding="utf-8")
        words = ([], ["page"])
        started = [subprocess.Popen(
            [sys.executable, "-m", "tocsin", "gateway", *(word or ["run"]), "--config", str(config)], cwd=place,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
            for word in words]
        try:
            page.locator("#join-url").fill("http://127.0.0.1:8443")
            page.locator("#join button.primary").click()
            page.locator("[data-act=alarm]").click()
            expect(page.locator("[data-point=smoke] .held .agree")).to_have_class("agree agrees", timeout=60_000)
            expect(page.locator("#device-held .heldalarm")).to_be_visible(timeout=60_000)
            page.evaluate("window.scrollTo(0, 0)")
            keep("gateway", page)
            page.locator("#part").click()
            page.locator("[data-act=alarm]").click()
            page.locator("[data-press=reset]").click()
        finally:
            for child in started:
                child.terminate()
            for child in started:
                child.wait(20)


def _profile(page: Any, url: str, keep: Any) -> None:
    """A profile of a CO head with a mistake in one line, its preview, and the device that ran before the mistake."""
    from playwright.sync_api import expect

    page.goto(f"{url}profiles?profile=xy-md04")
    expect(page.locator("[data-look=temperature]")).to_be_visible(timeout=60_000)
    page.locator("[data-look=temperature] input").fill("FFCE")
    expect(page.locator("[data-look=temperature]")).to_contain_text("-5 °C", timeout=60_000)
    page.locator("#start").click()
    expect(page.locator("[data-run-point=humidity] .agree")).to_have_class("agree agrees", timeout=60_000)
    text = page.locator("#text").input_value()
    page.locator("#text").fill(text.replace("type: s16", "typ: s16"))
    expect(page.locator("#gutter .wrong")).to_have_count(1, timeout=60_000)
    page.locator("#text").evaluate("it => { it.blur(); it.scrollTo(0, 0); }")
    page.evaluate("window.scrollTo(0, 0)")
    keep("profile", page)
    page.locator("#stop").click()
    page.evaluate("localStorage.clear()")


if __name__ == "__main__":
    for picture in take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"):
        print(f"{picture.name}: {picture.stat().st_size} bytes")
