"""Duty checks on the brigade's board in a real browser: who must answer, by when, and a signed-in person only."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from memory_board import T0, duty
from playwright.sync_api import expect

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]


def open_board(browser, served, locale: str):
    page = browser.new_context(locale=locale, viewport={"width": 1400, "height": 900}).new_page()
    page.goto(f"{served.url}/sign-in")
    page.locator("[name=name]").fill("chen")
    page.locator("[name=secret]").fill("right")
    page.locator("[name=secret]").press("Enter")
    expect(page.locator("#link")).to_have_class("link live")
    return page


@pytest.mark.parametrize(("locale", "must", "left", "done"), [
    ("en-GB", "Chen Jing +86 571 5550 0101 must answer by", "s left", "Answered by Chen Jing; the asker has it"),
    ("zh-CN", "请 Chen Jing +86 571 5550 0101 于", "剩余", "Chen Jing 已应答，查岗方已收到"),
])
def test_a_duty_check_is_shown_with_its_countdown_and_answered_with_the_keyboard(
        browser, signed_served, locale: str, must: str, left: str, done: str) -> None:
    page = open_board(browser, signed_served, locale)
    signed_served.board.put_duties(duty())
    row = page.locator("#duties li")
    expect(row).to_contain_text(must)
    expect(row.locator(".left")).to_contain_text(left)
    expect(page.locator("#duty-count")).to_have_text("(1)")
    expect(page.locator("#said")).not_to_be_empty()
    assert signed_served.board.answers == []  # shown is not answered
    page.locator("[data-duty=d-1]").focus()
    page.keyboard.press("Enter")
    expect(row).to_contain_text(done)
    expect(row.locator("button")).to_have_count(0)
    assert signed_served.board.answers == [("d-1", "Chen Jing")]
    assert T0


def test_without_sign_in_nobody_can_answer(served) -> None:
    served.board.put_duties(duty())
    request = urllib.request.Request(f"{served.url}/api/duties/d-1/answer", b'{"request": "12345678"}',
                                     {"X-Tocsin": "board"}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403 and b"signed-in" in refused.value.read()
    assert served.board.answers == []
