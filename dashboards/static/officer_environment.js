// Air, dust, noise and water of a place over 30 days, hour by hour, against the standards. /public shows the same of
// published sites only.
import { $, announce, ask, begin, button, get, make, name, post, say, tag } from "./live.js";
import { aged, ages, localDay, localTime, round, scope, until } from "./officer_live.js";
import { unit } from "./plot.js";
import { anchor } from "./shown_time.js";

const NS = "http://www.w3.org/2000/svg", open = $("main").dataset.public === "1", mayset = $("main").dataset.ask === "1";
const EVERY_MS = 60000, OLD_HOURS = 3;
let page = null, loaded = 0, path = new URLSearchParams(location.search).get("site") ?? "";
function svg(kind, attributes = {}, text = "") { const n = document.createElementNS(NS, kind); for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v); if (text) n.textContent = text; return n; }

const over = (line) => line.limits.reduce((n, f) => n + f.exceeded, 0);
const inLimit = (v, l) => `${round(v * l.factor)} ${unit(l.unit)}`;
function plotOf(line) {
  const values = line.hours.map((h) => h[1]), limits = line.limits.filter((f) => !f.limit.until || Date.parse(f.limit.until) * 1000 > page.at_us).flatMap(({ limit: l }) => [l.most, l.least, l.night_most].filter((v) => typeof v === "number").map((v) => v / l.factor));
  const low = Math.min(...values, ...limits), high = Math.max(...values, ...limits), t0 = page.from_us, t1 = page.at_us;
  const x = (us) => ((us - t0) / (t1 - t0) * 600).toFixed(1), y = (v) => (104 - (v - low) / (high - low || 1) * 96).toFixed(1);
  const p = svg("svg", { viewBox: "0 0 600 112", preserveAspectRatio: "none", class: "series", role: "img" });
  p.setAttribute("aria-label", `${name(line.name)}: ${round(Math.min(...values))} – ${round(Math.max(...values))} ${unit(line.unit)}, ${say("env.exceeded", { n: over(line) })}`);
  for (const v of limits) p.append(svg("line", { class: "limit", x1: 0, x2: 600, y1: y(v), y2: y(v) }));
  let d = "", before = 0;
  for (const [us, v] of line.hours) { d += `${us - before <= 3.6e9 ? "L" : "M"}${x(us)} ${y(v)}`; before = us; } // a missing hour breaks the line
  p.append(svg("path", { class: "trace", d }));
  for (const f of line.limits) for (const [us, v] of f.shown) p.append(svg("rect", { class: "over", x: Number(x(us)) - 1.5, y: Number(y(v)) - 2, width: 3, height: 4 }));
  return p;
}
function lineOf(line) {
  const node = make("article", "detail"), head = make("h3", "", `${name(line.title)} · ${name(line.name)} · ${name(line.zone)} `);
  if (line.limits.length) head.append(tag(say("env.exceeded", { n: over(line) }), over(line) ? "critical" : "good"));
  node.append(head);
  if (!line.hours.length) { node.append(make("p", "empty", say("env.nodata"))); return node; }
  const now = make("p", "measured", "", make("b", "value", `${round(line.last)} ${unit(line.unit)} `), aged(line.last_us));
  const old = page.at_us - line.last_us > OLD_HOURS * 3.6e9, age = now.querySelector("[data-old]"); delete age.dataset.old; age.classList.toggle("old", old);
  if (old) now.append(document.createTextNode(" "), tag(say("env.old"), "drill"));
  const values = line.hours.map((h) => h[1]);
  node.append(now, plotOf(line), make("p", "quiet", `${localDay(page.from_us)} – ${localDay(page.at_us)} · ${round(Math.min(...values))} – ${round(Math.max(...values))} ${unit(line.unit)} · ${say("env.hours", { n: line.hours.length })}`));
  const other = line.limits.find((f) => f.limit.factor !== 1); // ppm of an instrument, µg/m³ of a standard
  if (other) now.firstChild.after(make("span", "quiet", `= ${inLimit(line.last, other.limit)} `));
  if (!line.limits.length) node.append(make("p", "quiet", say("env.nolimit")));
  for (const { limit: l, exceeded, shown } of line.limits) {
    const numbers = [typeof l.most === "number" ? `≤ ${l.most}` : "", typeof l.night_most === "number" ? `${say("env.night")} ≤ ${l.night_most}` : "", typeof l.least === "number" ? `≥ ${l.least}` : ""].filter(Boolean).join("、");
    const dates = [l.since ? say("env.since", { day: l.since }) : "", l.until ? say("env.until", { day: l.until }) : ""].filter(Boolean).join("、");
    node.append(make("p", "quiet", `${say("env.limit")} ${numbers} ${unit(l.unit)} · ${name(l.source)} (${l.certainty})${dates ? ` · ${dates}` : ""} · ${say("env.exceeded", { n: exceeded })}`));
    if (!shown.length) continue;
    const box = make("details"); box.append(make("summary", "", `${say("env.list")}: ${name(l.source)}`));
    const list = make("ul", "list"); for (const [us, v] of [...shown].reverse()) list.append(make("li", "", `${l.over === 24 ? localDay(us) : localTime(us)}  ${inLimit(v, l)}`));
    box.append(list); node.append(box);
  }
  return node;
}
function published(site) {
  const line = make("p", "buttons", "", make("span", "", site.published_us ? `${say("env.public")} ${localTime(site.published_us)} ${site.published_by}` : say("env.notpublic")));
  if (mayset) line.append(button(say(site.published_us ? "env.hide" : "env.show"), async () => {
    const values = await ask(say(site.published_us ? "env.hide" : "env.show"), [{ name: "why", label: say("permit.why"), kind: "textarea" }]);
    if (!values) return;
    const { done, text } = await post(`/api/sites/${site.path}/publish`, { on: !site.published_us, why: values.why }, `publish/${site.path}/${!site.published_us}/${values.why}`);
    $("outcome").textContent = text; announce(text); if (done) await load();
  }));
  return line;
}
function draw() {
  const select = make("select"); select.id = "site";
  for (const s of page.sites) { const o = make("option", "", name(s.name)); o.value = s.path; o.selected = s.path === page.path; select.append(o); }
  select.onchange = () => { path = select.value; load(); };
  const label = make("label", "", say("permit.site")); label.htmlFor = "site";
  const parts = page.sites.length ? [make("p", "field", "", label, document.createTextNode(" "), select)] : [make("p", "empty", say(open ? "env.nothingpublic" : "env.none"))];
  const site = page.sites.find((s) => s.path === page.path);
  if (site && !open) parts.push(published(site));
  if (site) {
    const box = make("section", "detail", "", make("h2", "", say("env.rectify"))), list = make("ul", "list");
    for (const r of page.rectifications) { const li = make("li", "", `${r.number} · ${say("rep.deadline")} ${localTime(r.due_us)} `); li.append(r.done_us ? tag(say("rep.done"), "good") : until(r.due_us)); list.append(li); }
    box.append(page.rectifications.length ? list : make("p", "empty", say("env.norectify"))); parts.push(box);
  }
  if (page.lines.some((l) => l.limits.length)) parts.push(make("p", "quiet", say("env.check")));
  for (const group of ["air", "dust", "noise", "water", "weather"]) {
    const lines = page.lines.filter((l) => l.group === group);
    if (lines.length) parts.push(make("h2", "", say(`env.group.${group}`)), ...lines.map(lineOf));
  }
  $("view").replaceChildren(...parts); ages();
}
async function load() {
  try {
    const query = new URLSearchParams(); if (path) query.set("site", path); if (!open && scope()) query.set("scope", scope());
    const next = await get(`${open ? "/api/public" : "/api/environment"}?${query}`);
    if (!next) { $("view").replaceChildren(make("p", "empty", say("officer.noplace"))); return; }
    page = next; loaded = performance.now(); anchor(page.at_us, 1); draw();
  } catch (error) { console.warn("no environment", error); }
}
function tick() {
  if (!page) return;
  ages();
  const old = performance.now() - loaded > 3 * EVERY_MS;
  $("link").className = `link ${old ? "stale" : "live"}`; $("banner").hidden = !old; $("banner").textContent = old ? say("rep.lost") : "";
  $("link").textContent = say("rep.asof", { time: new Date(page.at_us / 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
}
await begin();
await load();
setInterval(load, EVERY_MS); setInterval(tick, 1000); tick();
