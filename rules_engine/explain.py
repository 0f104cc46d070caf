"""Explain (pure): a rule in words that people read, zh and en: what it waits for, with the numbers in force, who is
told, what ends it, and which points of a site it watches.

    Rule ─ condition tree ─► wording.py ─┐
    parameters in force, bounds ─────────┼──► Explanation ──► text │ JSON
    Inventory ─ binding ─► subjects ─────┘
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from device_model.alarm import LIFE_SAFETY
from device_model.inventory import Inventory
from device_model.site import Text
from rules_engine.binding import bind_rules
from rules_engine.evaluate import House
from rules_engine.rule import Rule, RulePack, RuleSet, Runs
from rules_engine.wording import duration, worded

_KEPT_AT_MOST = 2000  # subjects named; a rule on more of them is told by their number


class ParameterShown(msgspec.Struct, frozen=True):
    """One number of a rule: what is in force, what the pack says, and between what a site may choose."""

    name: str
    meaning: Text
    value: str
    default: str
    least: str = ""
    most: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """One rule, for people and machines. subjects: None where no site was given."""

    rule: str
    version: int
    title: Text
    hazard: str
    severity: str
    runs: str
    when: str
    in_words: Text
    clears: Text
    latched: bool
    at_once: bool
    source: str
    certainty: str
    response: Text
    parameters: tuple[ParameterShown, ...]
    subjects: tuple[str, ...] | None = None
    subjects_total: int = 0

    def text(self, language: str) -> str:
        """For people, in "zh" or "en"."""
        def say(en: str, zh: str) -> str:
            return zh if language.startswith("zh") else en

        lines = [f"{self.rule}  {self.title.in_language(language)}  ({self.hazard}, {self.severity}, {self.runs})",
                 "",
                 say("Raised when ", "报警条件：") + self.in_words.in_language(language),
                 say("  as written: ", "  原文：") + self.when,
                 say("Ends ", "解除：") + self.clears.in_language(language)]
        if self.at_once:
            lines.append(say("Told at once to everybody in parallel; nothing mutes, groups or shelves it (law 2).",
                             "立即并行通知所有责任方；不得静音、合并或搁置（安全法则 2）。"))
        for parameter in self.parameters:
            bounds = parameter.least or parameter.most
            within = f" [{parameter.least or '…'} – {parameter.most or '…'}]" if bounds else ""
            changed = "" if parameter.value == parameter.default else say(
                f"  (the pack says {parameter.default})", f"（规则包默认 {parameter.default}）")
            lines.append(f"  {parameter.name} = {parameter.value}{within}  "
                         f"{parameter.meaning.in_language(language)}{changed}")
        lines += [say("What to do: ", "处置：") + self.response.in_language(language),
                  say("Source: ", "依据：") + f"{self.source} ({self.certainty})"]
        if self.subjects is not None:
            lines.append(say(f"Watches {self.subjects_total} here:", f"本站点监视 {self.subjects_total} 处："))
            lines += [f"  {subject}" for subject in self.subjects[:40]]
            if self.subjects_total > 40:
                lines.append(f"  … +{self.subjects_total - 40}")
        return "\n".join(lines)


def explain(rule: Rule, inventory: Inventory | None = None, overrides: Mapping[str, str] | None = None
            ) -> Explanation:
    """What a rule means, and what of a site it watches. overrides: the site's own numbers, by parameter."""
    subjects = None if inventory is None else _subjects(rule, inventory)
    named = None if subjects is None else subjects[:_KEPT_AT_MOST]
    return Explanation(
        rule.id, rule.version, rule.title, rule.hazard.value, rule.severity.value, rule.runs.value,
        " ".join(str(rule.written.when).split()), _when(rule), _clears(rule), rule.latched,
        rule.hazard in LIFE_SAFETY, rule.source, rule.certainty.value, rule.response,
        _parameters(rule, overrides or {}), named, len(subjects or ()))


def _when(rule: Rule) -> Text:
    def one(language: str) -> str:
        words = worded(rule.condition, language)
        if not rule.for_us:
            return words
        lasting = duration(rule.for_us / 1e6, language)
        return f"{words}，持续 {lasting}" if language == "zh" else f"{words}, and so for {lasting}"

    return Text(one("en"), one("zh"))


def _clears(rule: Rule) -> Text:
    if rule.clear is not None:
        en, zh = f"when {worded(rule.clear, 'en')}", f"当{worded(rule.clear, 'zh')}"
    else:
        en, zh = "when that is no longer so", "条件不再成立时"
    if rule.keep_us:
        en += f", after a further {duration(rule.keep_us / 1e6, 'en')}"
        zh += f"，并再保持 {duration(rule.keep_us / 1e6, 'zh')}"
    if rule.latched:
        en, zh = f"{en}, and a named person resets it on site", f"{zh}，并由具名人员现场复位"
    return Text(en, zh)


def _parameters(rule: Rule, overrides: Mapping[str, str]) -> tuple[ParameterShown, ...]:
    return tuple(ParameterShown(name, Text(each.en, each.zh), overrides.get(name, each.default), each.default,
                                each.least, each.most) for name, each in rule.parameters.items())


def _subjects(rule: Rule, inventory: Inventory) -> tuple[str, ...]:
    alone = RuleSet([RulePack("explain", 1, rule.title, (rule,), "")])
    decides = "cloud" if rule.runs is Runs.CLOUD else "edge"
    bound = bind_rules(alone, inventory, House(inventory.site.tenancy.path, decides), 0)
    refused = [f"{watch.key.subject} (refused: certainty C)" for watch in bound.refused]
    return (*(watch.key.subject for watch in bound.watches), *refused)
