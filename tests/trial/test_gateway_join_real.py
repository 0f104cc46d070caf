"""The simulator's page beside a real gateway: processes, a real line, what it holds, its alarms, its silence."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from device_model.library import shipped_profiles
from tests.trial.served_bench import Served
from tests.trial.test_profile_page_real import RULES

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]
WITHIN_MS = 60_000
SITE = """
site: {path: a/b/c/d, name: {en: Bench, zh: 测试台}}
gateway: {id: gw-1, journal_path: j.sqlite, page: {}}
lines: [ {id: bus, kind: modbus_tcp, host: 127.0.0.1, port: %d} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: {en: Stair, zh: 楼梯} } ]} ]} ]
devices:
  - {id: duct, profile: calectro-ug3, line: bus, unit: 1, zone: z1}
  - {id: co, profile: gas-module-co, line: bus, unit: 2, zone: z1}
"""


class Gateway:
    """`tocsin gateway run` and `tocsin gateway page` on the bench's line. Its map of the CO head is wrong in one
    point, as a mistyped profile makes it."""

    def __init__(self, folder: Path, port: int) -> None:
        config = folder / "site.yaml"
        config.write_text(SITE % port, encoding="utf-8")
        (folder / "profiles").mkdir()
        text = Path(shipped_profiles()["gas-module-co"].file).read_text(encoding="utf-8")
        wrong = text.replace("address: 9, scale: 0.1", "address: 9, scale: 0.01")
        assert wrong != text
        (folder / "profiles" / "gas-module-co.yaml").write_text(wrong, encoding="utf-8")
        self.gateway = self._start("-m", "edge_agent", str(config))
        self.page = self._start("-m", "tocsin", "gateway", "page", "--config", str(config), "--port", "0")
        self.url = self._said(r"http://127\.0\.0\.1:\d+/")

    @staticmethod
    def _start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                env={**os.environ, "PYTHONUNBUFFERED": "1"})

    def _said(self, pattern: str) -> str:
        stream, until = self.page.stderr, time.monotonic() + 60
        assert stream is not None
        while time.monotonic() < until:
            if select.select([stream], [], [], 1)[0] and (found := re.search(pattern, stream.readline().decode())):
                return found[0]
        raise AssertionError(f"no {pattern} in a minute")

    def stop(self) -> None:
        for it in (self.gateway, self.page):
            with contextlib.suppress(ProcessLookupError):
                it.terminate()
            try:
                it.wait(20)
            except subprocess.TimeoutExpired:
                it.kill()
                it.wait()
            if it.stderr is not None:
                it.stderr.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    it = Served(tmp_path_factory.mktemp("bench"))
    yield it
    it.stop()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[Gateway]:
    it = Gateway(tmp_path_factory.mktemp("gateway"), served.modbus_port)
    yield it
    it.stop()


def opened(browser, served: Served, locale: str, width: int, scheme: str) -> tuple[Page, list[str]]:
    page = browser.new_context(locale=locale, viewport={"width": width, "height": 900},
                               color_scheme=scheme).new_page()
    page.set_default_timeout(WITHIN_MS)
    expect.set_options(timeout=WITHIN_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(served.url)
    expect(page.locator("#link")).to_have_class("link live")
    return page, problems


def test_what_a_real_gateway_holds_stands_beside_the_truth(browser, served: Served, gateway: Gateway) -> None:
    page, problems = opened(browser, served, "en-GB", 1400, "light")
    page.locator("[data-pick=duct]").click()
    expect(page.locator("#points .held").first).to_be_hidden()
    page.locator("#join-url").focus()
    page.keyboard.type("http://not a gateway")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("no address of a gateway's local page")
    page.locator("#join-url").fill(gateway.url)
    page.keyboard.press("Enter")  # the keyboard alone is enough
    expect(page.locator("#held-state")).to_have_class("heldstate good")
    smoke = page.locator("[data-point=smoke] .held")
    expect(smoke).to_contain_text("agrees")
    expect(page.locator("[data-pick=duct] .agree")).to_have_text("agrees")
    page.locator("[data-act=alarm]").click()
    expect(smoke).to_contain_text("alarm raised")
    expect(smoke).to_contain_text("yes")
    expect(page.locator("#device-held")).to_contain_text("Smoke alarm")
    expect(page.locator("[data-pick=duct]")).to_contain_text("alarms: 1")
    # The wrong map of the CO head: 45 % shown, 4.5 % held, marked in the list, in the table and in the panel.
    expect(page.locator("[data-pick=co] .agree")).to_have_text("DIFFERS")
    page.locator("[data-differs=co]").focus()
    page.keyboard.press("Enter")
    humidity = page.locator("[data-point=humidity]")
    expect(humidity.locator(".number")).to_have_text("45 %")
    expect(humidity.locator(".held")).to_contain_text("4.5 %")
    expect(humidity.locator(".held .agree")).to_have_text("DIFFERS")
    expect(page.locator("[data-point=temperature] .held .agree")).to_have_text("agrees")
    # A device that falls silent has no value there: that is no agreement.
    page.locator("#fault-kind").select_option("silent")
    page.locator("#fault-target").fill("co")
    page.locator("#fault-for").fill("0")
    page.locator("#strike button").click()
    expect(page.locator("[data-point=temperature] .held .agree")).to_have_text("no value there")
    page.locator("[data-fault] button").click()
    expect(page.locator("[data-point=temperature] .held .agree")).to_have_text("agrees")
    assert problems == []


@pytest.mark.parametrize(("locale", "width", "scheme"), [("zh-CN", 360, "dark"), ("en-GB", 1400, "light")])
def test_joined_pages_are_for_everybody(
    browser, served: Served, gateway: Gateway, locale: str, width: int, scheme: str,
) -> None:
    page, problems = opened(browser, served, locale, width, scheme)
    page.locator("[data-pick=co]").click()
    expect(page.locator("[data-point=humidity] .held .agree")).to_have_class("agree differs")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, options=RULES).response["violations"]
    assert [(it["id"], it["nodes"][0]["html"][:120]) for it in found] == [] and problems == []


def test_a_gateway_that_falls_silent_is_said_and_never_agrees(browser, served: Served, gateway: Gateway) -> None:
    page, problems = opened(browser, served, "en-GB", 1400, "light")
    page.locator("[data-pick=duct]").click()
    smoke = page.locator("[data-point=smoke] .held")
    expect(smoke).to_contain_text("agrees")
    gateway.gateway.kill()
    gateway.gateway.wait()
    expect(page.locator("#held-state")).to_contain_text("SILENT")
    expect(smoke).to_have_text("unknown: gateway silent")
    expect(page.locator("[data-pick=duct] .agree")).to_have_text("unknown: gateway silent")
    gateway.page.kill()
    gateway.page.wait()
    expect(page.locator("#held-state")).to_contain_text("NOTHING ANSWERS")
    expect(smoke).to_have_text("unknown: nothing answers")
    page.locator("#part").click()
    expect(smoke).to_be_hidden()
    expect(page.locator("#held-state")).to_have_text("No gateway is shown beside the devices.")
    assert problems == []
