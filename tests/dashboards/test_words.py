"""Words of our programs become Chinese on a Chinese page; what somebody typed or a device says never does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brigade_house import BrigadeHouse
from playwright.sync_api import Page, expect

from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import ImpairmentRecord

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]

TYPED = "walk on over by the mean gate, temperature false, silent in Hall off"


@pytest.fixture(scope="module")
def house() -> Iterator[BrigadeHouse]:
    one = BrigadeHouse().start()
    one.quiet()
    one.fire = one.alarm("smoke-301-bed.smoke", ago_s=75)
    since = one.now_us() - 600_000_000
    for kind, device, who, why in ((ImpairmentKind.ISOLATED, "temp-301-bed", "Mean Over", TYPED),
                                   (ImpairmentKind.SILENT, "tank-b1", "", "silent"),
                                   (ImpairmentKind.FAULT, "co-b1", "", "refused by the peer on port 3")):
        one.up(ImpairmentRecord(ImpairmentChange(Impairment(kind, device, since, "b3-plant", who=who, why=why))))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def page(browser, house) -> Iterator[Page]:
    context = browser.new_context(locale="zh-CN", viewport={"width": 1400, "height": 900})
    one = context.new_page()
    one.goto(f"{house.url}/incidents/{house.fire}")
    expect(one.locator("#link")).to_have_class("link live")
    yield one
    context.close()


@pytest.mark.parametrize(("said", "shown"), [
    ("temperature rise over 60 s 15.4 °C >= 8.3 °C", "温度 上升，时窗 60 s 15.4 °C >= 8.3 °C"),
    ("smoke-301-bed.smoke true, second_detector: smoke-302.smoke",
     "smoke-301-bed.smoke 是, 第二个探测器: smoke-302.smoke"),
    ("hall.co unknown (silent)", "hall.co 未知 (离线)"),
    ("co 35 ppm > 24 ppm (was: co mean over 300 s 31 ppm)", None),
    ("pm2_5 0.08 mg/m³ over 3600 s", None),
    ("no fresh value for 90 s", "无新值已 90 s"),
    ("reset by Mean Over; temperature 63 °C", "复位人： Mean Over; 温度 63 °C"),
    ("Li On has answered it already", "Li On 已应答"),
    # Nothing of ours:
    (TYPED, TYPED), ("on by the gate", "on by the gate"), ("mean 漏水 over", "mean 漏水 over"),
    ("Connection refused by peer", "Connection refused by peer"), ("", ""),
])
def test_a_text_is_translated_whole_or_not_at_all(page: Page, said: str, shown: str | None) -> None:
    got = page.evaluate("async (text) => (await import('/static/words.js')).words(text)", said)
    if shown is None:  # every word of it is ours
        assert "over" not in got and "mean" not in got and got != said
    else:
        assert got == shown


def test_an_id_that_is_a_word_of_ours_stays_and_so_does_what_stands_beside_a_name(page: Page) -> None:
    both = page.evaluate("""async () => { const w = await import('/static/words.js');
      return [w.words('co co 35 ppm', 'co'), w.wordsOf('Wang', 'off'), w.wordsOf('', 'off'),
              w.wordsOf('Wang', 'walk test')]; }""")
    assert both[0].startswith("co ") and "35 ppm" in both[0] and both[0] != "co co 35 ppm"
    assert both[1:] == ["off", "断开", "逐点测试"]


def test_notes_reasons_and_names_are_shown_as_they_were_typed(page: Page, house: BrigadeHouse) -> None:
    page.locator("#you").fill("Mean Over")
    answer = page.evaluate("""async ([id, why]) => (await fetch(`/api/incidents/${encodeURIComponent(id)}/actions`, {
      method: 'POST', headers: {'Content-Type': 'application/json', 'X-Tocsin': 'board'},
      body: JSON.stringify({action: 'note', why, request: 'words-0001', who: 'Mean Over'})})).status""",
                           [house.fire, TYPED])
    assert answer == 200
    expect(page.locator("#incident ol.list").last).to_contain_text(TYPED)
    expect(page.locator("#incident ol.list").last).to_contain_text("Mean Over")
    impaired = page.locator("section[aria-labelledby=s-impaired]")
    expect(impaired).to_contain_text(TYPED)
    expect(impaired).to_contain_text("Mean Over")
