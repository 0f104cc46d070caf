"""What is wrong with a profile, in Chinese: the sentences that people meet, and nothing lost of names and numbers."""

from __future__ import annotations

import re

import pytest

from dashboards.kit.finding_words import finding_words
from trial.profile_look import look_at

GOOD = """\
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
"""


@pytest.mark.parametrize(("old", "new", "said"), [
    ("scale: 0.1", "scail: 0.1", "未知的键 'scail' — 是否应为 'scale'？"),
    ("scale: 0.1", "scale: 0", "系数为 0 时所有数值都相同 — 请写说明书中的系数"),
    ("unit: Cel", "unit: furlong", "temperature 不能用单位 'furlong' — 可选："),
    ("unit: Cel, ", "", "temperature 需要单位 — 请加上 `unit:`，可选："),
    ("version: 1", "version: one", "version：应为 `int`，实为 `str` — 请写整数"),
    ("maker: Acme\n", "", "缺少 'maker' — 请加上 `maker:`"),
    ("quantity: temperature", "quantity: temprature", "未知的量 'temprature' — 是否应为 'temperature'？"),
    ("address: 1", "address: 70000", "地址 70000..70000 不在 0..65535 之内 — 请写从 0 起的线上地址"),
    ("address: 1, ", "", "该测点没有位置"),
    ("class: climate", "class: weather", "class：没有 'weather' 这一取值 — 可选："),
    ("points:", "points: [", "不是有效的 YAML："),
    ("maker: Acme", "maker: Acme\nmaker: Acme", "键 'maker' 出现两次 — 请只保留一个"),
    ("table: input", "stale_after_s: 1\ntable: input", "秒才读一次：总会离线 — 至少应容许漏读两次"),
])
def test_mistakes_are_said_in_chinese(old: str, new: str, said: str) -> None:
    findings = look_at(GOOD.replace(old, new), {}).findings
    found = [f"{finding_words(it.what)} — {finding_words(it.remedy)}" for it in findings]
    assert any(said in line for line in found), found


def test_what_has_no_pattern_stays_as_it_is() -> None:
    assert finding_words("something nobody foresaw: 7") == "something nobody foresaw: 7"
    assert not re.search(r"\\[0-9]", finding_words("quote it"))
