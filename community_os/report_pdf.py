"""Documents as PDF (pure: values in, bytes out): report, rectification notice, dossier. Latin by Helvetica, Chinese
by a CID font: every reader brings both along, so that no font file travels (provisioning/printed_text.py)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from community_os.report_figures import ReportFigures, worst
from community_os.report_words import NOT_CERTIFIED, word
from dashboards.brigade import EvidenceFacts
from dashboards.kit.texts import TEXTS
from dashboards.officer import Day
from dashboards.report import Rectification
from device_model.clock import SECOND_US
from device_model.permit_views import PermitView
from device_model.read_models import IncidentView
from device_model.site import Text
from provisioning.printed_text import CHINESE, LATIN, has_chinese, markup, runs

pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))
_BODY = ParagraphStyle("body", fontName=LATIN, fontSize=10, leading=15, splitLongWords=1)
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=8, leading=11)
_TITLE = ParagraphStyle("title", parent=_BODY, fontSize=18, leading=26, alignment=1, spaceAfter=4)
_HEAD = ParagraphStyle("head", parent=_BODY, fontSize=12, leading=18, spaceBefore=8, spaceAfter=3)
_RIGHT = ParagraphStyle("right", parent=_BODY, alignment=2)
_CHINESE = {style.name: ParagraphStyle(f"{style.name} zh", parent=style, wordWrap="CJK")
            for style in (_BODY, _SMALL, _TITLE, _HEAD, _RIGHT)}
ROWS_MAX = 400  # of any one table; the rest is counted
_COLOURS = ("#b3121d", "#b8860b", "#5b7ea6")  # fire, gas, other: as on the pages
WIDTH_MM, MARGIN_MM = 174, 18


def local(at_us: int, zone: str) -> str:
    """Local time as it is printed; "—" for none."""
    if not at_us:
        return "—"
    moment = datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(ZoneInfo(zone))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class _Numbered(Canvas):  # type: ignore[misc]  # reportlab is not typed
    """Each page with its foot, its number, and of how many: known when all are made."""

    foot = ""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802  # reportlab's name
        """Kept until the last one is known."""
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """All pages, with their feet."""
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            x = MARGIN_MM * mm
            for font, part in runs(self.foot):
                self.setFont(font, 8)
                self.drawString(x, 10 * mm, part)
                x += pdfmetrics.stringWidth(part, font, 8)
            self.setFont(LATIN, 8)
            self.drawRightString((MARGIN_MM + WIDTH_MM) * mm, 10 * mm, f"{number} / {len(self._pages)}")
            super().showPage()
        super().save()


def _built(parts: Sequence[Flowable], title: str, foot: str) -> bytes:
    out = io.BytesIO()
    frame = Frame(MARGIN_MM * mm, 18 * mm, WIDTH_MM * mm, A4[1] - 34 * mm, leftPadding=0, rightPadding=0,
                  topPadding=0, bottomPadding=0)
    document = BaseDocTemplate(out, pagesize=A4, title=title, author="Tocsin", invariant=1,
                               pageTemplates=[PageTemplate(frames=[frame])])
    document.build(list(parts), canvasmaker=type("_Pages", (_Numbered,), {"foot": foot}))
    return out.getvalue()


def _text(text: object, style: ParagraphStyle = _BODY) -> Paragraph:
    return Paragraph(markup(text), _CHINESE[style.name] if has_chinese(text) else style)


def _table(rows: Sequence[Sequence[object]], widths: Sequence[float], *, head: bool = True) -> Table:
    table = Table([[_text(cell, _SMALL) for cell in row] for row in rows[:ROWS_MAX]],
                  colWidths=[width * mm for width in widths], repeatRows=1 if head else 0)
    table.setStyle(TableStyle([
        ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#8a94a1")), ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        *([("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e8ecf1"))] if head else [])]))
    return table


def _list(
    title: str, head: Sequence[str], rows: Sequence[Sequence[object]], widths: Sequence[float], language: str,
) -> list[Flowable]:
    """A table under its title, or the word that there is nothing; what is beyond its bound is counted."""
    if not rows:
        return [_text(title, _HEAD), _text(word("none", language), _SMALL)]
    left = len(rows) + 1 - ROWS_MAX
    more = [_text(word("more", language).format(n=left), _SMALL)] if left > 0 else []
    # Rather a new page than a title with nothing under it.
    return [CondPageBreak(30 * mm), _text(title, _HEAD), _table([head, *rows], widths), *more]


def _said(kind: str, value: str, language: str) -> str:
    """A word of the pages; one that they do not have stands as it is."""
    return TEXTS[f"{kind}.{value}"].in_language(language) if f"{kind}.{value}" in TEXTS else value


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min"


# --- report -------------------------------------------------------------------------------------------------------


def report_pdf(f: ReportFigures, language: str) -> bytes:
    """A daily, weekly or monthly report."""
    def w(key: str) -> str:
        return word(key, language)

    w_ = f.whole
    title = w(f"report.{f.period.name}")
    rate = f"{w_.false_alarms / w_.incidents:.0%}" if w_.incidents else "—"
    span = f"{local(f.period.from_us, f.time_zone)[:16]} – {local(f.period.to_us, f.time_zone)[:16]} ({f.time_zone})"
    facts = [
        (w("sites"), w_.sites, w("silent"), w_.silent), (w("expected"), w_.expected, w("connected"), w_.connected),
        (w("proven"), w_.proven, w("open"), f"{w_.open} ({w('life_safety')} {w_.life_safety})"),
        (w("impairments"), f"{w_.impairments} ({w('unwatched')} {w_.unwatched})", w("overdue"), w_.overdue_checks),
        (w("incidents"), w_.incidents, w("false"), f"{w_.false_alarms} ({rate})"),
        (w("acknowledged"), _seconds(w_.acknowledged_s), w("handled"), _seconds(w_.handled_s)),
        (w("permits"), w_.permits, w("hot_work"), f.hot_work)]
    rows = [(w("site"), w("risk"), w("alive"), w("open"), w("impairments"), w("overdue"), w("incidents"), w("false"),
             w("handled"))]
    rows += [(site.name.in_language(language), f"{site.risk:g}", f"{site.proven}/{site.connected}/{site.expected}",
              str(site.open), str(site.impairments), str(site.overdue_checks), str(site.incidents),
              str(site.false_alarms), _seconds(site.handled_s)) for site in worst(f.sites)]
    place = " · ".join(dict.fromkeys((f.name.in_language(language), f.scope or w("all"))))
    parts: list[Flowable] = [
        _text(title, _TITLE), _text(place), _text(span),
        _text(f"{w('made')} {local(f.at_us, f.time_zone)}. {w('states')}", _SMALL), _text(w("figures"), _HEAD),
        _table(facts, (48, 39, 48, 39), head=False), _text(w("by_day"), _HEAD), _days(f.days, f.time_zone, language),
        _text(w("by_hazard"), _HEAD),
        _text("   ".join(f"{word(f'hazard.{name}', language)} {count}" for name, count in f.by_hazard) or w("none")),
        CondPageBreak(30 * mm), _text(w("by_site"), _HEAD), _table(rows, (30, 11, 23, 19, 23, 17, 19, 14, 18))]
    if len(f.sites) > len(rows) - 1:
        parts.append(_text(word("more", language).format(n=len(f.sites) - len(rows) + 1), _SMALL))
    if f.overdue:
        parts += [_text(w("overdue"), _HEAD), _table(
            [(w("what"), w("site"), w("person"), w("deadline")), *(
                (one.what.in_language(language), one.site_name.in_language(language), one.person or "—",
                 local(one.due_us, f.time_zone)) for one in f.overdue[:60])], (62, 44, 30, 38))]
    return _built(parts, title, word("", language, NOT_CERTIFIED))


def _days(days: Sequence[Day], zone: str, language: str) -> Drawing:
    """Incidents a day as stacked bars: fire, gas, other from the top."""
    most = max((day.fire + day.gas + day.other for day in days), default=0) or 1
    drawing = Drawing(WIDTH_MM * mm, 45 * mm)
    width = 166 * mm / max(1, len(days))
    for number, day in enumerate(days):
        x, y = 8 * mm + number * width, 8 * mm
        for count, colour in zip((day.other, day.gas, day.fire), reversed(_COLOURS), strict=True):
            height = count / most * 32 * mm
            if height:
                drawing.add(Rect(x, y, max(1.0, width - 2), height, fillColor=colors.HexColor(colour),
                                 strokeColor=None))
            y += height
        if len(days) <= 7 or number % 5 == 0:
            drawing.add(String(x + width / 2, 2 * mm, local(day.at_us, zone)[5:10], fontName=LATIN, fontSize=7,
                               textAnchor="middle"))
    drawing.add(Line(8 * mm, 8 * mm, WIDTH_MM * mm, 8 * mm, strokeColor=colors.HexColor("#8a94a1"), strokeWidth=0.4))
    drawing.add(String(0, 38 * mm, str(most), fontName=LATIN, fontSize=7))
    drawing.add(String(0, 7 * mm, "0", fontName=LATIN, fontSize=7))
    for number, (key, colour) in enumerate(zip(("hazard.fire", "hazard.gas", "other"), _COLOURS, strict=True)):
        x = (8 + 24 * number) * mm
        drawing.add(Rect(x, 41.5 * mm, 7, 7, fillColor=colors.HexColor(colour), strokeColor=None))
        drawing.add(String(x + 10, 41.5 * mm, word(key, language), fontSize=7,
                           fontName=CHINESE if language == "zh" else LATIN))
    return drawing


# --- rectification notice -------------------------------------------------------------------------------------------


def notice_pdf(notice: Rectification, language: str, zone: str) -> bytes:
    """整改通知书: number, facts, clause, deadline, lines for signatures. The Chinese text stands always."""
    def w(key: str) -> str:
        zh, en = word(key, "zh"), word(key, "en")
        return zh if language.startswith("zh") else f"{zh} {en}"

    draft = notice.draft
    site = notice.site_name
    rows = [(w("notice.to"), f"{draft.to or site.zh} · {site.zh} {site.en}"), (w("notice.path"), notice.path),
            (w("notice.facts"), draft.facts), (w("notice.clause"), draft.clause), (w("notice.demand"), draft.demand),
            (w("notice.deadline"), local(notice.due_us, zone)), (w("notice.issued"), local(notice.issued_us, zone)),
            (w("notice.basis"), draft.incident or "—"), (w("notice.by"), notice.who)]
    signatures = [(w("notice.sign.issuer"), "", w("notice.sign.receiver"), ""),
                  (w("notice.sign.date"), "", w("notice.sign.date"), "")]
    parts: list[Flowable] = [
        _text(w("notice.title"), _TITLE), _text(notice.number, _RIGHT), Spacer(1, 4 * mm),
        _table(rows, (38, 136), head=False), Spacer(1, 4 * mm), _text(w("notice.consequence")), Spacer(1, 10 * mm),
        KeepTogether([_table(signatures, (38, 49, 38, 49), head=False), Spacer(1, 3 * mm),
                      _text(w("notice.seal"), _RIGHT)])]
    if notice.done_us:
        parts.append(_text(f"{w('notice.done')} {local(notice.done_us, zone)} {notice.done_by} {notice.done_why}"))
    return _built(parts, notice.number, word("", language, NOT_CERTIFIED))


# --- dossier --------------------------------------------------------------------------------------------------------


def dossier_pdf(
    view: IncidentView, evidence: Sequence[EvidenceFacts], permits: Sequence[PermitView],
    audit: Sequence[tuple[int, str, str, str, str]],
    language: str, zone: str, made_us: int, who: str,
) -> bytes:
    """Everything about one incident. audit: lines (at_us, who, what, detail, hash) of its chain."""
    def w(key: str) -> str:
        return word(key, language)

    def t(text: Text) -> str:
        return text.in_language(language)

    place = " · ".join(t(part) for part in (view.site_name, view.building, view.floor, view.zone_name) if t(part))
    facts = [(w("dossier.id"), view.id), (w("dossier.place"), place), (w("dossier.path"), view.tenancy.path),
             (w("dossier.state"), f"{word(f'state.{view.state.value}', language)} · "
              f"{_said('severity', view.severity.value, language)} · "
              f"{word(f'hazard.{view.hazard.value}', language)}"),
             (w("dossier.opened"), local(view.opened_us, zone)),
             (w("dossier.acknowledged"), f"{local(view.acknowledged_us, zone)} {view.acknowledged_by}"),
             (w("dossier.closed"), f"{local(view.closed_us, zone)} {view.cause}"),
             (w("dossier.verification"), w("none") if view.verification.value == "none"
              else _said("verify", view.verification.value, language))]
    tasks = view.handling.tasks if view.handling else ()
    parts: list[Flowable] = [
        _text(w("dossier.title") + (f" — {w('drill')}" if view.drill else ""), _TITLE),
        _text(f"{w('made')} {local(made_us, zone)} · {who}", _SMALL), Spacer(1, 2 * mm),
        _table(facts, (38, 136), head=False),
        *_list(w("dossier.alarms"), (w("time"), w("dossier.rule"), w("dossier.device"), w("detail")), [
            (local(a.at_us, zone), f"{t(a.title)} ({a.rule})" if t(a.title) != a.rule else a.rule,
             f"{a.device} {t(a.place)}", f"{_said('log', a.state, language)} {a.detail}") for a in view.alarms],
            (34, 50, 40, 50), language),
        *_list(w("dossier.timeline"), (w("time"), w("what"), w("person"), w("detail")), [
            (local(entry.at_us, zone), _said("log", entry.what, language), entry.who or w("system"), entry.detail)
            for entry in view.log], (34, 34, 30, 76), language),
        *_list(w("dossier.tasks"), (w("what"), w("person"), w("deadline"), w("dossier.result")), [
            (t(task.title), task.person, local(task.due_us, zone),
             f"{local(task.done_us, zone)} {task.done_by} {task.result}") for task in tasks],
            (60, 30, 34, 50), language),
        *_list(w("dossier.permits"), (w("permit"), w("dossier.state"), w("time"), w("person")), [
            (f"{p.id} {_said('permit.level', p.permit.plan.level.value, language)} {t(p.zone_name)}",
             _said("permit.state", p.permit.state.value, language),
             f"{local(p.permit.plan.starts_us, zone)} – {local(p.permit.plan.ends_us, zone)}",
             " / ".join(name for name in (p.permit.applicant, p.permit.approver, p.permit.countersigner,
                                          p.permit.plan.watcher) if name)) for p in permits],
            (50, 22, 58, 44), language),
        *_list(w("dossier.evidence"), (w("time"), w("dossier.camera"), "SHA-256"), [
            (local(one.at_us, zone), f"{one.camera} {one.zone} {one.name}", one.sha256) for one in evidence],
            (32, 46, 96), language),
        *_list(w("dossier.audit"), (w("time"), w("person"), w("what"), w("detail"), "SHA-256"), [
            (local(row[0], zone), row[1] or w("system"), _said("log", row[2], language), row[3][:300], row[4][:16])
            for row in audit], (32, 26, 30, 54, 32), language)]
    return _built(parts, view.id, word("", language, NOT_CERTIFIED))
