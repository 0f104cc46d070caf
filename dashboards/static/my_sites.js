// My sites: what needs me first, then each site with its people, what is out of service, its meters. Phone width first.
import { $, announce, ask, begin, button, follow, get, make, name, post, say, tag, texts } from "./live.js";
import { clockTime, duration, shownUs } from "./shown_time.js";
import { words } from "./words.js";

const state = { page: null, kind: "", usage: new Map(), told: new Map(), busy: false, wanted: false, timer: 0 };
const dayTime = (us) => new Date(us / 1000).toLocaleString(document.documentElement.lang, { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
const keyed = (node, key) => { node.dataset.key = key; return node; };
const dated = (node, us, over) => { node.dataset.until = us; node.dataset.left = "estate.due"; node.dataset.over = over; return node; };

async function load() {
  if (state.busy) { state.wanted = true; return; }
  state.busy = true;
  try { state.page = await get("/api/my-sites"); draw(); } catch (error) {
    console.warn(error); if (!state.page) for (const id of ["needs", "sites"]) $(id).replaceChildren(make(id === "needs" ? "li" : "p", "empty bad", say("estate.failed")));
  } finally { state.busy = false; if (state.wanted) { state.wanted = false; soon(); } }
}
function soon() { clearTimeout(state.timer); state.timer = setTimeout(load, 1500); }

function draw() {
  const focus = document.activeElement?.dataset?.key, { needs, more, sites } = state.page;
  const kinds = [...new Set(needs.map((n) => n.kind))];
  if (!kinds.includes(state.kind)) state.kind = "";
  const filters = kinds.map((kind) => [kind, `${say(`need.${kind}`)} ${needs.filter((n) => n.kind === kind).length}`]);
  $("kinds").replaceChildren(...(kinds.length > 1 ? [["", `${say("estate.all")} ${needs.length}`], ...filters] : []).map(([kind, words]) => {
    const chip = keyed(button(words, () => { state.kind = kind; draw(); }), `kind-${kind}`); chip.setAttribute("aria-pressed", String(state.kind === kind)); return chip;
  }));
  $("needs-count").textContent = needs.length ? `(${needs.length + more})` : "";
  const shown = needs.filter((n) => !state.kind || n.kind === state.kind);
  $("needs").replaceChildren(...(shown.length ? shown.map(need) : [make("li", "empty", say("estate.none"))]), ...(more ? [make("li", "quiet", say("estate.more", { n: more }))] : []));
  const open = new Set([...document.querySelectorAll("details[open]")].map((d) => d.dataset.open));
  $("sites").replaceChildren(...(sites.length ? sites.map((site) => card(site, open)) : [make("p", "empty", say("estate.no_sites"))]));
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
}

function need(n) {
  const what = n.hazard ? say(`hazard.${n.hazard}`) : "", head = make("header", "", "", tag(say(`need.${n.kind}`), n.kind), make("b", "", [what, name(n.place)].filter(Boolean).join(" · ")));
  if (n.drill) head.prepend(tag(say("building.drill"), "drill"));
  if (n.due_us) head.append(dated(make("span", "clock"), n.due_us, "estate.over"));
  const why = n.what ? "" : { alarm: () => say(`state.${n.why}`), undelivered: () => "" }[n.kind]?.() ?? n.why;
  const row = make("li", `need ${n.kind}${n.drill ? " drill" : ""}`, "", head, make("span", "quiet", `${name(n.site_name)} · ${say("estate.since", { time: dayTime(n.since_us) })}`));
  if (n.what) row.append(make("span", "", [name(n.what), n.typed ? n.why : words(n.why)].filter(Boolean).join(" — ")));
  if (why) row.append(make("span", "", n.typed ? why : words(why)));
  row.append(make("span", "", say(`need.do.${n.kind}`, { why: n.why })));
  const buttons = make("p", "buttons");
  if (n.incident && state.page.may_see_board) { const link = make("a", "button", say("estate.open")); link.href = `/incidents/${encodeURIComponent(n.incident)}`; buttons.append(keyed(link, `open-${n.kind}-${n.incident}-${n.why}`)); buttons.append(keyed(button(say("delivery.title"), () => told(n.incident)), `told-${n.kind}-${n.incident}-${n.why}`)); }
  if (n.kind === "impairment" && state.page.may_maintain) buttons.append(keyed(button(say("maintain.end"), () => endMaintenance(n.path, n.subject, name(n.place))), `end-${n.path}-${n.subject}`));
  if (buttons.children.length) row.append(buttons);
  const list = state.told.get(n.incident);
  if (list) row.append(deliveries(list));
  return row;
}
async function told(incident) {
  if (state.told.has(incident)) state.told.delete(incident);
  else try { state.told.set(incident, (await get(`/api/incidents/${encodeURIComponent(incident)}/deliveries`)) ?? []); } catch { announce(say("estate.failed")); }
  draw();
}
function deliveries(list) {
  const rows = make("ul", "", "", ...list.map((d) => make("li", "", "", tag(d.state === "acknowledged" ? say("delivery.acknowledged", { who: d.acknowledged_by }) : say(`delivery.${d.state}`), d.state === "failed" ? "critical" : ""), make("b", "", d.endpoint), make("span", "quiet", dayTime(d.at_us)), ...(d.reason ? [make("span", "bad", d.reason)] : []))));
  return list.length ? rows : make("p", "quiet", say("delivery.none"));
}

// --- one site -----------------------------------------------------------------------------------------------

function card(site, open) {
  const box = make("article", "site"), head = make("h3", "", name(site.name));
  const heard = site.heard_us ? (site.silent ? say("site.silent") : say("site.heard", { age: duration(shownUs() - site.heard_us, texts) })) : say("site.never");
  box.append(head, make("p", "quiet", [name(site.address), say("site.devices", { alive: site.alive, expected: site.expected })].filter(Boolean).join(" · ")), make("p", site.silent ? "bad" : "quiet", heard));
  box.append(make("h4", "", say("maintain.title")), ...maintenance(site), make("h4", "", say("rota.title")), ...rotas(site, open), make("h4", "", say("site.contacts")), contacts(site), make("h4", "", say("usage.title")), ...usage(site));
  return box;
}
const contacts = (site) => (site.contacts.length ? make("ul", "", "", ...site.contacts.map((c) => { const call = make("a", "phone", c.phone); call.href = `tel:${c.phone.replaceAll(" ", "")}`; return make("li", "", "", make("span", "", `${c.name} · ${say(`role.${c.role}`)}`), call, ...(c.note ? [make("span", "quiet", c.note)] : [])); })) : make("p", "quiet", say("site.no_contacts")));

function maintenance(site) {
  const rows = make("ul"), out = site.isolated ?? [], waiting = site.waiting ?? [];
  for (const n of out) { const row = make("li", "", "", make("b", "", name(n.place)), make("span", "quiet", n.why), make("span", "", say("estate.until", { time: dayTime(n.due_us) }))); if (state.page.may_maintain) row.append(keyed(button(say("maintain.end"), () => endMaintenance(site.path, n.subject, name(n.place))), `back-${site.path}-${n.subject}`)); rows.append(row); }
  for (const w of waiting) rows.append(make("li", "", "", make("b", "", name(w.place)), make("span", w.refused ? "bad" : "quiet", w.refused ? say("maintain.refused", { why: w.refused }) : say("maintain.waiting"))));
  const found = out.length + waiting.length ? [rows] : [make("p", "quiet", say("maintain.none"))];
  if (state.page.may_maintain) found.push(make("p", "buttons", "", keyed(button(say("maintain.start"), () => startMaintenance(site)), `maintain-${site.path}`)), make("p", "quiet", say("maintain.law")));
  return found;
}
const done = async (going) => { const { text, done } = await going, node = $("outcome"); node.textContent = text; node.className = `outcome ${done ? "ok" : "bad"}`; announce(text); await load(); };
async function startMaintenance(site) {
  const given = await ask(say("maintain.start"), [{ name: "devices", label: say("maintain.devices"), kind: "checks", options: site.devices.map((d) => [d.id, name(d.place)]) },
    { name: "hours", label: say("maintain.hours"), kind: "number", value: 2 }, { name: "measure", label: say("maintain.measure"), kind: "textarea" }, { name: "why", label: say("maintain.why"), kind: "textarea" }]);
  if (given) await done(post(`/api/my-sites/${site.path}/maintenance`, { devices: given.devices, minutes: Math.round(Number(given.hours) * 60), measure: given.measure, why: given.why }, `maintain/${site.path}/${JSON.stringify(given)}`));
}
async function endMaintenance(path, device, words) {
  const given = await ask(`${say("maintain.end")}: ${words}`, [{ name: "why", label: say("maintain.why"), kind: "textarea" }]);
  if (given) await done(post(`/api/my-sites/${path}/maintenance`, { devices: [device], minutes: 0, why: given.why }, `back/${path}/${device}/${given.why}`));
}

function rotas(site, open) {
  if (!site.rotas?.length) return [make("p", "quiet", say("rota.none"))];
  return site.rotas.flatMap((rota) => {
    const word = rota.taken_over_by ? say("rota.taken", { who: rota.taken_over_by }) : rota.overdue ? say("rota.overdue") : "";
    const line = make("p", "", "", make("b", "", `${name(rota.title)} · `), say("rota.now", { people: rota.on_duty.join(", ") }), " ", make("span", rota.overdue && !rota.taken_over_by ? "bad" : "quiet", word));
    const table = make("table", "week"), box = make("details", "", "", make("summary", "", say("rota.week")), make("div", "table-box", "", table));
    box.dataset.open = `${site.path}/${rota.id}`; box.open = open.has(box.dataset.open);
    for (const s of rota.coming) table.append(make("tr", "", "", make("th", "", s.day), make("td", "", `${s.name} ${clockTime(s.starts_us).slice(0, 5)}–${clockTime(s.ends_us).slice(0, 5)}`), make("td", "", s.people.map(([, who]) => who).join(", ") + (s.standing_in ? ` (${say("rota.standing")})` : ""))));
    const buttons = state.page.may_change_rota ? [make("p", "buttons", "", keyed(button(say("rota.take"), () => takeOver(site, rota)), `take-${site.path}-${rota.id}`), keyed(button(say("rota.swap"), () => swap(site, rota)), `swap-${site.path}-${rota.id}`))] : [];
    return [line, ...buttons, box];
  });
}
async function takeOver(site, rota) {
  const given = await ask(`${say("rota.take")} ${name(rota.title)}`, [{ name: "person", label: say("rota.who"), kind: "select", options: rota.shift.people }, { name: "note", label: say("rota.note"), kind: "textarea", optional: true }]);
  if (given) await done(post(`/api/my-sites/${site.path}/rota`, { rota: rota.id, coming: given.person, why: given.note }, `take/${site.path}/${rota.id}/${given.person}/${rota.shift.starts_us}`));
}
async function swap(site, rota) {
  const shifts = rota.coming.flatMap((s) => s.people.map(([id, who]) => [`${s.day}|${s.name}|${id}`, `${s.day} ${s.name}: ${who}`]));
  const given = await ask(`${say("rota.swap")} ${name(rota.title)}`, [{ name: "shift", label: say("rota.shift"), kind: "select", options: shifts }, { name: "coming", label: say("rota.coming"), kind: "select", options: rota.people }, { name: "why", label: say("maintain.why"), kind: "textarea" }]);
  if (!given) return;
  const [day, shift, leaving] = given.shift.split("|");
  await done(post(`/api/my-sites/${site.path}/rota`, { rota: rota.id, day, shift, leaving, coming: given.coming, why: given.why }, `swap/${site.path}/${rota.id}/${given.shift}/${given.coming}`));
}

// --- meters -------------------------------------------------------------------------------------------------

function usage(site) {
  const meters = state.usage.get(site.path);
  if (!meters) return [make("p", "buttons", "", keyed(button(say("usage.show"), async () => {
    try { state.usage.set(site.path, (await get(`/api/my-sites/${site.path}/usage?days=30`)) ?? []); draw(); } catch { announce(say("estate.failed")); }
  }), `usage-${site.path}`))];
  return meters.length ? meters.map(meter) : [make("p", "quiet", say("usage.none"))];
}
const NS = "http://www.w3.org/2000/svg";
const part = (kind, values) => { const node = document.createElementNS(NS, kind); for (const [k, v] of Object.entries(values)) node.setAttribute(k, v); return node; };
const UNIT = { "kW.h": "kWh", m3: "m³" };
function meter(m) {
  const unit = UNIT[m.unit] ?? m.unit, known = m.days.filter((d) => d.use !== null), most = Math.max(1e-9, ...known.map((d) => d.use)), sum = known.reduce((s, d) => s + d.use, 0);
  const shown = (v) => v.toFixed(v >= 100 ? 0 : v >= 10 ? 1 : 2), words = say("usage.sum", { sum: shown(sum), unit, n: known.length });
  const box = make("div", "meter", "", make("header", "", "", make("b", "", `${say(`usage.${m.quantity}`)} · ${name(m.place)}`), make("span", "quiet", known.length ? words : say("usage.empty"))));
  const svg = part("svg", { class: "bars", viewBox: `0 0 ${m.days.length * 10} 70`, preserveAspectRatio: "none", role: "img", "aria-label": `${name(m.place)}: ${known.length ? words : say("usage.empty")}` });
  m.days.forEach((d, i) => {
    if (d.use === null) svg.append(part("line", { class: "unknown", x1: i * 10 + 1, x2: i * 10 + 9, y1: 66, y2: 66 }));
    else { const high = Math.max(1, d.use / most * 62); svg.append(part("rect", { class: d.whole ? "" : "joined", x: i * 10 + 1, y: 68 - high, width: 8, height: high })); }
  });
  svg.append(part("line", { class: "base", x1: 0, x2: m.days.length * 10, y1: 69, y2: 69 }));
  const table = make("table", "week");
  for (const d of [...m.days].reverse()) table.append(make("tr", "", "", make("th", "", d.day), make("td", "", d.use === null ? say("usage.unknown") : `${shown(d.use)} ${unit}${d.whole ? "" : ` (${say("usage.joined")})`}`)));
  box.append(svg, make("p", "edge", "", make("span", "", m.days[0]?.day ?? ""), make("span", "", `0 – ${known.length ? shown(most) : "—"} ${unit}`), make("span", "", m.days.at(-1)?.day ?? "")), make("details", "", "", make("summary", "", say("usage.day")), table));
  return box;
}

await begin();
await Promise.all([load(), follow({ board: soon, incident: soon, list: soon })]);
setInterval(() => { if (!document.hidden) load(); }, 15000);
