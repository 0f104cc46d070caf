// Rule packs: each rule in words with its standard; a number of this site is tested over what was recorded, then switched on.
import { $, announce, ask, begin, button, get, make, name, post, say, tag } from "./live.js";
import { localTime, pair, round, scope, withScope } from "./officer_live.js";
import { unit } from "./plot.js";
import { anchor } from "./shown_time.js";

const NS = "http://www.w3.org/2000/svg", mayset = $("main").dataset.ask === "1";
const OPEN = new Set(["asked", "approved", "sent", "waiting", "probation"]), GOOD = new Set(["running"]), BAD = new Set(["refused", "rolled_back", "unknown"]);
const me = document.querySelector(".tools form .you")?.textContent ?? "";
const AGAIN_MS = 5000; // what gateways say is news while a change is on its way
let page = null, seen = "", timer = 0;
function told(done, words) { $("outcome").textContent = words; $("outcome").className = `outcome ${done ? "" : "bad"}`; announce(words); }
function svg(kind, attributes = {}) { const n = document.createElementNS(NS, kind); for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v); return n; }

function plotOf(line, test, marks = []) {
  const known = line.samples.filter((s) => s[1] !== null);
  const box = make("figure", "", "", make("figcaption", "", `${line.point} ${unit(line.unit)}`));
  if (known.length < 2) return box;
  const low = Math.min(...known.map((s) => s[1])), high = Math.max(...known.map((s) => s[1])), t0 = test.from_us, t1 = test.to_us;
  const x = (us) => ((us - t0) / (t1 - t0) * 600).toFixed(1), y = (v) => (96 - (v - low) / (high - low || 1) * 84).toFixed(1);
  const p = svg("svg", { viewBox: "0 0 600 110", preserveAspectRatio: "none", class: "series", role: "img" });
  p.setAttribute("aria-label", `${line.point}: ${round(low)} – ${round(high)} ${unit(line.unit)}`);
  let d = "", pen = false;
  for (const [us, v] of line.samples) { if (v === null) { pen = false; continue; } d += `${pen ? "L" : "M"}${x(us)} ${y(v)}`; pen = true; }
  p.append(svg("path", { class: "trace", d }));
  for (const [kind, us] of marks) p.append(svg("rect", { class: kind, x: x(us), y: 0, width: 2, height: 108 }));
  for (const [kind, alarms] of [["new", test.new], ["gone", test.gone]]) for (const a of alarms) if (a.subject === line.point || !a.subject.includes("."))
    p.append(svg("rect", { class: kind, x: x(a.at_us), y: 100, width: Math.max(3, Number(x(a.ended_us || t1)) - Number(x(a.at_us))), height: 8 }));
  if (marks.length) box.append(p, make("p", "quiet", `${seconds(t0 / 1e6)} – ${seconds(t1 / 1e6)} · ${round(low)} – ${round(high)} ${unit(line.unit)}`));
  else box.append(p, make("p", "quiet", `${localTime(t0)} – ${localTime(t1)} · ${round(low)} – ${round(high)} ${unit(line.unit)}`));
  return box;
}
const seconds = (s) => { const a = Math.abs(s); return a < 120 ? `${round(s)} ${say("s")}` : a < 7200 ? `${round(s / 60)} ${say("min")}` : `${round(s / 3600)} ${say("h")}`; };
const moved = (s) => (s === 0 ? say("pack.same") : say(s < 0 ? "pack.earlier" : "pack.later", { by: seconds(Math.abs(s)) }));
function recordedOf(r) {
  const box = make("section", "stack", "", make("h4", "", say("pack.recorded")));
  if (r.fault) box.append(make("p", "bad", r.fault));
  if (!r.events) { box.append(make("p", "quiet", say("pack.recorded.none"))); return box; }
  box.append(make("p", "", say("pack.recorded.sum", { n: r.events, runs: r.experiments, before: r.found_before, after: r.found_after, later: moved(r.later_s), fb: r.false_before, fa: r.false_after })));
  if (r.missed) box.append(make("p", "bad", say("pack.recorded.missed", { n: r.missed })));
  if (r.cut) box.append(make("p", "quiet", say("pack.recorded.cut")));
  for (const run of r.runs) for (const line of run.lines) {
    const t0 = line.samples[0][0], t1 = line.samples.at(-1)[0], marks = [];
    for (const [kind, delay] of [["was", run.before_s], ["new", run.after_s]]) if (delay !== null) marks.push([kind, (run.start_s + delay) * 1e6]);
    box.append(plotOf({ ...line, point: `${run.set} ${run.experiment} · ${line.point}` }, { from_us: t0, to_us: t1, new: [], gone: [] }, marks.length ? marks : [["none", t0]]));
  }
  if (r.runs.some((run) => run.lines.length)) box.append(make("p", "legend", "", make("span", "key gone", say("pack.mark.before")), make("span", "key fire", say("pack.mark.after"))));
  const table = make("table", "grid"), head = make("tr");
  for (const key of ["experiment", "event", "before", "after", "moved"]) { const th = make("th", "", say(`pack.col.${key}`)); th.scope = "col"; head.append(th); }
  table.append(make("thead", "", "", head));
  const body = make("tbody");
  for (const run of r.runs) body.append(make("tr", "", "", make("td", "", `${run.set} ${run.experiment}`), make("td", "", run.kind || run.event),
    ...[run.before_s, run.after_s].map((s) => make("td", s === null ? "bad" : "", s === null ? say("pack.missed") : seconds(s))),
    make("td", "", run.before_s === null || run.after_s === null ? "–" : moved(run.after_s - run.before_s))));
  table.append(body);
  box.append(make("div", "scroll", "", table));
  box.lastChild.tabIndex = 0; box.lastChild.role = "region"; box.lastChild.ariaLabel = say("pack.recorded");
  return box;
}
function alarms(title, list, kind) {
  const box = make("div", "", "", make("h4", "", `${title}: ${list.length}`)), rows = make("ul", "list");
  for (const a of list.slice(0, 30)) rows.append(make("li", kind, `${a.subject} · ${localTime(a.at_us)} – ${a.ended_us ? localTime(a.ended_us) : say("pack.stands")}${kind === "same" ? ` · ${moved(a.later_s)}` : ""}`));
  box.append(rows); return box;
}
function resultOf(test, node) {
  if (test.state === "running") { node.replaceChildren(make("p", "quiet", say("pack.running"))); return; }
  if (test.state === "failed") { node.replaceChildren(make("p", "bad", `${say("pack.failed")} ${test.fault}`)); return; }
  const head = make("p", "", `${test.name}: ${test.before} → ${test.value} · ${say("pack.held", { n: test.samples, from: localTime(test.from_us), to: localTime(test.to_us) })}`);
  const own = test.samples ? [make("p", "legend", "", make("span", "key fire", say("pack.new")), make("span", "key gone", say("pack.gone"))), ...test.lines.map((l) => plotOf(l, test)), alarms(say("pack.new"), test.new, "bad"), alarms(say("pack.gone"), test.gone, ""), alarms(say("pack.kept"), test.kept, "same")] : [];
  node.replaceChildren(head, ...own, recordedOf(test.recorded));
  if (test.refusal) { node.append(make("p", "bad", test.refusal)); return; }
  if (!test.samples) node.append(make("p", "bad", say(test.recorded.events ? "pack.nosamples.own" : "pack.nosamples")));
  node.append(button(say("pack.ask"), async () => {
    const values = await ask(`${say("pack.ask")}: ${test.rule} ${test.name} = ${test.value}`, [{ name: "why", label: say("permit.why"), kind: "textarea" }]);
    if (!values) return;
    const { done, text } = await post(`/api/backtests/${test.id}/ask`, { why: values.why }, `ask/${test.id}/${values.why}`);
    told(done, done ? say("pack.asked") : text); if (done) await load(page.path);
  }, "primary"));
}
async function change(rule, p, node) {
  const values = await ask(`${name(rule.title)} · ${p.name}`, [
    { name: "value", label: `${name(p.meaning)} [${p.least || "…"} – ${p.most || "…"}]`, kind: "text", value: p.value, max: 60 },
    { name: "hours", label: say("pack.hours"), kind: "number", value: 24 }]);
  if (!values) return;
  const { done, result, text } = await post(`/api/sites/${page.path}/backtests`, { rule: rule.id, name: p.name, value: values.value, hours: Number(values.hours) }, `test/${rule.id}/${p.name}/${values.value}/${values.hours}/${Date.now()}`);
  if (!done) { told(false, text); node.replaceChildren(make("p", "bad", text)); return; }
  told(true, say("pack.running"));
  let test = result; resultOf(test, node);
  while (test.state === "running") { await new Promise((r) => setTimeout(r, 400)); test = (await get(`/api/backtests/${test.id}`)) ?? { ...test, state: "failed", fault: "" }; }
  resultOf(test, node); told(test.state === "done", say(test.state === "done" ? "pack.done" : "pack.failed"));
}
function ruleOf(rule) {
  const node = make("article", "rule"), head = make("h3", "", `${name(rule.title)} `), result = make("div", "stack");
  head.append(tag(say(`severity.${rule.severity}`), rule.severity)); if (rule.at_once) head.append(document.createTextNode(" "), tag(say("pack.law"), "critical"));
  node.append(head, make("p", "", `${say("pack.when")} ${name(rule.words)}`), make("p", "", `${say("pack.ends")} ${name(rule.clears)}`), make("p", "quiet", `${say("pack.source")} ${rule.source} (${rule.certainty}) · ${rule.id} · ${say("pack.subjects", { n: rule.subjects })}`));
  const list = make("div", "params");
  for (const p of rule.parameters) {
    const line = make("div", "param", "", make("code", "", p.name), p.running ? make("b", "", p.running) : make("b", "bad", say("pack.unknown")), make("span", "", name(p.meaning)), make("span", "quiet", `${say("pack.bounds")} ${p.least || "…"} – ${p.most || "…"}${p.value === p.default ? "" : ` · ${say("pack.default", { value: p.default })}`}`));
    if (p.running !== p.value) line.append(make("span", "quiet", say("pack.here", { value: p.value })));
    for (const c of page.changes) if (c.rule === rule.id && c.name === p.name && OPEN.has(c.state)) line.append(tag(say("pack.wanted", { value: c.value, state: say(`pack.state.${c.state}`) }), "warning"));
    if (mayset) line.append(button(say("pack.test"), () => change(rule, p, result)));
    list.append(line);
  }
  for (const c of rule.changes) list.append(make("p", "quiet", `${localTime(c.at_us)} ${c.who}: ${c.name} ${c.before} → ${c.value} (${say("pack.version", { n: c.version })}) — ${c.why}`));
  node.append(list, result);
  return node;
}
function changeOf(c) {
  const node = make("article", "rule change"), head = make("h3", "", `${name(c.title)}: ${c.name} ${c.before} → ${c.value} `), f = c.found;
  head.append(tag(say(`pack.state.${c.state}`), GOOD.has(c.state) ? "good" : BAD.has(c.state) ? "critical" : "warning"));
  node.append(head, make("p", "", say("pack.by", { who: c.who, time: localTime(c.at_us), why: c.why })));
  node.append(make("p", "quiet", say("pack.rests", { n: f.samples, kept: f.kept, gone: f.gone, new: f.new })));
  if (f.recorded) node.append(make("p", "quiet", say("pack.rests.recorded", { n: f.recorded, before: f.recorded_before, after: f.recorded_after })));
  if (c.approved_by) node.append(make("p", "", say("pack.approved", { who: c.approved_by, version: c.version })));
  if (["declined", "withdrawn"].includes(c.state)) node.append(make("p", "", say(`pack.${c.state}`, { who: c.judged_by, time: localTime(c.judged_us), why: c.judged_why })));
  if (c.sent_us) node.append(make("p", "quiet", say("pack.sent", { time: localTime(c.sent_us) })));
  if (c.told) node.append(make("p", "bad", `${say("pack.told")} ${c.told}`));
  if (c.state === "by_hand") node.append(make("p", "", say("pack.byhand")), make("code", "command", page.gateway.command));
  const judge = (yes, word) => button(say(word), async () => {
    const values = await ask(`${say(word)}: ${c.rule} ${c.name} = ${c.value}`, [{ name: "why", label: say("permit.why"), kind: "textarea" }]);
    if (!values) return;
    const { done, text } = await post(`/api/numbers/${c.id}`, { yes, why: values.why }, `judge/${c.id}/${yes}/${values.why}`);
    told(done, done ? say(yes ? "pack.yes.done" : "pack.no.done") : text); if (done) await load(page.path);
  }, yes ? "primary" : "");
  if (mayset && OPEN.has(c.state) && c.state !== "probation") {
    const row = make("div", "buttons"), mine = me && me === c.who;
    if (c.state === "asked") row.append(mine ? make("span", "quiet", say("pack.second")) : judge(true, "pack.yes"));
    row.append(judge(false, mine || c.state !== "asked" ? "pack.withdraw" : "pack.no"));
    node.append(row);
  }
  return node;
}
function changesOf() {
  const g = page.gateway, box = make("section", "card"), open = page.changes.filter((c) => OPEN.has(c.state)).length;
  box.append(make("h2", "", say("pack.changes", { n: open })));
  if (g) {
    const line = make("p", "", `${g.gateway}: `);
    if (!g.said_us) line.append(tag(say("pack.gateway.nothing"), "warning"));
    else line.append(tag(say(g.known ? "pack.gateway.known" : "pack.gateway.unknown"), g.known ? "good" : "critical"), document.createTextNode(` ${say(g.takes ? "pack.gateway.takes" : "pack.gateway.takesnot")} · ${say("pack.gateway.said", { time: localTime(g.said_us) })}`));
    if (g.silent) line.append(document.createTextNode(" "), tag(say("pack.gateway.silent"), "critical"));
    box.append(line);
  }
  box.append(...(page.changes.length ? page.changes.map(changeOf) : [make("p", "empty", say("pack.nochanges"))]));
  return box;
}
function packOf(pack) {
  const box = make("details", "detail"); box.id = `pack-${pack.id}`;
  const changed = pack.rules.reduce((n, r) => n + r.parameters.filter((p) => p.value !== p.default).length, 0);
  box.append(make("summary", "", `${name(pack.title)} (${pack.id}) · ${say("pack.count", { n: pack.rules.length })}${changed ? ` · ${say("pack.changed", { n: changed })}` : ""}`), ...pack.rules.map(ruleOf));
  return box;
}
async function load(path = new URLSearchParams(location.search).get("site") ?? "") {
  try {
    const open = [...document.querySelectorAll("details[open][id]")].map((d) => d.id);
    page = await get(`${withScope("/api/packs")}${scope() ? "&" : "?"}site=${encodeURIComponent(path)}`);
    if (!page) { $("view").replaceChildren(make("p", "empty", say("officer.noplace"))); return; }
    anchor(page.at_us, 1);
    const site = make("select"); site.id = "site";
    for (const s of page.sites) { const o = make("option", "", name(s.name)); o.value = s.path; o.selected = s.path === page.path; site.append(o); }
    site.onchange = () => load(site.value);
    const label = make("label", "", say("permit.site")); label.htmlFor = "site";
    $("view").replaceChildren(make("p", "field", "", label, document.createTextNode(" "), site), make("p", "quiet", say("pack.how")), ...(page.path ? [changesOf()] : []), ...(page.packs.length ? page.packs.map(packOf) : [make("p", "empty", say("over.nosites"))]));
    for (const id of open) { const d = document.getElementById(id); if (d) d.open = true; }
    $("link").className = "link live"; $("link").textContent = say("rep.asof", { time: new Date(page.at_us / 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
    $("banner").hidden = true;
    seen = JSON.stringify([page.gateway, page.changes]);
    watch();
  } catch (error) {
    console.warn("no packs", error);
    $("link").className = "link stale"; $("link").textContent = say("link.stale"); $("banner").hidden = false; $("banner").textContent = say("rep.lost");
    setTimeout(load, 3000, path);
  }
}
// Looked at again while nobody writes in a dialog or reads a back-test; drawn again only when something changed.
function watch() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    let fresh = null;
    try { fresh = await get(`${withScope("/api/packs")}${scope() ? "&" : "?"}site=${encodeURIComponent(page.path)}`); } catch (error) { console.warn("no packs", error); }
    if (!fresh) { $("link").className = "link stale"; $("link").textContent = say("link.stale"); $("banner").hidden = false; $("banner").textContent = say("rep.lost"); watch(); return; }
    const busy = document.querySelector("dialog[open]") || document.querySelector(".rule .stack:not(:empty)");
    if (!busy && JSON.stringify([fresh.gateway, fresh.changes]) !== seen) { await load(page.path); return; }
    $("link").className = "link live"; $("banner").hidden = true;
    $("link").textContent = say("rep.asof", { time: new Date(fresh.at_us / 1000).toLocaleTimeString(document.documentElement.lang, { hour12: false }) });
    watch();
  }, AGAIN_MS);
}
void pair;
await begin();
await load();
