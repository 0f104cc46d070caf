"""The code on a device, read by a phone: photos as people take them, a camera, our labels, makers' numbers."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
import segno
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parent))

from conftest import CHROMIUM_FLAGS
from install_house import MemoryInstaller
from test_install_page import RULES, SHOTS, Served

from dashboards.pins import PinDoor, set_pin
from provisioning.claim_commands import asset_code

SITE = "hangzhou/yuhang/cangqian/riverside"
OURS = asset_code(SITE, "smoke-301")
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def label(text: str) -> Image.Image:
    """A label as it is printed."""
    out = io.BytesIO()
    segno.make(text, micro=False).save(out, kind="png", scale=8, border=4)
    return Image.open(out).convert("L")


def photographed(text: str, *, turned: float = 0.0, size: float = 1.0, blur: float = 0.0, skew: float = 0.0,
                 wide: int = 1600, high: int = 1200) -> bytes:
    """The label as it lies in a photo: turned, small or large, unsharp, seen from the side."""
    code = label(text)
    code = code.resize((round(code.width * size), round(code.height * size)), Image.Resampling.LANCZOS)
    if skew:
        side = code.width
        lean = (1, -skew, 0, skew / 4, 1, 0, skew / side / 2, 0)
        code = code.transform((round(side * 1.2), side), Image.Transform.PERSPECTIVE, lean, Image.Resampling.BICUBIC,
                              fillcolor=255)
    code = code.rotate(turned, expand=True, fillcolor=190, resample=Image.Resampling.BICUBIC)
    photo = Image.new("L", (wide, high), 190)
    photo.paste(code, ((wide - code.width) // 2, (high - code.height) // 3))
    out = io.BytesIO()
    photo.filter(ImageFilter.GaussianBlur(blur)).convert("RGB").save(out, "JPEG", quality=70)
    return out.getvalue()


PHOTOS = {
    "straight": (OURS, {}), "turned": (OURS, {"turned": 33}), "upside down": (OURS, {"turned": 184}),
    "small and unsharp": (OURS, {"size": 0.7, "blur": 1.3, "turned": 8}), "large": (OURS, {"size": 3.2}),
    "from the side": (OURS, {"skew": 0.2, "turned": 5, "blur": 0.8}),
    "portrait": (OURS, {"wide": 1200, "high": 1900, "turned": 90}),
    "a maker's number": ("SN:20260311-000457", {"turned": -12}), "Chinese": ("资产号 消防-0042", {"blur": 0.7}),
}


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory) -> Path:
    """What the fake camera sees, over and over: frames of JPEG one after the other."""
    file = tmp_path_factory.mktemp("camera") / "label.mjpeg"
    file.write_bytes(photographed(OURS, turned=12, blur=0.8, wide=640, high=480) * 3)
    return file


@pytest.fixture(scope="module")
def browser(camera_file):
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=[
            *CHROMIUM_FLAGS, *CAMERA, f"--use-file-for-fake-video-capture={camera_file}"])


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    file = tmp_path_factory.mktemp("pins") / "pins.json"
    set_pin(file, "Li Wei", "274951")
    house = Served(PinDoor(file, time.monotonic), MemoryInstaller())
    yield house
    house.stop()


def opened(browser, served, language: str):
    context = browser.new_context(viewport={"width": 390, "height": 780}, locale=language)
    context.add_cookies([{"name": "tocsin_language", "value": language, "url": served.url}])
    page = context.new_page()
    page.goto(f"{served.url}/install")
    page.wait_for_selector("#plan .pin")
    return page


def signed_in(page):
    page.click("#sign")
    page.fill("#pin-name", "Li Wei")
    page.fill("#pin-pin", "274951")
    page.keyboard.press("Enter")
    page.wait_for_selector("#who:has-text('Li Wei')")


@pytest.mark.real
def test_photos_as_people_take_them_are_read(browser, served, tmp_path):
    page = opened(browser, served, "en")
    try:
        wrong = []
        for name, (text, how) in PHOTOS.items():
            page.click("#by-code")
            page.set_input_files("#code-photo", {"name": "p.jpg", "mimeType": "image/jpeg",
                                                 "buffer": photographed(text, **how)})
            # Either the dialogue closes with what was read, or it says that nothing was.
            page.wait_for_selector("#code-box:not([open]), #code-said:has-text('No code'), "
                                   "#code-said:has-text('picture')", state="attached")
            said = page.inner_text("#code-found")
            expected = "smoke-301: tap its place" if text == OURS else f"{text}: no device of this site"
            if not said.startswith(expected):
                wrong.append((name, said, page.inner_text("#code-said")))
                page.keyboard.press("Escape")
        assert not wrong
        page.click("#by-code")
        page.set_input_files("#code-photo", {"name": "p.jpg", "mimeType": "image/jpeg",
                                             "buffer": _grey()})
        page.wait_for_selector("#code-said:has-text('No code in this photo')")
        page.set_input_files("#code-photo", {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
        page.wait_for_selector("#code-said:has-text('no picture that can be read')")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "by-code", "the focus comes back"
    finally:
        page.context.close()


def _grey() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (800, 600), (150, 150, 150)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_device_is_found_by_camera_and_placed_on_the_plan(browser, served, language):
    page = opened(browser, served, language)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        signed_in(page)
        page.click("#by-code")
        assert page.locator("#code-camera").is_visible()
        found = Axe().run(page, options=RULES).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/install-code-{language}.png")
        page.click("#code-camera")
        page.wait_for_selector("#code-found.good")
        assert "smoke-301" in page.inner_text("#code-found")
        page.wait_for_selector("#plan .pin.mine[aria-label='smoke-301']")
        assert page.evaluate("document.getElementById('code-video').srcObject") is None, "the camera is off again"
        page.click("#plan", position={"x": 60, "y": 150})
        page.click("#check")
        page.wait_for_selector("#write:not([hidden])")
        assert "smoke-301" in page.inner_text("#diff")
        page.fill("#target", "192.0.2.10:502")
        page.click("#scan-go")
        page.wait_for_selector("#found li")
        page.click("#found li button:has-text('code')" if language == "en" else "#found li button:has-text('设备码')")
        page.fill("#code-typed", "SN-77 / 消防")
        page.keyboard.press("Enter")
        page.wait_for_selector("#code-box:not([open])", state="attached")
        assert page.input_value("#found li input >> nth=2") == "SN-77 / 消防", "typing stays possible"
        page.click("#by-code")
        page.fill("#code-typed", "tocsin:hangzhou/yuhang/cangqian/other/smoke-301")
        page.click("#code-go")
        page.wait_for_selector("#code-found.wrong")
        assert "other" in page.inner_text("#code-found"), "a label of another site is not taken for ours"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390 and not errors
    finally:
        page.context.close()


def test_the_reader_is_vendored_whole():
    folder = Path(__file__).resolve().parents[2] / "dashboards/static/vendor/jsqr-1.4.0"
    marks = re.findall(r"`([0-9a-f]{64})`", (folder / "README.md").read_text(encoding="utf-8"))
    assert hashlib.sha256((folder / "jsQR.js").read_bytes()).hexdigest() in marks
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
