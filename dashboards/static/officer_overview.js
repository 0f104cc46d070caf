// The district or firm at a glance: counts, risk, league, trends; each name leads one level down, to site and incident.
import { $, begin, make, name, say, tag } from "./live.js";
import { aged, ages, followView, keepOpen, localDay, localTime, round, seconds, until, withScope } from "./officer_live.js";

const NS = "http://www.w3.org/2000/svg";
const mayReport = $("main").dataset.report === "1";
function svg(kind, attributes = {}, text = "") {
  const node = document.createElementNS(NS, kind);
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  if (text) node.textContent = text;
  return node;
}
const down = (part) => { const a = make("a", "", name(part.name) || part.path); a.href = withScope("/overview", part.path); return a; };
// to: where the things stand that were counted.
function tile(label, value, kind = "", note = "", to = "") {
  const dt = make("dt", "", to ? "" : label);
  if (to) { const a = make("a", "", label); a.href = to; dt.append(a); }
  return make("div", `tile ${kind}`, "", dt, make("dd", "", String(value)), ...(note ? [typeof note === "string" ? make("dd", "quiet", note) : note] : []));
}
function table(caption, heads, rows, empty) {
  if (!rows.length) return make("p", "empty", empty);
  const t = make("table", "values"), body = make("tbody");
  t.append(make("caption", "", caption), make("thead", "", "", make("tr", "", "", ...heads.map((h) => { const th = make("th", "", h); th.scope = "col"; return th; }))), body);
  for (const cells of rows) body.append(make("tr", "", "", ...cells.map((c, i) => { const cell = make(i ? "td" : "th"); if (!i) cell.scope = "row"; cell.append(c instanceof Node ? c : document.createTextNode(String(c))); return cell; })));
  const box = make("div", "table-box", "", t); box.tabIndex = 0; box.setAttribute("role", "region"); box.setAttribute("aria-label", caption); return box;
}
const level = (risk) => (risk >= 60 ? "r4" : risk >= 40 ? "r3" : risk >= 20 ? "r2" : risk > 0 ? "r1" : "r0");

// Sites as a grid, worst first: a map that is read without a map, and without coordinates.
function riskGrid(page) {
  const sites = page.sites.slice(0, 400), columns = Math.max(3, Math.min(16, Math.ceil(Math.sqrt(sites.length * 1.6)))), size = 60, gap = 4;
  const rows = Math.ceil(sites.length / columns) || 1;
  const box = svg("svg", { viewBox: `0 0 ${columns * (size + gap)} ${rows * (size + gap)}`, class: "risk-grid", role: "group", width: columns * (size + gap) * 1.3 });
  box.setAttribute("aria-label", say("over.risk"));
  sites.forEach((s, i) => {
    const x = (i % columns) * (size + gap), y = Math.floor(i / columns) * (size + gap);
    const link = svg("a", { href: withScope("/overview", s.path) });
    const label = `${name(s.name)}: ${say("over.risk")} ${round(s.risk, 1)}`; link.setAttribute("aria-label", label);
    link.append(svg("rect", { x, y, width: size, height: size, rx: 6, class: `cell ${level(s.risk)}` }), svg("text", { x: x + size / 2, y: y + 30, class: `cell-risk ${level(s.risk)}` }, round(s.risk, 0)),
      svg("text", { x: x + size / 2, y: y + 50, class: `cell-name ${level(s.risk)}` }, name(s.name).slice(0, 6)), svg("title", {}, label));
    box.append(link);
  });
  return box;
}
// The same where they lie, in degrees, for sites with a position of one datum.
function riskMap(page) {
  const placed = page.sites.filter((s) => typeof s.latitude === "number");
  if (placed.length < 2) return null;
  const lats = placed.map((s) => s.latitude), lons = placed.map((s) => s.longitude), k = Math.cos(lats[0] * Math.PI / 180);
  const w = Math.max(1e-4, (Math.max(...lons) - Math.min(...lons)) * k), h = Math.max(1e-4, Math.max(...lats) - Math.min(...lats)), scale = Math.min(520 / w, 260 / h);
  const box = svg("svg", { viewBox: "0 0 600 320", class: "risk-map", role: "group" }); box.setAttribute("aria-label", say("over.map"));
  for (const s of [...placed].sort((a, b) => a.risk - b.risk)) {
    const x = 300 + (s.longitude - (Math.max(...lons) + Math.min(...lons)) / 2) * k * scale, y = 160 - (s.latitude - (Math.max(...lats) + Math.min(...lats)) / 2) * scale;
    const link = svg("a", { href: withScope("/overview", s.path) }); link.setAttribute("aria-label", `${name(s.name)}: ${round(s.risk, 1)}`);
    link.append(svg("circle", { cx: x, cy: y, r: 14 + s.risk / 6, class: `cell ${level(s.risk)}` }), svg("text", { x, y: y + 5, class: `cell-risk ${level(s.risk)}` }, round(s.risk, 0)), svg("text", { x, y: y + 34 + s.risk / 8, class: "map-name" }, name(s.name)));
    box.append(link);
  }
  return box;
}
function trend(days) {
  const most = Math.max(1, ...days.map((d) => d.fire + d.gas + d.other)), box = svg("svg", { viewBox: "0 0 600 170", class: "trend", role: "img" });
  box.setAttribute("aria-label", say("over.trend.label", { days: days.length, count: days.reduce((n, d) => n + d.fire + d.gas + d.other, 0), most }));
  const w = 560 / days.length;
  box.append(svg("text", { x: 4, y: 14, class: "axis" }, String(most)), svg("line", { x1: 30, x2: 596, y1: 140, y2: 140, class: "base" }));
  days.forEach((d, i) => {
    let y = 140;
    for (const kind of ["other", "gas", "fire"]) { const high = d[kind] / most * 128; y -= high; if (high) box.append(svg("rect", { x: 32 + i * w, y, width: Math.max(2, w - 3), height: high, class: `bar ${kind}` }, "")); }
    if (i % 7 === days.length % 7 || i === days.length - 1) box.append(svg("text", { x: Math.min(572, 32 + i * w + w / 2), y: 160, class: "axis middle" }, localDay(d.at_us + 43.2e9)));
  });
  return box;
}
function legend() {
  return make("p", "legend", "", ...["fire", "gas", "other"].map((k) => make("span", `key ${k}`, say(`over.kind.${k}`))));
}
function section(id, title, ...content) { const s = make("section", "detail"); s.id = id; const h = make("h2", "", title); h.id = `h-${id}`; s.setAttribute("aria-labelledby", h.id); s.append(h, ...content.filter(Boolean)); return s; }

function draw(page) {
  const w = page.whole, v = $("view");
  const crumbs = make("nav", "crumbs"); crumbs.setAttribute("aria-label", say("over.crumbs"));
  page.crumbs.forEach((c, i) => { if (i) crumbs.append(document.createTextNode(" › ")); if (i === page.crumbs.length - 1) { const b = make("b", "", name(c.name)); b.setAttribute("aria-current", "page"); crumbs.append(b); } else crumbs.append(down(c)); });
  const gas = w.gas_worst === null || w.gas_worst === undefined ? "—" : `${round(w.gas_worst, 1)} %LEL`;
  const gasAge = w.gas_at_us ? make("dd", "quiet", "", aged(w.gas_at_us)) : "";
  const tiles = make("dl", "tiles", "",
    tile(say("over.expected"), w.expected, "", "", "#parts"), tile(say("over.connected"), w.connected, w.connected < w.expected ? "warn" : "", "", "#lacks"), tile(say("over.proven"), w.proven ?? 0, (w.proven ?? 0) < w.expected ? "warn" : "", say("over.proven.note"), "#silent"),
    tile(say("over.silent"), w.silent, w.silent ? "bad" : "", say("over.ofsites", { n: w.sites }), "#silent"), tile(say("over.open"), w.open, w.life_safety ? "bad" : "", w.life_safety ? say("over.life", { n: w.life_safety }) : "", "#incidents"),
    tile(say("over.impairments"), w.impairments, w.unwatched ? "warn" : "", w.unwatched ? say("over.unwatched", { n: w.unwatched }) : "", "#lacks"), tile(say("over.overdue"), w.overdue_checks, w.overdue_checks ? "bad" : "", "", "#overdue"),
    tile(say("over.permits"), w.permits, "", "", withScope("/permits", page.scope)), tile(say("over.people"), w.people ?? "—", w.over ? "bad" : "", w.over ? say("over.crowded", { n: w.over }) : say("over.people.note"), withScope("/hot-work", page.scope)),
    tile(say("over.gas"), gas, w.gas_worst >= 10 ? "bad" : "", gasAge, withScope("/hot-work", page.scope)), tile(say("over.handled"), seconds(w.handled_s), "", say("over.handled.note"), "#league"), tile(say("over.false"), w.incidents ? `${Math.round(w.false_alarms / w.incidents * 100)} %` : "—", "", say("over.incidents", { n: w.incidents }), "#ended"));
  const actions = make("p", "buttons");
  if (w.sites === 1 && page.scope.split("/").length === 4) { const a = make("a", "button", say("over.board")); a.href = "/board"; actions.append(a); const hot = make("a", "button", say("officer.hot_work.title")); hot.href = withScope("/hot-work", page.scope); actions.append(hot); }
  if (mayReport) for (const period of ["day", "week", "month"]) for (const kind of ["pdf", "csv"]) { const a = make("a", "button", `${say(`over.report.${period}`)} ${kind.toUpperCase()}`); a.href = `/reports/${period}.${kind}?scope=${encodeURIComponent(page.scope)}&lang=${document.documentElement.lang.slice(0, 2)}`; actions.append(a); }
  const partRow = (p) => [down(p), tag(round(p.risk, 0), level(p.risk)), `${p.proven ?? 0} / ${p.connected} / ${p.expected}`, p.silent ? tag(String(p.silent), "critical") : "0", p.open, p.impairments, p.overdue_checks, p.people ?? "—", p.gas_worst === null || p.gas_worst === undefined ? "—" : `${round(p.gas_worst, 1)} %LEL`];
  const heads = ["name", "risk", "alive", "silent", "open", "impairments", "overdue", "people", "gas"].map((k) => say(`over.col.${k}`));
  const league = [...page.sites].filter((s) => s.incidents).sort((a, b) => (a.handled_s ?? Infinity) - (b.handled_s ?? Infinity));
  const quiet = page.sites.filter((s) => s.silent || s.unproven);
  keepOpen(v, () => v.replaceChildren(crumbs, tiles, actions,
    section("parts", say("over.parts"), table(say("over.parts"), heads, page.parts.map(partRow), say("over.nosites"))),
    section("incidents", say("over.open"), table(say("over.open"), [say("over.col.what"), say("over.col.name"), say("over.col.state"), say("over.col.since"), say("over.col.do")], page.incidents.map(incidentRow), say("over.noincident"))),
    section("risk", say("over.risk"), riskGrid(page), riskMap(page), make("p", "quiet", name(page.formula))),
    section("trend", say("over.trend"), trend(page.days), legend()),
    section("silent", say("over.silentsites"), table(say("over.silentsites"), [say("over.col.name"), say("over.col.heard"), say("over.col.silent"), say("over.col.proof")], quiet.map((s) => [down(s), s.heard_us ? aged(s.heard_us) : say("over.never"), s.silent ? tag(say("over.silent.yes"), "critical") : "–", s.unproven ? tag(say("over.proof.no"), "warning") : "–"]), say("over.nosilent"))),
    section("lacks", say("over.lacks"), table(say("over.lacks"), [say("over.col.what"), say("over.col.name"), say("over.col.since"), say("over.col.whywho"), say("over.col.measure")], page.lacks.map(lackRow), say("over.nolack")), page.more_lacks ? make("p", "quiet", say("over.morelacks", { n: page.more_lacks })) : null),
    section("overdue", say("over.overdue"), table(say("over.overdue"), [say("over.col.what"), say("over.col.name"), say("over.col.person"), say("over.col.due")], page.overdue.map((o) => [whatOf(o), name(o.site_name), o.person || "—", until(o.due_us)]), say("over.nooverdue"))),
    section("league", say("over.league"), table(say("over.league"), [say("over.col.rank"), say("over.col.name"), say("over.col.acknowledged"), say("over.col.handled"), say("over.col.incidents"), say("over.col.false")],
      league.map((s, i) => [s.handled_s === null || s.handled_s === undefined ? "–" : i + 1, down(s), seconds(s.acknowledged_s), seconds(s.handled_s), s.incidents, s.false_alarms]), say("over.noleague")), make("p", "quiet", say("over.league.note"))),
    section("ended", say("over.ended"), table(say("over.ended"), [say("over.col.what"), say("over.col.name"), say("over.col.state"), say("over.col.opened"), say("over.col.acknowledged"), say("over.col.handled"), say("over.col.do")], page.ended.map(endedRow), say("over.noended")))));
  ages();
}
function incidentRow(i) {
  const to = make("a", "", name(i.title)), dossier = make("a", "", say("over.dossier")), rectify = make("a", "", say("over.rectify")), more = make("span", "links");
  to.href = `/incidents/${encodeURIComponent(i.id)}`; dossier.href = `/incidents/${encodeURIComponent(i.id)}/dossier.pdf`;
  rectify.href = `/reports?site=${encodeURIComponent(i.path)}&incident=${encodeURIComponent(i.id)}`;
  more.append(dossier); if (mayReport) more.append(document.createTextNode(" · "), rectify);
  const what = make("span", "", "", tag(say(`severity.${i.severity}`), i.severity), document.createTextNode(" "), to); if (i.drill) what.append(document.createTextNode(" "), tag(say("drill"), "drill"));
  return [what, name(i.place), say(`state.${i.state}`), aged(i.opened_us), more];
}
function lackRow(l) {
  const what = make("span", "", "", tag(say(`impairment.${l.kind}`), l.measure ? "warning" : "critical"), document.createTextNode(` ${name(l.what)} ${name(l.place)}`));
  const measure = l.measure ? make("span", "", l.measure + " ") : make("span", "bad", say("over.nomeasure")); if (l.until_us) measure.append(until(l.until_us));
  const site = make("a", "", name(l.site_name)); site.href = withScope("/overview", l.path);
  return [what, site, aged(l.since_us), [l.who, l.why].filter(Boolean).join(": ") || "—", measure];
}
function endedRow(i) {
  const to = make("a", "", name(i.title)), dossier = make("a", "", say("over.dossier"));
  to.href = `/incidents/${encodeURIComponent(i.id)}`; dossier.href = `/incidents/${encodeURIComponent(i.id)}/dossier.pdf`;
  return [to, name(i.place), say(`state.${i.state}`), localTime(i.opened_us), seconds(i.acknowledged_us ? (i.acknowledged_us - i.opened_us) / 1e6 : null), seconds((i.ended_us - i.opened_us) / 1e6), dossier];
}
function whatOf(o) {
  if (!o.incident) return document.createTextNode(name(o.what));
  const a = make("a", "", name(o.what)); a.href = `/incidents/${encodeURIComponent(o.incident)}`; return a;
}
await begin();
followView("overview", draw);
