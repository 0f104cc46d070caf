"""The tester's page in a real browser, over a real simulator: buttons, registers by mbpoll, faults, verdicts."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.trial.served_bench import Served

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]
CHECKS = Path(__file__).with_name("page_checks.js")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    it = Served(tmp_path_factory.mktemp("bench"))
    yield it
    it.stop()


def open_page(
    browser, served: Served, locale: str = "en-GB", width: int = 1400, scheme: str = "light",
) -> tuple[Page, list[str]]:
    size = {"width": width, "height": 900}
    page = browser.new_context(locale=locale, viewport=size, color_scheme=scheme).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text)
            if line.type == "error" and "409" not in line.text else None)  # a refusal is an answer
    page.goto(served.url)
    expect(page.locator("#link")).to_have_class("link live")
    return page, problems


def polled(served: Served) -> str:
    """Smoke bit of unit 1, read by mbpoll (libmodbus)."""
    asked = f"mbpoll -m tcp -p {served.modbus_port} -a 1 -t 1 -0 -r 2 -c 1 -1 127.0.0.1".split()
    told = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60)
    found = re.search(r"\[2\]:\s+(\d)", told.stdout)
    return found.group(1) if found else "silent"


def test_the_alarm_button_changes_the_register_that_mbpoll_reads(browser, served: Served) -> None:
    page, problems = open_page(browser, served)
    page.locator("[data-pick=duct]").click()
    row = page.locator("[data-point=smoke]")
    expect(row.locator(".hex")).to_have_text("0000")
    assert polled(served) == "0"
    alarm = page.locator("[data-act=alarm]")
    expect(alarm).to_have_attribute("aria-pressed", "false")
    alarm.focus()
    page.keyboard.press("Enter")  # the keyboard alone is enough
    expect(row.locator(".hex")).to_have_text("0001")
    expect(alarm).to_have_attribute("aria-pressed", "true")
    assert polled(served) == "1"
    expect(page.locator("#frames")).to_contain_text("read discrete inputs")
    expect(page.locator("[data-pick=duct]")).to_contain_text("ALARM")
    alarm.click()
    page.locator("[data-press=reset]").click()
    expect(row.locator(".hex")).to_have_text("0000")
    assert polled(served) == "0" and problems == []


def test_a_fault_silences_until_it_is_ended_and_a_value_is_set(browser, served: Served) -> None:
    page, problems = open_page(browser, served)
    page.locator("#fault-kind").select_option("silent")
    page.locator("#fault-target").fill("duct")
    page.locator("#fault-for").fill("0")
    page.locator("#strike button").click()
    expect(page.locator("#faults")).to_contain_text("silent on duct")
    assert polled(served) == "silent"
    page.locator("[data-fault] button").click()
    expect(page.locator("#faults")).to_contain_text("No fault lasts")
    assert polled(served) == "0"
    page.locator("#fault-target").fill("nobody")
    page.locator("#strike button").click()
    expect(page.locator("#said")).to_contain_text("nobody")
    page.locator("[data-pick=co]").click()
    gas = page.locator("[data-point=gas]")
    gas.locator("input").fill("120")
    page.keyboard.press("Enter")
    expect(gas.locator("td.number")).to_contain_text("120")
    assert problems == []


def test_sliders_turn_the_world(browser, served: Served) -> None:
    page, problems = open_page(browser, served)
    door = page.locator('[data-knob="door.open"]')
    door.locator("input[type=range]").focus()
    page.keyboard.press("Home")
    expect(door.locator("input[type=number]")).to_have_value("0")
    until = time.monotonic() + 60
    while served.bench.controls.world.surroundings.read("door.open") > 0 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert served.bench.controls.world.surroundings.read("door.open") == 0.0 and problems == []


def test_a_scenario_runs_to_its_verdict_and_a_batch_to_its_table(browser, served: Served) -> None:
    page, problems = open_page(browser, served)
    page.locator("#run-name").select_option("silent-detector")
    page.locator("#run button").click()
    run = page.locator("[data-run='0']")
    expect(run).to_contain_text("running")
    expect(run.locator(".state")).to_have_text("PASS")
    with page.expect_popup() as popup:
        run.locator("a").click()
    expect(popup.value.locator("h1")).to_be_visible()
    page.locator("#batch-name").fill("night one")
    page.locator("#batch-units").fill(
        f"SN-1, , modbus://127.0.0.1:{served.modbus_port}/1\nSN-2, 1.4, sdm120\nSN-3, 1.5, no-such-test")
    page.locator("#batch .primary").click()
    table = page.locator("#batch-state table")
    expect(table.locator("tbody tr")).to_have_count(3)
    expect(table).to_contain_text("sim-1")  # the device said its firmware itself
    expect(table.locator("tbody tr").nth(1)).to_contain_text("PASS")
    expect(table.locator("tbody tr").nth(2)).to_contain_text("error")
    with page.expect_download() as download:
        page.locator("#batch-state a[href$=csv]").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert text.splitlines()[0].startswith("serial,firmware,test,seed,verdict") and "SN-2,1.4,sdm120" in text
    assert problems == []


def test_the_trace_downloads_as_pcapng(browser, served: Served) -> None:
    page, _ = open_page(browser, served)
    assert polled(served) == "0"
    with page.expect_download() as download:
        page.locator("[data-line=bus] a").first.click()
    octets = Path(download.value.path()).read_bytes()
    assert octets[:4] == bytes.fromhex("0A0D0D0A") and bytes.fromhex("0000000601020002") in octets


@pytest.mark.parametrize(("locale", "width", "scheme"), [("zh-CN", 360, "dark"), ("en-GB", 360, "light")])
def test_narrow_dark_and_in_both_languages_nothing_overflows(
    browser, served: Served, locale: str, width: int, scheme: str,
) -> None:
    page, problems = open_page(browser, served, locale, width, scheme)
    title = page.locator("h1")
    expect(title).to_contain_text("模拟测试台" if locale == "zh-CN" else "Simulator")
    page.locator("[data-pick=duct]").click()
    expect(page.locator("#actions button").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".tools a").click()
    expect(title).to_contain_text("Simulator" if locale == "zh-CN" else "模拟测试台")
    assert problems == []


def test_names_contrast_targets_and_headings(browser, served: Served) -> None:
    """What an automatic checker of WCAG 2.2 AA looks at: names, contrast, sizes, headings, language, live regions."""
    for scheme in ("light", "dark"):
        page, _ = open_page(browser, served, scheme=scheme)
        page.locator("[data-pick=duct]").click()
        expect(page.locator("#points tr").first).to_be_visible()
        found = page.evaluate(CHECKS.read_text(encoding="utf-8").partition("\n")[2])
        assert found == [], f"{scheme}: {found}"


def test_a_stream_that_is_cut_is_said(browser, served: Served) -> None:
    page, _ = open_page(browser, served)
    page.context.set_offline(True)  # also ends the stream that is open
    page.evaluate("window.stop()")
    expect(page.locator("#link")).to_have_class("link stale")
    expect(page.locator("#banner")).to_contain_text("STREAM CUT")


def test_deeds_need_the_token_and_our_own_host(served: Served) -> None:
    def status(path: str, **parts: object) -> int:
        try:
            with urllib.request.urlopen(urllib.request.Request(served.url + path, **parts), timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    body = b'{"device": "duct", "button": "test"}'
    token = {"x-tocsin-token": served.app.state.token}
    assert status("/api/sim/do/press", data=body) == 403
    assert status("/api/sim/do/press", data=body, headers={"x-tocsin-token": "guess"}) == 403
    assert status("/api/sim/do/press", data=body, headers=token) == 200
    assert status("/api/sim/do/press", data=b"[]", headers=token) == 400
    assert status("/api/sim/do/nothing", data=body, headers=token) == 404
    assert status("/tester", headers={"Host": "rebound.example"}) == 421
    assert status("/reports/7") == 404 and status("/trace/nowhere") == 404
