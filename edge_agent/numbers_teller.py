"""Numbers of rules at the gateway: what keeps new ones from running, and how the cloud hears which ones run. Pure.

    RemoteSite ─ hear ─► NumbersTeller ─ said ─► every heartbeat after a change, else one in twenty
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.inventory import Inventory
from device_model.messages import HeartbeatRecord
from device_model.numbers import NumbersReport, digest_of
from device_model.site import RuleChoice, Site
from edge_agent.events import OpenAlarm
from rules_engine.rule import Rule, RuleSet

# A heartbeat is small and may be lost: said three times when it is news, and again for a cloud that began anew.
NEWS_BEATS = 3
AGAIN_BEATS = 20


class NumbersTeller:
    """One gateway's."""

    def __init__(self) -> None:
        self._news = NumbersReport()
        self._told = NumbersReport()
        self._left = 0
        self._of: object = None
        self._digest = ""

    def hear(self, news: NumbersReport) -> None:
        """What became of numbers that were sent; the digest is ours to say."""
        self._news = news

    def said(self, beat: HeartbeatRecord, parameters: Mapping[str, Mapping[str, str]]) -> HeartbeatRecord:
        """The heartbeat with them, where it is time. parameters: those that run."""
        if self._of is not parameters:
            self._of, self._digest = parameters, digest_of(parameters)
        report = msgspec.structs.replace(self._news, digest=self._digest)
        if report != self._told:
            self._told, self._left = report, AGAIN_BEATS
        elif self._left == 0:
            self._left = AGAIN_BEATS
        self._left -= 1
        # Of the twenty that follow a change the first three, then the first of each twenty.
        news = self._left >= AGAIN_BEATS - NEWS_BEATS
        return msgspec.structs.replace(beat, numbers=report) if news else beat


def hold_against(
    running: Inventory, new: Inventory, open_alarms: Iterable[OpenAlarm], rules: RuleSet | None = None,
) -> None:
    """Raises LocalFault while the new numbers may not run yet: something else would change with them, or an alarm
    stands whose rule would change under it. Raises ConfigError for what has no bounds in its pack: a switch that puts
    a rule on or off is nothing that the cloud may turn. rules: of the new site file."""
    if _but_numbers(running.site) != _but_numbers(new.site):
        raise LocalFault("the site file on the gateway's disk is not the one that runs: reload it first")
    before, after = running.site.rules.parameters, new.site.rules.parameters
    changed = {rule for rule in (*before, *after) if before.get(rule, {}) != after.get(rule, {})}
    unbounded = [f"{rule} {name}" for rule in sorted(changed) for name, value in after.get(rule, {}).items()
                 if value != before.get(rule, {}).get(name) and rules is not None
                 and not _bounded(rules.rules[rule], name)]
    if unbounded:
        raise ConfigError([Finding(new.site.file, 0, 0, f"{', '.join(unbounded)} has no bounds in its pack",
                                   "change it in the site file itself")])
    standing = sorted({alarm.rule for alarm in open_alarms if alarm.rule in changed})
    if standing:
        raise LocalFault(f"an alarm of {', '.join(standing)} stands: its numbers change when it is over")


def _bounded(rule: Rule, name: str) -> bool:
    parameter = rule.parameters.get(name)
    return parameter is not None and bool(parameter.least and parameter.most)


def _but_numbers(site: Site) -> Site:
    rules = RuleChoice(site.rules.packs, site.rules.files)
    return msgspec.structs.replace(site, rules=rules, file="")
