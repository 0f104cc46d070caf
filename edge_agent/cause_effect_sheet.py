"""The cause and effect sheet as text for people: CSV for a spreadsheet, HTML for print, in either language. Pure.

                 | horn  sounder | gas-301  gas valve |     rows: rules; columns: outputs
    gas.home     |    b1-301     |       b1-301       |     a cell names the zones in which it moves
"""

from __future__ import annotations

import csv
import html
import io

from edge_agent.cause_effect import CauseEffect, EffectOfOutput

# (en, zh). What the site file's own words mean to the person who stands before the plant.
WORDS: dict[str, tuple[str, str]] = {
    "title": ("Cause and effect", "因果逻辑表"),
    "rule": ("Rule", "规则"), "what": ("Cause", "原因"), "hazard": ("Hazard", "危险类别"),
    "severity": ("Severity", "级别"), "for": ("Held for, s", "持续时间（秒）"), "latched": ("Latched", "锁定"),
    "yes": ("yes", "是"), "no": ("no", "否"), "site": ("whole site", "全小区"),
    "purpose": ("Purpose", "用途"), "drives": ("Drives", "驱动点"), "reset": ("Goes off", "解除方式"),
    "proof": ("Proved by", "独立反馈"), "unproved": ("unproved: no independent input", "无独立反馈，未经证实"),
    "within": ("within {} s", "{} 秒内"),
    "power_loss": ("On power loss", "断电时"), "agent_death": ("When the program dies", "程序终止时"),
    "restart": ("On restart or update", "重启或升级时"),
    "hold_off": ("Restart changes nothing for, s", "重启保持时间（秒）"),
    "rated_for": ("Rated for", "适用环境"),
    "trip": ("latching: reset on site by a named person", "锁定：须由实名人员在现场复位"),
    "audible": ("follows its alarms; silenced on site by a named person", "随报警动作；须由实名人员在现场消音"),
    "on": ("goes on", "动作"), "off": ("goes off", "释放"), "hold": ("stays as it is", "保持原状"),
    "idle": ("No rule moves: ", "无规则驱动："),
    "law": ("Monitor-only, never outputs (law of safety 5): fire pumps, fire-water valves, smoke control, fire "
            "doors, lifts, extinguishing releases.",
            "仅监视、禁止输出控制（安全守则第 5 条）：消防泵、消防水阀、防排烟、防火门、电梯、灭火剂释放装置。"),
    "sounder": ("sounder", "声报警器"), "strobe": ("strobe", "光报警器"), "gas_valve": ("gas valve", "燃气切断阀"),
    "water_valve_branch": ("domestic water branch valve", "生活给水支管阀"), "fan": ("fan", "风机"),
    "charger_cut_off": ("charger cut-off", "充电断电"), "fill_valve": ("fill valve", "进液阀"),
}
OF_OUTPUT = ("purpose", "drives", "reset", "proof", "power_loss", "agent_death", "restart", "hold_off", "rated_for")


def word(name: str, language: str, *parts: object) -> str:
    """The word in "zh" or "en"; a name without one as it is."""
    en, zh = WORDS.get(name, (name, name))
    return (zh if language.startswith("zh") else en).format(*parts)


def sheet_rows(sheet: CauseEffect, language: str) -> list[list[str]]:
    """The sheet as rows of cells: the matrix, an empty row, then how each output behaves."""
    head = [word(name, language) for name in ("rule", "what", "hazard", "severity", "for", "latched")]
    rows = [head + [effect.output for effect in sheet.effects]]
    for cause in sheet.causes:
        cells = []
        for effect in sheet.effects:
            crossing = sheet.crossing(cause.rule, effect.output)
            cells.append("" if crossing is None else ", ".join(
                zone or word("site", language) for zone in crossing.zones))
        rows.append([cause.rule, cause.title.in_language(language), cause.hazard.value, cause.severity.value,
                     f"{cause.for_s:g}", word("yes" if cause.latched else "no", language), *cells])
    rows.append([])
    wide = [""] * (len(head) - 1)
    for name in OF_OUTPUT:
        rows.append([word(name, language), *wide, *(_of_output(name, effect, language) for effect in sheet.effects)])
    if sheet.idle:
        rows.append([word("idle", language) + ", ".join(sheet.idle)])
    rows.append([word("law", language)])
    return rows


def _of_output(name: str, effect: EffectOfOutput, language: str) -> str:
    match name:
        case "purpose":
            return word(effect.purpose.value, language)
        case "drives":
            return effect.drives
        case "reset":
            return word("trip" if effect.latching else "audible", language)
        case "proof":
            if not effect.proof:
                return word("unproved", language)
            return f"{effect.proof}, {word('within', language, f'{effect.proof_within_s:g}')}"
        case "power_loss":
            return word(effect.on_power_loss.value, language)
        case "agent_death":
            return word(effect.on_agent_death.value, language)
        case "restart":
            return word(effect.on_restart.value, language)
        case "hold_off":
            return f"{effect.restart_hold_off_s:g}"
    return effect.rated_for


def as_csv(sheet: CauseEffect, language: str = "zh") -> str:
    """For a spreadsheet. A cell that a spreadsheet would take for a formula is quoted as text."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in sheet_rows(sheet, language):
        writer.writerow([f"'{cell}" if cell[:1] in "=+-@" and cell else cell for cell in row])
    return text.getvalue()


def as_table(sheet: CauseEffect, language: str = "zh") -> str:
    """The table alone, for a page that has its own frame. Everything from the site file is escaped."""
    rows = sheet_rows(sheet, language)
    lines = ["<table class='cause-effect'>"]
    width = max(map(len, rows))
    for number, row in enumerate(rows):
        tag = "th" if number == 0 else "td"
        if len(row) == 1:
            lines.append(f"<tr><td colspan='{width}'>{html.escape(row[0])}</td></tr>")
        elif row:
            lines.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</table>"])


def as_html(sheet: CauseEffect, language: str = "zh") -> str:
    """A page by itself, to print; no script, no outside host."""
    title = f"{word('title', language)}: {sheet.name.in_language(language)} ({sheet.site}, {sheet.gateway})"
    return (f"<!doctype html><html lang='{'zh-CN' if language.startswith('zh') else 'en'}'><meta charset='utf-8'>"
            f"<title>{html.escape(title)}</title><style>body{{font:14px system-ui;margin:1.5rem}}"
            "table{border-collapse:collapse}td,th{border:1px solid #888;padding:.2rem .5rem;text-align:left;"
            f"vertical-align:top}}</style><h1>{html.escape(title)}</h1>{as_table(sheet, language)}</html>\n")


def as_text(sheet: CauseEffect, language: str = "zh") -> str:
    """For a terminal: one line a crossing."""
    lines = [f"{word('title', language)}: {sheet.name.in_language(language)}"]
    for cause in sheet.causes:
        for effect in sheet.effects:
            crossing = sheet.crossing(cause.rule, effect.output)
            if crossing is not None:
                zones = ", ".join(zone or word("site", language) for zone in crossing.zones)
                purpose = word(effect.purpose.value, language)
                lines.append(f"  {cause.rule:<28} -> {effect.output:<18} {purpose}  [{zones}]")
    if sheet.idle:
        lines.append(word("idle", language) + ", ".join(sheet.idle))
    return "\n".join(lines)
