"""Report page: a verdict as one HTML page that needs nothing else: no script, no host, prints on A4. Pure.

    verdict, witness, setup ─► head (verdict, identity) · expected against seen · plots · timeline · signatures
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from device_model.alarm import Severity
from device_model.quantities import QUANTITIES
from trial.plot import Mark, plot_svg
from trial.report_style import STYLE
from trial.report_texts import text
from trial.setup import TrialSetup
from trial.verdict import Check, Verdict
from trial.witness import Witness

TIMELINE_ROWS_MAX = 300  # a page that people print; the JSON beside it has all
PLOTS_MAX = 12
MARKS_MAX = 6
_DULL = frozenset({"battery", "link_quality", "signal", "uptime"})  # moves, and tells nothing of the story


def report_page(
    verdict: Verdict, witness: Witness, setup: TrialSetup, *, language: str = "zh", tester: str = "",
) -> str:
    """The whole page."""
    page = _Page(verdict, witness, setup, language)
    body = "".join((page.head(), page.expected(), page.unexpected(), page.plots(), page.timeline(), page.identity(),
                    page.signatures(tester)))
    title = f"{text('title', language)} · {verdict.scenario}"
    return (f'<!doctype html><html lang="{"zh-CN" if language.startswith("zh") else "en"}"><head>'
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n")


class _Page:
    def __init__(self, verdict: Verdict, witness: Witness, setup: TrialSetup, language: str) -> None:
        self._verdict, self._witness, self._setup, self._language = verdict, witness, setup, language

    def _t(self, key: str) -> str:
        return escape(text(key, self._language))

    def _section(self, key: str, content: str) -> str:
        return f'<section><h2>{self._t(key)}</h2>{content}</section>' if content else ""

    def _table(self, keys: Iterable[str], rows: Iterable[Iterable[tuple[str, str]]]) -> str:
        """Rows of (class, text already escaped); each cell carries its column's name for narrow screens."""
        names = [self._t(key) for key in keys]
        head = "".join(f'<th scope="col">{name}</th>' for name in names)
        body = "".join(
            "<tr>" + "".join(f'<td class="{kind}" data-name="{name}">{cell}</td>'
                             for name, (kind, cell) in zip(names, row, strict=True)) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def head(self) -> str:
        """The verdict first."""
        verdict, scenario, site = self._verdict, self._setup.scenario, self._setup.site
        chinese = self._language.startswith("zh")
        title = scenario.zh if chinese else scenario.en
        met = sum(check.ok for check in verdict.expected)
        disabled = (f'<p class="warn"><strong>{self._t("without")}: {escape(", ".join(verdict.without))}</strong> '
                    f'{self._t("without_note")}</p>' if verdict.without else "")
        facts = [("scenario", verdict.scenario), ("site", site.name.in_language(self._language)),
                 ("expected", f"{met} / {len(verdict.expected)}"), ("unexpected", str(len(verdict.unexpected))),
                 ("duration", f"{verdict.duration_s:g} s"), ("seed", str(verdict.seed))]
        listed = "".join(f"<div><dt>{self._t(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts)
        return (f'<header><p class="kicker">Tocsin · {self._t("title")}</p>'
                f"<h1>{escape(title or verdict.scenario)}</h1>"
                f'<p class="verdict {verdict.verdict}">{self._t(verdict.verdict)}</p>{disabled}'
                f'<dl class="facts">{listed}</dl></header>')

    def expected(self) -> str:
        """Expected against seen."""
        rows = [[("state ok", f"✓ {self._t('ok')}") if check.ok else ("state no", f"✗ {self._t('no')}"),
                 ("short", self._t(check.kind)), ("", _wanted(check)), ("", escape(check.seen)),
                 ("number", "" if check.delay_s is None else f"{check.delay_s:g}")]
                for check in self._verdict.expected]
        return self._section("expected", self._table(("result", "kind", "wanted", "seen", "delay"), rows))

    def unexpected(self) -> str:
        """What nobody expected."""
        alarms = self._verdict.unexpected
        if not alarms:
            return self._section("unexpected", f"<p>{self._t('none')}</p>")
        rows = [[("number", f"{alarm.raised_s:g}"), ("", escape(alarm.rule)), ("", escape(alarm.subject)),
                 ("", escape(alarm.severity.value)), ("", escape(alarm.detail))] for alarm in alarms]
        return self._section("unexpected", self._table(("time", "rule", "subject", "severity", "detail"), rows))

    # -- plots -------------------------------------------------------------------------------------------------

    def plots(self) -> str:
        """What the points of the story showed, with marks where alarms and outputs happened."""
        end_s, marks = self._verdict.duration_s, self._marks()
        figures = []
        for wish in self._setup.scenario.expect.world:
            of_world = self._witness.quantities.get(wish.quantity, [])
            figures.append(self._figure(wish.quantity, "", of_world, end_s, marks, steps=False))
        for point in self._points():
            spec = self._setup.inventory.points.get(point)
            quantity = QUANTITIES[spec.quantity] if spec is not None else None
            samples = [(at_s, float(value) if isinstance(value, bool | int | float) else None)
                       for at_s, value in self._witness.shown.get(point, [])]
            unit = spec.spec.unit if spec is not None and quantity is not None and not quantity.boolean else ""
            name = point
            if spec is not None:
                name = f"{point} · {spec.device.place.in_language(self._language)}"
            state = quantity is not None and quantity.boolean
            figures.append(self._figure(name, unit, samples, end_s, marks, steps=True, state=state))
        shown = list(dict.fromkeys(figure for figure in figures if figure))
        return self._section("readings", "".join(shown[:PLOTS_MAX]))

    @staticmethod
    def _figure(name: str, unit: str, samples: Sequence[tuple[float, float | None]], end_s: float,
                marks: Sequence[Mark], *, steps: bool, state: bool = False) -> str:
        unit = unit.replace("Cel", "°C").translate({ord("["): None, ord("]"): None})  # UCUM as people write it
        svg = plot_svg(name, unit, samples, end_s, marks, steps=steps, state=state)
        caption = escape(f"{name} ({unit})" if unit else name)
        return f"<figure><figcaption>{caption}</figcaption>{svg}</figure>" if svg else ""

    def _points(self) -> list[str]:
        """Points that changed: those of alarms first, then outputs, then what moved beside them."""
        witness = self._witness
        wanted = [alarm.subject for alarm in witness.alarms.values() if alarm.subject in witness.shown]
        wanted += [wish.output for wish in self._setup.scenario.expect.outputs]
        wanted += [driven for output in self._setup.site.outputs
                   if len(witness.shown.get(driven := f"{output.device}.{output.point}", ())) > 1]
        wanted += [wish.point for wish in self._setup.scenario.expect.readings]
        zones = {alarm.zone for alarm in witness.alarms.values()}
        wanted += [point for point, samples in witness.shown.items() if len(samples) > 5
                   and (spec := self._setup.inventory.points.get(point)) is not None and spec.zone in zones
                   and not QUANTITIES[spec.quantity].text and spec.quantity not in _DULL]
        return [point for point in dict.fromkeys(wanted) if point in witness.shown]

    def _marks(self) -> list[Mark]:
        marks = [Mark(alarm.raised_s, alarm.rule, "alarm") for alarm in self._witness.alarms.values()
                 if alarm.severity.rank >= Severity.WARNING.rank]
        marks += [Mark(seen.at_s, f"{seen.output} {'on' if seen.on else 'off'}", "output")
                  for seen in self._witness.outputs if seen.proof != "proved"]
        first: dict[str, Mark] = {}
        for mark in sorted(marks, key=lambda it: it.at_s):
            first.setdefault(mark.label, mark)
        return list(first.values())[:MARKS_MAX]

    # -- the rest ----------------------------------------------------------------------------------------------

    def timeline(self) -> str:
        """The story, as far as a page bears it."""
        entries = self._verdict.timeline
        rows = [[("number", f"{entry.at_s:.3f}"), ("short", self._t(entry.who)), ("short", self._t(entry.what)),
                 ("", escape(entry.subject)), ("", escape(entry.detail))] for entry in entries[:TIMELINE_ROWS_MAX]]
        left = len(entries) - len(rows)
        more = f"<p>{escape(text('more', self._language).format(left))}</p>" if left > 0 else ""
        return self._section("timeline", self._table(("time", "who", "what", "subject", "detail"), rows) + more)

    def identity(self) -> str:
        """What exactly was run, so that anybody can run it again."""
        verdict, hashes = self._verdict, self._setup.hashes
        rows = [("hash_scenario", hashes.scenario), ("hash_site", hashes.site)]
        listed = "".join(f"<div><dt>{self._t(key)}</dt><dd><code>{escape(value)}</code></dd></div>"
                         for key, value in rows)
        listed += "".join(f"<div><dt>{self._t('hash_pack')} {escape(pack)}</dt><dd><code>{value}</code></dd></div>"
                          for pack, value in sorted(hashes.packs.items()))
        listed += f"<div><dt>{self._t('digest')}</dt><dd><code>{verdict.digest}</code></dd></div>"
        versions = ", ".join(f"{name} {number}" for name, number in verdict.versions.items())
        listed += f"<div><dt>{self._t('versions')}</dt><dd>{escape(versions)}</dd></div>"
        listed += f"<div><dt>{self._t('wall')}</dt><dd>{verdict.wall_s:g} s</dd></div>"
        return self._section("identity", f'<dl class="hashes">{listed}</dl><p class="notice">{self._t("notice")}</p>')

    def signatures(self, tester: str) -> str:
        """Lines to sign."""
        lines = (("tester", tester), ("witnessed", ""))
        blocks = "".join(
            f'<div class="sign"><p>{self._t(key)}: <span class="fill">{escape(name)}</span></p>'
            f'<p>{self._t("signature")}: <span class="fill"></span></p>'
            f'<p>{self._t("date")}: <span class="fill"></span></p></div>' for key, name in lines)
        remarks = f'<p>{self._t("remarks")}: <span class="fill wide"></span></p>'
        return f'<footer><div class="signs">{blocks}</div>{remarks}</footer>'


def _wanted(check: Check) -> str:
    """An expectation in words, each field its own small line."""
    parts = []
    for key, value in check.want.items():
        shown = ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
        parts.append(f'<span class="field"><b>{escape(key)}</b> {escape(shown)}</span>')
    return f'<span>{" ".join(parts)}</span>'
