"""Unboxing by phone: an empty folder, the box's own page at 390 px, no file edited, to the brigade's test board."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parent))

from test_unboxing import PATH, ROOT, Line, ask, cloud, eventually  # noqa: F401  cloud is a fixture

from demo.children import free_ports

pytestmark = pytest.mark.real
PATIENCE_MS = 60_000
SHOTS, LANGUAGE = os.environ.get("TOCSIN_SHOTS", ""), os.environ.get("TOCSIN_PHONE_LANGUAGE", "zh")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS)


class Phone:
    """A phone of 390 px. language: of its owner."""

    def __init__(self, browser, language: str) -> None:
        self._context = browser.new_context(viewport={"width": 390, "height": 844}, locale=f"{language}-CN",
                                            ignore_https_errors=True)
        self._context.set_default_timeout(PATIENCE_MS)
        self.page, self.errors = self._context.new_page(), list[str]()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def picture(self, name: str, at: str = "") -> None:
        """For the guide, where somebody asks for it."""
        if SHOTS:
            if at:
                self.page.locator(at).scroll_into_view_if_needed()
                self.page.evaluate("at => document.querySelector(at).scrollIntoView({block: 'start'})", at)
            self.page.screenshot(path=f"{SHOTS}/property-{name}-{LANGUAGE}.png")

    def close(self) -> None:
        assert not self.errors
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        self._context.close()
        assert wide <= 390


def photo() -> dict[str, object]:
    out = BytesIO()
    Image.radial_gradient("L").resize((640, 480)).convert("RGB").save(out, "JPEG")
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}


def gateways_of(folder: Path) -> list[int]:
    """Gateways that the page has started for this folder: they outlive it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().split(b"\0")
                if b"edge_agent" in line and str(folder / "site.yaml").encode() in line:
                    found.append(int(entry.name))
    return found


def test_a_bare_gateway_from_its_own_page_to_the_brigades_board(browser, cloud, tmp_path, capsys):  # noqa: F811
    line_port, page_port = free_ports(2)
    line, box, base = Line(line_port), tmp_path / "box", f"http://127.0.0.1:{cloud}"
    began = time.monotonic()
    command = ["tocsin", "gateway", "page", "--config", str(box / "site.yaml"), "--port", str(page_port)]
    with (tmp_path / "page.log").open("wb") as log:
        served = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, stdout=log, stderr=log)
    try:
        here = f"http://127.0.0.1:{page_port}"
        eventually(lambda: ask(page_port, "/api/first"))
        installer, owner = Phone(browser, LANGUAGE), Phone(browser, LANGUAGE)
        page = installer.page
        code = _first_day(installer, here, base)
        _claim(owner, f"{base}/claim#{code}")
        page.wait_for_url("**/install")
        _scan_and_place(installer, line_port)
        alive = eventually(lambda: [g for g in ask(cloud, "/api/board")["board"]["gateways"]
                                    if g["tenancy"]["site"] == "newhouse" and g["devices_alive"] == 2])
        took = time.monotonic() - began
        with capsys.disabled():
            print(f"\nunboxing by phone: {took:.1f} s from an empty folder to the first reading on the board")
        assert alive
        _walk(installer, line)
        shown = eventually(lambda: [i for i in ask(cloud, "/api/board?whole=1")["board"]["incidents"]
                                    if "newhouse" in str(i) and any(a.get("test") for a in i["alarms"])])
        assert shown
        _on_the_board(owner, base)
        _report(installer, here)
        assert sorted(one.name for one in box.iterdir() if one.suffix == ".yaml") == ["site.yaml"]
        installer.close()
        owner.close()
    finally:
        served.terminate()
        served.wait(20)
        for pid in gateways_of(box):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _first_day(phone: Phone, here: str, cloud_address: str) -> str:
    page = phone.page
    page.goto(here)
    page.wait_for_selector("#network li")
    assert not ask(int(here.rsplit(":", 1)[1]), "/api/first")["claim"]["code"], "nobody sees a code before a PIN"
    page.fill("#name", "李伟" if LANGUAGE == "zh" else "Li Wei")
    page.fill("#pin", "274951")
    phone.picture("first")
    page.click("#begin-go")
    page.wait_for_selector("#begun:not([hidden])")
    page.fill("#address", cloud_address)
    page.click("#cloud-go")
    page.wait_for_selector("#code .big")
    phone.picture("code", "#h-code")
    return page.inner_text("#code .big")


def _claim(phone: Phone, address: str) -> None:
    page = phone.page
    page.goto(address)
    page.fill("#path", PATH)
    page.fill("#name-zh", "新居")
    page.fill("#name-en", "New House")
    phone.picture("claim")
    page.click("#go")
    page.wait_for_selector("#outcome.good")


def _scan_and_place(phone: Phone, line_port: int) -> None:
    page = phone.page
    page.wait_for_selector("#who:not(:empty)")  # the session of the first day goes on
    page.wait_for_selector("#network li")
    phone.picture("network", "#h-net")
    page.fill("#target", f"127.0.0.1:{line_port}")
    page.fill("#units", "1")
    page.click("#scan-go")
    page.wait_for_selector("#found li")
    card = page.locator("#found li").first
    card.locator("select").first.select_option("calectro-ug3")
    card.locator("input").nth(0).fill("duct")
    card.locator("input").nth(1).fill("风管" if LANGUAGE == "zh" else "duct")
    card.locator("input").nth(2).fill("SN-20311")
    phone.picture("scan", "#found")
    card.locator("button.primary").click()
    page.click("#plan .pin[aria-label='duct']")
    page.locator("#plan").click(position={"x": 120, "y": 90})
    page.click("#check")
    page.wait_for_selector("#write:not([hidden])")
    phone.picture("place", "#h-plan")
    page.click("#write")
    page.wait_for_selector("#saved.good")
    page.wait_for_selector("#live li:has-text('duct') .tag.good")


def _walk(phone: Phone, line: Line) -> None:
    page = phone.page
    mine = page.locator("#walk li", has_text="duct")
    mine.locator("button.primary").click()
    page.wait_for_selector("#walk li.under-test")
    phone.picture("test", "#h-walk")
    line.smoke(True)
    page.wait_for_selector("#walk li.passed")
    said = mine.inner_text()
    assert "True" not in said and "DRILL" not in said, said
    mine.locator("input[type=file]").set_input_files(photo())
    page.wait_for_selector("#walk li img")
    phone.picture("arrived", "#h-walk")


def _on_the_board(phone: Phone, base: str) -> None:
    page = phone.page
    page.goto(f"{base}/board")
    page.wait_for_selector(".card.critical, .card.major, .card.minor, .card.warning")
    expect(page.locator(".card .tag.drill")).to_have_text("测试" if LANGUAGE == "zh" else "TEST")  # and no drill
    banner = page.inner_text("#drill")
    assert ("设备测试" if LANGUAGE == "zh" else "DEVICE TEST") in banner and "DRILL" not in banner, banner
    phone.picture("board")


def _report(phone: Phone, here: str) -> None:
    page = phone.page
    page.fill("#accept-note", "联动待测" if LANGUAGE == "zh" else "interlocks follow")
    page.click("#accept")
    page.wait_for_selector("#accept-said.good")
    phone.picture("accept", "#h-report")
    pdf = page.request.get(f"{here}/install/report.pdf").body()
    assert pdf.startswith(b"%PDF") and b"/DCTDecode" in pdf, "with the photo in it"
    if SHOTS:
        Path(SHOTS, f"acceptance-{LANGUAGE}.pdf").write_bytes(pdf)
