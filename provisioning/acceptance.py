"""Acceptance report (pure but for the pictures that it is given): what was installed, tested and seen, as PDF.

    site · plans with devices · device list · walk tests · interlock tests · photos · what does not protect ·
    signatures each page carries the SHA-256 of the content: two papers with the same hash say the same

The hash is over the facts (canonical JSON), not over the PDF: printed again in the other language it is the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle
from reportlab.platypus.flowables import Flowable

from dashboards.install_view import Accepted, WalkStep
from dashboards.kit.phrases import phrases
from dashboards.kit.texts import TEXTS as KINDS
from device_model.errors import LocalFault
from device_model.impairment import Impairment
from device_model.inventory import Inventory
from device_model.site import Floor, Text
from provisioning.acceptance_words import WORDS
from provisioning.printed_text import LATIN, has_chinese, markup
from provisioning.qr_label import FONT, use_chinese

PHOTOS_SHOWN = 60
SHEET = (1000.0, 700.0)  # where a floor has no drawing: the empty sheet on which the installer's page places
_SMALL, _TEXT = 8, 10


class AcceptanceParts(msgspec.Struct, frozen=True):
    """What the report is made of. folder: of the site file, for drawings. version: of the site file."""

    inventory: Inventory
    steps: tuple[WalkStep, ...]
    impairments: tuple[Impairment, ...]
    folder: Path
    at_us: int
    version: int
    claimed: bool
    photo: Callable[[str], bytes]
    accepted: tuple[Accepted, ...] = ()


def content_hash(parts: AcceptanceParts) -> str:
    """SHA-256 over the facts: site, devices, tests, photos' own hashes, impairments, version of the site file."""
    site = parts.inventory.site
    facts = {
        "path": site.tenancy.path, "gateway": site.gateway.id, "version": parts.version,
        "devices": [msgspec.to_builtins(device) for device in site.devices],
        "profiles": {d.profile: parts.inventory.profiles[d.profile].version for d in site.devices},
        "steps": [msgspec.to_builtins(step) for step in parts.steps],
        "impairments": [msgspec.to_builtins(one) for one in parts.impairments], "claimed": parts.claimed,
    }
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()


def not_shown(parts: AcceptanceParts) -> tuple[str, ...]:
    """Devices and outputs that no test has shown to work: never seen in a walk test, never proved in an interlock
    test. The gateway itself is not among them."""
    newest = {step.device: step for step in parts.steps}
    good = {name for name, step in newest.items() if step.result in ("arrived", "proved")}
    driven = {(output.device, output.id) for output in parts.inventory.site.outputs}
    devices = [d.id for d in parts.inventory.site.devices if d.id not in good and d.profile != "tocsin-gateway"
               and not any(device == d.id and output in good for device, output in driven)]
    return (*devices, *(output.id for output in parts.inventory.site.outputs if output.id not in good
                        and output.id not in devices))


def acceptance_pdf(parts: AcceptanceParts, language: str) -> bytes:
    """The report in "zh" or "en"."""
    use_chinese()
    return _Report(parts, "zh" if language.startswith("zh") else "en").pdf()


class _Report:
    def __init__(self, parts: AcceptanceParts, language: str) -> None:
        self._parts, self._language, self._site = parts, language, parts.inventory.site
        self._hash = content_hash(parts)
        self._zone = ZoneInfo(self._site.time_zone)
        self._body = ParagraphStyle("body", fontName=FONT, fontSize=_TEXT, leading=15, wordWrap="CJK")
        self._small = ParagraphStyle("small", self._body, fontSize=_SMALL, leading=10.5)
        self._head = ParagraphStyle("head", self._body, fontSize=13, leading=18, spaceBefore=10, spaceAfter=4,
                                    keepWithNext=1)
        self._title = ParagraphStyle("title", self._body, fontSize=19, leading=25, spaceAfter=6)

    def pdf(self) -> bytes:
        out = io.BytesIO()
        document = SimpleDocTemplate(out, pagesize=A4, leftMargin=16 * mm, rightMargin=16 * mm, topMargin=15 * mm,
                                     bottomMargin=20 * mm, title=self._say("title"), invariant=1)
        document.build([*self._heading(), *self._plans(), *self._devices(), *self._walks(), *self._interlocks(),
                        *self._photos(), *self._lacks(), *self._signatures()],
                       onFirstPage=self._foot, onLaterPages=self._foot)
        return out.getvalue()

    def _say(self, key: str, **values: object) -> str:
        return WORDS[key].in_language(self._language).format(**values)

    def _in(self, text: Text) -> str:
        return text.in_language(self._language)

    def _p(self, text: str, style: ParagraphStyle | None = None) -> Paragraph:
        style = style or self._body
        # Lines break between any two hanzi, and never within a word of Latin.
        return Paragraph(markup(text), style if has_chinese(text) else ParagraphStyle("words", style, wordWrap=None))

    def _when(self, at_us: int) -> str:
        return datetime.fromtimestamp(at_us / 1e6, self._zone).strftime("%Y-%m-%d %H:%M:%S") if at_us else "—"

    def _foot(self, canvas: Any, _: Any) -> None:
        canvas.setFont(LATIN, 7)
        canvas.drawString(16 * mm, 11 * mm, f"SHA-256 {self._hash}")
        canvas.setFont(FONT, 7)
        canvas.drawString(16 * mm, 7.5 * mm, self._say("not_certified"))
        canvas.drawRightString(A4[0] - 16 * mm, 11 * mm, self._say("page", number=canvas.getPageNumber()))

    def _heading(self) -> Iterable[Flowable]:
        site, tested = self._site, {s.device for s in self._parts.steps if s.kind == "walk" and s.result == "arrived"}
        yield self._p(self._say("title"), self._title)
        rows = [
            (self._say("site"), f"{self._in(site.name)}  ({site.tenancy.path})"),
            (self._say("address"), self._in(site.address)),
            (self._say("gateway"), site.gateway.id + (
                f"  {self._say('claimed')}" if self._parts.claimed else f"  {self._say('unclaimed')}")),
            (self._say("made"), self._when(self._parts.at_us)),
            (self._say("version"), str(self._parts.version)),
            (self._say("counts"), self._say("counts.text", devices=len(site.devices), tested=len(tested))),
        ]
        yield self._table([[self._p(a), self._p(b)] for a, b in rows if b], (40, 138), head=False)

    def _plans(self) -> Iterable[Flowable]:
        for building in self._site.buildings:
            for floor in building.floors:
                zones = {z.id for z in self._site.zones if (z.building, z.floor) == (building.id, floor.id)}
                placed = [d for d in self._site.devices if d.zone in zones and d.plan_x is not None]
                if placed:
                    name = f"{self._in(building.name)} · {self._in(floor.name)}"
                    marks = [(d.id, d.plan_x or 0.0, d.plan_y or 0.0) for d in placed]
                    yield KeepTogether([self._p(self._say("plan", floor=name), self._head),
                                        _FloorPlan(floor, marks, self._parts.folder)])

    def _devices(self) -> Iterable[Flowable]:
        yield self._p(self._say("devices"), self._head)
        zones = {zone.id: zone.name for zone in self._site.zones}
        rows = [[self._p(self._say(f"d.{name}"), self._small) for name in (
            "id", "place", "model", "serial", "address", "profile")]]
        for d in self._site.devices:
            profile = self._parts.inventory.profiles[d.profile]
            rows.append([self._p(text, self._small) for text in (
                d.id, f"{self._in(zones[d.zone])} {self._in(d.place)}".strip(),
                f"{profile.maker} {profile.model}", d.serial or self._say("none"),
                f"{d.line} {d.unit or d.address}", f"{d.profile} {profile.version}")])
        yield self._table(rows, (28, 36, 30, 24, 26, 34))

    def _walks(self) -> Iterable[Flowable]:
        yield self._p(self._say("walk"), self._head)
        steps = [step for step in self._parts.steps if step.kind == "walk"]
        rows = [[self._p(self._say(f"w.{name}"), self._small) for name in (
            "device", "who", "when", "result", "value", "took")]]
        for step in steps:
            result = self._say(f"r.{step.result}") + (f" · {self._say('r.real')}" if step.real else "") + (
                f" · {self._say('r.delivered')}" if step.delivered else "")
            rows.append([self._p(text, self._small) for text in (
                step.device, step.who, self._when(step.begun_us), result, self._heard(step),
                self._took(step) if step.result == "arrived" else "—")])
        yield self._table(rows, (30, 25, 36, 37, 34, 16)) if steps else self._p(self._say("walk.none"))
        done = {step.device for step in steps if step.result == "arrived"}
        left = [d.id for d in self._site.devices if d.id not in done and d.profile != "tocsin-gateway"]
        if left:
            yield self._p(self._say("walk.left", devices=", ".join(left)))

    def _heard(self, step: WalkStep) -> str:
        """What was heard, by the point's name: no program's words on paper."""
        point = self._parts.inventory.points.get(step.point)
        name = step.point if point is None else point.spec.zh if self._language == "zh" else point.spec.en
        value = self._say(f"v.{step.value}") if step.value in ("True", "False") else step.value
        return " ".join(part for part in (name, value) if part) or "—"

    def _took(self, step: WalkStep) -> str:
        return self._say("at_once") if step.took_ms < 100 else f"{step.took_ms / 1000:.1f} s"

    def _interlocks(self) -> Iterable[Flowable]:
        steps = [step for step in self._parts.steps if step.kind == "interlock"]
        if not self._site.outputs:
            return
        yield self._p(self._say("interlock"), self._head)
        rows = [[self._p(self._say(f"w.{name}"), self._small)
                 for name in ("output", "who", "when", "result", "took")]]
        rows += [[self._p(text, self._small) for text in (
            step.device, step.who, self._when(step.begun_us), self._say(f"r.{step.result}") + (
                f" · {self._say('r.reset')}" if step.note == "reset" else ""),
            f"{step.took_ms / 1000:.1f} s" if step.took_ms else "—")] for step in steps]
        yield self._table(rows, (36, 30, 40, 50, 22)) if steps else self._p(self._say("interlock.none"))
        left = [output.id for output in self._site.outputs if output.id not in {step.device for step in steps}]
        if left and steps:
            yield self._p(self._say("walk.left", devices=", ".join(left)))

    def _photos(self) -> Iterable[Flowable]:
        names = [(step, name) for step in self._parts.steps for name in step.photos][:PHOTOS_SHOWN]
        if not names:
            return
        yield self._p(self._say("photos"), self._head)
        cells: list[list[Flowable]] = []
        for step, name in names:
            try:
                picture = Image(io.BytesIO(self._parts.photo(name)), 54 * mm, 40.5 * mm, kind="proportional")
            except (LocalFault, OSError) as error:
                cells.append([self._p(f"{step.device}: {error}", self._small)])
                continue
            below = f"{step.device} · {self._when(step.begun_us)} · {name[:12]}"
            cells.append([picture, self._p(below, self._small)])
        rows = [cells[n:n + 3] for n in range(0, len(cells), 3)]
        rows[-1] += [[Spacer(1, 1)]] * (3 - len(rows[-1]))
        yield Table(rows, colWidths=[59 * mm] * 3)

    def _lacks(self) -> Iterable[Flowable]:
        yield self._p(self._say("lacks"), self._head)
        if not self._parts.impairments:
            yield self._p(self._say("lacks.none"))
            return
        rows = [[self._p(self._say(f"l.{name}"), self._small) for name in ("kind", "subject", "why", "until")]]
        said = phrases() if self._language == "zh" else {}
        for one in self._parts.impairments:
            kind = KINDS[f"impairment.{one.kind.value}"].in_language(self._language)
            why = f"{said.get(one.why, one.why)} {one.compensation}".strip()
            rows.append([self._p(text, self._small) for text in (
                kind, one.subject, why, self._when(one.expires_us))])
        yield self._table(rows, (36, 44, 62, 36))

    def _signatures(self) -> Iterable[Flowable]:
        rows = [[self._p(self._say(f"s.{who}")), "", self._p(self._say("s.date")), ""] for who in (
            "installer", "owner", "contractor")]
        table = Table(rows, colWidths=[42 * mm, 66 * mm, 22 * mm, 48 * mm], rowHeights=[14 * mm] * 3)
        table.setStyle(TableStyle([("LINEBELOW", (1, 0), (1, -1), 0.6, colors.black),
                                   ("LINEBELOW", (3, 0), (3, -1), 0.6, colors.black), ("VALIGN", (0, 0), (-1, -1),
                                                                                       "BOTTOM")]))
        for word in self._parts.accepted[-3:]:
            same = self._say("accepted.same" if word.hash == self._hash else "accepted.other", hash=word.hash[:16])
            yield self._p(self._say("accepted", who=word.who, when=self._when(word.at_us)) + f" {same} {word.note}")
        yield KeepTogether([self._p(self._say("signatures"), self._head), self._p(self._say("signatures.text",
                                                                                          hash=self._hash)), table])

    @staticmethod
    def _table(rows: list[list[Paragraph]], widths_mm: tuple[float, ...], *, head: bool = True) -> Table:
        table = Table(rows, colWidths=[width * mm for width in widths_mm], repeatRows=1 if head else 0)
        style = [("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#8a94a1")), ("VALIGN", (0, 0), (-1, -1), "TOP"),
                 ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 3)]
        if head:
            style.append(("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#eceff3")))
        table.setStyle(TableStyle(style))
        return table


class _FloorPlan(Flowable):  # type: ignore[misc]  # reportlab brings no types
    """A floor with its devices: on the drawing where it is a picture, on an empty sheet of its size where not."""

    def __init__(self, floor: Floor, marks: list[tuple[str, float, float]], folder: Path) -> None:
        super().__init__()
        plan = floor.plan
        self._marks, self._folder, self._plan = marks, folder, plan
        self._side = (plan.width, plan.height) if plan is not None else (
            max(SHEET[0], *(x for _, x, _ in marks)), max(SHEET[1], *(y for _, _, y in marks)))
        scale = min(178 * mm / self._side[0], 105 * mm / self._side[1])
        self._scale, self.width, self.height = scale, self._side[0] * scale, self._side[1] * scale

    def wrap(self, *_: Any) -> tuple[float, float]:
        """reportlab asks for the size."""
        return self.width, self.height

    def draw(self) -> None:
        """reportlab asks to draw."""
        canvas: Any = self.canv
        canvas.setStrokeColor(colors.HexColor("#8a94a1"))
        canvas.rect(0, 0, self.width, self.height)
        if self._plan is not None:
            file = self._folder / self._plan.file
            if file.suffix.lower() in (".png", ".jpg") and file.is_file():
                canvas.drawImage(str(file), 0, 0, self.width, self.height)
        for name, x, y in self._marks:
            left, top = x * self._scale, self.height - y * self._scale
            canvas.setFillColor(colors.HexColor("#0b57d0"))
            canvas.circle(left, top, 2.2 * mm, stroke=0, fill=1)
            canvas.setFillColor(colors.black)
            canvas.setFont(FONT, 7)
            canvas.drawString(left + 3 * mm, top - 1 * mm, name)
