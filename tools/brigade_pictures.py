"""The pictures of docs/guide-brigade.md, taken from a running demo: `python -m tools.brigade_pictures [FOLDER]`.

Starts `tocsin demo`, waits for the fire in flat 301, does what the guide says, in the guide's order, and takes a
picture at each step, in both languages. Needs chromium and ffmpeg (fewer colours: each picture stays under 120 kB).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BYTES_MAX = 120_000
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
FIRE_WITHIN_S = 150.0
FEWER = "split[a][b];[a]palettegen=max_colors=96[p];[b][p]paletteuse=dither=none"


def take(folder: Path) -> list[Path]:
    """All pictures; their paths. Raises AssertionError where a page does not do what the guide says."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        demo = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "demo", "--port", str(port), "--speed", "10", "--keep", place],
            cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BROWSER": "true"})
        try:
            fire = _fire(port)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
                made = _Walk(browser, f"http://127.0.0.1:{port}", fire, folder).all()
                browser.close()
        finally:
            demo.terminate()
            demo.wait(60)
    return made


def _fire(port: int) -> str:
    """The id of the fire in flat 301, when it is there."""
    end = time.monotonic() + FIRE_WITHIN_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/board", timeout=5) as answer:
                board = json.load(answer)["board"]
        except (OSError, ValueError):
            board = {"incidents": []}
        for incident in board["incidents"]:
            if incident["zone"] == "b1-301":
                return str(incident["id"])
        time.sleep(0.5)
    raise AssertionError("the fire in flat 301 did not come")


class _Walk:
    """The guide's steps: done once in English, looked at in both languages."""

    def __init__(self, browser: Any, url: str, fire: str, folder: Path) -> None:
        self._url, self._fire, self._folder = url, fire, folder
        self._made: list[Path] = []
        self._pages = {name: browser.new_context(
            locale=locale, viewport={"width": 1180, "height": 720}, color_scheme="light",
            reduced_motion="reduce").new_page() for name, locale in LANGUAGES.items()}

    def all(self) -> list[Path]:
        """Every picture."""
        self._board()
        self._incident()
        self._desk()
        self._station()
        self._register()
        self._handover()
        self._drill()
        return self._made

    def _open(self, path: str, width: int = 1180, height: int = 720) -> Any:
        """That page in both languages; the English one is worked with."""
        from playwright.sync_api import expect

        for page in self._pages.values():
            page.set_viewport_size({"width": width, "height": height})
            page.goto(self._url + path)
            expect(page.locator("#link")).to_have_class("link live")
            if page.locator("#you").is_visible():
                page.locator("#you").fill("Li Wei")
        return self._pages["en"]

    def _keep(self, name: str, selector: str = "") -> None:
        for language, page in self._pages.items():
            page.wait_for_timeout(900)
            path = self._folder / f"brigade-{name}-{language}.png"
            (page.locator(selector).first if selector else page).screenshot(path=str(path))
            small = path.with_suffix(".small.png")
            subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", str(path), "-vf", FEWER, str(small)],
                           check=True)
            small.replace(path)
            size = path.stat().st_size
            assert size <= BYTES_MAX, f"{path.name} has {size} bytes"
            self._made.append(path)

    def _answer(self, page: Any, **fields: str) -> None:
        for name, value in fields.items():
            field = page.locator(f"#reason-{name}")
            if field.evaluate("node => node.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        page.locator("#reason button.primary").click()

    def _board(self) -> None:
        page = self._open("/board")
        page.locator(f'[data-incident="{self._fire}"]').click()
        self._pages["zh"].locator(f'[data-incident="{self._fire}"]').click()
        self._keep("board")
        page.locator("[data-action=acknowledge]").click()

    def _incident(self) -> None:
        page = self._open(f"/incidents/{self._fire}", height=900)
        self._keep("incident")
        page.locator("[data-key^=call-]").first.click()
        self._answer(page, outcome="answered", text="brings the key")
        page.locator("section[aria-labelledby=s-steps] input").first.check()
        page.locator("[data-jump=contacts]").click()
        self._pages["zh"].locator("[data-jump=contacts]").click()
        self._keep("people", "section[aria-labelledby=s-contacts]")
        page.locator("[data-action=false_alarm]").click()
        self._answer(page, cause="cooking", text="a pan, says the tenant")
        page.locator(".outcome", has_text=re.compile("Refused")).wait_for()

    def _desk(self) -> None:
        page = self._open("/desk")
        page.locator("[data-work]").first.click()
        self._pages["zh"].locator("[data-work]").first.click()
        self._keep("desk")

    def _station(self) -> None:
        page = self._open("/station", 390, 780)
        for one in self._pages.values():
            one.locator("#unit").fill("Cangqian")
        page.locator(f"[data-key=coming-{self._fire}]").click()
        page.locator(f"[data-key=arrived-{self._fire}]").click()
        for one in self._pages.values():
            one.locator(f"[data-key=report-{self._fire}]").scroll_into_view_if_needed()
        self._keep("station")

    def _register(self) -> None:
        page = self._open("/register#inspections")
        page.locator("[data-key=inspect]").click()
        page.locator("#reason input").first.fill("Fire doors of building 3")
        self._answer(page, subject="hangzhou/yuhang/cangqian/riverside b3-plant",
                     items="door closes by itself\nnothing stored in front", person="Wang Jun", days="3")
        page.locator("[data-key^=fill-]").wait_for()
        self._open("/register#inspections")
        self._pages["zh"].locator("[data-key^=fill-]").wait_for()
        self._keep("register")

    def _handover(self) -> None:
        page = self._open("/handover")
        page.locator("#note").fill("South gate: the barrier is slow, call the gate house first.")
        page.locator("#give").click()
        page.locator(".handover").first.wait_for()
        self._open("/handover")
        self._keep("handover")

    def _drill(self) -> None:
        page = self._open("/board")
        page.locator("#drill-start").click()
        self._answer(page, zone="hangzhou/yuhang/cangqian/lakeside|b1-101", hazard="fire",
                     text="evacuation of the stair")
        page.locator(".card.drill").wait_for()
        self._open("/board?wall", 1400, 700)
        self._keep("wall")


if __name__ == "__main__":
    for picture in take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"):
        print(picture)
