"""Pages that are written from the packs and scenarios themselves, so that they cannot say otherwise.

    docs/rule-packs.md    every rule: what it asks, its numbers with their bounds, where they come from, how sure
    docs/scenarios.md     every shipped scenario: its story, its site, what it is proved to fail without
"""

from __future__ import annotations

from pathlib import Path

import yaml

from rules_engine.packs import PACKS, pack_names, read_pack
from rules_engine.rule import Rule, RulePack
from trial.scenario_files import shipped_scenarios

ROOT = Path(__file__).resolve().parent.parent
_KIND = {"point": "", "device": "each device", "zone": "each zone", "site": "the site"}


def pack_page() -> str:
    """docs/rule-packs.md."""
    packs = [read_pack(PACKS / f"{name}.yaml") for name in pack_names()]
    count = sum(len(pack.rules) for pack in packs)
    lines = [
        "# Rule packs", "",
        f"{len(packs)} packs, {count} rules, written by `make golden` from `rules_engine/packs/*.yaml`. A site",
        "chooses packs with `rules: {packs: […]}` and sets its own numbers with",
        "`rules: {parameters: {rule: {name: value}}}` within the bounds given here. Certainty: A read in the",
        "standard or measured, B from one good source, C practice or inference, never for life safety.", "",
        "| pack | | rules |", "| --- | --- | --- |",
        *[f"| [{pack.id}](#{pack.id.replace('_', '-')}) | {pack.title.en} · {pack.title.zh} | {len(pack.rules)} |"
          for pack in packs], ""]
    for pack in packs:
        lines += _pack(pack)
    return "\n".join(lines)


def _pack(pack: RulePack) -> list[str]:
    # The anchor is that of the heading: small letters, hyphens.
    lines = [f"## {pack.id.replace('_', '-')}", "", f"{pack.title.en} · {pack.title.zh}", "",
             "| rule | title | hazard, severity | watches | when | numbers | source | |", "| " + "--- | " * 8]
    return [*lines, *[_row(rule) for rule in pack.rules], ""]


def _row(rule: Rule) -> str:
    written, bind = rule.written, rule.bind
    watches = [_KIND[bind.per.value], ", ".join(bind.quantities),
               ", ".join(value.value for value in bind.device_classes),
               f"in {', '.join(bind.zone_kinds)}" if bind.zone_kinds else "",
               f"tagged {', '.join(bind.tags)}" if bind.tags else "",
               f"not {', '.join(bind.without_tags)}" if bind.without_tags else ""]
    when = f"`{' '.join(written.when.split())}`"
    last = getattr(written, "for")
    when += f" for {last}" if last != "0 s" else ""
    when += f"; clear `{' '.join(written.clear.split())}`" if written.clear else ""
    when += "; latched" if rule.latched else f"; kept {written.keep}" if written.keep != "0 s" else ""
    numbers = "; ".join(
        f"{name} **{one.default}**" + (f" ({one.least or '…'} … {one.most or '…'})" if one.least or one.most else "")
        for name, one in rule.parameters.items())
    cells = [rule.id, f"{rule.title.en} · {rule.title.zh}", f"{rule.hazard.value}, {rule.severity.value}",
             "; ".join(part for part in watches if part), when, numbers, rule.source, rule.certainty.value]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def scenario_page() -> str:
    """docs/scenarios.md."""
    found = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in shipped_scenarios().items()}
    lines = [
        "# Shipped scenarios", "",
        f"{len(found)} scenarios, written by `make golden` from `firmware_sim/scenarios/*.yaml`.",
        "`tocsin sim run NAME` plays one against the production gateway and the community OS in virtual time;",
        "`--prove` plays it again without each thing in the last column and must fail each time. *Italics* are a",
        "variant: the rule is there, its guard is not.", "",
        "| scenario | | site | fails without |", "| --- | --- | --- | --- |"]
    for name, content in found.items():
        expect = content.get("expect", {})
        guards = [*expect.get("protected_by", ()), *(f"*{one['id']}*" for one in expect.get("variants", ()))]
        site = content.get("site", "")
        lines.append(f"| {name} | {content.get('en', '')}<br>{content.get('zh', '')} "
                     f"| {Path(site).stem if isinstance(site, str) else 'its own'} | {', '.join(guards)} |")
    return "\n".join([*lines, ""])


PAGES = {"docs/rule-packs.md": pack_page, "docs/scenarios.md": scenario_page}
