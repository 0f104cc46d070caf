"""Risk of a site as one figure (pure), so that an officer with hundreds of firms knows where to go first.

    risk = 40 · open life-safety incident (0 or 1)  + 10 · other open incidents (≤ 3)
         + 25 · gateway silent                      +  5 · no proof alarm for 26 h
         +  5 · impairment without a watch (≤ 4)    +  1 · other impairment (≤ 10)
         +  4 · overdue self-check (≤ 5)            + 10 · zone over its people limit (≤ 2)
         + 10 · hot work outside its permit (≤ 2)   + 20 · share of devices that do not answer
         +  2 · incidents of 30 days (≤ 5)                                         at most 100

It ranks; it measures no probability. The page shows the formula beside the map.
"""

from __future__ import annotations

from dashboards.officer import PlaceFigures
from device_model.site import Text

FORMULA = Text(
    "Risk 0–100 = 40 open life-safety incident + 10 each other open incident (≤ 3) + 25 gateway silent + 5 no proof "
    "alarm + 5 each impairment without a watch (≤ 4) + 1 each other impairment (≤ 10) + 4 each overdue check (≤ 5) "
    "+ 10 each zone over its people limit (≤ 2) + 10 each hot work breach (≤ 2) + 20 × share of devices not "
    "answering + 2 each incident of 30 days (≤ 5). It ranks sites; it is no probability.",
    "风险值 0–100 = 未结生命安全警情 40 + 其他未结警情每起 10（至多 3 起）+ 网关失联 25 + 无巡检报警 5 "
    "+ 无看护失效每项 5（至多 4 项）+ 其他失效每项 1（至多 10 项）+ 逾期检查每项 4（至多 5 项）"
    "+ 超员区域每处 10（至多 2 处）+ 违规动火每起 10（至多 2 起）+ 20×无应答设备占比 "
    "+ 30 天内警情每起 2（至多 5 起）。用于排序，不代表概率。")


def risk_of(site: PlaceFigures, hot_work_breaches: int = 0) -> float:
    """0 to 100."""
    lost = 1.0 - site.connected / site.expected if site.expected else 0.0
    watched = max(0, site.impairments - site.unwatched)
    sum_of = (
        40.0 * (site.life_safety > 0) + 10.0 * min(3, site.open - site.life_safety) + 25.0 * (site.silent > 0)
        + 5.0 * (site.unproven > 0) + 5.0 * min(4, site.unwatched) + 1.0 * min(10, watched)
        + 4.0 * min(5, site.overdue_checks) + 10.0 * min(2, site.over) + 10.0 * min(2, hot_work_breaches)
        + 20.0 * max(0.0, min(1.0, lost)) + 2.0 * min(5, site.incidents))
    return round(max(0.0, min(100.0, sum_of)), 1)
