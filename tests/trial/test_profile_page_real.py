"""The profile editor in a real browser: mistakes at their line, samples, a device that is read back, files kept."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.trial.served_bench import Served

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
         "resultTypes": ["violations"]}
WITHIN_MS = 60_000
CLIMATE = """\
profile: my-climate
version: 1
maker: Acme
model: T1
en: climate
zh: 温湿度计
class: climate
certainty: C
source: "a manual, page 7"
modbus: {}
table: input
points:
  temperature: {quantity: temperature, unit: Cel, address: 1, type: s16, scale: 0.1}
  humidity: {quantity: humidity, address: 2, scale: 0.1}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    it = Served(tmp_path_factory.mktemp("bench"))
    yield it
    it.stop()


def editor(browser, served: Served, locale: str = "en-GB", width: int = 1400, scheme: str = "light",
           profile: str = "") -> tuple[Page, list[str]]:
    page = browser.new_context(locale=locale, viewport={"width": width, "height": 900},
                               color_scheme=scheme).new_page()
    page.set_default_timeout(WITHIN_MS)
    expect.set_options(timeout=WITHIN_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{served.url}/profiles?profile={profile}")
    expect(page.locator("#known option").first).to_be_attached()
    return page, problems


def test_a_mistake_is_marked_at_its_line_and_mended_by_keyboard(browser, served: Served) -> None:
    page, problems = editor(browser, served)
    text = page.locator("#text")
    text.fill(CLIMATE.replace("2, scale", "2, scail").replace("version: 1", "version: one"))
    expect(page.locator("#verdict")).to_have_text("Mistakes: 2")
    expect(page.locator("#gutter .wrong")).to_have_text(["2", "14"])
    said = re.compile("scail.*did you mean 'scale'")
    expect(page.locator("#marks [data-line='14']")).to_have_attribute("data-say", said)
    second = page.locator("#findings button").nth(1)
    second.focus()
    page.keyboard.press("Enter")  # leads to the place, selected from there on
    expect(text).to_be_focused()
    assert text.evaluate("node => node.value.slice(node.selectionStart, node.selectionEnd)") == "0.1}"
    text.fill(CLIMATE)
    expect(page.locator("#verdict")).to_have_text("No mistakes. 2 points.")
    expect(page.locator("#findings li")).to_have_count(0)
    expect(page.locator("#gutter .wrong")).to_have_count(0)
    assert problems == []


def test_samples_are_edited_and_go_through_the_map(browser, served: Served) -> None:
    page, problems = editor(browser, served)
    page.locator("#text").fill(CLIMATE)
    row = page.locator("[data-look=temperature]")
    expect(row).to_contain_text("input 1")
    field = row.locator("input")
    field.fill("FFCE")
    expect(row).to_contain_text("-5 °C")
    expect(row).to_contain_text("-50 × 0.1")
    field.fill("12 34")
    expect(row.locator(".problem")).to_have_text("This point has 1 words.")
    page.locator("#text").fill(CLIMATE.replace("scale: 0.1}", "scale: 0.01}", 1))
    field.fill("FFCE")
    expect(row).to_contain_text("-0.5 °C")
    page.locator("#which").fill("zigbee2mqtt-smoke")
    page.keyboard.press("Enter")
    message = page.locator("#topics textarea")
    message.fill('{"smoke": true, "battery": 7}')
    expect(page.locator("[data-look=smoke] td").nth(3)).to_have_text("yes")
    message.fill('{"smoke": perhaps')
    expect(page.locator("[data-look=smoke]")).to_contain_text("garbled")
    assert problems == []


def test_it_runs_on_a_real_port_and_is_read_back_side_by_side(browser, served: Served) -> None:
    page, problems = editor(browser, served)
    page.locator("#text").fill(CLIMATE)
    expect(page.locator("#verdict")).to_have_class("verdict good")
    page.locator("#start").focus()
    page.keyboard.press("Enter")
    row = page.locator("[data-run-point=temperature]")
    expect(row.locator(".agree")).to_have_text("agrees")
    row.locator("input").fill("-12.5")
    page.keyboard.press("Enter")
    expect(row.locator("td").nth(0)).to_have_text("-12.5 °C")
    expect(row.locator("td").nth(1)).to_have_text("FF83")
    expect(row.locator("td").nth(2)).to_have_text("-12.5 °C")  # what the gateway's driver read
    expect(row.locator(".agree")).to_have_text("agrees")
    port = re.search(r":(\d+)", page.locator("#run-state").inner_text()).group(1)
    told = subprocess.run(f"mbpoll -m tcp -p {port} -a 1 -t 3 -0 -r 1 -c 1 -1 127.0.0.1".split(), check=False,
                          capture_output=True, text=True, timeout=60)
    assert "65411" in told.stdout  # 0xFF83, by libmodbus
    page.locator("#text").fill(CLIMATE.replace("address: 1,", "address: 41,"))
    expect(page.locator("[data-look=temperature]")).to_contain_text("input 41")
    page.locator("#start").click()  # the edited text takes the place of the one before
    expect(page.locator("#run-state")).not_to_contain_text(f":{port}")
    expect(row.locator(".agree")).to_have_text("agrees")
    page.locator("#stop").click()
    expect(page.locator("#run-state")).to_have_text("Nothing runs.")
    page.locator("#text").fill("points: [")
    page.locator("#start").click()
    expect(page.locator("#said")).to_contain_text("not YAML")
    assert problems == [] and served.bench.desk.view() is None


def test_a_file_is_kept_replaced_only_when_said_and_downloaded(browser, served: Served) -> None:
    page, problems = editor(browser, served)
    page.locator("#text").fill(CLIMATE)
    page.locator("#save").click()
    expect(page.locator("#said")).to_have_text("Saved as my-climate.yaml.")
    kept = served.folder / "profiles" / "my-climate.yaml"
    assert kept.read_text(encoding="utf-8") == CLIMATE
    page.locator("#text").fill(CLIMATE.replace("model: T1", "model: T2"))
    page.locator("#save").click()
    expect(page.locator("#said")).to_contain_text("stands there already")
    assert kept.read_text(encoding="utf-8") == CLIMATE
    expect(page.locator("#replace")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("Saved as my-climate.yaml.")
    assert "model: T2" in kept.read_text(encoding="utf-8")
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "my-climate.yaml"
    assert "model: T2" in Path(download.value.path()).read_text(encoding="utf-8")
    page.locator("#text").fill("a draft: that is left")
    page.reload()
    expect(page.locator("#text")).to_have_value("a draft: that is left")
    expect(page.locator("#restored")).to_be_visible()
    assert problems == []


@pytest.mark.parametrize(("locale", "width", "scheme"), [("zh-CN", 360, "dark"), ("en-GB", 1400, "light")])
def test_narrow_dark_and_in_both_languages(browser, served: Served, locale: str, width: int, scheme: str) -> None:
    page, problems = editor(browser, served, locale, width, scheme, profile="gas-module-co")
    expect(page.locator("[data-look=gas]")).to_be_visible()
    page.locator("#start").click()
    expect(page.locator("[data-run-point=gas] .agree")).to_have_class("agree agrees")
    page.locator("#text").fill(CLIMATE.replace("version", "vershun"))
    expect(page.locator("#preview")).to_have_class("panel old")
    expect(page.locator("h1")).to_contain_text("型号文件编辑" if locale == "zh-CN" else "Profile editor")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options=RULES).response["violations"]
    assert [(it["id"], it["nodes"][0]["html"][:120]) for it in found] == []
    scripts = page.evaluate("performance.getEntriesByType('resource').filter(it => it.name.endsWith('.js'))"
                            ".reduce((sum, it) => sum + it.encodedBodySize, 0)")
    assert 0 < scripts < 300 * 1024 and problems == []


def test_deeds_need_the_token_and_are_bounded(served: Served) -> None:
    def status(path: str, body: bytes, token: str) -> int:
        asked = urllib.request.Request(f"{served.url}/api/profiles/{path}", data=body,
                                       headers={"x-tocsin-token": token})
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    token = served.app.state.token
    for path in ("look", "run", "set", "save", "stop"):
        assert status(path, b"{}", "") == 403
    assert status("look", b'{"text": "x"}', token) == 200
    assert status("look", b"[" * 100_000, token) == 400 and status("look", b" " * 400_000, token) == 413
    assert status("run", b'{"text": "\\ud800"}', token) == 400
    assert status("stop", b"", token) == 200
    assert status("set", b'{"point": "temperature", "value": 1}', token) == 409
    assert status("save", b'{"text": "profile: x"}', token) == 409
