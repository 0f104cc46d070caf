"""Documents as PDF (pure: values in, bytes out): report, rectification notice, dossier. Chinese by a CID font that
every reader brings along, so that no font file travels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from zoneinfo import ZoneInfo

from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from community_os.report_figures import ReportFigures, worst
from community_os.report_words import NOT_CERTIFIED, word
from dashboards.brigade import EvidenceFacts
from dashboards.officer import Day
from dashboards.report import Rectification
from device_model.clock import SECOND_US
from device_model.permit_views import PermitView
from device_model.read_models import IncidentView
from device_model.site import Text

FONT = "STSong-Light"
pdfmetrics.registerFont(UnicodeCIDFont(FONT))
_BODY = ParagraphStyle("body", fontName=FONT, fontSize=10, leading=15, wordWrap="CJK")
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=8, leading=11)
_TITLE = ParagraphStyle("title", parent=_BODY, fontSize=18, leading=26, alignment=1, spaceAfter=4)
_HEAD = ParagraphStyle("head", parent=_BODY, fontSize=12, leading=18, spaceBefore=8, spaceAfter=3)
_RIGHT = ParagraphStyle("right", parent=_BODY, alignment=2)
ROWS_MAX = 400  # of any one table; the rest is counted


def local(at_us: int, zone: str) -> str:
    """Local time as it is printed; "—" for none."""
    if not at_us:
        return "—"
    moment = datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(ZoneInfo(zone))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _built(parts: Sequence[Flowable], title: str, foot: str) -> bytes:
    out = io.BytesIO()

    def page(canvas: object, document: object) -> None:
        canvas.setFont(FONT, 8)  # type: ignore[attr-defined]  # reportlab's canvas
        canvas.drawString(18 * mm, 10 * mm, foot[:110])  # type: ignore[attr-defined]
        canvas.drawRightString(192 * mm, 10 * mm, str(document.page))  # type: ignore[attr-defined]

    SimpleDocTemplate(out, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm,
                      bottomMargin=18 * mm, title=title, author="Tocsin", invariant=1).build(
        list(parts), onFirstPage=page, onLaterPages=page)
    return out.getvalue()


def _text(text: object, style: ParagraphStyle = _BODY) -> Paragraph:
    return Paragraph(escape(str(text)).replace("\n", "<br/>"), style)


def _table(rows: Sequence[Sequence[object]], widths: Sequence[float], *, head: bool = True) -> Table:
    table = Table([[_text(cell, _SMALL) for cell in row] for row in rows[:ROWS_MAX]],
                  colWidths=[width * mm for width in widths], repeatRows=1 if head else 0)
    table.setStyle(TableStyle([
        ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#8a94a1")), ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        *([("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e8ecf1"))] if head else [])]))
    return table


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
    parts: list[Flowable] = [
        _text(title, _TITLE), _text(f"{f.name.in_language(language)} · {f.scope or w('all')}"), _text(span),
        _text(f"{w('made')} {local(f.at_us, f.time_zone)}. {w('states')}", _SMALL), _text(w("figures"), _HEAD),
        _table(facts, (48, 39, 48, 39), head=False), _text(w("by_day"), _HEAD), _days(f.days, f.time_zone),
        _text(w("by_hazard"), _HEAD),
        _text("  ".join(f"{word(f'hazard.{name}', language)} {count}" for name, count in f.by_hazard) or w("none")),
        _text(w("by_site"), _HEAD), _table(rows, (38, 14, 26, 14, 16, 16, 18, 14, 20))]
    if len(f.sites) > len(rows) - 1:
        parts.append(_text(f"+{len(f.sites) - len(rows) + 1}", _SMALL))
    if f.overdue:
        parts += [_text(w("overdue"), _HEAD), _table(
            [(w("what"), w("site"), w("person"), w("deadline")), *(
                (one.what.in_language(language), one.site_name.in_language(language), one.person or "—",
                 local(one.due_us, f.time_zone)) for one in f.overdue[:60])], (64, 44, 30, 38))]
    return _built(parts, title, word("", language, NOT_CERTIFIED))


def _days(days: Sequence[Day], zone: str) -> Drawing:
    """Incidents a day as stacked bars: fire, gas, other from the top."""
    most = max((day.fire + day.gas + day.other for day in days), default=0) or 1
    drawing = Drawing(174 * mm, 44 * mm)
    width = 166 * mm / max(1, len(days))
    for number, day in enumerate(days):
        x, y = 8 * mm + number * width, 8 * mm
        for count, colour in ((day.other, "#5b7ea6"), (day.gas, "#b8860b"), (day.fire, "#b3121d")):
            height = count / most * 32 * mm
            if height:
                drawing.add(Rect(x, y, max(1.0, width - 2), height, fillColor=colors.HexColor(colour), strokeWidth=0))
            y += height
        if len(days) <= 7 or number % 5 == 0:
            drawing.add(String(x, 2 * mm, local(day.at_us, zone)[5:10], fontName=FONT, fontSize=7))
    drawing.add(String(0, 38 * mm, str(most), fontName=FONT, fontSize=7))
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
    view: IncidentView, evidence: Sequence[EvidenceFacts], permits: Sequence[PermitView], audit: Sequence[object],
    language: str, zone: str, made_us: int, who: str,
) -> bytes:
    """Everything about one incident. audit: lines (at_us, who, what, detail, hash) of its chain."""
    def w(key: str) -> str:
        return word(key, language)

    def t(text: Text) -> str:
        return text.in_language(language)

    place = " · ".join(t(part) for part in (view.site_name, view.building, view.floor, view.zone_name) if t(part))
    facts = [(w("dossier.id"), view.id), (w("dossier.place"), place), (w("dossier.path"), view.tenancy.path),
             (w("dossier.state"), f"{word(f'state.{view.state.value}', language)} · {view.severity.value} · "
              f"{word(f'hazard.{view.hazard.value}', language)}"), (w("dossier.opened"), local(view.opened_us, zone)),
             (w("dossier.acknowledged"), f"{local(view.acknowledged_us, zone)} {view.acknowledged_by}"),
             (w("dossier.closed"), f"{local(view.closed_us, zone)} {view.cause}"),
             (w("dossier.verification"), view.verification.value)]
    tasks = view.handling.tasks if view.handling else ()
    parts: list[Flowable] = [
        _text(w("dossier.title") + (f" — {w('drill')}" if view.drill else ""), _TITLE),
        _text(f"{w('made')} {local(made_us, zone)} · {who}", _SMALL), _table(facts, (38, 136), head=False),
        _text(w("dossier.alarms"), _HEAD),
        _table([(w("time"), w("dossier.rule"), w("dossier.device"), w("detail")), *(
            (local(a.at_us, zone), f"{t(a.title)} ({a.rule})", f"{a.device} {t(a.place)}", f"{a.state} {a.detail}")
            for a in view.alarms)], (34, 50, 40, 50)),
        _text(w("dossier.timeline"), _HEAD), _table([(w("time"), w("what"), w("person"), w("detail")), *(
            (local(entry.at_us, zone), entry.what, entry.who or w("system"), entry.detail) for entry in view.log)],
            (34, 34, 30, 76)),
        _text(w("dossier.tasks"), _HEAD), _table([(w("what"), w("person"), w("deadline"), w("dossier.result")), *(
            (t(task.title), task.person, local(task.due_us, zone), f"{local(task.done_us, zone)} {task.done_by} "
             f"{task.result}") for task in tasks)], (60, 30, 34, 50)),
        _text(w("dossier.permits"), _HEAD), _table([(w("permit"), w("dossier.state"), w("time"), w("person")), *(
            (f"{p.id} {p.permit.plan.level.value} {t(p.zone_name)}", p.permit.state.value,
             f"{local(p.permit.plan.starts_us, zone)} – {local(p.permit.plan.ends_us, zone)}",
             f"{p.permit.applicant} / {p.permit.approver} / {p.permit.countersigner} / {p.permit.plan.watcher}")
            for p in permits)], (44, 26, 58, 46)),
        _text(w("dossier.evidence"), _HEAD), _table([(w("time"), w("dossier.camera"), "SHA-256"), *(
            (local(one.at_us, zone), f"{one.camera} {one.zone} {one.name}", one.sha256) for one in evidence)],
            (34, 50, 90)),
        _text(w("dossier.audit"), _HEAD), _table([(w("time"), w("person"), w("what"), w("detail"), "SHA-256"), *(
            (local(row[0], zone), row[1] or w("system"), row[2], row[3][:300], row[4][:16])  # type: ignore[index]
            for row in audit)], (34, 26, 30, 60, 24))]
    return _built(parts, view.id, word("", language, NOT_CERTIFIED))
