"""PageView: from what the gateway answers to what its local page shows: names, places and texts are added. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo

from dashboards.local_permit_view import LocalPermit
from dashboards.local_view import LocalAlarm, LocalLack, LocalOutput, LocalPoint, LocalView
from device_model.inventory import Inventory
from device_model.site import OutputPurpose, Text
from edge_agent.cause_effect_sheet import word
from edge_agent.gateway_report import GatewayReport
from edge_agent.gateway_state import GatewayState, OutputView
from edge_agent.outputs import AUDIBLE
from edge_agent.permit_site import PermitSite
from rules_engine import Rule, RuleSet

NO_TEXT = Text("", "")
PROOF = Text("Daily proof alarm", "每日巡检报警")
HOT_WORK = "hot_work."
URGENT = {"critical": 0, "alarm": 1, "warning": 2, "notice": 3}


class PageNames:
    """What a site file and its rules say of ids."""

    def __init__(self, inventory: Inventory, rules: RuleSet, zone: tzinfo) -> None:
        """zone: the site's own time, by which permits are judged."""
        self.inventory, self.rules = inventory, rules
        self.permits = PermitSite(inventory, zone)
        self._rules: Mapping[str, Rule] = {rule.id: rule for rule in rules.deciding}
        self._zones = {zone.id: zone.name for zone in inventory.site.zones}

    def zone(self, zone: str) -> Text:
        """A zone's name; its id where the file does not know it."""
        return self._zones.get(zone, Text(zone, zone))

    def view(self, state: GatewayState, report: GatewayReport, speed: float) -> LocalView:
        """The page's whole content. The proof alarm proves the way to the cloud and is not shown as an alarm."""
        site = self.inventory.site
        alarms = [self._alarm(alarm.alarm, alarm.rule, alarm.subject, alarm.state, alarm.zone, alarm.raised_us,
                              alarm.acknowledged_by) for alarm in state.alarms if alarm.rule != "proof-alarm"]
        return LocalView(
            True, report.at_us, speed, site.name, site.gateway.id, state.journal_ok, state.devices_expected,
            state.devices_alive, self._cloud(report), report.backlog,
            tuple(sorted(alarms, key=lambda alarm: (URGENT.get(alarm.severity, 0), -alarm.since_us))),
            self._outputs(state), tuple(
                LocalLack(i.kind.value, i.subject, self.zone(i.zone) if i.zone else NO_TEXT, i.why, i.who, i.since_us,
                          i.expires_us) for i in state.impairments),
            self._points(state), self._permits(state, report.at_us), report.wall_error_us >= 0)

    @staticmethod
    def _cloud(report: GatewayReport) -> str:
        if not report.cloud:
            return "none"
        return "up" if any(link.up for link in report.links) else "down"

    def _alarm(
        self, alarm: str, rule: str, subject: str, state: str, zone: str, since_us: int, who: str,
    ) -> LocalAlarm:
        known = self._rules.get(rule.removesuffix(".unknown"))
        title = known.title if known is not None else Text(rule, rule)
        hazard, severity = (known.hazard.value, known.severity.value) if known is not None else ("fault", "warning")
        return LocalAlarm(alarm, title, hazard, severity, state, self.zone(zone) if zone else NO_TEXT, subject,
                          since_us, who)

    def _outputs(self, state: GatewayState) -> tuple[LocalOutput, ...]:
        of_site = {output.id: output for output in self.inventory.site.outputs}
        return tuple(
            LocalOutput(view.output, Text(word(of_site[view.output].purpose.value, "en"),
                                          word(of_site[view.output].purpose.value, "zh")),
                        view.on, view.cause, view.proof, of_site[view.output].purpose in AUDIBLE, view.confirmed,
                        view.on and view.manual, view.manual_until_us, view.inhibited,
                        _may_hand(view, of_site[view.output].purpose))
            for view in state.outputs if view.output in of_site)

    def _permits(self, state: GatewayState, now_us: int) -> tuple[LocalPermit, ...]:
        said: dict[str, tuple[Text, ...]] = {}
        for alarm in state.alarms:
            if alarm.rule.startswith(HOT_WORK) and alarm.state != "cleared":
                known = self._rules.get(alarm.rule)
                title = known.title if known is not None else Text(alarm.rule, alarm.rule)
                said[alarm.zone] = (*said.get(alarm.zone, ()), title)
        return self.permits.views(state.permits, state.live, said, now_us)

    def _points(self, state: GatewayState) -> tuple[LocalPoint, ...]:
        points = []
        for live in state.live:
            point = self.inventory.points.get(live.point)
            if point is None:
                continue
            device = point.device
            quality = "never" if live.quality == "never heard" else live.quality
            points.append(LocalPoint(
                live.point, device.id, device.place if device.place.en else Text(device.id, device.id),
                self.zone(device.zone), Text(point.spec.en, point.spec.zh), point.unit, live.value, quality,
                live.at.wall_us if live.at is not None else 0))
        return tuple(points)


def _may_hand(view: OutputView, purpose: OutputPurpose) -> str:
    """What a person may ask of it: on is the safe side, but no fan starts by hand (law 5); off only what was switched
    on by hand and can end that way. The gateway decides again when it is asked."""
    if view.on:
        return "off" if view.manual and purpose in AUDIBLE and not view.demanded else ""
    return "" if view.inhibited or purpose is OutputPurpose.FAN else "on"
