// The register: what does not protect, what is silenced, shelved, to be looked at, and what may be one incident.
import { $, OPEN, announce, ask, begin, button, drillBanner, deed, follow, get, make, name, options, pathOf, place, say, siteDeed, tag, texts } from "./live.js";
import { clockTime, shownUs } from "./shown_time.js";
import { places } from "./incident.js";
import { rowsOf } from "./side.js";

const TABS = ["impairments", "silences", "shelf", "inspections", "merge"], EVERY_MS = 5000, PAIR_US = 1800e6, PAIRS_MAX = 60;
const state = { board: null, incidents: new Map(), register: null, failed: false };

function draw() {
  if (!state.board) return;
  const parts = { impairments: impairments(), silences: silences(), shelf: shelf(), inspections: inspections(), merge: merge() };
  for (const tab of TABS) {
    const [count, nodes] = parts[tab], focus = document.activeElement?.dataset?.key;
    $(`count-${tab}`).textContent = count ? `(${count})` : "";
    $(`panel-${tab}`).replaceChildren(...(count || nodes.length ? nodes : []), ...(count ? [] : [make("p", "empty", say("register.none"))]));
    if (focus) $(`panel-${tab}`).querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
  }
  drillBanner([...state.incidents.values()]);
}
const record = (...parts) => make("li", "record", "", ...parts.filter(Boolean));
const keyed = (node, key) => { node.dataset.key = key; return node; };
const until = (us) => make("span", "", `${say("register.until", { time: clockTime(us) })} `);
const siteName = (tenancy) => name((state.board.gateways ?? []).find((g) => pathOf(g.tenancy) === pathOf(tenancy))?.site_name) || tenancy.site;
async function told(going) { const { text, done } = await going; const node = $("outcome"); node.textContent = text; node.className = `outcome ${done ? "ok" : "bad"}`; announce(text); await load(); }
const sites = () => [...new Map((state.board.gateways ?? []).map((g) => [pathOf(g.tenancy), name(g.site_name)])).entries()];

// --- impairments ------------------------------------------------------------------------------------------------

function impairments() {
  const list = make("ul", "rows");
  list.append(...rowsOf("impairments", state.board.impairments ?? [], { say, name, t: texts }));
  for (const v of state.board.impairments ?? []) if (v.impairment.expires_us) list.append(make("li", "quiet", `${v.impairment.subject}: ${say("register.until", { time: clockTime(v.impairment.expires_us) })}`));
  return [(state.board.impairments ?? []).length, (state.board.impairments ?? []).length ? [list] : []];
}

// --- silences and the shelf -------------------------------------------------------------------------------------

function silences() {
  const list = make("ul", "list"), rows = state.register?.silences ?? [];
  for (const s of rows) list.append(record(make("b", "", `${s.name} — ${siteName(s.tenancy)}`), make("span", "", s.matchers.join(", ")), make("span", "", "", until(s.until_us), say("register.by", { who: s.who, why: s.why })),
    make("p", "buttons", "", keyed(button(say("register.end"), () => endSilence(s)), `end-${s.name}`))));
  return [rows.length, [keyed(button(say("register.silence"), newSilence), "silence"), list]];
}
async function newSilence() {
  const given = await ask(say("register.silence"), [{ name: "site", label: say("register.site"), kind: "select", options: sites() }, { name: "name", label: say("register.name"), kind: "text", max: 40 },
    { name: "matchers", label: say("register.matchers"), kind: "textarea" }, { name: "minutes", label: say("register.minutes"), kind: "number", value: 60 }, { name: "text", label: say("reason.label"), kind: "textarea" }]);
  if (given) await told(siteDeed(given.site, "silences", { name: given.name.replaceAll(/[^A-Za-z0-9._-]/g, "-"), matchers: given.matchers.split("\n").map((m) => m.trim()).filter(Boolean), minutes: Math.round(Number(given.minutes)), why: given.text }));
}
async function endSilence(s) {
  const given = await ask(say("register.end"), [{ name: "text", label: say("reason.label"), kind: "textarea" }]);
  if (given) await told(siteDeed(pathOf(s.tenancy), "silences", { name: s.name, matchers: [], why: given.text }));
}

function shelf() {
  const list = make("ul", "list"), rows = state.register?.shelf ?? [];
  for (const s of rows) list.append(record(make("span", "", "", tag(say(`shelf.${s.kind}`)), ` ${s.alarm} — ${siteName(s.tenancy)}`), make("span", "", "", until(s.until_us), say("register.by", { who: s.who, why: s.why })),
    make("p", "buttons", "", keyed(button(say("register.take"), () => takeOff(s)), `take-${s.alarm}`))));
  return [rows.length, [keyed(button(say("register.shelve"), shelve), "shelve"), list]];
}
async function shelve() {
  const alarms = [...state.incidents.values()].filter(OPEN).flatMap((i) => (i.alarms ?? []).map((a) => [`${pathOf(i.tenancy)} ${a.rule}|${a.subject ?? ""}`, `${name(a.title)} — ${place(i)} · ${name(a.place)}`])).slice(0, 500);
  const given = await ask(say("register.shelve"), [{ name: "alarm", label: say("register.alarm"), kind: "select", options: alarms }, { name: "kind", label: say("register.kind"), kind: "select", options: options("shelf", ["shelved", "suppressed", "out_of_service"]) },
    { name: "minutes", label: say("register.minutes"), kind: "number", value: 60 }, { name: "text", label: say("reason.label"), kind: "textarea" }]);
  if (!given) return;
  const at = given.alarm.indexOf(" ");
  await told(siteDeed(given.alarm.slice(0, at), "shelf", { alarm: given.alarm.slice(at + 1), kind: given.kind, minutes: Math.round(Number(given.minutes)), why: given.text }));
}
async function takeOff(s) {
  const given = await ask(say("register.take"), [{ name: "text", label: say("reason.label"), kind: "textarea" }]);
  if (given) await told(siteDeed(pathOf(s.tenancy), "shelf", { alarm: s.alarm, kind: "", why: given.text }));
}

// --- inspections ------------------------------------------------------------------------------------------------

function inspections() {
  const list = make("ul", "list"), rows = state.register?.inspections ?? [];
  for (const { tenancy, inspection: x } of rows) {
    const st = x.state ?? "given", late = st === "given" && x.due_us < shownUs(), items = make("ol");
    x.items.forEach((item, k) => { const r = x.results?.[k]; items.append(make("li", r && !r.passed ? "bad" : "", `${name(item)}${r ? ` — ${r.passed ? say("inspection.pass") : r.note || "✗"}` : ""}`)); });
    const buttons = make("p", "buttons");
    if (st === "given") buttons.append(keyed(button(say("register.fill"), () => fill(tenancy, x), "primary"), `fill-${x.id}`));
    if (st === "done") buttons.append(keyed(button(say("register.accept"), () => judge(tenancy, x, true), "primary"), `accept-${x.id}`), keyed(button(say("register.sendback"), () => judge(tenancy, x, false)), `back-${x.id}`));
    const bad = (x.results ?? []).filter((r) => !r.passed).length;
    list.append(record(make("span", "", "", tag(say(late ? "inspection.overdue" : `inspection.${st}`), late ? "critical" : ""), " ", make("b", "", name(x.title)), ` — ${siteName(tenancy)} · ${x.subject}`),
      make("span", "", `${x.raised_by} → ${x.person} · ${say("register.until", { time: new Date(x.due_us / 1000).toLocaleString(document.documentElement.lang, { hour12: false }) })}${st === "given" ? "" : ` · ${x.done_by}: ${bad ? say("inspection.found", { n: bad }) : say("inspection.passed")}`}`),
      x.back ? make("span", "bad", x.back) : null, items, buttons));
  }
  return [rows.length, [keyed(button(say("register.inspect"), raise), "inspect"), list]];
}
async function raise() {
  const books = (await Promise.all((state.board.gateways ?? []).map((g) => places(g.tenancy).catch(() => null)))).filter(Boolean);
  const subjects = books.flatMap((b) => [...b.zones.map((z) => [`${pathOf(b.tenancy)} ${z.id}`, `${name(b.name)} · ${name(z.building_name)} · ${name(z.name)}`]), ...b.devices.map((d) => [`${pathOf(b.tenancy)} ${d.id}`, `${name(b.name)} · ${name(d.place)} (${d.id})`])]);
  const given = await ask(say("register.inspect"), [{ name: "subject", label: say("register.subject"), kind: "select", options: subjects }, { name: "title", label: say("do.title"), kind: "text", max: 120 },
    { name: "items", label: say("register.items"), kind: "textarea", max: 4000 }, { name: "person", label: say("register.person"), kind: "text", max: 80 }, { name: "days", label: say("register.days"), kind: "number", value: 7 }]);
  if (!given) return;
  const at = given.subject.indexOf(" "), both = (text) => ({ en: text, zh: text });
  await told(siteDeed(given.subject.slice(0, at), "inspections", { deed: { type: "raise_inspection", title: both(given.title), subject: given.subject.slice(at + 1),
    items: given.items.split("\n").map((i) => i.trim()).filter(Boolean).map(both), person: given.person, within_us: Math.round(Number(given.days)) * 86400e6 } }));
}
async function fill(tenancy, x) {
  const given = await ask(name(x.title), x.items.flatMap((item, k) => [{ name: `p${k}`, label: name(item), kind: "select", options: [["yes", say("inspection.pass")], ["no", "✗"]] }, { name: `n${k}`, label: say("inspection.note"), kind: "text", optional: true, max: 200 }]));
  if (given) await told(siteDeed(pathOf(tenancy), "inspections", { deed: { type: "fill_inspection", inspection: x.id, results: x.items.map((_, k) => ({ passed: given[`p${k}`] === "yes", note: given[`n${k}`] })) } }));
}
async function judge(tenancy, x, accept) {
  let why = "";
  if (!accept) { const given = await ask(say("register.sendback"), [{ name: "text", label: say("reason.label"), kind: "textarea" }]); if (!given) return; why = given.text; }
  await told(siteDeed(pathOf(tenancy), "inspections", { deed: { type: "judge_inspection", inspection: x.id, accept, why } }));
}

// --- what may be one incident -----------------------------------------------------------------------------------

const family = (i) => ({ call_point: "fire", gas_high: "gas" }[i.hazard] ?? i.hazard);
export function pairs(incidents) {
  const groups = new Map();
  for (const i of incidents) if (OPEN(i)) { const key = `${pathOf(i.tenancy)}|${family(i)}|${Boolean(i.drill)}`; groups.set(key, [...(groups.get(key) ?? []), i]); }
  const found = [];
  for (const group of groups.values()) {
    group.sort((a, b) => a.opened_us - b.opened_us);
    for (let k = 1; k < group.length && found.length < PAIRS_MAX; k += 1) if (group[k].opened_us - group[k - 1].opened_us <= PAIR_US) found.push([group[k - 1], group[k]]);
  }
  return found;
}
function merge() {
  const list = make("ul", "list"), found = pairs(state.incidents.values());
  for (const [a, b] of found) {
    const where = a.zone === b.zone ? "zone" : name(a.building) !== name(b.building) ? "site" : name(a.floor) === name(b.floor) ? "floor" : "building";
    const link = (i) => { const node = make("a", "", `${say(`hazard.${i.hazard}`)} · ${place(i)} · ${clockTime(i.opened_us)}`); node.href = `/incidents/${encodeURIComponent(i.id)}`; return node; };
    list.append(record(link(a), link(b), make("span", "quiet", say("register.merge.why", { minutes: Math.round((b.opened_us - a.opened_us) / 60e6), where: say(`register.same.${where}`) })),
      make("p", "buttons", "", keyed(button(say("register.domerge"), async () => {
        const given = await ask(say("register.domerge"), [{ name: "text", label: say("reason.label"), kind: "textarea" }]);
        if (given) await told(deed(b.id, { type: "merge", into: a.id }, given.text));
      }), `merge-${b.id}`))));
  }
  return [found.length, [list]];
}

// --- tabs and data ----------------------------------------------------------------------------------------------

function setUpTabs() {
  const tabs = TABS.map((tab) => $(`tab-${tab}`));
  const choose = (tab, focus = false) => {
    for (const [k, node] of tabs.entries()) { const on = TABS[k] === tab; node.setAttribute("aria-selected", String(on)); node.tabIndex = on ? 0 : -1; $(`panel-${TABS[k]}`).hidden = !on; if (on && focus) node.focus(); }
    history.replaceState(null, "", `#${tab}`);
  };
  tabs.forEach((node, k) => {
    node.onclick = () => choose(TABS[k]);
    node.onkeydown = (e) => { const to = { ArrowRight: k + 1, ArrowLeft: k - 1, Home: 0, End: TABS.length - 1 }[e.key]; if (to !== undefined) { e.preventDefault(); choose(TABS[(to + TABS.length) % TABS.length], true); } };
  });
  if (TABS.includes(location.hash.slice(1))) choose(location.hash.slice(1));
}
async function load() {
  try { state.register = await get("/api/register"); state.failed = false; } catch (error) { console.warn("register", error); state.failed = true; }
  draw();
}

await begin();
setUpTabs();
setInterval(load, EVERY_MS);
load();
await follow({
  board(board) { state.board = board; state.incidents = new Map(board.incidents.map((i) => [i.id, i])); draw(); },
  incident(card) { if (OPEN(card)) state.incidents.set(card.id, card); else state.incidents.delete(card.id); },
  list(kind, list) { if (state.board && kind in state.board) { state.board[kind] = list; if (kind === "impairments") draw(); } },
});
